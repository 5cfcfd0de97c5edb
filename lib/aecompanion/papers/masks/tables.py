"""Tables and claims of Kim et al., IEEE TIP 2022, from the tidy rows that the notebooks saved.

The tables, by the names that estimators take: `scores` (one row per data, family, training seed, pair and method, see
`studies.masks.score`) and `randomization` (see `sanity.map_randomization`). Everything starts from a
cube, seeds × pairs × methods: the pairs are the same for every method and every training seed.
"""

import functools
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from aecompanion.evaluate.intervals import bounded
from aecompanion.explain.methods import ABLATION, AS_PUBLISHED, FEWER, METHODS, OTHERS, STARTS, named
from aecompanion.report import reported
from aecompanion.report.cubes import cube, mean_row

FOR_READERS = {"voc": "VOC-like", "coco": "COCO-like", "chest": "chest phantoms"}
ORACLE = "oracle"  # removes exactly the object's pixels, where these are known
UNBOUNDED = 1e9  # so far above every ratio that the logit scale of intervals within (0, UNBOUNDED) is the log scale
CUT = ("p_reverse_cut", "change_cut")  # of every map's hottest pixels, as many as RP's mask removes on that pair
NOT_IN_SHORT = ("BP",)  # the baseline that no claim of the README is about


def values(scores: pd.DataFrame, methods: Sequence[str], column: str, *, data: str, family: str = "vgg") -> np.ndarray:
    """seeds × pairs × methods of one column; `FEWER` ran on fewer seeds or pairs, so with one of them only
    what all methods share.
    """
    rows = scores[(scores["data"] == data) & (scores["family"] == family) & scores["method"].isin(methods)]
    for key in ("seed", "pair") if set(methods) & set(FEWER) and len(rows) else ():
        had = rows.groupby("method")[key].unique()
        rows = rows[rows[key].isin(functools.reduce(np.intersect1d, had))]
    return cube(rows, column, [{"method": method} for method in methods], item="pair")


def present(scores: pd.DataFrame, methods: Sequence[str], *, data: str, family: str = "vgg") -> list[str]:
    """Those of the methods that have rows: not all ran on every data set, and the oracle needs exact masks."""
    had = scores.loc[(scores["data"] == data) & (scores["family"] == family), "method"].unique()
    return [method for method in methods if method in had]


# tables


def method_table(
    scores: pd.DataFrame, columns: Sequence[str], methods: Collection[str], *, data: str, family: str = "vgg", **options
) -> pd.DataFrame:
    """One row per method: mean of each column with its interval."""
    rows = []
    for method in methods:
        row: dict = {"data": FOR_READERS.get(data, data), "network": family, "method": method}
        for column in columns:
            row |= mean_row(values(scores, [method], column, data=data, family=family), column, np.nanmean, **options)
        rows.append(row)
    return pd.DataFrame(rows)


def deletion_table(scores: pd.DataFrame, **options) -> pd.DataFrame:
    """T3.2: deletion AUC per data set and method with its median, RP minus the method on the same pairs, the share of
    pairs on which RP's is the lower one, stuck masks, ties.
    """
    parts = []
    for data in scores["data"].unique():
        extra = present(scores, [ORACLE, *AS_PUBLISHED], data=data)
        methods = ["random", *METHODS, *STARTS, *extra]
        table = method_table(scores, ["deletion"], methods, data=data, **options)
        table["median"] = [np.median(values(scores, [m], "deletion", data=data)) for m in methods]
        both = [values(scores, ["RP", m], "deletion", data=data) for m in methods]
        differences = [mean_row(each, "RP minus it", paired, **options) for each in both]
        table = pd.concat([table, pd.DataFrame(differences)], axis=1)
        table["RP wins"] = [wins(each) for each in both]
        for column in ("stuck", "ties"):
            table[column] = [values(scores, [method], column, data=data).mean() for method in methods]
        table["reported"] = [reported.value("T3.2", method=method, data=data) for method in methods]
        parts.append(table)
    return pd.concat(parts, ignore_index=True).drop(columns="network")


def distortion_table(scores: pd.DataFrame, **options) -> pd.DataFrame:
    """T3.1: the three class distortion scores per data set and method, the median of the default one, and what they
    are to be read with: the other classes' change, p of the class in the reverse image, the share of the image removed;
    and the first two again with every map cut to RP's area on that pair.
    """
    columns = ["cds_absolute", "cds_signed", "cds_ratio", "change", "p_reverse", "area", *CUT]
    parts = []
    for data in scores["data"].unique():
        extra = present(scores, [ORACLE, *AS_PUBLISHED], data=data)
        table = method_table(scores, columns, [*METHODS, *STARTS, *extra], data=data, **options)
        medians = [np.median(values(scores, [m], "cds_absolute", data=data)) for m in table["method"]]
        table.insert(6, "cds_absolute median", medians)
        parts.append(table)
    return pd.concat(parts, ignore_index=True).drop(columns="network")


