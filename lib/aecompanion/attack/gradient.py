"""Gradient attacks: one loop; FGSM, I-FGSM and PGD are settings of it.

    x_0 = x (+ a random point of the ball),   x_{t+1} = clip_[0,1]( P_eps( x_t + a · d(∇_x J(f(x_t), y)) ) )

with d = sign and P_eps a clamp to ±eps for linf, d = g / |g|_2 and P_eps a rescaling to |.|_2 <= eps for l2. Untargeted
attacks ascend J, targeted ones descend it. eps and step sizes are in pixel units ([0,1] images, norm over C×H×W).

Objectives stand in `attack.objective`, one value per image; the default is the cross-entropy. For a sequence of eps
an attack returns a list with one tensor per eps, in order.

Sources: FGSM Goodfellow et al., ICLR 2015; I-FGSM Kurakin et al., ICLR 2017 workshop; PGD Madry et al., ICLR 2018.
"""

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from aecompanion.attack.objective import NOT_FINITE, Objective, cross_entropy, finite, value_and_gradient, warn_of
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.pipeline.rng import generator

Attacked = torch.Tensor | list[torch.Tensor]  # N×C×H×W; a list of them for a sequence of eps


def for_each_eps(attack: Callable[..., torch.Tensor]) -> Callable[..., Attacked]:
    """The attack, which for a list or tuple of eps gives one result per eps, in order."""

    @functools.wraps(attack)
    def over(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, eps, **options) -> Attacked:
        if isinstance(eps, list | tuple):
            return [attack(model, images, labels, eps=each, **options) for each in eps]
        return attack(model, images, labels, eps=eps, **options)

    return over


@for_each_eps
def fgsm(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, eps: float, **options) -> torch.Tensor:
    """Fast gradient (sign) method: one step of length eps. Cost: one forward and one backward pass."""
    return gradient_attack(model, images, labels, eps=eps, steps=1, step_size=eps, **options)


@for_each_eps
def ifgsm(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, eps: float, steps: int = 10, **options
) -> torch.Tensor:
    """Iterative FGSM (basic iterative method): steps of eps / steps from the image itself, unless told otherwise."""
    options = {"step_size": eps / max(steps, 1)} | options
    return gradient_attack(model, images, labels, eps=eps, steps=steps, **options)


@for_each_eps
def pgd(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    steps: int = 20,
    seed: int = 0,
    **options,
) -> torch.Tensor:
    """Projected gradient descent: a random start, steps of 2.5·eps / steps unless told otherwise."""
    options = {"step_size": 2.5 * eps / max(steps, 1)} | options
    return gradient_attack(model, images, labels, eps=eps, steps=steps, seed=seed, **options)


def gradient_attack(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    norm: str = "linf",
    steps: int,
    step_size: float,
    targeted: bool = False,
    objective: Objective = cross_entropy,
    seed: int | None = None,
    indices: Sequence[int] | None = None,
) -> torch.Tensor:
    """The loop above; `steps` forward and backward passes.

    Args:
        images: N×C×H×W in [0,1]; labels: what `objective` takes (class indices; the target class if `targeted`).
        eps: radius in pixel units, for linf at most 1. norm: "linf" or "l2".
        seed: None starts at the image; a number starts at a random point of the ball, drawn from
            (seed, index of the image), with `indices` (default 0..N-1) naming the images.

    Returns the attacked images, detached, on the images' device. Raises ValueError for images outside [0,1], a
    negative eps, one in grey levels, an unknown norm or no step. Warns if some image has no gradient at all, because
    robustness is then no evidence (masked gradients), and if some gradient is not finite; such values count as 0.
    """
    check(images, eps=eps, norm=norm, steps=steps)
    clean = images.detach().to(device_of(model))
    labels = labels.to(clean.device)
    current = clean if seed is None else random_start(clean, eps=eps, norm=norm, seed=seed, indices=indices)
    move = -step_size if targeted else step_size
    flat, broken = 0, torch.zeros(len(clean), dtype=torch.bool, device=clean.device)
    with borrowed(model):
        for _ in range(steps):
            gradient = input_gradient(model, current, labels, objective=objective)
            flat = max(flat, int((gradient.flatten(1).abs().amax(1) == 0).sum()))
            gradient, now = finite(gradient)
            broken |= now
            current = current + move * direction(gradient, norm)
            current = (clean + shortened(current - clean, eps, norm)).clamp(0, 1)
    warn_of(flat, len(images), "a zero gradient")
    warn_of(int(broken.sum()), len(images), NOT_FINITE)
    return current.to(images.device)


