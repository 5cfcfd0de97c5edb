"""Detectors and attacks that know them, Yang et al., ICIP 2019: one row per seed, image, level and detector."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.evaluate.detectors import DETECTORS
from aecompanion.evaluate.replicates import of_auroc
from aecompanion.papers.causal.tables import named
from aecompanion.report.cubes import cube, error_bars
from aecompanion.report.figures import COLOURS

ARMS = {"plain": "PGD that does not know it", "adaptive": "attack that knows it"}


def evaded_cube(adaptive: pd.DataFrame, detector: str, level: int, columns: tuple[str, ...]) -> np.ndarray:
    """seeds × images × columns of one detector at one level."""
    rows = adaptive[(adaptive["detector"] == detector) & (adaptive["level"] == level)]
    return np.concatenate([cube(rows, column, [{"detector": detector}]) for column in columns], axis=-1)


def evaded_table(adaptive: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.21: AUROC of every detector against PGD and against the attack that knows it, same images and ε; for both the
    share of images with a changed decision, and how many of the decisions changed.
    """
    rows = []
    for level, detector in adaptive[["level", "detector"]].drop_duplicates().itertuples(index=False):
        row = {"level": level, "detector": detector}
        for arm in ARMS:
            row |= named(arm, of_auroc(evaded_cube(adaptive, detector, level, ("clean", arm)), **options))
        for arm in ARMS:
            changed = evaded_cube(adaptive, detector, level, (f"changed_{arm}",))
            row |= {f"{arm}: fooled": (changed > 0).mean(), f"{arm}: decisions": changed.mean()}
        rows.append(row)
    return pd.DataFrame(rows)


def evaded_figure(table: pd.DataFrame) -> Figure:
    """X1.20: both AUROCs of every detector, a panel per level."""
    levels = sorted(table["level"].unique())
    names = [name for name in DETECTORS if name in set(table["detector"])]
    figure, axes = plt.subplots(1, len(levels), figsize=(3.6 * len(levels) + 2.4, 0.36 * len(names) + 1.4), sharey=True)
    for panel, level in zip(np.atleast_1d(axes), levels, strict=True):
        rows = table[table["level"] == level].set_index("detector").loc[names]
        place = np.arange(len(names))
        panel.hlines(place, rows["adaptive"], rows["plain"], color="#BBBBBB", lw=1.5, zorder=0)
        for (arm, title), colour, marker, shift in zip(
            ARMS.items(), (COLOURS[0], COLOURS[3]), ("o", "v"), (-0.12, 0.12), strict=True
        ):
            bars = error_bars(rows[arm], rows[f"{arm}_low"], rows[f"{arm}_high"])
            panel.errorbar(
                rows[arm], place + shift, xerr=bars, ls="", color=colour, marker=marker, ms=6, capsize=2, label=title
            )
        panel.axvline(0.5, color="black", ls=":", lw=1)
        panel.set(title=f"ε = {level}/255", xlim=(0, 1.02), xlabel="AUROC against clean", yticks=place)
        panel.set_yticklabels([DETECTORS[name].title for name in names])
    np.atleast_1d(axes)[0].invert_yaxis()
    handles = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=2, fontsize=9)
    return figure
