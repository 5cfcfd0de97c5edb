import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.attack.lp_ball import norm
from aecompanion.attack.objective import towards
from aecompanion.data.dataset import Dataset
from aecompanion.data.regions import Regions, boxes_to_masks
from aecompanion.evaluate.sparsity import sparsity
from aecompanion.explain.counterfactual import counterfactual, min_norm
from aecompanion.explain.frank_wolfe import auto_frank_wolfe
from aecompanion.explain.frank_wolfe_l1q import frank_wolfe_l1q
from aecompanion.networks import checkpoint, zoo
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies.counterfactual_ascents import (
    FAMILIES,
    SHARES,
    SPARSE,
    last,
    own_best_rows,
    sparse_rows,
    trajectory_rows,
)
from aecompanion.studies.counterfactuals import (
    FACTORS,
    KINDS,
    OWN,
    ROWS,
    aims,
    all_schedules,
    calibrated,
    confidence,
    explained,
    feature_rows,
    largest,
    least_rows,
    matched,
    measured,
    object_masks,
    optimiser_rows,
    radius,
    restart_rows,
    schedule_rows,
    sweep_rows,
)

TEMPERATURE, STEPS, KEYS = 2.0, 6, [7, 3]
RUN = {"temperature": TEMPERATURE, "steps": STEPS, "keys": KEYS}
RADII = {"l1": 4.0, "l1.5": 2.0, "l2": 1.0}
TARGET = torch.tensor([2, 0])
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def linear():
    """Steep enough that the confidence of every class can be reached."""
    with seeded(6, 1):
        net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    net[1].weight.data *= 10
    return net


