import math

import pytest
import torch
from scipy import stats
from skimage.feature import hog

from aecompanion.evaluate.dissimilarity import ssim
from aecompanion.pipeline.rng import generator
from aecompanion.sanity.likeness import (
    complexity,
    constant,
    hog_similarity,
    neighbours,
    rise,
    scaled,
    similarity,
    smoothed,
    spearman,
)

SIZE = 16
MEASURES = ["spearman", "ssim", "hog"]


# ---- similarity of maps


def test_a_map_is_like_itself_in_every_measure_and_on_any_scale():
    maps = torch.rand(4, 1, SIZE, SIZE, generator=generator(3, 1))
    for other in (maps, 5 * maps + 2):
        found = similarity(maps, other, [7, 8, 9, 10], way="x")
        assert found[MEASURES].to_numpy() == pytest.approx(1.0, abs=1e-4)
        assert (found["position"].tolist(), set(found["way"])) == ([7, 8, 9, 10], {"x"})
        assert not found["undefined"].any()


def test_ssim_is_of_the_maps_scaled_to_0_1():
    a, b = 3 * torch.rand(2, 2, 1, SIZE, SIZE, generator=generator(3, 2)) - 1
    expected = ssim(scaled(a), scaled(b))
    assert similarity(a, b, range(2))["ssim"].tolist() == pytest.approx(expected.tolist())
    assert similarity(a, b, range(2))["spearman"].tolist() == pytest.approx(spearman(a, b).tolist())


def test_where_either_map_is_constant_the_correlations_are_0_and_the_row_is_undefined():
    a = torch.rand(3, 1, SIZE, SIZE, generator=generator(3, 3))
    b = a.clone()
    a[0], b[1] = 0.3, 0.0
    found = similarity(a, b, range(3))
    assert found["undefined"].tolist() == [True, True, False]
    assert found.loc[:1, ["spearman", "hog"]].to_numpy().tolist() == [[0, 0], [0, 0]]
    zero = torch.zeros(1, 1, SIZE, SIZE)
    assert found["ssim"][0] == pytest.approx(ssim(zero, scaled(b[:1])).item())


def test_constant_is_up_to_rounding_and_relative_and_not_finite_counts():
    maps = torch.full((6, 1, 4, 4), 0.3)
    maps[1, 0, 0, 0] += 1e-7  # the rounding of an interpolation
    maps[2] = 1e-12 * torch.rand(1, 4, 4, generator=generator(3, 4))  # small, but not constant
    maps[3, 0, 1, 1] = torch.nan
    maps[4, 0, 1, 1] = torch.inf
    maps[5] = 0
    assert constant(maps).tolist() == [True, True, False, True, True, True]


def test_maps_are_scaled_by_their_own_minimum_and_maximum():
    maps = torch.tensor([[0.0, 2.0, 4.0], [-1.0, 0.0, 1.0], [7.0, 7.0, 7.0], [0.0, torch.nan, 1.0]]).reshape(4, 1, 1, 3)
    expected = [[0, 0.5, 1], [0, 0.5, 1], [0, 0, 0], [0, 0, 0]]
    assert scaled(maps).reshape(4, 3).tolist() == expected


@pytest.mark.parametrize("cell", [4, 8])
def test_the_hog_similarity_is_the_rank_correlation_of_the_descriptors(cell):
    a, b = torch.rand(2, 3, 1, SIZE, SIZE, generator=generator(3, 5))
    options = {"orientations": 9, "pixels_per_cell": (cell, cell), "cells_per_block": (1, 1)}
    expected = [
        stats.spearmanr(hog(x[0].numpy(), **options), hog(y[0].numpy(), **options)).statistic
        for x, y in zip(a, b, strict=True)
    ]
    assert hog_similarity(a, b, cell=cell).tolist() == pytest.approx(expected, abs=1e-6)


