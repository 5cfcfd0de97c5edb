import itertools
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from aecompanion.defend.diffusion import KERNELS
from aecompanion.defend.halftone import METHODS, bayer, bayer_threshold, halftone, random_threshold, reference
from aecompanion.pipeline.rng import generator

diffusion = pytest.mark.parametrize("method", KERNELS)
every_method = pytest.mark.parametrize("method", METHODS)
path = pytest.mark.parametrize("serpentine", [False, True], ids=["raster", "serpentine"])


def grey(rows) -> torch.Tensor:
    """1×1×H×W float64 of rows of numbers."""
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def dots_of(image, **options) -> list[list[int]]:
    return halftone(image, **options)[0, 0].int().tolist()


def eight_bit(*shape, seed: int = 0, levels: int = 255) -> torch.Tensor:
    return torch.randint(0, levels + 1, shape, generator=generator(5, seed)) / levels


# ---- by hand

RAMP = grey([[(35 + 4 * y + x) / 63 for x in range(4)] for y in range(4)])
# Floyd-Steinberg, raster, first row: 35/63 = 0.556 -> 1, e = -0.444; 36/63 - 0.444 * 7/16 = 0.377 -> 0, e = 0.377;
# 37/63 + 0.377 * 7/16 = 0.752 -> 1, e = -0.248; 38/63 - 0.248 * 7/16 = 0.495 -> 0, e = 0.495
RAMP_DOTS = {
    ("floyd_steinberg", False): [[1, 0, 1, 0], [1, 0, 1, 1], [1, 1, 1, 0], [1, 0, 1, 1]],
    ("floyd_steinberg", True): [[1, 0, 1, 0], [0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1]],
    ("jarvis", False): [[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1]],
    ("jarvis", True): [[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]],
    ("stucki", False): [[1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0], [1, 0, 1, 1]],
    ("stucki", True): [[1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1], [1, 0, 1, 1]],
    ("atkinson", False): [[1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1], [1, 0, 1, 1]],
    ("atkinson", True): [[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 0], [0, 1, 1, 1]],
}


@path
@diffusion
def test_error_diffusion_of_a_ramp_by_hand(method, serpentine):
    assert dots_of(RAMP, method=method, serpentine=serpentine) == RAMP_DOTS[method, serpentine]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        # k/15 > 1/8, 5/8 in even rows and 7/8, 3/8 in odd ones
        (2, [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 1, 1], [0, 1, 1, 1]]),
        # 16k/15 > B + 1/2: the second row 4.27, 5.33, 6.4, 7.47 against 12.5, 4.5, 14.5, 6.5
        (4, [[0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 1, 1], [0, 1, 1, 1]]),
    ],
)
def test_ordered_dither_of_a_ramp_by_hand(order, expected):
    ramp = grey([[(4 * y + x) / 15 for x in range(4)] for y in range(4)])
    assert dots_of(ramp, method="bayer", order=order) == expected


def test_floyd_steinberg_is_the_default_in_raster_order():
    assert dots_of(RAMP) == RAMP_DOTS["floyd_steinberg", False]


def test_every_other_row_of_a_serpentine_runs_from_right_to_left_with_the_kernel_mirrored():
    image = grey([[0.75, 0.75], [0.75, 0.75], [0.5, 0.75]])
    # (0,0) 0.75 -> 1, e = -0.25      (0,1) 0.75 - 0.25 * 7/16 = 0.641 -> 1, e = -0.359
    # (1,1) 0.75 - 0.359 * 5/16 - 0.25 * 1/16 = 0.622 -> 1, e = -0.378
    # (1,0) 0.75 - 0.359 * 3/16 - 0.25 * 5/16 - 0.378 * 7/16 = 0.439 -> 0, e = 0.439
    # the errors of row 0 went 3/16 to the left and 1/16 to the right, those of row 1, mirrored, go 3/16 to the right:
    # (2,0) 0.5 + 0.439 * 5/16 - 0.378 * 1/16 = 0.614 -> 1, e = -0.386
    # (2,1) 0.75 + 0.439 * 3/16 - 0.378 * 5/16 - 0.386 * 7/16 = 0.545 -> 1
    assert dots_of(image, serpentine=True) == [[1, 1], [0, 1], [1, 1]]
    # in raster order (1,0) 0.75 - 0.25 * 5/16 - 0.359 * 3/16 = 0.604 -> 1, (1,1) 0.449 -> 0, (2,0) 0.461 -> 0
    assert dots_of(image) == [[1, 1], [1, 0], [0, 1]]


