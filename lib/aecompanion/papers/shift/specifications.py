"""X5.7: two headline claims of paper 5 under every reasonable choice, from the saved rows of heatmaps.

    order   "every deep network moves less than every wide one": least MOD of a wide network minus the largest of a deep
    noise   "maps move more than under random signs of equal size": MOD minus that of noise, the least over networks

The choices: arm and explained class; ε, or VID, the standard deviation over the levels, in its place; the scale (raw,
minus that of noise, over the ceiling); the dissimilarity of two maps (columns of the rows); mean or median over images;
all images that are right without attack, those still right, those fooled; one training seed or all.

The intervals are those of `evaluate.intervals` by way of `evaluate.replicates`: a cell's means (or medians) on all
resamples are one product and serve all specifications that ask for the cell.
"""

import functools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from aecompanion.evaluate.intervals import Interval
from aecompanion.evaluate.replicates import interval, weighted_mean, weighted_median, weights
from aecompanion.papers.shift.tables import ARMS, LEVELS, cube, families_of
from aecompanion.report import multiverse

ORDER = "Every deep network moves less than every wide one"
NOISE = "Maps move more than under random signs of equal size"
LABELS = {ORDER: "gap: least wide - largest deep", NOISE: "MOD minus that of noise"}
CHOICES = ("arm, class", "ε", "scale", "dissimilarity", "statistic", "images", "networks", "seeds")
CLASSES = {"own_pred": "own class", "clean_pred": "clean class"}
SCALES = ("raw", "over noise", "share of ceiling")
SUBSETS = ("right without attack", "still right", "fooled")
# other settings of SSIM than the display's, and the columns of the rows that hold a dissimilarity, the display's first
SETTINGS = {"nissim_3": {"window": 3}, "nissim_range": {"data_range": 2.0}, "nissim_jet": {"jet": True}}
MEASURES = {"NISSIM": "nissim", "NISSIM, window of 3": "nissim_3", "NISSIM, data range 2": "nissim_range"}
MEASURES |= {"NISSIM, jet colours": "nissim_jet", "1 - rank correlation": "unlike"}
VID = "VID"
LEAST = 10  # images and seeds that a network needs in a subset


