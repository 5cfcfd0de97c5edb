"""Auto-Frank-Wolfe: maximise an objective over an lp-ball around an image, for any p >= 1, without a projection.

    s_k = x_0 + lmo(∇f(x_k); x_0, ε, p),     x_{k+1} = (1 - γ_k) x_k + γ_k s_k,     f(x) = log softmax(z(x)/T)_target

Every iterate is a convex combination of points of ball and box, so it is feasible. The start is the vertex s of a
Gaussian direction. At the checkpoints of `attack.ascent` an image that has stalled returns to its best point and
its step size is multiplied by `factor`; returned is the best point, not the last. Schedules:

    PUBLISHED   γ_k = M / (2 + √k), M = 2, factor .75   the authors' later release and an independent implementation
    RELEASED    γ_k = .75, factor .5                    the code released with the paper
    CLASSIC     γ_k = 2 / (k + 2), nothing adaptive     Frank and Wolfe 1956; Jaggi, ICML 2013
    MOMENTUM    CLASSIC on m_k = .9 m_{k-1} + .1 ∇f
    CONSTANT    γ_k = .75, nothing adaptive

Cost: N + 1 forward and N backward passes and N + 1 calls of the oracle, per restart. The Frank-Wolfe gap
<∇f(x_k), s_k - x_k> bounds what a concave f could still gain; with `tolerance` an image stops where it is below.

Where we depart: the release clips and draws from the global generator, so that its result depends on the batch; here
the start is drawn from (seed, restart, key of the image). Its failure for small gradients is that of its oracle, see
`attack.lp_ball`. Source: Boreiko, Augustin, Croce, Berens and Hein, GCPR 2022; docs/papers/counterfactual.md, section 3
(which of the schedules the paper states is not known here).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from aecompanion.attack.apgd import check_ascent, spread
from aecompanion.attack.ascent import Ascent, Progress, checkpoints, climb, in_batches
from aecompanion.attack.gradient import check_radius
from aecompanion.attack.lp_ball import Radius, check, lmo
from aecompanion.attack.objective import Objective, log_confidence
from aecompanion.pipeline.rng import generator

RULES = ("root", "constant", "harmonic")


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Step sizes. rule: "root" M/(2+√k), "constant" M, "harmonic" M/(k+2). size: M. adaptive: checkpoints and restarts
    from the best point, with M multiplied by `factor`. momentum: β of the averaged gradient.

    Raises ValueError for an unknown rule or numbers outside their ranges.
    """

    rule: str = "root"
    size: float = 2.0
    adaptive: bool = True
    factor: float = 0.75
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"rule {self.rule!r} is unknown, expected one of {', '.join(RULES)}")
        largest = 1 if self.rule == "constant" else 2
        if not (0 < self.size <= largest and 0 < self.factor < 1 and 0 <= self.momentum < 1):
            found = f"size {self.size}, factor {self.factor}, momentum {self.momentum}"
            raise ValueError(f"{found}: expected (0, {largest}], (0, 1), [0, 1)")

    def step(self, k: int, size: torch.Tensor) -> torch.Tensor:
        """γ_k for the images' own M."""
        return size / {"root": 2 + math.sqrt(k), "constant": 1.0, "harmonic": k + 2.0}[self.rule]


PUBLISHED = Schedule("root", 2.0, factor=0.75)
RELEASED = Schedule("constant", 0.75, factor=0.5)
CLASSIC = Schedule("harmonic", 2.0, adaptive=False)
MOMENTUM = dataclasses.replace(CLASSIC, momentum=0.9)
CONSTANT = Schedule("constant", 0.75, adaptive=False)
SCHEDULES = {
    "AFW": PUBLISHED,
    "AFW (released)": RELEASED,
    "FW": CLASSIC,
    "FW + momentum": MOMENTUM,
    "FW, constant step": CONSTANT,
}


