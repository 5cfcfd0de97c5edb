import pytest
import torch
from torch.nn import functional as F

from aecompanion.explain.mask_loop import shared, total_variation, upsample
from aecompanion.pipeline.rng import generator

CORNERS = torch.tensor([[0.0, 0.5], [1.0, 0.25]])[None, None]


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (1.0, 2 * ((1 + 0.25) / 2 + (0.5 + 0.75) / 2)),
        (2.0, 2 * ((1 + 0.0625) / 2 + (0.25 + 0.5625) / 2)),
        (3.0, 2 * ((1 + 0.015625) / 2 + (0.125 + 0.421875) / 2)),
    ],
)
def test_the_variation_is_the_one_on_paper(power, expected):
    assert total_variation(CORNERS, power).tolist() == [pytest.approx(expected)]
    assert total_variation(torch.cat([CORNERS, torch.ones(1, 1, 2, 2)]), power).tolist() == [pytest.approx(expected), 0]


@pytest.mark.parametrize("side", [4, 8, 64])
def test_the_variation_of_a_contour_does_not_depend_on_the_resolution(side):
    half = torch.zeros(1, 1, side, side)
    half[..., : side // 2] = 1
    assert total_variation(half, 2.0).tolist() == [pytest.approx(side / (side - 1))]
    assert torch.equal(total_variation(half, 2.0), total_variation(half.mT, 2.0))


def test_upsampling_is_bilinear_and_leaves_the_right_size_alone():
    u = torch.rand(2, 1, 3, 3, generator=generator(3, 8))
    assert upsample(u, (3, 3)) is u
    assert torch.equal(upsample(u, (8, 6)), F.interpolate(u, size=(8, 6), mode="bilinear", align_corners=False))


def test_equal_values_share_what_is_asked_of_them():
    ordered = torch.tensor([[0.0, 0.0, 0.5, 1.0, 1.0, 1.0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    asked = torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    expected = torch.tensor([[0.5, 0.5, 1.0, 2 / 3, 2 / 3, 2 / 3], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    assert torch.allclose(shared(asked, ordered), expected)
