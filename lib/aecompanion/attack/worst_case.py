"""What is left of a defended classifier when every attack of a portfolio has had its try at every image.

    broken(x) = any over attacks a and their iterates x_t of  [ margin_k( f(T(q(x_t))), y ) > 0 ]
    worst-case accuracy = share of images with broken(x) = 0

f∘T is the real defended network, T exact and q the rounding to 8 bits, whatever gradient an attack climbs: a surrogate
may mislead the attack, never the count. So the number is a union per image, not the lowest mean of one attack, and the
best iterate counts, not the last. Images that are broken are given to no later attack, which makes the union cheap;
what was broken at a smaller radius is broken at a larger one, because the balls are nested.

An attack (`attack.climb.Climb`, `attack.square.Square`) has a name and run(task); the task shows iterates to the judge
and says which images are left. `Worst` keeps after how many passes each image broke, which gives accuracy against
budget, and what `attack.flags` reads.

Sources: union over attacks and the 8-bit check Carlini et al., arXiv 1902.06705; ensembles of attacks Croce and Hein,
ICML 2020 (AutoAttack).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from aecompanion.attack.gradient import check, quantise
from aecompanion.attack.margin import margins
from aecompanion.pipeline.rng import generator

Judge = Callable[[torch.Tensor, torch.Tensor, Sequence[int]], torch.Tensor]  # images, labels, tops: N×tops, > 0 broken


class Attack(Protocol):
    """One try at the images that are left."""

    name: str
    kind: str  # "gradient", "search" or "transfer"

    def run(self, task: "Task") -> None:
        """Show iterates until none is left or the attack has spent what it may."""


def judge_of(classifier: Callable[[torch.Tensor], torch.Tensor]) -> Judge:
    """The judge of a deterministic classifier: the margins of its logits on 8-bit images."""

    @torch.no_grad()
    def judge(images: torch.Tensor, labels: torch.Tensor, tops: Sequence[int]) -> torch.Tensor:
        return margins(classifier(quantise(images)), labels, tops)

    return judge


def judge_of_draws(classifiers: Sequence[Callable[[torch.Tensor], torch.Tensor]]) -> Judge:
    """The judge of a randomised defence, from draws of the attacker's own: broken is what all of them get wrong."""
    each = [judge_of(classifier) for classifier in classifiers]
    return lambda images, labels, tops: torch.stack([judge(images, labels, tops) for judge in each]).amin(0)


@dataclasses.dataclass
class Worst:
    """For E radii, T values of k and N images: `images` E×T×N×C×H×W with the largest margin that was found, `margin`
    E×T×N (> 0: broken), `passes` E×T×N forward passes spent on the image at this and smaller radii until it broke
    (infinite: it did not), `spent` E×T×N all passes, `by` E×T×N the attack that broke it ("": none; "clean": wrong
    before any; its kind in `kinds`), `rise` a list of (attack, k, share of the rise of its objective that came in the
    last quarter, per image that it left), `flat` the share of images that had no gradient, per attack.
    """

    eps: tuple[float, ...]
    tops: tuple[int, ...]
    images: torch.Tensor
    margin: torch.Tensor
    passes: torch.Tensor
    spent: torch.Tensor
    by: list[list[list[str]]]
    rise: list[tuple[str, int, list[float]]]
    flat: dict[str, float]
    kinds: dict[str, str]

    def broken(self, eps: float, k: int) -> torch.Tensor:
        """N booleans."""
        return self.margin[self.eps.index(eps), self.tops.index(k)] > 0

    def accuracy(self, eps: float, k: int, *, budget: float = math.inf) -> float:
        """Share of images that no attack broke within so many passes."""
        place = self.eps.index(eps), self.tops.index(k)
        return 1 - float(((self.margin[place] > 0) & (self.passes[place] <= budget)).float().mean())


