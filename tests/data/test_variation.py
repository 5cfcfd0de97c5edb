import numpy as np
import pytest
import torch

from aecompanion.data.variation import illuminate, symmetric


def given(*values):
    """Stands for `symmetric`: the values one after the other, in units of the half-width asked for."""
    values = iter(values)
    return lambda half: half * next(values)


def test_the_draws_fill_the_interval_and_stay_inside():
    uniform = symmetric(torch.Generator().manual_seed(0))
    drawn = [uniform(2.0) for _ in range(500)]
    assert -2 <= min(drawn) < -1.9
    assert 1.9 < max(drawn) <= 2
    assert abs(sum(drawn)) < 500 * 0.15  # the mean of 500 has a standard deviation of 0.05


def test_the_draws_depend_on_the_generator_only_and_scale_with_the_half_width():
    first, second = (symmetric(torch.Generator().manual_seed(3)) for _ in range(2))
    torch.manual_seed(4)
    assert [first(1.0) for _ in range(5)] == [second(0.25) * 4 for _ in range(5)]


def test_a_half_width_of_zero_gives_zero_and_still_advances_the_generator():
    first, second = (symmetric(torch.Generator().manual_seed(3)) for _ in range(2))
    assert first(0.0) == 0
    second(1.0)
    assert first(1.0) == second(1.0)


def test_without_light_and_contrast_an_image_stays():
    image = np.random.default_rng(0).random((5, 5))
    np.testing.assert_allclose(illuminate(image, given(1, 1, 1), light=0, contrast=0), image)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ((1, 0), [[0.5, 1.0, 1.5]] * 3),
        ((0, 1), [[0.5] * 3, [1.0] * 3, [1.5] * 3]),
        ((-1, 1), [[1.0, 0.5, 0.0], [1.5, 1.0, 0.5], [2.0, 1.5, 1.0]]),
    ],
)
def test_the_light_is_a_ramp_across_then_one_down(drawn, expected):
    assert illuminate(np.ones((3, 3)), given(*drawn, 0), light=0.5, contrast=0).tolist() == expected


@pytest.mark.parametrize(("drawn", "expected"), [(1, [-0.15, 0.5, 1.15]), (-1, [0.15, 0.5, 0.85]), (0, [0, 0.5, 1])])
def test_the_contrast_stretches_about_one_half_and_nothing_is_clipped(drawn, expected):
    changed = illuminate(np.array([[0, 0.5, 1]] * 3), given(0, 0, drawn), light=0.5, contrast=0.3)
    np.testing.assert_allclose(changed, [expected] * 3)
