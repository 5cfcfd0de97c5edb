"""A scene, its history of five masks and a network whose logits are known: fixtures of the tests of cases and of their
figures (a plugin, see conftest.py).
"""

import pytest
import torch
from torch import nn

from aecompanion.pipeline.rng import generator
from aecompanion.studies.cases import cases

CLASSES = ["a", "b", "c"]
SLIDE = torch.tensor([[0.9711, 0.0111], [0.0003, 0.0022], [0.9096, 0.6469]])  # sheep, dog: x, x_pt, x_rpt


def pixel_sums() -> nn.Module:
    """Three logits: 4·(sum of one channel's mean - 1/2)."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    nn.init.eye_(model[2].weight).data.mul_(8)
    nn.init.constant_(model[2].bias, -4)
    model.card = {"multi_label": True}
    return model.eval()


@pytest.fixture
def scene():
    """x: the first channel bright, the second middling; x_r: grey."""
    image = torch.rand(3, 16, 16, generator=generator(0, 1)) * torch.tensor([1.0, 0.6, 0.2])[:, None, None]
    return image, torch.full((3, 16, 16), 0.4)


@pytest.fixture
def history(scene):
    """Five masks, from replacing all to replacing the left half."""
    half = torch.ones(1, 16, 16)
    half[:, :, :8] = 0
    masks = torch.stack([share * half for share in torch.linspace(0, 1, 5)])
    return cases(pixel_sums(), *scene, masks, 0, CLASSES)
