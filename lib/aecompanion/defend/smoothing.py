"""Randomised smoothing: a classifier that votes under Gaussian noise, and a radius within which its vote stays.

    g(x) = argmax_c P( f(x + σ n) = c ),   n ~ N(0, I);     R(x) = σ Φ^-1(p),  p a lower bound of P( f(x + σ n) = g(x) )

for every ‖δ‖_2 < R: g(x + δ) = g(x), with probability 1 - α over the draws. In linf a ball of radius R/√d lies inside.
p is Clopper and Pearson's bound from `draws` votes for the class that `guesses` other votes chose; p <= 1/2 abstains.
No attack is needed and none can lower it: the one row that is no upper bound.

f has to be right under noise, so it is usually trained with noise of that σ; a network that was not certifies little.
Source: Cohen, Rosenfeld and Kolter, ICML 2019.
"""

import math

import numpy as np
import torch
from scipy import stats
from torch import nn

from aecompanion.networks.read import predict
from aecompanion.pipeline.rng import generator


def certify(
    model: nn.Module,
    images: torch.Tensor,
    *,
    sigma: float,
    guesses: int = 20,
    draws: int = 200,
    alpha: float = 0.001,
    seed: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The classes of the vote (N) and their l2 radii in pixel units (N, 0 where it abstains); draws per (seed, image).

    Noise is not clipped, as in the theorem. Raises ValueError for a σ that is not positive, no draw, or α outside
    (0, 1).
    """
    if not sigma > 0 or min(guesses, draws) < 1 or not 0 < alpha < 1:
        raise ValueError(f"σ {sigma}, {guesses} and {draws} draws, α {alpha}, expected σ > 0, draws and 0 < α < 1")
    classes, radii = [], []
    for i, image in enumerate(images):
        noise = torch.randn((guesses + draws, *image.shape), generator=generator(seed, i)).to(image)
        votes = predict(model, image + sigma * noise).argmax(1).cpu().numpy()
        winner = np.bincount(votes[:guesses]).argmax()
        lower = bound(int((votes[guesses:] == winner).sum()), draws, alpha)
        classes.append(int(winner))
        radii.append(sigma * float(stats.norm.ppf(lower)) if lower > 0.5 else 0.0)
    return torch.tensor(classes), torch.tensor(radii, dtype=torch.float64)


def bound(successes: int, draws: int, alpha: float) -> float:
    """Clopper and Pearson's one-sided lower bound of a share, right with probability 1 - α."""
    return float(stats.beta.ppf(alpha, successes, draws - successes + 1)) if successes else 0.0


def within_linf(radius: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """The linf radius that an l2 radius certifies: R / √(C·H·W)."""
    return radius / math.sqrt(images[0].numel())