class Task:
    """One attack's view of the images that are left: clean images, labels, radius, k, seeds, and the judge."""

    def __init__(self, state: "State", left: torch.Tensor, eps: float, k: int, attack: str, seed: int) -> None:
        self.state, self.left, self.eps, self.k, self.attack, self.seed = state, left, eps, k, attack, seed

    @property
    def images(self) -> torch.Tensor:
        return self.state.images[self.left]

    @property
    def labels(self) -> torch.Tensor:
        return self.state.labels[self.left]

    def generators(self, *path: int) -> list[torch.Generator]:
        """One per image that is left, from (seed, index of the image, path)."""
        return [generator(self.seed, int(self.state.indices[i]), *path) for i in self.left]

    def show(
        self,
        images: torch.Tensor,
        *,
        cost: int,
        logits: torch.Tensor | None = None,
        views: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Judge one iterate of every image that is left, count `cost` passes, and return which are left still (booleans
        over those before).

        Args:
            logits: of the real defended network on the rounded iterate, where the attack has them, N×classes. views:
                K×N×classes of a random defence under fresh draws; an image that one of them gets right at every k is
                not broken, and the judge is spared.
        """
        state, labels = self.state, self.labels
        if logits is not None:
            found = margins(logits, labels, state.tops)
        elif views is not None:
            found = torch.stack([margins(each, labels, state.tops) for each in views]).amin(0)
            sure = (found > 0).any(1)
            if sure.any():
                found[sure] = state.judge(images[sure], labels[sure], state.tops)
        else:
            found = state.judge(images, labels, state.tops)
        state.record(self.left, images, found, cost, self.attack)
        keep = ~(found[:, state.tops.index(self.k)] > 0)
        self.left = self.left[keep.cpu()]
        return keep


class State:
    """The best point so far of every image, for every k."""

    def __init__(self, judge: Judge, images: torch.Tensor, labels: torch.Tensor, tops, indices) -> None:
        self.judge, self.images, self.labels, self.tops, self.indices = judge, images, labels, tops, indices
        shape = (len(tops), len(images))
        self.best = torch.full(shape, -math.inf)
        self.found = images.expand(len(tops), *images.shape).clone()
        self.passes, self.spent = torch.full(shape, math.inf), torch.zeros(len(images))
        self.by = [[""] * len(images) for _ in tops]

    def record(self, left: torch.Tensor, images: torch.Tensor, found: torch.Tensor, cost: int, attack: str) -> None:
        self.spent[left] += cost
        for t, values in enumerate(found.cpu().T):
            better = values > self.best[t, left]
            news = left[better & (values > 0) & ~(self.best[t, left] > 0)]
            self.passes[t, news] = self.spent[news]
            for i in news.tolist():
                self.by[t][i] = attack
            self.best[t, left[better]] = values[better]
            self.found[t, left[better]] = quantise(images[better.to(images.device)])


def worst_case(
    judge: Judge,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: Sequence[float],
    attacks: Sequence[Attack],
    tops: Sequence[int] = (1,),
    seed: int = 0,
    indices: Sequence[int] | None = None,
) -> Worst:
    """Give every image that is not broken yet to one attack after another, at one radius after another (linf).

    Args:
        judge: `judge_of(f∘T)`. images: N×C×H×W in [0,1], on the 8-bit grid, or rounding may leave the ball by half a
            grey level. eps: ascending, in pixel units. tops: the values of k; each is aimed at in its turn, and every
            iterate is judged for all of them. indices: names of the images, for random starts.

    Raises ValueError for no attack, radii that do not ascend, images outside [0,1] and what `gradient.check` refuses.
    """
    eps, tops = tuple(eps), tuple(tops)
    if not attacks or not eps or not tops or list(eps) != sorted(set(eps)):
        raise ValueError(f"{len(attacks)} attacks, eps {eps}, tops {tops}, expected some of each and ascending radii")
    for each in eps:
        check(images, eps=each, norm="linf", steps=1)
    indices = range(len(images)) if indices is None else indices
    if not len(indices) == len(labels) == len(images):
        raise ValueError(f"{len(images)} images, {len(labels)} labels, {len(indices)} names, expected equal numbers")
    state = State(judge, images.detach(), labels, tops, list(indices))
    everything = torch.arange(len(images))
    Task(state, everything, 0.0, tops[0], "clean", seed).show(state.images, cost=1)
    kept: dict[str, list] = {"images": [], "margin": [], "passes": [], "spent": [], "by": []}
    rise, flat, spent = [], {}, []
    for radius in eps:
        for t, k in enumerate(tops):
            for attack in attacks:
                left = everything[~(state.best[t] > 0)]
                if len(left):
                    task = Task(state, left, radius, k, attack.name, seed)
                    attack.run(task)
                    rise += [(attack.name, k, shares) for shares in [getattr(task, "rise", [])] if shares]
                    flat[attack.name] = max(flat.get(attack.name, 0), getattr(task, "flat", 0) / len(images))
            spent.append(state.spent.clone())
        for name, value in (("images", state.found), ("margin", state.best), ("passes", state.passes)):
            kept[name].append(value.clone())
        kept["spent"].append(torch.stack(spent[-len(tops) :]))
        kept["by"].append([list(names) for names in state.by])
    stacked = {name: torch.stack(kept[name]) for name in ("images", "margin", "passes", "spent")}
    return Worst(
        eps, tops, **stacked, by=kept["by"], rise=rise, flat=flat, kinds={each.name: each.kind for each in attacks}
    )