@pytest.fixture
def constant():
    """Logits ln 1, ln 4, ln 4 and ln 16 for every image."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    nn.init.zeros_(net[1].weight)
    net[1].bias.data = torch.tensor([1.0, 4.0, 4.0, 16.0]).log()
    return net


@pytest.fixture
def images():
    return 0.2 + 0.6 * torch.rand(2, 3, 8, 8, generator=generator(6, 2))


def direct(method, model, images, *, p, eps):
    options = {"eps": eps, "p": p, "steps": STEPS, "objective": towards(TEMPERATURE), "keys": KEYS}
    return counterfactual(method, model, images, TARGET, **options)


# radii and confidences


@pytest.mark.parametrize(("kind", "size", "expected"), [("l1", 8, 25), ("l1.5", 8, 60 / 16 ** (2 / 3)), ("l2", 8, 4)])
def test_the_largest_radius_grows_with_the_number_of_values_to_the_power_of_one_over_p(kind, size, expected):
    assert largest(kind, torch.zeros(1, 3, size, size)) == pytest.approx(expected)


@pytest.mark.parametrize(("kind", "expected"), [("l1", 400), ("l1.5", 60), ("l2", 16)])
def test_the_largest_radius_of_a_32_px_image_is_the_one_in_the_table(kind, expected):
    assert largest(kind, torch.zeros(5, 3, 32, 32)) == expected


def test_the_confidence_is_the_softmax_at_the_target(constant, images):
    assert confidence(constant, images, TARGET).tolist() == pytest.approx([4 / 25, 1 / 25])
    assert confidence(constant, images, TARGET, temperature=2.0).tolist() == pytest.approx([2 / 9, 1 / 9])


@every_kind
def test_at_the_radius_the_mean_confidence_is_the_wanted_one(linear, images, kind):
    options = {"kind": kind, "temperature": TEMPERATURE, "steps": STEPS}
    found = radius(linear, images, TARGET, confidence=0.6, **options)
    assert 0 < found < largest(kind, images)
    reached = explained(linear, images, TARGET, eps=found, **options).value.mean().item()
    assert reached == pytest.approx(0.6, abs=0.0051)


def test_a_confidence_out_of_reach_has_no_radius(constant, images):
    assert radius(constant, images, TARGET, kind="l2", confidence=0.9, temperature=1.0, steps=2) == math.inf


def test_a_confidence_out_of_reach_is_matched_by_the_largest_radius(constant, images):
    options = {"kind": "l2", "confidence": 0.9, "temperature": 1.0, "steps": 2}
    assert matched(constant, images, TARGET, **options) == largest("l2", images)


def test_a_confidence_within_reach_is_matched_by_its_radius(linear, images):
    options = {"kind": "l1.5", "confidence": 0.6, "temperature": TEMPERATURE, "steps": STEPS}
    assert matched(linear, images, TARGET, **options) == radius(linear, images, TARGET, **options)


def test_a_network_comes_with_its_own_temperature(tmp_path):
    network = zoo.create("compact/digits", classes=4, channels=1, size=16, seed=0)
    checkpoint.save(network, tmp_path / "multi_3.safetensors")
    temperatures = {"multi_3": {"temperature": 1.25}, "multi_1": {"temperature": 9.0}}
    found, temperature = calibrated(tmp_path, temperatures, "multi", 3, device="cpu")
    assert temperature == 1.25
    assert all(torch.equal(found.state_dict()[name], each) for name, each in network.state_dict().items())


def test_images_are_turned_into_the_next_class_of_their_cluster():
    labels, split = torch.tensor([3, 0, 2, 0, 1]), np.array(["test"] * 5, dtype=object)
    dataset = Dataset(labels, split, list("abcd"), "drawn", 1, 4, images=np.zeros((5, 1, 4, 4), np.uint8))
    assert aims(dataset, np.array([1, 3, 2]), [[0, 1, 3], [2, 3]]).tolist() == [1, 3, 3]


def test_the_masks_of_objects_are_found_by_image():
    boxes = np.array([[0, 0, 1, 1], [1, 1, 2, 2], [2, 2, 3, 3]])
    masks = boxes_to_masks(boxes, (4, 4))[:, 0].numpy()
    regions = Regions(np.array([2, 5, 9]), np.zeros(3, int), boxes, masks)
    assert np.array_equal(object_masks(regions, np.array([9, 2])), masks[[2, 0]])
    assert object_masks(regions.select(np.zeros(0, int)), np.array([9, 2])) is None


def test_every_comparison_of_the_sets_has_its_rows():
    assert list(ROWS) == ["optimisers", "own best", "l1", "schedules", "restarts", "sweep", "least"]


# one set of counterfactuals


@every_kind
def test_a_counterfactual_is_that_of_its_kind_with_confidences_for_values(linear, images, kind):
    method, p = KINDS[kind]
    found = explained(linear, images, TARGET, kind=kind, eps=RADII[kind], **RUN)
    expected = direct(method, linear, images, p=p, eps=RADII[kind])
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.value, expected.value.exp())
    assert torch.equal(found.trace, expected.trace.exp())
    reached = confidence(linear, found.images, TARGET, temperature=TEMPERATURE)
    assert found.value.tolist() == pytest.approx(reached.tolist(), abs=1e-6)
    assert (norm(found.images - images, p) <= RADII[kind] * (1 + 1e-4)).all()


def test_the_measures_of_a_change_of_two_pixels_are_the_ones_on_paper(constant):
    """Of the change, 0.5 lies on the only pixel of the object and 0.25 beside it."""
    images = torch.zeros(1, 3, 8, 8)
    found, masks = images.clone(), np.zeros((1, 8, 8), bool)
    found[0, 0, 2, 2], found[0, 1, 5, 5], masks[0, 2, 2] = 0.5, 0.25, True
    row = measured(found, images, torch.tensor([3]), masks, constant).iloc[0]
    assert row.background == pytest.approx(1 / 3)
    assert row.outside == pytest.approx(1 / 63)
    assert (row.changed, row.largest, row.l1) == pytest.approx((2 / 64, 0.5, 0.75))
    assert (row.realism, row.clean_realism) == pytest.approx((16 / 25, 16 / 25))


def test_the_judge_sees_the_counterfactual_and_the_image(linear, images):
    found = images.flip(3)
    rows = measured(found, images, TARGET, np.ones((2, 8, 8), bool), linear)
    assert rows.realism.tolist() == confidence(linear, found, TARGET).tolist()
    assert rows.clean_realism.tolist() == confidence(linear, images, TARGET).tolist()
    columns = ["background", "outside", "changed", "gini", "largest", "l1", "l15", "l2", "realism", "clean_realism"]
    assert list(rows) == columns


def test_without_masks_only_what_is_about_the_background_is_unknown(linear, images):
    masks = np.zeros((2, 8, 8), bool)
    known = measured(images.flip(3), images, TARGET, masks, linear)
    rows = measured(images.flip(3), images, TARGET, None, linear)
    assert rows[["background", "outside"]].isna().all(axis=None)
    others = [name for name in known if name not in ("background", "outside")]
    pd.testing.assert_frame_equal(rows[others], known[others])
    assert rows[others].notna().all(axis=None)
    expected = sparsity(images.flip(3) - images, torch.from_numpy(masks))
    pd.testing.assert_frame_equal(known[list(expected)], expected)


def test_the_features_are_the_means_of_the_judges_last_stage(images):
    class Judge(nn.Module):
        def __init__(self):
            super().__init__()
            self.stage = nn.AvgPool2d(4)

        def cam_layer(self):
            return self.stage

        def forward(self, images):
            return self.stage(images).flatten(1)

    assert np.allclose(feature_rows(Judge(), images), images.mean((2, 3)).numpy())


# rows


@pytest.mark.parametrize(("methods", "p"), [(["AFW", "FW", "PGD", "APGD"], 2.0), (["AFW", "FW"], 1.5)])
def test_there_is_one_row_per_optimiser_and_image_with_the_objective_reached(linear, images, methods, p):
    rows = optimiser_rows(linear, images, TARGET, p=p, eps=1.0, methods=methods, **RUN)
    assert list(rows) == ["method", "value", "image", "p", "eps"]
    assert rows.method.tolist() == [name for name in methods for _ in KEYS]
    assert rows.image.tolist() == KEYS * len(methods)
    assert (set(rows.p), set(rows.eps)) == ({p}, {1.0})
    for method in methods:
        expected = direct(method, linear, images, p=p, eps=1.0).value
        assert rows.value[rows.method == method].tolist() == expected.tolist()


def test_a_trajectory_has_the_best_objective_after_every_step(linear, images):
    rows = trajectory_rows(linear, images, TARGET, p=1.5, eps=1.0, methods=["AFW", "FW"], **RUN)
    assert len(rows) == 2 * (RUN["steps"] + 1) * len(KEYS)
    for method in ("AFW", "FW"):
        expected = direct(method, linear, images, p=1.5, eps=1.0).trace
        found = rows[rows.method == method].pivot(index="step", columns="image", values="value")[KEYS]
        assert np.array_equal(found.to_numpy(np.float32), expected.numpy())


def test_both_families_run_with_the_schedule_that_does_best_on_other_images(linear, images):
    ball, others = {"p": 1.5, "eps": 1.0}, (images[:2].flip(0), TARGET[:2].flip(0), [7, 8])
    rows = own_best_rows(linear, images, TARGET, chosen_on=others, **ball, **RUN)
    assert rows.groupby(["method", "step"]).size().tolist() == [len(KEYS)] * 2 * (RUN["steps"] + 1)
    options = ball | {"steps": RUN["steps"], "objective": towards(RUN["temperature"])}
    for family, schedules in FAMILIES.items():
        part = last(rows[rows.method == f"{family}, own best"])
        means = [
            auto_frank_wolfe(linear, *others[:2], schedule=each, keys=others[2], **options).value.mean()
            for each in schedules.values()
        ]
        best = list(schedules)[int(np.argmax(means))]
        assert part.schedule.tolist() == [best] * len(KEYS)
        expected = auto_frank_wolfe(linear, images, TARGET, schedule=schedules[best], keys=KEYS, **options)
        assert part.value.tolist() == expected.value.tolist()


def test_there_is_one_row_per_schedule_and_image(linear, images):
    rows = schedule_rows(linear, images, TARGET, p=1.5, eps=2.0, **RUN)
    assert list(rows) == ["schedule", "value", "image", "p", "eps"]
    assert rows.schedule.tolist() == [name for name in FACTORS for _ in KEYS]
    assert rows.image.tolist() == KEYS * len(FACTORS)


def test_schedules_that_are_optimisers_of_their_own_are_not_run_twice(linear, images):
    ball = {"p": 1.5, "eps": 2.0}
    optimisers = optimiser_rows(linear, images, TARGET, methods=["AFW", "AFW (released)", "FW"], **ball, **RUN)
    optimisers = pd.concat([optimisers.assign(radius="matched"), optimisers.assign(radius="half", value=-9.0)])
    variants = schedule_rows(linear, images, TARGET, **ball, **RUN).assign(radius="matched")
    rows = all_schedules(variants, optimisers)
    assert set(rows.columns) == set(variants.columns)
    assert rows.groupby("schedule").size().to_dict() == dict.fromkeys([*OWN.values(), *FACTORS], len(KEYS))
    for method, name in OWN.items():
        assert rows.value[rows.schedule == name].tolist() == direct(method, linear, images, **ball).value.tolist()


def test_the_best_of_all_starts_is_at_least_the_first(linear, images):
    rows = restart_rows(linear, images, TARGET, p=1.5, eps=2.0, restarts=3, **RUN)
    assert list(rows) == ["image", "first", "best", "apart", "p", "eps"]
    assert rows.image.tolist() == KEYS
    assert (rows.best >= rows["first"]).all()
    assert rows["first"].tolist() == direct("AFW", linear, images, p=1.5, eps=2.0).value.tolist()
    more = restart_rows(linear, images, TARGET, p=1.5, eps=2.0, restarts=5, **RUN)
    assert (more.best >= rows.best).all()


def test_two_starts_are_as_far_apart_as_their_counterfactuals(linear, images):
    rows = restart_rows(linear, images, TARGET, p=1.5, eps=2.0, restarts=2, **RUN)
    options = {"eps": 2.0, "p": 1.5, "steps": STEPS, "objective": towards(TEMPERATURE), "keys": KEYS}
    one, two = (auto_frank_wolfe(linear, images, TARGET, seed=seed, **options).images for seed in (0, 1))
    sizes = (norm(one - images, 2) + norm(two - images, 2)) / 2
    assert rows.apart.tolist() == pytest.approx((norm(one - two, 2) / sizes).tolist())


@every_kind
def test_a_larger_radius_reaches_more_confidence(linear, images, kind):
    radii = [share * RADII[kind] for share in (0.2, 0.5, 1.0)]
    rows = sweep_rows(linear, images, TARGET, kind=kind, radii=radii, **RUN)
    assert list(rows) == ["eps", "confidence", "image", "kind"]
    assert rows.eps.tolist() == [eps for eps in radii for _ in KEYS]
    assert rows.image.tolist() == KEYS * 3
    assert set(rows.kind) == {kind}
    assert (np.diff(rows.confidence.to_numpy().reshape(3, 2), axis=0) > 0).all()
    last = explained(linear, images, TARGET, kind=kind, eps=radii[2], **RUN)
    assert rows.confidence[rows.eps == radii[2]].tolist() == pytest.approx(last.value.tolist(), rel=1e-5)


@every_kind
def test_more_confidence_needs_a_larger_least_radius(linear, images, kind):
    levels = [0.4, 0.6, 0.8]
    rows = least_rows(linear, images, TARGET, kind=kind, levels=levels, **RUN)
    assert list(rows) == ["level", "radius", "image", "confidence", "l1", "l2", "kind"]
    assert rows.level.tolist() == [level for level in levels for _ in KEYS]
    assert rows.image.tolist() == KEYS * 3
    assert set(rows.kind) == {kind}
    assert (np.diff(rows.radius.to_numpy().reshape(3, 2), axis=0) > 0).all()
    assert np.isfinite(rows.radius).all()
    assert (rows.confidence >= rows.level).all()
    if kind != "l1.5":
        assert (rows[kind] <= rows.radius * (1 + 1e-4)).all()


def test_the_least_radius_is_that_of_the_search_from_half_of_the_largest(linear, images):
    rows = least_rows(linear, images, TARGET, kind="l2", levels=[0.5], searches=4, **RUN)
    options = {"confidence": 0.5, "largest": 2.0, "searches": 4, "method": "AFW", "p": 2.0}
    found, radii = min_norm(linear, images, TARGET, **options, **RUN)
    assert rows.radius.tolist() == radii.tolist()
    assert set(radii.tolist()) <= {step / 8 for step in range(1, 17)}
    assert rows.l1.tolist() == norm(found.images - images, 1).tolist()
    assert rows.l2.tolist() == norm(found.images - images, 2).tolist()


def test_the_least_radius_of_a_level_out_of_reach_is_infinite(constant, images):
    rows = least_rows(constant, images, TARGET, kind="l2", levels=[0.1, 0.9], temperature=1.0, steps=2, keys=KEYS)
    assert rows.radius.tolist() == [2 / 2**7, math.inf, math.inf, math.inf]


def test_what_the_least_radius_finds_is_described_and_searched_for_from_where_one_says(linear, images):
    seen = []

    def describe(found):
        seen.append(found)
        return pd.DataFrame({"size": norm(found - images.repeat(2, 1, 1, 1), 2).numpy(), "l2": -1.0})

    options = {"levels": [0.4, 0.5], "searches": 3, "most": 1.5} | RUN
    rows = least_rows(linear, images, TARGET, kind="l2", describe=describe, **options)
    assert list(rows) == ["level", "radius", "image", "confidence", "l1", "l2", "size", "kind"]
    assert rows["size"].tolist() == rows["l2"].tolist()  # a column of its own is not replaced
    assert set(rows["radius"]) <= {1.5 * step / 8 for step in range(1, 9)}
    assert len(seen) == 1


def test_in_the_l1_ball_every_method_makes_the_same_steps_and_says_how_sparse_it_is(linear, images):
    rows = sparse_rows(linear, images, TARGET, eps=3.0, **RUN)
    q = [f"FW-L1-q, q = d/{divisor}" for divisor in SHARES]
    assert list(dict.fromkeys(rows["method"])) == [*SPARSE, *q]
    assert rows.groupby("method").size().tolist() == [len(KEYS)] * (len(SPARSE) + len(q))
    found = direct("APGD", linear, images, p=1.0, eps=3.0)
    own = rows[rows["method"] == "APGD"]
    assert own["value"].tolist() == found.value.tolist()
    changed = (found.images != images).flatten(1).double().mean(1)
    assert own["values"].tolist() == changed.tolist()
    spread = frank_wolfe_l1q(
        linear, images, TARGET, eps=3.0, q=192 // SHARES[1], steps=STEPS, objective=towards(TEMPERATURE), keys=KEYS
    )
    assert (
        rows[rows["method"] == q[1]]["largest"].tolist() == (spread.images - images).flatten(1).abs().amax(1).tolist()
    )
