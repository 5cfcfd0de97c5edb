"""What every method owes to the networks that people bring: their images back, an answer in their kind of number."""

import copy

import pytest
import torch
from torch import nn

from aecompanion.evaluate.dissimilarity import nissim
from aecompanion.evaluate.games import play
from aecompanion.explain.activations import activations
from aecompanion.explain.cam import cam, hottest
from aecompanion.explain.causal_effect import block_effects, concept_effects, latent_effects, region_effects
from aecompanion.explain.gradcam import gradcam, heatmap, is_zero
from aecompanion.explain.mask import Settings, optimise
from aecompanion.explain.methods import METHODS, Options, explain, named
from aecompanion.explain.rise import rise
from aecompanion.explain.saliency import saliency
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train.causal_autoencoder import CausalAutoencoder

LABELS = torch.tensor([0, 2, 1])
SETTINGS = {
    name: Settings(loss, side=4, steps=2, areas=(0.1, 0.2))
    for name, loss in (("MP", "meaningful"), ("EP", "extremal"), ("RP", "robust"))
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.card = {"multi_label": True}
        self.conv, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1, stride=2)
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.conv2(torch.relu(self.conv(x)))).mean((2, 3)))


class Normalising(nn.Module):
    """Writes the normalised values over its input, or not."""

    def __init__(self, inner, *, in_place):
        super().__init__()
        self.inner, self.in_place, self.card = inner, in_place, inner.card

    def forward(self, x):
        return self.inner(x.sub_(0.5).div_(0.25) if self.in_place else (x - 0.5) / 0.25)


@pytest.fixture(scope="module")
def net():
    with seeded(3, 1):
        return Net().eval()


@pytest.fixture
def photos():
    return torch.rand(3, 3, 16, 16, generator=generator(3, 2))


def box():
    inside = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    inside[..., 4:12, 5:9] = True
    return inside


def bottleneck(inner):
    return {"layer": inner.conv2, "autoencoder": CausalAutoencoder(5, encoder=(2,), decoder=())}


def mean_colour(x):
    return x.mean((2, 3), keepdim=True).expand_as(x).clone()


CALLS = {
    "gradcam": lambda m, x, inner: gradcam(m, x, LABELS, layer=inner.conv2),
    "activations": lambda m, x, inner: activations(m, x, {"a": inner.conv2})["a"],
    "cam": lambda m, x, inner: cam(m, x, LABELS, layer=inner.conv2, linear=inner.fc),
    "saliency": lambda m, x, inner: saliency(m, x, LABELS),
    "rise": lambda m, x, inner: rise(m, x, LABELS, masks=40),
    "region effects": lambda m, x, inner: region_effects(m, x, box(), fill="mean"),
    "block effects": lambda m, x, inner: block_effects(m, x, LABELS, per_side=2),
    "latent effects": lambda m, x, inner: seeded_effects(m, x, inner),
    "games": lambda m, x, inner: play(m, x, mean_colour(x), x[:, :1], LABELS, steps=[0, 9, 256]).scores,
    "the clean image's class": lambda m, x, inner: (
        play(m, x, mean_colour(x), x[:, :1], LABELS, steps=[0, 256], score_class="argmax").scores
    ),
} | {
    loss: lambda m, x, inner, loss=loss: (
        optimise(m, x, LABELS, torch.full_like(x, 0.5), Settings(loss, side=4, steps=2)).mask
    )
    for loss in ("meaningful", "meaningful_log", "mask", "robust", "extremal")
}


def seeded_effects(model, images, inner):
    with seeded(3, 5):
        return latent_effects(model, images, **bottleneck(inner)).p_do


@pytest.mark.parametrize("call", CALLS)
def test_a_network_that_writes_into_its_input_is_explained_as_one_that_does_not(net, photos, call):
    given = photos.clone()
    found = CALLS[call](Normalising(net, in_place=True), given, net)
    assert torch.equal(given, photos)
    assert torch.equal(found, CALLS[call](Normalising(net, in_place=False), photos, net))


def test_a_head_that_writes_into_its_concepts_leaves_them():
    with seeded(3, 6):
        inner = nn.Linear(4, 2)
    inner.card = {"multi_label": False}
    concepts = torch.rand(3, 4, generator=generator(3, 7))
    given = concepts.clone()
    found = concept_effects(Normalising(inner, in_place=True), given)
    assert torch.equal(given, concepts)
    assert torch.equal(found, concept_effects(Normalising(inner, in_place=False), concepts))


