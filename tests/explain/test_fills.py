import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.restoration import inpaint_biharmonic
from support import mask_of

from aecompanion.explain.fills import FILLS, RING, blurred, replace
from aecompanion.pipeline.rng import generator

EXACT = {"rtol": 0, "atol": 1e-12}  # float64 in another order of summation


def random_masks(seed, count, height, width):
    """Irregular regions of at least one pixel, never the whole image."""
    masks = torch.rand(count, 1, height, width, generator=generator(seed, 1)) < 0.3
    masks[:, :, 0, 0] = True
    masks[:, :, -1, -1] = False
    return masks


@pytest.mark.parametrize(("fill", "value"), [("black", 0.0), ("white", 1.0)])
def test_black_and_white_are_0_and_1(tiny, corner, fill, value):
    found = replace(tiny, corner, fill)
    expected = tiny.clone()
    expected[0, :, :2, :2] = expected[1, :, 3, 3] = value
    assert torch.equal(found, expected)


def test_the_mean_is_that_of_each_image_and_channel(tiny, corner):
    found = replace(tiny, corner, "mean")
    means = [7.5 / 32, 23.5 / 32]  # of 0..15 and of 16..31
    assert found[0, :, :2, :2].flatten(1).tolist() == [[mean] * 4 for mean in means]
    assert found[1, :, 3, 3].tolist() == [1 - mean for mean in means]


def test_the_ring_is_the_mean_of_three_pixels_around_the_region():
    assert RING == 3
    image = torch.ones(1, 1, 11, 11)
    image[..., 2:9, 2:9] = 0.25  # three pixels around the middle, which does not count itself
    image[..., 5, 5] = 0.875
    image[..., 2, 2] = 0.25 + 48 * 0.125  # a corner of the ring belongs to it, and weighs 1/48
    found = replace(image, mask_of(5, 5, size=11), "ring")
    assert found[..., 5, 5].item() == pytest.approx(0.375)


def test_the_ring_at_the_border_is_what_is_there():
    """Around the upper left pixel: the 15 other pixels of a 4×4 image, of which row 0 is 1."""
    image = torch.zeros(1, 1, 6, 6)
    image[..., 0, :] = 1
    image[..., 4:, :] = image[..., 4:] = 9  # too far away
    image[..., 0, 0] = 5  # the region itself
    assert replace(image, mask_of(0, 0, size=6), "ring")[..., 0, 0].item() == pytest.approx(3 / 15)


@pytest.mark.parametrize("seed", range(4))
def test_the_ring_of_an_irregular_region_is_what_a_loop_finds(seed):
    images, masks = torch.rand(3, 2, 9, 7, generator=generator(seed, 2)).double(), random_masks(seed, 3, 9, 7)
    masks[1] = False
    masks[1, 0, 8, 2:4] = True
    found = replace(images, masks, "ring")
    for image, mask, after in zip(images, masks[:, 0], found, strict=True):
        inside = mask.nonzero()
        ring = [
            image[:, row, column]
            for row in range(9)
            for column in range(7)
            if not mask[row, column] and (inside - torch.tensor([row, column])).abs().amax(1).min() <= 3
        ]
        expected = torch.stack(ring).mean(0)
        assert torch.allclose(after[:, mask], expected[:, None].expand(-1, len(inside)), **EXACT)


def test_a_region_that_fills_the_image_gets_the_image_mean_for_want_of_a_ring(tiny, corner):
    corner[0] = True
    found = replace(tiny, corner, "ring")
    assert found[0].flatten(1).tolist() == [[7.5 / 32] * 16, [23.5 / 32] * 16]
    expected = (1 - tiny[1]).flatten(1)[:, [*range(15)]].mean(1)  # the last pixel's ring is the whole image but itself
    assert torch.allclose(1 - found[1, :, 3, 3], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (16, 12), (5, 9), (12, 4), (64, 64), (1, 1)])
