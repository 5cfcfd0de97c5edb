"""What an attack or a counterfactual makes large: one number per image, from logits z and a class c each.

    log_confidence   log softmax(z / T)_c           towards class c (T: temperature)
    cross_entropy    -log softmax(z)_c              away from class c
    binary_cross_entropy  -Σ_k log p_k, p_k = σ(z_k) where label k holds, else 1 - σ(z_k)      away from all K labels
    margin           max_{j≠c} z_j - z_c            away from class c; above 0 the decision is wrong
    towards_rank     DLR: (z_t - z_c) / (z_(1) - (z_(3) + z_(4)) / 2), t the class of the r-th largest other logit

DLR (Croce and Hein, ICML 2020) does not change when logits are scaled, so a network cannot hide behind large ones.

Attacks differentiate the sum of these numbers over the batch, so that an image's gradient does not depend on its batch.
"""

import functools
import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

Objective = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # logits N×K and labels (mostly N classes) to N values


def log_confidence(logits: torch.Tensor, labels: torch.Tensor, *, temperature: float = 1.0) -> torch.Tensor:
    """log softmax(z / T) at the labels."""
    return (logits / temperature).log_softmax(1).gather(1, labels[:, None])[:, 0]


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-log softmax(z) at the labels."""
    return -log_confidence(logits, labels)


def binary_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The binary cross-entropy of K labels, summed over them; labels N×K zeros and ones."""
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none").sum(1)


def margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The largest other logit minus the label's."""
    return best_other(logits, labels) - logits.gather(1, labels[:, None])[:, 0]


def best_other(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """max over the classes but the label."""
    return logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def towards_rank(logits: torch.Tensor, labels: torch.Tensor, *, wanted: torch.Tensor) -> torch.Tensor:
    """The targeted DLR loss towards the classes `wanted` (N of them); with fewer than four classes not scaled."""
    wanted = wanted.to(logits.device)
    gap = (logits.gather(1, wanted[:, None]) - logits.gather(1, labels[:, None]))[:, 0]
    if logits.shape[1] < 4:
        return gap
    top = logits.topk(4, dim=1).values
    return gap / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2).clamp_min(1e-12)


def towards(temperature: float) -> Objective:
    """`log_confidence` at this temperature."""
    return functools.partial(log_confidence, temperature=temperature)


def value_and_gradient(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, objective: Objective
) -> tuple[torch.Tensor, torch.Tensor]:
    """The objective of every image (N) and its gradient (like images): one forward and one backward pass."""
    variable = images.detach().requires_grad_()
    with torch.enable_grad():
        values = objective(model(variable.clone()), labels)  # a copy, because some networks write into their input
        gradient = torch.autograd.grad(values.sum(), variable)[0]
    return values.detach(), gradient


@torch.no_grad()
def value(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, objective: Objective) -> torch.Tensor:
    """The objective of every image, N: one forward pass."""
    return objective(model(images.clone()), labels)


def finite(gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient with 0 in the place of NaN and infinity, and which images had any of them (N booleans)."""
    good = gradient.isfinite()
    broken = ~good.flatten(1).all(1)
    return (torch.where(good, gradient, 0) if broken.any() else gradient), broken


def warn_of(count: int, total: int, what: str) -> None:
    """Warn that so many of all images have such a gradient, if any has."""
    if count:
        warnings.warn(f"{count} of {total} images have {what}: their robustness is no evidence", stacklevel=3)


NOT_FINITE = "a gradient that is not finite"
