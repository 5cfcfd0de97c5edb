"""Tables and claims of Boreiko et al., GCPR 2022, from the tidy rows that the studies saved.

Rows have a `seed` (training), an `image` and a `set` (one of the disjoint image sets); a cube is seeds × images ×
conditions. Of the paper only the form of Fig. 4, 9 and 10 is certain; F2.2 to T2.11 are companion experiments for the
rest (`results/README.md` says which).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from aecompanion.evaluate.frechet import frechet
from aecompanion.report.cubes import cube, mean_row

KINDS = ("l1", "l1.5", "l2")
NETWORKS = ("plain", "l2", "multi")
UNTOUCHED = "untouched images"
TITLES = {"plain": "plain", "l2": "l2-robust", "multi": "multiple-norm robust", "untrained": "untrained"}
NORMS = ("linf", "l2", "l1")
SPARSITY = ("background", "outside", "changed", "gini", "largest")


def has(rows: pd.DataFrame, column: str) -> bool:
    """Whether a column was measured at all (a folder of images has no masks)."""
    return bool(rows[column].notna().any())


# tables


def sparsity_table(counterfactuals: pd.DataFrame, **options) -> pd.DataFrame:
    """F2.2 as numbers: per network and kind the mean confidence, realism and every measure of sparsity."""
    columns = ["confidence", "realism", *SPARSITY, "l1", "l15", "l2"]
    return grouped(counterfactuals, ["network", "kind"], columns, **options)


def grouped(rows: pd.DataFrame, keys: list[str], columns: Sequence[str], **options) -> pd.DataFrame:
    """Mean and interval of every column per group, NaN where it was not measured."""
    lines = []
    for key, part in rows.groupby(keys, sort=False):
        line = dict(zip(keys, key if isinstance(key, tuple) else (key,), strict=True))
        for column in columns:
            if not has(part, column):
                line |= {column: np.nan, f"{column}_low": np.nan, f"{column}_high": np.nan}
                continue
            values = cube(part.assign(only=0), column, [{"only": 0}])[..., 0]
            line |= mean_row(values, column, **options)
        lines.append(line)
    return pd.DataFrame(lines)


def optimiser_table(optimisers: pd.DataFrame, p: float, **options) -> pd.DataFrame:
    """T2.3 (p = 1.5) and T2.4 (p = 2): per radius and method the mean log confidence, and Auto-Frank-Wolfe minus the
    method on the same images: the median with its interval, the mean, the p-value of `signed_rank` and the share of
    images where it is at least as high.
    """
    rows = optimisers[optimisers["p"] == p]
    lines = []
    for radius, part in rows.groupby("radius", sort=False):
        for method in part["method"].unique():
            values = cube(part, "value", [{"method": "AFW"}, {"method": method}])
            line = {"radius": radius, "method": method} | mean_row(values[..., 1], "log confidence", **options)
            line |= mean_row(values, "AFW minus it", paired_median, **options)
            line |= {"AFW minus it, mean": paired(values), "Wilcoxon p": signed_rank(values)}
            lines.append(line | {"AFW at least as high": float((values[..., 0] >= values[..., 1]).mean())})
    return pd.DataFrame(lines)


def signed_rank(v: np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test that first and second condition do not differ: one difference
    per image, the mean over seeds; NaN where all are zero.
    """
    differences = (v[..., 0] - v[..., 1]).mean(0)
    return float(wilcoxon(differences).pvalue) if differences.any() else float("nan")


def lead(trajectories: pd.DataFrame, *, p: float, radius: str, methods: Sequence[str], step: int) -> np.ndarray:
    """seeds × images × 2: the best objective of two methods after so many steps."""
    rows = trajectories[(trajectories["p"] == p) & (trajectories["radius"] == radius) & (trajectories["step"] == step)]
    return cube(rows, "value", [{"method": method} for method in methods])


def schedule_table(schedules: pd.DataFrame, **options) -> pd.DataFrame:
    """T2.5: per p, radius and variant the mean log confidence."""
    return grouped(schedules, ["p", "radius", "schedule"], ["value"], **options).rename(
        columns=lambda name: name.replace("value", "log confidence")
    )


def network_table(counterfactuals: pd.DataFrame, quality: pd.DataFrame, frechets: pd.DataFrame, **options):
    """T2.10: per network accuracy, robust accuracy in three norms, and per kind of counterfactual its radius, realism
    and Fréchet distance from images of the target class (starting from test images, and from images without an object).
    The last row has the distances of untouched images, of which a study draws as many as it has counterfactuals: what
    no counterfactual can be expected to stay below.
    """
    lines = []
    for network in NETWORKS:
        part = quality[quality["network"] == network]
        line = {"network": network}
        for column in ("right", *NORMS):
            values = cube(part.assign(only=0), column, [{"only": 0}])[..., 0]
            line |= mean_row(values, "accuracy" if column == "right" else f"robust {column}", **options)
        line |= {"temperature": part.groupby("seed")["temperature"].first().mean()}
        line |= {"calibration error": part.groupby("seed")["ece"].first().mean()}
        for kind in KINDS:
            own = counterfactuals[(counterfactuals["network"] == network) & (counterfactuals["kind"] == kind)]
            line |= {f"radius {kind}": own.groupby("seed")["eps"].first().mean()}
            line |= {f"realism {kind}": own["realism"].mean()}
            for start in ("ID", "OD"):
                chosen = frechets[
                    (frechets["network"] == network) & (frechets["kind"] == kind) & (frechets["start"] == start)
                ]
                line |= {f"Fréchet {kind} {start}": chosen["distance"].mean()}
        lines.append(line)
    return pd.DataFrame([*lines, *floor(frechets)])


