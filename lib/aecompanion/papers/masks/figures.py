"""Figures of the mask study: scenes, maps side by side, deletion curves, class distortion, the reverse image."""

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aecompanion.data.dataset import Dataset
from aecompanion.data.regions import Regions
from aecompanion.evaluate.intervals import interval
from aecompanion.explain.methods import METHODS, STARTS
from aecompanion.papers.masks.tables import FOR_READERS, ORACLE, values
from aecompanion.report.figures import COLOURS, HEAT, channels_last, picture

BOX = COLOURS[1]
BESIDE = {
    STARTS[0]: ("#999999", "X"),
    "random": ("#332288", "<"),
    ORACLE: ("black", "*"),
}  # colour and marker of what is no method
Part = tuple[Dataset, Regions, Mapping[str, torch.Tensor]]  # pairs of one data set with the maps of each method


def looks() -> dict[str, tuple[str, str]]:
    """Colour and marker of every method, of MP from its own start, of random maps and of the oracle."""
    return {name: (row.colour, row.marker) for name, row in METHODS.items()} | BESIDE


def box(axes: Axes, corners: Sequence[int], label: str = "") -> None:
    """An orange frame around (top, left, bottom, right), the class's name above it."""
    top, left, bottom, right = corners
    axes.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, ec=BOX, lw=1.6))
    if label:
        axes.text(left, top - 1.5, label, color=BOX, fontsize=8, weight="bold", va="bottom", clip_on=False)


def gallery(dataset: Dataset, regions: Regions, indices: np.ndarray) -> Figure:
    """Images with the boxes and classes of their objects."""
    figure, axes = plt.subplots(1, len(indices), figsize=(1.5 * len(indices), 1.9), squeeze=False)
    for panel, index, image in zip(axes[0], indices, dataset.batch(indices), strict=True):
        picture(panel, channels_last(image))
        for row in np.flatnonzero(regions.image == index):
            box(panel, regions.boxes[row], dataset.classes[regions.label[row]])
    figure.suptitle(dataset.source, fontsize=9)
    return figure


def motivation(dataset: Dataset, part: Regions, maps: torch.Tensor) -> Figure:
    """F3.1: one image with its box, and the map of that class over it."""
    figure, axes = plt.subplots(1, 2, figsize=(6, 3.3))
    image, name = dataset.batch(part.image[:1])[0], dataset.classes[part.label[0]]
    picture(axes[0], channels_last(image), title="image, box of the finding")
    box(axes[0], part.boxes[0], name)
    picture(axes[1], channels_last(image), title=f"what RP takes away for “{name}”")
    shown = axes[1].imshow(maps[0, 0].numpy(), cmap=HEAT, alpha=0.65, vmin=0, vmax=1)
    figure.colorbar(shown, ax=axes[1], shrink=0.8, label="attribution, 1 - m")
    return figure


def qualitative(parts: Sequence[Part], names: Sequence[str] = ()) -> Figure:
    """F3.8, F3.9: one row per pair, the image with its box and the map of every method; `names` of the data sets, where
    there are several, stand beside their rows.
    """
    count = sum(len(part) for _, part, _ in parts)
    methods = list(parts[0][2])
    figure, axes = plt.subplots(
        count, len(methods) + 1, figsize=(1.45 * (len(methods) + 1), 1.33 * count + 0.4), squeeze=False
    )
    row = 0
    for k, (dataset, part, maps) in enumerate(parts):
        for index, image in enumerate(dataset.batch(part.image)):
            line = axes[row]
            picture(line[0], channels_last(image), title="input" if row == 0 else "")
            box(line[0], part.boxes[index])
            line[0].set_ylabel("\n".join([*names[k : k + 1], dataset.classes[part.label[index]]]), fontsize=9)
            for panel, method in zip(line[1:], methods, strict=True):
                picture(panel, scaled(maps[method][index, 0]), cmap=HEAT, title=method if row == 0 else "")
            row += 1
    figure.colorbar(axes[0, -1].images[0], ax=axes, shrink=0.5, label="attribution, each map on its own range")
    return figure


