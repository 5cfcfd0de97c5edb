"""X4.11: two headline statements about halftoning under every reasonable choice, from the saved rows.

    protects   accuracy with halftoning minus accuracy without it, same network, attack, radius, images, seeds
    keeps      clean accuracy of the hybrid network minus that of a network trained on one representation

The choices of the first: the attack (worst case, or a file from another network), ε (one, or the mean over 2, 4 and
8/255), top-1 or top-5, the network, the dots, one training seed or all, all images or those that both sides get right
without attack. Of the second: equal epochs or equal updates, grey images or dots, the rival's training, top-1 or top-5,
known or held-out crops, one seed or all. A combination that was not measured is left out.
"""

import functools
import itertools

import numpy as np
import pandas as pd

from aecompanion.attack.attacks import crafted_names, title_of
from aecompanion.evaluate.intervals import Interval
from aecompanion.papers.halftone.tables import HYBRID, METRICS, SOURCES, WORST
from aecompanion.papers.shift.specifications import interval as vectorised, weighted_mean, weights
from aecompanion.report import multiverse
from aecompanion.report.cubes import Condition

PROTECTS = "Halftoning protects more than no halftoning"
KEEPS = "The hybrid network keeps clean accuracy within 5 points"
LABELS = {PROTECTS: "accuracy with minus without", KEEPS: "hybrid minus one representation"}
LINES = {PROTECTS: 0.0, KEEPS: -0.05}
CHOICES = ("attack", "ε", "measure", "network", "dots", "images", "hybrid", "tested on", "rival", "crops", "seeds")
MEAN = "mean of 2, 4, 8"
LEVELS = (2, 4, 8, 16)
LEAST = 10  # images that a seed needs in a subset
SUBSETS = ("all", "right without attack")
FLOYD = "Floyd-Steinberg"
TRAINED = {"hybrid": HYBRID, "adversarial": "adversarial training + halftone", "specialists": "halftone network"}
WITHOUT = {
    "hybrid": "hybrid without halftoning",
    "adversarial": "adversarial training",
    "specialists": "no defence",  # one network trained on dots, one on grey images
}
CROPS = {"known": "known", "held-out": "held_out"}
HYBRIDS = {"equal epochs": "hybrid", "equal updates": "hybrid_updates"}
RIVALS = {"plain": "{}", "twice the epochs": "{}_twice", "shifted images": "{}_shifts"}


def file_of(attack: str, source: str) -> str:
    """The name of a transferred attack among the choices."""
    return f"{title_of(attack)}, file from {source}"


FILES = {file_of(attack, source): (attack, source) for source in SOURCES for attack in crafted_names()}
ATTACKS = (WORST, *FILES)


class Rows:
    """The saved rows by condition, each a matrix seeds × images; a condition without rows is none."""

    def __init__(self, adaptive: pd.DataFrame, transfer: pd.DataFrame, representations: pd.DataFrame) -> None:
        known = transfer[transfer["split"] == "known"]
        self.parts: dict[tuple, pd.DataFrame] = {}
        for rows, keys in (
            (adaptive, ["defence", "adversary", "level"]),
            (known, ["defence", "attack", "source", "level"]),
            (representations, ["split", "network", "view"]),
        ):
            self.parts |= dict(list(rows.groupby(keys)))
        self.seeds = [str(each) for each in sorted(representations["seed"].unique())]
        self.dots = {FLOYD: HYBRID}
        for name in (*dict.fromkeys(adaptive["defence"]), *dict.fromkeys(transfer["defence"])):
            if name.startswith("hybrid + ") and name != HYBRID:
                self.dots[name.removeprefix("hybrid + ").removesuffix(" halftone")] = name
        self.matrix = functools.lru_cache(maxsize=None)(self.matrix)

    def matrix(self, key: tuple, metric: str) -> pd.DataFrame | None:
        """seeds × images of one condition."""
        part = self.parts.get(key)
        return None if part is None else part.pivot(index="seed", columns="image", values=metric).astype(float)

    def pair(self, keys: list[tuple], metric: str, seeds: str) -> np.ndarray | None:
        """seeds × images × 2 of two conditions; None where one, or a seed that is asked for, is missing."""
        sides = [self.matrix(key, metric) for key in keys]
        wanted = [int(each) for each in (self.seeds if seeds == "all" else [seeds])]
        if any(side is None or not set(wanted) <= set(side.index) for side in sides):
            return None
        sides = [side.loc[wanted] for side in sides]
        if not sides[0].columns.equals(sides[1].columns):
            raise ValueError(f"{keys}: other images on one side, expected the same")
        return np.stack([side.to_numpy() for side in sides], axis=-1)

    def protects(self, **chosen: str) -> Interval | None:
        """The first statement under one combination of choices."""
        network, attack = chosen["network"], chosen["attack"]
        if network != "hybrid" and chosen["dots"] != FLOYD:
            return None
        names = (self.dots[chosen["dots"]] if network == "hybrid" else TRAINED[network]), WITHOUT[network]
        kind, *source = (WORST,) if attack == WORST else FILES[attack]
        clean = ("none",) if attack == WORST else ("clean", "grey")
        found = []
        for level in (2, 4, 8) if chosen["ε"] == MEAN else (int(chosen["ε"]),):
            attacked = self.pair([(name, kind, *source, level) for name in names], chosen["measure"], chosen["seeds"])
            before = self.pair([(name, *clean, 0) for name in names], chosen["measure"], chosen["seeds"])
            if attacked is None or before is None:
                return None
            difference = attacked[..., 0] - attacked[..., 1]
            if chosen["images"] != SUBSETS[0]:
                difference = np.where(before.all(-1), difference, np.nan)
            found.append(difference)
        return measured(np.mean(found, axis=0), least=2 if chosen["images"] == SUBSETS[0] else LEAST)

    def keeps(self, **chosen: str) -> Interval | None:
        """The second."""
        view = chosen["tested on"]
        names = HYBRIDS[chosen["hybrid"]], RIVALS[chosen["rival"]].format(view)
        keys = [(CROPS[chosen["crops"]], name, view) for name in names]
        values = self.pair(keys, chosen["measure"], chosen["seeds"])
        return None if values is None else measured(values[..., 0] - values[..., 1])