def test_the_hog_similarity_sees_edges_and_not_brightness():
    maps = torch.rand(2, 1, SIZE, SIZE, generator=generator(3, 6))
    assert hog_similarity(maps, 0.5 * maps + 0.3).tolist() == pytest.approx([1, 1], abs=0.01)
    assert (hog_similarity(maps, maps.rot90(1, (2, 3))) < 0.5).all()


def test_maps_smaller_than_a_cell_are_refused():
    maps = torch.zeros(1, 1, 7, 16)
    with pytest.raises(ValueError, match="7×16, expected at least one HOG cell of 8 px"):
        hog_similarity(maps, maps)


def test_the_neighbour_is_the_next_pair_of_a_different_image():
    images = torch.tensor([0.0, 0.0, 1.0, 0.0]).reshape(4, 1, 1, 1).expand(4, 1, 2, 2)
    assert neighbours(images) == ([0, 1, 2, 3], [2, 2, 3, 2])
    assert neighbours(images[:2]) == ([], [])
    assert neighbours(images[:1]) == ([], [])


# ---- complexity (eMPRT)


def maps_of(*rows):
    """One 1×1×n map per row."""
    return torch.tensor(rows)[:, None, None]


def test_the_complexity_is_the_entropy_of_the_histogram_in_nats():
    maps = maps_of([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 2.0, 3.0], [5.0, 5.0, 5.0, 5.0])
    quarter = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert complexity(maps).tolist() == pytest.approx([math.log(2), quarter, math.log(4), 0.0])
    assert complexity(7 * maps[:3] + 2).tolist() == pytest.approx(complexity(maps[:3]).tolist())  # of any scale


def test_values_of_one_bin_count_together_and_the_largest_belongs_to_the_last():
    maps = maps_of([0.0, 0.12, 0.95, 1.0])
    assert complexity(maps, bins=2).item() == pytest.approx(math.log(2))
    assert complexity(maps, bins=10).item() == pytest.approx(1.5 * math.log(2))  # 0.95 and 1 are one bin
    even = torch.linspace(0, 1, 1000).reshape(1, 1, 10, 100)
    assert complexity(even).item() == pytest.approx(math.log(100), abs=1e-3)


def test_the_rise_is_relative_to_the_intact_map():
    two, four, flat = maps_of([0.0, 0.0, 1.0, 1.0]), maps_of([0.0, 1.0, 2.0, 3.0]), maps_of([1.0, 1.0, 1.0, 1.0])
    assert rise(two, four).item() == pytest.approx(1.0)  # from ln 2 to ln 4
    assert rise(four, two).item() == pytest.approx(-0.5)
    assert rise(two, two).item() == 0.0
    assert rise(two, flat).item() == -1.0
    assert math.isnan(rise(flat, two).item())


# ---- smoothed maps (sMPRT)


def test_a_smoothed_map_is_the_mean_of_the_maps_of_noisy_inputs():
    images = torch.rand(2, 1, 4, 4, generator=generator(3, 7))
    options = {"copies": 3, "spread": 0.5, "seed": 8, "keys": [4, 9]}
    noise = torch.stack(
        [torch.stack([torch.randn(1, 4, 4, generator=generator(8, key, k)) for key in (4, 9)]) for k in range(3)]
    )
    found = smoothed(torch.square, images, **options)
    assert torch.allclose(found, (images + 0.5 * noise).square().mean(0))
    assert torch.equal(smoothed(torch.square, images[1:], **options | {"keys": [9]}), found[1:])  # of any batch


def test_without_spread_or_for_a_map_that_ignores_its_input_nothing_changes():
    images = torch.rand(2, 1, 4, 4, generator=generator(3, 8))
    assert torch.allclose(smoothed(lambda x: x, images, copies=2, spread=0.0, seed=0), images)
    assert torch.equal(smoothed(torch.ones_like, images, copies=2, spread=1.0, seed=0), torch.ones_like(images))


def test_no_copy_is_refused():
    with pytest.raises(ValueError, match="copies is 0, expected at least 1"):
        smoothed(lambda x: x, torch.zeros(1, 1, 2, 2), copies=0, spread=0.1, seed=0)
