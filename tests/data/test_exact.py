"""The series against the functions they stand for, the warp against torch's, the draws against torch.randn's."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from aecompanion.data import exact

SAME, TURNED, OUTSIDE = [[1, 0, 0], [0, 1, 0]], [[0.9, -0.3, 0.4], [0.35, 1.1, -0.3]], [[-3, 0, 2], [0, 3, 1]]


def gen(number=0):
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize("most", [0.05, 1.0])
def test_turns_are_cosine_and_sine(most):
    shares = np.linspace(-most, most, 10_001)
    cos, sin = exact.turn(shares)
    np.testing.assert_allclose(cos, np.cos(2 * np.pi * shares), rtol=0, atol=1e-15)
    np.testing.assert_allclose(sin, np.sin(2 * np.pi * shares), rtol=0, atol=1e-15)


@pytest.mark.parametrize(("share", "expected"), [(0, (1, 0)), (0.25, (0, 1)), (0.5, (-1, 0)), (-0.25, (0, -1))])
def test_quarter_turns_are_exact(share, expected):
    assert tuple(float(each) for each in exact.turn(share)) == expected


def test_the_logarithm_is_one_from_the_smallest_draw_to_beyond_one():
    x = np.concatenate([np.logspace(-8, 3, 10_001), 1 - np.arange(1000) * 2.0**-24])
    expected = np.log(x)
    assert (np.abs(exact.logarithm(x) - expected) / np.maximum(1, np.abs(expected))).max() < 1e-15


@pytest.mark.parametrize("shape", [(16,), (64, 64), (3, 32, 32)])
def test_normal_numbers_are_those_of_torch_without_its_rounding(shape):
    found, expected = exact.normal(gen(3), shape), torch.randn(shape, generator=gen(3)).numpy()
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(found, expected)


def test_any_shape_of_normal_numbers_has_mean_0_and_variance_1():
    found = exact.normal(gen(), (7, 11, 301))
    assert found.shape == (7, 11, 301)
    assert abs(found.mean()) < 0.03
    assert abs(found.var() - 1) < 0.05
    assert abs((np.abs(found) < 1).mean() - math.erf(math.sqrt(0.5))) < 0.015


@pytest.mark.parametrize(("cubic", "mode"), [(True, "bicubic"), (False, "bilinear")])
@pytest.mark.parametrize("theta", [SAME, TURNED, OUTSIDE])
def test_a_warp_is_torchs_in_float64(theta, cubic, mode):
    image = np.random.default_rng(0).random((25, 31))
    grid = F.affine_grid(torch.tensor([theta], dtype=torch.float64), [1, 1, 40, 40], align_corners=False)
    pixels = torch.from_numpy(image)[None, None]
    expected = F.grid_sample(pixels, grid, mode=mode, padding_mode="reflection", align_corners=False)[0, 0]
    np.testing.assert_allclose(exact.warp(image, theta, 40, cubic=cubic), expected, rtol=0, atol=1e-12)


def test_indices_are_reflected_at_the_outer_edges():
    assert exact.mirrored(np.arange(-4, 8), 3).tolist() == [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]


@pytest.mark.parametrize(("weights", "count"), [(exact.linear_weights, 2), (exact.cubic_weights, 4)])
def test_weights_add_to_one_and_a_pixel_is_itself(weights, count):
    t = np.linspace(0, 1, 101)
    found = weights(t)
    assert len(found) == count
    np.testing.assert_allclose(sum(found), 1, atol=1e-12)
    assert [float(each[0]) for each in found] == ([1, 0] if count == 2 else [0, 1, 0, 0])
