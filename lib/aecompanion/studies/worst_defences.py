"""One portfolio of attacks for every defence, so that rows of a table had the same budget, and the rows that it leaves.

    views of f∘T   BPDA with f(x) added; BPDA through a low-pass with f(x) added; noise around the image; for a random T
                   the mean over draws (EOT)
    attacks        average margin, noisy gradients from the best point, cross-entropy, DLR, targeted, random starts: in
                   the order of what they break per pass, since a broken image is given to no later one
    then           one of them on a network of the same regime and another seed (transfer), Square, Square from the
                   best point
    then           what else was measured on the same images, seed and draw (`united`): single attacks, stored files
    then           for some rows twice the work, four times, and so on, until nothing breaks (`doubled`)

Where T is no transformation, its views are the network itself.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.attack.adaptive import Defended, Expected, Noisy, Together, identity
from aecompanion.attack.climb import Climb
from aecompanion.attack.gradient import quantise
from aecompanion.attack.square import Square
from aecompanion.attack.worst_case import Attack, Judge, Worst, judge_of, judge_of_draws, worst_case
from aecompanion.defend.defences import Transform, unchanged
from aecompanion.defend.inverse import low_pass
from aecompanion.evaluate.defence import outcomes

TOPS = (1, 5)
NOISE, BLUR = 2 / 255, 0.7  # of the noisy view, of the low-pass surrogate
DRAWS, JUDGES = 2, 3  # of a random defence: per step; that all have to be wrong
Draw = Callable[[torch.Tensor, int], torch.Tensor]  # images and the number of a draw to transformed images


@dataclasses.dataclass(frozen=True)
class Case:
    """f∘T with a network `other` of the same regime and another seed; `draw`: draws of the attacker's own where T is
    random, else None.
    """

    network: nn.Module
    other: nn.Module
    transform: Transform = unchanged
    draw: Draw | None = None

    def real(self, network: nn.Module, surrogate: Transform | None = None) -> nn.Module:
        """A network behind the transformation, 8-bit images going in, its gradient passing through the surrogate; by
        default that which the transformation brings along, else the identity.
        """
        surrogate = surrogate or getattr(self.transform, "surrogate", identity)
        if self.draw is not None:
            draw = self.draw
            return Expected(network, lambda images, k: draw(quantise(images), k), DRAWS)
        transform = self.transform
        return Defended(network, lambda images: transform(quantise(images)), surrogate)

    def mixed(self, network: nn.Module, surrogate: Transform | None = None) -> nn.Module:
        """The real one with the network itself, whose gradient knows no transformation, added."""
        real = self.real(network, surrogate)
        return real if self.draw is None and self.transform is unchanged else Together(real, network)


def portfolio(case: Case, *, steps: int, queries: int) -> list[Attack]:
    """The attacks in their order: gradients first, then transfer, then search."""
    sees = {"exact": True} if case.draw is None else {"screen": DRAWS}
    half, quarter = max(steps // 2, 1), max(steps // 4, 1)
    view, blurred = case.mixed(case.network), case.mixed(case.network, functools.partial(low_pass, sigma=BLUR))
    noisy = Noisy(case.real(case.network), sigma=NOISE, draws=1)
    return [
        Climb("average margin", view, "average", steps, **sees),
        Climb("noisy gradients", noisy, "margin", half, "best", **sees),
        Climb("cross-entropy", view, "cross-entropy", half, "random", **sees, key=1),
        Climb("low-pass, DLR", blurred, "dlr", half, "random", **sees, key=2),
        Climb("target 1", view, "margin", half, "random", **sees, target=1, key=3),
        Climb("transfer", case.mixed(case.other), "average", quarter, kind="transfer"),
        Square("square", queries),
        Square("square from the best", 2 * queries, start="best", kind="refinement", key=8),
    ]


def attacked(
    case: Case,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: Sequence[float],
    steps: int,
    queries: int,
    seed: int,
) -> Worst:
    """The worst case of the portfolio."""
    attacks = portfolio(case, steps=steps, queries=queries)
    return worst_case(judge(case), images, labels, eps=eps, attacks=attacks, tops=TOPS, seed=seed)


def judge(case: Case) -> Judge:
    """The real defended network; of a random defence the attacker's own draws."""
    if case.draw is None:
        return judge_of(lambda x: case.network(case.transform(x)))
    return judge_of_draws([functools.partial(drawn, case, number=10**6 + k) for k in range(JUDGES)])


