"""Tables and claims of Kim et al., IEEE TIP 2022, from the tidy rows that the notebooks saved.

The tables, by the names that estimators take: `scores` (one row per data, family, training seed, pair and method, see
`studies.masks.score`) and `randomization` (see `sanity.map_randomization`). Everything starts from a
cube, seeds × pairs × methods: the pairs are the same for every method and every training seed.
"""

import functools
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from aecompanion.explain.methods import ABLATION, METHODS, OTHERS, STARTS, named
from aecompanion.report.cubes import cube, mean_row, untestable

FOR_READERS = {"voc": "VOC-like", "coco": "COCO-like", "chest": "chest phantoms"}
NOT_IN_SHORT = ("BP",)  # the baseline that no claim of the README is about
REPORTED = {  # deletion AUC of the paper's T3.2, other data and other networks
    ("EP", "voc"): 0.4329,
    ("EP", "chest"): 0.1511,
    ("EP", "coco"): 0.5621,
    ("RISE", "voc"): 0.3216,
    ("RISE", "chest"): 0.1502,
    ("RISE", "coco"): 0.4664,
    ("MP", "voc"): 0.2806,
    ("MP", "chest"): 0.1389,
    ("MP", "coco"): 0.4945,
    ("RP", "voc"): 0.2068,
    ("RP", "chest"): 0.1248,
    ("RP", "coco"): 0.4299,
}


def values(scores: pd.DataFrame, methods: Sequence[str], column: str, *, data: str, family: str = "vgg") -> np.ndarray:
    """seeds × pairs × methods of one column; `OTHERS` ran on fewer seeds and pairs, so with one of them
    only what all methods share.
    """
    rows = scores[(scores["data"] == data) & (scores["family"] == family) & scores["method"].isin(methods)]
    for key in ("seed", "pair") if set(methods) & set(OTHERS) else ():
        had = rows.groupby("method")[key].unique()
        rows = rows[rows[key].isin(functools.reduce(np.intersect1d, had))]
    return cube(rows, column, [{"method": method} for method in methods], item="pair")


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
    """T3.2: deletion AUC per data set and method, RP minus the method on the same pairs, stuck masks, ties."""
    parts = []
    for data in scores["data"].unique():
        methods = ["random", *METHODS, *STARTS]
        table = method_table(scores, ["deletion"], methods, data=data, **options)
        differences = [
            mean_row(values(scores, ["RP", m], "deletion", data=data), "RP minus it", paired, **options)
            for m in methods
        ]
        table = pd.concat([table, pd.DataFrame(differences)], axis=1)
        for column in ("stuck", "ties"):
            table[column] = [values(scores, [method], column, data=data).mean() for method in methods]
        table["reported"] = [REPORTED.get((method, data), np.nan) for method in methods]
        parts.append(table)
    return pd.concat(parts, ignore_index=True).drop(columns="network")


def distortion_table(scores: pd.DataFrame, **options) -> pd.DataFrame:
    """T3.1: the three class distortion scores per data set and method, and the median of the default one."""
    columns = ["cds_absolute", "cds_signed", "cds_ratio", "change", "p_reverse"]
    parts = []
    for data in scores["data"].unique():
        table = method_table(scores, columns, [*METHODS, *STARTS], data=data, **options)
        medians = [np.median(values(scores, [m], "cds_absolute", data=data)) for m in table["method"]]
        table.insert(6, "cds_absolute median", medians)
        parts.append(table)
    return pd.concat(parts, ignore_index=True).drop(columns="network")


def by_network(scores: pd.DataFrame, column: str, *, methods: Collection[str] = METHODS, **options) -> pd.DataFrame:
    """T3.3, T3.4: a column's mean per data set, network family and method (every family has pairs of its own)."""
    networks = scores[["data", "family"]].drop_duplicates().itertuples(index=False)
    parts = [
        method_table(scores, [column], methods, data=each.data, family=each.family, **options) for each in networks
    ]
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
    masked = [*STARTS, *named("mask")]
    for method in [*named("perturbation"), *named("gradient"), *masked]:
        if method in NOT_IN_SHORT:
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


def where_explained(estimator):
    """The estimator, untestable where no pair of its `data` was explained (radiographs have few boxes)."""

    @functools.wraps(estimator)
    def checked(scores, *, data: str, **arguments):
        return estimator(scores, data=data, **arguments) if (scores["data"] == data).any() else untestable()

    return checked


def paired(v: np.ndarray) -> float:
    """Mean of the first minus the second condition."""
    return float(np.nanmean(v[..., 0] - v[..., 1]))  # a constant map has no energy


@where_explained
def difference(scores, *, data: str, column: str, methods: list[str]):
    """Mean over pairs and seeds of the column, first method minus second."""
    return values(scores, methods, column, data=data), paired


@where_explained
def ratio(scores, *, data: str, column: str, methods: list[str]):
    """Mean of the column for the first method over that for the second."""
    return values(scores, methods, column, data=data), lambda v: float(v[..., 0].mean() / v[..., 1].mean())


@where_explained
def lead(scores, *, data: str, column: str, method: str, others: list[str]):
    """Mean of the column for one method minus the largest mean among the others."""

    def ahead(v: np.ndarray) -> float:
        means = v.mean((0, 1))
        return float(means[0] - means[1:].max())

    return values(scores, [method, *others], column, data=data), ahead


@where_explained
def share(scores, *, data: str, column: str, method: str):
    """Mean of a column of one method (a share of pairs for booleans)."""
    return values(scores, [method], column, data=data), lambda v: float(v.mean())


def cured(scores, *, data: str, least: float):
    """Share of pairs in whose reverse image some non-target rises by more than `least` with L_M's mask and none does
    with RP's.
    """
    worst = values(scores, ["L_M", "RP"], "worst", data=data)
    return worst, lambda v: float(((v[..., 0] > least) & (v[..., 1] <= least)).mean())


def top_layer(randomization, *, method: str, measure: str):
    """Mean similarity to the intact network's map when the last layer alone is re-initialised."""
    rows = randomization[(randomization["way"] == "cascading") & (randomization["method"] == method)]
    rows = rows[rows["depth"] == rows["depth"].min()]
    return cube(rows, measure, [{"method": method}], item="position"), lambda v: float(v.mean())


def largest_later(randomization, *, method: str, measure: str):
    """Largest mean similarity at any depth of the cascade with recalibrated normalisations."""
    chosen = (randomization["way"] == "cascading, recalibrated") & (randomization["method"] == method)
    rows = randomization[chosen]
    depths = [{"depth": depth} for depth in sorted(rows["depth"].unique())]
    return cube(rows, measure, depths, item="position"), lambda v: float(v.mean((0, 1)).max())
