"""Attacks that know the defence: gradients through or around an input transformation T.

A classifier f behind a transformation is f∘T. T is piecewise constant here, its gradient zero almost everywhere, so an
attacker replaces the backward pass:

    BPDA   forward f(T(x)); backward J_S(x)^T ∇f at T(x), with a differentiable surrogate S ≈ T (identity, low-pass)
    EOT    for a randomised T: the gradient of the mean of J(f(T_k(x)), y) over draws k
    own gradient   ignores T: the attack is crafted on f itself and T is applied to its result (grey-box)

All are settings of the loop in `attack.gradient`. What survives them is evidence of robustness; what survives only
attacks crafted on another network is not.

Sources: Athalye, Carlini and Wagner, ICML 2018 (BPDA, EOT); Carlini et al., arXiv 1902.06705 (self-check).
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import nn

from aecompanion.attack.gradient import for_each_eps, pgd
from aecompanion.attack.objective import cross_entropy
from aecompanion.pipeline.rng import generator

Transform = Callable[[torch.Tensor], torch.Tensor]


def identity(images: torch.Tensor) -> torch.Tensor:
    """S(x) = x: the surrogate that takes T for a small perturbation."""
    return images


class StraightThrough(torch.autograd.Function):
    """Value of the second argument, gradient to the first: no arithmetic, so the value is exact."""

    @staticmethod
    def forward(ctx, surrogate: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
        return exact.clone()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


class Defended(nn.Module):
    """f∘T whose gradient passes through S instead of T; a network like any other for the attack loop."""

    def __init__(self, network: nn.Module, transform: Transform, surrogate: Transform = identity) -> None:
        super().__init__()
        self.network, self.transform, self.surrogate = network, transform, surrogate

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            exact = self.transform(images.detach())
        return self.network(StraightThrough.apply(self.surrogate(images), exact))


class Expected(nn.Module):
    """Logits (draws·N)×classes of f∘T_k for fresh draws k in every call: EOT once losses are averaged over draws."""

    def __init__(self, network: nn.Module, transform: Callable[[torch.Tensor, int], torch.Tensor], draws: int) -> None:
        super().__init__()
        self.network, self.transform, self.draws, self.drawn = network, transform, draws, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = []
        for _ in range(self.draws):
            with torch.no_grad():
                exact = self.transform(images.detach(), self.drawn)
            logits.append(self.network(StraightThrough.apply(images, exact)))
            self.drawn += 1
        return torch.cat(logits)


class Together(nn.Module):
    """Logits (K·N)×classes of K views of the same N images, in the order of the views: an attack that averages them
    climbs f(T(x)) and f(x) at once, which is stronger than either on a network that was trained on both.
    """

    def __init__(self, *views: nn.Module) -> None:
        super().__init__()
        self.views = nn.ModuleList(views)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([view(images) for view in self.views])


class Noisy(nn.Module):
    """Logits ((draws + 1)·N)×classes of a view at the images and at x + σ n_k, n_k Gaussian and fresh in every call,
    the same for all images: the gradient of a smoothed classifier, where that of a deterministic one is ragged.
    """

    def __init__(self, view: nn.Module, *, sigma: float, draws: int, seed: int = 0) -> None:
        super().__init__()
        self.view, self.sigma, self.draws, self.seed, self.drawn = view, sigma, draws, seed, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = [self.view(images)]
        for _ in range(self.draws):
            noise = torch.randn(images.shape[1:], generator=generator(self.seed, self.drawn)).to(images)
            logits.append(self.view((images + self.sigma * noise).clamp(0, 1)))
            self.drawn += 1
        return torch.cat(logits)


@for_each_eps
def bpda(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    transform: Transform,
    surrogate: Transform = identity,
    eps: float,
    steps: int = 20,
    **options,
) -> torch.Tensor:
    """PGD on f∘T, the gradient taken at T(x) and passed back through S.

    Cost: `steps` forward and backward passes and as many transformations.

    Args:
        transform: T, N×C×H×W in [0,1] to what the network takes; surrogate: S, differentiable.
        options: of `attack.gradient.pgd` (seed, indices, step_size, objective).

    Returns the attacked images before T, detached. Raises ValueError as `gradient_attack` does.
    """
    return pgd(Defended(model, transform, surrogate), images, labels, eps=eps, steps=steps, **options)


@for_each_eps
def eot(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    transform: Callable[[torch.Tensor, int], torch.Tensor],
    draws: int,
    eps: float,
    steps: int = 20,
    **options,
) -> torch.Tensor:
    """BPDA (identity) on the expectation over a randomised T: `draws` fresh transformations in every step.

    `transform(images, k)` is draw k, counted from 0 over the whole attack; the attacker's draws should not be the
    defender's (another seed). Cost: steps · draws forward and backward passes. Raises ValueError for no draw.
    """
    if draws < 1:
        raise ValueError(f"draws is {draws}, expected at least 1")

    def mean_over_draws(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits, labels.repeat(draws)).reshape(draws, -1).sum(0) / draws

    expected = Expected(model, transform, draws)
    return pgd(expected, images, labels, eps=eps, steps=steps, objective=mean_over_draws, **options)


def self_check(
    accuracy: dict[str, float], order: Sequence[tuple[str, str]], *, tolerance: float = 0.02, chance: float = 0.0
) -> list[str]:
    """What should not be believed in a table of attacked accuracies; each finding is also a warning.

    Args:
        accuracy: attack to accuracy in [0,1] (lower: the attack did better).
        order: pairs (weaker, stronger): by construction the second knows or may do at least what the first does.
        tolerance: by how much the stronger may be worse before it counts; chance: a floor below which both are equal.
    """
    findings = []
    for weaker, stronger in order:
        if max(accuracy[stronger], chance) > max(accuracy[weaker], chance) + tolerance:
            findings.append(
                f"{stronger} leaves accuracy {accuracy[stronger]:.2f}, the weaker {weaker} {accuracy[weaker]:.2f}: "
                "the stronger attack was not run well, its number is no evidence of robustness"
            )
    for finding in findings:
        warnings.warn(finding, stacklevel=2)
    return findings
