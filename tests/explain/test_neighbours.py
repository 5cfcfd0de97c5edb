"""What every neighbour owes: the contract of the methods' registry, row by row."""

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.explain.methods import METHODS, Options, explain, rescaled
from aecompanion.explain.neighbours import NEIGHBOURS, NOISY, PartOptions, explain_any, explain_several, row_of, signed
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded

LABELS = torch.tensor([0, 2, 1])


class Net(nn.Module):
    card = {"multi_label": True}

    def __init__(self):
        super().__init__()
        self.conv, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1, stride=2)
        self.fc = nn.Linear(5, 3, bias=False)

    def forward(self, x):
        return 10 * self.fc(torch.relu(self.conv2(torch.relu(self.conv(x)))).mean((2, 3)))


class Normalising(nn.Module):
    """Writes the normalised values over its input, or not."""

    card = {"multi_label": True}

    def __init__(self, inner, *, in_place):
        super().__init__()
        self.inner, self.in_place = inner, in_place

    def forward(self, x):
        return self.inner(x.sub_(0.5).div_(0.25) if self.in_place else (x - 0.5) / 0.25)


def mean_colour(x):
    return x.mean((2, 3), keepdim=True).expand_as(x).clone()


@pytest.fixture(scope="module")
def net():
    with seeded(3, 1):
        return Net().eval()


@pytest.fixture
def photos():
    return F.interpolate(torch.rand(3, 3, 4, 4, generator=generator(3, 2)), 16)


def parts():
    """Three parts of three images of 16×16, which leave a background."""
    regions = torch.zeros(3, 3, 16, 16, dtype=torch.bool)
    for row in range(3):
        regions[row, 0, :5, : 6 + row] = regions[row, 1, 8:, row:7] = regions[row, 2, 4 : 10 + row, 10:] = True
    return list(regions)


def settings(images, **change):
    small = {"noisy_samples": 5, "channels": 4, "windows": 3, "blocks": 4, "rise_masks": 12, "segments": (4, 9)}
    return {"references": mean_colour(images), "parts": parts(), "layer": "conv2", **small} | change


# ---- several at once


def test_several_methods_have_the_maps_of_each_alone_and_share_noisy_gradients(net, photos):
    given, shown = PartOptions(**settings(photos), seed=4, keys=[3, 1, 7]), []
    names = ["BP", "SmoothTaylor", "occlusion", "SmoothGrad"]
    hook = net.register_forward_hook(lambda module, images, logits: shown.append(len(logits)))
    found = explain_several(names, net, photos, LABELS, given)
    together = sum(shown)
    shown.clear()
    alone = {name: explain_any(name, net, photos, LABELS, **vars(given)).maps for name in names}
    hook.remove()
    assert list(found) == names and set(NOISY) <= set(names)
    assert all(torch.equal(found[name], alone[name]) for name in names)
    assert sum(shown) - together == 3 * given.noisy_samples


# ---- the contract


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_every_row_gives_a_map_per_pair(net, photos, name):
    explained = explain_any(name, net, photos, LABELS, **settings(photos))
    assert explained.maps.shape == (3, 1, 16, 16)
    assert explained.maps.dtype == torch.float32
    assert explained.maps.device.type == "cpu"
    assert not explained.maps.requires_grad
    assert explained.maps.isfinite().all()
    assert explained.maps.std() > 0
    assert explained.mask is explained.stuck is None
    assert name in signed or explained.maps.min() >= 0


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_map_depends_neither_on_its_batch_nor_on_the_others(net, photos, name):
    keys, chosen = [11, 12, 13], [2, 0]
    together = explain_any(name, net, photos, LABELS, **settings(photos, keys=keys)).maps
    options = settings(photos[chosen], keys=[13, 11], parts=[parts()[2], parts()[0]])
    some = explain_any(name, net, photos[chosen], LABELS[chosen], **options).maps
    assert torch.allclose(some, together[chosen], rtol=1e-4, atol=1e-6 * together.abs().max().item())


@pytest.mark.parametrize("name", ["SmoothGrad", "SmoothTaylor", "MFPP", "Shapley (parts)"])
def test_a_batch_of_one_and_of_many_are_the_same_bit_for_bit(net, photos, name):
    many, classes = photos.repeat(22, 1, 1, 1)[:64], LABELS.repeat(22)[:64]
    keys, options = list(range(100, 164)), settings(many, parts=(parts() * 22)[:64])
    together = explain_any(name, net, many, classes, **options, keys=keys).maps
    for row in (0, 41):
        one = settings(many[row : row + 1], parts=options["parts"][row : row + 1], keys=[keys[row]])
        assert torch.equal(explain_any(name, net, many[row : row + 1], classes[row], **one).maps[0], together[row])


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_network_that_writes_into_its_input_is_explained_as_one_that_does_not(net, photos, name):
    given, options = photos.clone(), settings(photos, layer=net.conv2)
    found = explain_any(name, Normalising(net, in_place=True), given, LABELS, **options).maps
    assert torch.equal(given, photos)
    assert torch.equal(found, explain_any(name, Normalising(net, in_place=False), photos, LABELS, **options).maps)


