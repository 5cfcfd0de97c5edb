import pytest
import torch
from torch import nn

from aecompanion.networks.fusing import fused, heard
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator

IMAGES = torch.rand(2, 3, 8, 8, generator=generator(0))


class Block(nn.Module):
    """A convolution and its normalisation; `twice`: the convolution's output is read once more."""

    def __init__(self, *, twice: bool = False) -> None:
        super().__init__()
        self.convolution, self.norm, self.twice = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), twice
        self.norm.running_mean.copy_(torch.tensor([1.0, -2, 0.5, 3]))
        self.norm.running_var.copy_(torch.tensor([0.5, 2, 4, 1]))
        nn.init.uniform_(self.norm.weight, 0.5, 2)

    def forward(self, images):
        found = self.convolution(images)
        normalised = self.norm(found)
        return (normalised + found if self.twice else normalised).mean((2, 3))


def norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_a_pair_outside_a_sequential_is_folded_and_says_the_same():
    block = Block().eval()
    found = fused(block, IMAGES)
    assert norms(found) == []
    assert len(norms(block)) == 1
    torch.testing.assert_close(found(IMAGES), block(IMAGES), atol=1e-5, rtol=1e-5)


def test_a_convolution_that_something_else_reads_is_left_as_it_is():
    block = Block(twice=True).eval()
    found = fused(block, IMAGES)
    assert len(norms(found)) == 1
    torch.testing.assert_close(found(IMAGES), block(IMAGES))


def test_a_normalisation_that_runs_twice_is_no_pair():
    class Shared(Block):
        def forward(self, images):
            return self.norm(self.convolution(images)).mean((2, 3)) + self.norm(self.convolution(-images)).mean((2, 3))

    assert heard(Shared().eval(), IMAGES)[1] == []
    assert heard(Block().eval(), IMAGES)[1] == [("convolution", "norm")]


@pytest.mark.parametrize("name", ["pip/efficientnet_lite0", "torchvision/resnet18"])
def test_published_networks_lose_every_normalisation(name):
    network = create(name, classes=5, channels=3, size=64, seed=1).eval()
    images = torch.rand(2, 3, 64, 64, generator=generator(1))
    found = fused(network, images)
    assert norms(found) == []
    assert norms(network)
    torch.testing.assert_close(found(images), network(images), atol=1e-4, rtol=1e-3)
