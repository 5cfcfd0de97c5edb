"""Error diffusion, fast: the compiled engine and the one that runs as tensors, both equal to `halftone.reference`."""

import dataclasses
from collections.abc import Callable

import numba
import numpy as np
import torch


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Where a pixel's error goes: rows as in the literature, the current pixel being the middle of the first row."""

    rows: tuple[tuple[int, ...], ...]
    divisor: int

    def taps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(rows up, columns back, weight) of the pixels whose error arrives, sources in raster order."""
        middle = len(self.rows[0]) // 2
        taps = [
            (down, x - middle, weight / self.divisor)
            for down, row in enumerate(self.rows)
            for x, weight in enumerate(row)
            if weight
        ]
        taps.sort(key=lambda tap: (-tap[0], -tap[1]))  # the farthest row up first, then left to right
        up, back, weight = zip(*taps, strict=True)
        return np.array(up), np.array(back), np.array(weight)


KERNELS = {
    "floyd_steinberg": Kernel(((0, 0, 7), (3, 5, 1)), 16),
    "jarvis": Kernel(((0, 0, 0, 7, 5), (3, 5, 7, 5, 3), (1, 3, 5, 3, 1)), 48),
    "stucki": Kernel(((0, 0, 0, 8, 4), (2, 4, 8, 4, 2), (1, 2, 4, 2, 1)), 42),
    "atkinson": Kernel(((0, 0, 0, 1, 1), (0, 1, 1, 1, 0), (0, 0, 1, 0, 0)), 8),
}


LANES = 8  # images processed side by side by the compiled engine: one 512-bit register of float64


def diffuse_compiled(
    images: torch.Tensor, kernel: Kernel, *, serpentine: bool = False, threshold: float | torch.Tensor = 0.5
) -> torch.Tensor:
    """N×H×W on the CPU to float32 dots, by the compiled loop."""
    per_pixel = isinstance(threshold, torch.Tensor)
    thresholds = threshold.contiguous().numpy() if per_pixel else np.full((1, 1, 1), float(threshold))
    dots = np.empty(images.shape, np.float32)
    compiled(images.contiguous().numpy(), thresholds, per_pixel, *kernel.taps(), serpentine, dots)
    return torch.from_numpy(dots)


def njit(function: Callable) -> Callable:
    """Compiled by numba on its first call; kept for the next process where numba finds a folder that it can write."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # "no locator available": neither __pycache__ nor the user's cache can be written
        return numba.njit(nogil=True)(function)


@njit
def compiled(images, thresholds, per_pixel, ups, backs, weights, serpentine, dots):  # pragma: no cover (compiled)
    """`dots` (N×H×W) from `images`, float32 or float64; errors of the last three rows are kept, borders padded by 2.

    Every block has LANES images, so that the loops over them become vector instructions; the last block repeats the
    last image.
    """
    count, height, width = images.shape
    error = np.zeros((3, width + 4, LANES))
    value, limit = np.empty(LANES), np.full(LANES, thresholds[0, 0, 0])
    rows, shifts, image = np.empty(len(ups), np.int64), np.empty(len(ups), np.int64), np.empty(LANES, np.int64)
    for first in range(0, count, LANES):
        for lane in range(LANES):
            image[lane] = min(first + lane, count - 1)
        error[:] = 0.0
        for y in range(height):
            backwards = serpentine and y % 2 == 1
            arriving = error[y % 3]
            for k in range(len(ups)):
                rows[k] = (y - ups[k]) % 3
                mirrored = serpentine and (y - ups[k]) % 2 == 1
                shifts[k] = 2 + backs[k] if mirrored else 2 - backs[k]
            for step in range(width):
                x = width - 1 - step if backwards else step
                for lane in range(LANES):
                    value[lane] = images[image[lane], y, x]
                for k in range(len(ups)):
                    source = error[rows[k], x + shifts[k]]
                    for lane in range(LANES):
                        value[lane] += weights[k] * source[lane]
                if per_pixel:
                    for lane in range(LANES):
                        limit[lane] = thresholds[image[lane], y, x]
                for lane in range(LANES):
                    dot = 1.0 if value[lane] >= limit[lane] else 0.0
                    dots[image[lane], y, x] = dot
                    arriving[2 + x, lane] = value[lane] - dot


def diffuse_wavefront(
    images: torch.Tensor, kernel: Kernel, *, serpentine: bool = False, threshold: float | torch.Tensor = 0.5
) -> torch.Tensor:
    """N×H×W on any device to float32 dots, in torch: all pixels of one wavefront at once.

    In raster order pixel (y, x) can be computed at time x + s·y, s large enough that every source is earlier; in
    serpentine order only one pixel per step is ready.
    """
    count, height, width = images.shape
    ups, backs, weights = (values.tolist() for values in kernel.taps())
    padded, depth = width + 4, 2
    slant = max([1, *(-back // up + 1 for up, back in zip(ups, backs, strict=True) if up)])
    rows = torch.arange(height, device=images.device)
    source = images.double().permute(1, 2, 0).reshape(height * width, count)
    error, dots = source.new_zeros((height + depth) * padded, count), torch.zeros_like(source)
    per_pixel = isinstance(threshold, torch.Tensor)
    limit = threshold.permute(1, 2, 0).reshape(height * width, count) if per_pixel else None
    for time in range(height * width if serpentine else width + slant * (height - 1)):
        if serpentine:
            y = rows[time // width : time // width + 1]
            mirrored = (time // width) % 2 == 1
            x = torch.full_like(y, width - 1 - time % width if mirrored else time % width)
        else:
            mirrored, x = False, time - slant * rows
            ready = (x >= 0) & (x < width)
            y, x = rows[ready], x[ready]
        value = source[y * width + x]
        for up, back, weight in zip(ups, backs, weights, strict=True):
            # product and sum apart: a fused multiply-add would round once and change dots
            shift = back if mirrored != (serpentine and up % 2 == 1) else -back
            arriving = error[(y + depth - up) * padded + 2 + x + shift]
            value = value + arriving * weight
        dot = (value >= (limit[y * width + x] if per_pixel else threshold)).double()
        dots[y * width + x] = dot
        error[(y + depth) * padded + 2 + x] = value - dot
    return dots.reshape(height, width, count).permute(2, 0, 1).float().contiguous()
