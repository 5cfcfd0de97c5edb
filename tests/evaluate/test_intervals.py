import numpy as np
import pytest
from scipy import stats

from aecompanion.evaluate.intervals import Estimate, Interval, bounded, interval, largest, least


@pytest.fixture
def images():
    return np.random.default_rng(5).gamma(2.0, size=40)


def anova(values):
    """Variance of the grand mean of crossed random effects, from mean squares: due to seeds, due to images."""
    seeds, images = values.shape
    by_seed = values.mean(1, keepdims=True) - values.mean()
    by_image = values.mean(0) - values.mean()
    rest = values - values.mean() - by_seed - by_image
    mean_squares = [
        images * (by_seed**2).sum() / (seeds - 1),
        seeds * (by_image**2).sum() / (images - 1),
        (rest**2).sum() / ((seeds - 1) * (images - 1)),
    ]
    seed, image, crossed = (each / values.size for each in mean_squares)
    return max(seed - crossed, 0), image


def test_the_variance_of_a_mean_is_that_of_the_analysis_of_variance():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(4, 1)) + rng.normal(size=(1, 30)) + rng.normal(size=(4, 30))
    (estimate,) = interval(np.mean, values, resamples=4000).estimates
    assert estimate.variances == pytest.approx(anova(values), rel=0.06)  # of 4,000 resamples: two hundredths, thrice
    assert estimate.freedom == (3, 29)


def test_a_single_seed_gives_students_interval_over_the_images(images):
    found = interval(np.mean, images[None], resamples=4000)
    theirs = stats.t.interval(0.95, len(images) - 1, images.mean(), stats.sem(images))
    assert (found.low, found.high) == pytest.approx(theirs, rel=0.02)


def test_a_single_image_gives_students_interval_over_the_seeds(images):
    found = interval(np.mean, images[:5, None])
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, 4, images[:5].mean(), stats.sem(images[:5])), rel=1e-12
    )


def test_seeds_that_alone_differ_give_students_interval_over_the_seeds():
    values = np.array([[1.0], [2.0], [6.0]]).repeat(8, 1)
    found = interval(np.mean, values)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 2, 3, stats.sem([1, 2, 6])), rel=1e-12)


def test_both_parts_have_quantiles_of_their_own_weighed_by_their_variances():
    estimate = Estimate(1.0, (3.0, 1.0), (2, 49))
    t = (3 * stats.t.ppf(0.975, 2) + stats.t.ppf(0.975, 49)) / 4
    assert estimate.quantile(0.025) == pytest.approx(t)
    assert estimate.end(0.025, -1) == pytest.approx(1 - 2 * t)