@pytest.mark.parametrize("name", NEIGHBOURS)
@pytest.mark.parametrize(("kind", "least"), [(torch.float16, 0.98), (torch.bfloat16, 0.9), (torch.float64, 1 - 1e-6)])
def test_half_and_double_precision_are_explained_as_single_precision_up_to_rounding(net, photos, name, kind, least):
    """By correlation: several are differences of scores, of which half precision keeps two or three digits."""
    expected = explain_any(name, net, photos, LABELS, **settings(photos)).maps
    given = photos.to(kind)
    found = explain_any(name, copy.deepcopy(net).to(kind), given, LABELS, **settings(given)).maps
    assert found.isfinite().all()
    assert torch.corrcoef(torch.stack([found.flatten().double(), expected.flatten().double()]))[0, 1] > least
    assert found.abs().mean().item() == pytest.approx(expected.abs().mean().item(), rel=0.15)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_row_says_how_many_passes_a_pair_costs(net, photos, name):
    given = PartOptions(**settings(photos))
    model, counted = copy.deepcopy(net), {"forward": 0, "backward": 0}

    def count(module, inputs, logits):
        counted["forward"] += len(logits)
        counted["backward"] += len(logits) * logits.requires_grad

    model.register_forward_hook(count)
    NEIGHBOURS[name].explain(model, photos, LABELS, given)
    assert NEIGHBOURS[name].passes(given) == (counted["forward"] / 3, counted["backward"] / 3)
    assert (NEIGHBOURS[name].family == "gradient") == (counted["backward"] > 0)


class Dropping(Net):
    """Another answer in training mode, and at every pass."""

    def forward(self, x):
        return super().forward(F.dropout(x, 0.5, self.training))


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_the_network_its_images_and_the_state_of_torch_are_left_as_they_were(photos, condition, name):
    with seeded(3, 1):
        model = Dropping()
    model.conv.eval()  # a mixture of modes
    model.fc.weight.requires_grad_(False)
    given, options = photos.clone().requires_grad_(), settings(photos)
    before, state, drawn = condition(model), copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with torch.no_grad():
        found = explain_any(name, model, given, LABELS, **options).maps
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), drawn)
    assert condition(model) == before
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert given.requires_grad
    assert given.grad is None
    assert torch.equal(given, photos)
    assert torch.equal(found, explain_any(name, model.eval(), photos, LABELS, **options).maps)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_the_network_is_left_as_it_was_after_an_exception(net, photos, condition, fail_on_call, name):
    model = fail_on_call(copy.deepcopy(net).train(), 1)
    before = condition(model)
    with pytest.raises(RuntimeError, match="call 1"):
        explain_any(name, model, photos, LABELS, **settings(photos))
    assert condition(model) == before


@pytest.mark.parametrize("name", NEIGHBOURS)
@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (3, "expected class indices from 0 to 2"),
        (-1, "expected class indices from 0"),
        (torch.tensor([0, 1]), "expected one class for each of 3 images"),
        (torch.tensor([0.0, 1.0, 2.0]), "expected class indices"),
    ],
)
def test_what_is_no_class_is_an_error(net, photos, name, target, sentence):
    with pytest.raises(ValueError, match=sentence):
        explain_any(name, net, photos, target, **settings(photos))