def scaled(values: torch.Tensor) -> torch.Tensor:
    """To [0,1] by minimum and maximum; a constant map becomes 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def deletion_curves(shares: np.ndarray, curves: Mapping[str, np.ndarray], example: int, *, title: str) -> Figure:
    """F3.11: p(T) against the share of deleted pixels, one pair (left) and the mean over pairs (right); shaded: area
    under RP's curve. `curves`: n×(S+1) per method.
    """
    look = looks()
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
    for panel, what, pick in (
        (axes[0], "one pair", lambda each: each[example]),
        (axes[1], "mean", lambda each: each.mean(0)),
    ):
        for name, each in curves.items():
            curve = pick(each)
            colour, marker = look[name]
            label = f"{name} {np.trapezoid(curve, shares):.3f}"
            style = {"ls": "--" if name == ORACLE else "-", "marker": marker, "markevery": 6, "ms": 4, "lw": 1.6}
            panel.plot(shares, curve, color=colour, label=label, **style)
            if name == "RP":
                panel.fill_between(shares, curve, color=colour, alpha=0.2, lw=0)
        panel.set_xscale("function", functions=(np.sqrt, np.square))
        panel.set(xlabel="share of the image deleted (square-root scale)", title=what, xlim=(0, 1), ylim=(0, 1.02))
        panel.set_xticks([0, 0.02, 0.1, 0.25, 0.5, 1], ["0", ".02", ".1", ".25", ".5", "1"])
        panel.legend(title="AUC", fontsize=8, title_fontsize=8)
    axes[0].set_ylabel("p(explained class)")
    figure.suptitle(title, fontsize=9)
    return figure


def distortion_bars(scores: pd.DataFrame, methods: Sequence[str], *, seed: int, resamples: int) -> Figure:
    """F3.10: class distortion score (absolute form) per data set and method with 95 % intervals, diamonds: medians
    (left); RP minus the method on the same pairs (right), where the spread of the pairs drops out.
    """
    data, others = list(scores["data"].unique()), [method for method in methods if method != "RP"]
    look, options = looks(), {"resamples": resamples, "seed": seed}
    figure, axes = plt.subplots(1, 2, figsize=(11.5, 3.8))
    for panel, shown in zip(axes, (methods, others), strict=True):
        for (position, name), (column, method) in itertools.product(enumerate(data), enumerate(shown)):
            x = position + (column - (len(shown) - 1) / 2) * 0.8 / len(shown)
            given = ["RP", method] if panel is axes[1] else [method]
            found = values(scores, given, "cds_absolute", data=name)
            found = found[..., 0] - found[..., 1] if panel is axes[1] else found[..., 0]
            mean, (colour, marker) = interval(np.mean, found, **options), look[method]
            label = method if position == 0 and panel is axes[0] else None
            if panel is axes[0]:
                panel.bar(x, mean.value, 0.72 / len(shown), color=colour, label=label)
                panel.plot([x, x], [mean.low, mean.high], color="black", lw=1.2)
                panel.plot(x, np.median(found), marker="D", mfc="white", mec="black", ms=4, ls="")
            else:
                panel.plot(x, mean.value, marker=marker, color=colour, ms=7, ls="")
                panel.plot([x, x], [mean.low, mean.high], color=colour, lw=1.4)
        panel.axhline(0, color="black", lw=0.8)
        panel.set_xticks(range(len(data)), [FOR_READERS.get(name, name) for name in data])
    axes[0].set_ylabel("class distortion score\n(log-odds, higher is better)")
    axes[1].set_ylabel("RP minus the method, same pairs")
    figure.legend(loc="outside right center")
    return figure


def reverse(
    images: torch.Tensor,
    references: torch.Tensor,
    masks: Mapping[str, torch.Tensor],
    said: Mapping[str, Sequence[tuple[float, float]]],
    classes: tuple[str, str],
) -> Figure:
    """F3.6: x, mask, x_pt and x_rpt of one pair for every method in `masks` (1×1×H×W each).

    `said`: per method the probabilities (target, non-target) of x, x_pt and x_rpt; `classes`: the names of the two.
    """
    figure, axes = plt.subplots(len(masks), 4, figsize=(8.4, 2.45 * len(masks)), squeeze=False)
    for row, (method, mask) in enumerate(masks.items()):
        line, first = axes[row], row == 0
        masked = references + mask * (images - references)
        shown = [images, masked, images + references - masked]
        titles = ["x", "x_pt (masked)", "x_rpt (reverse)"]
        for panel, each, title, (own, other) in zip(line[[0, 2, 3]], shown, titles, said[method], strict=True):
            picture(panel, channels_last(each[0].clamp(0, 1)), title=title if first else "")
            panel.set_xlabel(f"T “{classes[0]}” {own:.1%}\nNT “{classes[1]}” {other:.1%}", fontsize=9)
        picture(line[1], mask[0, 0], cmap="gray", title="mask m (white: keep)" if first else "")
        for spine in line[1].spines.values():  # the mask is mostly white, as the page is
            spine.set_visible(True)
        line[0].set_ylabel(method, fontsize=11)
    return figure
