import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from aecompanion.attack.lp_ball import norm, project
from aecompanion.evaluate import counterparts
from aecompanion.evaluate.sparsity import sparsity
from aecompanion.pipeline.rng import generator


def pixels(*values):
    """One image of one channel and one row."""
    return torch.tensor(values, dtype=torch.float32).reshape(1, 1, 1, -1)


def place(*inside):
    return torch.tensor(inside, dtype=torch.bool).reshape(1, 1, -1)


@pytest.fixture
def truths():
    """Five true changes of 3×4×5 images, most of them small."""
    return (2 * torch.rand(5, 3, 4, 5, generator=generator(21, 0)) - 1) ** 3


# by hand


def test_a_change_at_a_right_angle_to_half_of_the_truth():
    """d = (.3, 0), t = (.3, .4): cosine .3/.5, distance .4/.5, progress .09/.25."""
    change, truth = pixels(0.3, 0.0), pixels(0.3, 0.4)
    assert counterparts.alignment(change, truth).item() == pytest.approx(0.6)
    assert counterparts.distance(change, truth).item() == pytest.approx(0.8)
    assert counterparts.progress(change, truth).item() == pytest.approx(0.36)


def test_a_region_counts_only_what_lies_in_it():
    change, truth = pixels(0.3, 0.5, 0.2), pixels(0.3, 0.4, 0.0)
    assert counterparts.alignment(change, truth, place(True, False, False)).item() == pytest.approx(1)
    assert counterparts.progress(change, truth, place(False, True, False)).item() == pytest.approx(1.25)
    assert counterparts.share_inside(change, place(True, True, False)).item() == pytest.approx(0.8)


def test_the_placement_asks_where_and_not_in_which_colour():
    """Sizes (1, 0, 0) and (2, 2, 0): r = 1/2. A red stroke and a blue one of opposite sign at one place: r = 1."""
    assert counterparts.placement(pixels(1.0, 0.0, 0.0), pixels(-2.0, 2.0, 0.0)).item() == pytest.approx(0.5)
    red, blue = torch.zeros(2, 1, 3, 2, 2)
    red[0, 0, 0, 0], blue[0, 2, 0, 0] = 0.3, -0.7
    assert counterparts.placement(red, blue).item() == pytest.approx(1)
    assert counterparts.alignment(red, blue).item() == 0


def test_the_most_similar_true_change_gives_the_name():
    """Of classes 1 to 3 the change resembles 2 most; class 0, which it is of, would fit better and is left out."""
    truths = torch.stack([pixels(1.0, 1.0), pixels(1.0, 0.0), pixels(0.6, 0.8), pixels(-1.0, -1.0)], 1)
    assert counterparts.named(pixels(0.5, 0.5), truths, torch.tensor([0])).tolist() == [2]
    assert counterparts.named(pixels(0.5, 0.5), truths, torch.tensor([2])).tolist() == [0]


def test_the_nearest_point_of_an_l1_ball_is_a_soft_threshold():
    """(.8, -.5, .1) with radius .7: λ = .3 leaves (.5, -.2, 0); no value may move by more than .4: λ = .2."""
    truth = pixels(0.8, -0.5, 0.1)
    assert torch.allclose(counterparts.nearest(truth, eps=0.7, p=1), pixels(0.5, -0.2, 0.0), atol=1e-6)
    assert torch.allclose(counterparts.nearest(truth, eps=0.7, p=1, cap=0.4), pixels(0.4, -0.3, 0.0), atol=1e-6)


def test_a_truth_within_the_ball_is_its_own_nearest_point_but_for_the_cap():
    truth = pixels(0.3, -0.2)
    assert torch.equal(counterparts.nearest(truth, eps=1.0, p=1.5), truth)
    assert torch.equal(counterparts.nearest(truth, eps=1.0, p=1, cap=0.25), pixels(0.25, -0.2))


# invariants


def test_the_truth_scores_as_truth(truths):
    everywhere = torch.ones(5, 4, 5, dtype=torch.bool)
    assert torch.allclose(counterparts.alignment(truths, truths), torch.ones(5, dtype=torch.float64))
    assert torch.allclose(counterparts.progress(truths, truths, everywhere), torch.ones(5, dtype=torch.float64))
    assert counterparts.distance(truths, truths).tolist() == [0] * 5
    assert counterparts.distance(0 * truths, truths).tolist() == [1] * 5