LINES = {  # a flat 0.6, eight pixels in a row and in a column; the error that leaves at the sides is dropped
    "floyd_steinberg": ([1, 0, 1, 1, 0, 1, 0, 1], [1, 0, 1, 1, 0, 1, 1, 0]),  # 7/16 right: .6 .425 .786 .506 .384
    "jarvis": ([1, 1, 0, 1, 1, 1, 0, 1],) * 2,  # 7/48 to the next, 5/48 to the one after, in both directions
    "stucki": ([1, 1, 0, 1, 1, 0, 1, 1],) * 2,  # 8/42, 4/42: .6 .524 .471 .644
    "atkinson": ([1, 1, 0, 1, 1, 1, 0, 1],) * 2,  # 1/8, 1/8: .6 .55 .494 .605
}


@path
@pytest.mark.parametrize("method", LINES)
def test_a_single_row_or_column_drops_the_error_that_leaves_at_its_sides(method, serpentine):
    row, column = LINES[method]
    flat = torch.full((1, 1, 1, 8), 0.6, dtype=torch.float64)
    assert dots_of(flat, method=method, serpentine=serpentine) == [row]
    assert halftone(flat.mT, method=method, serpentine=serpentine).flatten().int().tolist() == column


def test_error_does_not_wrap_around_to_the_next_row():
    image = grey([[0.0, 0.0, 0.4], [0.45, 0.0, 0.0]])
    assert dots_of(image) == [[0, 0, 0], [0, 0, 0]]  # 0.45 + 0.4 * 7/16, wrapped around, would be a dot


@every_method
@path
@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_black_image_has_no_dot_and_a_white_one_all(method, serpentine, value, dtype):
    serpentine = serpentine and method != "bayer"
    image = torch.full((2, 3, 9, 5), float(value), dtype=dtype)
    assert torch.equal(halftone(image, method=method, serpentine=serpentine), image.float())


@diffusion
def test_a_tie_is_white_in_error_diffusion(method):
    below = 0.5 - 2**-24
    images = torch.tensor([0.5, below]).reshape(2, 1, 1, 1)
    assert halftone(images, method=method).flatten().tolist() == [1, 0]
    thresholds = torch.tensor([0.5, 0.5], dtype=torch.float64).reshape(2, 1, 1, 1)
    assert halftone(images, method=method, threshold=thresholds).flatten().tolist() == [1, 0]
    assert halftone(images, method=method, threshold=below).flatten().tolist() == [1, 1]


def test_a_tie_that_diffused_error_makes_is_white():
    tie = 0.5 - 0.25 * 7 / 16  # exact in binary
    assert dots_of(grey([[0.25, tie]])) == [[0, 1]]
    assert dots_of(grey([[0.25, tie - 2**-40]])) == [[0, 0]]


def test_a_tie_is_black_in_ordered_dither():
    threshold = bayer_threshold((4, 4), 4)
    assert halftone(threshold[None, None], method="bayer", order=4).sum() == 0
    assert halftone(threshold[None, None] + 2**-40, method="bayer", order=4).sum() == 16


# ---- the Bayer matrix


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (1, [[0]]),
        (2, [[0, 2], [3, 1]]),
        (4, [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]),
    ],
)
def test_the_bayer_matrix_is_that_of_the_literature(order, expected):
    assert bayer(order).tolist() == expected


@pytest.mark.parametrize("order", [1, 2, 4, 8, 16])
def test_a_flat_image_of_level_k_has_k_dots_in_every_tile_of_the_bayer_matrix(order):
    levels = torch.arange(order**2 + 1, dtype=torch.float64)
    flat = (levels / order**2).reshape(-1, 1, 1, 1).expand(-1, 1, 2 * order, 2 * order)
    dots = halftone(flat, method="bayer", order=order)
    tiles = dots.unfold(2, order, order).unfold(3, order, order)
    assert torch.equal(tiles.sum((-1, -2)).double(), levels.reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2))


