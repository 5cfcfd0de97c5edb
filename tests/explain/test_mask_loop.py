import pytest
import torch
from torch.nn import functional as F

from aecompanion.explain.mask_loop import Shown, shared, total_variation, upsample
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
    for size in ((8, 6), (12, 12), (2, 5)):
        expected = F.interpolate(u, size=size, mode="bilinear", align_corners=False)
        assert torch.allclose(upsample(u, size), expected, rtol=0, atol=3e-7)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_what_is_shown_and_its_gradient_are_those_of_single_operations(reverse, shifted, noisy):
    gen = generator(5, 1)
    m = torch.rand(3, 1, 4, 5, generator=gen).requires_grad_()
    images, references = torch.rand(2, 3, 2, 4, 5, generator=gen)
    rows = 3 * (1 + reverse)
    factor, fields = torch.rand(2, rows, 2, 4, 5, generator=gen)
    shifts = [(row, 2 - row) for row in range(rows)] if shifted else None
    masked = references + m * (images - references)
    expected = torch.cat([masked, images + references - masked]) if reverse else masked
    if shifted:
        expected = torch.stack([each.roll(shift, (1, 2)) for each, shift in zip(expected, shifts, strict=True)])
    expected = expected + fields if noisy else expected
    both = images + references if reverse else None
    shown = Shown.apply(m, references, images - references, both, shifts, list(fields) if noisy else None)
    assert torch.equal(shown, expected)
    slow, quick = (torch.autograd.grad((each * factor).sum(), m)[0] for each in (expected, shown))
    assert torch.allclose(quick, slow, rtol=1e-6, atol=1e-7)


def test_equal_values_share_what_is_asked_of_them():
    ordered = torch.tensor([[0.0, 0.0, 0.5, 1.0, 1.0, 1.0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    asked = torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    expected = torch.tensor([[0.5, 0.5, 1.0, 2 / 3, 2 / 3, 2 / 3], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    assert torch.allclose(shared(asked, ordered), expected)
