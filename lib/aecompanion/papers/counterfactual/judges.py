"""X2.9 to X2.11: several judges, radii of each image's own, and the l1-ball, from the tidy rows of the studies."""

import numpy as np
import pandas as pd

from aecompanion.papers.counterfactual.tables import KINDS, SPARSITY, grouped, has, paired_median
from aecompanion.report.cubes import cube, mean_row

JUDGES = {
    "realism": "plain, other architecture",
    "realism_plain": "plain, other seed",
    "realism_l2": "l2-robust, other seed",
    "realism_multi": "multiple-norm robust, other seed",
}
PERCEPTUAL = "perceptual"
ONE, OWN = "one for all images", "each image's own"


def judge_table(counterfactuals: pd.DataFrame, **options) -> pd.DataFrame:
    """X2.9: per network and ball the mean confidence of every judge in the target, and the LPIPS-like distance."""
    found = grouped(counterfactuals, ["network", "kind"], [*JUDGES, PERCEPTUAL], **options)
    ends = ("", "_low", "_high")
    named = {f"{column}{end}": f"{title}{end}" for column, title in JUDGES.items() for end in ends}
    return found.rename(columns=named | {f"{PERCEPTUAL}{end}": f"LPIPS-like{end}" for end in ends})


def both_rules(counterfactuals: pd.DataFrame, least: pd.DataFrame, *, level: float, network: str = "multi"):
    """Rows of one network under both rules for the radius, column `rule`: ONE, the matched radius, on all images; OWN,
    the least radius at which an image itself reaches `level`, on those images that reach it in every ball.
    """
    own = reaching(least, level)
    matched = counterfactuals[counterfactuals["network"] == network]
    shared = [name for name in matched if name in own]
    return pd.concat([matched[shared].assign(rule=ONE), own[shared].assign(rule=OWN)], ignore_index=True)


def reaching(least: pd.DataFrame, level: float) -> pd.DataFrame:
    """Rows of a confidence, of the images that reach it in every ball for every training seed."""
    rows = least[least["level"] == level]
    missed = rows.loc[~np.isfinite(rows["radius"]), "image"].unique()
    return rows[~rows["image"].isin(missed)]


def rule_table(counterfactuals: pd.DataFrame, least: pd.DataFrame, *, level: float, **options) -> pd.DataFrame:
    """X2.10: per rule and ball the number of images, mean confidence, sparsity, what judges say, distance and norms."""
    rows = both_rules(counterfactuals, least, level=level)
    columns = ["confidence", *SPARSITY, "realism", "realism_multi", PERCEPTUAL, "l1", "l15", "l2"]
    found = grouped(rows, ["rule", "kind"], columns, **options)
    found.insert(2, "images", [int(part["image"].nunique()) for _, part in rows.groupby(["rule", "kind"], sort=False)])
    return found


def sparse_table(sparse: pd.DataFrame, **options) -> pd.DataFrame:
    """X2.11: per method in the l1-ball the mean log confidence, Auto-Frank-Wolfe minus the method (median of paired
    differences) and how sparse its change is.
    """
    lines = []
    for method, part in sparse.groupby("method", sort=False):
        values = cube(sparse, "value", [{"method": "AFW"}, {"method": method}])
        line = {"method": method} | mean_row(values[..., 1], "log confidence", **options)
        line |= mean_row(values, "AFW minus it", paired_median, **options)
        for column in ("values", "changed", "gini", "largest"):
            line |= mean_row(cube(part, column, [{"method": method}])[..., 0], column, **options)
        lines.append(line)
    return pd.DataFrame(lines)


def asked(counterfactuals: pd.DataFrame) -> list[str]:
    """The columns of judges that were there to ask (one training seed leaves the first)."""
    return [column for column in JUDGES if column in counterfactuals and has(counterfactuals, column)]


def balls(rows: pd.DataFrame, column: str, kinds: tuple[str, str] = (KINDS[1], KINDS[2])) -> np.ndarray:
    """seeds × images × 2: one column in two balls."""
    return cube(rows, column, [{"kind": kind} for kind in kinds])
