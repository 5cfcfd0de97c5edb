"""captum's and Quantus's calling forms give what captum and Quantus would, for any network."""

import captum.attr as captum
import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.explain.adapters import explanation
from aecompanion.explain.methods import METHODS, Explained, Options, explain
from aecompanion.explain.rise import rise
from aecompanion.explain.saliency import saliency
from aecompanion.networks.stem import attributed
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded

IMAGES = torch.rand(3, 1, 16, 16, generator=generator(7, 1))
TARGET = torch.tensor([1, 0, 2])


def network(seed=1):
    with seeded(7, seed):
        first, second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        body = nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 256, 3))
    return create(body, classes=3, channels=1, size=16, cam_layers=["2"]).eval()


def asked(found, model=None, **options):
    return explanation(found)(network() if model is None else model, IMAGES, TARGET, Options(**options))


@pytest.mark.parametrize("kind", [captum.Saliency, captum.IntegratedGradients, captum.InputXGradient, captum.DeepLift])
def test_a_captum_class_is_made_for_the_network(kind):
    plain = network()
    plain.body[1].inplace = False
    torch.testing.assert_close(asked(kind), kind(plain).attribute(IMAGES.clone().requires_grad_(), target=TARGET))


def test_a_layer_is_the_networks_own_or_that_of_the_options():
    model = network()
    for name, options in (("2", {}), ("0", {"layer": f"{first_name(model)}0"})):
        layer = model.get_submodule(f"{first_name(model)}{name}")
        expected = captum.LayerGradCam(model, layer).attribute(IMAGES, target=TARGET)
        assert torch.equal(asked(captum.LayerGradCam, **options), expected)


def first_name(model):
    """The prefix of the body's layers."""
    name = next(name for name, module in model.named_modules() if isinstance(module, nn.Conv2d))
    return name[: -len("0")]


@pytest.mark.parametrize("kind", [captum.GuidedBackprop, captum.Saliency, captum.DeepLift])
def test_a_captum_object_explains_the_network_that_is_given_not_its_own(kind):
    mine = kind(network(1))
    other, plain = network(2), network(2)
    plain.body[1].inplace = False
    expected = kind(plain).attribute(IMAGES.clone().requires_grad_(), target=TARGET)
    torch.testing.assert_close(asked(mine, other), expected)
    assert other.body[1].inplace
    assert mine.forward_func is not other


def test_objects_inside_an_object_and_their_layers_are_replaced_too():
    model = network(1)
    prefix = first_name(model)
    grad_cam = captum.LayerGradCam(model, model.get_submodule(f"{prefix}2"))
    other = network(2)
    expected = captum.LayerGradCam(other, other.get_submodule(f"{prefix}2")).attribute(IMAGES, target=TARGET)
    assert torch.equal(asked(grad_cam, other), expected)
    tunnel = captum.NoiseTunnel(captum.Saliency(model))
    with seeded(1, 1):
        found = asked(tunnel, other)
    with seeded(1, 1):
        expected = captum.NoiseTunnel(captum.Saliency(other)).attribute(IMAGES.requires_grad_(), target=TARGET)
    IMAGES.requires_grad_(False)
    torch.testing.assert_close(found, expected)


def test_a_function_of_the_network_may_make_the_object():
    made = asked(lambda model: captum.Saliency(model))
    torch.testing.assert_close(made, asked(captum.Saliency))
    with pytest.raises(ValueError, match="makes a int, expected an object with attribute"):
        asked(lambda model: 3)


def test_quantus_gets_arrays_by_name():
    seen = {}

    def explain_func(model, inputs, targets, **kwargs):
        seen.update(inputs=inputs, targets=targets, others=kwargs)
        return np.abs(inputs)

    assert asked(explain_func).shape == (3, 1, 16, 16)
    assert (seen["inputs"].dtype, seen["targets"].dtype) == (np.float32, np.int64)
    assert (seen["targets"].tolist(), seen["others"]) == ([1, 0, 2], {})


def test_this_projects_own_forms_and_rows():
    assert isinstance(asked(METHODS["BP"]), Explained)
    assert torch.equal(asked(saliency), asked(METHODS["BP"]).maps)
    model = attributed(network())
    assert torch.equal(
        asked(METHODS["RISE"], model, rise_masks=8, multi_label=False).maps,
        explain("RISE", model, IMAGES, TARGET, rise_masks=8, multi_label=False).maps,
    )
    assert explanation(rise)(model, IMAGES, TARGET, Options()).shape == (3, 1, 16, 16)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (3, "is a int, expected something that can be called"),
        (lambda one, two: None, r"asks for \(one, two\), expected \(model, images, target, options\)"),
        (captum.NoiseTunnel, r"cannot be made of a network alone \(attribution_method missing\), expected an object"),
        (captum.LimeBase, r"cannot be made of a network alone \(interpretable_model, .* missing\), expected an object"),
        (captum.Saliency(lambda x: x), "is a Saliency that holds no network, expected one made with the network"),
    ],
)
def test_what_fits_no_form_is_one_sentence(found, said):
    with pytest.raises(ValueError, match=f"^{said}[^\n]*$"):
        explanation(found)
