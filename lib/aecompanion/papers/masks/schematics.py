"""The explanatory figures of Kim et al., IEEE TIP 2022, drawn from a network and its masks instead of by hand.

Every figure takes cases (`studies.cases`): x, x_r, m, and what a network said of the clean, the masked and the
reverse image. T: the explained class (blue), NT: all others (orange).
"""

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from aecompanion.explain.logit_slice import Slice
from aecompanion.report.figures import COLOURS, channels_last, picture
from aecompanion.report.kit import INK
from aecompanion.studies.cases import Case

T, NT = COLOURS[0], COLOURS[1]
OTHERS = (NT, COLOURS[3], COLOURS[6], COLOURS[7])  # further non-targets whose boundary is drawn
NT_TEXT = "#8A5A00"  # NT, dark enough to be read
MASKED, REVERSE = "$x_{pt}$", "$x_{rpt}$"
PARTS = {
    "image": "image x",
    "mask": "mask m (1 = keep)",
    "masked": "masked " + MASKED,
    "reverse": "reverse " + REVERSE,
}
NEAR = 1.0  # pixel distance from the plane up to which a step is drawn in it
MOVED = 0.1  # a change of a probability that is printed in bold


# F3.2 and the walk through the methods


def falling_score(histories: Mapping[str, Sequence[Case]], steps: Sequence[int]) -> Figure:
    """F3.2: x, x_r, m and x_pt of the first history after its last step; p(T) and the replaced share after every step,
    each on an axis of its own.

    histories: one optimisation per start, by name.
    """
    last = next(iter(histories.values()))[-1]
    own, layout = last.target, [["image", "reference", "p"], ["mask", "masked", "area"]]
    figure, panels = plt.subplot_mosaic(layout, figsize=(9.6, 5.2), width_ratios=[1, 1, 1.7], layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08)
    shown = (
        ("image", last.image, "image x", f"p(T) = {last.p[0, own]:.3f}"),
        ("reference", last.reference, "reference $x_r$", ""),
        ("mask", last.mask, "mask m (1 = keep)", f"replaced {last.area:.1%}"),
        ("masked", last.masked, "masked image " + MASKED, f"p(T) = {last.p[1, own]:.3f}"),
    )
    for name, image, title, text in shown:
        framed(panels[name], image, title)
        panels[name].set_xlabel(text, fontsize=10)
    for (start, history), line in zip(histories.items(), ("-", "--"), strict=False):
        panels["p"].plot(steps, [case.p[1, own] for case in history], color=T, ls=line, label=start)
        panels["area"].plot(steps, [case.area for case in history], color=INK, ls=line, label=start)
    panels["p"].set(ylabel="p(T) of the masked image", ylim=(-0.03, 1.05), title=f"T = {last.name(own)}")
    panels["area"].set(ylabel="share replaced", xlabel="step of the optimisation", ylim=(-0.03, 1.05))
    for name in ("p", "area"):
        panels[name].legend(fontsize=9)
        panels[name].tick_params(labelsize=9)
    return figure


def framed(axes: Axes, image: torch.Tensor, title: str = "") -> None:
    """An image or a mask, C×H×W, in a thin frame: masks are white at their edges."""
    picture(axes, channels_last(image.clamp(0, 1)), title=title, formula=True, interpolation="nearest")
    for spine in axes.spines.values():
        spine.set(visible=True, color="#888888", linewidth=0.8)


