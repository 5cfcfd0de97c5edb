"""All five methods on one page: a row per image, a group of columns per method, and the numbers as a small table.

Counterfactual changes of all rows share one symmetric scale; masks and heatmaps are shown from 0 to 1. A frame with a
tick is green where the class is what it should be (the target is reached, the class survives), with a cross vermillion.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aecompanion.report.figures import HEAT, channels_last, picture
from aecompanion.studies.all_five import Examined

ROWS = 4  # images that a page has room for
CHANGE = "RdBu_r"  # red: light added, blue: taken away
HEADS = (
    "image",
    "counterfactual",
    "its change",
    "RP mask",
    "Grad-CAM",
    "after FGSM",
    "region replaced",
    "halftone",
    "after FGSM",
)
PAPERS = {1: "paper 2", 3: "paper 3", 4: "paper 5", 6: "paper 1", 7: "paper 4"}  # above the first column of a method
COLUMNS = {  # of the table: what a reader sees, and the column of `examine`
    "class": "class",
    "p": "p",
    "counterfactual": "target",
    "p(target)": "p_counterfactual",
    "mask area": "area",
    "p masked": "p_masked",
    "NISSIM": "nissim",
    "region": "region",
    "effect": "effect",
    "survives halftone": "keeps_halftone",
    "survives FGSM": "keeps_attack",
    "survives both": "keeps_both",
}


def table(examined: Examined) -> pd.DataFrame:
    """The numbers of the page, one row per image, rounded to two digits."""
    numbers = examined.numbers.set_index("image")
    return pd.DataFrame({name: numbers[column] for name, column in COLUMNS.items()}).round(2)


def page(examined: Examined, *, rows: Sequence[int] | None = None) -> Figure:
    """The figure for the images at `rows` (positions; by default the first four).

    Raises ValueError for more than four rows, or none.
    """
    rows = list(range(min(ROWS, len(examined.images)))) if rows is None else list(rows)
    if not 1 <= len(rows) <= ROWS:
        raise ValueError(f"rows name {len(rows)} images, expected 1 to {ROWS} on a page")
    changes = (examined.counterfactuals - examined.images).sum(1).numpy()
    limit = max(float(np.quantile(np.abs(changes[rows]), 0.995)), 1e-6)
    figure, axes = plt.subplots(
        len(rows) + 1,
        len(HEADS),
        figsize=(1.5 * len(HEADS), 1.85 * len(rows) + 0.75),
        height_ratios=[1] * len(rows) + [0.06],
        squeeze=False,
    )
    for line, row in zip(axes, rows, strict=False):
        draw(line, examined, row, changes[row], limit)
    for column, head in enumerate(HEADS):
        paper = f"{PAPERS[column]}\n" if column in PAPERS else "\n"
        axes[0, column].annotate(f"{paper}{head}", (0.5, 1.32), xycoords="axes fraction", ha="center", fontsize=10)
        axes[-1, column].axis("off")
    scales = {2: "change, sum over channels", 3: "$1-m$, replaced", 4: "share of the maximum"}
    for column, label in scales.items():
        axes[-1, column].axis("on")
        figure.colorbar(axes[0, column].images[0], cax=axes[-1, column], orientation="horizontal")
        axes[-1, column].set_xlabel(label, fontsize=8)
        axes[-1, column].tick_params(labelsize=7)
    return figure


def draw(line: Sequence[Axes], examined: Examined, row: int, change: np.ndarray, limit: float) -> None:
    """The panels of one image."""
    facts = examined.numbers.iloc[row]
    show = {name: channels_last(getattr(examined, name)[row]) for name in ("images", "counterfactuals", "replaced")}
    picture(line[0], show["images"], title=f"{brief(facts['class'])}\n{facts['p']:.0%}")
    line[0].set_ylabel(brief(facts["image"].rpartition("/")[2]), fontsize=8, parse_math=False)  # without its folder
    reached = f"{brief(facts['target'])}\n{facts['p_target']:.0%} → {facts['p_counterfactual']:.0%}"
    picture(line[1], show["counterfactuals"], right=bool(facts["reached"]), title=reached)
    picture(line[2], change, vmin=-limit, vmax=limit, cmap=CHANGE, title=f"{facts['changed']:.0%} of\nvalues changed")
    picture(line[3], 1 - examined.masks[row, 0], cmap=HEAT, title=f"masked\n{facts['p']:.0%} → {facts['p_masked']:.0%}")
    picture(line[4], examined.heat[row, 0], cmap=HEAT, title=f"for\n{brief(facts['class'])}")
    moved = "a map is zero" if np.isnan(facts["nissim"]) else f"NISSIM {facts['nissim']:.2f}"
    picture(line[5], examined.heat_attacked[row, 0], cmap=HEAT, title=f"same class\n{moved}")
    picture(line[6], show["replaced"], title=f"{facts['region']}\neffect {facts['effect']:+.2f}".replace("-", "−"))
    outline(line[6], examined.regions[row, 0])
    for panel, dots, keeps in zip(line[7:], ("dots", "dots_attacked"), ("keeps_halftone", "keeps_both"), strict=True):
        word = "class kept" if facts[keeps] else "class lost"
        picture(panel, channels_last(getattr(examined, dots)[row]), right=bool(facts[keeps]), title=f"{word}\n")


def outline(panel: Axes, region: torch.Tensor) -> None:
    """The border of a region, white on black, to be seen on any image."""
    if region.any() and not region.all():
        for colour, width in (("black", 2.2), ("white", 1.0)):
            panel.contour(region.float().numpy(), [0.5], colors=colour, linewidths=width)


def brief(name: str, longest: int = 18) -> str:
    """A name that fits above a panel."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