def test_the_bayer_threshold_is_tiled_and_cut_to_the_image():
    tiled = bayer_threshold((3, 5), 2)
    assert (tiled * 8).tolist() == [[1, 5, 1, 5, 1], [7, 3, 7, 3, 7], [1, 5, 1, 5, 1]]


def test_the_bayer_matrix_has_side_8_unless_told_otherwise():
    image = eight_bit(1, 1, 12, 12)
    default, told, smaller = (halftone(image, method="bayer", **o) for o in ({}, {"order": 8}, {"order": 4}))
    assert torch.equal(default, told)
    assert not torch.equal(default, smaller)


# ---- against an independent form: exact fractions, error pushed forward instead of gathered

FORWARD = {  # divisor and (rows down, columns on, weight)
    "floyd_steinberg": (16, [(0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)]),
    "jarvis": (
        48,
        [(0, 1, 7), (0, 2, 5)]
        + [(1, -2, 3), (1, -1, 5), (1, 0, 7), (1, 1, 5), (1, 2, 3)]
        + [(2, -2, 1), (2, -1, 3), (2, 0, 5), (2, 1, 3), (2, 2, 1)],
    ),
    "stucki": (
        42,
        [(0, 1, 8), (0, 2, 4)]
        + [(1, -2, 2), (1, -1, 4), (1, 0, 8), (1, 1, 4), (1, 2, 2)]
        + [(2, -2, 1), (2, -1, 2), (2, 0, 4), (2, 1, 2), (2, 2, 1)],
    ),
    "atkinson": (8, [(0, 1, 1), (0, 2, 1), (1, -1, 1), (1, 0, 1), (1, 1, 1), (2, 0, 1)]),
}


def scatter(image: np.ndarray, method: str, *, serpentine: bool, threshold: np.ndarray) -> tuple[np.ndarray, float]:
    """Dots and the smallest distance of a pixel to its threshold."""
    height, width = image.shape
    divisor, targets = FORWARD[method]
    value = [[Fraction(float(a)) for a in row] for row in image]
    dots, closest = np.zeros(image.shape), Fraction(1)
    for y in range(height):
        step = -1 if serpentine and y % 2 else 1
        for x in range(width)[::step]:
            distance = value[y][x] - Fraction(float(threshold[y, x]))
            closest, dots[y, x] = min(closest, abs(distance)), distance >= 0
            error = value[y][x] - int(dots[y, x])
            for down, on, weight in targets:
                if y + down < height and 0 <= x + step * on < width:
                    value[y + down][x + step * on] += error * Fraction(weight, divisor)
    return dots, float(closest)


@path
@pytest.mark.parametrize("noise", [0.0, 0.2])
@diffusion
def test_the_dots_are_those_of_exact_fractions_pushed_forward(method, noise, serpentine):
    images = eight_bit(3, 1, 11, 9)
    thresholds = random_threshold(images.shape, noise=noise, seed=1, indices=range(3))
    found = halftone(images, method=method, serpentine=serpentine, threshold=thresholds)
    for i in range(3):
        expected, closest = scatter(
            images[i, 0].numpy(), method, serpentine=serpentine, threshold=thresholds[i, 0].numpy()
        )
        assert closest > 1e-9  # else rounding may decide; it is 1e-15
        assert found[i, 0].tolist() == expected.tolist()


# ---- one definition, three implementations


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_dots_on_the_device(photographs):
    images = torch.from_numpy(photographs)[:, None] / 255
    for method, serpentine in itertools.product(KERNELS, [False, True]):
        dots = halftone(images.cuda(), method=method, serpentine=serpentine)
        assert dots.is_cuda
        assert torch.equal(dots.cpu(), halftone(images, method=method, serpentine=serpentine))