def strip(case: Case, title: str) -> Figure:
    """m, x_pt and x_rpt of one case, and p of every class in x, x_pt and x_rpt."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.4), width_ratios=[1, 1, 1, 2.8])
    pictures(axes[:3], case, ("mask", "masked", "reverse"))
    order, panel = [case.target, *case.others], axes[3]
    looks = (("o", INK, "x"), ("v", COLOURS[4], MASKED), ("^", COLOURS[2], REVERSE))
    for values, offset, (marker, colour, label) in zip(case.p, (-0.22, 0, 0.22), looks, strict=True):
        places = np.arange(len(order)) + offset
        panel.plot(places, values[order], ls="none", marker=marker, color=colour, ms=6, label=label, clip_on=False)
    panel.axvspan(-0.5, 0.5, color=T, alpha=0.15, lw=0)
    panel.set(ylim=(0, 1), xlim=(-0.5, len(order) - 0.5), ylabel="p", xlabel="class (T shaded)")
    panel.set_xticks(range(len(order)), [case.classes[c] for c in order])
    panel.legend(fontsize=10, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title, fontsize=11)
    return figure


def pictures(axes: Sequence[Axes], case: Case, names: Sequence[str]) -> None:
    """Parts of a case on as many axes."""
    for panel, name in zip(axes, names, strict=True):
        framed(panel, getattr(case, name), PARTS[name])


# F3.3


def class_distortion(found: Mapping[str, Case]) -> Figure:
    """F3.3: every method's masked image, and p before and after of the target and of every non-target."""
    first = next(iter(found.values()))
    order, count = [first.target, *first.others], len(found)
    size, options = (3.1 * count + 2, 2.4 + 0.3 * len(order)), {"height_ratios": [2, 0.3 * len(order)]}
    figure, axes = plt.subplots(2, count + 1, figsize=size, width_ratios=[0.8] + [1] * count, **options)
    framed(axes[0, 0], first.image, "image x")
    axes[1, 0].axis("off")
    looks = ((INK, 0.4, "before: x"), (INK, 1, "after: " + MASKED), (T, 1, "target T"), (NT, 1, "non-targets NT"))
    handles = [Patch(fc=colour, alpha=alpha, label=text) for colour, alpha, text in looks]
    axes[1, 0].legend(handles=handles, loc="upper left", fontsize=10, bbox_to_anchor=(-0.2, 1))
    rows, colours = np.arange(len(order)), [T] + [NT] * len(first.others)
    names = [f"T {first.name(order[0])}", *map(first.name, order[1:])]
    for (upper, lower), (method, case) in zip(axes.T[1:], found.items(), strict=True):
        framed(upper, case.masked, f"{method}: masked image {MASKED}")
        before, after = case.p[0, order].tolist(), case.p[1, order].tolist()
        lower.barh(rows - 0.2, before, 0.38, color=colours, alpha=0.4)
        lower.barh(rows + 0.2, after, 0.38, color=colours)
        for row, (old, new) in enumerate(zip(before, after, strict=True)):
            weight = "bold" if abs(new - old) > MOVED else "normal"
            lower.text(1.06, row, f"{old:.2f} → {new:.2f}", va="center", fontsize=10, weight=weight)
        lower.set(xlim=(0, 1.6), ylim=(len(order) - 0.4, -0.6), xticks=[0, 0.5, 1], xlabel="p")
        lower.set_yticks(rows, names if lower is axes[1, 1] else [""] * len(order))
        lower.spines["bottom"].set_bounds(0, 1)
    return figure


# F3.4


def boundaries(plane: Slice, found: Mapping[str, Case], paths: Mapping[str, torch.Tensor]) -> Figure:
    """F3.4: where the target, and every class whose boundary is `crossed`, is decided yes and no, on the plane through
    x and two masked images.

    found: the two methods in the order in which the plane was made. paths: per method the n masked images of its steps,
    drawn where they are less than NEAR away from the plane.
    """
    first, others = next(iter(found.values())), crossed(plane, next(iter(found.values())))
    layout = [["plane", name] for name in ("x", *found)]
    figure, axes = plt.subplot_mosaic(layout, figsize=(8.8, 7.6), width_ratios=[4, 1])
    panel = axes["plane"]
    decisions(panel, plane, first, others)
    framed(axes["x"], first.image, f"image x\n{said(first, others, 0)}")
    places = plane.points[1:].numpy()
    looks = ((COLOURS[4], (6, -20)), (COLOURS[2], (-14, 2)))
    for (method, case), place, (colour, shift) in zip(found.items(), places, looks, strict=True):
        steps, away = plane.project(paths[method])
        panel.plot(*steps[away < NEAR].numpy().T, color=colour, lw=1.2, ls=":", marker=".", ms=5)
        style = {"arrowstyle": "-|>", "color": colour, "lw": 2.5, "mutation_scale": 20, "shrinkA": 0, "shrinkB": 3}
        panel.annotate("", place, (0, 0), arrowprops=style)
        name_point(panel, place, f"{method}: {MASKED}", colour, shift)
        framed(axes[method], case.masked, f"{method}: {MASKED}\n{said(case, others, 1)}")
    name_point(panel, np.zeros(2), "x", "black", (-12, -4))
    return figure


