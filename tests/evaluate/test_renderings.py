import pytest
import torch

from aecompanion.evaluate.dissimilarity import ssim
from aecompanion.evaluate.renderings import LARGE, overlay, renderings
from aecompanion.explain.gradcam import heatmap
from aecompanion.pipeline.rng import generator

KINDS = ["scalar, input size", "scalar, 224 px", "jet, 224 px", "overlay, 224 px"]


@pytest.fixture
def maps():
    return torch.rand(2, 3, 1, 4, 4, generator=generator(6, 11))


@pytest.fixture
def photographs():
    return torch.rand(2, 3, 1, 16, 16, generator=generator(6, 12))


def column(rows, kind):
    return rows.loc[rows["rendering"] == kind, "ssim"].tolist()


def test_every_pair_is_compared_in_every_rendering(maps, photographs):
    rows = renderings(*maps, photographs)
    assert list(rows.columns) == ["rendering", "position", "ssim"]
    assert rows.groupby("rendering", sort=False)["position"].apply(list).to_dict() == dict.fromkeys(KINDS, [0, 1, 2])


def test_the_numbers_are_the_ssim_of_the_pictures(maps, photographs):
    rows = renderings(*maps, photographs, window=5)
    for kind, size, options in ((KINDS[0], 16, {}), (KINDS[1], LARGE, {}), (KINDS[2], LARGE, {"jet": True})):
        pair = [heatmap(each, size) for each in maps]
        assert column(rows, kind) == pytest.approx(ssim(*pair, window=5, **options).tolist(), abs=1e-6)


def test_the_same_maps_are_alike_in_every_rendering_but_over_different_photographs(maps, photographs):
    rows = renderings(maps[0], maps[0], photographs)
    assert all(column(rows, kind) == pytest.approx([1, 1, 1], abs=1e-5) for kind in KINDS[:3])
    assert max(column(rows, KINDS[3])) < 0.99
    same = renderings(maps[0], maps[0], (photographs[0], photographs[0]))
    assert column(same, KINDS[3]) == pytest.approx([1, 1, 1], abs=1e-5)


def test_enlarging_smooths_so_that_different_maps_look_more_alike(maps, photographs):
    rows = renderings(*maps, photographs).groupby("rendering")["ssim"].mean()
    assert rows["scalar, 224 px"] > rows["scalar, input size"]


def test_the_overlay_is_three_fifths_of_the_colours_and_two_fifths_of_the_photograph():
    coloured = torch.tensor([1.0, 0.5, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
    found = overlay(coloured, torch.full((1, 1, 4, 4), 0.5))
    assert found.shape == (1, 3, 8, 8)
    assert found[0, :, 3, 3].tolist() == pytest.approx([0.8, 0.5, 0.2])
    assert overlay(coloured, torch.zeros(1, 3, 4, 4))[0, :, 0, 0].tolist() == pytest.approx([0.6, 0.3, 0.0])


def test_fewer_photographs_than_maps_are_an_error(maps, photographs):
    expected = r"^\[3, 3\] maps and \[2, 2\] photographs, expected as many of each$"
    with pytest.raises(ValueError, match=expected):
        renderings(*maps, (photographs[0, :2], photographs[1, :2]))
