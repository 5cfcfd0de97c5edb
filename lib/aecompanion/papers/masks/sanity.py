"""Figures of the randomisation check of paper 3: do the six maps answer to what the network has learned?"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aecompanion.explain.methods import METHODS
from aecompanion.papers.masks.randomization import MEASURES, UNDEFINED, methods_of
from aecompanion.report.figures import COLOURS, HEAT, channels_last, picture
from aecompanion.report.kit import INK
from aecompanion.report.randomization import multiples, short
from aecompanion.sanity.likeness import constant, scaled
from aecompanion.sanity.map_randomization import Stages


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
    """X3.4: three similarities and the share of constant maps (rows) of each method (columns), a line per way, see
    `report.randomization.multiples`. Colours are those of the registry, as in every figure that compares methods.
    """
    names = methods_of(similarity["method"])
    own = {name: METHODS[name].colour if name in METHODS else INK for name in names}
    return multiples(similarity, "method", own, MEASURES | UNDEFINED, item="position", layers=True)
