"""X2.14 and X2.15: paper 2 on photographs and a plain network with published ImageNet weights, from saved tidy rows.

Rows are those of `studies.photograph_counterfactuals`; one "seed", photographs are what is resampled.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from aecompanion.report.cubes import cube, mean_row
from aecompanion.report.figures import COLOURS, channels_last, picture
from aecompanion.studies.photograph_counterfactuals import BALLS, SHUFFLED

COLUMNS = ("confidence", "l1", "l15", "l2", "largest", "changed", "gini")
COLUMNS += ("inside", "moved", "centre", "area", "neighbours", "realism", "clean_realism")


def reached(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of photographs that reach the confidence in every ball."""
    far = rows.loc[~np.isfinite(rows["radius"]), "image"]
    return rows[~rows["image"].isin(far)]


def changes(rows: pd.DataFrame, column: str, conditions: Sequence[tuple[str, str]]) -> np.ndarray:
    """1 × photographs × (ball, change) of a column, photographs that reach the confidence in every ball."""
    pairs = [{"ball": ball, "change": change} for ball, change in conditions]
    return cube(reached(rows).assign(seed=0), column, pairs)


def table(rows: pd.DataFrame, network: str, **options) -> pd.DataFrame:
    """X2.14: per ball and kind of change the share of photographs that reach the confidence, the median least radius of
    all of them (infinite where it is not reached), and means over those that reach it in every ball.
    """
    lines = []
    for ball, change in ((ball, change) for ball in BALLS for change in ("own", SHUFFLED)):
        own = rows[(rows["ball"] == ball) & (rows["change"] == change)].assign(seed=0, all=0)
        line = {"network": f"plain ImageNet network ({network})", "ball": ball, "change": change}
        line |= {"reached": np.isfinite(own["radius"]).mean()}
        radii = cube(own, "radius", [{"all": 0}])[..., 0]
        line |= mean_row(radii, "median radius", lambda v: float(np.median(v)), **options)
        here = reached(rows)
        line |= {"photographs": here["image"].nunique()}
        for column in COLUMNS:
            found = {column: np.nan, f"{column}_low": np.nan, f"{column}_high": np.nan}
            line |= mean_row(changes(rows, column, [(ball, change)])[..., 0], column, **options) if len(here) else found
        lines.append(line)
    return pd.DataFrame(lines)


def panels(
    images: torch.Tensor,
    changed: Mapping[str, torch.Tensor],
    regions: torch.Tensor,
    rows: pd.DataFrame,
    *,
    classes: Sequence[str],
    labels: Sequence[int],
) -> Figure:
    """X2.15: one row per photograph: it, with Grad-CAM's region outlined; per ball the counterfactual and its change,
    grey where nothing changes, each on a scale of its own that a thousandth of its values goes beyond.

    Args:
        images n×3×H×W, changed: of every ball, the same shape; regions: n×1×H×W boolean; rows: of these photographs,
        in this order within every ball and kind of change.
    """
    columns = 1 + 2 * len(changed)
    figure, axes = plt.subplots(len(images), columns, figsize=(1.8 * columns, 2.1 * len(images)), squeeze=False)
    for i, line in enumerate(axes):
        picture(line[0], channels_last(images[i]), title=classes[labels[i]][:24])
        line[0].contour(regions[i, 0], [0.5], colors=COLOURS[1], linewidths=1.5)
        for k, (ball, each) in enumerate(changed.items()):
            own = rows[(rows["ball"] == ball) & (rows["change"] == "own")].iloc[i]
            title = f"{classes[int(own['target'])][:20]} {own['confidence']:.0%}\n{ball}, radius {own['radius']:.2f}"
            picture(line[1 + 2 * k], channels_last(each[i].clamp(0, 1)), title=title)
            delta = each[i] - images[i]
            most = max(delta.abs().flatten().quantile(0.999).item(), 1e-9)
            shown = (0.5 + 0.5 * delta / most).clamp(0, 1)
            picture(line[2 + 2 * k], channels_last(shown), title=f"change, ±{255 * most:.1f} grey levels")
            line[2 + 2 * k].contour(regions[i, 0], [0.5], colors="black", linewidths=0.8)
    return figure