def test_where_no_folder_can_be_written_it_compiles_without_a_cache(tmp_path):
    (tmp_path / "looped.py").write_text(
        "from aecompanion.defend.diffusion import njit\n\n\n@njit\ndef twice(x):\n    return 2 * x\n"
    )
    (tmp_path / "__pycache__").touch()  # a file where numba would make its folder
    environment = os.environ | dict.fromkeys(("HOME", "XDG_CACHE_HOME"), "/proc/none")
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "NUMBA_CACHE_DIR": ""}
    code = "from looped import twice; print(twice(21), type(twice._cache).__name__)"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.stdout.split() == ["42", "NullCache"], run.stderr


# ---- images, channels, batches


@path
@every_method
def test_a_channel_of_a_colour_image_is_halftoned_as_if_it_were_alone(method, serpentine):
    serpentine = serpentine and method != "bayer"
    images = eight_bit(3, 3, 9, 10)
    together = halftone(images, method=method, serpentine=serpentine)
    for channel in range(3):
        alone = halftone(images[:, channel : channel + 1], method=method, serpentine=serpentine)
        assert torch.equal(together[:, channel : channel + 1], alone)


@every_method
def test_an_image_gets_the_same_dots_alone_as_in_a_batch(method):
    images = eight_bit(10, 2, 7, 6)
    together = halftone(images, method=method)
    assert torch.equal(together, torch.cat([halftone(image[None], method=method) for image in images]))
    assert torch.equal(together.flip(0), halftone(images.flip(0), method=method))


@diffusion
def test_each_image_and_channel_has_its_own_thresholds(method):
    images = eight_bit(9, 3, 6, 5)
    thresholds = random_threshold(images.shape, noise=0.4, seed=0, indices=range(9))
    together = halftone(images, method=method, threshold=thresholds)
    for i, channel in [(0, 0), (4, 2), (8, 1)]:
        alone = reference(images[i, channel].double().numpy(), KERNELS[method], threshold=thresholds[i, channel])
        assert together[i, channel].tolist() == alone.tolist()


@every_method
def test_float32_and_float64_give_the_same_dots_where_both_are_exact(method):
    images = eight_bit(2, 1, 16, 16, levels=64)
    single, double = (halftone(images.to(dtype), method=method) for dtype in (torch.float32, torch.float64))
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert torch.equal(single.double(), double)
    assert set(single.unique().tolist()) == {0, 1}


@every_method
def test_images_that_are_not_contiguous_are_the_same_images(method):
    images = eight_bit(3, 2, 8, 6)
    expected = halftone(images, method=method)
    assert torch.equal(halftone(images.to(memory_format=torch.channels_last), method=method), expected)
    assert torch.equal(halftone(images.repeat_interleave(2, 3)[..., ::2], method=method), expected)


@every_method
def test_an_empty_batch_has_no_dots(method):
    assert halftone(torch.empty(0, 3, 4, 4), method=method).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("requires_grad", [False, True])
@every_method
def test_the_callers_images_and_thresholds_are_left_alone(method, requires_grad):
    images = eight_bit(2, 1, 6, 6).requires_grad_(requires_grad)
    thresholds = random_threshold(images.shape, noise=0.1, seed=0, indices=range(2))
    before = images.detach().clone(), thresholds.clone()
    dots = halftone(images, method=method, **({} if method == "bayer" else {"threshold": thresholds}))
    assert torch.equal(images, before[0])
    assert torch.equal(thresholds, before[1])
    assert images.requires_grad == requires_grad
    assert images.grad is None
    assert not dots.requires_grad
    with torch.no_grad():
        dots.fill_(0.25)  # nor do the dots share their memory
    assert torch.equal(images, before[0])


# ---- what the dots keep of an image


def dropped(method: str, height: int, width: int) -> float:
    """The share of every pixel's error that goes nowhere, summed over the pixels (serpentine: the same by symmetry)."""
    divisor, targets = FORWARD[method]
    kept = sum(weight * (height - down) * (width - abs(on)) for down, on, weight in targets) / divisor
    return height * width - kept


