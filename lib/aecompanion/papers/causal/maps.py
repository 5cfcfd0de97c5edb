"""F1.5 of paper 1: maps of a case per finding on one scale per kind of map, and how well they meet the box."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aecompanion.data.regions import Regions
from aecompanion.report.cubes import error_bars
from aecompanion.report.figures import COLOURS, HEAT, channels_last, picture

SIGNED = "PuOr_r"  # of maps with both signs: orange more, white nothing, purple less


def map_scales(maps: dict[str, torch.Tensor]) -> dict[str, dict]:
    """{map: vmin, vmax, cmap and label} with one scale per kind (all CE maps are one): up to the largest size, about
    zero where a map of the kind is negative anywhere, else from zero.
    """
    kinds = {name: name.split(",")[0] for name in maps}
    labels = {"CE": "loss of p$_y$", "CAM": "CAM (logits)"}
    scales = {}
    for name, kind in kinds.items():
        values = torch.cat([each.flatten() for other, each in maps.items() if kinds[other] == kind])
        bound = max(float(values.abs().max()), 1e-6)
        look = {"vmin": -bound, "cmap": SIGNED} if values.min() < 0 else {"vmin": 0.0, "cmap": HEAT}
        scales[name] = look | {"vmax": bound, "label": labels.get(kind, kind)}
    return scales


def map_gallery(
    images: torch.Tensor, maps: dict[str, torch.Tensor], regions: Regions, table: pd.DataFrame, names: list[str]
) -> Figure:
    """F1.5: one case per finding with its maps (the box outlined, one scale per kind of map, below), and the mean
    intersection over union of each map.
    """
    first = [int(np.flatnonzero(regions.label == label)[0]) for label in np.unique(regions.label)][:4]
    scales = map_scales({name: each[first] for name, each in maps.items()})
    figure = plt.figure(figsize=(1.62 * (len(maps) + 1) + 4.2, 1.66 * len(first) + 1.1))
    grid = figure.add_gridspec(len(first), len(maps) + 2, width_ratios=[1] * (len(maps) + 1) + [1.6])
    columns = {}
    for line, case in enumerate(first):
        for column, (title, content) in enumerate([("image", images), *maps.items()]):
            panel = figure.add_subplot(grid[line, column])
            look = scales[title] if column else {"cmap": "gray", "vmin": 0, "vmax": 1}
            options = {key: value for key, value in look.items() if key != "label"}
            picture(panel, channels_last(content[case]), title=title if line == 0 else "", **options)
            top, left, bottom, right = regions.boxes[case] - 0.5
            colour = {SIGNED: "black", HEAT: "white"}.get(look["cmap"], COLOURS[1])
            edges = ([left, right, right, left, left], [top, top, bottom, bottom, top])
            panel.plot(*edges, color=colour, lw=1.3)
            columns.setdefault(look.get("label"), {}).setdefault(column, []).append(panel)
            if column == 0:
                panel.set_ylabel(names[case], fontsize=9)
    for label, panels in columns.items():
        if label is not None:
            own = [panel for column in panels.values() for panel in column]
            options = {"location": "bottom", "shrink": 0.9, "aspect": 9 * len(panels), "pad": 0.02}
            bar = figure.colorbar(own[0].images[0], ax=own, **options)
            bar.set_label(label, fontsize=9)
            bar.ax.tick_params(labelsize=8)
            bar.ax.locator_params(nbins=3 if len(panels) == 1 else 5)
    overlap_bars(figure.add_subplot(grid[:, -1]), table)
    return figure


def overlap_bars(panel: Axes, table: pd.DataFrame) -> None:
    """Mean intersection over union of each map with the box and the exact mask, with intervals."""
    place = np.arange(len(table))
    for shift, truth, colour in ((-0.2, "iou_box", COLOURS[0]), (0.2, "iou_mask", COLOURS[1])):
        errors = error_bars(table[truth], table[f"{truth}_low"], table[f"{truth}_high"])
        label = {"iou_box": "box", "iou_mask": "exact mask"}[truth]
        panel.barh(place + shift, table[truth], 0.38, xerr=errors, color=colour, label=label, error_kw={"lw": 1})
    panel.set(yticks=place, xlabel="intersection over union")
    panel.set_yticklabels(table["map"])
    panel.tick_params(labelsize=9)
    panel.invert_yaxis()
    panel.legend(fontsize=9)
