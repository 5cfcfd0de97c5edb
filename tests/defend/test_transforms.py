import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import median_filter
from skimage.restoration import denoise_tv_chambolle

from aecompanion.defend.transforms import bit_depth, jpeg, median, total_variation
from aecompanion.pipeline.rng import generator

TRANSFORMS = (jpeg, bit_depth, total_variation, median)
every_transform = pytest.mark.parametrize("transform", TRANSFORMS)


@pytest.fixture
def colour():
    """Five RGB images with something at every scale: a ramp, a square and noise."""
    noise = 0.3 * torch.rand(5, 3, 20, 24, generator=generator(6, 1))
    images = noise + torch.linspace(0, 0.4, 24)
    images[:, :, 5:12, 6:15] += 0.3
    return images


# ---- JPEG


@pytest.mark.parametrize("quality", [1, 10, 75, 95])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(colour, channels, quality):
    images = colour[:, :channels]
    found = jpeg(images, quality=quality)
    for image, ours in zip(images, found, strict=True):
        pixels = (image * 255).round().to(torch.uint8).numpy()
        buffer = io.BytesIO()
        Image.fromarray(pixels[0] if channels == 1 else np.moveaxis(pixels, 0, 2)).save(
            buffer, format="JPEG", quality=quality
        )
        decoded = torch.from_numpy(np.array(Image.open(buffer))).reshape(20, 24, channels)
        assert torch.equal(ours, decoded.permute(2, 0, 1).float() / 255)


def test_jpeg_has_quality_75_unless_told_otherwise(colour):
    assert torch.equal(jpeg(colour), jpeg(colour, quality=75))
    assert not torch.equal(jpeg(colour), jpeg(colour, quality=74))


def test_jpeg_rounds_to_8_bits_first(colour):
    stored = (colour * 255).round() / 255
    assert torch.equal(jpeg(stored + 0.4 / 255 * (1 - 2 * stored)), jpeg(stored))


def test_a_lower_quality_is_farther_from_the_image(colour):
    errors = [(jpeg(colour, quality=quality) - colour).square().mean().item() for quality in (95, 75, 30, 5)]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1] / 2


@pytest.mark.parametrize("quality", [0, -1, 96, 100])
def test_a_jpeg_quality_that_pillow_advises_against_is_an_error(colour, quality):
    with pytest.raises(ValueError, match=f"quality is {quality}, expected 1 to 95"):
        jpeg(colour, quality=quality)


@pytest.mark.parametrize("channels", [2, 4])
def test_jpeg_of_neither_grey_nor_rgb_is_an_error(channels):
    with pytest.raises(ValueError, match=f"images have {channels} channels, expected 1 .* or 3"):
        jpeg(torch.zeros(1, channels, 8, 8))


# ---- bit depth


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bit_depth_gives_exactly_the_levels_of_its_bits_with_0_and_1_among_them(bits, dtype):
    images = torch.linspace(0, 1, 3000, dtype=dtype).reshape(1, 1, 50, 60)
    found = bit_depth(images, bits=bits)
    assert torch.equal(found.unique(), torch.arange(2**bits, dtype=dtype) / (2**bits - 1))
    assert (found.flatten()[0], found.flatten()[-1]) == (0, 1)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (1, [0, 0, 0, 1, 1, 1]),
        (2, [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1]),  # the borders lie at 1/6, 1/2, 5/6
        (3, [0, 1 / 7, 3 / 7, 4 / 7, 6 / 7, 1]),  # at 1/14, 3/14, 5/14, 7/14, 9/14, 11/14, 13/14
    ],
)
def test_bit_depth_by_hand(bits, expected):
    images = torch.tensor([0.05, 0.2, 0.49, 0.51, 0.8, 0.95], dtype=torch.float64).reshape(1, 1, 2, 3)
    assert bit_depth(images, bits=bits).flatten().tolist() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("bits", [1, 3, 8, 16])
def test_bit_depth_takes_the_nearest_level_and_keeps_levels(colour, bits):
    images = colour.double()
    found = bit_depth(images, bits=bits)
    assert (found - images).abs().max() <= 0.5 / (2**bits - 1) + 1e-15
    assert torch.equal(bit_depth(found, bits=bits), found)


def test_the_bit_depth_is_3_unless_told_otherwise(colour):
    assert torch.equal(bit_depth(colour), bit_depth(colour, bits=3))


@pytest.mark.parametrize("bits", [0, -1, 17])
def test_a_bit_depth_outside_1_to_16_is_an_error(colour, bits):
    with pytest.raises(ValueError, match=f"bits is {bits}, expected 1 to 16"):
        bit_depth(colour, bits=bits)


# ---- total variation


