"""Figures of masks on photographs (X3.3, X3.6); what they show is computed in `studies.photographs`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aecompanion.report.figures import COLOURS, HEAT, WRONG, channels_last, picture
from aecompanion.studies.photographs import VIEWS, shares, views

RISEN = 0.1  # a share, or a probability, that has risen by more is marked
SEEN = 0.02  # a rival whose share is below this in every view has no line
LABELS = {
    "Grad-CAM": "share of each map's maximum",
    "RISE": "p(T) where kept / mean p(T)",
    "MP": "$1-m$",
    "RP": "$1-m$",
}


def map_grid(images: torch.Tensor, maps: Mapping[str, torch.Tensor], titles: Sequence[str]) -> Figure:
    """X3.3: one row per photograph: it and its maps, n×1×H×W each; the maps of a method (a column) share one scale.

    Grad-CAM is divided by each map's maximum and RISE by each map's mean, because their units are those of the
    photograph's logit and probability; 1 - m is shown from 0 to 1.
    """
    rows, columns = len(images), len(maps) + 1
    figure, axes = plt.subplots(
        rows + 1, columns, figsize=(2.05 * columns, 2.05 * rows + 0.7), height_ratios=[1] * rows + [0.06]
    )
    for line, image, title in zip(axes, images, titles, strict=False):
        picture(line[0], channels_last(image))
        line[0].set_ylabel(title, fontsize=10)
    axes[0, 0].set_title("photograph", fontsize=11)
    axes[-1, 0].axis("off")
    for column, (method, each) in zip(axes.T[1:], maps.items(), strict=True):
        shown, (low, high) = comparable(method, each)
        for panel, values in zip(column, shown, strict=False):
            picture(panel, values[0], cmap=HEAT, vmin=low, vmax=high)
        column[0].set_title(method, fontsize=11)
        figure.colorbar(column[0].images[0], cax=column[-1], orientation="horizontal")
        column[-1].set_xlabel(LABELS.get(method, ""), fontsize=8)
        column[-1].tick_params(labelsize=8)
    return figure


def comparable(method: str, maps: torch.Tensor) -> tuple[torch.Tensor, tuple[float, float]]:
    """The maps of several photographs in one unit, and the limits of their scale."""
    flat = maps.flatten(1)
    if method == "Grad-CAM":
        return maps / flat.amax(1).clamp_min(torch.finfo(maps.dtype).tiny).reshape(-1, 1, 1, 1), (0.0, 1.0)
    if method == "RISE":
        maps = maps / flat.mean(1).reshape(-1, 1, 1, 1)
        return maps, (maps.min().item(), maps.max().item())
    return maps, (0.0, 1.0)


def before_after(
    images: torch.Tensor, references: torch.Tensor, masks: Mapping[str, torch.Tensor], rows: pd.DataFrame
) -> Figure:
    """X3.6: one row per photograph: it; x_pt and x_rpt of each method with p(T) and the most likely other class; the
    rivals' shares, clean and masked. Marked: another class that has risen by 0.1, its share in x_pt, its p in x_rpt.
    """
    names = list(dict.fromkeys(rows["photograph"]))
    columns = 1 + 2 * len(masks)
    figure, axes = plt.subplots(
        len(images),
        columns + 1,
        figsize=(2.05 * columns + 4.6, 2.75 * len(images)),
        squeeze=False,
        width_ratios=[1] * columns + [1.15],
    )
    for i, (line, name) in enumerate(zip(axes, names, strict=True)):
        here = rows[rows["photograph"] == name]
        picture(line[0], channels_last(images[i]), title="photograph" if i == 0 else "")
        said(line[0], here[here["method"] == next(iter(masks))], "clean")
        for k, (method, mask) in enumerate(masks.items()):
            shown = views(images[i], references[i], mask[i])
            for panel, view, sign in zip(line[1 + 2 * k :][:2], VIEWS[1:], ("x_{pt}", "x_{rpt}"), strict=True):
                title = f"{method}: {view}, ${sign}$" if i == 0 else ""
                picture(panel, channels_last(shown[view].clamp(0, 1)), title=title, formula=True)
                said(panel, here[here["method"] == method], view)
        share_panel(line[-1], here, list(masks))
        line[-1].set_title("share $s$ among all classes but T" if i == 0 else "", fontsize=9)
        if i == 0:
            line[-1].legend(fontsize=8, loc="lower right", handletextpad=0.1)
    return figure


def said(panel: Axes, part: pd.DataFrame, view: str) -> None:
    """Below a picture: p of the explained class, and of the most likely other one, each with what it was."""
    wide = part.pivot(index="class", columns="view", values=["p", "share"])
    target = part.loc[part["role"] == "target", "class"].iloc[0]
    rival = wide["p", view].drop(target).idxmax()
    measure = "share" if view == "masked" else "p"
    risen = wide.loc[rival, (measure, view)] > wide.loc[rival, (measure, "clean")] + RISEN
    marked = {"color": WRONG, "weight": "bold"} if risen else {}
    for line, (name, style) in enumerate(((target, {}), (rival, marked))):
        before, now = (f"{wide.loc[name, ('p', each)]:.0%}" for each in ("clean", view))
        text = f"{short(name)} {now}" if view == "clean" else f"{short(name)} {before} → {now}"
        place = {"x": 0.5, "y": -0.04 - 0.12 * line, "ha": "center", "va": "top", "transform": panel.transAxes}
        panel.text(s=text, fontsize=8.5, **place, **style)


def share_panel(panel: Axes, here: pd.DataFrame, methods: Sequence[str]) -> None:
    """The shares of the rivals, clean and masked by each method: a line per rival that has `SEEN` of them somewhere."""
    parts = {method: shares(here[here["method"] == method]) for method in methods}
    first = next(iter(parts.values()))
    largest = np.max([part.loc[first.index, ["clean", "masked"]].max(axis=1) for part in parts.values()], axis=0)
    order = first.index[largest >= min(SEEN, largest.max())]
    height = range(len(order))[::-1]
    panel.scatter(parts[methods[0]].loc[order, "clean"], height, marker="|", s=90, lw=2, color="black", label="clean")
    for method, marker, colour in zip(methods, "s^ov", COLOURS, strict=False):
        panel.scatter(parts[method].loc[order, "masked"], height, marker=marker, s=24, color=colour, label=method)
    panel.set(xlim=(-0.03, 1.03), ylim=(-0.6, len(order) - 0.4), yticks=list(height))
    panel.set_yticklabels([short(name) for name in order], fontsize=7.5)
    panel.tick_params(axis="x", labelsize=8)
    panel.grid(axis="y", lw=0.4)


def short(name: str, length: int = 20) -> str:
    """A class name that fits below a picture."""
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"