def input_gradient(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, objective: Objective = cross_entropy
) -> torch.Tensor:
    """∇_x Σ objective(model(x), labels), N×C×H×W."""
    return value_and_gradient(model, images, labels, objective)[1]


def gradient_signs(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    batch: int = 128,
    objective: Objective = cross_entropy,
) -> torch.Tensor:
    """sign ∇_x J as int8 N×C×H×W: the stored form of an FGSM perturbation, to be scaled by any eps later.

    Warns of gradients that are not finite; such values have the sign 0.
    """
    device, signs, broken = device_of(model), [], 0
    with borrowed(model):
        for start in range(0, len(images), batch):
            chunk, own = images[start : start + batch].to(device), labels[start : start + batch].to(device)
            gradient, now = finite(input_gradient(model, chunk, own, objective=objective))
            signs.append(gradient.sign().to(torch.int8).cpu())
            broken += int(now.sum())
    warn_of(broken, len(images), NOT_FINITE)
    return torch.cat(signs)


def perturb(images: torch.Tensor, signs: torch.Tensor, eps: float, *, bits: int | None = 8) -> torch.Tensor:
    """clip_[0,1](x + eps · s), rounded to `bits` per pixel as a saved image is (None: not rounded).

    Raises ValueError for an eps outside [0,1].
    """
    check_radius(eps, "linf")
    attacked = (images + eps * signs).clamp(0, 1)
    return attacked if bits is None else quantise(attacked, bits)


def quantise(images: torch.Tensor, bits: int = 8) -> torch.Tensor:
    """round(x·(2^d - 1)) / (2^d - 1): the nearest of 2^d levels, as a saved image has (8 bits)."""
    levels = 2**bits - 1
    return (images * levels).round() / levels


def direction(gradient: torch.Tensor, norm: str) -> torch.Tensor:
    """Steepest ascent of unit length in `norm` (zero where the gradient is zero)."""
    if norm == "linf":
        return gradient.sign()
    return gradient / per_image(gradient.flatten(1).norm(dim=1).clamp_min(1e-12), gradient)


def shortened(delta: torch.Tensor, eps: float, norm: str) -> torch.Tensor:
    """The nearest point of the eps-ball around zero."""
    if norm == "linf":
        return delta.clamp(-eps, eps)
    return delta * per_image((eps / delta.flatten(1).norm(dim=1).clamp_min(1e-12)).clamp_max(1), delta)


def random_start(
    images: torch.Tensor, *, eps: float, norm: str, seed: int, indices: Sequence[int] | None
) -> torch.Tensor:
    """A uniform point of the eps-ball around each image, clipped to [0,1]; drawn per image from (seed, index)."""
    shape, dimension = images.shape[1:], images[0].numel()
    indices = range(len(images)) if indices is None else indices
    if len(indices) != len(images):
        raise ValueError(f"indices name {len(indices)} images, expected {len(images)}")
    starts = []
    for index in indices:
        gen = generator(seed, int(index))
        if norm == "linf":
            starts.append(eps * (2 * torch.rand(shape, generator=gen) - 1))
        else:
            gaussian = torch.randn(shape, generator=gen)
            radius = torch.rand((), generator=gen) ** (1 / dimension)
            starts.append(eps * radius * gaussian / gaussian.norm())
    return (images + torch.stack(starts).to(images)).clamp(0, 1)


def per_image(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """N values shaped to broadcast over N×C×H×W."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def check(images: torch.Tensor, *, eps: float, norm: str, steps: int) -> None:
    """Raise ValueError for what would silently make another attack."""
    if norm not in ("linf", "l2"):
        raise ValueError(f"norm is {norm!r}, expected 'linf' or 'l2'")
    check_radius(eps, norm)
    if steps < 1:
        raise ValueError(f"steps is {steps}, expected at least 1")
    low, high = images.aminmax()
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise ValueError(f"images span [{low:.3g}, {high:.3g}], expected [0, 1] (normalisation belongs in the network)")


def check_radius(eps: float | torch.Tensor, norm: str) -> None:
    """Raise ValueError for radii, one or one per image, that are none in pixel units: in linf no two images of [0,1]
    are farther apart than 1.
    """
    low, high = (float(eps.min()), float(eps.max())) if isinstance(eps, torch.Tensor) else (eps, eps)
    if not (low >= 0 and math.isfinite(high)):
        raise ValueError(f"eps is {eps}, expected a finite number >= 0 in pixel units")
    if norm == "linf" and high > 1:
        raise ValueError(f"eps is {eps}, expected at most 1 in pixel units for linf (divide grey levels by 255)")
