"""Objectives of a classifier that is right while the label is among its k best classes.

    margin      z_[k] - z_c                        z_[r]: the r-th largest logit of the other classes
    average     (z_[1] + ... + z_[k]) / k - z_c
    dlr         (z_[k] - z_c) / (z_(1) - z_(k+2))  z_(r): the r-th largest of all; scaling all logits changes nothing
    targeted    mean of z_t - z_c over k classes t that are chosen once, at the clean image
    cross-entropy  -log softmax(z)_c

The label has left the best k if and only if margin > 0, so that is what counts; the others are other ways there. k = 5
is the measure of Huang et al. (ICPR 2020). Each takes logits N×K, classes N and k, and gives N values.

Sources: margin Carlini and Wagner, S&P 2017; DLR Croce and Hein, ICML 2020, here for the best k.
"""

from collections.abc import Callable, Sequence

import torch

from aecompanion.attack.objective import cross_entropy

TopObjective = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]


def others(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The logits with that of the label at -infinity."""
    return logits.scatter(1, labels[:, None], -torch.inf)


def own(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The logits of the labels."""
    return logits.gather(1, labels[:, None])[:, 0]


def margin(logits: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """The k-th largest other logit minus the label's. Raises ValueError for k classes or fewer: always right."""
    check(logits, k)
    return others(logits, labels).topk(k, dim=1).values[:, -1] - own(logits, labels)


def average(logits: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """The mean of the k largest other logits minus the label's; all of them rise, not only the k-th."""
    check(logits, k)
    return others(logits, labels).topk(k, dim=1).values.mean(1) - own(logits, labels)


def dlr(logits: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """The margin in units of the distance between the best logit and the (k+2)-th; with k+1 classes, the last."""
    best = logits.topk(min(k + 2, logits.shape[1]), dim=1).values
    return margin(logits, labels, k) / (best[:, 0] - best[:, -1]).clamp_min(1e-12)


def entropy(logits: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """The cross-entropy, which asks for no k."""
    return cross_entropy(logits, labels)


def margins(logits: torch.Tensor, labels: torch.Tensor, tops: Sequence[int]) -> torch.Tensor:
    """N×len(tops): the margin for every k of `tops`."""
    return torch.stack([margin(logits, labels, k) for k in tops], dim=1)


def check(logits: torch.Tensor, k: int) -> None:
    """Raise ValueError where the label cannot leave the best k."""
    if not 1 <= k < logits.shape[1]:
        raise ValueError(f"k is {k} of {logits.shape[1]} classes, expected at least 1 and fewer than there are classes")


OBJECTIVES: dict[str, TopObjective] = {"cross-entropy": entropy, "margin": margin, "average": average, "dlr": dlr}
