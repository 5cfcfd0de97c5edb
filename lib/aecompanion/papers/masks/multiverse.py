"""X3.11: RP against MP under every reasonable choice, from the rows of `mask_games`.

The claims are P3.04 (RP deletes better than MP) and P3.29 (RP changes the other classes less than MP). Choices: start,
area weight and kind of the masks (`explain.specifications`), what removed pixels become, the networks with their data,
and the statistic; training seeds are in the intervals. Every estimate is RP's value over MP's, < 1 where RP is ahead:

    ratio of means    mean RP / mean MP
    median ratio      median over pairs and seeds of RP / MP
    odds of losing    pairs on which RP has the larger value over pairs on which it has the smaller one, ties halved

Intervals of ratios are formed on the logarithm, that of the odds on the logit of the share of pairs, which is the same.
"""

import functools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.evaluate.intervals import Interval, bounded, interval
from aecompanion.explain.specifications import MASKS, OWN, PUBLISHED, STARTS, TUNED, VARIANTS, WEIGHTS, compared
from aecompanion.papers.masks.gates import EMPTY, MOST_EMPTY
from aecompanion.papers.masks.tables import FOR_READERS, UNBOUNDED, quotient
from aecompanion.report import multiverse

LEAST = 1e-4  # probabilities below it are not told apart
FAMILIES = {"vgg": "VGG", "resnet": "ResNet", "googlenet": "GoogLeNet"}
COLUMNS = {  # what is compared: the claim, and what removed pixels become in its own display
    "deletion": ("RP deletes better than MP", "mean colour"),
    "change": ("RP changes the other classes less than MP", "blur"),
}
LABELS = {
    COLUMNS["deletion"][0]: "deletion AUC, RP / MP",
    COLUMNS["change"][0]: "mean |Δp| of the others, RP / MP",
}
TICKS = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 3)]
CHOICES = ("start", "area weight", "masks", "removed pixels become", "networks", "statistic")


@bounded(0, UNBOUNDED)
def median_quotient(v: np.ndarray) -> float:
    """Median over pairs and seeds of first / second."""
    return float(np.exp(np.median(np.log(v[..., 0] / v[..., 1]))))


@bounded(0, 1)
def losses(v: np.ndarray) -> float:
    """Share of pairs, over all seeds, on which the first is the larger one; half of those that are equal."""
    return float((v[..., 0] > v[..., 1]).mean() + (v[..., 0] == v[..., 1]).mean() / 2)


def odds_of_losing(v: np.ndarray, **options) -> Interval:
    """Of none or all of n pairs: half a pair, so that the odds are finite."""
    half = 0.5 / v[..., 0].size
    found = interval(losses, v, **options)
    shares = np.clip([found.value, found.low, found.high], half, 1 - half)
    return Interval(*(shares / (1 - shares)).tolist())


STATISTICS = {
    "ratio of means": functools.partial(interval, quotient),
    "median ratio": functools.partial(interval, median_quotient),
    "odds of losing": odds_of_losing,
}


def name_of(data: str, family: str) -> str:
    return f"{FAMILIES.get(family, family)}, {FOR_READERS.get(data, data)}"


def arrays(rows: pd.DataFrame, column: str) -> dict[tuple[str, str, str], np.ndarray]:
    """seeds × pairs of one column for every (networks, method, substrate); networks: a family and its data, by name."""
    table = rows.pivot(index=["data", "family", "method", "substrate", "seed"], columns="pair", values=column)
    found = {}
    for (data, family, method, substrate), part in table.groupby(level=[0, 1, 2, 3], sort=False):
        found[name_of(data, family), method, substrate] = part.dropna(axis=1, how="all").to_numpy(float)
    return found


def specifications(rows: pd.DataFrame, scores: pd.DataFrame, **options) -> pd.DataFrame:
    """One row per claim and specification (`report.multiverse`). `rows`: deletion and change per data, family, seed,
    pair, method and substrate, the claims' own networks first; `scores`: those of T3.2, which say what masks are empty.
    A specification with more than `MOST_EMPTY` of one method's masks empty is left out, as claims about such masks are
    not tested; none is marked as published where that one is.

    Raises ValueError if two masks that are compared do not have the same seeds and pairs.
    """
    keys = ["data", "family", "seed", "pair", "method"]
    facts = scores[keys].assign(empty=(scores["area"] < EMPTY) | (scores["stuck"] > 0))
    needed = dict.fromkeys([*VARIANTS, *(compared(PUBLISHED, PUBLISHED, PUBLISHED) or ())])
    rows = rows[rows["method"].isin(needed)].merge(facts, on=keys, validate="many_to_one")
    pairs = rows[["data", "family"]].drop_duplicates().itertuples(index=False)
    networks = [name_of(*each) for each in pairs]
    empty, tables = arrays(rows, "empty"), []
    for column, (claim, substrate) in COLUMNS.items():
        known = arrays(rows, column)
        levels = list(STARTS), WEIGHTS, MASKS, list(rows["substrate"].unique()), networks, list(STATISTICS)
        published = dict(zip(CHOICES, ("0", TUNED, OWN, substrate, networks[0], "ratio of means"), strict=True))

        def measure(known: dict = known, **chosen) -> Interval | None:
            names = compared(chosen["start"], chosen["area weight"], chosen["masks"])
            ids = [(chosen["networks"], name, chosen["removed pixels become"]) for name in names or ()]
            if not ids or any(each not in known or empty[each].mean() > MOST_EMPTY for each in ids):
                return None
            values = np.stack([known[each] for each in ids], axis=-1)
            return STATISTICS[chosen["statistic"]](values.clip(LEAST), **options)

        choices = dict(zip(CHOICES, levels, strict=True))
        own = published if measure(**published) is not None else None  # its masks may be empty
        tables.append(multiverse.specifications(claim, choices, measure, own))
    return pd.concat(tables, ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """X3.11. The axis holds every estimate; intervals that are wider are cut at its ends."""
    drawn = multiverse.figure(table, CHOICES, 1, LABELS, log=True)
    claims = list(table["claim"].unique())
    for axes, claim in zip(drawn.axes, claims, strict=False):  # the upper panels come first
        known = table.loc[table["claim"] == claim, "estimate"]
        low, high = min(known.min(), 1) / 1.5, max(known.max(), 1) * 1.5
        axes.set_ylim(low, high)
        ticks = [tick for tick in TICKS if low <= tick <= high]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    return drawn


def deciding(table: pd.DataFrame) -> pd.DataFrame:
    """Which choice decides whether RP is behind (its ratio to MP above 1)."""
    return multiverse.deciding(table, CHOICES, 1)


def sentences(table: pd.DataFrame) -> str:
    """What the table says, for the caption."""
    return " ".join(multiverse.sentences(table, CHOICES, 1))
