import numpy as np
import pytest
import torch
from matplotlib import colormaps
from skimage.metrics import structural_similarity
from torch.nn import functional as F

from aecompanion.evaluate import dissimilarity
from aecompanion.evaluate.dissimilarity import mod, nissim, ssim, vid
from aecompanion.pipeline.rng import generator

WANG = {"window": 11, "gaussian": 1.5}
SETTINGS = [{}, {"window": 3}, WANG, {"jet": True}]
C1 = 0.01**2


@pytest.fixture
def pairs():
    """Four pairs of 1×24×28 maps in [0,1], from smooth to noisy and from alike to unrelated."""
    gen = generator(2, 1)
    smooth = F.interpolate(torch.rand(4, 1, 4, 4, generator=gen), size=(24, 28), mode="bilinear").double()
    noise = torch.rand(4, 1, 24, 28, generator=gen).double()
    share = torch.tensor([0.0, 0.1, 0.5, 1.0], dtype=torch.float64).reshape(4, 1, 1, 1)
    return smooth, (1 - share) * smooth.flip(-1) * 0.9 + share * noise


def by_skimage(a, b, **options):
    maps = zip(a[:, 0].numpy(), b[:, 0].numpy(), strict=True)
    return [structural_similarity(x, y, data_range=1, **options) for x, y in maps]


# ---- SSIM against scikit-image


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {"win_size": 7}),
        ({"window": 3}, {"win_size": 3}),
        (WANG, {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}),
    ],
    ids=["uniform-7", "uniform-3", "gaussian"],
)
# float32: a variance is a difference of means near 1, off by some 6e-8, and is divided by about C2 = 9e-4 at worst;
# the error of one window is up to 1e-4, that of the mean over hundreds of windows stays below 1e-5
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)], ids=["f64", "f32"])
def test_ssim_equals_scikit_image(pairs, ours, theirs, dtype, tolerance):
    expected = by_skimage(*pairs, **theirs)
    a, b = (maps.to(dtype) for maps in pairs)
    assert ssim(a, b, **ours).dtype == dtype
    assert np.allclose(ssim(a, b, **ours).numpy(), expected, rtol=0, atol=tolerance)


def test_ssim_of_jet_colours_equals_scikit_image_on_8_bit_pictures(pairs):
    def picture(array):
        return colormaps["jet"](np.rint(array * 255).astype(np.uint8), bytes=True)[..., :3]

    expected = [
        structural_similarity(picture(x), picture(y), data_range=255, channel_axis=-1)
        for x, y in zip(pairs[0][:, 0].numpy(), pairs[1][:, 0].numpy(), strict=True)
    ]
    assert np.allclose(ssim(*pairs, jet=True).numpy(), expected, rtol=0, atol=1e-9)


def test_ssim_with_another_data_range_is_that_of_the_scaled_maps(pairs):
    a, b = pairs
    assert torch.allclose(ssim(255 * a, 255 * b, data_range=255.0), ssim(a, b), rtol=0, atol=1e-9)


def test_ssim_of_several_channels_is_the_mean_over_channels(pairs):
    a, b = (maps.reshape(2, 2, 24, 28) for maps in pairs)
    assert torch.allclose(ssim(a, b), ssim(*pairs).reshape(2, 2).mean(1), rtol=0, atol=1e-12)


# ---- SSIM by its properties


