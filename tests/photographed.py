"""Two photographs and a network whose answers are known: its logits are the mean colours of the image's left half and
a constant. Fixtures of the tests of the study and of its figures (a plugin, see conftest.py).
"""

import pytest
import torch
from torch import nn

from aecompanion.explain.methods import Explained
from aecompanion.studies.photographs import readings

CLASSES = ["red", "green", "blue", "nothing"]
NAMES = ["first", "second"]


class Colours(nn.Module):
    def forward(self, images):
        left = images[:, :, :, : images.shape[3] // 2].mean((2, 3))
        return 6 * torch.cat([left, torch.full((len(images), 1), 0.1)], 1)


@pytest.fixture
def photographs():
    images = torch.zeros(2, 3, 8, 8)
    images[:, 0], images[:, 1, :, :4], images[1, 2] = 0.9, 0.5, 0.3
    return images, torch.zeros(2, 3, 8, 8)


@pytest.fixture
def explained():
    left = torch.ones(2, 1, 8, 8)
    left[:, :, :, :4] = 0  # the left half is replaced
    right = left.flip(3)
    return {
        "Grad-CAM": Explained(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))),
        "MP": Explained(1 - left, left, torch.tensor([False, False])),
        "RP": Explained(1 - right, right, torch.tensor([False, True])),
    }


@pytest.fixture
def photograph_rows(photographs, explained):
    options = {"names": NAMES, "classes": CLASSES, "rivals": 2}
    return readings(Colours(), *photographs, explained, torch.tensor([0, 0]), **options)