def test_scale_does_not_count_in_the_alignment_and_is_all_of_the_progress(truths):
    other = truths.flip(0)
    assert torch.allclose(counterparts.alignment(3 * other, truths), counterparts.alignment(other, truths))
    assert torch.allclose(counterparts.progress(3 * other, truths), 3 * counterparts.progress(other, truths))


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_the_nearest_point_spends_the_radius_and_lies_between_image_and_truth(truths, p):
    found = counterparts.nearest(truths, eps=0.8, p=p)
    assert torch.allclose(norm(found, p), torch.full((5,), 0.8), atol=1e-5)
    assert (found * truths >= 0).all()
    assert (found.abs() <= truths.abs() + 1e-6).all()


# independent implementations


@pytest.mark.parametrize("p", [1, 2])
def test_the_nearest_point_is_the_projection(truths, p):
    middle = torch.full_like(truths, 0.5)
    inside = truths / 2  # x + t lies in the box
    expected = project(inside, middle, 0.6, p)
    assert torch.allclose(counterparts.nearest(inside, eps=0.6, p=p), expected, atol=1e-5)


def test_no_point_of_the_ball_is_nearer_by_a_general_solver():
    """p = 1.5 against scipy's SLSQP, six values."""
    truth = pixels(0.9, -0.6, 0.3, 0.2, -0.1, 0.05)
    found, wanted = counterparts.nearest(truth, eps=0.7, p=1.5), truth.flatten().double().numpy()
    ball = {"type": "ineq", "fun": lambda d: 0.7**1.5 - (abs(d) ** 1.5).sum()}
    solved = minimize(lambda d: ((d - wanted) ** 2).sum(), 0.3 * wanted, constraints=ball, tol=1e-12)
    assert torch.allclose(found.flatten().double(), torch.from_numpy(solved.x), atol=1e-4)


def test_the_placement_is_the_correlation_of_numpy(truths):
    sizes = [each.abs().double().sum(1).flatten(1).numpy() for each in (truths, truths.flip(0))]
    expected = [np.corrcoef(*pair)[0, 1] for pair in zip(*sizes, strict=True)]
    assert counterparts.placement(truths, truths.flip(0)).tolist() == pytest.approx(expected)


def test_the_share_inside_is_what_the_background_share_leaves(truths):
    masks = torch.rand(5, 4, 5, generator=generator(21, 1)) < 0.4
    assert counterparts.share_inside(truths, masks).numpy() == pytest.approx(1 - sparsity(truths, masks)["background"])


# what has no answer


def test_no_change_and_no_truth():
    still, truth = pixels(0.0, 0.0), pixels(0.3, 0.4)
    assert counterparts.alignment(still, truth).item() == 0
    assert counterparts.named(still, truth[:, None], torch.tensor([0])).tolist() == [-1]
    assert math.isnan(counterparts.placement(still, truth).item())
    assert math.isnan(counterparts.share_inside(still, place(True, False)).item())
    for score in (counterparts.alignment, counterparts.distance, counterparts.progress):
        assert math.isnan(score(truth, still).item())


def test_what_cannot_be_scored_is_said_in_a_sentence(truths):
    with pytest.raises(ValueError, match=r"changes \(5, 3, 4, 5\), truths \(4, 3, 4, 5\): expected N×C×H×W twice"):
        counterparts.alignment(truths, truths[:4])
    with pytest.raises(ValueError, match=r"the region is \(5, 4\), expected N×H×W of \(5, 3, 4, 5\)"):
        counterparts.share_inside(truths, torch.ones(5, 4))
    with pytest.raises(ValueError, match=r"expected N×C×H×W, N×K×C×H×W and N"):
        counterparts.named(truths, truths, torch.zeros(5, dtype=torch.long))
    with pytest.raises(ValueError, match=r"p is 3, expected one of 1.0, 1.5, 2.0"):
        counterparts.nearest(truths, eps=1.0, p=3)
    with pytest.raises(ValueError, match=r"eps is 0 and cap inf, expected positive numbers"):
        counterparts.nearest(truths, eps=0, p=2)
