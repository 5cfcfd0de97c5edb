"""Robust accuracy in linf, l2 and l1, and calibration.

An image is robust if its decision is right and survives every attack of the ball: APGD on the cross-entropy, then, for
the images still right, APGD on the targeted DLR loss towards each of the most likely other classes (the first two
attacks of AutoAttack, Croce and Hein, ICML 2020; in l1 ICML 2021). An upper bound of the true robust accuracy.

    ECE = Σ_b n_b/n |accuracy_b - confidence_b|,    T* = argmin_T ECE of softmax(z/T)

over B equally wide bins of the confidence. T is searched on a logarithmic grid; all confidences of counterfactuals are
taken at T*, otherwise an over-confident network would seem to need smaller changes.
"""

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from aecompanion.attack.apgd import apgd
from aecompanion.attack.objective import Objective, cross_entropy, margin, towards_rank
from aecompanion.networks.read import predict

GRID = np.linspace(-3, 3, 601)  # of log T


def robust(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 50,
    targets: int = 3,
    first: Sequence[int] = (),
    seed: int = 0,
    batch: int = 64,
) -> torch.Tensor:
    """Which images are classified right throughout the ball as far as the attacks can tell, N booleans.

    Args:
        targets: other classes that are tried after the untargeted attack. first: steps of shorter untargeted attacks
            before: an image that one of them breaks need not be attacked for long. They can only break more.

    Cost: up to (1 + targets)·(2·steps + 1) passes, and 2·n + 1 for every n of `first`.
    """
    logits = predict(model, images, batch=batch)
    right = logits.argmax(1) == labels
    options = {"norm": norm, "eps": eps, "batch": batch}

    def attack(objective: Objective, left: np.ndarray, seed: int, steps: int = steps) -> None:
        own = options | {"steps": steps, "seed": seed, "indices": left}
        found = apgd(model, images[left], labels[left], objective=objective, **own)
        right[left] &= margin(predict(model, found, batch=batch), labels[left]) < 0

    for length in (*first, steps):
        left = np.flatnonzero(right.numpy())
        if len(left):
            attack(cross_entropy, left, seed, length)
    others = logits.scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)
    for rank in range(min(targets, logits.shape[1] - 1)):
        left = np.flatnonzero(right.numpy())
        if not len(left):
            break
        for start in range(0, len(left), batch):
            here = left[start : start + batch]
            objective = functools.partial(towards_rank, wanted=others[here, rank])
            attack(objective, here, seed + 1 + rank)
    return right


def calibration_error(logits: torch.Tensor, labels: torch.Tensor, *, temperature: float = 1.0, bins: int = 20) -> float:
    """ECE of softmax(logits / T). Raises ValueError for no image or a temperature that is not positive."""
    if len(logits) == 0 or not temperature > 0:
        raise ValueError(f"{len(logits)} images, temperature {temperature}: expected at least one, and above 0")
    confidence, decision = (logits.double() / temperature).softmax(1).max(1)
    right = (decision == labels).double()
    index = (confidence * bins).long().clamp_max(bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64).index_add(0, index, right - confidence)
    return float(gaps.abs().sum() / len(logits))


def fitted_temperature(logits: torch.Tensor, labels: torch.Tensor, *, bins: int = 20) -> float:
    """T* on the grid; ties go to the one nearest to 1."""
    grid = sorted(GRID, key=abs)
    errors = [calibration_error(logits, labels, temperature=float(np.exp(each)), bins=bins) for each in grid]
    return float(np.exp(grid[int(np.argmin(errors))]))
