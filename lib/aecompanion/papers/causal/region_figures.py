"""Figures of regions, fills and estimates of paper 1 (X1.4, X1.5, F1.3, F1.4), from saved tidy rows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from aecompanion.data.regions import Regions
from aecompanion.explain.fills import replace
from aecompanion.papers.causal.rankings import (
    ALL_OFF,
    COUNTERFACTUAL,
    PROBABILITY,
    READINGS,
    SCORES,
    TRUTH,
    estimate_cube,
)
from aecompanion.papers.causal.tables import REGIONS
from aecompanion.report.cubes import error_bars
from aecompanion.report.figures import COLOURS, channels_last, colours, markers, picture
from aecompanion.studies import regions as region_study

TITLES = {"mask": "exact mask", "box": "box", "cam": "CAM", "gradcam": "Grad-CAM", "random": "elsewhere"}
FILL_TITLES = {COUNTERFACTUAL: "finding off", ALL_OFF: "all off"}  # of the exact fills; others by their name
GIVEN = {"mask": "= box", "random": "0"}  # what the sizes of these regions are by construction with the finding off


def telling_case(effects: pd.DataFrame) -> int:
    """A case that the network sees and whose removal it notices: median true effect among those with p above 0.7."""
    fill = COUNTERFACTUAL if COUNTERFACTUAL in set(effects["fill"]) else "mean"
    own = effects[(effects["region"] == "box") & (effects["fill"] == fill)].sort_values("effect")
    seen = own[own["p"] > 0.7] if (own["p"] > 0.7).any() else own
    return int(seen["case"].iloc[len(seen) // 2])


def masking_panel(
    image: torch.Tensor,
    shown: dict[str, torch.Tensor],
    effects: pd.DataFrame,
    region: Regions,
    bare: torch.Tensor | None = None,
) -> Figure:
    """X1.4: regions (columns) under fills (rows) with p' and CE under each picture; `bare`: the image with all off."""
    fills = region_study.exact_fills(region, bare) | {name: name for name in ("mean", "black", "white")}
    names = [name for name in REGIONS if shown[name].any()]
    figure, axes = plt.subplots(len(fills) + 1, len(names), figsize=(2.0 * len(names) + 0.5, 2.25 * (len(fills) + 1)))
    p = effects["p"].iloc[0]
    for panel, name in zip(axes[0], names, strict=True):
        picture(panel, channels_last(image), title=f"{TITLES[name]}\np = {p:.2f}", cmap="gray")
        panel.contour(shown[name][0, 0], [0.5], colors=COLOURS[1], linewidths=1.2)
    for row, (fill, filling) in zip(axes[1:], fills.items(), strict=True):
        for panel, name in zip(row, names, strict=True):
            change = effects[(effects["region"] == name) & (effects["fill"] == fill)]["effect"].iloc[0]
            replaced = replace(image[None], shown[name], filling)[0]
            picture(panel, channels_last(replaced), title=f"p' = {p + change:.2f}, CE = {change:+.2f}", cmap="gray")
        row[0].set_ylabel(FILL_TITLES.get(fill, fill))
    return figure


def measured(fill: str) -> list[str]:
    """The regions whose effect under a fill is not known by construction."""
    return [name for name in REGIONS if fill != COUNTERFACTUAL or name not in GIVEN]


def region_points(effects: pd.DataFrame, table: pd.DataFrame, gaps: pd.DataFrame, fills: list[str]) -> Figure:
    """F1.3: a panel per fill; above |CE| of every case (points, mean over networks) and its mean, below the paired
    difference of the box and every other region, with 95 % intervals. What holds by construction is written, not drawn.
    """
    options = {"sharex": True, "sharey": "row", "squeeze": False, "height_ratios": [1.6, 1]}
    figure, axes = plt.subplots(2, len(fills), figsize=(3.7 * len(fills) + 0.6, 5.6), **options)
    for (panel, lower), fill in zip(axes.T, fills, strict=True):
        cases = effects[effects["fill"] == fill].assign(size=effects["effect"].abs())
        cases = cases.groupby(["region", "case"])["size"].mean()
        own, paired = (each[each["fill"] == fill].set_index("region") for each in (table, gaps))
        for place, name in enumerate(REGIONS):
            if name not in measured(fill):
                panel.text(place, 0.02, GIVEN[name], ha="center", fontsize=9)
                continue
            points = cases.loc[name].to_numpy()
            spread = place - 0.28 + 0.4 * (np.arange(len(points)) * 0.618 % 1)  # evenly, without a random number
            panel.plot(spread, points, "o", color=COLOURS[place], ms=3, alpha=0.45, mew=0)
        rows = own.loc[measured(fill)]
        errors = error_bars(rows["size"], rows["size_low"], rows["size_high"])
        place = np.array([REGIONS.index(name) for name in rows.index])
        panel.errorbar(place + 0.3, rows["size"], errors, fmt="D", color="black", ms=5, capsize=3)
        panel.set(title=f"fill: {FILL_TITLES.get(fill, fill)}", ylim=(-0.02, 1.02))
        rows = paired.loc[[name for name in measured(fill) if name in paired.index]]
        errors = error_bars(rows["gap"], rows["gap_low"], rows["gap_high"])
        place = np.array([REGIONS.index(name) for name in rows.index])
        lower.axhline(0, color="#999999", lw=0.8)
        lower.errorbar(place, rows["gap"], errors, fmt="s", color="black", ms=5, capsize=3)
        lower.set_xticks(range(len(REGIONS)), [TITLES[name] for name in REGIONS], rotation=20)
    axes[0, 0].set_ylabel("|CE$_y$|")
    axes[1, 0].set_ylabel("box - region,\nsame cases")
    return figure


