import copy

import pytest
import torch
from torch import nn

from aecompanion.explain.activations import activations
from aecompanion.explain.cam import cam
from aecompanion.explain.gradcam import explain_classes, gradcam
from aecompanion.networks.borrow import plain
from aecompanion.networks.layers import layer_of
from aecompanion.networks.zoo import create
from aecompanion.train.causal_autoencoder import CausalAutoencoder, activations_of
from aecompanion.train.fidelity import fidelity


@pytest.fixture
def network():
    """Frozen, as pretrained ones are."""
    return create("compact/gap", classes=3, channels=2, size=64, seed=1).eval().requires_grad_(False)


@pytest.fixture
def photos():
    return torch.rand(3, 2, 64, 64, generator=torch.Generator().manual_seed(1))


CLASSES = torch.tensor([0, 2, 1])
CALLS = {
    "gradcam": lambda net, x, layer: gradcam(net, x, CLASSES, layer=layer),
    "classes": lambda net, x, layer: explain_classes(net, x, CLASSES[None], layer=layer),
    "activations": lambda net, x, layer: activations(net, x, {"a": layer})["a"],
    "cam": lambda net, x, layer: cam(net, x, CLASSES, layer=layer, linear="head.2"),
    "activations of the autoencoder": lambda net, x, layer: activations_of(net, x, layer=layer),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_layer_is_a_module_or_its_name(network, photos, call):
    last = network.cam_layers[-1]
    found = [CALLS[call](network, photos, layer) for layer in (network.cam_layer(), last, f"body.{last}")]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("call", CALLS)
def test_an_unknown_layer_is_an_error_that_names_it(network, photos, call):
    with pytest.raises(ValueError, match="layer 'stage9' does not exist in Network, its parts are: .*head"):
        CALLS[call](network, photos, "stage9")


@pytest.mark.parametrize("warm", [True, False], ids=["grad", "no_grad"])
@pytest.mark.parametrize("call", CALLS)
def test_a_compiled_network_that_has_answered_is_explained_as_the_one_inside(network, photos, call, warm):
    torch._dynamo.reset()
    inside = copy.deepcopy(network)
    compiled = torch.compile(inside, backend="eager")
    with torch.set_grad_enabled(warm):
        compiled(photos)
    expected = CALLS[call](network, photos, network.cam_layer())
    for layer in (inside.cam_layer(), network.cam_layers[-1]):
        assert torch.equal(CALLS[call](compiled, photos.clone(), layer), expected)


def test_a_bottleneck_is_heard_inside_a_compiled_network(network, photos):
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(network), backend="eager")
    compiled(photos)
    layer = network.cam_layers[-1]
    channels = activations(network, photos, {"a": layer})["a"].shape[1]
    options = {"layer": layer, "autoencoder": CausalAutoencoder(channels, encoder=(2,), decoder=())}
    assert fidelity(compiled, photos, **options) == fidelity(network, photos, **options)


def test_plain_leaves_a_network_that_is_not_compiled_alone():
    module = nn.Linear(2, 2)
    assert plain(module) is module
    assert plain(torch.compile(module, backend="eager")) is module
    assert layer_of(module, torch.compile(module, backend="eager")) is module
