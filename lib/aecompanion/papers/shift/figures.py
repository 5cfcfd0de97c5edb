"""Figures of Chakraborty et al., CVPR Workshops 2022, in the paper's own form, and three of ours.

All take tidy rows or maps that earlier stages saved and return a matplotlib figure.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aecompanion.evaluate.intervals import interval
from aecompanion.papers.shift.tables import ARMS, COUNTERPART, LEVELS, MODES, cube, digitised, names
from aecompanion.report.figures import HEAT, RIGHT, WRONG, channels_last, colours, markers, picture

Cell = tuple[np.ndarray, bool | None, float | None]  # a heatmap in [0,1], was the network right, its NISSIM
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))) * 2


def label(network: str) -> str:
    """The network with the paper's network of the same family: "resnet (as ResNet50)"."""
    return f"{network} (as {COUNTERPART[network]})" if network in COUNTERPART else network


def kde_panels(shift: pd.DataFrame, *, quantity: str, mode: str = "own_pred") -> Figure:
    """F5.4: one density panel per level, one curve per network, each of area 1 and none outside what the quantity can
    be (the paper's five share one area); ticks: medians, crosses: the paper's digitised means. `quantity` is "ssim" (as
    plotted there) or "nissim".
    """
    rows = shift[(shift["arm"] == "white") & (shift["mode"] == mode) & shift["correct0"]]
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 5.6), sharey=True)
    palette, limits = colours(names(rows)), {"ssim": (-1, 1), "nissim": (0, 1)}[quantity]
    axis_label = {"ssim": "SSIM(original, attacked)", "nissim": "NISSIM(original, attacked)"}[quantity]
    for panel, level, letter in zip(axes.flat, LEVELS, "abcd", strict=False):
        seaborn.kdeplot(
            rows[rows["eps"] == level],
            x=quantity,
            hue="network",
            common_norm=False,
            clip=limits,
            palette=palette,
            legend=False,
            ax=panel,
        )
        # hue draws its curves last first; a line style per network, so that colour is not the only cue
        for line, style in zip(reversed(panel.lines), LINES, strict=False):
            line.set_linestyle(style)
        medians = rows[rows["eps"] == level].groupby("network")[quantity].median()
        for network, median in medians.items():
            panel.plot(median, 0, "|", color=palette[network], markersize=14, markeredgewidth=2, clip_on=False)
            if known := digitised(network):
                mean = known[LEVELS.index(level)]
                place = mean if quantity == "ssim" else (1 - mean) / 2
                look = {"color": palette[network], "transform": panel.get_xaxis_transform()}
                panel.scatter(place, 0.95, marker="x", s=45, lw=2, **look)
        shown = (-0.4, 1.02) if quantity == "ssim" else (-0.02, 0.7)
        panel.set(title=f"({letter}) ε = {level:g}", xlabel=axis_label, ylabel="density", xlim=shown)
    for panel in axes.flat[len(LEVELS) :]:
        panel.axis("off")
    handles = [
        plt.Line2D([], [], color=colour, linestyle=style, label=label(network))
        for (network, colour), style in zip(palette.items(), LINES, strict=False)
    ]
    title = "(e) networks; ticks: medians;\ncrosses: the paper's means (digitised)"
    axes.flat[len(LEVELS)].legend(handles=handles, loc="center", title=title)
    return figure


def curves_with_bands(
    table: pd.DataFrame,
    columns: dict[str, pd.DataFrame],
    *,
    ylabel: str,
    ylim: tuple[float, float],
    even: bool = False,
    chance: float | None = None,
) -> Figure:
    """One panel per entry of `columns` (title → rows with network, eps, mean, ci_low, ci_high), 95 % bands.

    `even` spaces the levels evenly instead of to scale (for levels from one grey level to a tenth of the range);
    `chance` draws a dotted line there.
    """
    networks = names(table)
    figure, axes = plt.subplots(1, len(columns), figsize=(3.6 * len(columns) + 1.2, 3.8), sharey=True, squeeze=False)
    for panel, (title, rows) in zip(axes[0], columns.items(), strict=True):
        for network in networks:
            line = rows[rows["network"] == network].sort_values("eps")
            colour = colours(networks)[network]
            x = range(len(line)) if even else line["eps"]
            panel.plot(x, line["mean"], color=colour, marker=markers(networks)[network], ms=5, label=label(network))
            panel.fill_between(x, line["ci_low"], line["ci_high"], color=colour, alpha=0.2, lw=0)
        panel.set(title=title, xlabel="ε (pixel units)", ylim=ylim)
        if chance is not None:
            panel.axhline(chance, color="black", ls=":", lw=1, label="chance")
        if even:
            ticks = sorted(rows["eps"].unique())
            panel.set_xticks(range(len(ticks)), [f"{tick:g}" for tick in ticks], rotation=45, fontsize=9)
            panel.set_xlabel("ε, levels evenly spaced")
    axes[0, 0].set_ylabel(ylabel)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure


