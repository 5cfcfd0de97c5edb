"""Figures of counterfactuals beside the generator's own: the pictures, and their scores per network and ball."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from aecompanion.evaluate.intervals import interval
from aecompanion.papers.truth.claims_counterfactuals import BALLS, NETWORKS
from aecompanion.report.cubes import cube, error_bars
from aecompanion.report.figures import channels_last, colours, markers, picture

CHANGE = "RdBu_r"  # red: more, blue: less, white: no change
TITLES = {"l1": r"$\ell_1$", "l1.5": r"$\ell_{1.5}$", "l2": r"$\ell_2$", "FW-L1-q": "FW-L1-q"}
NETWORK_TITLES = {"plain": "plain", "l2": "l2-robust", "multi": "multi-norm\nrobust"}
PANELS = {  # column: title
    "aligned": "cosine with the true change",
    "placed": "correlation over pixels of\nthe sizes of both changes",
    "inside": "share of the change\non either digit",
    "distance": "distance from the true one\n(1: the image itself)",
    "named": "target is the digit\nit resembles most",
    "realism": "judge's confidence\nin the target",
}
CONTROLS = {  # of no network: title and line
    "truth": ("the true counterfactual", "-."),
    "another digit": ("true, other handwriting", "-"),
    "erased": ("digit erased", "--"),
    "mean difference": ("difference of class means", ":"),
}
GREY = "#777777"


def gallery(
    images: torch.Tensor,
    columns: Mapping[tuple[str, str], torch.Tensor],
    *,
    titles: Sequence[str],
    captions: Mapping[tuple[str, str], Sequence[str]],
) -> Figure:
    """X6.7: the image, then per (network, ball) the counterfactual and, below it, its change; all changes of the figure
    are on one scale, whose end is the largest change of a pixel.

    images: n×C×H×W. columns: the same for every counterfactual, in the order of the columns. titles: of the images;
    captions: per column a line for every image.
    """
    changes = {key: (found - images).sum(1) for key, found in columns.items()}
    limit = max(max(float(each.abs().max()) for each in changes.values()), 1e-6)
    rows, width = 2 * len(images), 1 + len(columns)
    figure, axes = plt.subplots(rows, width, figsize=(1.2 * width + 0.8, 1.25 * rows + 0.5), squeeze=False)
    shown = None
    for number, image in enumerate(images):
        above, below = axes[2 * number], axes[2 * number + 1]
        picture(above[0], channels_last(image), title=titles[number])
        below[0].set_axis_off()
        for place, (key, found) in enumerate(columns.items(), 1):
            head = "\n".join(part.replace("\n", " ") for part in key if part) + "\n" if number == 0 else ""
            picture(above[place], channels_last(found[number]), title=head + captions[key][number], formula=True)
            picture(below[place], changes[key][number].numpy(), vmin=-limit, vmax=limit, cmap=CHANGE)
            shown = below[place].images[0]
    bar = figure.colorbar(shown, ax=axes, shrink=0.6, aspect=30, pad=0.01)
    bar.set_label("change, sum over channels", fontsize=9)
    return figure


def measured(rows: pd.DataFrame, column: str, condition: Mapping[str, str], **options) -> tuple[float, float, float]:
    """The mean of a column over seeds and images, and the ends of its interval."""
    found = interval(np.nanmean, cube(rows, column, [dict(condition)])[..., 0], **options)
    return found.value, found.low, found.high


def score_panels(rows: pd.DataFrame, **options) -> Figure:
    """X6.8: a panel per score of PANELS, per network and ball the mean of the counterfactuals with its 95 % interval
    (filled), the nearest point of the same ball (open) and noise in it (×), in the first panel also the ball's vertex
    for the true change (+); lines: CONTROLS. options: of `evaluate.intervals.interval`.
    """
    figure, axes = plt.subplots(2, len(PANELS) // 2, figsize=(1.7 * len(PANELS), 7))
    axes = axes.ravel()
    tones, shapes = colours(list(BALLS)), markers(list(BALLS))
    for panel, (column, title) in zip(axes, PANELS.items(), strict=True):
        for name, (label, line) in CONTROLS.items():
            value = rows.loc[rows["change"] == name, column].mean()
            panel.axhline(value, color=GREY, ls=line, lw=1.2, label=label, zorder=0)
        for shift, ball in zip(np.linspace(-0.27, 0.27, len(BALLS)), BALLS, strict=True):
            for place, network in enumerate(NETWORKS):
                at, here = place + shift, {"network": network, "ball": ball}
                value, low, high = measured(rows, column, here | {"change": "counterfactual"}, **options)
                look = {"color": tones[ball], "marker": shapes[ball], "ls": ""}
                label = TITLES[ball] if place == 0 else None
                panel.errorbar(at, value, yerr=error_bars([value], [low], [high]), capsize=3, label=label, **look)
                chosen = rows[(rows["network"] == network) & (rows["ball"] == ball)]
                means = chosen.groupby("change")[column].mean()
                panel.plot(at, means["nearest"], mfc="none", alpha=0.7, **look)
                panel.plot(at, means["noise"], **(look | {"marker": "x", "color": GREY}))
                if column == "aligned":
                    panel.plot(at, means["linear"], **(look | {"marker": "+"}))
        panel.set_xticks(range(len(NETWORKS)), [NETWORK_TITLES[each] for each in NETWORKS], fontsize=8)
        panel.set_title(title, fontsize=10)
        panel.set_xlim(-0.5, len(NETWORKS) - 0.5)
    handles, names = axes[0].get_legend_handles_labels()
    more = {
        "nearest to the truth in the ball": {"color": "black", "marker": "o", "mfc": "none"},
        "farthest along the truth in the ball": {"color": "black", "marker": "+"},
        "noise in the ball": {"color": GREY, "marker": "x"},
    }
    handles += [plt.Line2D([], [], ls="", **look) for look in more.values()]
    names += list(more)
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=9)
    return figure