class Corner(nn.Module):
    """Class 0 is the brightness of the upper left quarter of a 32×32 image, class 1 is nowhere."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(4)

    def forward(self, images):
        bright = self.pool(images)[:, 0, :4, :4].relu().mean((1, 2))
        return torch.stack([12 * bright - 8, 0 * bright - 6], 1)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_every_row_finds_the_evidence_where_it_is(name):
    model = create(Corner(), classes=2, channels=1, size=32, mean=0.0, std=1.0, cam_layers=["pool"]).eval()
    images = torch.zeros(1, 1, 32, 32)
    images[..., :16, :16] = 1
    options = {"references": torch.zeros_like(images), "multi_label": True, "parts": [images[0] > 0.5]}
    maps = explain_any(name, model, images, 0, **options).maps.abs()
    hottest = torch.zeros(32 * 32).index_fill(0, maps.flatten().topk(200).indices, 1).reshape(32, 32)
    assert hottest[:16, :16].sum() > 0.7 * 200  # by chance a quarter


# ---- the registry


def test_the_rows_that_the_truth_bench_asks_for():
    asked = "SmoothGrad, SmoothTaylor, Grad-CAM++, LayerCAM, Score-CAM, occlusion, block effects, MFPP, Shapley (parts)"
    assert {*asked.split(", "), "guided BP", "guided Grad-CAM"} == set(NEIGHBOURS)
    assert signed < set(NEIGHBOURS)
    assert not set(METHODS) & set(NEIGHBOURS)
    assert [name for name, row in NEIGHBOURS.items() if row.name != name] == []


def test_no_two_methods_look_alike_neighbours_included():
    rows = [*METHODS.values(), *NEIGHBOURS.values()]
    assert len({row.colour for row in rows}) == len({row.marker for row in rows}) == len(rows)


@pytest.mark.parametrize("name", sorted(signed))
def test_the_sign_says_for_or_against(net, photos, name):
    """With the logits of two classes turned round, what spoke for one speaks against it."""

    class Two(nn.Module):
        card = {"multi_label": False}

        def __init__(self, turned):
            super().__init__()
            self.net, self.turned = copy.deepcopy(net), turned

        def forward(self, x):
            z = self.net(x)[:, :1]
            return torch.cat([-z, z] if self.turned else [z, -z], 1)

    options = settings(photos)
    one, other = (
        explain_any(name, Two(turned).eval().double(), photos.double(), 0, **options).maps for turned in (False, True)
    )
    assert torch.allclose(one, -other, rtol=1e-3, atol=1e-5 * one.abs().max().item())
    assert one.abs().max() > 0.001


def test_one_call_has_the_methods_and_their_variants_too(net, photos):
    mask = {"MP": rescaled("MP", side=4, steps=2, area=0.1, variation=0.0)}
    masks = mask | {"MP (start 1)": dataclasses.replace(mask["MP"], start=1.0)}
    options = {
        "references": mean_colour(photos),
        "layer": "conv2",
        "rise_masks": 8,
        "settings": masks,
        "keys": [1, 2, 3],
    }
    for name in ("BP", "Grad-CAM", "RISE", "IG", *masks):
        found = explain_any(name, net, photos, LABELS, **options, parts=parts())
        assert torch.equal(found.maps, explain(name, net, photos, LABELS, **options).maps)
    given = PartOptions(settings=masks)
    assert row_of("MP (start 1)", given).passes(given) == (3, 2)
    assert row_of("BP", given) is METHODS["BP"]
    with pytest.raises(
        ValueError, match="method 'LIME' is unknown, expected one of BP, .*SmoothGrad, .*MP \\(start 1\\)"
    ):
        explain_any("LIME", net, photos, LABELS, settings=masks)


def test_plain_options_are_enough_for_a_row(net, photos):
    given = Options(references=mean_colour(photos), layer="conv2", rise_masks=5)
    found = NEIGHBOURS["MFPP"].explain(net, photos, LABELS, given).maps
    assert torch.equal(found, explain_any("MFPP", net, photos, LABELS, rise_masks=5).maps)
    assert NEIGHBOURS["MFPP"].passes(given) == (5, 0)
    assert NEIGHBOURS["SmoothGrad"].passes(given) == (24, 24)


@pytest.mark.parametrize("name", ["occlusion", "block effects"])
def test_what_replaces_is_the_reference_where_there_is_one(net, photos, name):
    options = settings(photos)
    assert not explain_any(name, net, photos, LABELS, **options | {"references": photos}).maps.any()
    assert explain_any(name, net, photos, LABELS, **options | {"references": None}).maps.any()


def test_block_effects_lie_on_their_blocks(net, photos):
    maps = explain_any("block effects", net, photos, LABELS, **settings(photos, blocks=3)).maps  # 6, 5 and 5 pixels
    for rows in (slice(0, 6), slice(6, 11), slice(11, 16)):
        for columns in (slice(0, 6), slice(6, 11), slice(11, 16)):
            assert maps[1, 0, rows, columns].unique().numel() == 1
    assert maps[1].unique().numel() == 9


@pytest.mark.parametrize("name", ["Grad-CAM++", "LayerCAM", "Score-CAM", "guided Grad-CAM"])
def test_maps_of_a_layer_are_those_of_the_networks_last_one_unless_told(photos, name):
    network = create("aecompanion.networks.pooled:vgg", classes=3, channels=3, size=16, seed=2).eval()
    default = explain_any(name, network, photos, LABELS).maps
    assert torch.equal(default, explain_any(name, network, photos, LABELS, layer="stage4").maps)
    assert not torch.equal(default, explain_any(name, network, photos, LABELS, layer="stage1").maps)


def test_what_a_method_lacks_is_asked_for_in_one_sentence(net, photos):
    for name in ("Grad-CAM++", "LayerCAM", "Score-CAM", "guided Grad-CAM"):
        with pytest.raises(
            ValueError, match=f"Net does not say which layer {name.replace('+', '.')} explains: pass layer="
        ):
            explain_any(name, net, photos, 0)
    with pytest.raises(ValueError, match="method 'Shapley \\(parts\\)' explains parts, expected parts="):
        explain_any("Shapley (parts)", net, photos, 0, references=photos)
    with pytest.raises(ValueError, match="method 'Shapley \\(parts\\)' replaces what it removes, expected references"):
        explain_any("Shapley (parts)", net, photos, 0, parts=parts())
    with pytest.raises(ValueError, match="channels is None, .* expected a number"):
        NEIGHBOURS["Score-CAM"].passes(PartOptions(channels=None))
    with pytest.raises(TypeError, match="samples"):
        explain_any("SmoothGrad", net, photos, 0, samples=3)