def auto_frank_wolfe(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    eps: Radius,
    p: float = 1.5,
    steps: int = 75,
    schedule: Schedule = PUBLISHED,
    objective: Objective = log_confidence,
    restarts: int = 1,
    tolerance: float | None = None,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    batch: int = 64,
    on_step: Callable[[torch.Tensor], object] = lambda x: None,
) -> Ascent:
    """The best points of the lp-ball found in `restarts` runs of `steps` steps; `trace` is that of the best run.

    Args:
        images: N×C×H×W in [0,1]. target: N classes, as the objective reads them. eps: radius in pixel units, or N of
            them. tolerance: of the Frank-Wolfe gap. seed, keys: of the starts (keys: by default the positions).
        on_step: sees every iterate of a batch.

    Raises ValueError for no step or restart, p below 1, a negative radius, for p = inf one above 1, images outside
    [0,1], another number of keys than of images, and a tolerance together with momentum. Warns if some gradient is not
    finite; such values count as 0.
    """
    keys, images = check_ascent(images, target, steps, keys), images.detach()
    check(images, images, eps, p)
    if p == math.inf:
        check_radius(eps, "linf")
    if restarts < 1:
        raise ValueError(f"restarts is {restarts}, expected at least 1")
    if tolerance is not None and schedule.momentum:
        raise ValueError("a tolerance needs the gap at the gradient, which momentum replaces: expected one of the two")

    def run(clean, wanted, radii, here):
        best, broken = None, torch.zeros(len(clean), dtype=torch.bool, device=clean.device)
        for restart in range(restarts):
            drawn = gaussian(clean.shape[1:], seed, restart, keys[here]).to(clean)
            x = (clean + lmo(drawn, clean, radii, p)).clamp(0, 1)
            walk = Walk(clean, radii, p, steps, schedule, tolerance)
            progress, now = climb(model, x, wanted, walk, steps=steps, objective=objective, on_step=on_step)
            found, broken = complete(progress, steps), broken | now
            best = found if best is None else better(best, found)
        return best, broken

    return in_batches(model, images, target, eps, run, batch=batch)


class Walk:
    """The steps of one run of one batch."""

    def __init__(
        self,
        clean: torch.Tensor,
        radius: torch.Tensor,
        p: float,
        steps: int,
        schedule: Schedule,
        tolerance: float | None,
    ) -> None:
        self.clean, self.radius, self.p, self.schedule, self.tolerance = clean, radius, p, schedule, tolerance
        self.judged = set(checkpoints(steps)) if schedule.adaptive else set()
        self.size, self.average = torch.full_like(radius, schedule.size), None
        self.running = torch.ones(len(clean), dtype=torch.bool, device=clean.device)

    def move(self, step: int, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor | None:
        beta, direction = self.schedule.momentum, gradient
        if beta:
            self.average = gradient if self.average is None else beta * self.average + (1 - beta) * gradient
            direction = self.average
        vertex = self.clean + lmo(direction, self.clean, self.radius, self.p)
        if self.tolerance is not None:
            self.running = self.running & (gap(gradient, vertex - x) >= self.tolerance)
            if not self.running.any():
                return None
        share = spread(self.schedule.step(step - 1, self.size) * self.running[:, None], x)
        return torch.lerp(x, vertex, share).clamp(0, 1)

    def judge(self, progress: Progress, x: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        stalled = progress.stalled()
        self.size = torch.where(stalled[:, None], self.size * self.schedule.factor, self.size)
        return progress.restart(stalled, x, gradient)


def complete(progress: Progress, steps: int) -> Ascent:
    """What was found; the trace of a run that stopped early goes on at its last value."""
    trace = progress.trace + [progress.value] * (steps + 1 - len(progress.trace))
    return Ascent(progress.x, progress.value, torch.stack(trace))


def gaussian(shape: torch.Size, seed: int, restart: int, keys: Sequence[int]) -> torch.Tensor:
    """A Gaussian direction per key, drawn from (seed, restart, key)."""
    return torch.stack([torch.randn(shape, generator=generator(seed, restart, int(key))) for key in keys])


def gap(gradient: torch.Tensor, move: torch.Tensor) -> torch.Tensor:
    """<∇f, s - x> of every image."""
    return (gradient * move).flatten(1).sum(1)


def better(first: Ascent, second: Ascent) -> Ascent:
    """Per image the one with the larger objective."""
    wins = second.value > first.value
    mask = wins.reshape(-1, *[1] * (first.images.dim() - 1))
    return Ascent(
        torch.where(mask, second.images, first.images),
        torch.where(wins, second.value, first.value),
        torch.where(wins, second.trace, first.trace),
    )