def test_the_statistic_sees_all_seeds_and_all_but_one_over_resampled_images():
    tags = np.arange(12).reshape(3, 4)
    blocks = []

    def statistic(block):
        blocks.append(block)
        return block.mean()

    interval(statistic, tags, resamples=30)
    for block in blocks:  # rows × columns of the table
        assert np.array_equal(block, tags[np.ix_(block[:, 0] // 4, block[0] % 4)])
    assert {block.shape for block in blocks} == {(3, 4), (2, 4)}
    assert len({tuple(block[0] % 4) for block in blocks}) > 10
    assert {tuple(block[:, 0] // 4) for block in blocks} == {(0, 1, 2), (1, 2), (0, 2), (0, 1)}


def test_a_mean_of_zeros_and_ones_stays_between_them():
    values = np.ones((3, 50))
    values[:, 0] = 0
    found = interval(np.mean, values)
    assert 0.5 < found.low < 0.98 < found.high < 1
    assert found.high - found.value < found.value - found.low
    assert interval(lambda block: block.mean(), values).high > 1  # of any other statistic nothing is known


def test_a_bounded_statistic_is_seen_on_the_scale_of_its_logit():
    """Of a correlation that is twice Fisher's z, whose standard error is that of r over 1 - r²."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 60))
    values = np.stack([x, x + 0.3 * rng.normal(size=(1, 60))], -1)
    found = interval(bounded(-1, 1)(lambda block: np.corrcoef(block[0].T)[0, 1]), values)
    (estimate,) = found.estimates
    step = stats.t.ppf(0.975, 59) * np.sqrt(estimate.variances[1]) / (1 - found.value**2)
    expected = np.tanh(np.arctanh(found.value) + np.array([-step, step]))
    assert (found.low, found.high) == pytest.approx(expected)


def test_the_least_lies_above_a_bound_only_if_all_do():
    values = np.random.default_rng(0).normal(size=(3, 40, 4)) + [0, 0.5, 1, 5]
    means = [interval(lambda block, k=k: block[..., k].mean(), values) for k in range(4)]
    found = interval(least(lambda block: block.mean((0, 1))), values)
    assert found.value == values.mean((0, 1)).min()
    assert found.low == pytest.approx(min(each.low for each in means))
    wide = [interval(lambda block, k=k: block[..., k].mean(), values, level=1 - 0.05 / 4) for k in range(4)]
    assert found.high == pytest.approx(min(each.high for each in wide))
    other = interval(largest(lambda block: -block.mean((0, 1))), values)
    assert (other.value, other.low, other.high) == (-found.value, -found.high, -found.low)


@pytest.mark.parametrize("statistic", [np.mean, least(lambda v: v.mean((0, 1))), largest(lambda v: v.mean((0, 1)))])
def test_a_p_value_of_two_and_a_half_percent_is_where_the_interval_ends(statistic):
    values = np.random.default_rng(2).normal(size=(3, 40, 3)) + [0, 0.1, 0.9]
    found = interval(statistic, values)
    assert found.p(found.low, above=True) == pytest.approx(0.025, rel=1e-6)
    assert found.p(found.high, above=False) == pytest.approx(0.025, rel=1e-6)
    assert found.p(found.low - 1, above=True) < 0.025 < found.p(found.high, above=True)


def test_a_value_without_spread_has_a_p_value_of_nought_or_one():
    found = interval(np.mean, np.full((3, 5), 0.25))
    assert [found.p(bound, above=True) for bound in (0.2, 0.3)] == [0, 1]
    assert np.isnan(interval(lambda block: np.nan, np.zeros((2, 3))).p(0, above=True))


def test_resamples_without_an_estimate_are_left_out():
    values = np.array([[0.0, 1.0, 2.0, np.nan, np.nan]])
    found = interval(lambda block: block[~np.isnan(block)].mean() if not np.isnan(block).all() else np.nan, values)
    assert found.low < 1 < found.high


@pytest.mark.parametrize("shape", [(1, 9), (3, 9), (3, 9, 2)])
def test_constant_values_give_an_interval_of_width_zero(shape):
    assert interval(np.mean, np.full(shape, 0.25), resamples=50) == Interval(0.25, 0.25, 0.25)


def test_a_single_value_gives_an_interval_of_width_zero():
    assert interval(np.mean, np.array([[0.7]])) == Interval(0.7, 0.7, 0.7)


def test_a_statistic_without_a_finite_value_keeps_it_as_an_interval_of_width_zero():
    assert interval(lambda block: np.inf, np.zeros((2, 3)), resamples=20) == Interval(np.inf, np.inf, np.inf)


def test_the_interval_repeats_for_the_same_seed_only(images):
    values = images.reshape(4, 10)
    first, again, other = (interval(np.mean, values, resamples=100, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_the_global_random_state_is_left_alone(images):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    interval(np.mean, images.reshape(4, 10), resamples=20)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_higher_level_gives_a_wider_interval_around_the_value(images):
    narrow, wide = (interval(np.mean, images.reshape(4, 10), resamples=300, level=level) for level in (0.5, 0.95))
    assert wide.low < narrow.low < wide.value < narrow.high < wide.high


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (2, 3, 0), (7,)])
def test_values_without_seeds_and_images_are_an_error_that_shows_the_shape(shape):
    with pytest.raises(ValueError, match=r"values have shape \(" + ", ".join(map(str, shape))):
        interval(np.mean, np.zeros(shape))
