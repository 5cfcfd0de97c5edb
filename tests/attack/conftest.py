import pytest
from torch import nn

from aecompanion.pipeline.rng import seeded

KEYS = [("resnet", 1), ("resnet", 2), ("vgg_deep", 1), ("vgg_deep", 2)]


@pytest.fixture
def networks():
    """Four small networks by name and training seed."""
    found = {}
    for number, key in enumerate(KEYS):
        with seeded(4, number):
            found[key] = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 6 * 6, 3)).eval()
    return found