def by_network(scores: pd.DataFrame, column: str, *, methods: Collection[str] = METHODS, **options) -> pd.DataFrame:
    """T3.3, T3.4: a column's mean per data set, network family and method (every family has pairs of its own; with the
    oracle and the published settings where they ran).
    """
    parts = []
    for network in scores[["data", "family"]].drop_duplicates().to_dict("records"):
        extra = present(scores, [ORACLE, *AS_PUBLISHED], **network)
        parts.append(method_table(scores, [column], [*methods, *extra], **network, **options))
    return pd.concat(parts, ignore_index=True)


def spread_table(scores: pd.DataFrame) -> pd.DataFrame:
    """T3.5: mean and standard deviation over pairs (seeds pooled) of CDS and reverse CDS, in the ratio form of the
    released script and in the default form, per family.
    """
    rows = []
    for (family, method), part in scores[scores["data"] == "voc"].groupby(["family", "method"], sort=False):
        if method in METHODS:
            row = {"network": family, "method": method}
            for column in ("cds_ratio", "reverse_ratio", "cds_absolute", "reverse_absolute"):
                row |= {column: part[column].mean(), f"{column} std": part[column].std()}
            rows.append(row)
    return pd.DataFrame(rows)


def ablation_table(scores: pd.DataFrame, **options) -> pd.DataFrame:
    """T3.6: what each term of the loss buys, VOC-like scenes."""
    columns = ["deletion", "insertion", "p_masked", "p_reverse", "change", "level", "cds_absolute"]
    return method_table(scores, columns, ["MP", *ABLATION, "RP"], data="voc", **options).drop(
        columns=["data", "network"]
    )


def start_table(scores: pd.DataFrame, **options) -> pd.DataFrame:
    """X3.2: other starts, losses and resolutions on the VOC-like scenes, first training seed."""
    first = scores[scores["seed"] == scores["seed"].min()]
    first = first[first["pair"].isin(first.loc[first["method"] == OTHERS[0], "pair"])]  # these have fewer pairs
    columns = ["deletion", "insertion", "cds_absolute", "change", "p_reverse", "area", "stuck"]
    methods = ["MP", "RP", *STARTS, *OTHERS]
    return method_table(first, columns, methods, data="voc", **options).drop(columns=["data", "network"])


def in_short(deletion: pd.DataFrame, distortion: pd.DataFrame) -> pd.DataFrame:
    """The README's table from the published T3.2 and T3.1: a row per method, deletion AUC on every data set; on the
    VOC-like scenes the class distortion score, the class's p in the reverse image and the share of stuck masks.
    """

    def text(row, column: str, digits: int = 2) -> str:
        low, high = row[f"{column}_low"], row[f"{column}_high"]
        return f"{row[column]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

    rows = []
    masked = [*named("mask"), *AS_PUBLISHED]
    for method in [*named("perturbation"), *named("gradient"), ORACLE, *masked]:
        if method in NOT_IN_SHORT or not (deletion["method"] == method).any():
            continue
        line = {"method": method}
        for data, part in deletion[deletion["method"] == method].groupby("data", sort=False):
            line[f"deletion AUC, {data}"] = text(part.iloc[0], "deletion", 3)
        first = distortion["data"] == distortion["data"].iloc[0]
        own = distortion[first & (distortion["method"] == method)].iloc[0]
        place = own["data"]
        line[f"CDS, {place}"] = text(own, "cds_absolute", 1)
        line[f"p(class) in the reverse image, {place}"] = text(own, "p_reverse")
        stuck = deletion[(deletion["method"] == method) & (deletion["data"] == place)]["stuck"].iloc[0]
        rows.append(line | {f"stuck masks, {place}": f"{stuck:.0%}" if method in masked else ""})
    return pd.DataFrame(rows)


# estimators of the claims: a cube and a statistic of it


def paired(v: np.ndarray) -> float:
    """Mean of the first minus the second condition."""
    return float(np.nanmean(v[..., 0] - v[..., 1]))  # a constant map has no energy


@bounded(0, UNBOUNDED)
def quotient(v: np.ndarray) -> float:
    """Mean of the first condition over the mean of the second; its interval is formed on the logarithm."""
    return float(v[..., 0].mean() / v[..., 1].mean())


def wins(v: np.ndarray) -> float:
    """Share of pairs (over all seeds) on which the first condition is the lower one; half of those that are equal."""
    return float((v[..., 0] < v[..., 1]).mean() + (v[..., 0] == v[..., 1]).mean() / 2)


def typical(scores: pd.DataFrame, method: str, *, data: str, seed: int) -> int:
    """The pair of one network whose deletion AUC by a method is the median (the lower one of two)."""
    rows = scores[(scores["data"] == data) & (scores["seed"] == seed) & (scores["method"] == method)]
    ordered = rows.sort_values(["deletion", "pair"])["pair"]
    return int(ordered.iloc[(len(ordered) - 1) // 2])


IN_SHORT = {"masks": (in_short, ("T3.2", "T3.1"))}  # for docs/findings.md: mark, function, published tables
