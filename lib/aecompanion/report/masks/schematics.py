"""The explanatory figures of Kim et al., IEEE TIP 2022, drawn from a network and its masks instead of by hand.

Every figure takes cases (`studies.cases`): x, x_r, m, and what a network said of the clean, the masked and the
reverse image. T: the explained class (blue), NT: all others (orange).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from aecompanion.explain.logit_slice import Slice
from aecompanion.report.figures import COLOURS, channels_last, picture
from aecompanion.report.kit import INK, PLAIN, arrow, box, canvas, middle_of, say
from aecompanion.studies.cases import Case, terms

T, NT = COLOURS[0], COLOURS[1]
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
    """F3.2: x, x_r, m and x_pt of the first history after its last step; p(T) and the replaced share after every step.

    histories: one optimisation per start, by name.
    """
    last = next(iter(histories.values()))[-1]
    own = last.target
    figure, axes = plt.subplots(1, 5, figsize=(11.25, 2.9), width_ratios=[1, 1, 1, 1, 2.4], layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08)
    shown = (
        (last.image, "image x", f"p(T) = {last.p[0, own]:.3f}"),
        (last.reference, "reference $x_r$", ""),
        (last.mask, "mask m (1 = keep)", f"replaced {last.area:.1%}"),
        (last.masked, "masked image " + MASKED, f"p(T) = {last.p[1, own]:.3f}"),
    )
    for panel, (image, title, text) in zip(axes, shown, strict=False):
        framed(panel, image, title)
        panel.set_xlabel(text, fontsize=10)
    for (start, history), line in zip(histories.items(), ("-", "--"), strict=False):
        axes[4].plot(steps, [case.p[1, own] for case in history], color=T, ls=line, label=f"p(T), {start}")
        axes[4].plot(
            steps, [case.area for case in history], color=COLOURS[6], ls=line, label=f"share replaced, {start}"
        )
    axes[4].set(xlabel="step of the optimisation", ylim=(-0.03, 1.05), title=f"masked image, T = {last.name(own)}")
    axes[4].legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.32), ncols=2, columnspacing=1)
    return figure


def framed(axes: Axes, image: torch.Tensor, title: str = "") -> None:
    """An image or a mask, C×H×W, in a thin frame: masks are white at their edges."""
    picture(axes, channels_last(image.clamp(0, 1)), title=title, interpolation="nearest")
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


def boundaries(plane: Slice, found: Mapping[str, Case], paths: Mapping[str, torch.Tensor], other: int) -> Figure:
    """F3.4: where target and class `other` are decided yes and no, on the plane through x and two masked images.

    found: the two methods in the order in which the plane was made. paths: per method the n masked images of its steps,
    drawn where they are less than NEAR away from the plane.
    """
    first = next(iter(found.values()))
    layout = [["plane", name] for name in ("x", *found)]
    figure, axes = plt.subplot_mosaic(layout, figsize=(8.8, 7.6), width_ratios=[4, 1])
    panel = axes["plane"]
    decisions(panel, plane, first, other)
    framed(axes["x"], first.image, f"image x\n{said(first, other, 0)}")
    places = plane.points[1:].numpy()
    looks = ((COLOURS[4], (6, -20)), (COLOURS[2], (-14, 2)))
    for (method, case), place, (colour, shift) in zip(found.items(), places, looks, strict=True):
        steps, away = plane.project(paths[method])
        panel.plot(*steps[away < NEAR].numpy().T, color=colour, lw=1.2, ls=":", marker=".", ms=5)
        style = {"arrowstyle": "-|>", "color": colour, "lw": 2.5, "mutation_scale": 20, "shrinkA": 0, "shrinkB": 3}
        panel.annotate("", place, (0, 0), arrowprops=style)
        name_point(panel, place, f"{method}: {MASKED}", colour, shift)
        framed(axes[method], case.masked, f"{method}: {MASKED}\n{said(case, other, 1)}")
    name_point(panel, np.zeros(2), "x", "black", (-12, -4))
    return figure


def decisions(axes: Axes, plane: Slice, case: Case, other: int) -> None:
    """The four kinds of decision as tints and the two boundaries as lines; axes in pixel distance."""
    across, up = plane.across.numpy(), plane.up.numpy()
    looks = ((case.target, "T", T, "-", 0.18), (other, "NT", NT, "--", 0.25))
    handles = []
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


def said(case: Case, other: int, which: int) -> str:
    """p of the target and of one non-target in the clean (0), masked (1) or reverse (2) image."""
    return f"T {case.p[which, case.target]:.2f}, NT {case.p[which, other]:.2f}"


# F3.5


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


# F3.7 and X3.8


def evolution(histories: Sequence[Sequence[Case]], steps: Sequence[int]) -> Figure:
    """F3.7: two rows per pair, the mask and the masked image after the given steps of its optimisation."""
    size = (1.35 * (len(steps) + 1), 3.15 * len(histories) + 0.3)
    figure, axes = plt.subplots(2 * len(histories), len(steps) + 1, figsize=size)
    for index, (history, rows) in enumerate(zip(histories, axes.reshape(len(histories), 2, -1), strict=True)):
        framed(rows[0, 0], history[0].image, f"x, T = {history[0].name(history[0].target)}")
        rows[0, 0].set_xlabel(numbers(history[0], 0), fontsize=9)
        rows[1, 0].axis("off")
        for (upper, lower), case, step in zip(rows.T[1:], history, steps, strict=True):
            framed(upper, case.mask, f"step {step}" if index == 0 else "")
            framed(lower, case.masked)
            lower.set_xlabel(numbers(case, 1), fontsize=9)
        rows[0, 1].set_ylabel("mask m", fontsize=10)
        rows[1, 1].set_ylabel("masked " + MASKED, fontsize=10)
    return figure


def numbers(case: Case, which: int) -> str:
    """p of the target and the mean p of the others."""
    return f"T {case.p[which, case.target]:.2f}, NT {case.p[which, case.others].mean():.2f}"


def evolution_gif(path: Path, history: Sequence[Case], steps: Sequence[int], *, milliseconds: int = 400) -> None:
    """X3.8: the optimisation as an animation, one frame per case; the last frame stays longer.

    All frames share one palette, so that nothing flickers; the same cases give the same bytes.
    """
    figure = Figure(figsize=(9.6, 2.5), dpi=100, layout="constrained")
    canvas, frames = FigureCanvasAgg(figure), []
    axes = figure.subplots(1, 5, width_ratios=[1, 1, 1, 1, 1.3])
    pictures(axes[:4], history[-1], list(PARTS))
    bars = frame_bars(axes[4], history[-1])
    for case, step in zip(history, steps, strict=True):
        for panel, name in zip(axes, PARTS, strict=False):
            panel.images[0].set_data(channels_last(getattr(case, name).clamp(0, 1)))
        for bar, height in zip(bars, case.p[1:, [case.target, *case.others]].flatten().tolist(), strict=True):
            bar.set_height(height)
        said = [f"p(T) = {p:.2f}" for p in case.p[:, case.target]]
        for panel, text in zip(axes, (said[0], f"step {step}: {case.area:.0%}", *said[1:]), strict=False):
            panel.set_xlabel(text, fontsize=10)
        canvas.draw()
        figure.set_layout_engine("none")  # as laid out for the first frame
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    colours = palette(frames)
    drawn = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames]
    pauses = [milliseconds] * (len(drawn) - 1) + [6 * milliseconds]
    drawn[0].save(path, format="GIF", save_all=True, append_images=drawn[1:], duration=pauses, loop=0)


def frame_bars(axes: Axes, case: Case) -> list[Rectangle]:
    """p of every class, T first, as bars: those of the masked image (filled), then those of the reverse (hatched)."""
    order = [case.target, *case.others]
    places, colours = np.arange(len(order)), [T] + [NT] * len(case.others)
    filled = axes.bar(places - 0.2, case.p[1, order].tolist(), 0.38, color=colours)
    hatched = axes.bar(places + 0.2, case.p[2, order].tolist(), 0.38, fc="none", ec=colours, hatch="////")
    axes.set(ylim=(0, 1.02), yticks=[0, 0.5, 1])
    axes.set_title(f"p in {MASKED} (filled), {REVERSE} (hatched)", fontsize=9)
    axes.set_xlabel("class, T first", fontsize=10)
    axes.set_xticks(places, [case.classes[c] for c in order])
    axes.tick_params(labelsize=9)
    return [*filled, *hatched]


def palette(frames: Sequence[Image.Image], greys: int = 32) -> Image.Image:
    """An image with one palette for all frames: greys for mask and text, the rest by median cut."""
    small = Image.fromarray(np.concatenate([np.asarray(frame)[::2, ::2] for frame in frames]))
    cut = small.quantize(256 - greys, method=Image.Quantize.MEDIANCUT).getpalette()[: 3 * (256 - greys)]
    values = np.append(np.linspace(0, 255, greys).round().repeat(3), cut).reshape(-1, 3).astype(int)
    values[values.min(1) > 247] = 255  # Pillow looks colours up in cells of 8 and could miss white
    found = Image.new("P", (1, 1))
    found.putpalette(values.flatten().tolist())
    return found
