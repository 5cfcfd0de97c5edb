"""The cross-checked loss of Kim et al., IEEE TIP 2022, term by term, drawn from a real case (`studies.cases`)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from aecompanion.papers.masks.schematics import NT, NT_TEXT, T
from aecompanion.report.figures import COLOURS, channels_last
from aecompanion.report.kit import INK, PLAIN, arrow, box, canvas, middle_of, say
from aecompanion.studies.cases import Case, terms


def framework(case: Case) -> Figure:
    """F3.5: the three images that RP's loss looks at, p of every class in each, its four terms with their values."""
    figure, axes = plt.subplots(figsize=(11.25, 6.5), layout="constrained")
    canvas(axes, 11.25, 6.5)
    given = box(axes, (0.8, 3.25), (1.4, 6.3), "", fc=PLAIN)
    network = box(axes, (4.05, 3.25), (0.45, 6.0), "f", fc=(COLOURS[5], 0.3))
    inputs = ((case.image, "image x"), (case.reference, "reference $x_r$"), (case.mask, "mask m"))
    shown = (
        (case.masked, "$x_{pt}=m\\,x+(1-m)\\,x_r$"),
        (case.image, "x"),
        (case.reverse, "$x_{rpt}=(1-m)\\,x+m\\,x_r$"),
    )
    bars = []
    for y, part, image, which in zip((5.3, 3.2, 1.1), inputs, shown, (1, 0, 2), strict=True):
        thumbnail(axes, (0.8, y), 1.2, *part)
        frame = thumbnail(axes, (2.7, y), 1.4, *image)
        bars.append(probability_bars(axes, (6.05, y), case, which))
        for start, end in ((given, frame), (frame, network), (network, bars[-1])):
            arrow(axes, start, end, y)
    term_boxes(axes, bars, terms(case))
    return figure


def thumbnail(axes: Axes, centre: tuple[float, float], side: float, image: torch.Tensor, text: str) -> Patch:
    """An image on a canvas, its name above it; returns its frame."""
    (x, y), half = centre, side / 2
    extent = (x - half, x + half, y - half, y + half)
    limits = axes.axis()  # imshow would change them
    axes.imshow(channels_last(image.clamp(0, 1)), extent=extent, vmin=0, vmax=1, interpolation="nearest", zorder=2)
    axes.axis(limits)
    say(axes, (x, y + half + 0.15), text, fontsize=10)
    return axes.add_patch(Rectangle((extent[0], extent[2]), side, side, fill=False, ec=INK, zorder=3))


def probability_bars(axes: Axes, centre: tuple[float, float], case: Case, which: int) -> Patch:
    """p of every class as bars from 0 to 1, the target first, on a canvas; returns the frame around them."""
    x, y = centre
    frame = axes.add_patch(Rectangle((x - 1.6, y - 0.82), 3.2, 1.64, fc="white", ec=INK, lw=1.2))
    order = [case.target, *case.others]
    pitch, low, height = 3 / len(order), y - 0.52, 0.98
    for place, c in enumerate(order):
        left, colour = x - 1.5 + pitch * (place + 0.12), T if c == case.target else NT
        axes.add_patch(Rectangle((left, low), 0.76 * pitch, height, fc=PLAIN, ec="none"))
        axes.add_patch(Rectangle((left, low), 0.76 * pitch, height * case.p[which, c].item(), fc=colour, ec="none"))
        say(axes, (left + 0.38 * pitch, low - 0.15), str(case.classes[c]), fontsize=10)
    own, rest = case.p[which, case.target].item(), case.p[which, case.others].mean().item()
    name = ("p_o", "p_{pt}", "p_{rpt}")[which]
    say(axes, (x - 0.85, low + height + 0.18), f"${name}^T$ = {own:.3f}", color=T)
    say(axes, (x + 0.62, low + height + 0.18), f"mean ${name}^{{NT}}$ = {rest:.3f}", color=NT_TEXT)
    return frame


def term_boxes(axes: Axes, bars: Sequence[Patch], values: Mapping[str, float]) -> None:
    """The four terms right of the bars that they compare, in the two groups of the paper, and their sum."""
    lines = (
        ("masked target", 4.55, "$-D_T(p_o\\|p_{pt})$", T),
        ("masked others", 3.95, "$+\\,\\overline{D_{NT}(p_o\\|p_{pt})}$", NT),
        ("reverse target", 2.15, "$+D_T(p_o\\|p_{rpt})$", T),
        ("reverse level", 1.1, "$+\\,\\overline{\\log_2(1+p_{rpt}^{NT})}$", NT),
    )
    x, size, boxes = 9.85, (2.6, 0.5), {}
    for (middle, height), name, y in (((4.4, 1.55), "$L_M$", 4.98), ((1.7, 2.0), "$L_{RM}$: the cross-check", 2.53)):
        box(axes, (x, middle), (size[0] + 0.2, height), "", fc=PLAIN, ec="none")
        say(axes, (x, y), name)
    for name, y, formula, colour in lines:
        text = f"{formula} = {values[name]:.3f}".replace("= -", "= −")
        boxes[name] = box(axes, (x, y), size, text, fc="white", ec=colour, lw=2)
    both = bracket(axes, 5.3, 3.5), bracket(axes, 2.9, 1.4)
    for start, name in ((both[0], "masked target"), (both[0], "masked others"), (both[1], "reverse target")):
        arrow(axes, start, boxes[name], middle_of(boxes[name])[1])
    arrow(axes, bars[2], boxes["reverse level"], 1.1)
    total = f"{sum(values.values()):.3f}".replace("-", "−")
    say(axes, (x, 5.95), f"$L_M + L_{{RM}}$ = {total}", fontsize=13)
    say(axes, (x, 5.6), "+ regularisers, minimised over m", fontsize=10)


def bracket(axes: Axes, top: float, bottom: float) -> Patch:
    """What joins two frames of bars at their right edges; returns the patch that it bounds."""
    left, right = 7.65, 8.05
    axes.add_line(Line2D([left, right, right, left], [top, top, bottom, bottom], color=INK, lw=1.3))
    return axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, ec="none"))
