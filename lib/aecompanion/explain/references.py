"""What a mask puts in the place of removed pixels: reference images x_r, N×C×H×W in [0,1].

    blur         Gaussian with standard deviation `strength`·H pixels
    blur_median  mean of that and of a median over a disc of radius 2.5·`strength`·H (the form of Kim et al.'s code)
    mean         each image's mean colour
    noise        uniform noise, drawn per image from (seed, key)

A reference that leaves the object visible gives a mask nothing to do, so `strength` matters more than its kind: the
released code's 11×11 window is 4 % of its 300 px; smooth objects on small images need more.
"""

from collections.abc import Sequence

import numpy as np
import torch
from skimage.filters import rank
from skimage.morphology import disk
from torch.nn import functional

from aecompanion.pipeline.rng import generator

KINDS = ("blur", "blur_median", "mean", "noise")


def reference(
    images: torch.Tensor,
    kind: str = "blur_median",
    *,
    strength: float = 0.125,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> torch.Tensor:
    """x_r of `images` (N×C×H×W in [0,1]); `keys` tell the images apart for "noise" (default: their positions).

    Raises ValueError for an unknown kind or a strength outside (0, 0.5].
    """
    if kind not in KINDS:
        raise ValueError(f"reference {kind!r} is unknown, expected one of {', '.join(KINDS)}")
    if not 0 < strength <= 0.5:
        raise ValueError(f"strength is {strength}, expected a number in (0, 0.5] (a share of the image's side)")
    if kind == "mean":
        return images.mean((2, 3), keepdim=True).expand_as(images).clone()
    if kind == "noise":
        keys = range(len(images)) if keys is None else keys
        return torch.stack([torch.rand(images.shape[1:], generator=generator(seed, key)) for key in keys])
    side = min(images.shape[-2:])
    sigma = strength * side
    reach = min(round(3 * sigma), side - 1)  # reflection needs a kernel within the image
    blurred = blur(images, sigma, reach)
    return blurred if kind == "blur" else (blurred + median(images, max(1, round(2.5 * sigma)))) / 2


def blur(images: torch.Tensor, sigma: float, reach: int) -> torch.Tensor:
    """Gaussian of `sigma` pixels cut off at ±`reach`, rows then columns (2k taps, not k²), borders reflected."""
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    taps = (weights / weights.sum()).expand(images.shape[1], 1, 1, -1)
    for kernel, padding in ((taps, [reach, reach, 0, 0]), (taps.mT, [0, 0, reach, reach])):
        images = functional.conv2d(functional.pad(images, padding, mode="reflect"), kernel, groups=images.shape[1])
    return images


def median(images: torch.Tensor, radius: int) -> torch.Tensor:
    """Median over a disc of `radius` pixels, per channel, on 8-bit values."""
    levels = (images.clamp(0, 1) * 255).round().byte().numpy()
    window = disk(radius)
    filtered = [[rank.median(channel, window) for channel in image] for image in levels]
    return torch.from_numpy(np.array(filtered)).float() / 255
