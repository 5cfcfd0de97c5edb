"""SmoothTaylor: the first-order Taylor term from noisy roots, between integrated gradients and SmoothGrad.

    A_c = | Σ_channels (1/S) Σ_s (x - r_s) ⊙ ∂z_c/∂x (r_s) | ,    r_s = x + ε_s,    ε_s ~ N(0, σ²)

σ = noise · (max x - min x), z_c: the logit of class c, S: `samples`. A root r_s is a place to develop z_c around, so
without the absolute value the sum of A over all pixels is near the mean of z_c(x) - z_c(r_s). Where the network is
linear that mean is zero but for chance, so that the sign of a pixel tells which way its noise went, and only the size
is of use; `taylor_term` keeps it. IG takes its points from a line to a reference instead; SmoothGrad leaves the factor
x - r_s out. Noise, passes and batches are those of `smoothgrad`; the noise is one share for all images, without a
search per image (adaptive noising).
Source: Goh, Lapuschkin, Weber, Samek and Binder, ICPR 2020 (arXiv 2004.10484), known here from its abstract and from
descriptions of others.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from aecompanion.explain.smoothgrad import NOISE, SAMPLES, noisy_gradients


def smooth_taylor(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    *,
    samples: int = SAMPLES,
    noise: float = NOISE,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> torch.Tensor:
    """A of the formula, N×1×H×W on the CPU, in the kind of number of the images. Arguments and errors as in
    `smoothgrad`.
    """
    return taylor_term(model, images, target, samples=samples, noise=noise, seed=seed, keys=keys).abs()


def taylor_term(model: nn.Module, images: torch.Tensor, target: int | torch.Tensor, **options) -> torch.Tensor:
    """What A is the size of, with its sign, N×1×H×W; options as in `smooth_taylor`, all of them."""
    return of_noisy(noisy_gradients(model, images, target, **options)).to(images.dtype)


def of_noisy(noisy: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """The same of N images from their `noisy_gradients`."""
    return torch.stack([(-shift * slopes).mean(0).sum(0, keepdim=True) for shift, slopes in noisy])
