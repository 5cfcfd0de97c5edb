"""aecompanion.networks.stem."""

import copy

import pytest
import torch
from torch import nn

from aecompanion.networks import zoo
from aecompanion.networks.folding import folded
from aecompanion.networks.stem import PhasedConv2d, attributed, phase_kernel, phased


def gradient(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    given = images.clone().requires_grad_()
    return torch.autograd.grad(network(given).square().sum(), given)[0]


@pytest.mark.parametrize(("side", "stride"), [(3, 2), (5, 2), (7, 2), (5, 3), (5, 4), (11, 4)])
@pytest.mark.parametrize("size", [(12, 12), (13, 18)])
def test_values_and_gradients_are_those_of_the_convolution(side, stride, size):
    gen = torch.Generator().manual_seed(side + stride)
    plain = nn.Conv2d(3, 4, side, stride, side // 2).double().requires_grad_(False)
    plain.weight.copy_(torch.randn(plain.weight.shape, generator=gen))
    images = torch.rand(2, 3, *size, generator=gen).double()
    by_phases = PhasedConv2d(plain)
    assert torch.equal(by_phases(images), plain(images))
    assert torch.allclose(gradient(by_phases, images), gradient(plain, images), rtol=1e-12, atol=1e-12)


def test_a_kernel_by_hand():
    # stride 2, padding 1: position 2q takes the middle of output q, 2q + 1 the last of q and the first of q + 1
    rows = phase_kernel(torch.tensor([[[[0.0, 0, 0], [1.0, 2.0, 3.0], [0, 0, 0]]]]), 2)
    assert rows[0, 0, 1].tolist() == [0.0, 2.0, 0.0]
    assert rows[1, 0, 1].tolist() == [0.0, 3.0, 1.0]
    assert rows[2:].count_nonzero() == 0


def test_it_can_be_differentiated_twice():
    plain = nn.Conv2d(1, 2, 5, 2, 2).double().requires_grad_(False)
    images = torch.rand(1, 1, 6, 6).double().requires_grad_()
    assert torch.autograd.gradgradcheck(PhasedConv2d(plain), images)


@pytest.mark.parametrize("name", ["vgg", "googlenet", "resnet"])
def test_a_network_says_the_same_with_the_same_gradient(name):
    network = zoo.create(f"aecompanion.networks.pooled:{name}", classes=5, size=64, seed=1)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    slow, quick = folded(network), attributed(network)
    assert isinstance(quick.body.stem[0][0], PhasedConv2d)
    assert torch.equal(slow(images), quick(images))
    expected = gradient(slow, images)
    assert torch.allclose(gradient(quick, images), expected, atol=1e-6 * expected.abs().max().item())


def test_other_stems_stay_and_the_given_network_too():
    network = zoo.create("compact/resnet", classes=5, size=64, seed=1).train()
    assert not any(isinstance(module, PhasedConv2d) for module in attributed(network).modules())
    network = zoo.create("compact/residual", classes=5, size=64, seed=1).train()
    before = copy.deepcopy(network.state_dict())
    assert any(isinstance(module, PhasedConv2d) for module in attributed(network).modules())
    assert network.training and not any(isinstance(module, PhasedConv2d) for module in network.modules())
    assert all(torch.equal(before[name], values) for name, values in network.state_dict().items())
    assert not phased(nn.Conv2d(3, 8, 5, 2, 2, groups=1, dilation=2)) and not phased(nn.Conv2d(3, 8, 5, 2, 0))
