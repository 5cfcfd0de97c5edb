"""Error diffusion to L grey levels instead of two, and a low-pass after it.

    u[p] = (L - 1) (a[p] + Σ_k w_k e[p - d_k]),   o[p] = clip( ⌊u[p] + 1/2⌋, 0, L - 1 ) / (L - 1)

with a, w_k, d_k and e as in `defend.halftone`; with L = 2 its dots bit for bit. More levels keep more of the image and
let more of a perturbation through; arXiv 2605.23065 (2026) claims that a few levels with a blur after them withstand
attacks that know the defence, which `defence_adaptive` tests.
"""

import dataclasses

import numpy as np
import torch

from aecompanion.defend.diffusion import KERNELS, njit
from aecompanion.defend.halftone import check
from aecompanion.defend.inverse import low_pass


def diffuse(images: torch.Tensor, *, levels: int, method: str = "floyd_steinberg") -> torch.Tensor:
    """N×C×H×W in [0,1] to L levels from 0 to 1, every channel by itself; same dtype and device.

    Raises ValueError for fewer than two levels or a method that diffuses no error, and as `halftone` does.
    """
    check(images, method=method, serpentine=False, threshold=0.5)
    if levels < 2 or method not in KERNELS:
        raise ValueError(f"{levels} levels by {method!r}, expected at least 2 by one of {', '.join(KERNELS)}")
    source = images.detach().cpu().double().flatten(0, 1).contiguous().numpy()
    out = np.empty(source.shape, np.float64)
    several_levels(source, levels, *KERNELS[method].taps(), out)
    return torch.from_numpy(out).reshape(images.shape).to(images)


@njit
def several_levels(images, levels, ups, backs, weights, out):  # pragma: no cover (compiled)
    """`out` (N×H×W) from `images`; errors of one image are kept, borders padded by 2."""
    count, height, width = images.shape
    top = levels - 1
    for n in range(count):
        error = np.zeros((height + 2, width + 4))
        for y in range(height):
            for x in range(width):
                value = images[n, y, x]
                for k in range(len(ups)):
                    value += weights[k] * error[2 + y - ups[k], 2 + x - backs[k]]
                level = 0.0
                for step in range(1, top + 1):
                    if value >= (step - 0.5) / top:
                        level = step / top
                out[n, y, x] = level
                error[2 + y, 2 + x] = value - level


@dataclasses.dataclass(frozen=True)
class Levels:
    """T: L levels, then G_σ unless sigma is 0."""

    levels: int
    sigma: float = 0.0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        dots = diffuse(images, levels=self.levels)
        return low_pass(dots, sigma=self.sigma) if self.sigma else dots
