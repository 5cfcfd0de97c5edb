"""Visual counterfactuals: the image within an lp-ball that a network takes for the target class most confidently.

    x̂ = argmax_x  log softmax(z(x)/T)_target     s.t.  ‖x - x_0‖_p <= ε,  x ∈ [0,1]^d

p = 1.5 (Auto-Frank-Wolfe) changes fewer values than p = 2 and is less spiky than p = 1. `counterfactual` gives every
optimiser one call; `min_norm` searches the other way round, the least ε at which a given confidence is reached, and
`matched_radius` the one ε at which a set of images reaches it on average: sizes of change of different p can only be
compared at equal confidence. Source: Boreiko, Augustin, Croce, Berens and Hein, GCPR 2022.
"""

import math
from collections.abc import Sequence

import torch
from scipy.optimize import brentq
from torch import nn

from aecompanion.attack.apgd import NORMS, ascend, check_ascent, nearest, spread, unit
from aecompanion.attack.ascent import Ascent, climb, in_batches
from aecompanion.attack.gradient import check_radius
from aecompanion.attack.lp_ball import Radius, check, lmo
from aecompanion.attack.objective import Objective, log_confidence, towards, value
from aecompanion.explain.frank_wolfe import SCHEDULES, auto_frank_wolfe
from aecompanion.networks.borrow import borrowed, device_of

__all__ = ["METHODS", "counterfactual", "lmo", "matched_radius", "min_norm"]
METHODS = (*SCHEDULES, "APGD", "PGD")


def counterfactual(
    method: str,
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    eps: Radius,
    p: float = 1.5,
    steps: int = 75,
    objective: Objective = log_confidence,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    batch: int = 64,
) -> Ascent:
    """The best point that one of METHODS finds within the lp-ball of radius eps (pixel units; or one per image).

    Frank-Wolfe methods take any p >= 1, "APGD" 1, 2 and inf, "PGD" (fixed steps of ε/10 from the image) 2 and inf.
    Raises ValueError for an unknown method or what it cannot do.
    """
    shared = {"eps": eps, "steps": steps, "objective": objective, "batch": batch}
    if method in SCHEDULES:
        schedule = SCHEDULES[method]
        return auto_frank_wolfe(model, images, target, p=p, schedule=schedule, seed=seed, keys=keys, **shared)
    names = {power: name for name, power in NORMS.items()}
    if method == "APGD" and p in names:
        return ascend(model, images, target, norm=names[p], seed=seed, indices=keys, **shared)
    if method == "PGD" and p in (2, math.inf):
        return fixed_steps(model, images, target, norm=names[p], **shared)
    known = ", ".join(METHODS)
    raise ValueError(f"{method!r} with p = {p} is unknown, expected one of {known} (APGD: p of 1, 2, inf; PGD: 2, inf)")


def fixed_steps(model, images, target, *, eps, norm, steps, objective, batch) -> Ascent:
    """PGD: the best point on a walk of fixed steps from the image, as its rivals return theirs."""
    _, images = check_ascent(images, target, steps), images.detach()
    check(images, images, eps, NORMS[norm])
    check_radius(eps, norm)

    def run(clean, wanted, radii, here):
        mover = Fixed(clean, radii, norm)
        progress, broken = climb(model, clean, wanted, mover, steps=steps, objective=objective)
        return progress.result(), broken

    return in_batches(model, images, target, eps, run, batch=batch)