def scale_panels(table: pd.DataFrame) -> Figure:
    """X5.2: MOD of every arm between floor and ceiling, a panel per network and class mode, all on one scale; bands are
    95 % intervals, dashed: the ceiling, crosses: what the paper's Fig. 4 implies. `table` is `scale.mod_table`'s.
    """
    networks, modes = names(table), list(dict.fromkeys(table["mode"]))
    size = (2.3 * len(networks) + 1.8, 2.5 * len(modes) + 0.4)
    figure, axes = plt.subplots(len(modes), len(networks), figsize=size, sharex=True, sharey=True, squeeze=False)
    for line, mode in zip(axes, modes, strict=True):
        for panel, network in zip(line, networks, strict=True):
            rows = table[(table["mode"] == mode) & (table["network"] == network)]
            for arm, each in rows.groupby("arm", sort=False):
                look = {"color": colours(list(ARMS))[arm], "label": ARMS[arm]}
                panel.plot(each["eps"], each["mean"], marker=markers(list(ARMS))[arm], ms=4, **look)
                panel.fill_between(each["eps"], each["ci_low"], each["ci_high"], color=look["color"], alpha=0.2, lw=0)
            panel.axhline(rows["ceiling"].iloc[0], color="black", ls="--", lw=1, label="ceiling: another person")
            if mode == "own_pred":
                paper = rows[rows["arm"] == "white"]
                panel.plot(paper["eps"], paper["paper"], "x", color="0.5", ms=5, label="paper (digitised)")
                panel.set_title(label(network), fontsize=10)
        line[0].set_ylabel(f"MOD, {MODES.get(mode, mode)}", fontsize=9)
    top = table[["ci_high", "ceiling", "paper"]].max().max()
    axes[0, 0].set(xlim=(0, 1.08 * table["eps"].max()), ylim=(0, 1.08 * top))
    figure.supxlabel("ε (pixel units)", fontsize=11)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure


def failure_panels(shift: pd.DataFrame, *, level: float = 0.01, resamples: int = 200, seed: int = 0) -> Figure:
    """X5.1: NISSIM of fooled and of still-correct images per network, for own_pred and, without the class confound,
    for clean_pred; mean with 95 % interval over images and training seeds. Short lines: noise of equal size (grey) and
    the ceiling, another person's map (black).
    """
    bounds = [("noise", level, "0.6", "random signs"), ("other", 0.0, "black", "another person")]
    outcomes = {"still correct": (1, -0.15, RIGHT, "o"), "fooled": (0, 0.15, WRONG, "X")}
    rows = shift[(shift["arm"] == "white") & (shift["eps"] == level) & shift["correct0"]]
    modes = [mode for mode in ("own_pred", "clean_pred") if mode in set(rows["mode"])]
    what = {"own_pred": "region and class may change", "clean_pred": "the region alone"}
    figure, axes = plt.subplots(1, len(modes), figsize=(5 * len(modes), 3.8), sharey=True, squeeze=False)
    for panel, mode in zip(axes[0], modes, strict=True):
        both = [cube(shift, column, mode=mode, levels=(level,))[..., 0] for column in ("nissim", "correct")]
        for name, (outcome, aside, colour, marker) in outcomes.items():
            of_outcome = np.where(both[1] == outcome, both[0], np.nan)
            shown = np.flatnonzero(np.isfinite(of_outcome).any((0, 1)))
            means = [interval(np.nanmean, of_outcome[..., k], resamples=resamples, seed=seed) for k in shown]
            panel.plot(shown + aside, [mean.value for mean in means], marker, color=colour, ms=8, label=name)
            ends = [[mean.low for mean in means], [mean.high for mean in means]]
            panel.vlines(shown + aside, *ends, color=colour, lw=2)
        for arm, at, colour, text in bounds:
            kept = shift[(shift["arm"] == arm) & (shift["eps"] == at) & (shift["mode"] == mode) & shift["correct0"]]
            heights = kept.groupby("network")["nissim"].mean()
            ends = [(k, heights[name]) for k, name in enumerate(names(rows)) if name in heights]
            if ends:
                x, y = np.transpose(ends)
                panel.hlines(y, x - 0.3, x + 0.3, color=colour, lw=1.5, label=text)
        panel.set_title(f"{MODES[mode]}: {what[mode]}", fontsize=11)
        panel.set_xticks(range(len(names(rows))), names(rows), rotation=20)
    axes[0, 0].set_ylabel(f"NISSIM at ε = {level:g}")
    axes[0, 0].set_ylim(0, max(panel.dataLim.y1 for panel in axes[0]) * 1.05)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure


