"""Figures of the randomisation check of paper 3: do the six maps answer to what the network has learned?"""

import re
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aecompanion.report.figures import COLOURS, HEAT, channels_last, colours, markers, picture
from aecompanion.report.masks.randomization import MEASURES, UNDEFINED, methods_of
from aecompanion.sanity.map_randomization import OTHER, RECALIBRATED, WAYS, Stages, constant, scaled

BEYOND = (1.09, 1.21)  # where on the axis of depths, which ends at 1, the yardstick is drawn


def short(layer: str) -> str:
    """A layer's name without the container and the trailing positions: "body.stage3.1.0" is "stage3"."""
    return re.sub(r"(\.\d+)+$", "", layer.removeprefix("body."))


def cascade_grid(
    stages: Mapping[str, Stages], image: torch.Tensor, box: Sequence[int], *, pair: int = 0, title: str = ""
) -> Figure:
    """F3.12: the image with the explained object outlined, and a row of maps per method: intact, then layer by layer.

    Args:
        stages: row title to its maps (`map_randomization.cascade_maps`), methods first; pair: which of their maps.
        image: C×H×W; box: of the explained object, (top, left, bottom, right). title: above the image.
    """
    lines, columns = methods_of(stages), len(next(iter(stages.values())))
    height = max(1.33 * len(lines) + 0.5, 2.6)
    figure = plt.figure(figsize=(1.3 * columns + 3.4, height))
    grid = figure.add_gridspec(len(lines), columns + 1, width_ratios=[1.8] + [1] * columns)
    panel = figure.add_subplot(grid[: min(2, len(lines)), 0])
    picture(panel, channels_last(image), title=title)
    top, left, bottom, right = box
    corner = (left - 0.5, top - 0.5)  # the centres of pixels are whole numbers
    for colour, width in (("black", 3), (COLOURS[1], 1.5)):
        panel.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, edgecolor=colour, lw=width))
    for line, method in enumerate(lines):
        for column, (layer, maps) in enumerate(stages[method], 1):
            panel = figure.add_subplot(grid[line, column])
            heading = short(layer) or "original"
            picture(panel, scaled(maps)[pair, 0], cmap=HEAT, title=heading if line == 0 else "")
            if constant(maps)[pair]:
                panel.text(0.5, 0.5, "constant", color="white", ha="center", va="center", transform=panel.transAxes)
            if column == 1:
                panel.set_ylabel(method, fontsize=10)
    maps = [panel for panel in figure.axes if panel.get_subplotspec().colspan.start]
    figure.colorbar(maps[0].images[0], ax=maps, shrink=max(0.5, 2.5 / height), label="map, each scaled to [0, 1]")
    return figure


def curves(similarity: pd.DataFrame) -> Figure:
    """X3.4: three similarities and the share of constant maps (rows) for each way (columns), a line per method.

    `similarity`: rows of `map_randomization.study`, pairs and seeds pooled. Dotted, beyond the last layer: intact maps
    of two different images. Hollow: more than half of the maps are constant there.
    """
    ways = [way for way in (*WAYS, RECALIBRATED) if way in set(similarity["way"])]
    methods, rows = methods_of(similarity["method"]), MEASURES | UNDEFINED
    look, shape = colours(methods), markers(methods)
    size = (3.6 * len(ways) + 1.4, 2.3 * len(rows) + 0.9)
    figure, axes = plt.subplots(len(rows), len(ways), figsize=size, sharex="col", sharey="row", squeeze=False)
    means = similarity.groupby(["way", "method", "depth"])[list(rows)].mean()
    for line, (measure, label) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(label)
        for panel, way in zip(line, ways, strict=True):
            for method in methods:
                series = means.loc[way, method][measure]
                style = {"color": look[method], "marker": shape[method], "ms": 5, "lw": 2.6 if method == "RP" else 1.4}
                panel.plot(series.index, series, label=method, **style)
                empty = series[means.loc[way, method]["undefined"] > 0.5]
                panel.plot(empty.index, empty, **style | {"ls": "", "mfc": "white"})
                if OTHER in means.index and measure in MEASURES:
                    yardstick = means.loc[OTHER, method][measure].item()
                    panel.plot(BEYOND, [yardstick] * 2, color=look[method], ls=":", lw=2.5)
            panel.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
            panel.set_xlim(right=BEYOND[1] + 0.03)
    for way, top, bottom in zip(ways, axes[0], axes[-1], strict=True):
        layers = similarity[similarity["way"] == way].drop_duplicates("depth").sort_values("depth")
        top.set_title(way)
        bottom.set_xticks([*layers["depth"], sum(BEYOND) / 2])
        bottom.set_xticklabels([*map(short, layers["layer"]), OTHER], rotation=90, fontsize=9)
        bottom.set_xlabel("layer" if way == "independent" else "layers up to this one")
    for panel in axes[-1]:
        panel.set_ylim(-0.04, 1.04)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", title="method")
    return figure
