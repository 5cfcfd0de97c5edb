import math

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.attack.lp_ball import norm
from aecompanion.attack.objective import towards
from aecompanion.evaluate.counterparts import alignment, distance
from aecompanion.explain.counterfactual import counterfactual, matched_radius
from aecompanion.explain.frank_wolfe_l1q import frank_wolfe_l1q
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies.counterpart_pairs import Pairs
from aecompanion.studies.counterparts import (
    BALLS,
    COLUMNS,
    CONTROLS,
    SCORES,
    ball_rows,
    control_rows,
    matched,
    mean_images,
    scored,
)

EPS, SIDE, CLASSES = {"l1": 4.0, "l1.5": 2.0, "l2": 1.0, "FW-L1-q": 4.0}, 8, 4
every_ball = pytest.mark.parametrize("name", BALLS)


@pytest.fixture
def linear():
    with seeded(21, 1):
        net = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, CLASSES))
    net[1].weight.data *= 10
    return net


@pytest.fixture
def made():
    """Three grey pictures; handwriting k of the target brightens column 2 + k, the old digit was column 0."""
    images = torch.full((3, 3, SIDE, SIDE), 0.5)
    truths = torch.zeros(2, 3, 3, SIDE, SIDE)
    truths[..., 0] = -0.25
    old, new = torch.zeros(2, 2, 3, SIDE, SIDE, dtype=torch.bool)
    old[..., 0] = True
    for k in (0, 1):
        truths[k, ..., 2 + k], new[k, ..., 2 + k] = 0.25, True
    classes = torch.zeros(3, CLASSES, 3, SIDE, SIDE)
    for k in (1, 2, 3):
        classes[:, k, ..., 0], classes[:, k, ..., k] = -0.25, 0.25  # a class a column
    labels, targets = torch.tensor([0, 0, 0]), torch.tensor([2, 2, 3])
    bare = truths[0] * old[0][:, None]
    return Pairs(images, labels, targets, truths, old | new, old, new, classes, bare)


# scores by hand


def test_taking_the_old_digit_away_is_half_of_the_truth(made):
    """Cosine 1/√2 with both handwritings, all of the erasing and none of the painting done."""
    rows = scored(made.bare, made)
    assert list(rows) == list(SCORES)
    assert rows["aligned"].tolist() == pytest.approx([math.sqrt(0.5)] * 3)
    assert rows["distance"].tolist() == pytest.approx([math.sqrt(0.5)] * 3)
    assert (rows["erased"].tolist(), rows["painted"].tolist()) == ([1] * 3, [0] * 3)
    assert rows["inside"].tolist() == [1] * 3


def test_the_truth_of_one_handwriting_is_half_aligned_with_another(made):
    """Both erase alike and paint elsewhere: cosine 1 with itself, 1/2 with the other, mean 3/4."""
    rows = scored(made.truths[0], made)
    assert rows["aligned"].tolist() == pytest.approx([0.75] * 3)
    assert rows["inside"].tolist() == pytest.approx([0.75] * 3)
    assert rows["named"].tolist() == [1, 1, 0]  # the third image's target is class 3, column 3
    assert scored(made.truths[0], made, slice(1))["aligned"].tolist() == pytest.approx([1] * 3)


# balls


@every_ball
def test_a_ball_explains_as_its_optimiser_does(linear, made, name):
    ball, options = BALLS[name], {"eps": EPS[name], "steps": 5, "objective": towards(2.0), "keys": [4, 5, 6]}
    found = ball.explain(linear, made.images, made.targets, eps=EPS[name], steps=5, temperature=2.0, keys=[4, 5, 6])
    if ball.divisor:
        assert ball.q(made.images) == 3  # 192 / 64
        expected = frank_wolfe_l1q(linear, made.images, made.targets, q=3, **options)
    else:
        expected = counterfactual(ball.method, linear, made.images, made.targets, p=ball.p, **options)
    assert torch.equal(found.images, expected.images)
    assert torch.allclose(found.value, expected.value.exp())


@every_ball
def test_vertex_and_nearest_point_lie_in_the_ball(made, name):
    ball, eps = BALLS[name], 3 * EPS[name] / 4
    direction = made.truths[0] + 0.1 * torch.randn(made.images.shape, generator=generator(21, 2))
    for change in (ball.vertex(direction, made.images, eps), ball.nearest(made.truths[0], eps)):
        assert (norm(change, ball.p) <= eps + 1e-4).all()
        assert change.abs().max() <= (eps / 3 if ball.divisor else 0.5) + 1e-6
        assert (alignment(change, made.truths[0]) > 0.1).all()