def fill_grid(table: pd.DataFrame, gaps: pd.DataFrame) -> Figure:
    """F1.4: mean |CE| against the fill, a line per region; below the paired difference of box and CAM region."""
    fills = list(dict.fromkeys(table["fill"]))
    figure, (panel, lower) = plt.subplots(2, 1, figsize=(9.2, 5.4), sharex=True, height_ratios=[1.7, 1])
    for offset, name in enumerate(REGIONS):
        drawn = [fill for fill in fills if name in measured(fill)]
        rows = table[table["region"] == name].set_index("fill").loc[drawn]
        errors = error_bars(rows["size"], rows["size_low"], rows["size_high"])
        place = np.array([fills.index(fill) for fill in drawn]) + 0.12 * (offset - 2)
        marker, colour = markers(list(REGIONS))[name], colours(list(REGIONS))[name]
        panel.errorbar(place, rows["size"], errors, fmt=marker, color=colour, capsize=2, ms=6, label=TITLES[name])
    panel.set(ylabel="mean |CE$_y$|", ylim=(0, None))
    rows = gaps[gaps["region"] == "cam"].set_index("fill").loc[fills]
    errors = error_bars(rows["gap"], rows["gap_low"], rows["gap_high"])
    lower.axhline(0, color="#999999", lw=0.8)
    lower.errorbar(range(len(fills)), rows["gap"], errors, fmt="s", color="black", ms=5, capsize=3)
    lower.set(ylabel="box - CAM,\nsame cases")
    lower.set_xticks(range(len(fills)), [FILL_TITLES.get(fill, fill) for fill in fills])
    for edge in np.arange(len(fills) - 1) + 0.5:
        for each in (panel, lower):
            each.axvline(edge, color="#dddddd", lw=0.8)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right center", title="region")
    return figure


AGAINST_TRUTH = (PROBABILITY, "CAM evidence", "box · ring", "box · mean", "box · inpaint", "released formula")


def estimates_against_truth(estimates: pd.DataFrame) -> Figure:
    """X1.5: true effect (x) against six estimates (y) on the same axes (what is in other units has its own y axis), a
    colour and marker per finding; in the titles rank correlations within findings and pooled.
    """
    findings = estimates.drop_duplicates("case").set_index("case")["finding"]
    names = sorted(findings.unique())
    truth = estimates[estimates["method"] == TRUTH].set_index(["seed", "case"])["value"].sort_index()
    figure, axes = plt.subplots(2, 3, figsize=(11.5, 7.6))
    effects = [method for method in AGAINST_TRUTH if method not in SCORES or method == PROBABILITY]
    values = estimates[estimates["method"].isin([TRUTH, *effects])]["value"]
    limits = values.min() - 0.04, values.max() + 0.04
    for panel, method in zip(axes.flat, AGAINST_TRUTH, strict=True):
        rows = estimates[estimates["method"] == method].set_index(["seed", "case"])["value"].reindex(truth.index)
        of = findings.loc[truth.index.get_level_values("case")].to_numpy()
        panel.axhline(0, color="#bbbbbb", lw=0.8)
        panel.set(xlim=(truth.min() - 0.04, truth.max() + 0.04))
        if method in effects:
            panel.axline((0, 0), slope=1, color="black", lw=0.8, ls=":")
            panel.set(ylim=limits)
        for name in names:
            look = {"color": colours(names)[name], "marker": markers(names)[name]}
            panel.plot(truth[of == name], rows[of == name], ls="", ms=3, alpha=0.5, mew=0, label=name, **look)
        cube = estimate_cube(estimates, [method])
        found = [READINGS[reading](cube) for reading in ("within findings", "pooled")]
        title = "-p (no region)" if method == PROBABILITY else method
        panel.set_title(f"{title}\nwithin findings {found[0]:.2f}, pooled {found[1]:.2f}", fontsize=10)
    for panel in axes[1]:
        panel.set_xlabel("true CE$_y$ (finding off)")
    for panel in axes[:, 0]:
        panel.set_ylabel("estimate")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=9, title="finding", markerscale=2)
    return figure