def crossed(plane: Slice, case: Case, points: int = 200) -> list[int]:
    """The non-targets whose decision is not the same everywhere on the straight ways from x to the two masked images,
    read off the nearest grid points.
    """
    share, found = torch.linspace(0, 1, points)[:, None], []
    ways = torch.cat([share * end.float() for end in plane.points[1:]])  # x is (0, 0)
    column, row = (
        (values.float()[None] - ways[:, axis, None]).abs().argmin(1)
        for axis, values in enumerate((plane.across, plane.up))
    )
    for c in case.others:
        yes = plane.logits[row, column, c] > 0
        if yes.any() and not yes.all():
            found.append(c)
    return found


def decisions(axes: Axes, plane: Slice, case: Case, others: Sequence[int]) -> None:
    """Where the target and `others` are decided yes, as tints, with their boundaries; axes in pixel distance."""
    across, up = plane.across.numpy(), plane.up.numpy()
    looks, handles = [(case.target, "T", T, "-", 0.18)], []
    for c, (colour, line) in zip(others, itertools.cycle(zip(OTHERS, ("--", "-.", ":", "--"), strict=True))):
        looks.append((c, "NT", colour, line, 0.2))
    for label, kind, colour, line, alpha in looks:
        values, name = plane.logits[..., label].numpy(), f"{kind} {case.name(label)}"
        if values.max() > 0:
            axes.contourf(across, up, values, levels=[0, values.max() + 1], colors=[colour], alpha=alpha)
        if values.min() < 0 < values.max():
            axes.contour(across, up, values, levels=[0], colors=[colour], linestyles=[line], linewidths=2.5)
        handles += [Patch(fc=colour, alpha=alpha, label=f"the network says {name}")]
        handles += [Line2D([], [], color=colour, lw=2.5, ls=line, label=f"boundary of {name}")]
    axes.set(aspect="equal", xlim=across[[0, -1]], ylim=up[[0, -1]], xlabel="pixel distance (L2) along the first arrow")
    axes.set_ylabel("pixel distance (L2) across it")
    handles += [Line2D([], [], color=INK, lw=1.2, ls=":", marker=".", label=f"steps less than {NEAR:g} from the plane")]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=10)


def name_point(axes: Axes, place: np.ndarray, text: str, colour: str, shift: tuple[float, float]) -> None:
    """A point with its name, moved by so many points; to the left of it where that is negative."""
    axes.plot(*place, marker="o", color=colour, ms=8, mec="white", zorder=4)
    plate = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85}
    options = {"textcoords": "offset points", "bbox": plate, "zorder": 5, "ha": "right" if shift[0] < 0 else "left"}
    axes.annotate(text, place, shift, color=colour, weight="bold", **options)


def said(case: Case, others: Sequence[int], which: int) -> str:
    """p of the target and of some non-targets in the clean (0), masked (1) or reverse (2) image, two to a line."""
    parts = [f"T {case.p[which, case.target]:.2f}"]
    parts += [f"NT {case.name(other)} {case.p[which, other]:.2f}" for other in others]
    return "\n".join(", ".join(parts[k : k + 2]) for k in range(0, len(parts), 2))
