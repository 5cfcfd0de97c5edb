"""Seeded variations that the embedded image sets share: a lighting ramp and a change of contrast."""

from collections.abc import Callable

import numpy as np
import torch


def symmetric(gen: torch.Generator) -> Callable[[float], float]:
    """A function that draws uniformly from [-half, half]."""

    def uniform(half: float) -> float:
        return half * (2 * torch.rand((), generator=gen).item() - 1)

    return uniform


def illuminate(image: np.ndarray, uniform: Callable[[float], float], *, light: float, contrast: float) -> np.ndarray:
    """c·(image·ramp - 1/2) + 1/2 for an s×s image, float64: brightness changes linearly by up to ±light from the
    middle to each edge, contrast by up to ±contrast; not clipped.
    """
    side = len(image)
    across = (2 * np.arange(side) + 1 - side) / (side - 1)
    ramp = 1 + uniform(light) * across[None, :] + uniform(light) * across[:, None]
    return (1 + uniform(contrast)) * (image * ramp - 0.5) + 0.5
