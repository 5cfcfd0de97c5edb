"""Does a worst case deserve belief? Signs that its attacks failed, not that the network is robust.

    no gradient               images on which some gradient attack found every derivative zero
    loss still rises          mean share of the rise of an objective that came in the last quarter of the steps
    more budget helps         images that broke in the last quarter of the passes
    search beats gradients    images that only a search without gradients broke, after attacks by gradient had failed
    transfer beats white box  images that only a transferred attack broke, after the attacks on the network itself
    chance not reached        accuracy above chance at a radius at which no image need keep its content

The first five are shares, raised above a tolerance; a robust network raises none, a network that hides its gradients
several. A flag that is up makes the accuracy an upper bound that more work would lower.

Sources: Pintor et al., Indicators of Attack Failure, NeurIPS 2022; the checks of AutoAttack (Croce and Hein, ICML
2020); Carlini et al., arXiv 1902.06705; Athalye et al., ICML 2018 (section 3.1).
"""

import dataclasses

import torch

from aecompanion.attack.worst_case import Worst

LAST = 0.75  # the last quarter


@dataclasses.dataclass(frozen=True)
class Flag:
    """`value` is compared with `limit`."""

    name: str
    value: float
    limit: float

    @property
    def raised(self) -> bool:
        return self.value > self.limit


def flags(worst: Worst, *, k: int = 1, chance: float, far: float, tolerance: float = 0.02) -> list[Flag]:
    """The six flags of a worst case for one k; shares are over all images and the largest over the radii below `far`.

    Args:
        chance: accuracy of guessing. far: the largest radius of `worst`, at which chance has to be reached (64/255).
        tolerance: of the shares; the rise of the objective may be five times as much.

    Raises ValueError if `far` is not the largest radius or the only one.
    """
    if len(worst.eps) < 2 or far != worst.eps[-1]:
        raise ValueError(f"radii are {worst.eps}, expected some below and the last to be {far}")
    t = worst.tops.index(k)
    near = range(len(worst.eps) - 1)
    white = [name for name, kind in worst.kinds.items() if kind == "gradient"]
    rises = [share for name, aim, shares in worst.rise if aim == k and name in white for share in shares]
    flat = max((worst.flat.get(name, 0.0) for name in white), default=0.0)
    return [
        Flag("no gradient", flat, tolerance),
        Flag("loss still rises", sum(rises) / len(rises) if rises else 0.0, 5 * tolerance),
        Flag("more budget helps", max(late_breaks(worst, e, t) for e in near), tolerance),
        Flag("search beats gradients", max(broken_by(worst, e, t, "search") for e in near), tolerance),
        Flag("transfer beats white box", max(broken_by(worst, e, t, "transfer") for e in near), tolerance),
        Flag("chance not reached", worst.accuracy(far, k), chance + tolerance),
    ]


def broken_by(worst: Worst, e: int, t: int, kind: str) -> float:
    """Share of images whose first break came from attacks of a kind."""
    return sum(worst.kinds.get(name) == kind for name in worst.by[e][t]) / len(worst.by[e][t])


def late_breaks(worst: Worst, e: int, t: int) -> float:
    """Share of images that broke at this radius in the last quarter of the passes, or later as a by-product of another
    k; 0 where no image had all of them.
    """
    before = start(worst, e, t)
    budget = float((worst.spent[e, t] - before).max())
    passes = worst.passes[e, t]
    late = passes.isfinite() & (passes > before + LAST * budget) if budget else torch.zeros_like(passes, dtype=bool)
    survivors = bool((~worst.broken(worst.eps[e], worst.tops[t])).any())
    return float(late.float().mean()) if survivors else 0.0


def start(worst: Worst, e: int, t: int) -> torch.Tensor:
    """Passes that every image had seen before this radius and this k."""
    if t:
        return worst.spent[e, t - 1]
    return worst.spent[e - 1, -1] if e else torch.ones_like(worst.spent[0, 0])
