"""The mask over the iterations, as a strip and as an animation, from cases (`studies.cases`)."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from aecompanion.papers.masks.schematics import MASKED, NT, PARTS, REVERSE, T, framed, pictures
from aecompanion.report.figures import channels_last
from aecompanion.studies.cases import Case


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
