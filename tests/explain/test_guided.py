import copy

import pytest
import torch
from captum.attr import GuidedBackprop, GuidedGradCam
from torch import nn
from torch.nn import functional as F

from aecompanion.explain.guided import guided_backprop, guided_gradcam, guided_gradients
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded


class Chain(nn.Module):
    """z = Σ w · relu(v · x), the ReLU called in a way that is told."""

    def __init__(self, apply, weights=(1.0, -1.0, 1.0, 1.0)):
        super().__init__()
        self.apply_, self.weights = apply, torch.tensor(weights)

    def forward(self, x):
        hidden = self.apply_(x.flatten(1) * torch.tensor([2.0, 2.0, -2.0, 2.0]))
        return (hidden * self.weights).sum(1, keepdim=True)


CALLS = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "functional": F.relu,
    "functional in place": lambda x: F.relu(x, inplace=True),
    "torch": torch.relu,
    "torch in place": torch.relu_,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "keyword": lambda x: F.relu(input=x),
    "clamp": lambda x: torch.clamp(x, min=0),
    "clamp, method": lambda x: x.clamp(0),
    "clamp in place": lambda x: x.clamp_(min=0.0),
    "clip": lambda x: x.clip(0, None),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "clamp_min in place": lambda x: x.clamp_min_(0),
}
SIXES = {
    "module": nn.ReLU6(),
    "in place": nn.ReLU6(inplace=True),
    "functional": F.relu6,
    "functional in place": lambda x: F.relu6(x, True),
    "clamp": lambda x: x.clamp(0, 6),
}


@pytest.mark.parametrize("call", CALLS)
def test_only_positive_gradients_pass_an_open_relu(call):
    """The second value has a negative gradient, the third a negative input."""
    images = torch.full((1, 1, 2, 2), 5.0)
    assert guided_gradients(Chain(CALLS[call]), images, 0).flatten().tolist() == [2.0, 0.0, 0.0, 2.0]


@pytest.mark.parametrize("call", SIXES)
def test_a_saturated_relu6_lets_nothing_back(call):
    images = torch.tensor([2.0, 2.0, 2.0, 3.5]).reshape(1, 1, 2, 2)  # 4, 4, -4 and 7 reach it
    assert guided_gradients(Chain(SIXES[call]), images, 0).flatten().tolist() == [2.0, 0.0, 0.0, 0.0]


def test_agrees_with_captum_where_all_relus_are_modules(convolutional, images, labels):
    expected = GuidedBackprop(convolutional).attribute(images, target=labels)
    plain = torch.autograd.functional.jacobian(lambda x: convolutional(x)[range(5), labels].sum(), images)
    assert not torch.allclose(expected, plain)
    assert torch.allclose(guided_gradients(convolutional, images, labels), expected, atol=1e-7)
    assert torch.allclose(guided_backprop(convolutional, images, labels), expected.abs().amax(1, keepdim=True))
    expected = GuidedGradCam(convolutional, convolutional.conv2).attribute(
        images, target=labels, interpolate_mode="bilinear"
    )
    found = guided_gradcam(convolutional, images, labels, layer="conv2")
    assert found.amax() > 0
    assert torch.allclose(found, expected.abs().amax(1, keepdim=True), atol=1e-6)


class Clamp(nn.Module):
    """Cuts values; a ReLU only where the limits are those of one."""

    def __init__(self, low, high):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, values):
        return values.clamp(self.low, self.high)


class Called(nn.Module):
    """A network of modules whose ReLUs are replaced by calls, of which captum sees none."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        for module in self.inner:
            images = torch.relu(images) if isinstance(module, nn.ReLU) else module(images)
        return images


def test_a_network_that_calls_its_relus_has_the_maps_of_one_that_has_modules(convolutional, images, labels):
    expected = GuidedBackprop(convolutional).attribute(images, target=labels)
    called = Called(copy.deepcopy(convolutional)).eval()
    assert torch.allclose(guided_gradients(called, images, labels), expected, atol=1e-7)
    assert not torch.allclose(GuidedBackprop(called).attribute(images, target=labels), expected)  # why it is not captum


def test_calls_and_modules_of_a_residual_network_are_guided_alike():
    network = create("aecompanion.networks.pooled:resnet", classes=3, channels=3, size=32, seed=2).eval()
    images = torch.rand(2, 3, 32, 32, generator=generator(5, 3))
    found = guided_gradients(network, images, torch.tensor([0, 2]))
    theirs = GuidedBackprop(network).attribute(images, target=torch.tensor([0, 2]))
    assert found.isfinite().all()
    assert (found - theirs).abs().mean() > 0.1 * theirs.abs().mean()


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.ELU(), nn.LeakyReLU(0.1)])
def test_networks_of_other_activations_are_refused(images, activation):
    with seeded(1, 9):
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), activation, nn.Flatten(), nn.Linear(108, 2)).eval()
    with pytest.raises(ValueError, match="guided rules are for networks of ReLUs, and this one applies"):
        guided_backprop(model, images, 0)


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.Hardtanh(), nn.Identity(), Clamp(0, 1), Clamp(-1, None)])
def test_networks_without_a_relu_are_refused(images, activation):
    with seeded(1, 9):
        model = nn.Sequential(nn.Conv2d(2, 3, 3), activation, nn.Flatten(), nn.Linear(108, 2)).eval()
    with pytest.raises(ValueError, match="Sequential applies no ReLU, expected a network of ReLUs"):
        guided_backprop(model, images, 0)


def test_what_runs_afterwards_is_not_guided(convolutional, images):
    def plain():
        given = images.clone().requires_grad_()
        return torch.autograd.grad(convolutional(given)[:, 1].sum(), given)[0]

    before = plain()
    guided_backprop(convolutional, images, 1)
    with pytest.raises(ValueError, match="expected class indices"):
        guided_backprop(convolutional, images, 7)
    assert torch.equal(plain(), before)
