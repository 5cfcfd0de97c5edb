"""What adaptive ascents share: the loop, the best point of every image so far, and whether an image has stalled at a
checkpoint.

    x_{k+1} = move(x_k, ∇f(x_k)),     at a checkpoint x_k may go back to the best point of its image

The checkpoints of N steps are at 0, p_1, p_1 + p_2, ... with p_1 = ⌊.22 N⌋, each period ⌊.03 N⌋ shorter than the last
but at least ⌊.06 N⌋ (N = 75: 16, 30, 42, 52, 60, 66, 70, 74). An image has stalled if since the last checkpoint

    1. at most 75 % of the steps raised its objective, or
    2. its best value has not changed, and it did not stall at the last checkpoint.

It then continues from its best point with a smaller step. Every image has its own count, so that nothing depends on
the batch. Source: Croce and Hein, ICML 2020 (APGD); Boreiko et al., GCPR 2022, use the same rule in Auto-Frank-Wolfe.
"""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn

from aecompanion.attack.lp_ball import Radius, column
from aecompanion.attack.objective import NOT_FINITE, Objective, finite, value, value_and_gradient, warn_of
from aecompanion.networks.borrow import borrowed, device_of

RISING = 0.75  # share of the steps that must raise the objective


@dataclasses.dataclass(frozen=True, eq=False)
class Ascent:
    """n best points: `images` (like the input), `value`: their objective, n; `trace`: steps×n, the best so far after
    each step, the start included.
    """

    images: torch.Tensor
    value: torch.Tensor
    trace: torch.Tensor


def join(parts: list[Ascent]) -> Ascent:
    """The ascents of several batches as one."""
    return Ascent(
        torch.cat([part.images for part in parts]),
        torch.cat([part.value for part in parts]),
        torch.cat([part.trace for part in parts], dim=1),
    )


def in_batches(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    eps: Radius,
    run: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, slice], tuple[Ascent, torch.Tensor]],
    *,
    batch: int,
) -> Ascent:
    """The ascents of all batches as one, its images on the device of the given ones, the rest on the CPU.

    `run(clean, labels, radii, here)` climbs one batch on the network's device, with radii n×1 and `here` its positions,
    and says which of its images had a gradient that was not finite. Warns if there was one.
    """
    device, radius = device_of(model), column(eps, images).expand(len(images), 1)
    parts, broken = [], 0
    with borrowed(model):
        for start in range(0, len(images), batch):
            here = slice(start, start + batch)
            part, now = run(*(each[here].to(device) for each in (images, labels, radius)), here)
            parts.append(part)
            broken += int(now.sum())
    warn_of(broken, len(images), NOT_FINITE)
    found = join(parts)
    return Ascent(found.images.to(images.device), found.value.cpu(), found.trace.cpu())


def checkpoints(steps: int) -> list[int]:
    """The steps after which progress is judged, below `steps`."""
    period, shorter, least = (max(int(share * steps), 1) for share in (0.22, 0.03, 0.06))
    found = [period]
    while found[-1] < steps:
        period = max(period - shorter, least)
        found.append(found[-1] + period)
    return [each for each in found if each < steps]


class Progress:
    """Best points and checkpoints of one batch, from a start with its objective and gradient."""

    def __init__(self, x: torch.Tensor, value: torch.Tensor, gradient: torch.Tensor) -> None:
        self.x, self.value, self.gradient = x.clone(), value.clone(), gradient.clone()
        self.last, self.rises, self.since = value, torch.zeros_like(value), 0
        self.at_checkpoint, self.reduced = value.clone(), torch.ones_like(value, dtype=torch.bool)
        self.trace = [self.value.clone()]

    def see(self, x: torch.Tensor, value: torch.Tensor, gradient: torch.Tensor | None = None) -> None:
        """Take the point after one more step; `gradient` may be missing after the last one."""
        self.rises += value > self.last
        self.last, self.since = value, self.since + 1
        better = value > self.value
        self.value = torch.where(better, value, self.value)
        mask = better.reshape(-1, *[1] * (x.dim() - 1))
        self.x = torch.where(mask, x, self.x)
        if gradient is not None:
            self.gradient = torch.where(mask, gradient, self.gradient)
        self.trace.append(self.value.clone())

    def stalled(self) -> torch.Tensor:
        """At a checkpoint: which images have stalled (N booleans); starts the next period."""
        few = self.rises <= RISING * self.since
        stuck = ~self.reduced & (self.value <= self.at_checkpoint)
        self.reduced = few | stuck
        self.at_checkpoint = self.value.clone()
        self.rises, self.since = torch.zeros_like(self.rises), 0
        return self.reduced

    def restart(
        self, which: torch.Tensor, x: torch.Tensor, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x and gradient with the images `which` put back to their best point."""
        mask = which.reshape(-1, *[1] * (x.dim() - 1))
        self.last = torch.where(which, self.value, self.last)
        return torch.where(mask, self.x, x), torch.where(mask, self.gradient, gradient)

    def result(self) -> Ascent:
        """What was found."""
        return Ascent(self.x, self.value, torch.stack(self.trace))


class Mover(Protocol):
    """How an ascent moves. `judged`: the steps after which `judge` looks at the progress."""

    judged: set[int]

    def move(self, step: int, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor | None:
        """The next point (None: the ascent is over); steps count from 1."""

    def judge(self, progress: Progress, x: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Point and gradient to go on from."""


def climb(
    model: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    mover: Mover,
    *,
    steps: int,
    objective: Objective,
    on_step: Callable[[torch.Tensor], object] = lambda x: None,
) -> tuple[Progress, torch.Tensor]:
    """The progress of one batch after `steps` moves from x, and which images had a gradient that was not finite (such
    values count as 0). Cost: `steps` forward and backward passes and one forward pass.
    """
    values, gradient = value_and_gradient(model, x, labels, objective)
    gradient, broken = finite(gradient)
    progress = Progress(x, values, gradient)
    for step in range(1, steps + 1):
        moved = mover.move(step, x, gradient)
        if moved is None:
            break
        x = moved
        on_step(x)
        if step == steps:
            progress.see(x, value(model, x, labels, objective))
            break
        values, gradient = value_and_gradient(model, x, labels, objective)
        gradient, now = finite(gradient)
        broken |= now
        progress.see(x, values, gradient)
        if step in mover.judged:
            x, gradient = mover.judge(progress, x, gradient)
    return progress, broken
