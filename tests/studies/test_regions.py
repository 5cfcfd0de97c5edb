import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.data.regions import Regions, bounding_box, boxes_to_masks
from aecompanion.evaluate.detection import most_influential
from aecompanion.explain.cam import hottest
from aecompanion.explain.causal_effect import latent_effects, released_effects
from aecompanion.explain.fills import FILLS, replace
from aecompanion.networks.read import probabilities
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies.region_controls import CONTROLS, controls, shapley_of_region
from aecompanion.studies.regions import (
    COUNTERFACTUAL,
    elsewhere,
    heatmaps,
    map_study,
    overlap,
    regions_of,
    spread,
    study,
)
from aecompanion.train.causal_autoencoder import CausalAutoencoder

SIZE, SEED = 16, 4
REGIONS = ["mask", "box", "cam", "gradcam", "random"]
OTHERS = ["released formula", "latent, one channel", "CAM share", "Grad-CAM share", *CONTROLS]


# ---- a spread of cases


@pytest.mark.parametrize(
    ("labels", "count", "expected"),
    [
        ([0] * 5, 3, [0, 2, 4]),
        ([0] * 5, 2, [0, 4]),
        ([0] * 5, 1, [0]),
        ([0] * 5, 9, [0, 1, 2, 3, 4]),
        ([7, 3, 7, 3, 7, 3, 7], 2, [0, 1, 5, 6]),  # of label 7: 0 and 6, of label 3: 1 and 5
        ([2, 1, 1, 1], 2, [0, 1, 3]),
        ([], 3, []),
    ],
)
def test_cases_are_spread_evenly_over_every_label(labels, count, expected):
    assert spread(np.array(labels), count).tolist() == expected


@pytest.mark.parametrize("count", [1, 4, 17, 60])
def test_every_label_has_as_many_different_cases_as_asked_for_or_all_of_its_own(count):
    labels = np.random.default_rng(1).integers(0, 5, 150)
    found = spread(labels, count)
    assert (np.diff(found) > 0).all()
    for label in range(5):
        assert (labels[found] == label).sum() == min(count, (labels == label).sum())


# ---- overlap


def test_overlap_is_the_intersection_over_the_union():
    a, b = torch.zeros(2, 4, 1, 2, 3, dtype=torch.bool)
    a[0, 0, 0], b[0, 0, :, 0] = True, True  # a row of three and a column of two that meet once
    a[1], b[1] = True, True
    a[2, 0, 0, 0], b[2, 0, 1, 2] = True, True
    assert overlap(a, b).tolist() == [0.25, 1.0, 0.0, 0.0]
    assert torch.equal(overlap(a, b), overlap(b, a))


# ---- elsewhere


def places(seed=3, count=60):
    """Boxes in images of 12 rows and 9 columns, and masks to avoid, among them the boxes."""
    rng = np.random.default_rng(seed)
    boxes = []
    for _ in range(count):
        rows, columns = rng.integers(1, 6, 2)
        top, left = rng.integers(0, 12 - rows + 1), rng.integers(0, 9 - columns + 1)
        boxes.append((top, left, top + rows, left + columns))
    avoid = boxes_to_masks(np.array(boxes), (12, 9))[:, 0].numpy() | (rng.random((count, 12, 9)) < 0.05)
    return np.array(boxes), avoid


def test_a_box_elsewhere_has_the_same_shape_and_touches_nothing_that_it_must_avoid():
    boxes, avoid = places()
    masks, free = elsewhere(boxes, avoid, seed=1)
    assert (masks.shape, masks.dtype) == ((60, 1, 12, 9), torch.bool)
    assert free.dtype == bool
    assert free.sum() > 30
    for mask, (top, left, bottom, right), there, taken in zip(masks[:, 0].numpy(), boxes, free, avoid, strict=True):
        y, x, y2, x2 = bounding_box(mask)
        assert (y2 - y, x2 - x) == (bottom - top, right - left)
        assert mask.sum() == (y2 - y) * (x2 - x)
        assert not there or not (mask & taken).any()


def test_whether_there_is_a_free_place_equals_a_loop_over_all_places():
    boxes, avoid = places(seed=4)
    _, free = elsewhere(boxes, avoid, seed=1)
    for (top, left, bottom, right), there, taken in zip(boxes, free, avoid, strict=True):
        rows, columns = bottom - top, right - left
        empty = [not taken[y : y + rows, x : x + columns].any() for y in range(13 - rows) for x in range(10 - columns)]
        assert there == any(empty)
    assert free.any()
    assert not free.all()


