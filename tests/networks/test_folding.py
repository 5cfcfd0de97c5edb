"""aecompanion.networks.folding."""

import copy

import pytest
import torch
from torch import nn

from aecompanion.networks import zoo
from aecompanion.networks.folding import folded


def statistics(network: nn.Module) -> nn.Module:
    """The network in evaluation mode with running means and variances that are not those of a fresh one."""
    gen = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in ((module.running_mean, -0.5, 0.5), (module.running_var, 0.5, 2.0)):
                values.copy_(low + (high - low) * torch.rand(values.shape, generator=gen))
            module.weight.data.copy_(0.5 + torch.rand(module.weight.shape, generator=gen))
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_one_convolution_and_its_normalisation_by_hand():
    layers = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0))
    layers[0].weight.data.fill_(3.0)
    layers[1].running_mean.fill_(1.0), layers[1].running_var.fill_(4.0)
    layers[1].weight.data.fill_(6.0), layers[1].bias.data.fill_(0.5)
    found = folded(layers)
    # 6 (3x - 1) / 2 + 0.5 = 9x - 2.5
    assert found[0].weight.item() == pytest.approx(9.0)
    assert found[0].bias.item() == pytest.approx(-2.5)
    assert isinstance(found[1], nn.Identity)


@pytest.mark.parametrize("name", ["vgg", "resnet", "resnet_deep", "inception", "xception", "residual", "gap"])
def test_a_compact_network_says_the_same_with_the_same_gradient(name):
    network = statistics(zoo.create(f"compact/{name}", classes=5, channels=3, size=64, seed=1))
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    logits = network(images)
    gradient = torch.autograd.grad(logits[:, 0].sum(), images)[0]
    found = folded(network)
    again = found(images)
    assert norms(network) > 0 and norms(found) == 0
    assert torch.allclose(again, logits, rtol=1e-4, atol=1e-4 * logits.abs().max().item())
    scale = gradient.abs().max()
    assert torch.allclose(torch.autograd.grad(again[:, 0].sum(), images)[0] / scale, gradient / scale, atol=1e-4)


def test_a_normalisation_before_its_activation_stays():
    network = statistics(zoo.create("aecompanion.networks.preact:preact", classes=5, channels=3, size=32, seed=1))
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    found = folded(network)
    assert 0 < norms(found) < norms(network)
    assert torch.allclose(found(images), network(images), atol=1e-4)


def test_the_given_network_and_its_mode_stay():
    network = zoo.create("compact/vgg", classes=5, channels=3, size=64, seed=1).train()
    before = copy.deepcopy(network.state_dict())
    found = folded(network)
    assert network.training and not found.training
    assert all(torch.equal(before[name], values) for name, values in network.state_dict().items())
    assert found.card == network.card and found.cam_layer() is not network.cam_layer()


def test_grad_cam_layers_are_found_and_show_the_same():
    network = statistics(zoo.create("compact/vgg", classes=5, channels=3, size=64, seed=1))
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    seen = []
    for each in (network, folded(network)):
        handle = each.cam_layer("stage3").register_forward_hook(lambda module, given, features: seen.append(features))
        each(images)
        handle.remove()
    assert torch.allclose(*seen, atol=1e-4)