def floor(frechets: pd.DataFrame) -> list[dict]:
    """The row of untouched images (mean over draws, the same for every kind of ball), if there are any."""
    own = frechets[frechets["network"] == UNTOUCHED]
    means = own.groupby("start")["distance"].mean()
    line = {f"Fréchet {kind} {start}": means.get(start, np.nan) for kind in KINDS for start in ("ID", "OD")}
    return [{"network": UNTOUCHED} | line] if len(own) else []


def spread_of_floor(frechets: pd.DataFrame) -> str:
    """From where to where the draws of untouched test images go, for the caption."""
    own = frechets[(frechets["network"] == UNTOUCHED) & (frechets["start"] == "ID")]["distance"]
    return f"{own.min():.2f} to {own.max():.2f} over {len(own)} draws" if len(own) else "none"


def budgets(quality: pd.DataFrame) -> str:
    """The ball and the budget of every robust accuracy, for the caption."""
    one = quality.iloc[0]
    each = (
        f"{norm} {one[f'{norm}_eps']:.3g} ({one[f'{norm}_steps']} steps, {one[f'{norm}_targets']} targets)"
        for norm in NORMS
    )
    return ", ".join(each)


def frechet_rows(features: dict[tuple, np.ndarray], real: np.ndarray) -> pd.DataFrame:
    """One row per (seed, network, kind, start): the distance of its features from those of real images."""
    keys = ["seed", "network", "kind", "start"]
    return pd.DataFrame(
        dict(zip(keys, key, strict=True)) | {"distance": frechet(f, real)} for key, f in features.items()
    )


def least_table(least: pd.DataFrame, **options) -> pd.DataFrame:
    """T2.11: per kind and confidence the median least radius, the norms of the change, and the share not reached."""
    lines = []
    for (kind, level), part in least.groupby(["kind", "level"], sort=False):
        line = {"kind": kind, "confidence": level, "not reached": float(np.isinf(part["radius"]).mean())}
        values = cube(part.assign(only=0), "radius", [{"only": 0}])[..., 0]
        line |= mean_row(values, "median radius", np.median, **options)
        reached = part[np.isfinite(part["radius"])]
        lines.append(line | {"mean l1": reached["l1"].mean(), "mean l2": reached["l2"].mean()})
    return pd.DataFrame(lines)


def false_positive_table(fooled: pd.DataFrame, **options) -> pd.DataFrame:
    """X2.4: share of images of other classes that become the marked class, per mark, network and strength."""
    return grouped(fooled, ["mark", "network", "strength"], ["marked_class", "right"], **options)


def with_intervals(table: pd.DataFrame, digits: int = 2) -> pd.DataFrame:
    """The table to read: "x [low, high]" in the place of the columns x, x_low and x_high."""
    shown = table.drop(columns=[name for name in table if str(name).endswith(("_low", "_high"))])
    for name in shown.select_dtypes("number"):
        value = table[name].map(lambda each: f"{each:.{digits}f}")
        if f"{name}_low" in table:
            low, high = (table[f"{name}_{end}"].map(lambda each: f"{each:.{digits}f}") for end in ("low", "high"))
            value = value + " [" + low + ", " + high + "]"
        shown[name] = value.where(table[name].notna(), "")
    return shown


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """The README's table from F2.2's numbers for the multiple-norm robust network."""

    def text(row, column: str, digits: int = 2) -> str:
        low, high = row[f"{column}_low"], row[f"{column}_high"]
        return f"{row[column]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

    rows = []
    for _, row in table[table["network"] == "multi"].iterrows():
        line = {"ball": row["kind"], "confidence": f"{row['confidence']:.2f}"}
        line |= {"change outside the object": text(row, "background"), "visibly changed pixels": text(row, "changed")}
        line |= {
            "largest change of a value": text(row, "largest"),
            "independent network's confidence": text(row, "realism"),
        }
        rows.append(line)
    return pd.DataFrame(rows)


# estimators of the claims: a cube and a statistic of it


def paired(v: np.ndarray) -> float:
    """Mean of the first minus the second condition, NaN of nothing."""
    return float((v[..., 0] - v[..., 1]).mean()) if v.size else float("nan")


def paired_median(v: np.ndarray) -> float:
    """Median over seeds and images of the first minus the second condition: no few images can make it."""
    return float(np.median(v[..., 0] - v[..., 1]))


IN_SHORT = {"balls": (in_short, ("T2.2",))}  # for docs/findings.md: mark, function, published tables
