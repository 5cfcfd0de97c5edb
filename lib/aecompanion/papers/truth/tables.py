"""Tables of the truth bench from its tidy rows, one per world, family, seed, pair (picture, target) and method.

Intervals are over seeds × items: an item is what is drawn anew when a study is done again. In worlds that are composed
it is a picture (over its targets a score is averaged); mosaics are taken as far as no two share a photograph, and there
the "seeds" are the three networks.
"""

import functools
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from aecompanion.explain.methods import METHODS
from aecompanion.explain.neighbours import NEIGHBOURS
from aecompanion.report.cubes import cube, mean_row
from aecompanion.studies.truth import CONTROLS

FOR_READERS = {
    "voc": "VOC-like scenes",
    "coco": "COCO-like scenes",
    "chest": "chest phantoms",
    "objects": "objects with mark",
    "mosaics": "mosaics",
    "mosaics 3x3": "mosaics of 3×3",
}
FAMILIES = {  # of objects
    "plain": "trained without mark",
    "l2": "robust, trained without mark",
    "marked": "robust, trained with mark",
}
TOLD = ("Shapley (parts)",)  # methods that are told the parts
COLUMNS = ("share", "error", "sign", "pointing", "marked")


def compared(rows: pd.DataFrame) -> list[str]:
    """The methods that have rows, in the order of the registries, without variants and controls."""
    had = set(rows["method"])
    return [method for method in (*METHODS, *NEIGHBOURS) if method in had]


def worlds(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """World and family of all rows, in their order."""
    return list(rows[["world", "family"]].drop_duplicates().itertuples(index=False, name=None))


def named(world: str, family: str) -> str:
    """ "objects with mark (trained with mark)"; the family only where it says something."""
    shown = FOR_READERS.get(world, world)
    return f"{shown} ({FAMILIES.get(family, family)})"


def values(rows: pd.DataFrame, column: str, methods: Sequence[str], *, world: str, family: str) -> np.ndarray:
    """seeds × items × methods: means over the pairs of an item, NaN where no pair of it has the score. Items and seeds
    are those that all the methods have.
    """
    here = rows[(rows["world"] == world) & (rows["family"] == family) & rows["method"].isin(methods)]
    for key in ("seed", "item"):
        had = here.groupby("method")[key].unique()
        here = here[here[key].isin(functools.reduce(np.intersect1d, had))]
    means = here.groupby(["seed", "item", "method"], as_index=False)[column].mean()
    return cube(means, column, [{"method": method} for method in methods], item="item")


def pooled(rows: pd.DataFrame, column: str, methods: Sequence[str], networks: Sequence[dict[str, str]]) -> np.ndarray:
    """seeds × items of all these worlds and families × methods. Raises ValueError where their seeds differ."""
    parts = [values(rows, column, methods, **network) for network in networks]
    if len({len(part) for part in parts}) > 1:
        raise ValueError(f"{[len(part) for part in parts]} seeds in {list(networks)}, expected as many in each")
    return np.concatenate(parts, axis=1)


def cost(rows: pd.DataFrame) -> pd.Series:
    """Passes per pair by method, forward and backward ones added up."""
    return rows.groupby("method", sort=False)[["forward", "backward"]].mean().sum(axis=1)


def method_table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """X6.2: a row per world, family and method (controls first): every score's mean, of the rank with its interval, the
    passes, and whether it lies on the Pareto front of rank and passes.
    """
    made = []
    for world, family in worlds(rows):
        here = rows[(rows["world"] == world) & (rows["family"] == family)]
        methods = [*(each for each in CONTROLS if each in set(here["method"])), *compared(here)]
        spent = cost(here)
        for method in methods:
            row: dict = {"world": FOR_READERS.get(world, world), "network": FAMILIES.get(family, family)}
            row |= {"method": method}
            network = {"world": world, "family": family}
            for column in ("rank", "density"):
                row |= mean_row(values(here, column, [method], **network), column, np.nanmean, **options)
            row |= {column: mean(values(here, column, [method], **network)) for column in COLUMNS}
            made.append(row | {"passes": spent[method]})
    table = pd.DataFrame(made)
    fronts = [front(part) for _, part in table.groupby(["world", "network"], sort=False)]
    return table.assign(front=pd.concat(fronts))


def mean(values: np.ndarray) -> float:
    """The mean of what is defined, NaN where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def front(table: pd.DataFrame, score: str = "rank") -> pd.Series:
    """ "yes" for the methods than which no other scores higher at as few passes (controls take no part: "")."""
    own = table[~table["method"].isin(CONTROLS)]
    rank, passes = (own[column].to_numpy() for column in (score, "passes"))
    no_dearer, no_worse = passes <= passes[:, None], rank >= rank[:, None]
    beaten = (no_dearer & no_worse & ((passes < passes[:, None]) | (rank > rank[:, None]))).any(1)
    return pd.Series(np.where(beaten, "", "yes"), own.index).reindex(table.index).fillna("")


def known(methods: Collection[str], rows: pd.DataFrame, *, world: str, family: str) -> list[str]:
    """Those of the methods that ran there."""
    had = set(rows.loc[(rows["world"] == world) & (rows["family"] == family), "method"])
    return [method for method in methods if method in had]


MASKS = {  # how RP and MP are compared: RP's name, MP's name
    "equal starts (0), own weights": ("RP", "MP"),
    "equal starts (0.5), own weights": ("RP (start 0.5)", "MP (start 0.5)"),
    "equal starts (1), own weights": ("RP (start 1)", "MP (start 1)"),
    "each as published": ("RP (published)", "MP (published)"),
}


def mask_table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """What X6.4 draws: per world, family and comparison of `MASKS` the means of RP minus MP with intervals, for the
    rank and for the share on parts with effect.
    """
    made = []
    for world, family in worlds(rows):
        for name, pair in MASKS.items():
            if known(pair, rows, world=world, family=family) != list(pair):
                continue
            row: dict = {"world": world, "family": family, "comparison": name}
            for column in ("rank", "share"):
                found = values(rows, column, pair, world=world, family=family)
                row |= mean_row(found, column, difference, **options)
                row |= {f"{column} of {method[:2]}": mean(found[..., k]) for k, method in enumerate(pair)}
            made.append(row)
    return pd.DataFrame(made)


def difference(v: np.ndarray) -> float:
    """Mean of the first minus the second condition over what has both."""
    return mean(v[..., 0] - v[..., 1])