def doubled(
    case: Case,
    images: torch.Tensor,
    labels: torch.Tensor,
    left: pd.DataFrame,
    *,
    aims: Mapping[int, Sequence[int]],
    steps: int,
    queries: int,
    doublings: int,
    seed: int,
) -> pd.DataFrame:
    """Does more work break more? Round r gives what is left 2^r times the steps and queries, from new random starts.

    Args:
        left: rows of `united` for this defence and network in the worst case so far (level, image, top1, top5).
        aims: the values of k that are aimed at, per level (of 255); the others stay as they were left.
        steps, queries: of the portfolio in the worst case so far.

    Returns a row per round, level and image: effort (2^r), level, image, top1, top5 (whether the image is right still)
    and spent (passes on it in this round). What breaks breaks at larger radii and smaller k, too. Raises ValueError for
    a random defence, which has no image that stays broken.
    """
    if case.draw is not None:
        raise ValueError("a random defence, expected one under which a broken image stays broken")
    levels = sorted(aims)
    table = left.set_index(["level", "image"]).sort_index()
    right = {
        (level, k): torch.from_numpy(table.xs(level)[f"top{k}"].loc[list(range(len(images)))].to_numpy(bool, copy=True))
        for level in levels
        for k in TOPS
    }
    parts = []
    for effort in (2**r for r in range(1, doublings + 1)):
        attacks = portfolio(case, steps=effort * steps, queries=effort * queries)
        for level in levels:
            spent = torch.zeros(len(images))
            for k in aims[level]:
                alive = right[level, k].nonzero().flatten()
                if not len(alive):
                    continue
                options = {"eps": [level / 255], "attacks": attacks, "tops": (k,), "seed": seed + effort}
                found = worst_case(judge(case), images[alive], labels[alive], indices=alive.tolist(), **options)
                spent[alive] += found.spent[0, 0]
                broken = alive[found.margin[0, 0] > 0]
                for wider, fewer in ((each, top) for each in levels for top in TOPS if each >= level and top <= k):
                    right[wider, fewer][broken] = False
            facts = {"effort": effort, "level": level, "image": range(len(images)), "spent": spent.numpy()}
            parts.append(pd.DataFrame(facts | {f"top{k}": right[level, k].numpy().copy() for k in TOPS}))
    return pd.concat(parts, ignore_index=True)


def drawn(case: Case, images: torch.Tensor, *, number: int) -> torch.Tensor:
    """Logits behind one draw of a random transformation."""
    assert case.draw is not None
    return case.network(case.draw(images, number))


def rows(worst: Worst, network: nn.Module, defence: Transform, labels: torch.Tensor) -> pd.DataFrame:
    """A row per radius and image: level (of 255), image, top1 and top5 as the real defence judges the images that were
    found for each, by1, by5 the attack that broke it, passes1, passes5 after how many passes (infinite: not broken),
    spent1, spent5 how many the attacks have had in all.
    """
    parts = []
    for e, eps in enumerate(worst.eps):
        one = outcomes(network, defence(worst.images[e, 0]), labels)
        five = outcomes(network, defence(worst.images[e, 1]), labels)
        facts = {"level": round(255 * eps), "image": range(len(labels)), "top5": five["top5"]}
        for t, k in enumerate(TOPS):
            facts |= {f"by{k}": worst.by[e][t], f"passes{k}": worst.passes[e, t].numpy()}
            facts |= {f"spent{k}": worst.spent[e, t].numpy()}
        parts.append(one.assign(**facts))
    return pd.concat(parts, ignore_index=True)


def united(rows: pd.DataFrame, *, worst: str) -> pd.DataFrame:
    """The rows with the worst case made a union over all that was measured on the same images: whatever gets an image
    wrong behind the same defence, network and draw, at this radius or a smaller one, breaks it.

        top_k(worst, ε, x) <- min over adversaries a and radii ε' <= ε of top_k(a, ε', x)

    So the worst case is never above one of its parts, clean images and stored files included, and never rises with the
    radius; behind a random halftone every part may try its luck at the one draw that the defender has. An image that a
    part breaks alone counts as broken after all passes of the portfolio and the steps of that part.

    Args:
        rows: of `rows`, with defence, seed, adversary, steps; worst: the name of the adversary that is the portfolio.
    """
    keys, found = ["defence", "seed", "image"], rows.copy()
    portfolio = found["adversary"] == worst
    for k in TOPS:
        wrong = rows[~rows[f"top{k}"].astype(bool)].sort_values(["level", "steps"], kind="stable")
        first = wrong.drop_duplicates(keys).set_index(keys)
        here = pd.MultiIndex.from_frame(found.loc[portfolio, keys])
        level, by, steps = (first[name].reindex(here).to_numpy() for name in ("level", "adversary", "steps"))
        mine = found.loc[portfolio]
        broken = level <= mine["level"].to_numpy()
        news = broken & mine[f"top{k}"].to_numpy(bool)
        found.loc[portfolio, f"top{k}"] = mine[f"top{k}"].to_numpy(bool) & ~broken
        names = np.where(by == worst, "smaller radius", by)
        found.loc[portfolio, f"by{k}"] = np.where(news, names, mine[f"by{k}"])
        found.loc[portfolio, f"passes{k}"] = np.where(news, mine[f"spent{k}"] + steps, mine[f"passes{k}"])
    return found
