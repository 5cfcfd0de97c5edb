"""Schematics of Yang et al., ICIP 2019, redrawn in our own words, and the numbers that its released notebooks print.

Units of the code are c_1 ... c_K with index j, classes have index k: CE_k = p'_k - p_k for one do(c_j = 0). Both
figures are laid out in inches and 11.25 inches wide: 900 pixels at the notebooks' 80 dpi.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Ellipse, FancyBboxPatch, Patch, Rectangle

from aecompanion.report.figures import COLOURS, WRONG
from aecompanion.report.kit import INK, PLAIN, arrow, box, canvas, circle, say

RELEASED = Path(__file__).with_name("released.csv")
FROZEN, TRAINED, EFFECT = ((COLOURS[i], 0.45) for i in (5, 1, 2))  # tints, so that the text on them stays legible
SET = "#FBE3D6"  # pale WRONG, behind what an intervention sets
UNITS, ZEROED = 16, 5  # channels of the released code, and the one set to zero in the chest notebook


def released_numbers() -> pd.DataFrame:
    """What the released notebooks print; nothing here is ours. Columns id, notebook, content, printed, all text."""
    return pd.read_csv(RELEASED, dtype=str, keep_default_na=False)


def causal_graph() -> Figure:
    """The structural causal model: observed, with a region set, with a unit of the code set.

    The upper part is known on phantoms only. Their generator draws findings and marker together, before the image (U),
    so that leaving a finding out does not remove the marker: no arrow from F to M.
    """
    figure, axes = plt.subplots(1, 3, figsize=(11.25, 5.1), layout="constrained")
    titles = (
        "(a) observation\nnothing is set, every arrow acts",
        "(b) do(R = fill)\nthe region is set, the arrow into it is cut",
        "(c) do($c_j$ = 0)\none unit is set, the arrows into it are cut",
    )
    for panel, title, target in zip(axes, titles, (None, "R", "c_j"), strict=True):
        graph(panel, target)
        panel.set_title(title)
    return figure


def graph(axes: Axes, target: str | None) -> None:
    """One panel of `causal_graph`; arrows into the node `target` are cut."""
    canvas(axes, 3.6, 4.4)
    band = FancyBboxPatch((0.06, 3.06), 3.48, 1.28, boxstyle="round,pad=0,rounding_size=0.08", fc=PLAIN, ec="none")
    axes.add_patch(band)
    axes.text(0.14, 4.27, "the generator,\nphantoms only", fontsize=9, color="#666666", va="top")
    box(axes, (1.8, 2.36), (3.3, 0.78), "image x", fc="white")
    nodes = {
        "U": circle(axes, (1.8, 4.02), "U", ls="--", fc="white"),
        "F": box(axes, (0.9, 3.33), (1.25, 0.4), "finding F = label", fontsize=9, fc="white"),
        "M": box(axes, (2.7, 3.33), (1.25, 0.4), "marker M", fontsize=9, fc="white"),
        "R": box(axes, (0.9, 2.36), (1.0, 0.44), "R = fill" if target == "R" else "region R", fc=FROZEN),
        "rest": box(axes, (2.7, 2.36), (1.0, 0.44), "rest of x", fc="white"),
        "c_1": circle(axes, (0.6, 1.28), "$c_1$", fc=TRAINED),
        "c_j": circle(axes, (1.8, 1.28), "0" if target == "c_j" else "$c_j$", fc=TRAINED),
        "c_K": circle(axes, (3.0, 1.28), "$c_K$", fc=TRAINED),
        "p": box(axes, (1.8, 0.3), (1.5, 0.4), "prediction $p'$" if target else "prediction $p$", fc=EFFECT),
    }
    axes.text(2.1, 4.02, "hidden", fontsize=9, color="#666666", va="center")
    for x in (1.2, 2.4):
        axes.text(x, 1.28, "…", ha="center", va="center")
    units = ("c_1", "c_j", "c_K")
    edges = [("U", "F"), ("U", "M"), ("F", "R"), ("M", "rest")]
    edges += [(part, unit) for part in ("R", "rest") for unit in units] + [(unit, "p") for unit in units]
    for start, end in edges:
        arrow(axes, nodes[start], nodes[end], cut=end == target)
    if target:
        nodes[target].set(facecolor=SET, edgecolor=WRONG, linewidth=2)
        x, y = {"R": (0.56, 2.91), "c_j": (2.06, 0.92)}[target]
        mark(axes, (x, y))


def framework() -> Figure:
    """Two branches around the bottleneck and the effect they give; below, the interventions on the input instead."""
    figure, axes = plt.subplots(figsize=(11.25, 5.05), layout="constrained")
    canvas(axes, 11.25, 5.05)
    upper, middle, lower = 4.6, 3.85, 3.1  # the plain branch, between them, the branch through the code
    image = thumbnail(axes, (0.75, middle))
    first = box(axes, (2.2, middle), (1.05, 2.2), "f\nfirst layers\n(frozen)", fc=FROZEN)
    encoder = box(axes, (3.6, lower), (0.95, 0.7), "encoder", fc=TRAINED)
    decoder = box(axes, (6.4, lower), (0.95, 0.7), "decoder", fc=TRAINED)
    code = channels(axes, (5.0, lower))
    plain, causal = (box(axes, (7.7, y), (0.85, 0.7), "r, cls", fc=FROZEN) for y in (upper, lower))
    p, p_do = circle(axes, (8.75, upper), "$p$", fc="white"), circle(axes, (8.75, lower), "$p'$", fc="white")
    effect = box(axes, (10.2, middle), (1.84, 2.2), "", fc="white", ec=COLOURS[2], lw=2)
    straight = [(image, first), (encoder, code), (code, decoder), (decoder, causal), (causal, p_do), (plain, p)]
    level = [(first, plain, upper), (first, encoder, lower), (p, effect, upper), (p_do, effect, lower)]
    for start, end, *y in straight + level:
        arrow(axes, start, end, *y)
    axes.add_line(Line2D((7.7, 7.7), (lower + 0.35, upper - 0.35), color=INK, ls=":", lw=1.5))
    mark(axes, (4.65, lower + 0.55))
    say(axes, (0.75, middle + 0.62), "image x")
    say(axes, (5.0, upper + 0.17), "plain branch")
    say(axes, (7.6, middle), "the same layers, frozen", fontsize=9, ha="right")
    say(axes, (5.15, lower + 0.55), "($c_j$ = 0)")
    say(axes, (5.0, lower - 0.55), f"bottleneck, trained: a code of {UNITS} channels, one set to zero", fontsize=9)
    say(axes, (10.2, 4.6), "$CE_k = p'_k - p_k$")
    say(axes, (10.2, 4.3), "effect on class k", fontsize=9)
    say(axes, (10.2, 3.7), "$ECE =$\n$\\sum_k w_k\\,(p'_k - p_k)$")
    say(axes, (10.2, 3.1), "released code:\n$w_k = p_k$", fontsize=9)
    alternatives(axes, first)
    return figure


def alternatives(axes: Axes, first: Patch) -> None:
    """The lower half of `framework`: two inputs that can take the place of the image."""
    texts = (
        "masking a region: do(R = fill)\nplain branch alone, $CE_k$ = $p_k$ of the masked image $-$ $p_k$ of the image",
        "adversarial perturbation: do(x := x + δ), |δ| ≤ ε in every pixel\n"
        "both branches, as above: ECE of attacked images beside ECE of clean ones",
    )
    say(axes, (2.6, 2.2), "or intervene on the input:", ha="left", weight="bold")
    for y, text, kind in zip((1.62, 0.6), texts, ("masked", "attacked"), strict=True):
        picture = thumbnail(axes, (0.75, y), kind)
        arrow(axes, picture, first, elbow=True)
        say(axes, (2.6, y), text, ha="left", linespacing=1.5)


def mark(axes: Axes, place: tuple[float, float]) -> None:
    """The "do" badge of an intervention."""
    say(
        axes,
        place,
        "do",
        color="white",
        weight="bold",
        fontsize=10,
        bbox={"boxstyle": "round,pad=0.2", "fc": WRONG, "ec": "none"},
    )


def channels(axes: Axes, centre: tuple[float, float]) -> Patch:
    """The code as 16 bars, one of them set to zero; returns their frame."""
    frame = box(axes, centre, (1.26, 0.7), "", fc="white")
    for i in range(UNITS):
        x, chosen = centre[0] - 0.56 + 0.07 * i, i == ZEROED
        bar = Rectangle(
            (x, centre[1] - 0.25), 0.05, 0.5, fc=SET if chosen else COLOURS[1], ec=WRONG if chosen else "none"
        )
        axes.add_patch(bar)
    axes.plot(centre[0] - 0.535 + 0.07 * ZEROED, centre[1], marker="x", color=WRONG, ms=11, mew=2.5)
    return frame


def thumbnail(axes: Axes, centre: tuple[float, float], kind: str = "") -> Patch:
    """A drawn radiograph with a bright finding; "masked": the region filled, "attacked": a sign pattern on top."""
    x, y = centre
    frame = axes.add_patch(Rectangle((x - 0.42, y - 0.42), 0.84, 0.84, fc="#8C8C8C", ec=INK))
    for side in (-0.18, 0.18):
        axes.add_patch(Ellipse((x + side, y), 0.27, 0.62, fc="#404040", ec="none"))
    axes.add_patch(Circle((x + 0.18, y - 0.08), 0.07, fc="#D9D9D9", ec="none"))
    if kind == "masked":
        axes.add_patch(Rectangle((x + 0.04, y - 0.22), 0.28, 0.28, fc="#8C8C8C", ec=WRONG, lw=2))
    if kind == "attacked":
        signs = np.random.default_rng(0).integers(0, 2, (14, 14))
        extent = (x - 0.42, x + 0.42, y - 0.42, y + 0.42)
        axes.imshow(signs, cmap="RdBu_r", alpha=0.25, extent=extent, interpolation="nearest", zorder=2)
    return frame