@every_ball
def test_no_change_in_the_ball_is_nearer_to_the_truth_than_the_nearest(linear, made, name):
    rows, found = ball_rows(
        BALLS[name], linear, made, {"realism": (linear, 1.0)}, eps=EPS[name], steps=5, temperature=1.0
    )
    least = distance(BALLS[name].nearest(made.truths[0], EPS[name]), made.truths[0])
    assert (distance(found - made.images, made.truths[0]) >= least - 1e-6).all()
    assert rows["change"].unique().tolist() == ["counterfactual", *CONTROLS]
    assert len(rows) == 3 * 4 and set(rows["image"]) == {0, 1, 2}
    own = rows[rows["change"] == "counterfactual"]
    assert own["realism"].tolist() == pytest.approx(own["confidence"].tolist(), abs=1e-5)  # its own judge
    assert rows[rows["change"] != "counterfactual"]["confidence"].isna().all()


def test_in_the_l2_ball_the_vertex_of_the_truth_points_where_the_truth_does(linear, made):
    rows, _ = ball_rows(BALLS["l2"], linear, made, {}, eps=0.5, steps=2, temperature=1.0)
    for name in ("linear", "nearest"):
        assert rows[rows["change"] == name]["aligned"].tolist() == pytest.approx([1] * 3)
    assert rows[rows["change"] == "noise"]["aligned"].abs().max() < 0.4


def test_rows_do_not_depend_on_the_other_pictures(linear, made):
    few = Pairs(**{name: each[:, :2] if name in ("truths", "either", "old", "new") else each[:2] for name, each in
                   vars(made).items()})  # fmt: skip
    options = {"eps": 2.0, "steps": 3, "temperature": 1.0}
    whole, _ = ball_rows(BALLS["l1.5"], linear, made, {}, **options)
    part, _ = ball_rows(BALLS["l1.5"], linear, few, {}, **options)
    expected = whole[whole["image"] < 2].reset_index(drop=True)
    assert np.allclose(part[list(SCORES)], expected[list(SCORES)], atol=1e-5)


# radii


@pytest.mark.parametrize("name", ["l1.5", "FW-L1-q"])
def test_the_matched_radius_reaches_the_confidence(linear, made, name):
    options = {"steps": 8, "temperature": 4.0}
    eps = matched(BALLS[name], linear, made.images, made.targets, confidence=0.8, **options)
    reached = BALLS[name].explain(linear, made.images, made.targets, eps=eps, **options).value.mean().item()
    assert reached == pytest.approx(0.8, abs=0.02)


def test_the_matched_radius_is_that_of_the_search_for_counterfactuals(linear, made):
    options = {"confidence": 0.8, "steps": 8, "temperature": 4.0}
    ours = matched(BALLS["l2"], linear, made.images, made.targets, **options)
    theirs = matched_radius(linear, made.images, made.targets, largest=4.0, p=2.0, **options)
    assert ours == pytest.approx(theirs, rel=0.05)


def test_where_no_radius_convinces_the_largest_one_is_taken(made):
    blind = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, CLASSES))
    nn.init.zeros_(blind[1].weight)
    options = {"confidence": 0.9, "steps": 1, "temperature": 1.0}
    assert matched(BALLS["l2"], blind, made.images, made.targets, **options) == pytest.approx(16 / 4)


# controls


def test_controls_have_a_row_per_picture_and_the_scores_that_are_theirs(linear, made):
    means = torch.zeros(CLASSES, 3, SIDE, SIDE)
    means[2, ..., 2] = 0.5
    rows = control_rows(made, means, {"realism": (linear, 1.0)}).set_index("change")
    assert set(rows["network"]) == set(rows["ball"]) == {""}
    assert rows.loc["another digit", "aligned"].tolist() == pytest.approx([0.5] * 3)
    assert rows.loc["truth", "aligned"].tolist() == pytest.approx([1] * 3)
    assert rows.loc["truth", "distance"].tolist() == [0] * 3
    assert rows.loc["erased", "erased"].tolist() == [1] * 3
    assert rows.loc["image", "aligned"].tolist() == [0] * 3
    assert rows.loc["mean difference", "painted"].tolist() == pytest.approx([1, 1, 0])  # column 2, mean of two writings
    assert set(rows.reset_index()) <= set(COLUMNS)


def test_mean_images_are_those_of_the_chosen_images_of_a_class():
    images = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 1, 2, 2)
    found = mean_images(lambda at: images[at], torch.tensor([0, 1, 0, 0]), [0, 1, 2], 2)
    assert found[:, 0, 0, 0].tolist() == [1, 1]
