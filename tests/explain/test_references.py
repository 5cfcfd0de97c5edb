import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.morphology import disk

from aecompanion.explain.references import KINDS, blur, median, reference
from aecompanion.pipeline.rng import generator


@pytest.fixture
def photos():
    return torch.rand(3, 2, 32, 32, generator=generator(2, 1))


every_kind = pytest.mark.parametrize("kind", KINDS)

# every kind


@every_kind
@pytest.mark.parametrize("strength", [0.01, 0.125, 0.5])
@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (2, 1, 20, 13)])
def test_a_reference_has_the_image_s_shape_and_values_from_0_to_1(kind, strength, shape):
    images = torch.rand(shape, generator=generator(2, 2))
    copy, state = images.clone(), torch.get_rng_state()
    found = reference(images, kind, strength=strength)
    assert (found.shape, found.dtype) == (shape, torch.float32)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    assert torch.equal(images, copy)
    assert torch.equal(torch.get_rng_state(), state)


@every_kind
def test_an_image_has_the_reference_that_it_has_alone(photos, kind):
    every = reference(photos, kind, keys=[5, 6, 7])
    assert torch.allclose(reference(photos[1:2], kind, keys=[6]), every[1:2], rtol=0, atol=1e-6)


def test_blur_and_median_is_the_kind_unless_told_otherwise(photos):
    assert torch.equal(reference(photos), reference(photos, "blur_median", strength=0.125))


# mean


def test_the_mean_of_hand_made_images_is_exact():
    images = torch.tensor(
        [[[[0.0, 1.0], [0.5, 0.5]], [[0.25, 0.25], [0.25, 0.25]]], [[[1.0, 1], [1, 0]], [[0.0, 0], [0, 1]]]]
    )
    found = reference(images, "mean")
    assert found.amin((2, 3)).tolist() == found.amax((2, 3)).tolist() == [[0.5, 0.25], [0.75, 0.25]]


def test_the_mean_may_be_written_to(photos):
    """No view of one value per channel."""
    found = reference(photos, "mean")
    found[0, 0, 0, 0] = 7
    assert (found == 7).sum() == 1


# blur


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_the_blur_of_a_constant_image_is_constant(value):
    images = torch.full((1, 3, 32, 32), value)
    assert torch.allclose(reference(images, "blur"), images, rtol=0, atol=1e-6)


@pytest.mark.parametrize("strength", [0.03, 0.05, 0.08])
def test_the_blur_is_that_of_scipy_in_the_interior(photos, strength):
    sigma, reach = strength * 32, round(3 * strength * 32)
    found = reference(photos, "blur", strength=strength)
    expected = ndimage.gaussian_filter(photos.numpy().astype(float), sigma, radius=reach, axes=(2, 3))
    inside = np.s_[:, :, reach:-reach, reach:-reach]
    assert np.allclose(found.numpy()[inside], expected[inside], rtol=0, atol=1e-6)


@pytest.mark.parametrize("strength", [0.05, 0.125, 0.32])
def test_the_blur_reflects_at_the_border_without_repeating_it(photos, strength):
    """A reflection about the border's pixels ("mirror" in scipy) has one period, whatever the kernel's reach."""
    sigma, reach = strength * 32, min(round(3 * strength * 32), 31)
    expected = ndimage.gaussian_filter(photos.numpy().astype(float), sigma, radius=reach, mode="mirror", axes=(2, 3))
    assert np.allclose(reference(photos, "blur", strength=strength).numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", [9, 32])
def test_the_blur_is_bit_for_bit_torchvision_s(side):
    from torchvision.transforms.functional import gaussian_blur

    images = torch.rand(2, 3, side, side, generator=generator(2, side))
    for sigma, reach in ((0.7, 2), (2.5, 8)):
        rows = gaussian_blur(images, [2 * reach + 1, 1], sigma)
        assert torch.equal(blur(images, sigma, reach), gaussian_blur(rows, [1, 2 * reach + 1], sigma))


def test_a_point_is_blurred_to_the_standard_deviation_asked_for():
    images = torch.zeros(1, 1, 65, 65)
    images[0, 0, 32, 32] = 1
    found = reference(images, "blur", strength=0.08)[0, 0].double()
    across = torch.arange(65).double() - 32
    assert found.sum().item() == pytest.approx(1, abs=1e-5)
    assert (found.sum(0) * across**2).sum().sqrt().item() == pytest.approx(0.08 * 65, rel=0.02)  # cut at 3 σ
    assert (found.sum(1) * across**2).sum().sqrt().item() == pytest.approx(0.08 * 65, rel=0.02)


def test_a_stronger_blur_leaves_less_of_the_image(photos):
    left = [reference(photos, "blur", strength=strength).std().item() for strength in (0.01, 0.05, 0.125, 0.3)]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.05 * photos.std()


# median


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_the_median_is_that_of_scipy_away_from_the_border(photos, radius):
    found = median(photos, radius)
    levels, window = (photos * 255).round().byte().numpy(), disk(radius)
    expected = ndimage.median_filter(levels, footprint=window[None, None])
    inside = np.s_[:, :, radius:-radius, radius:-radius]
    assert np.array_equal((found * 255).round().byte().numpy()[inside], expected[inside])


def test_the_median_removes_a_spot_smaller_than_half_its_disc_and_keeps_an_edge():
    images = torch.zeros(1, 1, 16, 16)
    images[..., 8:] = 1
    spotted = images.clone()
    spotted[0, 0, 4:6, 3] = 1
    assert torch.equal(median(images, 3), images)
    assert torch.equal(median(spotted, 3), images)


def test_blur_and_median_is_the_mean_of_both(photos):
    """The disc's radius is 2.5 standard deviations: 10 px here."""
    found = reference(photos, "blur_median", strength=0.125)
    expected = (reference(photos, "blur", strength=0.125) + median(photos, 10)) / 2
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)


def test_a_weak_median_has_a_disc_of_at_least_one_pixel(photos):
    found = 2 * reference(photos, "blur_median", strength=0.001) - reference(photos, "blur", strength=0.001)
    assert torch.allclose(found, median(photos, 1), rtol=0, atol=1e-6)


# noise


def test_noise_depends_on_the_seed_and_the_key_only(photos):
    found = reference(photos, "noise", seed=1, keys=[4, 9, 4])
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    assert torch.equal(reference(0 * photos[:1], "noise", seed=1, strength=0.5, keys=[9])[0], found[1])
    assert not torch.equal(reference(photos[:1], "noise", seed=2, keys=[9])[0], found[1])
    assert torch.equal(reference(photos, "noise"), reference(photos, "noise", seed=0, keys=[0, 1, 2]))


def test_noise_is_uniform():
    found = reference(torch.zeros(4, 3, 32, 32), "noise")
    counts = torch.histc(found, 10, 0, 1)
    expected = found.numel() / 10
    assert ((counts - expected).abs() < 5 * expected**0.5).all()


# errors


def test_an_unknown_kind_is_an_error(photos):
    expected = "^reference 'black' is unknown, expected one of blur, blur_median, mean, noise$"
    with pytest.raises(ValueError, match=expected):
        reference(photos, "black")


@every_kind
@pytest.mark.parametrize("strength", [0, -0.1, 0.51, 8])
def test_a_strength_out_of_its_range_is_an_error(photos, kind, strength):
    expected = rf"^strength is {strength}, expected a number in \(0, 0\.5\]"
    with pytest.raises(ValueError, match=expected):
        reference(photos, kind, strength=strength)
