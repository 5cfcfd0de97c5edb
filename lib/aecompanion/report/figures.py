"""One look for all figures, and `save` for those that are displays."""

import contextlib
import io
import itertools
import textwrap
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from aecompanion.report import displays

RIGHT, WRONG = "#009E73", "#D55E00"  # bluish green and vermillion, distinct for colour-blind readers
HEAT = "inferno"  # the papers use jet, which invents edges that the map does not have
COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
    "#999999",
    "#332288",
    "#882255",
    "#44AA99",
    "#000000",
    "#117733",
    "#AA4499",
)
PLACEHOLDER = "no figure: "
PALETTE, STEP = 12, 4  # grey levels of 255 that nobody sees
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "*", "d", "p")


def use_style() -> None:
    """Set the shared style (once, at the top of a notebook)."""
    seaborn.set_theme(style="ticks", context="notebook", palette=list(COLOURS))
    plt.rcParams.update(
        {
            "figure.dpi": 80,
            "savefig.dpi": 130,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "font.size": 11,
            "axes.titlesize": 11,
            "legend.frameon": False,
            "image.cmap": "gray",
        }
    )


def colours(names: list[str]) -> dict[str, str]:
    """A colour per name, in order; after the last they begin again."""
    return dict(zip(names, itertools.cycle(COLOURS), strict=False))


def markers(names: list[str]) -> dict[str, str]:
    """A fixed marker per name, in order, so that colour is never the only cue."""
    return dict(zip(names, itertools.cycle(MARKERS), strict=False))


def picture(
    axes: Axes, image: np.ndarray, *, right: bool | None = None, title: str = "", formula: bool = False, **options
) -> None:
    """Show an image without ticks; `right` draws the coloured frame (green correct, red wrong) and a mark. The title is
    a name, of a file or class perhaps, whose dollars are dollars; with `formula` they enclose mathematics.
    """
    axes.imshow(np.asarray(image), **({"vmin": 0, "vmax": 1} | options))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(right is not None)
        if right is not None:
            spine.set(color=RIGHT if right else WRONG, linewidth=3.5)
    if right is not None:
        axes.text(
            0.96,
            0.94,
            "✓" if right else "✗",
            color="white",
            weight="bold",
            ha="right",
            va="top",
            transform=axes.transAxes,
            fontname="DejaVu Sans",
            bbox={"facecolor": RIGHT if right else WRONG, "edgecolor": "none", "pad": 1.5},
        )
    axes.set_title(title, fontsize=9, parse_math=formula)


def channels_last(image) -> np.ndarray:
    """C×H×W tensor to what imshow takes: H×W for grey, H×W×3 for RGB."""
    array = image.detach().cpu().numpy()
    return array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)


def save(display: str, figure: Figure, **card) -> Path:
    """Save a figure as the display with this id; `card` is described in `report.displays.save`. A `placeholder` makes
    no display, only the card that says why.
    """
    return displays.save(display, ".png", lambda path: write(path, figure), missing=reason(figure), **card)


def write(path: Path, figure: Figure) -> None:
    """A light PNG, see `lighter`. Two runs give the same bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", bbox_inches="tight", metadata={"Software": None})
    lighter(Image.open(drawn).convert("RGB")).save(path, format="PNG", optimize=True)


def lighter(picture: Image.Image) -> Image.Image:
    """The picture in 256 colours, a third of the bytes, where no value moves by more than `PALETTE` for it; else, since
    a palette would put bands into photographs and colour bars, with values rounded to multiples of `STEP`.
    """
    values = np.asarray(picture, int)
    for method in (Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE):
        few = picture.quantize(256, method=method)
        if np.abs(np.asarray(few.convert("RGB"), int) - values).max() <= PALETTE:
            return few
    return Image.fromarray(np.minimum((values + STEP // 2) // STEP * STEP, 255).astype(np.uint8))


def placeholder(why: str) -> Figure:
    """What stands in a notebook in the place of a figure that the data at hand do not allow: a sentence saying so."""
    figure, axes = plt.subplots(figsize=(6, 1.5))
    axes.text(0.5, 0.5, textwrap.fill(why, 60), ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
    figure.set_label(f"{PLACEHOLDER}{why}")
    return figure


def reason(figure: Figure) -> str:
    """Why a placeholder stands here, "" for a real figure."""
    label = figure.get_label() or ""
    return label.removeprefix(PLACEHOLDER) if label.startswith(PLACEHOLDER) else ""


@contextlib.contextmanager
def drawing(*shape, **options) -> Iterator[tuple[Figure, np.ndarray]]:
    """`plt.subplots` that shows the figure once at the end of the cell and closes it."""
    figure, axes = plt.subplots(*shape, **options)
    yield figure, axes
    plt.show()
    plt.close(figure)