@pytest.mark.parametrize("options", SETTINGS)
def test_identical_maps_have_ssim_1_and_nissim_0(pairs, options):
    for maps in pairs:
        assert torch.allclose(ssim(maps, maps, **options), torch.ones(4).double(), rtol=0, atol=1e-12)
        assert torch.allclose(nissim(maps, maps, **options), torch.zeros(4).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", SETTINGS)
def test_ssim_is_symmetric(pairs, options):
    a, b = pairs
    assert torch.allclose(ssim(a, b, **options), ssim(b, a, **options), rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", SETTINGS)
def test_ssim_lies_between_minus_1_and_1_and_is_negative_for_inverted_noise(pairs, options):
    smooth, mixed = pairs
    values = torch.cat([ssim(a, b, **options) for a, b in [(smooth, mixed), (smooth, 1 - smooth), (mixed, 1 - mixed)]])
    assert values.abs().max() <= 1
    assert values[-1] < 0


@pytest.mark.parametrize("options", [{}, WANG])
def test_a_map_of_zeros_and_a_map_of_ones_have_the_ssim_on_paper(options):
    # means 0 and 1, no variance: C1 · C2 / ((1 + C1) · C2); weights that sum to one up to 1e-16 leave 1e-16 / C2
    a, b = torch.zeros(1, 1, 12, 12).double(), torch.ones(1, 1, 12, 12).double()
    assert ssim(a, b, **options).item() == pytest.approx(C1 / (1 + C1), rel=1e-9)
    assert nissim(a, b, **options).item() == pytest.approx(0.5 / (1 + C1), rel=1e-9)


def test_a_single_window_of_a_checkerboard_and_its_inverse_has_the_ssim_on_paper():
    board = (torch.arange(9) % 2).double().reshape(1, 1, 3, 3)  # four ones: means 4/9 and 5/9, sample variance 5/18
    c2 = 0.03**2
    luminance = (2 * 20 / 81 + C1) / (41 / 81 + C1)
    expected = luminance * (-5 / 9 + c2) / (5 / 9 + c2)
    assert ssim(board, 1 - board, window=3).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("chunk", [1, 3 * 24 * 28])
def test_chunking_does_not_change_the_result(pairs, monkeypatch, options, chunk):
    expected = ssim(*pairs, **options)
    monkeypatch.setattr(dissimilarity, "CHUNK", chunk)
    assert torch.allclose(ssim(*pairs, **options), expected, rtol=0, atol=1e-12)


def test_the_callers_maps_are_unchanged(pairs):
    originals = [maps.clone() for maps in pairs]
    ssim(*pairs)
    assert all(torch.equal(maps, original) for maps, original in zip(pairs, originals, strict=True))


# ---- bad input


def test_maps_of_different_shapes_are_an_error_that_shows_both():
    with pytest.raises(ValueError, match=r"\(1, 1, 8, 8\) and \(1, 1, 8, 9\)"):
        ssim(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 9))


@pytest.mark.parametrize("window", [6, 9, 11])
def test_an_even_or_too_large_window_is_an_error_that_shows_it(window):
    with pytest.raises(ValueError, match=f"window is {window}, expected an odd number up to the map's side 8"):
        ssim(torch.zeros(1, 1, 8, 12), torch.zeros(1, 1, 8, 12), window=window)


# ---- MOD and VID


@pytest.fixture
def values():
    """NISSIM of two images at three levels."""
    return np.array([[0.0, 0.2, 0.4], [0.2, 0.2, 0.8]])


def test_mod_is_the_mean_over_images(values):
    assert mod(values) == pytest.approx([0.1, 0.2, 0.6])
    assert mod(values, axis=1) == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ("mod", 0.21602468994692867),  # sqrt(0.14 / 3) of 0.1, 0.2, 0.6
        ("image", 0.22307101433008211),  # mean of sqrt(0.08 / 3) and sqrt(0.24 / 3)
        ("spread", [0.1, 0.0, 0.2]),
    ],
)
def test_vid_by_hand_in_every_reading(values, reading, expected):
    assert vid(values, reading) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_vid_follows_the_literal_formula_unless_told_otherwise(values):
    assert vid(values) == vid(values, "mod")


@pytest.mark.parametrize("reading", ["mod", "image"])
def test_vid_of_a_single_level_is_zero(values, reading):
    assert vid(values[:, :1], reading) == 0


@pytest.mark.parametrize("reading", ["mod", "image", "spread"])
def test_vid_is_never_negative_and_zero_for_a_constant(reading):
    assert np.all(vid(np.random.default_rng(0).normal(size=(6, 4)), reading) > 0)
    assert np.all(vid(np.full((6, 4), 0.25), reading) == 0)


def test_an_unknown_reading_is_an_error_that_names_it(values):
    with pytest.raises(ValueError, match="'variance' is unknown"):
        vid(values, "variance")