# ---- kinds of numbers


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("kind", "near"), [(torch.float16, 0.01), (torch.bfloat16, 0.05), (torch.float64, 1e-5)])
def test_half_and_double_precision_are_explained_as_single_precision_up_to_rounding(net, photos, name, kind, near):
    options = {"settings": SETTINGS, "rise_masks": 40, "layer": "conv2"}
    expected = explain(name, net, photos, LABELS, references=mean_colour(photos), **options).maps
    given = photos.to(kind)
    found = explain(name, copy.deepcopy(net).to(kind), given, LABELS, references=mean_colour(given), **options).maps
    assert found.isfinite().all()
    away = (found - expected).abs().mean() / expected.abs().mean()  # the mean: rounding may open or close a single ReLU
    assert away.item() < near


def test_sums_of_half_precision_are_single_precision(net, photos):
    half, given = copy.deepcopy(net).half(), photos.half()
    assert rise(half, given, 0, masks=8).dtype == torch.float32
    found = optimise(half, given, 0, mean_colour(given), SETTINGS["RP"])
    assert found.mask.dtype == found.losses.dtype == torch.float32
    assert rise(copy.deepcopy(net).double(), photos.double(), 0, masks=8).dtype == torch.float64


# ---- maps that are no numbers


class Rootless(Net):
    """The slope of the square root at 0 is infinite, times 0: NaN."""

    def forward(self, x):
        features = torch.relu(self.conv2(torch.relu(self.conv(x))))
        return self.fc(features.mean((2, 3))) + torch.sqrt((features * 0).sum((1, 2, 3)))[:, None]


def test_a_map_of_nan_is_marked_and_never_counts_as_unmoved(photos):
    model = Rootless().eval()
    one, two = (gradcam(model, each, LABELS, layer="conv2") for each in (photos, photos.flip(0)))
    assert one.isnan().all()
    assert is_zero(one).all()
    assert heatmap(one, 16).isnan().all()
    assert nissim(heatmap(one, 16), heatmap(two, 16)).isnan().all()
    with pytest.raises(ValueError, match="map 0 holds values that are not finite"):
        play(model, photos, mean_colour(photos), heatmap(one, 16), LABELS)
    with pytest.raises(ValueError, match="maps hold values that are not finite"):
        hottest(heatmap(one, 16), torch.tensor([3, 3, 3]))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_one_value_that_is_no_number_spoils_its_own_map_only(value):
    coarse = torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, value, 3.0, 4.0], [0.0] * 4]).reshape(3, 1, 2, 2)
    assert is_zero(coarse).tolist() == [False, True, True]
    found = heatmap(coarse, 2)
    assert found[0].flatten().tolist() == [0.25, 0.5, 0.75, 1.0]
    assert found[1].isnan().all()
    assert found[2].abs().max() == 0


# ---- the registry's rows


@pytest.mark.parametrize("name", METHODS)
def test_a_row_says_how_many_passes_a_pair_costs(net, photos, name):
    given = Options(references=mean_colour(photos), settings=SETTINGS, rise_masks=40, layer="conv2")
    model, counted = copy.deepcopy(net), {"forward": 0, "backward": 0}

    def count(module, inputs, logits):
        counted["forward"] += len(logits)
        counted["backward"] += len(logits) * logits.requires_grad

    model.register_forward_hook(count)
    METHODS[name].explain(model, photos, LABELS, given)
    assert METHODS[name].passes(given) == (counted["forward"] / 3, counted["backward"] / 3)


def test_the_look_of_a_method_is_words_and_no_two_are_alike():
    rows = METHODS.values()
    assert all(isinstance(row.colour, str) and isinstance(row.marker, str) for row in rows)
    assert len({row.colour for row in rows}) == len({row.marker for row in rows}) == len(rows)
    assert [name for name, row in METHODS.items() if row.name != name] == []
    assert named("mask")[:3] == ["MP", "EP", "RP"]
    assert named("gradient", "perturbation")[:3] == ["BP", "Grad-CAM", "RISE"]
    assert sorted(named("gradient", "perturbation", "mask")) == sorted(METHODS)


def test_what_a_method_lacks_is_asked_for_in_one_sentence(net, photos):
    with pytest.raises(ValueError, match="Net does not say which layer Grad-CAM explains: pass layer="):
        explain("Grad-CAM", net, photos, 0)
    with pytest.raises(ValueError, match="mask method 'RP' has no settings, expected some \\(given for: MP\\)"):
        explain("RP", net, photos, 0, settings={"MP": SETTINGS["MP"]})
    with pytest.raises(ValueError, match="method 'RP' replaces what it removes, expected references"):
        explain("RP", net, photos, 0, settings=SETTINGS)
    with pytest.raises(TypeError, match="masks"):
        explain("RISE", net, photos, 0, masks=8)
