import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.explain.gradcam import gradcam
from aecompanion.explain.mask import PUBLISHED, Settings, optimise
from aecompanion.explain.methods import (
    ABLATION,
    AS_PUBLISHED,
    GRID,
    LOSS,
    METHODS,
    OTHERS,
    STARTS,
    explain,
    rescaled,
    variants,
)
from aecompanion.explain.rise import rise
from aecompanion.explain.saliency import saliency
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator

SHARED = {"side": 8, "steps": 3, "area": 0.5, "variation": 0.0625}
MASKED = ("MP", "EP", "RP")


@pytest.fixture(scope="module")
def network():
    return create("aecompanion.networks.pooled:vgg", classes=3, channels=3, size=32, seed=2).eval()


@pytest.fixture(scope="module")
def pairs():
    images = torch.rand(3, 3, 32, 32, generator=generator(5, 1))
    return images, torch.tensor([2, 0, 1])


@pytest.fixture(scope="module")
def options(pairs):
    references = pairs[0].mean((2, 3), keepdim=True).expand_as(pairs[0]).clone()
    settings = {name: rescaled(name, **SHARED) for name in LOSS}
    return {"references": references, "settings": settings, "rise_masks": 20}


@pytest.fixture(scope="module")
def found(network, pairs, options):
    return {name: explain(name, network, *pairs, **options) for name in (*METHODS, "T", "L_M")}


# ---- settings


def test_mask_methods_share_everything_but_the_loss():
    settings = {name: rescaled(name, **SHARED, noise=0.1, start=0.5) for name in LOSS}
    expected = Settings(side=8, start=0.5, steps=3, area=0.5, variation=0.0625, noise=0.1)
    for name, loss in {"MP": "meaningful", "T": "target", "L_M": "mask", "RP": "robust"}.items():
        assert settings[name] == dataclasses.replace(expected, loss=loss)
    assert set(settings) == {"MP", "T", "L_M", "EP", "RP"}


def test_extremal_perturbation_has_areas_and_a_constraint_in_the_place_of_the_regularisers():
    found = rescaled("EP", **SHARED, noise=0.1, start=0.5, areas=[0.2, 0.3], constraint=7.0)
    expected = dataclasses.replace(
        rescaled("RP", **SHARED, noise=0.1, start=0.5), loss="extremal", area=7.0, variation=0.0, areas=(0.2, 0.3)
    )
    assert found == expected
    assert rescaled("EP", **SHARED).areas == (0.05, 0.1)
    assert rescaled("EP", **SHARED).area == 30.0 == PUBLISHED["EP"].area


def test_rescaled_masks_start_empty_and_with_noise_by_default():
    for name in LOSS:
        settings = rescaled(name, **SHARED)
        assert (settings.start, settings.noise, settings.jitter) == (0.0, 0.05, 0)


def test_an_unknown_mask_method_is_an_error():
    with pytest.raises(ValueError, match="mask method 'RISE' is unknown, expected one of MP, T, L_M, EP, RP"):
        rescaled("RISE", **SHARED)


def test_every_published_mask_method_has_a_rescaled_one_of_the_same_loss():
    assert {name: settings.loss for name, settings in PUBLISHED.items()} == {name: LOSS[name] for name in PUBLISHED}


TUNED = {"MP": {"area": 0.3, "variation": 0.1}, "EP": {"areas": [0.2]}, "RP": {"area": 5.0, "variation": 0.2}}


def test_the_variants_have_what_was_tuned_for_each_method_and_the_published_ones_their_own():
    found = variants(TUNED, side=8, steps=3, noise=0.1, published_steps=7)
    assert set(found) == {*LOSS, *STARTS, *OTHERS, *AS_PUBLISHED, *GRID}
    assert found["MP"] == Settings("meaningful", 8, 0.0, 3, area=0.3, variation=0.1, noise=0.1)
    for name in ("RP", *ABLATION):
        assert (found[name].area, found[name].variation, found[name].loss) == (5.0, 0.2, LOSS[name])
    assert (found["EP"].areas, found["EP"].area) == ((0.2,), 30.0)
    assert found["MP (start 1)"] == dataclasses.replace(found["MP"], start=1.0)
    assert found["RP (full)"] == dataclasses.replace(found["RP"], side=None)
    for name in ("MP", "EP", "RP"):
        assert found[f"{name} (published)"] == dataclasses.replace(PUBLISHED[name], steps=7)
    assert (PUBLISHED["MP"].start, PUBLISHED["MP"].area, PUBLISHED["RP"].area) == (1.0, 0.01, 5.0)
    expected = Settings("meaningful", 8, 1.0, 3, area=0.03, variation=1 / 64, noise=0.1)
    assert found["MP (start 1, area 0.03)"] == expected
    assert found["RP (start 0, area 5)"] == dataclasses.replace(expected, loss="robust", start=0.0, area=5.0)


class Faint(nn.Module):
    """A third of `Corner`'s logits."""

    def __init__(self):
        super().__init__()
        self.corner = Corner()
        self.pool = self.corner.pool

    def forward(self, images):
        return self.corner(images) / 3


@pytest.mark.parametrize("areas", [(0.05,), (0.1,), (0.05, 0.1)])
def test_extremal_perturbation_shows_the_area_that_was_asked_for(areas):
    """Class 0 is an upper left quarter, which is more than either area: a weak constraint shows more of it. Its logit
    rises by 4 from black to white.
    """
    model = create(Faint(), classes=2, channels=1, size=32, mean=0.0, std=1.0, cam_layers=["pool"]).eval()
    images = torch.zeros(1, 1, 32, 32)
    images[..., :16, :16] = 1
    shared = {"side": 16, "steps": 32, "area": 0.0, "variation": 0.0, "areas": areas}
    shown = {}
    for constraint in (0.3, 30.0):
        settings = {"EP": rescaled("EP", **shared, constraint=constraint)}
        options = {"references": torch.zeros_like(images), "settings": settings, "multi_label": True}
        shown[constraint] = explain("EP", model, images, 0, **options).maps.mean().item()
    assert shown[30.0] == pytest.approx(sum(areas) / len(areas), abs=0.01)
    assert shown[0.3] > shown[30.0] + 0.02


