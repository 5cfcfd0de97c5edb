import numpy as np
import pytest
from scipy import stats

from aecompanion.evaluate.bootstrap import Interval, interval


@pytest.fixture
def images():
    return np.random.default_rng(5).gamma(2.0, size=40)


@pytest.mark.parametrize("statistic", [np.mean, np.median, np.std])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_a_single_seed_gives_the_interval_of_scipy_over_the_images(images, statistic, level):
    ours = interval(statistic, images[None], resamples=300, level=level, seed=3)
    theirs = stats.bootstrap(
        (images,),
        statistic,
        n_resamples=300,
        confidence_level=level,
        vectorized=False,
        method="BCa",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert ours.value == statistic(images)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_a_single_image_gives_the_interval_over_the_seeds(images):
    over_seeds = interval(np.mean, images[:, None], resamples=200)
    assert over_seeds == interval(np.mean, images[None], resamples=200)


def test_the_statistic_sees_blocks_of_the_shape_of_the_values(images):
    shapes = set()

    def statistic(block):
        shapes.add(block.shape)
        return block.mean()

    interval(statistic, images.reshape(4, 5, 2), resamples=20)
    # BCa's jackknife leaves out one seed or one image
    assert shapes == {(4, 5, 2), (3, 5, 2), (4, 4, 2)}


def test_seeds_and_images_are_resampled_independently():
    tags = np.arange(12).reshape(3, 4)
    blocks = []

    def statistic(block):
        blocks.append(block)
        return block.mean()

    interval(statistic, tags, resamples=30)
    for block in blocks:  # a block is rows × columns of the table, whole rows being repeated together
        assert np.array_equal(block, tags[np.ix_(block[:, 0] // 4, block[0] % 4)])
    assert len({tuple(block[:, 0] // 4) for block in blocks if block.shape == (3, 4)}) > 1
    assert len({tuple(block[0] % 4) for block in blocks if block.shape == (3, 4)}) > 1


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


def test_effects_of_the_seed_widen_the_interval(images):
    same = np.tile(images, (3, 1))
    alike = interval(np.mean, same, resamples=300)
    apart = interval(np.mean, same + np.array([[-1.0], [0.0], [1.0]]), resamples=300)
    assert apart.value == pytest.approx(alike.value)
    assert apart.high - apart.low > 1.5 * (alike.high - alike.low)


def test_the_95_percent_interval_of_crossed_effects_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(100):
        found = interval(np.mean, rng.normal(size=(20, 1)) + rng.normal(size=(1, 30)), resamples=200)
        covered += found.low <= 0 <= found.high
    # three binomial deviations are 6.5; treating the 600 values as independent would cover some 35 times
    assert 88 <= covered <= 100


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (2, 3, 0), (7,)])
def test_values_without_seeds_and_images_are_an_error_that_shows_the_shape(shape):
    with pytest.raises(ValueError, match=r"values have shape \(" + ", ".join(map(str, shape))):
        interval(np.mean, np.zeros(shape))