@pytest.mark.parametrize("weight", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_total_variation_is_scikit_images_on_every_channel_by_itself(colour, weight, dtype):
    images = colour.to(dtype)
    found = total_variation(images, weight=weight)
    for image, ours in zip(images, found, strict=True):
        for channel, plane in zip(image, ours, strict=True):
            expected = denoise_tv_chambolle(channel.double().numpy(), weight=weight)
            assert torch.allclose(plane, torch.from_numpy(expected).to(dtype), rtol=0, atol=1e-12)


def test_total_variation_lowers_a_step_by_what_its_objective_says():
    # |u - x|^2 / 2 + w TV of two flat halves, n columns wide each, is smallest where both have moved by w / n
    images = torch.zeros(1, 1, 6, 8, dtype=torch.float64)
    images[..., 4:] = 1
    found = total_variation(images, weight=0.2)
    assert found[..., :4].mean().item() == pytest.approx(0.05, abs=0.01)
    assert found[..., 4:].mean().item() == pytest.approx(0.95, abs=0.01)


def test_total_variation_has_weight_a_tenth_unless_told_otherwise(colour):
    assert torch.equal(total_variation(colour), total_variation(colour, weight=0.1))


@pytest.mark.parametrize("weight", [0, -0.1, float("nan")])
def test_a_weight_that_is_not_positive_is_an_error(colour, weight):
    with pytest.raises(ValueError, match=f"weight is {weight}, expected a number > 0"):
        total_variation(colour, weight=weight)


# ---- median


@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_median_is_scipys_with_the_border_pixel_not_repeated(colour, size, dtype):
    images = colour.to(dtype)
    expected = median_filter(images.numpy(), size=(1, 1, size, size), mode="mirror")
    assert torch.equal(median(images, size=size), torch.from_numpy(expected))


def test_a_median_removes_a_speck_and_keeps_an_edge():
    clean = torch.zeros(1, 1, 5, 6)
    clean[..., 3:] = 0.75
    speck = clean.clone()
    speck[0, 0, 2, 1] = 1
    assert torch.equal(median(speck), clean)


@pytest.mark.parametrize("size", [0, -1, 2, 4])
def test_a_median_over_an_even_size_is_an_error(colour, size):
    with pytest.raises(ValueError, match=f"size is {size}, expected an odd number"):
        median(colour, size=size)


# ---- all of them


@every_transform
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 1, 9, 11), (1, 3, 16, 8)], ids=str)
def test_shape_and_dtype_are_kept_and_values_stay_in_the_unit_interval(transform, dtype, shape):
    images = torch.rand(shape, generator=generator(6, 2), dtype=dtype).round(decimals=1)
    found = transform(images)
    assert found.shape == shape
    assert found.dtype == dtype
    assert found.min() >= 0
    assert found.max() <= 1


@every_transform
def test_an_image_is_transformed_alone_as_in_a_batch(transform, colour):
    alone = torch.cat([transform(image[None]) for image in colour])
    assert torch.equal(transform(colour), alone)


@pytest.mark.parametrize("transform", [bit_depth, total_variation, median])
def test_a_channel_is_transformed_as_if_it_were_alone(transform, colour):
    alone = torch.cat([transform(colour[:, c : c + 1]) for c in range(3)], dim=1)
    assert torch.equal(transform(colour), alone)


@every_transform
@pytest.mark.parametrize("value", [0, 1])
def test_black_stays_black_and_white_stays_white(transform, value):
    images = torch.full((1, 1, 16, 16), float(value))
    assert torch.equal(transform(images), images)


@every_transform
def test_images_that_are_not_contiguous_are_the_same_images(transform, colour):
    strided = colour.to(memory_format=torch.channels_last)
    assert torch.equal(transform(strided), transform(colour))


@every_transform
@pytest.mark.parametrize("requires_grad", [False, True])
def test_the_callers_images_are_left_alone(transform, colour, requires_grad):
    before = colour.clone()
    colour.requires_grad_(requires_grad)
    found = transform(colour)
    assert not found.requires_grad
    found.zero_()  # nor does the result share their memory
    assert torch.equal(colour, before)
    assert colour.requires_grad == requires_grad


@every_transform
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_images_that_are_not_floating_point_are_an_error(transform, dtype):
    with pytest.raises(TypeError, match=f"images are {dtype}, expected floating point"):
        transform(torch.zeros(1, 1, 8, 8, dtype=dtype))


@every_transform
@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 1, 1, 8, 8)], ids=str)
def test_images_of_another_shape_are_an_error(transform, shape):
    with pytest.raises(ValueError, match="images have shape .*, expected N×C×H×W"):
        transform(torch.zeros(shape))


@every_transform
@pytest.mark.parametrize(
    ("pixel", "shown"), [(-0.5, r"\[-0.5, "), (1.5, r", 1.5\]"), (255.0, r", 255\]"), (float("nan"), r"\[nan, nan\]")]
)
def test_values_outside_the_unit_interval_are_an_error_that_shows_their_range(transform, colour, pixel, shown):
    colour[4, 1, 3, 2] = pixel
    with pytest.raises(ValueError, match=f"images span .*{shown}.*expected"):
        transform(colour)