# ---- one call for all


def test_the_first_six_methods_are_those_of_the_paper():
    assert list(METHODS)[:6] == ["BP", "Grad-CAM", "RISE", "MP", "EP", "RP"]


@pytest.mark.parametrize("name", [*METHODS, "T", "L_M"])
def test_every_method_gives_a_map_per_pair(found, name):
    maps = found[name].maps
    assert maps.shape == (3, 1, 32, 32)
    assert maps.device.type == "cpu"
    assert not maps.requires_grad
    assert torch.isfinite(maps).all()
    assert maps.min() >= 0  # each of them is rectified, a share or a mean of probabilities
    assert maps.std() > 0


@pytest.mark.parametrize("name", [*METHODS, "T", "L_M"])
def test_only_mask_methods_give_masks(found, name):
    explained = found[name]
    if name not in LOSS:
        assert explained.mask is None
        assert explained.stuck is None
        return
    assert torch.equal(explained.maps, 1 - explained.mask)
    assert 0 <= explained.mask.min() <= explained.mask.max() <= 1
    assert explained.stuck.shape == (3,)
    assert explained.stuck.dtype == torch.bool


@pytest.mark.parametrize("name", [*MASKED, "T", "L_M"])
def test_a_mask_method_is_the_attribution_of_its_optimised_mask(network, pairs, options, name):
    shared = {"multi_label": False, "seed": 3, "keys": [5, 1, 8]}
    explained = explain(name, network, *pairs, **options, **shared)
    expected = optimise(network, *pairs, options["references"], options["settings"][name], **shared)
    assert torch.equal(explained.maps, expected.attribution)
    assert torch.equal(explained.mask, expected.mask)
    assert torch.equal(explained.stuck, expected.stuck)


def test_back_propagation_is_saliency(network, pairs, found):
    assert torch.equal(found["BP"].maps, saliency(network, *pairs))


def test_grad_cam_is_that_of_the_last_layer_enlarged(network, pairs, found):
    coarse = gradcam(network, *pairs, layer=network.cam_layer())
    assert coarse.shape[2:] != (32, 32)
    assert coarse.amax() > 0
    expected = F.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)
    assert torch.equal(found["Grad-CAM"].maps, expected)


@pytest.mark.parametrize("multi_label", [True, False])
def test_rise_has_as_many_masks_as_asked_for(network, pairs, options, multi_label):
    explained = explain("RISE", network, *pairs, **options, multi_label=multi_label, seed=4)
    assert torch.equal(explained.maps, rise(network, *pairs, masks=20, multi_label=multi_label, seed=4, even=True))
    other = explain("RISE", network, *pairs, **options, multi_label=multi_label, seed=5)
    assert not torch.equal(explained.maps, other.maps)


@pytest.mark.parametrize("name", METHODS)
def test_a_map_depends_neither_on_its_batch_nor_on_the_others(network, pairs, options, found, name):
    images, target = pairs
    chosen = [2, 0]
    some = options | {"references": options["references"][chosen]}
    explained = explain(name, network, images[chosen], target[chosen], **some, keys=chosen)
    assert torch.allclose(explained.maps, found[name].maps[chosen], rtol=0, atol=1e-4)


class Corner(nn.Module):
    """Class 0 is the brightness of the upper left quarter of a 32×32 image, class 1 is nowhere."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(4)

    def forward(self, images):
        brightness = self.pool(images)[:, 0, :4, :4].mean((1, 2))
        return torch.stack([12 * brightness - 8, 0 * brightness - 6], 1)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_the_evidence_where_it_is(name):
    model = create(Corner(), classes=2, channels=1, size=32, mean=0.0, std=1.0, cam_layers=["pool"]).eval()
    images = torch.zeros(1, 1, 32, 32)
    images[..., :16, :16] = 1
    shared = {"side": 8, "steps": 40, "area": 0.2, "variation": 0.01, "areas": (0.25,)}
    settings = {method: rescaled(method, **shared) for method in MASKED}
    options = {"references": torch.zeros_like(images), "settings": settings, "rise_masks": 300, "multi_label": True}
    maps = explain(name, model, images, torch.tensor([0]), **options).maps
    hottest = torch.zeros(32 * 32).index_fill(0, maps.flatten().topk(256).indices, 1).reshape(32, 32)
    assert hottest[:16, :16].mean() > 0.7  # by chance a quarter


@pytest.mark.parametrize("name", METHODS)
def test_the_network_is_returned_as_it_was(network, pairs, options, condition, name):
    network.train()
    try:
        before, state = condition(network), {key: value.clone() for key, value in network.state_dict().items()}
        explain(name, network, *pairs, **options)
        assert condition(network) == before
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    finally:
        network.eval()


def test_an_unknown_method_is_an_error(network, pairs, options):
    with pytest.raises(ValueError, match="method 'LIME' is unknown, expected one of"):
        explain("LIME", network, *pairs, **options)


def test_a_mask_method_without_settings_is_an_error_that_asks_for_them(network, pairs, options):
    with pytest.raises(ValueError, match="settings"):
        explain("RP", network, *pairs, **options | {"settings": {}})
