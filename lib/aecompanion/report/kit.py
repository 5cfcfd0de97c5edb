"""What schematics are drawn from: a canvas in inches, text, boxes, circles and arrows in one look."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Patch

from aecompanion.report.figures import WRONG

INK, FADED = "#333333", "#BBBBBB"
PLAIN = "#F4F4F4"


def canvas(axes: Axes, width: float, height: float) -> None:
    """Empty axes in inches."""
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal", anchor="S")
    axes.axis("off")


def say(axes: Axes, place: tuple[float, float], text: str, **options) -> None:
    """Text centred at a place."""
    axes.text(*place, text, **({"ha": "center", "va": "center", "color": INK, "fontsize": 11} | options))


def box(axes: Axes, centre: tuple[float, float], size: tuple[float, float], text: str, **options) -> Patch:
    """A rounded box with text in its middle; `options` go to the patch, `fontsize` to the text."""
    fontsize = options.pop("fontsize", 11)
    corner = (centre[0] - size[0] / 2, centre[1] - size[1] / 2)
    shape = FancyBboxPatch(
        corner, *size, boxstyle="round,pad=0,rounding_size=0.06", **({"ec": INK, "lw": 1.2} | options)
    )
    say(axes, centre, text, fontsize=fontsize)
    return axes.add_patch(shape)


def circle(axes: Axes, centre: tuple[float, float], text: str, **options) -> Patch:
    """A round node with text in its middle."""
    say(axes, centre, text)
    return axes.add_patch(Circle(centre, 0.25, **({"ec": INK, "lw": 1.2} | options)))


def arrow(
    axes: Axes, start: Patch, end: Patch, y: float | None = None, *, cut: bool = False, elbow: bool = False
) -> None:
    """From the edge of one shape to the edge of another: between their middles, level at `y`, or right and then up.

    A `cut` arrow is faded and crossed out.
    """
    points = np.array([middle_of(start), middle_of(end)])
    if y is not None:
        points[:, 1] = y
    style = {"color": FADED, "ls": (0, (3, 2))} if cut else {"color": INK, "ls": "-"}
    if elbow:
        style["connectionstyle"] = "angle,angleA=0,angleB=90,rad=0"
    axes.add_patch(
        FancyArrowPatch(
            *points,
            arrowstyle="-|>",
            mutation_scale=13,
            lw=1.3,
            patchA=start,
            patchB=end,
            shrinkA=0,
            shrinkB=0,
            **style,
        )
    )
    if cut:
        axes.plot(*points.mean(0), marker="x", color=WRONG, ms=9, mew=2.5)


def middle_of(shape: Patch) -> np.ndarray:
    """Centre of a box, rectangle or circle, in data units."""
    return np.array(shape.center if isinstance(shape, Circle) else shape.get_bbox().get_points().mean(0))
