"""Frank-Wolfe for "l1-q": a step moves the q most useful values by the same amount.

    s_k = x_0 + argmax_δ <∇f(x_k), δ>   s.t.  ‖δ‖_1 <= ε,  ‖δ‖_inf <= ε/q,  x_0 + δ ∈ [0,1]^d
    x_{k+1} = (1 - γ_k) x_k + γ_k s_k,   γ_k = 2 / (k + 2)

The l1-ball cut with the linf-ball of radius ε/q has vertices with q entries of ±ε/q. Its oracle is a fractional
knapsack: in the order of |∇f| every value takes min(ε/q, its room in the box) until ε is spent, so that the q largest
move by ε/q each, and where the box stops some of them the next ones take what is left. q = 1 is the l1-ball in the box;
a large q spreads the change over more values, which the l1-ball alone does not.

**After its name, not after its text.** FW-L1-q is the name of a method of the same authors that came before
Auto-Frank-Wolfe (MLVis 2021). Its text could not be read here: which set q belongs to and which steps are taken is
derived from the name alone, so that nothing found with this module says anything about the original.
"""

from collections.abc import Sequence

import torch
from torch import nn

from aecompanion.attack.apgd import check_ascent
from aecompanion.attack.ascent import Ascent, climb, in_batches
from aecompanion.attack.lp_ball import Radius, check, column, directed, knapsack
from aecompanion.attack.objective import Objective, log_confidence
from aecompanion.explain.frank_wolfe import gaussian


def lmo_l1q(w: torch.Tensor, x: torch.Tensor, eps: Radius, q: int) -> torch.Tensor:
    """δ, shaped like x: the maximiser of <w, δ> with ‖δ‖_1 <= eps and ‖δ‖_inf <= eps/q around x within [0,1]^d.

    Raises ValueError for q below 1 and for what `attack.lp_ball.lmo` refuses.
    """
    if q < 1:
        raise ValueError(f"q is {q}, expected at least 1")
    check(w, x, eps, 1)
    sign, size, room = directed(w, x)
    radius = column(eps, x)
    return (sign * knapsack(size, torch.minimum(room, radius / q), radius)).reshape(x.shape)


class Walk:
    """Steps 2/(k+2) towards the vertices of one batch; nothing is adapted."""

    judged: frozenset[int] = frozenset()

    def __init__(self, clean: torch.Tensor, radius: torch.Tensor, q: int) -> None:
        self.clean, self.radius, self.q = clean, radius, q

    def move(self, step: int, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        vertex = self.clean + lmo_l1q(gradient, self.clean, self.radius, self.q)
        return torch.lerp(x, vertex, 2 / (step + 1)).clamp(0, 1)


def frank_wolfe_l1q(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    eps: Radius,
    q: int,
    steps: int = 75,
    objective: Objective = log_confidence,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    batch: int = 64,
) -> Ascent:
    """The best points on the walk of `steps` steps; starts and arguments as in `frank_wolfe.auto_frank_wolfe`.

    Cost: steps + 1 forward and `steps` backward passes. Raises ValueError as `lmo_l1q` does, for no step and another
    number of keys than of images.
    """
    keys, images = check_ascent(images, target, steps, keys), images.detach()

    def run(clean, wanted, radii, here):
        drawn = gaussian(clean.shape[1:], seed, 0, keys[here]).to(clean)
        x = (clean + lmo_l1q(drawn, clean, radii, q)).clamp(0, 1)
        progress, broken = climb(model, x, wanted, Walk(clean, radii, q), steps=steps, objective=objective)
        return progress.result(), broken

    return in_batches(model, images, target, eps, run, batch=batch)
