import numpy as np
import pytest
from scipy import stats

from aecompanion.evaluate.intervals import interval
from aecompanion.evaluate.recovery import mean_tau, order_of_methods, other_half, tau


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_scipys(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 6, 12), rng.integers(0, 6, 12)  # with ties
    assert tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    assert tau(a.astype(float), a) == pytest.approx(1) and tau(a, -a) == pytest.approx(-1)


def test_tau_of_what_is_constant_or_unknown():
    assert tau([1, 1, 1], [1, 2, 3]) == 0  # a constant metric recovers nothing
    assert np.isnan(tau([1, 2, 3], [1, 1, 1])) and np.isnan(tau([1, np.nan], [1, 2]))
    assert tau([1, np.nan, 3], [1, 2, 3]) == 1


def block(seeds=3, pictures=20, methods=6, noise=0.3, seed=0):
    """A metric that is the true score in other units, both with noise per picture."""
    rng = np.random.default_rng(seed)
    true = np.linspace(0, 1, methods) + noise * rng.standard_normal((seeds, pictures, methods))
    metric = 5 * np.linspace(0, 1, methods) + noise * rng.standard_normal((seeds, pictures, methods))
    return np.stack([metric, true], -1)


def test_the_order_of_means_is_found_where_single_pictures_do_not_show_it():
    values = block()
    found = interval(order_of_methods, values, resamples=100)
    assert found.value == 1 and found.low > 0.5
    assert order_of_methods(values * [-1, 1]) == -1
    assert other_half(values) > 0.7


def test_a_random_and_a_constant_metric_recover_nothing():
    values, rng = block(), np.random.default_rng(1)
    values[..., 0] = 0
    found = interval(order_of_methods, values, resamples=50)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    values[..., 0] = rng.random(values.shape[:-1])
    found = interval(order_of_methods, values, resamples=100)
    assert found.low < 0 < found.high


def test_both_orders_are_found_anew_in_every_resample():
    """Two methods whose true order hangs on one picture of twenty: the interval holds both orders."""
    values = np.zeros((1, 20, 2, 2))
    values[..., 1, 0] = 1  # the metric is sure
    values[0, :, 1, 1], values[0, 0, 1, 1] = -0.05, 1.5
    assert order_of_methods(values) == 1
    assert interval(order_of_methods, values, resamples=200).low < 0


def test_undefined_scores_are_left_out():
    values = block()
    values[0, :5, :, 0] = np.nan
    assert order_of_methods(values) == 1
    assert mean_tau(np.array([[1.0, np.nan], [0.0, 0.5]])) == 0.5
    assert np.isnan(mean_tau(np.full((1, 1), np.nan)))