def measured(values: np.ndarray, *, least: int = 2, resamples: int = 60, seed: int = 0) -> Interval | None:
    """The mean of seeds × images without missing values and its interval; None for fewer than `least` in a seed."""
    if (np.isfinite(values).sum(1) < least).any():
        return None
    seeds, images = values.shape
    means = weighted_mean(values[..., None], weights(seeds, images, resamples=resamples, seed=seed))
    return vectorised(means, seeds if seeds > 1 else 0, images)


def table(adaptive: pd.DataFrame, transfer: pd.DataFrame, representations: pd.DataFrame) -> pd.DataFrame:
    """One row per statement and combination of choices, see `report.multiverse`."""
    rows = Rows(adaptive, transfer, representations)
    levels = [each for each in LEVELS if (adaptive["level"] == each).any()]
    seeds = ["all", *(rows.seeds if len(rows.seeds) > 1 else [])]
    protects = {
        "attack": ATTACKS,
        "ε": (*([MEAN] if {2, 4, 8} <= set(levels) else []), *map(str, levels)),
        "measure": METRICS,
        "network": tuple(TRAINED),
        "dots": tuple(rows.dots),
        "images": SUBSETS,
        "seeds": seeds,
    }
    keeps = {
        "hybrid": tuple(HYBRIDS),
        "tested on": ("grey", "halftone"),
        "rival": tuple(RIVALS),
        "measure": METRICS,
        "crops": tuple(CROPS),
        "seeds": seeds,
    }
    parts = [
        multiverse.specifications(claim, choices, measure, {name: levels[0] for name, levels in choices.items()})
        for claim, choices, measure in ((PROTECTS, protects, rows.protects), (KEEPS, keeps, rows.keeps))
    ]
    return pd.concat(parts, ignore_index=True)


def pairs(adaptive: pd.DataFrame) -> list[tuple[Condition, Condition]]:
    """With and without halftoning in the worst case, at every radius of `LEVELS` at which both have all seeds."""
    worst = adaptive[(adaptive["adversary"] == WORST) & adaptive["level"].isin(LEVELS)]
    counts = worst.groupby(["defence", "level"])["seed"].nunique()
    complete = set(counts[counts == worst["seed"].nunique()].index)
    sides = [(name, WITHOUT["hybrid"]) for name in worst["defence"].unique() if name.startswith("hybrid + ")]
    sides += [(TRAINED[name], WITHOUT[name]) for name in ("adversarial", "specialists")]
    return [
        tuple({"adversary": WORST, "level": level, "defence": name} for name in both)
        for both, level in itertools.product(sides, LEVELS)
        if all((name, level) in complete for name in both)
    ]


def clean_pairs(representations: pd.DataFrame) -> list[tuple[Condition, Condition]]:
    """Hybrid and rival of every combination of the second statement but measure and seeds, on known crops."""
    known = set(representations.groupby(["split", "network", "view"]).groups)
    found, split = [], "known"
    for hybrid, view, rival in itertools.product(HYBRIDS.values(), ("grey", "halftone"), RIVALS.values()):
        names = hybrid, rival.format(view)
        if all((split, name, view) in known for name in names):
            found.append(tuple({"split": split, "network": name, "view": view} for name in names))
    return found