@path
@diffusion
def test_the_sum_of_dots_is_the_sum_of_the_image_but_for_the_error_that_is_dropped(photographs, method, serpentine):
    # no error exceeds 1/2, because v is a value of [0,1] plus at most a mean of errors; sum(a) - sum(o) is what is
    # dropped: at the borders, and a quarter of everything by Atkinson's kernel
    ramp = torch.linspace(0.1, 0.4, 64 * 64, dtype=torch.float64).reshape(1, 64, 64)
    images = torch.cat([ramp, torch.from_numpy(photographs).double() / 255])[:, None]
    difference = (halftone(images, method=method, serpentine=serpentine).double() - images).sum((1, 2, 3))
    assert difference.abs().max() <= 0.5 * dropped(method, 64, 64)


@path
@pytest.mark.parametrize("value", [0.1, 0.2, 0.37, 0.5, 0.8])
@pytest.mark.parametrize("method", ["floyd_steinberg", "jarvis", "stucki"])
def test_a_kernel_that_passes_all_error_keeps_the_mean(method, value, serpentine):
    flat = torch.full((1, 1, 64, 64), value)
    assert halftone(flat, method=method, serpentine=serpentine).mean().item() == pytest.approx(value, abs=0.015)


@path
@pytest.mark.parametrize(
    ("value", "expected"),
    # shadows: while no pixel has a dot, v = a + 3/4 of a mean of errors <= 4a, which is below 1/2 for a < 1/8
    [(0.124, 0.0), (0.13, 0.02), (0.37, 0.33), (0.5, 0.5), (0.63, 0.67), (0.87, 0.98), (0.876, 1.0)],
)
def test_atkinson_clips_shadows_and_highlights_and_stretches_the_middle(value, expected, serpentine):
    dots = halftone(torch.full((1, 1, 64, 64), value), method="atkinson", serpentine=serpentine)
    found = dots.mean().item()
    assert found == expected if expected in (0, 1) else 0 < found < 1
    assert found == pytest.approx(expected, abs=0.01)


def low_pass_error(first: torch.Tensor, second: torch.Tensor, sigma: float) -> np.ndarray:
    """Root mean square, per image, of the difference of two Gaussian means (N×1×H×W)."""
    blurred = gaussian_filter((first - second).double().numpy(), (0, 0, sigma, sigma))
    return np.sqrt((blurred**2).mean((1, 2, 3)))


def test_seen_from_afar_the_dots_are_the_photograph(photographs):
    images = torch.from_numpy(photographs).double()[:, None] / 255
    error = {method: low_pass_error(halftone(images, method=method), images, 1.5) for method in METHODS}
    mean = {method: values.mean() for method, values in error.items()}
    assert mean["floyd_steinberg"] == pytest.approx(0.02, abs=0.01)
    assert max(values.max() for values in error.values()) < 0.1
    assert min(mean, key=mean.get) == "floyd_steinberg"
    assert max(mean, key=mean.get) == "atkinson"
    grey_scale = low_pass_error((images >= 0.5).double(), images, 1.5)
    assert mean["atkinson"] < grey_scale.mean() / 3  # dots do better than a threshold


def test_noise_of_8_grey_levels_flips_a_third_of_the_diffused_dots_and_few_ordered_ones(photographs):
    images = torch.from_numpy(photographs).double()[:, None] / 255
    signs = torch.randint(0, 2, images.shape, generator=generator(5, 8)) * 2 - 1
    noisy = ((images + signs * 8 / 255).clamp(0, 1) * 255).round() / 255
    flipped = {m: (halftone(images, method=m) != halftone(noisy, method=m)).double().mean().item() for m in METHODS}
    expected = {"floyd_steinberg": 0.35, "jarvis": 0.31, "stucki": 0.33, "atkinson": 0.29}
    for method, share in expected.items():
        assert flipped[method] == pytest.approx(share, abs=0.1)
        assert flipped["bayer"] < flipped[method] / 4
    assert 0.01 < flipped["bayer"] < 0.08


def test_less_than_a_grey_level_flips_dots_of_error_diffusion(photographs):
    images = torch.from_numpy(photographs).double()[:, None] / 255
    flipped = {m: (halftone(images, method=m) != halftone(images * 0.999, method=m)).double().mean() for m in METHODS}
    assert min(flipped[method] for method in KERNELS) > 0.05
    assert flipped["bayer"] < 0.01


# ---- against Pillow: Floyd-Steinberg in integers, white above 128