class Fixed:
    """Steps of ε/10 that nothing changes: x_{k+1} = P(x_k + ε/10 d(g_k))."""

    judged: frozenset[int] = frozenset()

    def __init__(self, clean: torch.Tensor, radius: torch.Tensor, norm: str) -> None:
        self.clean, self.radius, self.norm = clean, radius, norm

    def move(self, step: int, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        forward = x + spread(self.radius / 10, x) * unit(gradient, self.norm)
        return nearest(forward, self.clean, self.radius, NORMS[self.norm])


def values(model, images, target, objective: Objective, batch: int) -> torch.Tensor:
    """The objective of every image, N, on the CPU."""
    device = device_of(model)
    with borrowed(model):
        pairs = zip(images.split(batch), target.split(batch), strict=True)
        return torch.cat([value(model, *(each.to(device) for each in pair), objective).cpu() for pair in pairs])


def confidences(model, images, target, eps, method: str, temperature: float, options: dict) -> Ascent:
    """A run whose values are confidences instead of their logarithms."""
    found = counterfactual(method, model, images, target, eps=eps, objective=towards(temperature), **options)
    return Ascent(found.images, found.value.exp(), found.trace.exp())


def min_norm(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    confidence: float | torch.Tensor,
    largest: float,
    searches: int = 8,
    method: str = "AFW",
    temperature: float = 1.0,
    **options,
) -> tuple[Ascent, torch.Tensor]:
    """The smallest radius found at which each image reaches `confidence` (one for all, or N), by halving (0, largest]
    per image.

    Returns the counterfactuals at these radii (their `value` is the confidence) and the radii, N, infinite where even
    `largest` does not suffice. `searches` halvings leave an uncertainty of largest/2^searches; cost: `searches` + 1
    runs of `method`, with `options` of `counterfactual`. Raises ValueError for a confidence outside (0, 1) or a radius
    that is not positive.
    """
    check_search(confidence, largest)
    low, high = torch.zeros(len(images)), torch.full((len(images),), float(largest))
    best = confidences(model, images, target, high, method, temperature, options)
    radii = torch.where(best.value >= confidence, high, torch.inf)
    for _ in range(searches):
        middle = (low + high) / 2
        found = confidences(model, images, target, middle, method, temperature, options)
        enough = found.value >= confidence
        mask = enough[:, None, None, None]
        best = Ascent(
            torch.where(mask, found.images, best.images),
            torch.where(enough, found.value, best.value),
            torch.where(enough, found.trace, best.trace),
        )
        radii = torch.where(enough, middle, radii)
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return best, radii


def matched_radius(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    confidence: float,
    largest: float,
    tolerance: float = 0.005,
    searches: int = 8,
    method: str = "AFW",
    temperature: float = 1.0,
    **options,
) -> float:
    """The one radius in [0, largest] at which the mean confidence of all images is `confidence`, by Brent's method on
    the log-odds of the mean.

    It ends within `tolerance` of the confidence, or after `searches` runs of `method` besides the first at `largest`.
    Returns infinity where `largest` does not suffice and 0 where the images need no change. Raises ValueError as
    `min_norm` does.
    """
    check_search(confidence, largest)
    wanted = math.log(confidence / (1 - confidence))

    def lacking(radius: float) -> float:
        """Log-odds above the wanted ones at this radius; 0 within the tolerance."""
        if radius == 0:
            reached = unchanged
        elif radius == largest:
            reached = farthest
        else:
            found = confidences(model, images, target, radius, method, temperature, options)
            reached = found.value.mean().item()
        odds = min(max(reached, 1e-6), 1 - 1e-6)
        return 0.0 if abs(reached - confidence) <= tolerance else math.log(odds / (1 - odds)) - wanted

    unchanged = values(model, images, target, towards(temperature), options.get("batch", 64)).exp().mean().item()
    if unchanged >= confidence:
        return 0.0
    farthest = confidences(model, images, target, float(largest), method, temperature, options).value.mean().item()
    if farthest < confidence:
        return math.inf
    return brentq(lacking, 0.0, float(largest), xtol=1e-4 * largest, maxiter=max(searches, 1), disp=False)


def check_search(confidence: float | torch.Tensor, largest: float) -> None:
    """Raise ValueError for confidences that no radius can be searched for."""
    asked = torch.as_tensor(confidence)
    if not ((asked > 0) & (asked < 1)).all() or not largest > 0:
        raise ValueError(f"confidence {confidence}, largest {largest}: expected (0, 1) and a positive radius")