def test_where_there_is_no_free_place_the_mask_is_the_box_itself():
    boxes = np.array([[1, 1, 3, 3], [0, 0, 4, 4], [0, 1, 2, 3]])
    avoid = np.zeros((3, 4, 4), bool)
    avoid[0, 1:3, 1:3] = avoid[1] = avoid[2, :2, 1:3] = True
    masks, free = elsewhere(boxes, avoid, seed=1)
    assert free.tolist() == [False, False, True]
    assert torch.equal(masks[:2], boxes_to_masks(boxes[:2], (4, 4)))
    assert masks[2, 0, 2:].sum() == 4  # the two lower rows are free


def test_the_only_free_place_is_found():
    avoid = np.ones((1, 5, 6), bool)
    avoid[0, 2:5, 4:6] = False
    masks, free = elsewhere(np.array([[0, 0, 3, 2]]), avoid, seed=9)
    assert free.tolist() == [True]
    assert np.array_equal(masks[0, 0].numpy(), ~avoid[0])


def test_every_free_place_is_equally_likely():
    count = 400
    avoid = np.zeros((count, 1, 5), bool)
    avoid[:, 0, 2] = True
    masks, _ = elsewhere(np.tile([0, 2, 1, 3], (count, 1)), avoid, seed=2)
    found = masks.float().mean((0, 1, 2))
    assert found[2] == 0
    assert (found[[0, 1, 3, 4]] - 0.25).abs().max() < 0.1


def test_the_place_depends_on_the_seed_and_the_position_of_the_case_only():
    boxes, avoid = np.tile([[0, 0, 2, 2]], (8, 1)), np.zeros((8, 20, 20), bool)
    first, again, other = (elsewhere(boxes, avoid, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first.flatten(1).unique(dim=0)) > 4
    assert torch.equal(elsewhere(boxes[:3], avoid[:3], seed=1)[0], first[:3])


def test_the_boxes_are_left_alone():
    boxes, avoid = places()
    kept = boxes.copy(), avoid.copy()
    elsewhere(boxes, avoid, seed=1)
    assert np.array_equal(boxes, kept[0])
    assert np.array_equal(avoid, kept[1])


# ---- three cases, the last of which leaves no free place for its box


@pytest.fixture(scope="module")
def network():
    with seeded(5, 1):
        features = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.ReLU()
        body = nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))
    body[6].weight.data *= 4
    return create(body, classes=3, channels=1, size=SIZE, cam_layers=["1", "3"]).eval()


@pytest.fixture(scope="module")
def bottleneck():
    with seeded(5, 2):
        return CausalAutoencoder(4, encoder=(3,), decoder=()).eval()


@pytest.fixture(scope="module")
def target():
    return torch.tensor([0, 2, 1])


