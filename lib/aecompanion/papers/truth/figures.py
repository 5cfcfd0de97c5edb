"""Figures of the truth bench: agreement with true effects against cost, and the two mask methods side by side."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aecompanion.explain.methods import METHODS
from aecompanion.explain.neighbours import NEIGHBOURS
from aecompanion.papers.truth.tables import MASKS, named
from aecompanion.report.cubes import error_bars
from aecompanion.report.figures import COLOURS
from aecompanion.studies.truth import CONTROLS, PARTS, RANDOM

LINES = {PARTS: "--", RANDOM: ":"}  # controls in X6.3
COLUMNS = 3


def looks() -> dict[str, tuple[str, str]]:
    """Colour and marker of every method."""
    return {name: (row.colour, row.marker) for name, row in (METHODS | NEIGHBOURS).items()}


def truth_and_cost(table: pd.DataFrame) -> Figure:
    """X6.3: a panel per world and network: rank correlation with true effects against passes, the Pareto front as a
    line; dashed: the parts themselves, dotted: noise.
    """
    groups = list(table.groupby(["world", "network"], sort=False))
    rows = -(-(len(groups) + 1) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(4.1 * COLUMNS, 3.4 * rows), squeeze=False, sharey=True)
    for panel, ((world, network), part) in zip(axes.flat, groups, strict=False):
        cost_panel(panel, part)
        panel.set_title(f"{world}\n{network}", fontsize=10)
    for panel in axes.flat[len(groups) :]:
        panel.axis("off")
    for line in axes:
        line[0].set_ylabel("rank correlation with\ntrue effects")
    shown = [name for name in looks() if name in set(table["method"])]
    handles = [Line2D([], [], color=looks()[name][0], marker=looks()[name][1], ls="", label=name) for name in shown]
    handles += [Line2D([], [], color="black", ls=style, lw=1, label=name) for name, style in LINES.items()]
    handles.append(Line2D([], [], color="black", lw=1, label="Pareto front"))
    axes.flat[len(groups)].legend(handles=handles, loc="center left", ncols=2, fontsize=9, columnspacing=1)
    return figure


def cost_panel(panel: Axes, part: pd.DataFrame) -> None:
    """One world and network of X6.3."""
    own = part[~part["method"].isin(CONTROLS)]
    for row in own.itertuples():
        colour, marker = looks()[row.method]
        ends = error_bars([row.rank], [row.rank_low], [row.rank_high])
        panel.errorbar(row.passes, row.rank, ends, color=colour, marker=marker, ms=7, elinewidth=1, zorder=3)
    front = own[own["front"] == "yes"].sort_values("passes")
    panel.step(front["passes"], front["rank"], where="post", color="black", lw=1, zorder=2)
    for name, style in LINES.items():
        level = part.loc[part["method"] == name, "rank"]
        if len(level):
            panel.axhline(level.iloc[0], color="black", ls=style, lw=1, zorder=1)
    panel.set(xscale="log", xlabel="passes per pair", ylim=(-1, 1.05))
    panel.grid(axis="y", lw=0.4)


def masks(table: pd.DataFrame) -> Figure:
    """X6.4: RP minus MP by true effects, a line per comparison and, within, world and network; right of 0 RP is the
    better explanation.
    """
    worlds = list(table[["world", "family"]].drop_duplicates().itertuples(index=False, name=None))
    names = [name for name in MASKS if name in set(table["comparison"])]
    height = 1.2 + 0.3 * len(names) * (len(worlds) + 0.8)
    figure, axes = plt.subplots(1, 2, figsize=(10.5, height), sharey=True)
    titles = {"rank": "rank correlation with true effects", "share": "share on parts with effect"}
    for panel, (column, title) in zip(axes, titles.items(), strict=True):
        for k, (world, marker) in enumerate(zip(worlds, "osD^vP*Xdh", strict=False)):
            part = table[(table["world"] == world[0]) & (table["family"] == world[1])]
            places = [places_of(names, len(worlds))[name] + k for name in part["comparison"]]
            ends = error_bars(part[column], part[f"{column}_low"], part[f"{column}_high"])
            style = {"color": COLOURS[k % len(COLOURS)], "marker": marker, "ls": "", "ms": 6}
            panel.errorbar(part[column], places, xerr=ends, label=named(*world), **style)
        panel.axvline(0, color="black", lw=1)
        panel.set(title=title, xlabel="RP minus MP")
        panel.grid(axis="x", lw=0.4)
    middle = (len(worlds) - 1) / 2
    axes[0].set_yticks([place + middle for place in places_of(names, len(worlds)).values()], names)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def places_of(names: list[str], each: int) -> dict[str, float]:
    """Where the group of lines of every comparison begins."""
    return dict(zip(names, np.arange(len(names)) * (each + 1.2), strict=True))
