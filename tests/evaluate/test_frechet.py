import math
import re

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from aecompanion.evaluate.frechet import features, frechet, square_root

BY_BATCHES = pytest.mark.parametrize("batch", [1, 2, 3, 5, 64])


def exact(mean, deviations):
    """2d points whose mean and (diagonal) covariance are exactly these."""
    mean, deviations = np.asarray(mean, float), np.asarray(deviations, float)
    d = len(mean)
    spread = np.diag(deviations) * math.sqrt((2 * d - 1) / 2)
    return np.concatenate([mean + spread, mean - spread])


def by_sqrtm(first, second):
    """The formula with scipy's square root of the product."""
    one, two = (np.cov(each, rowvar=False) for each in (first, second))
    gap = first.mean(0) - second.mean(0)
    return float(gap @ gap + np.trace(one + two - 2 * sqrtm(one @ two).real))


@pytest.fixture
def sets():
    """Two sets of correlated features, 40×5 and 30×5."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 5)) @ rng.normal(size=(5, 5)), rng.normal(size=(30, 5)) @ rng.normal(size=(5, 5)) + 1


# by hand


def test_the_exact_samples_have_the_moments_they_were_made_for():
    points = exact([1, -2, 0], [0.5, 2, 0])
    assert np.allclose(points.mean(0), [1, -2, 0])
    assert np.allclose(np.cov(points, rowvar=False), np.diag([0.25, 4, 0]))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 1), (0, 1), 0),
        ((0, 1), (3, 1), 9),
        ((0, 1), (0, 3), 4),
        ((1, 2), (-1, 0.5), 4 + 2.25),
        ((0, 0), (2, 1), 5),  # a point and a Gaussian
        ((0, 0), (2, 0), 4),  # two points
    ],
)
def test_of_one_feature_it_is_the_squared_differences_of_mean_and_deviation(first, second, expected):
    one, two = (exact([mean], [deviation]) for mean, deviation in (first, second))
    assert frechet(one, two) == pytest.approx(expected, abs=1e-12)


def test_of_independent_features_the_terms_add_up():
    one, two = exact([0, 1, 2], [1, 2, 3]), exact([1, 1, 0], [4, 2, 1])
    assert frechet(one, two) == pytest.approx(1 + 0 + 4 + 9 + 0 + 4)


def test_turning_both_sets_does_not_change_the_distance():
    """In other axes the covariances are not diagonal but still commute."""
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    one, two = exact([0, 1, 2], [1, 2, 3]), exact([1, 1, 0], [4, 2, 1])
    assert frechet(one @ turn, two @ turn) == pytest.approx(18)


def test_two_gaussians_whose_covariances_do_not_commute():
    """Σ_1 = diag(4, 1), Σ_2 = diag(4, 1) turned by 45°: tr Σ_1Σ_2 = 12.5, det = 16, so the root's trace is √20.5."""
    turn = np.array([[1, -1], [1, 1]]) / math.sqrt(2)
    one = exact([0, 0], [2, 1])
    assert frechet(one, one @ turn) == pytest.approx(10 - 2 * math.sqrt(12.5 + 2 * 4))


# against scipy