@pytest.fixture(scope="module")
def cases():
    """Images on the 8-bit grid and their regions: crosses, fainter in the counterfactual, finer than their boxes."""
    boxes = np.array([[1, 2, 6, 7], [8, 3, 13, 12], [2, 2, 13, 13]])
    masks = np.zeros((3, SIZE, SIZE), bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[(top + bottom) // 2, left:right] = mask[top:bottom, (left + right) // 2] = True
    pixels = torch.randint(60, 120, (3, 1, SIZE, SIZE), generator=generator(5, 3)).byte().numpy()
    without = np.where(masks[:, None], pixels - 50, pixels)
    pixels = np.where(masks[:, None], pixels + 100, pixels)
    regions = Regions(np.array([4, 4, 9]), np.array([0, 2, 1]), boxes, masks, without)
    return torch.from_numpy(pixels).float() / 255, regions


@pytest.fixture(scope="module")
def options(bottleneck):
    validation = torch.rand(6, 1, SIZE, SIZE, generator=generator(5, 4))
    return {"bottleneck": bottleneck, "layer": "1", "validation": validation, "seed": SEED, "draws": 3}


@pytest.fixture(scope="module")
def tables(network, cases, target, options):
    images, regions = cases
    return study(network, images, target, regions, **options)


def effect_of(tables, region, fill):
    found = tables[0]
    return found[(found["region"] == region) & (found["fill"] == fill)]["effect"].to_numpy()


def value_of(tables, method):
    return tables[1][tables[1]["method"] == method]["value"].to_numpy()


# ---- regions


def test_every_case_has_five_regions_of_which_four_are_as_large_as_the_box(network, cases, target):
    images, regions = cases
    found = regions_of(network, images, target, regions, seed=SEED)
    assert list(found) == REGIONS
    areas = [25, 45, 121]
    for name, masks in found.items():
        assert (masks.shape, masks.dtype) == ((3, 1, SIZE, SIZE), torch.bool)
        if name != "mask":
            expected = areas[:2] + [0] if name == "random" else areas
            assert masks.flatten(1).sum(1).tolist() == expected, name
    assert torch.equal(found["mask"][:, 0], torch.from_numpy(regions.masks))
    assert torch.equal(found["box"], regions.box_masks())
    random, free = elsewhere(regions.boxes, regions.masks, seed=SEED)  # it may touch the box where the mask does not
    assert torch.equal(found["random"][:2], random[:2])
    assert free.tolist() == [True, True, False]


def test_a_random_box_may_touch_the_box_but_not_the_mask(network, cases, target):
    """The mask is one corner of a box that leaves no room beside it."""
    images, _ = cases
    masks = np.zeros((1, SIZE, SIZE), bool)
    masks[0, 0, 0] = True
    regions = Regions(np.array([0]), np.array([0]), np.array([[0, 0, 9, 9]]), masks)
    found = regions_of(network, images[:1], target[:1], regions, seed=SEED)["random"]
    assert found.sum() == 81
    assert not found[0, 0, 0, 0]


def test_the_regions_of_the_maps_are_their_largest_values(network, cases, target):
    images, regions = cases
    found = regions_of(network, images, target, regions, seed=SEED)
    for name, maps in heatmaps(network, images, target).items():
        assert maps.shape == (3, 1, SIZE, SIZE)
        for values, mask in zip(maps, found[name], strict=True):
            assert values[mask].min() >= values[~mask].max()


def test_the_maps_are_of_the_last_layer_and_of_the_one_before_it(network, cases, target):
    """CAM as weighted sum of the last features, Grad-CAM by autograd."""
    images, _ = cases
    features = network.body[:2]((images - 0.5) / 0.25).detach().requires_grad_()
    last = network.body[2:4](features)
    weights = network.body[6].weight[target]
    cams = (weights[:, :, None, None] * last).sum(1, keepdim=True)
    logits = network.body[4:](last).gather(1, target[:, None]).sum()
    slopes = torch.autograd.grad(logits, features)[0].mean((2, 3), keepdim=True)
    grads = (slopes * features).sum(1, keepdim=True).relu()
    found = heatmaps(network, images, target)
    assert torch.allclose(found["cam"], F.interpolate(cams, SIZE, mode="bilinear"), rtol=0, atol=1e-5)
    assert torch.allclose(found["gradcam"], grads, rtol=0, atol=1e-6)


# ---- effects


def test_every_case_has_an_effect_for_every_region_and_fill(tables):
    effects, estimates = tables
    assert list(effects.columns) == ["case", "region", "fill", "p", "effect"]
    expected = [(case, region, fill) for region in REGIONS for fill in (COUNTERFACTUAL, *FILLS) for case in range(3)]
    assert list(effects[["case", "region", "fill"]].itertuples(index=False, name=None)) == expected
    assert effects.index.tolist() == list(range(len(expected)))
    methods = [f"{region} · {fill}" for region in REGIONS for fill in (COUNTERFACTUAL, *FILLS)] + OTHERS
    assert list(estimates.columns) == ["case", "method", "value"]
    expected = [(case, method) for method in methods for case in range(3)]
    assert list(estimates[["case", "method"]].itertuples(index=False, name=None)) == expected
    assert estimates.index.tolist() == list(range(len(expected)))


def test_p_is_the_probability_of_the_class_of_the_case(tables, network, cases, target):
    images, _ = cases
    p = probabilities(network, images)
    expected = [p[n, k].item() for n, k in enumerate(target)]
    assert tables[0]["p"].to_numpy().reshape(-1, 3).tolist() == [expected] * 35


@pytest.mark.parametrize("fill", [COUNTERFACTUAL, *FILLS])
@pytest.mark.parametrize("region", REGIONS)
def test_an_effect_is_the_change_of_that_probability(tables, network, cases, target, region, fill):
    images, regions = cases
    masks = regions_of(network, images, target, regions, seed=SEED)[region]
    for n, found in enumerate(effect_of(tables, region, fill)):
        one = slice(n, n + 1)
        if not masks[n].any():
            assert np.isnan(found)
            continue
        filling = regions.counterfactuals()[one] if fill == COUNTERFACTUAL else fill
        with torch.no_grad():
            before, after = network(images[one]), network(replace(images[one], masks[one], filling))
        expected = (after.softmax(1) - before.softmax(1))[0, target[n]].item()
        assert found == pytest.approx(expected, abs=1e-6)


def test_removing_the_box_or_the_mask_is_the_same_with_the_true_counterfactual_only(tables):
    assert np.array_equal(effect_of(tables, "box", COUNTERFACTUAL), effect_of(tables, "mask", COUNTERFACTUAL))
    assert (np.abs(effect_of(tables, "mask", COUNTERFACTUAL)) > 1e-4).all()
    assert not np.isclose(effect_of(tables, "box", "mean"), effect_of(tables, "mask", "mean"), atol=1e-6).any()


def test_elsewhere_the_true_counterfactual_changes_nothing(tables):
    assert effect_of(tables, "random", COUNTERFACTUAL) == pytest.approx([0, 0, np.nan], abs=1e-6, nan_ok=True)
    assert (np.abs(effect_of(tables, "random", "black")[:2]) > 1e-6).all()


def test_only_effects_of_random_boxes_without_a_free_place_are_missing(tables):
    missing = tables[0][tables[0]["effect"].isna()]
    assert set(missing["case"]) == {2}
    assert set(missing["region"]) == {"random"}
    assert len(missing) == len(FILLS) + 1


def test_the_estimates_begin_with_the_effects(tables):
    effects, estimates = tables
    same = estimates[: len(effects)]
    assert same["method"].tolist() == (effects["region"] + " · " + effects["fill"]).tolist()
    pd.testing.assert_series_equal(same["value"], effects["effect"], check_names=False)


def test_the_released_formula_is_that_of_the_most_influential_channel_on_other_images(
    tables, network, cases, target, options, bottleneck
):
    images, regions = cases
    shared = {"layer": "1", "autoencoder": bottleneck}
    channel = most_influential(latent_effects(network, options["validation"], **shared))
    released = released_effects(network, images, regions.box_masks(), fill="mean", channel=channel, **shared)
    assert value_of(tables, "released formula") == pytest.approx(released.numpy(), abs=1e-7)
    effects = latent_effects(network, images, **shared).effects[channel]
    expected = [effects[n, k].item() for n, k in enumerate(target)]
    assert value_of(tables, "latent, one channel") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("method", "name"), [("CAM share", "cam"), ("Grad-CAM share", "gradcam")])
def test_a_share_is_how_much_of_the_positive_map_lies_in_the_box(tables, network, cases, target, method, name):
    images, regions = cases
    found, maps = value_of(tables, method), heatmaps(network, images, target)[name].clamp_min(0).double()
    for n, (top, left, bottom, right) in enumerate(regions.boxes):
        inside, total = maps[n, 0, top:bottom, left:right].sum().item(), maps[n].sum().item()
        assert total > 0
        assert found[n] == pytest.approx(-inside / total, abs=1e-6)


@pytest.fixture(scope="module")
def real(cases):
    images, regions = cases
    return images, Regions(regions.image, regions.label, regions.boxes, regions.masks)


def test_without_counterfactual_images_only_that_fill_is_left_out(tables, network, real, target, options):
    effects, estimates = study(network, *real[:1], target, real[1], **options)
    kept = tables[0][tables[0]["fill"] != COUNTERFACTUAL].reset_index(drop=True)
    pd.testing.assert_frame_equal(effects, kept)
    kept = tables[1][~tables[1]["method"].str.contains(COUNTERFACTUAL)].reset_index(drop=True)
    pd.testing.assert_frame_equal(estimates, kept)


def test_the_same_seed_gives_the_same_rows_and_another_seed_only_other_random_boxes(
    tables, network, cases, target, options
):
    images, regions = cases
    again = study(network, images, target, regions, **options)
    pd.testing.assert_frame_equal(again[0], tables[0])
    pd.testing.assert_frame_equal(again[1], tables[1])
    other, _ = study(network, images, target, regions, **options | {"seed": SEED + 1})
    differs = ~np.isclose(other["effect"], tables[0]["effect"], equal_nan=True, atol=1e-9)
    assert set(other[differs]["region"]) == {"random"}


def test_all_off_is_one_more_exact_fill(tables, network, cases, target, options):
    images, regions = cases
    bare = torch.rand(images.shape, generator=generator(5, 9))
    effects, estimates = study(network, images, target, regions, bare=bare, **options)
    found = effects[(effects["region"] == "box") & (effects["fill"] == "all off")]["effect"]
    p = probabilities(network, torch.where(regions.box_masks(), bare, images)) - probabilities(network, images)
    assert found.to_numpy() == pytest.approx(p[torch.arange(3), target].numpy(), abs=1e-6)
    assert "box · all off" in set(estimates["method"])
    rest = effects[effects["fill"] != "all off"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, tables[0])


# ---- controls


def test_the_shapley_value_of_a_region_is_the_mean_over_all_orders():
    """A game by hand: p = sigmoid of the image's mean brightness, two blocks beside the region; all 3! orders."""
    body = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1))
    body[3].weight.data, body[3].bias.data = torch.tensor([[6.0]]), torch.tensor([-2.0])
    images = torch.rand(1, 1, 8, 8, generator=generator(1, 1))
    region = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    region[..., 2:6, 2:5] = True
    options = {"multi_label": True, "per_side": 2, "fill": "black"}
    found = shapley_of_region(body, images, torch.tensor([0]), region, draws=2000, **options)
    total = 0.0
    for mask in range(16):  # of the four blocks, those that are hidden
        hidden = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
        for block in range(4):
            if mask >> block & 1:
                hidden[..., 4 * (block // 2) : 4 * (block // 2) + 4, 4 * (block % 2) : 4 * (block % 2) + 4] = True
        size = bin(mask).count("1")
        pair = [images * ~(hidden & ~region), images * ~(hidden | region)]
        p = [body(each).sigmoid().item() for each in pair]
        total += (p[0] - p[1]) / (5 * [1, 4, 6, 4, 1][size])  # uniform over sizes, then over sets of that size
    assert found.item() == pytest.approx(total, abs=5e-3)
    with pytest.raises(ValueError, match="draws is 2"):
        shapley_of_region(body, images, torch.tensor([0]), region, draws=2, **options)


def test_the_controls_are_what_they_say(network, cases, target):
    images, regions = cases
    boxes = regions.box_masks()
    found = controls(network, images, target, boxes, seed=SEED, draws=3)
    assert tuple(found) == CONTROLS
    p = probabilities(network, images)[torch.arange(3), target]
    assert torch.allclose(found["probability"], -p)
    positive = heatmaps(network, images, target)["cam"].clamp_min(0)
    inside = (positive * boxes).flatten(1).sum(1)
    assert torch.allclose(found["CAM evidence"], -inside / SIZE**2, atol=1e-6)
    assert torch.allclose(found["CAM share × p"], -p * inside / positive.flatten(1).sum(1), atol=1e-6)
    everywhere = controls(network, images, target, torch.ones_like(boxes), seed=SEED, draws=3)
    grey = images.mean((2, 3), keepdim=True).expand_as(images)
    change = (network(grey) - network(images))[torch.arange(3), target].detach()
    assert torch.allclose(everywhere["integrated gradients"], change, atol=0.02)  # completeness


def test_the_network_and_the_bottleneck_are_returned_as_they_were(
    network, bottleneck, cases, target, options, condition
):
    images, regions = cases
    kept, state = images.clone(), [values.clone() for values in network.parameters()]
    network.train()
    try:
        before = condition(network), condition(bottleneck)
        study(network, images, target, regions, **options)
        map_study(network, images, target, regions, per_side=2, seed=SEED)
        assert (condition(network), condition(bottleneck)) == before
    finally:
        network.eval()
    assert torch.equal(images, kept)
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), state, strict=True))


