"""Sign steps with momentum up any objective of any view of a defended network, for `attack.worst_case`.

    g <- g + ∇J / |∇J|_1,   x <- P( x + a_t sign(g) ),   a_t = ε · step · (1 + cos(π t / steps)) / 2, at least ε/32

P: the nearest point of the linf-ball and [0,1]. A view is whatever has a gradient worth following: the network behind a
surrogate (BPDA), several draws of a random transformation (EOT), the sum of f(T(x)) and f(x), noise around the image,
or another network (transfer). Every iterate goes to the judge.

Sources: Madry et al., ICLR 2018 (PGD); Dong et al., CVPR 2018 (momentum); Athalye et al., ICML 2018 (BPDA, EOT).
"""

import dataclasses
import math

import torch
from torch import nn

from aecompanion.attack.gradient import per_image
from aecompanion.attack.margin import OBJECTIVES, others, own
from aecompanion.attack.objective import finite
from aecompanion.attack.worst_case import Task
from aecompanion.networks.borrow import borrowed


@dataclasses.dataclass(frozen=True)
class Climb:
    """`view` gives K·N logits for N images, and the objective is averaged over the K; it is a name of
    `margin.OBJECTIVES`.

    exact: the first N logits are those of the real defended network on the rounded iterate, so that they are judged and
    no pass is needed for it. screen: so many of the K are a random defence under fresh draws, the first ones; the judge
    is asked about the images that all of these get wrong, the others are taken for unbroken, at their least margin.
    start: "image", "random" or "best", the point with the largest margin so far. target: None, or r: the classes at
    ranks r to r+k-1 of the others at the clean image.
    """

    name: str
    view: nn.Module
    objective: str = "margin"
    steps: int = 40
    start: str = "image"
    exact: bool = False
    screen: int = 0
    step: float = 0.5
    decay: float = 1.0
    target: int | None = None
    kind: str = "gradient"
    key: int = 0

    def run(self, task: Task) -> None:
        """Climb until every image is broken or the steps are done."""
        clean, labels = task.images, task.labels
        x, momentum = self.begin(task), torch.zeros_like(clean)
        goal = None
        history = torch.empty(0, len(clean))
        with borrowed(self.view):
            if self.target is not None:
                with torch.no_grad():
                    goal = others(self.view(clean)[: len(clean)], labels).topk(self.target + task.k - 1, dim=1).indices
                    goal = goal[:, self.target - 1 :]
            for t in range(self.steps):
                variable = x.detach().requires_grad_()
                with torch.enable_grad():
                    logits = self.view(variable)
                    count = len(logits) // len(x)
                    wanted = None if goal is None else goal.repeat(count, 1)
                    value = self.value(logits, labels.repeat(count), task.k, wanted)
                    gradient = torch.autograd.grad(value.sum(), variable)[0]
                shown = logits.detach()[: len(x)] if self.exact else None
                views = logits.detach().reshape(count, len(x), -1)[: self.screen] if self.screen else None
                keep = task.show(x, cost=count, logits=shown, views=views)
                now = value.detach().reshape(count, -1).mean(0).cpu()
                history = torch.cat([history, now[None]])[:, keep.cpu()]
                if not keep.any():
                    return
                gradient = finite(gradient[keep])[0]
                task.flat = max(getattr(task, "flat", 0), int((gradient.flatten(1).abs().amax(1) == 0).sum()))
                x, momentum, clean, labels = x[keep], momentum[keep], clean[keep], labels[keep]
                goal = None if goal is None else goal[keep]
                size = gradient.flatten(1).abs().sum(1).clamp_min(1e-30)
                momentum = self.decay * momentum + gradient / per_image(size, gradient)
                length = task.eps * max(self.step * (1 + math.cos(math.pi * t / self.steps)) / 2, 1 / 32)
                x = x + length * momentum.sign()
                x = torch.minimum(torch.maximum(x, clean - task.eps), clean + task.eps).clamp(0, 1)
            keep = task.show(x, cost=1)
        task.rise = late(history[:, keep.cpu()])

    def begin(self, task: Task) -> torch.Tensor:
        """The starting points."""
        clean = task.images
        if self.start == "best":
            return task.state.found[task.state.tops.index(task.k), task.left].clone()
        if self.start == "image":
            return clean.clone()
        noise = torch.stack([torch.rand(clean.shape[1:], generator=gen) for gen in task.generators(self.key)])
        return (clean + task.eps * (2 * noise.to(clean) - 1)).clamp(0, 1)

    def value(self, logits: torch.Tensor, labels: torch.Tensor, k: int, goal: torch.Tensor | None) -> torch.Tensor:
        """What is climbed, per row of logits."""
        if goal is not None:
            return logits.gather(1, goal).mean(1) - own(logits, labels)
        return OBJECTIVES[self.objective](logits, labels, k)


def late(history: torch.Tensor) -> list[float]:
    """Per image the share of the rise of its objective that came in the last quarter of the steps; steps×N values, the
    largest so far; 0 where nothing rose.
    """
    if len(history) < 4 or not history.shape[1]:
        return []
    best = history.cummax(0).values
    whole = best[-1] - best[0]
    return torch.where(whole > 1e-9, (best[-1] - best[3 * len(best) // 4]) / whole.clamp_min(1e-9), 0.0).tolist()