class Replicates:
    """Statistics of MOD per network on all resamples: rows × networks, rows (1 + resamples) × (1 + seeds left out).

    Args:
        shift: the rows of `evaluate.shift` with the columns of `SETTINGS`; resamples, seed: as in
            `evaluate.intervals.interval`.
    """

    def __init__(self, shift: pd.DataFrame, *, resamples: int, seed: int):
        self.shift, self.resamples, self.seed = shift.assign(unlike=1 - shift["rank"]), resamples, seed
        self.training = sorted(shift["seed"].unique())
        self.deep, self.wide = families_of(shift)
        pairs = dict.fromkeys(zip(shift["arm"], shift["mode"], strict=True))
        self.arms = {
            f"{ARMS[arm]}, {CLASSES[mode]}": (arm, mode)
            for arm in ARMS
            for mode in CLASSES
            if arm != "noise" and (arm, mode) in pairs
        }
        self.cell = functools.lru_cache(maxsize=None)(self.cell)
        self.values = functools.lru_cache(maxsize=None)(self.values)

    def values(self, column: str, arm: str, mode: str) -> np.ndarray:
        """seeds × images × networks × levels of a column (one level for "other")."""
        levels = (0.0,) if arm == "other" else LEVELS
        return cube(self.shift, column, mode=mode, arm=arm, levels=levels)

    def cell(self, column: str, what: str, arm: str, mode: str, level: int, statistic: str, images: str, seeds: str):
        """The statistic of `what` (the arm, "noise" or "other") over the images of the subset that `arm` makes.

        None where a network has fewer than `LEAST` of them.
        """
        kept = self.values("correct", arm, mode)[..., level]
        found = self.values(column, what, mode)[..., 0 if what == "other" else level]
        if images != SUBSETS[0]:
            found = np.where(kept == (images == SUBSETS[1]), found, np.nan)
        if seeds != "all":
            found = found[[self.training.index(int(seeds))]]
        if ((~np.isnan(found)).sum((0, 1)) < LEAST).any():
            return None
        drawn = weights(*found.shape[:2], resamples=self.resamples, seed=self.seed)
        return {"mean": weighted_mean, "median": weighted_median}[statistic](found, drawn)

    def moved(self, measure: str, what: str, arm: str, mode: str, eps: str, *subset: str) -> np.ndarray | None:
        """MOD at one level, or its standard deviation over the levels (VID), rows × networks."""
        numbers = range(len(LEVELS)) if eps == VID and what != "other" else [level_of(eps)]
        cells = [self.cell(MEASURES[measure], what, arm, mode, number, *subset) for number in numbers]
        if any(each is None for each in cells):
            return None
        return np.std(cells, axis=0) if len(cells) > 1 else cells[0]

    def order(self, **chosen: str) -> Interval | None:
        """The first claim under one combination of choices, None where it does not arise."""
        moved = self.scaled(chosen)
        if moved is None:
            return None
        gaps = moved[:, self.wide, None] - moved[:, None, self.deep]
        return interval(gaps.reshape(len(gaps), -1), self.left_out(chosen["seeds"]), self.images())

    def noise(self, **chosen: str) -> Interval | None:
        """The second claim under one combination of choices."""
        moved = self.scaled(chosen | {"scale": "over noise"})
        if moved is None:
            return None
        if chosen["networks"] == "mean":
            moved = moved.mean(1, keepdims=True)
        return interval(moved, self.left_out(chosen["seeds"]), self.images())

    def scaled(self, chosen: Mapping[str, str]) -> np.ndarray | None:
        arm, mode = self.arms[chosen["arm, class"]]
        rest = [arm, mode, chosen["ε"], chosen["statistic"], chosen["images"], chosen["seeds"]]
        moved = self.moved(chosen["dissimilarity"], arm, *rest)
        if moved is None or chosen["scale"] == "raw":
            return moved
        what = "noise" if chosen["scale"] == "over noise" else "other"
        beside = self.moved(chosen["dissimilarity"], what, *rest)
        return None if beside is None else moved - beside if what == "noise" else moved / beside

    def left_out(self, seeds: str) -> int:
        """How many seeds are left out in turn."""
        return len(self.training) if seeds == "all" and len(self.training) > 1 else 0

    def images(self) -> int:
        return self.shift["image"].nunique()


def level_of(eps: str) -> int:
    """The place of a level, given as text, in `LEVELS`; the first one for VID."""
    return 0 if eps == VID else LEVELS.index(float(eps))


def table(shift: pd.DataFrame, *, resamples: int = 60, seed: int = 0) -> pd.DataFrame:
    """One row per claim and specification, see `report.multiverse`; `shift` as `Replicates` takes it.

    The order needs deep and wide networks; it is left out where there are none.
    """
    replicates = Replicates(shift, resamples=resamples, seed=seed)
    levels = [f"{level:g}" for level in LEVELS]
    choices = {
        "arm, class": list(replicates.arms),
        "ε": levels,
        "dissimilarity": list(MEASURES),
        "statistic": ["mean", "median"],
        "images": list(SUBSETS),
        "seeds": ["all", *(map(str, replicates.training) if len(replicates.training) > 1 else [])],
    }
    published = {name: options[0] for name, options in choices.items()} | {"ε": levels[1]}
    of_order = choices | {"ε": [*levels, VID], "scale": list(SCALES)}
    of_noise = choices | {"networks": ["least", "mean"]}
    tables = []
    if replicates.deep.any() and replicates.wide.any():
        own = published | {"scale": SCALES[2]}
        tables.append(multiverse.specifications(ORDER, of_order, replicates.order, own))
    own = published | {"networks": "least"}
    tables.append(multiverse.specifications(NOISE, of_noise, replicates.noise, own))
    return pd.concat(tables, ignore_index=True)