@pytest.fixture(scope="module")
def by_pillow(photographs):
    converted = [np.asarray(Image.fromarray(image).convert("1"), dtype=np.float64) for image in photographs]
    return torch.from_numpy(np.stack(converted))[:, None]


def test_with_pillows_threshold_the_first_row_is_pillows(photographs, by_pillow):
    # Pillow rounds errors to integers, so that later rows drift apart: in dots, not in their local mean
    dots = halftone(torch.from_numpy(photographs).double()[:, None] / 255, threshold=128.5 / 255)
    assert torch.equal(dots[:, :, 0].double(), by_pillow[:, :, 0])


def test_pillows_dots_have_the_same_local_means(photographs, by_pillow):
    images = torch.from_numpy(photographs).double()[:, None] / 255
    dots = {method: halftone(images, method=method) for method in KERNELS}
    error = {method: low_pass_error(values, by_pillow, 2) for method, values in dots.items()}
    assert error["floyd_steinberg"].max() < 0.02
    assert (error["floyd_steinberg"] < np.min([error[m] for m in KERNELS if m != "floyd_steinberg"], axis=0)).all()
    means = dots["floyd_steinberg"].double().mean((1, 2, 3)) - by_pillow.mean((1, 2, 3))
    assert means.abs().max() < 0.003
    differing = (dots["floyd_steinberg"] != by_pillow).double().mean()
    assert 0 < differing < 0.4  # half of them would differ by chance


# ---- random thresholds


def test_random_thresholds_are_0_5_within_the_noise_and_fill_it_uniformly():
    thresholds = random_threshold((4, 3, 40, 40), noise=0.2, seed=0, indices=range(4))
    assert thresholds.shape == (4, 3, 40, 40)
    assert thresholds.dtype == torch.float64
    assert (thresholds - 0.5).abs().max() <= 0.2
    # 19200 draws: the largest and smallest lie within 0.2 / 1000 of the ends, the mean within 4 of its deviations
    assert thresholds.max() > 0.6998
    assert thresholds.min() < 0.3002
    assert abs(thresholds.mean() - 0.5) < 4 * 0.2 / 3**0.5 / 19200**0.5


def test_random_thresholds_belong_to_the_image_whatever_the_batch():
    options = {"noise": 0.1, "seed": 3, "draw": 2}
    together = random_threshold((3, 2, 4, 5), indices=[7, 1, 40], **options)
    for place, index in enumerate([7, 1, 40]):
        alone = random_threshold((1, 2, 4, 5), indices=[index], **options)
        assert torch.equal(alone[0], together[place])


@pytest.mark.parametrize("changed", [{"indices": [4]}, {"draw": 1}, {"seed": 1}], ids=str)
def test_another_image_draw_or_seed_has_other_thresholds(changed):
    options = {"noise": 0.1, "seed": 0, "indices": [3], "draw": 0}
    first, again, other = (random_threshold((1, 1, 4, 4), **o) for o in (options, options, options | changed))
    assert torch.equal(first, again)
    assert not torch.isclose(first, other, rtol=0, atol=1e-6).any()


def test_random_thresholds_leave_the_global_random_state_alone():
    before = torch.get_rng_state()
    random_threshold((1, 1, 4, 4), noise=0.1, seed=0, indices=[0])
    assert torch.equal(torch.get_rng_state(), before)


@diffusion
def test_thresholds_without_noise_are_the_number_one_half(method):
    images = eight_bit(2, 1, 8, 8)
    thresholds = random_threshold(images.shape, noise=0, seed=0, indices=range(2))
    assert torch.equal(halftone(images, method=method, threshold=thresholds), halftone(images, method=method))


def test_a_threshold_is_the_one_of_its_pixel():
    thresholds = grey([[0.5, 0.1], [0.9, 0.5]])
    # 0.4 < 0.5; 0.4 + 0.4 * 7/16 >= 0.1; 0.4 + 0.4 * 5/16 - 0.425 * 3/16 = 0.445 < 0.9;
    # 0.4 + 0.4 * 1/16 - 0.425 * 5/16 + 0.445 * 7/16 = 0.487 < 0.5
    assert dots_of(torch.full((1, 1, 2, 2), 0.4), threshold=thresholds) == [[0, 1], [0, 0]]
    # the same values against 0.9, 0.5, 0.5, 0.1
    assert dots_of(torch.full((1, 1, 2, 2), 0.4), threshold=thresholds.flip(2)) == [[0, 1], [0, 1]]


