"""What an attack or a counterfactual makes large: one number per image, from logits z and a class c each.

    log_confidence   log softmax(z / T)_c           towards class c (T: temperature)
    cross_entropy    -log softmax(z)_c              away from class c
    margin           max_{j≠c} z_j - z_c            away from class c; above 0 the decision is wrong
    towards_rank     DLR: (z_t - z_c) / (z_(1) - (z_(3) + z_(4)) / 2), t the class of the r-th largest other logit

DLR (Croce and Hein, ICML 2020) does not change when logits are scaled, so a network cannot hide behind large ones.
"""

import functools
from collections.abc import Callable

import torch
from torch import nn

Objective = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # logits N×K, classes N, to N values


def log_confidence(logits: torch.Tensor, target: torch.Tensor, *, temperature: float = 1.0) -> torch.Tensor:
    """log softmax(z / T) at the target class."""
    return (logits / temperature).log_softmax(1).gather(1, target[:, None])[:, 0]


def cross_entropy(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """-log softmax(z) at the label, per image."""
    return -log_confidence(logits, label)


def margin(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The largest other logit minus the label's."""
    return best_other(logits, label) - logits.gather(1, label[:, None])[:, 0]


def best_other(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """max over the classes but the label."""
    return logits.scatter(1, label[:, None], -torch.inf).amax(1)


def towards_rank(logits: torch.Tensor, label: torch.Tensor, *, wanted: torch.Tensor) -> torch.Tensor:
    """The targeted DLR loss towards the classes `wanted` (N of them); with fewer than four classes not scaled."""
    wanted = wanted.to(logits.device)
    gap = (logits.gather(1, wanted[:, None]) - logits.gather(1, label[:, None]))[:, 0]
    if logits.shape[1] < 4:
        return gap
    top = logits.topk(4, dim=1).values
    return gap / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2).clamp_min(1e-12)


def towards(temperature: float) -> Objective:
    """`log_confidence` at this temperature."""
    return functools.partial(log_confidence, temperature=temperature)


def value_and_gradient(
    model: nn.Module, images: torch.Tensor, target: torch.Tensor, objective: Objective
) -> tuple[torch.Tensor, torch.Tensor]:
    """The objective of every image (N) and its gradient (like images): one forward and one backward pass."""
    variable = images.detach().requires_grad_()
    with torch.enable_grad():
        values = objective(model(variable), target)
        gradient = torch.autograd.grad(values.sum(), variable)[0]
    return values.detach(), gradient


@torch.no_grad()
def value(model: nn.Module, images: torch.Tensor, target: torch.Tensor, objective: Objective) -> torch.Tensor:
    """The objective of every image, N: one forward pass."""
    return objective(model(images), target)
