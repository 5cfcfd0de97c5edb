"""Figures of the truth bench: agreement with true effects against cost, and the two mask methods side by side."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aecompanion.explain.methods import METHODS
from aecompanion.explain.neighbours import NEIGHBOURS
from aecompanion.papers.truth.tables import MASKS, front, named
from aecompanion.report.cubes import error_bars
from aecompanion.report.figures import COLOURS, placeholder
from aecompanion.studies.truth import CONTROLS, PARTS

READINGS = {"rank": "sums over a part", "density": "means over a part"}
SHOWN = 5  # worlds side by side


def looks() -> dict[str, tuple[str, str]]:
    """Colour and marker of every method."""
    return {name: (row.colour, row.marker) for name, row in (METHODS | NEIGHBOURS).items()}


def truth_and_cost(table: pd.DataFrame) -> Figure:
    """X6.3: a column per world (its last network of `table`) and a row per reading of a map, sums and means: rank
    correlation with true effects against passes, the Pareto front as a line; dashed: every part marked alike.
    """
    last = table.groupby("world", sort=False)["network"].last()
    groups = [table[(table["world"] == world) & (table["network"] == network)] for world, network in last.items()]
    groups = groups[:SHOWN]
    size = (3.3 * len(groups), 8.6)
    figure, axes = plt.subplots(2, len(groups), figsize=size, squeeze=False, sharey=True, sharex="col")
    for column, part in zip(axes.T, groups, strict=True):
        for panel, (reading, what) in zip(column, READINGS.items(), strict=True):
            cost_panel(panel, part, reading)
            panel.set_ylabel(f"rank correlation with true effects,\n{what}" if panel in axes[:, 0] else "")
        column[0].set_title(f"{part['world'].iloc[0]}\n{part['network'].iloc[0]}", fontsize=11)
        column[1].set_xlabel("passes per pair")
    shown = [name for name in looks() if name in set(table["method"])]
    handles = [Line2D([], [], color=looks()[name][0], marker=looks()[name][1], ls="", label=name) for name in shown]
    handles.append(Line2D([], [], color="black", ls="--", lw=1, label="every part alike"))
    handles.append(Line2D([], [], color="black", lw=1, label="Pareto front"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2 * len(groups), fontsize=11, columnspacing=1.2)
    return figure


def cost_panel(panel: Axes, part: pd.DataFrame, reading: str) -> None:
    """One world and one reading of X6.3."""
    own = part[~part["method"].isin(CONTROLS)]
    for row in own.to_dict("records"):
        colour, marker = looks()[row["method"]]
        ends = error_bars([row[reading]], [row[f"{reading}_low"]], [row[f"{reading}_high"]])
        panel.errorbar(row["passes"], row[reading], ends, color=colour, marker=marker, ms=7, elinewidth=0.8, zorder=3)
    best = own[front(own, reading) == "yes"].sort_values("passes")
    panel.step(best["passes"], best[reading], where="post", color="black", lw=1, zorder=2)
    alike = part.loc[part["method"] == PARTS, reading]
    if len(alike):
        panel.axhline(alike.iloc[0], color="black", ls="--", lw=1, zorder=1)
    panel.axhline(0, color="grey", ls=":", lw=1, zorder=1)
    panel.set(xscale="log", ylim=(-1, 1.05))
    panel.grid(axis="y", lw=0.4)


def masks(table: pd.DataFrame) -> Figure:
    """X6.4: RP minus MP by true effects, a line per comparison and, within, world and network; right of 0 RP is the
    better explanation.
    """
    if table.empty:
        return placeholder("MP and RP did not run on the same pairs")
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
