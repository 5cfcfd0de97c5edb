"""Halftoning: from intensity to density, grey values to black and white dots (input recharacterisation).

Error diffusion visits the pixels in raster order (or serpentine: every other row from right to left, with the kernel of
the pixels in that row mirrored),

    v[p] = a[p] + Σ_k w_k · e[p - d_k],   o[p] = 1 if v[p] >= t[p] else 0,   e[p] = v[p] - o[p]

with a in [0,1], t = 0.5 (or one threshold per pixel, if asked for) and w_k, d_k the kernel below; error that would
leave the image is dropped and v is not clipped. Ordered dither compares with a tiled matrix: o = [a > (B + 0.5) / n²].

One definition, three implementations with the same bits: `reference` (a plain Python loop, float64), a compiled one
(numba, eight images in the lanes of the vector unit) for the CPU and a wavefront in torch for CUDA devices. All
add the neighbours' errors in raster order in float64, so no dot differs.

Halftone after resizing to the network's size and on 8-bit images: resizing dots makes them grey again, and error
diffusion reacts to changes below one grey level.

Sources: Floyd and Steinberg, SID 1976; Jarvis, Judice and Ninke, CGIP 1976; Stucki, IBM RZ 1060, 1981; Atkinson (as
published with Apple's HyperScan); Bayer, ICC 1973. As a defence: Huang et al., ICPR 2020. Per channel for RGB, as in
Lo and Patel, ICIP 2021; Huang et al. use grey images.
"""

import numpy as np
import torch

from aecompanion.defend.diffusion import KERNELS, Kernel, diffuse_compiled, diffuse_wavefront
from aecompanion.pipeline.rng import generator

METHODS = (*KERNELS, "bayer")


def halftone(
    images: torch.Tensor,
    *,
    method: str = "floyd_steinberg",
    serpentine: bool = False,
    threshold: float | torch.Tensor = 0.5,
    order: int = 8,
) -> torch.Tensor:
    """Black and white dots, 0 or 1, of N×C×H×W images in [0,1], every channel by itself; same dtype and device.

    Args:
        method: "floyd_steinberg", "jarvis", "stucki", "atkinson" (error diffusion) or "bayer" (ordered).
        serpentine: every other row from right to left (error diffusion only).
        threshold: t of the formula, a number or one per pixel (N×C×H×W, see `random_threshold`), error diffusion only.
        order: side of the Bayer matrix, a power of two.

    Raises TypeError for images that are not floating point, ValueError for another shape, values outside [0,1], an
    unknown method, thresholds of another shape or NaN, or an option that the method does not have.
    """
    check(images, method=method, serpentine=serpentine, threshold=threshold)
    on_gpu = images.device.type == "cuda"  # other accelerators have no float64
    source = images.detach() if on_gpu else images.detach().cpu()
    if method == "bayer":
        dots = source.double() > bayer_threshold(images.shape[-2:], order).to(source.device)
        return dots.to(images)
    if isinstance(threshold, torch.Tensor):
        threshold = threshold.detach().to(source.device, torch.float64).flatten(0, 1)
    engine = diffuse_wavefront if on_gpu else diffuse_compiled
    flat = source.flatten(0, 1) if source.dtype in (torch.float32, torch.float64) else source.float().flatten(0, 1)
    dots = engine(flat, KERNELS[method], serpentine=serpentine, threshold=threshold)
    return dots.reshape(images.shape).to(images)


def random_threshold(shape: torch.Size, *, noise: float, seed: int, indices, draw: int = 0) -> torch.Tensor:
    """Thresholds 0.5 + U(-noise, noise) per pixel, N×C×H×W float64, image i from (seed, its index, draw) alone.

    Raises ValueError for a negative noise or indices of another number.
    """
    if noise < 0:
        raise ValueError(f"noise is {noise}, expected at least 0")
    if len(indices) != shape[0]:
        raise ValueError(f"indices name {len(indices)} images, expected {shape[0]}")
    drawn = [
        torch.rand(shape[1:], generator=generator(seed, int(index), draw), dtype=torch.float64) for index in indices
    ]
    return 0.5 + noise * (2 * torch.stack(drawn) - 1)


def bayer(order: int) -> torch.Tensor:
    """The Bayer matrix B_n (n×n, 0..n²-1): B_1 = 0, B_2n = [[4B, 4B+2], [4B+3, 4B+1]].

    Raises ValueError for a side that is not a power of two.
    """
    if order < 1 or order & (order - 1):
        raise ValueError(f"order is {order}, expected a power of two")
    matrix = torch.zeros(1, 1, dtype=torch.float64)
    while len(matrix) < order:
        top, bottom = (4 * matrix, 4 * matrix + 2), (4 * matrix + 3, 4 * matrix + 1)
        matrix = torch.cat([torch.cat(top, 1), torch.cat(bottom, 1)])
    return matrix


def bayer_threshold(shape: tuple[int, int], order: int) -> torch.Tensor:
    """(B + 0.5) / n², tiled to H×W."""
    height, width = shape
    matrix = (bayer(order) + 0.5) / order**2
    return matrix.repeat(-(-height // order), -(-width // order))[:height, :width]


def reference(image: np.ndarray, kernel: Kernel, *, serpentine: bool = False, threshold=0.5) -> np.ndarray:
    """The definition as a loop: one H×W float64 image to H×W dots. Slow; what the engines are tested against."""
    height, width = image.shape
    threshold = np.broadcast_to(threshold, image.shape)
    dots, error = np.zeros(image.shape), np.zeros(image.shape)
    taps = [(int(up), int(back), float(weight)) for up, back, weight in zip(*kernel.taps(), strict=True)]
    for y in range(height):
        backwards = serpentine and y % 2 == 1
        for x in range(width - 1, -1, -1) if backwards else range(width):
            value = float(image[y, x])
            for up, back, weight in taps:
                mirrored = serpentine and (y - up) % 2 == 1  # the kernel turns with the row that the error comes from
                source = (y - up, x + back if mirrored else x - back)
                if source[0] >= 0 and 0 <= source[1] < width:
                    value += weight * error[source]
            dots[y, x] = value >= threshold[y, x]
            error[y, x] = value - dots[y, x]
    return dots


def check(images: torch.Tensor, *, method: str, serpentine: bool, threshold: float | torch.Tensor) -> None:
    """Raise TypeError or ValueError for what would silently give other dots."""
    if not torch.is_floating_point(images):
        raise TypeError(f"images are {images.dtype}, expected floating point in [0, 1]")
    if images.dim() != 4:
        raise ValueError(f"images have shape {tuple(images.shape)}, expected N×C×H×W")
    if method not in METHODS:
        raise ValueError(f"halftone {method!r} is unknown, expected one of {', '.join(METHODS)}")
    if isinstance(threshold, torch.Tensor) and threshold.shape != images.shape:
        raise ValueError(f"thresholds have shape {tuple(threshold.shape)}, expected {tuple(images.shape)}")
    if bool(torch.as_tensor(threshold).isnan().any()):
        raise ValueError("the threshold is NaN, expected numbers")
    if method == "bayer" and (serpentine or isinstance(threshold, torch.Tensor) or threshold != 0.5):
        raise ValueError("ordered dither has neither a scan order nor a threshold, expected neither option")
    if images.numel():
        low, high = images.aminmax()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"images span [{low:.3g}, {high:.3g}], expected [0, 1]")