def test_when_no_case_has_a_free_place_all_random_effects_are_missing(network, cases, target, options):
    images, regions = cases
    effects, _ = study(network, images[2:], target[2:], regions.select([2]), **options)
    assert effects[effects["region"] == "random"]["effect"].isna().all()
    assert not effects[effects["region"] != "random"]["effect"].isna().any()


# ---- maps


MAPS = ["CE, counterfactual", "CE, mean", "CAM", "Grad-CAM", "random"]


@pytest.fixture(scope="module")
def mapped(network, cases, target):
    images, regions = cases
    return map_study(network, images, target, regions, per_side=4, seed=SEED)


def test_every_case_has_a_row_for_every_map(mapped):
    rows, maps = mapped
    assert list(rows.columns) == ["case", "map", "iou_box", "iou_mask"]
    assert list(rows[["case", "map"]].itertuples(index=False, name=None)) == [(c, m) for m in MAPS for c in range(3)]
    assert rows.index.tolist() == list(range(15))
    assert list(maps) == MAPS
    assert {tuple(each.shape) for each in maps.values()} == {(3, 1, SIZE, SIZE)}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("truth", ["box", "mask"])
def test_an_iou_is_that_of_as_many_of_the_largest_values_as_the_truth_has(mapped, cases, name, truth):
    rows, maps = mapped
    _, regions = cases
    truths = regions.box_masks()[:, 0].numpy() if truth == "box" else regions.masks
    found = rows[rows["map"] == name][f"iou_{truth}"].to_numpy()
    assert ((found >= 0) & (found <= 1)).all()
    for n, mask in enumerate(truths):
        order = np.argsort(-maps[name][n].numpy().ravel(), kind="stable")[: mask.sum()]
        shared = mask.ravel()[order].sum()
        assert found[n] == pytest.approx(shared / (2 * mask.sum() - shared), abs=1e-6)


