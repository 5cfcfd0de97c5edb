"""Square: random search by squares of ±ε, which asks a classifier for its logits only.

    x_0 = clip(x + ε s), s = ±1 per column and channel;   x_{t+1} = clip(x_t with a square of side h set to x ± ε)

kept where the margin does not fall. The squares cover a share p of the image, which halves on the release's schedule,
so h = round(√(p·H·W)). It sees no gradient, so what it breaks after attacks by gradient have failed was hidden from
them.

Where we depart: the judge rounds to 8 bits; one try per step and image. Source: Andriushchenko et al., ECCV 2020.
"""

import dataclasses

import torch

from aecompanion.attack.worst_case import Task

HALVED = (10, 50, 200, 1000, 2000, 4000, 6000, 8000)  # of 10000 queries


def share(step: int, steps: int, first: float) -> float:
    """p at a step."""
    return first / 2 ** sum(step * 10000 // steps > each for each in HALVED)


@dataclasses.dataclass(frozen=True)
class Square:
    """An attack of `attack.worst_case`; `queries` forward passes per image. start: "image", or "best", the point with
    the largest margin that earlier attacks have found, in the place of the columns; it then refines what gradients have
    found, and its `kind` should say so.
    """

    name: str = "square"
    queries: int = 100
    first: float = 0.8
    start: str = "image"
    kind: str = "search"
    key: int = 7

    def run(self, task: Task) -> None:
        """Search until every image is broken or has had its queries."""
        clean, generators = task.images, task.generators(self.key)
        channels, height, width = clean.shape[1:]
        place = task.state.tops.index(task.k)
        if self.start == "best":
            x = task.state.found[place, task.left].clone()
        else:
            signs = [torch.rand((channels, 1, width), generator=gen) for gen in generators]
            x = (clean + task.eps * torch.stack(signs).sub(0.5).sign().to(clean)).clamp(0, 1)
        best = torch.full((len(x),), -torch.inf)
        tried = x
        for step in range(self.queries):
            before = task.left
            value = task.state.judge(tried, task.labels, task.state.tops)
            task.state.record(before, tried, value, 1, task.attack)
            value = value[:, place].cpu()
            keep = ~(value > 0)
            better = value >= best
            x = torch.where(better.to(x.device)[:, None, None, None], tried, x)[keep.to(x.device)]
            best = torch.maximum(best, value)[keep]
            task.left, clean = before[keep], clean[keep.to(clean.device)]
            generators = [gen for gen, kept in zip(generators, keep.tolist(), strict=True) if kept]
            if not len(x):
                return
            side = max(round((share(step, self.queries, self.first) * height * width) ** 0.5), 1)
            side = min(side, height, width)
            tried = x.clone()
            for i, gen in enumerate(generators):
                top = int(torch.randint(0, height - side + 1, (), generator=gen))
                left = int(torch.randint(0, width - side + 1, (), generator=gen))
                sign = (torch.rand((channels, 1, 1), generator=gen) - 0.5).sign().to(x)
                window = clean[i, :, top : top + side, left : left + side] + task.eps * sign
                tried[i, :, top : top + side, left : left + side] = window.clamp(0, 1)