def test_a_threshold_of_one_half_is_not_any_number():
    image = torch.full((1, 1, 1, 1), 0.4)
    assert halftone(image, threshold=0.3).item() == 1
    assert halftone(image, threshold=0.45).item() == 0


# ---- errors


@every_method
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_images_that_are_not_floating_point_are_an_error(method, dtype):
    with pytest.raises(TypeError, match=f"images are {dtype}, expected floating point"):
        halftone(torch.zeros(1, 1, 4, 4, dtype=dtype), method=method)


@every_method
@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (1, 1, 1, 4, 4)], ids=str)
def test_images_of_another_shape_are_an_error(method, shape):
    with pytest.raises(ValueError, match=rf"images have shape \({', '.join(map(str, shape))}\), expected N×C×H×W"):
        halftone(torch.zeros(shape), method=method)


@every_method
@pytest.mark.parametrize(
    ("pixel", "shown"), [(-0.5, r"\[-0.5, "), (1.5, r", 1.5\]"), (255.0, r", 255\]"), (float("nan"), r"\[nan, nan\]")]
)
def test_values_outside_the_unit_interval_are_an_error_that_shows_their_range(method, pixel, shown):
    images = torch.full((2, 1, 3, 3), 0.5)
    images[1, 0, 2, 1] = pixel
    with pytest.raises(ValueError, match=f"images span .*{shown}.*expected"):
        halftone(images, method=method)


def test_an_unknown_method_is_an_error_that_lists_the_methods():
    expected = "'sierra' is unknown, expected one of floyd_steinberg, jarvis, stucki, atkinson, bayer$"
    with pytest.raises(ValueError, match=expected):
        halftone(torch.zeros(1, 1, 4, 4), method="sierra")


@pytest.mark.parametrize("shape", [(4, 4), (1, 1, 4, 4), (2, 3, 4, 5), ()], ids=str)
def test_thresholds_of_another_shape_are_an_error(shape):
    with pytest.raises(ValueError, match=r"thresholds have shape .*, expected \(2, 3, 4, 4\)"):
        halftone(torch.zeros(2, 3, 4, 4), threshold=torch.full(shape, 0.5))


@pytest.mark.parametrize("order", [0, -2, 3, 6, 12])
def test_a_bayer_order_that_is_no_power_of_two_is_an_error(order):
    with pytest.raises(ValueError, match=f"order is {order}, expected a power of two"):
        halftone(torch.zeros(1, 1, 4, 4), method="bayer", order=order)


def test_a_negative_noise_is_an_error():
    with pytest.raises(ValueError, match="noise is -0.1, expected at least 0"):
        random_threshold((1, 1, 4, 4), noise=-0.1, seed=0, indices=[0])


@pytest.mark.parametrize("indices", [[], [0], [0, 1, 2]], ids=len)
def test_indices_that_do_not_name_every_image_are_an_error(indices):
    with pytest.raises(ValueError, match=f"indices name {len(indices)} images, expected 2"):
        random_threshold((2, 1, 4, 4), noise=0.1, seed=0, indices=indices)


@pytest.mark.parametrize("options", [{"serpentine": True}, {"threshold": 0.4}, {"threshold": torch.zeros(1, 1, 4, 4)}])
def test_an_option_that_ordered_dither_does_not_have_is_refused(options):
    with pytest.raises(ValueError, match="ordered dither has neither"):
        halftone(torch.zeros(1, 1, 4, 4), method="bayer", **options)


def test_a_threshold_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="threshold is NaN"):
        halftone(torch.zeros(1, 1, 4, 4), threshold=float("nan"))


def test_half_precision_images_are_halftoned_too():
    images = eight_bit(2, 1, 8, 8, levels=64)
    assert torch.equal(halftone(images.half()).float(), halftone(images.half().float()))