def test_the_grid_of_effects_is_the_probability_that_its_blocks_carry(mapped, network, cases, target):
    images, regions = cases
    p = probabilities(network, images)
    for name, filling in (("CE, mean", "mean"), ("CE, counterfactual", regions.counterfactuals())):
        coarse = torch.zeros(3, 1, 4, 4)
        for y in range(4):
            for x in range(4):
                masks = torch.zeros(3, 1, SIZE, SIZE, dtype=torch.bool)
                masks[..., 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = True
                lost = p - probabilities(network, replace(images, masks, filling))
                coarse[:, 0, y, x] = lost[torch.arange(3), target]
        assert torch.allclose(mapped[1][name], F.interpolate(coarse, SIZE, mode="bilinear"), rtol=0, atol=1e-6)


def test_the_other_maps_are_the_heatmaps_and_noise_of_the_seed_and_the_case(mapped, network, cases, target):
    images, regions = cases
    maps = heatmaps(network, images, target)
    assert torch.equal(mapped[1]["CAM"], maps["cam"])
    assert torch.equal(mapped[1]["Grad-CAM"], maps["gradcam"])
    noise = mapped[1]["random"]
    assert noise.min() >= 0
    assert noise.max() <= 1
    assert len({each.sum().item() for each in noise}) == 3
    _, fewer = map_study(network, images[:2], target[:2], regions.select([0, 1]), per_side=4, seed=SEED)
    assert torch.equal(fewer["random"], noise[:2])
    _, other = map_study(network, images[:2], target[:2], regions.select([0, 1]), per_side=4, seed=SEED + 1)
    assert not torch.equal(other["random"], noise[:2])


def test_without_counterfactual_images_that_map_is_left_out(mapped, network, real, target):
    rows, maps = map_study(network, real[0], target, real[1], per_side=4, seed=SEED)
    assert list(maps) == MAPS[1:]
    pd.testing.assert_frame_equal(rows, mapped[0][3:].reset_index(drop=True))


def test_a_map_that_equals_the_mask_meets_it(cases):
    _, regions = cases
    masks = torch.from_numpy(regions.masks)[:, None]
    assert overlap(hottest(masks.float(), masks.flatten(1).sum(1)), masks).tolist() == [1, 1, 1]


def test_a_network_whose_evidence_is_the_finding_is_mapped_to_it():
    """Logit 0 is the brightness; the counterfactual darkens one block of the grid, so its effect is there alone."""
    body = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    body.append(nn.Linear(1, 2))
    body[0].weight.data, body[0].bias.data = torch.ones(1, 1, 1, 1), torch.zeros(1)
    body[5].weight.data, body[5].bias.data = torch.tensor([[9.0], [0.0]]), torch.zeros(2)
    model = create(body, classes=2, channels=1, size=8, mean=0.0, std=1.0, cam_layers=["1", "2"]).eval()
    box = np.array([[4, 0, 8, 4]])
    masks = boxes_to_masks(box, (8, 8))[:, 0].numpy()
    pixels = np.where(masks, 255, 51).astype(np.uint8)[:, None]
    regions = Regions(np.array([0]), np.array([0]), box, masks, np.full_like(pixels, 51))
    images = torch.from_numpy(pixels).float() / 255
    rows, _ = map_study(model, images, torch.tensor([0]), regions, per_side=2, seed=1)
    found = rows.set_index("map")["iou_mask"]
    assert found["CE, counterfactual"] == found["CAM"] == found["Grad-CAM"] == 1