def test_it_agrees_with_the_square_root_of_scipy(sets):
    assert frechet(*sets) == pytest.approx(by_sqrtm(*sets), rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_sets_smaller_than_their_dimension_have_a_distance(count):
    """The trace of the root is then the nuclear norm of the product of the centred features."""
    rng = np.random.default_rng(2)
    one, two = rng.normal(size=(count, 20)), rng.normal(size=(count + 1, 20))
    centred = [(each - each.mean(0)) / math.sqrt(len(each) - 1) for each in (one, two)]
    gap = one.mean(0) - two.mean(0)
    spread = sum(np.square(each).sum() for each in centred)
    expected = gap @ gap + spread - 2 * np.linalg.norm(centred[0] @ centred[1].T, "nuc")
    assert frechet(one, two) == pytest.approx(expected, rel=1e-6)


def test_a_feature_that_is_always_zero_does_not_matter(sets):
    padded = [np.pad(each, ((0, 0), (0, 3))) for each in sets]
    assert frechet(*padded) == pytest.approx(frechet(*sets), rel=1e-6)


def test_the_square_root_squared_is_the_matrix(sets):
    matrix = np.cov(sets[0], rowvar=False)
    root = square_root(matrix)
    assert np.allclose(root @ root, matrix)
    assert np.allclose(root, root.T)
    assert np.allclose(root, sqrtm(matrix))


def test_eigenvalues_below_zero_count_as_zero():
    assert np.allclose(square_root(np.diag([4, -1e-12])), np.diag([2, 0]))


# invariants


def test_a_set_and_itself_in_another_order_are_at_no_distance(sets):
    for each in sets:
        assert frechet(each, each) == pytest.approx(0, abs=1e-9)
        assert frechet(each, each[::-1]) == pytest.approx(0, abs=1e-9)


def test_it_is_symmetric(sets):
    assert frechet(*sets) == pytest.approx(frechet(*sets[::-1]), rel=1e-9)
    assert frechet(*sets) > 1


def test_a_shift_adds_its_squared_length(sets):
    one = sets[0]
    assert frechet(one, one + np.array([1, 2, 0, 0, -2])) == pytest.approx(9)


def test_scaling_both_sets_scales_the_distance_by_the_square(sets):
    assert frechet(3 * sets[0], 3 * sets[1]) == pytest.approx(9 * frechet(*sets))


def test_repeating_both_sets_hardly_changes_the_distance(sets):
    """But for n - 1: of 5 copies the covariances are (n - 1) / n as large, to first order."""
    many = frechet(*(np.tile(each, (200, 1)) for each in sets))
    assert many == pytest.approx(frechet(*sets), rel=0.05)


def test_features_in_single_precision_are_computed_in_double(sets):
    single = [each.astype(np.float32) for each in sets]
    assert frechet(*single) == frechet(*(each.astype(float) for each in single))


# errors


@pytest.mark.parametrize(("one", "two"), [((1, 3), (5, 3)), ((5, 3), (1, 3)), ((5, 3), (5, 4)), ((0, 3), (0, 3))])
def test_too_few_images_or_other_features_are_an_error(one, two):
    expected = f"features {one} and {two}: expected at least 2×d each, the same d"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        frechet(np.zeros(one), np.zeros(two))


# features of a network


@BY_BATCHES
def test_the_features_of_a_map_are_its_means_over_the_places(convolutional, images, batch):
    found = features(convolutional, images, layer=convolutional.conv2, batch=batch)
    expected = convolutional[:4](images).mean((2, 3)).detach().numpy()
    assert found.shape == (5, 5)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-6)


@BY_BATCHES
def test_the_features_of_a_vector_are_its_values(convolutional, images, batch):
    found = features(convolutional, images, layer=convolutional.flatten, batch=batch)
    expected = convolutional[:5](images).detach().numpy()
    assert found.shape == (5, 45)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_mean_over_the_places_by_hand():
    """The layer doubles images whose places are 0 to 3 and 4 to 7."""
    double = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(double.weight, 2.0)
    images = torch.arange(8.0).reshape(2, 1, 2, 2)
    assert features(nn.Sequential(double, nn.ReLU()), images, layer=double).tolist() == [[3.0], [11.0]]


def test_a_batch_has_so_many_images(linear, images):
    seen = []
    linear.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    features(linear, images, layer=linear[1], batch=2)
    assert seen == [2, 2, 1]


def test_the_network_is_asked_in_evaluation_mode_and_comes_back_as_it_was(convolutional, images, condition):
    expected = features(convolutional, images, layer=convolutional.fc)
    weights = {name: value.clone() for name, value in convolutional.state_dict().items()}
    before = condition(convolutional.train())
    found = features(convolutional, images, layer=convolutional.fc)
    assert np.array_equal(found, expected)  # dropout and the running statistics would change it
    assert condition(convolutional) == before
    assert all(torch.equal(value, weights[name]) for name, value in convolutional.state_dict().items())


def test_the_hook_is_removed_after_an_exception_too(convolutional, images, condition, fail_on_call):
    fail_on_call(convolutional.train(), 2)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match="^call 2$"):
        features(convolutional, images, layer=convolutional.conv2, batch=2)
    assert condition(convolutional) == before


def test_hooks_of_others_stay(convolutional, images):
    seen = []
    convolutional.conv2.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    features(convolutional, images, layer=convolutional.conv2)
    convolutional(images[:2])
    assert seen == [5, 2]


def test_the_distance_of_images_and_themselves_is_zero_and_of_others_is_not(convolutional, images):
    of = [features(convolutional, each, layer=convolutional.conv2) for each in (images, 1 - images)]
    assert frechet(of[0], of[0]) == pytest.approx(0, abs=1e-6)
    assert frechet(*of) > 1e-3