def test_the_blur_is_scipys_gaussian_with_mirrored_borders(shape):
    images = torch.rand(2, 2, *shape, generator=generator(2, 9)).double()
    sigma = shape[0] / 8
    reach = min(int(3 * sigma), min(shape) - 1)
    found = replace(images, torch.ones(2, 1, *shape, dtype=torch.bool), "blur")
    expected = gaussian_filter(images.numpy(), sigma, mode="mirror", axes=(2, 3), radius=reach)
    assert abs(found.numpy() - expected).max() < 1e-12
    assert torch.equal(found, blurred(images, sigma))


def test_the_blur_of_an_impulse_is_the_gaussian_and_of_a_constant_the_constant():
    impulse = torch.zeros(1, 1, 17, 17).double()
    impulse[..., 8, 8] = 1
    found = blurred(impulse, 2.0)[0, 0]
    assert (found[8, 10] / found[8, 8]).item() == pytest.approx(math.exp(-(2**2) / (2 * 2.0**2)))
    assert found[8, 15].item() == 0.0  # beyond three sigma
    assert found.sum().item() == pytest.approx(1.0)
    assert torch.allclose(blurred(torch.full((1, 2, 6, 6), 0.7), 0.75), torch.tensor(0.7))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_inpainting_is_scikit_images_image_by_image(channels):
    images = torch.rand(3, channels, 10, 8, generator=generator(2, 10))
    masks = random_masks(5, 3, 10, 8)
    found = replace(images, masks, "inpaint")
    assert found.dtype == images.dtype
    for image, mask, after in zip(images.double().numpy(), masks[:, 0].numpy(), found, strict=True):
        expected = inpaint_biharmonic(np.moveaxis(image, 0, -1), mask, channel_axis=-1).clip(0, 1)
        assert torch.equal(after, torch.from_numpy(np.moveaxis(expected, -1, 0)).float())


def test_inpainting_continues_a_slope():
    slope = torch.linspace(0, 1, 12).double().expand(1, 1, 12, 12)
    found = replace(slope, mask_of(slice(4, 8), slice(4, 8), size=12), "inpaint")
    assert torch.allclose(found, slope, rtol=0, atol=1e-6)


def test_inpainting_without_a_pixel_left_names_the_region(tiny, corner):
    corner[1] = True
    with pytest.raises(ValueError, match="region 1"):
        replace(tiny, corner, "inpaint")


def test_the_counterfactual_gives_the_pixels_of_the_other_image(tiny, corner):
    other = 2 + tiny  # differs everywhere
    found = replace(tiny, corner, other)
    assert torch.equal(found[0, :, :2, :2], other[0, :, :2, :2])
    assert torch.equal(found[1, :, 3, 3], other[1, :, 3, 3])
    assert torch.equal(found != tiny, corner.expand_as(tiny))
    assert torch.equal(replace(tiny, corner, tiny), tiny)


@pytest.mark.parametrize("fill", [*FILLS, "counterfactual"])
def test_pixels_outside_the_region_never_change(fill):
    for seed in range(8):
        count, channels, height, width = (1, 3)[seed % 2], (1, 3)[seed // 2 % 2], 4 + seed, 11 - seed
        images = torch.rand(count, channels, height, width, generator=generator(seed, 3))
        images[0, 0, -1, -1] = seed % 2  # also the ends of the range
        masks, original = random_masks(seed, count, height, width), images.clone()
        filling = torch.rand(images.shape, generator=generator(seed, 4)) if fill == "counterfactual" else fill
        found = replace(images, masks, filling)
        outside = ~masks.expand_as(images)
        assert torch.equal(found[outside], images[outside])
        assert not torch.equal(found, images)
        assert found.min() >= 0
        assert found.max() <= 1
        assert torch.equal(images, original)


@pytest.mark.parametrize("fill", FILLS)
def test_the_fill_of_an_image_does_not_depend_on_its_neighbours(images, masks, fill):
    images = images.double()
    alone = [replace(images[[n]], masks[[n]], fill) for n in range(len(images))]
    assert torch.allclose(replace(images, masks, fill), torch.cat(alone), **EXACT)


def test_an_unknown_fill_is_an_error_that_names_it(tiny, corner):
    with pytest.raises(ValueError, match="fill 'grey' is unknown, expected one of mean, ring, black.* or images"):
        replace(tiny, corner, "grey")