def strip(images: list[np.ndarray], *, right: list[bool] | None = None, titles: list[str], **options) -> Figure:
    """One row of pictures, with frames where `right` is given (F5.1, F5.3)."""
    figure, axes = plt.subplots(1, len(images), figsize=(1.9 * len(images), 2.5), squeeze=False)
    for i, panel in enumerate(axes[0]):
        picture(panel, images[i], right=None if right is None else right[i], title=titles[i], **options)
    return figure


def heat(panel: Axes, cell: Cell, *, title: str = "") -> None:
    """A heatmap with its frame and, in the lower left corner, its NISSIM to the clean one (None: no number)."""
    values, right, moved = cell
    picture(panel, values, right=right, title=title, cmap=HEAT)
    if moved is not None:
        box = {"facecolor": "black", "edgecolor": "none", "pad": 1.2}
        panel.text(0.05, 0.06, f"{moved:.2f}", color="white", fontsize=8, transform=panel.transAxes, bbox=box)


def region_shift(image: torch.Tensor, cells: list[Cell], levels: list[float]) -> Figure:
    """F5.1: a face and its heatmap at every level, frames for right and wrong."""
    figure, axes = plt.subplots(1, len(levels) + 1, figsize=(1.9 * (len(levels) + 1) + 0.8, 2.4))
    picture(axes[0], channels_last(image), title="image", cmap="gray")
    for panel, cell, level in zip(axes[1:], cells, levels, strict=True):
        heat(panel, cell, title=f"ε = {level:g}")
    figure.colorbar(axes[-1].images[0], ax=axes, shrink=0.8, label="Grad-CAM")
    return figure


def addition(image, signs, attacked, *, eps: float, titles: list[str]) -> Figure:
    """F5.2: image + ε · signs = attacked image."""
    figure, axes = plt.subplots(1, 5, figsize=(9, 3), width_ratios=[4, 0.9, 4, 0.6, 4])
    for panel, content, title in zip(axes[::2], (image, (signs + 1) / 2, attacked), titles, strict=True):
        picture(panel, channels_last(content), title=title)
    for panel, text in zip(axes[1::2], (f"+ {eps:g} ×", "="), strict=True):
        panel.axis("off")
        panel.text(0.5, 0.5, text, ha="center", va="center", fontsize=13)
    return figure


def grid(images: list[np.ndarray], blocks: dict[str, dict[str, list[Cell]]], levels: dict[str, list[float]]) -> Figure:
    """F5.5, F5.6: above, the face as the network sees it; below, a row of heatmaps per network or stage.

    Args:
        images: one per column, H×W or H×W×3. blocks: title → row label → cells, columns side by side with a gap
            between blocks, the same rows in each; levels: the ε of each block's columns.
    """
    lines = list(next(iter(blocks.values())))
    widths = [1] * len(levels[next(iter(blocks))])
    for title in list(blocks)[1:]:
        widths += [0.2] + [1] * len(levels[title])
    size = (1.25 * sum(widths) + 2.8, 1.3 * (len(lines) + 1) + 0.6)
    figure, axes = plt.subplots(len(lines) + 1, len(widths), figsize=size, squeeze=False, width_ratios=widths)
    for panel in axes[:, [k for k, width in enumerate(widths) if width < 1]].flat:
        panel.remove()
    columns, titles = axes[:, [k for k, width in enumerate(widths) if width == 1]].T, [*levels.values()]
    for column, image, level in zip(columns, images, [each for block in titles for each in block], strict=True):
        picture(column[0], image, title=f"ε = {level:g}", cmap="gray")
    start = 0
    for title, rows in blocks.items():
        block = columns[start : start + len(levels[title])]
        block[len(block) // 2][0].set_title(f"{title}\n{block[len(block) // 2][0].get_title()}", fontsize=9)
        for k, cells in enumerate(rows.values(), 1):
            for column, cell in zip(block, cells, strict=True):
                heat(column[k], cell)
        start += len(block)
    for panel, text in zip(columns[0], ["image", *lines], strict=True):
        panel.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=9)
    shown = [panel for panel in axes.flat if panel.figure is not None]
    figure.colorbar(columns[0][1].images[0], ax=shown, shrink=0.5, label="Grad-CAM, normalised per map")
    return figure
