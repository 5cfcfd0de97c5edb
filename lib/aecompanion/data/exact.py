"""Arithmetic with the same bits on every processor, for images that are rounded to 8 bits afterwards.

IEEE 754 fixes the result of one +, -, ·, / or square root of float64. What it does not fix is avoided here: sine,
cosine and logarithm (the C library and vector instructions differ in the last bit) are written out as series, sums
have an order of their own, and products are never fused with sums, since numpy and Python do one operation at a time.
Random numbers are the generator's 24-bit integers. So nothing depends on threads, vector width or library.
"""

import math

import numpy as np
import torch

BICUBIC = -0.75  # the parameter of cubic convolution that torch and OpenCV use (Keys, IEEE TASSP 1981, has -0.5)


def polynomial(x, coefficients: list[float]):
    """Σ_k c_k·x^k by Horner's rule, the constant first."""
    total = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in range(9)]
COSINE = [(-1) ** k / math.factorial(2 * k) for k in range(10)]
LN_2 = 0.6931471805599453
LOGARITHM = [2 / (2 * k + 1) for k in range(12)]  # 2·artanh(z) / z in powers of z²


def turn(share):
    """(cos, sin) of `share` full turns, a float or an array. The error is below 1e-15."""
    quarter = np.floor(4 * share + 0.5)
    x = (4 * share - quarter) * (math.pi / 2)  # at most π/4 in size
    cos, sin = polynomial(x * x, COSINE), x * polynomial(x * x, SINE)
    quarter = quarter % 4
    flat = quarter % 2 == 0
    cos, sin = np.where(flat, cos, sin), np.where(flat, sin, cos)
    return np.where((quarter == 1) | (quarter == 2), -cos, cos), np.where(quarter >= 2, -sin, sin)


def logarithm(x: np.ndarray) -> np.ndarray:
    """ln(x) for x > 0: x = m·2^e with m in [√½, √2), ln(m) = 2·artanh((m - 1)/(m + 1)). The error is below 1e-15 of
    the result's size, or of 1 if that is smaller.
    """
    m, e = np.frexp(x)
    low = m < math.sqrt(0.5)
    m, e = np.where(low, 2 * m, m), e - low
    z = (m - 1) / (m + 1)
    return e * LN_2 + z * polynomial(z * z, LOGARITHM)


def normal(gen: torch.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal numbers, float64, by Box and Muller's transformation (Ann. Math. Stat. 1958),

        √(-2 ln(1 - u))·(cos 2πv, sin 2πv),   u, v of [0, 1) in steps of 2^-24,

    eight pairs at a time. For a multiple of 16 numbers these are torch.randn's, which rounds them to float32 on the
    way and so differs between processors.
    """
    count = math.prod(shape)
    uniform = torch.rand(-(-count // 16), 2, 8, generator=gen).numpy().astype(float)
    radius = np.sqrt(-2 * logarithm(1 - uniform[:, 0]))
    cos, sin = turn(uniform[:, 1])
    return np.stack([radius * cos, radius * sin], 1).reshape(-1)[:count].reshape(shape)


def linear_weights(t: np.ndarray) -> list[np.ndarray]:
    """Of the two pixels around a place that lies t in [0, 1) behind the first."""
    return [1 - t, t]


def cubic_weights(t: np.ndarray) -> list[np.ndarray]:
    """Of the four pixels around a place that lies t in [0, 1) behind the second."""

    def near(d):
        return ((BICUBIC + 2) * d - (BICUBIC + 3)) * d * d + 1

    def far(d):
        return ((BICUBIC * d - 5 * BICUBIC) * d + 8 * BICUBIC) * d - 4 * BICUBIC

    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


def mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Whole indices reflected at the outer edges of the first and the last pixel: -1 is 0, `length` is length - 1."""
    index = index % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def warp(image: np.ndarray, theta: list[list[float]], size: int, *, cubic: bool) -> np.ndarray:
    """An h×w image seen through an affine window, size×size; borders are reflected.

    `theta` (2×3) takes (x, y, 1) of the result to (x, y) of the image, both from -1 to 1 between the outer edges: the
    convention of torch's affine_grid and grid_sample with align_corners=False. Interpolation is cubic or linear.
    """
    height, width = image.shape
    across = (2 * np.arange(size) + 1 - size) / size
    x, y = across[None, :], across[:, None]
    columns, rows = (a * x + b * y + c for a, b, c in theta)
    columns, rows = ((columns + 1) * width - 1) / 2, ((rows + 1) * height - 1) / 2
    left, top = np.floor(columns), np.floor(rows)
    weights, before = (cubic_weights, 1) if cubic else (linear_weights, 0)
    result = np.zeros((size, size))
    for i, down in enumerate(weights(rows - top)):
        row = mirrored(top.astype(int) + (i - before), height)
        line = np.zeros((size, size))
        for j, over in enumerate(weights(columns - left)):
            line = line + over * image[row, mirrored(left.astype(int) + (j - before), width)]
        result = result + down * line
    return result
