"""Figures of the counterfactual study: images with their changes on one scale, sparsity, sweeps, the watermark."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aecompanion.attack.lp_ball import lmo
from aecompanion.evaluate.intervals import interval
from aecompanion.papers.counterfactual.tables import KINDS, NETWORKS, TITLES, lead, paired_median
from aecompanion.report.cubes import cube
from aecompanion.report.figures import COLOURS, MARKERS, channels_last, colours, markers, picture

CHANGE = "RdBu_r"  # red: more, blue: less, white: no change
BALLS = {"l1": r"$\ell_1$", "l1.5": r"$\ell_{1.5}$", "l2": r"$\ell_2$"}


def change(before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
    """What was added per pixel, summed over channels, H×W."""
    return (after - before).sum(0).numpy()


def scale_of(changes: Sequence[np.ndarray]) -> float:
    """One symmetric scale for all changes of a figure: the 99.5 % quantile of their sizes."""
    return max(float(np.quantile(np.abs(np.concatenate([each.ravel() for each in changes])), 0.995)), 1e-6)


def compared(
    images: torch.Tensor,
    columns: Mapping[str, torch.Tensor],
    *,
    titles: Sequence[str],
    captions: Mapping[str, Sequence[str]],
    outlines: Sequence[tuple[int, int, int, int]] = (),
) -> Figure:
    """The original, then per column the counterfactual and its change, all changes on one scale. Up to three columns
    have them side by side, one image per row; more have the change below.

    titles: above each row's original; captions: per column a line for every row; outlines: top, left, bottom, right of
    places that are framed in every picture, each in its colour.
    """
    changes = {name: [change(*pair) for pair in zip(images, found, strict=True)] for name, found in columns.items()}
    limit = scale_of([each for many in changes.values() for each in many])
    below = len(columns) > 3
    count, width = len(images) * (2 if below else 1), 1 + len(columns) * (1 if below else 2)
    figure, axes = plt.subplots(count, width, figsize=(1.6 * width + 0.8, 1.78 * count + 0.2), squeeze=False)
    shown = None
    for row in range(len(images)):
        line = axes[2 * row if below else row]
        if below:  # beside both of its rows
            line[0].remove()
            axes[2 * row + 1, 0].remove()
            line[0] = figure.add_subplot(axes[0, 1].get_gridspec()[2 * row : 2 * row + 2, 0])
        picture(line[0], channels_last(images[row]), title=titles[row])
        for place, (name, found) in enumerate(columns.items()):
            left = line[1 + place] if below else line[1 + 2 * place]
            right = axes[2 * row + 1, 1 + place] if below else line[2 + 2 * place]
            head = f"{name}\n" if row == 0 else ""
            picture(left, channels_last(found[row]), title=head + captions[name][row], formula=True)
            picture(right, changes[name][row], vmin=-limit, vmax=limit, cmap=CHANGE)
            shown = right.images[0]
    for panel in figure.axes:
        for (top, left, bottom, right), colour in zip(outlines, (COLOURS[1], COLOURS[0]), strict=False):
            corner = (left - 0.5, top - 0.5)
            panel.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, ec=colour, lw=1.5))
    bar = figure.colorbar(shown, ax=figure.axes, shrink=0.6, aspect=30, pad=0.01)
    bar.set_label("change, sum over channels", fontsize=9)
    return figure


def frame_of(place: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom, right around the pixels of a mark, for `outlines`."""
    pixels = np.argwhere(place)
    return (*pixels.min(0).tolist(), *(pixels.max(0) + 1).tolist())


def cluster_grid(image: torch.Tensor, title: str, rows: Mapping[str, tuple[torch.Tensor, Sequence[float]]], radii):
    """F2.4, F2.9, F2.10: the original, then a row per target class and a column per radius with the confidence."""
    figure = plt.figure(figsize=(1.6 * (1 + len(radii)) + 0.6, 1.75 * len(rows) + 0.3))
    grid = figure.add_gridspec(len(rows), 1 + len(radii), width_ratios=[1.35] + [1] * len(radii))
    picture(figure.add_subplot(grid[:, 0]), channels_last(image), title=title)  # beside all of its rows
    for row, (name, (found, confidences)) in enumerate(rows.items()):
        for column, (radius, confidence) in enumerate(zip(radii, confidences, strict=True), 1):
            panel = figure.add_subplot(grid[row, column])
            head = f"radius {radius:.3g}\n" if row == 0 else ""
            picture(panel, channels_last(found[column - 1]), title=f"{head}“{name}”: {confidence:.2f}")
    return figure


def vertices(powers: Sequence[float], radius: float = 0.6, at: tuple[float, float] = (0.62, 0.45)) -> Figure:
    """X2.1: in two dimensions, ball ∩ box around a point, and the oracle's vertex for one direction."""
    figure, axes = plt.subplots(1, len(powers), figsize=(3 * len(powers), 3.1), squeeze=False)
    axes = axes[0]
    angles = torch.linspace(0, 2 * np.pi, 721)
    directions = torch.stack([angles.cos(), angles.sin()], 1)
    centre, w = torch.tensor([at]), torch.tensor([[0.5, 0.85]])
    arrow = {"arrowstyle": "->", "lw": 1.6, "color": "black"}
    for panel, p in zip(axes, powers, strict=True):
        edge = directions / torch.linalg.vector_norm(directions, p, dim=1, keepdim=True) * radius + centre
        inside = edge.clamp(0, 1)
        panel.plot(*edge.T, color="#BBBBBB", lw=1)
        panel.fill(*inside.T, color=COLOURS[5], alpha=0.35, lw=0)
        panel.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], color="black", lw=1)
        end = (centre + lmo(w, centre, radius, p))[0]
        panel.annotate("", centre[0] + 0.28 * w[0], centre[0], arrowprops=arrow)
        panel.plot(*centre[0], "ko", ms=5)
        panel.plot(*end, marker="*", ms=15, color=COLOURS[4], ls="")
        panel.set(xlim=(-0.12, 1.3), ylim=(-0.2, 1.12), aspect="equal", xticks=[0, 1], yticks=[0, 1])
        panel.set_title(f"p = {p:g}".replace("inf", "∞"))
        panel.set_xlabel("first pixel")
    axes[0].set_ylabel("second pixel")
    return figure


def trajectories(traces: Mapping[str, np.ndarray], marks: Sequence[int]) -> Figure:
    """X2.3: minus the best log confidence so far against the step, mean over images; dotted: checkpoints."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    for mark in marks:
        axes.axvline(mark, color="#CCCCCC", lw=0.8, ls=":")
    tones, shapes = colours(list(traces)), markers(list(traces))
    for name, trace in traces.items():
        axes.plot(-trace.mean(1), color=tones[name], marker=shapes[name], markevery=12, ms=5, label=name)
    axes.set(xlabel="step", ylabel="− log confidence, best so far (nats)", yscale="log")
    axes.legend(fontsize=9)
    return figure


def leads(trajectories: pd.DataFrame, settings: Sequence[tuple[float, str, Sequence[tuple[str, str]]]], **options):
    """X2.8: per setting (p, radius, pairs of methods) the median of the paired differences of the best objective so
    far, first method minus second, against the step, with 95 % intervals; the axis is linear within ±.01 nats and
    logarithmic beyond. Grey: less than .02 nats.
    """
    figure, axes = plt.subplots(2, -(-len(settings) // 2), figsize=(9.6, 6.4), sharex=True, sharey=True, squeeze=False)
    most = int(trajectories["step"].max())
    asked = sorted({*range(1, most, max(most // 15, 1)), most})
    rivals = list(dict.fromkeys(pair[1] for _, _, pairs in settings for pair in pairs))
    tones, shapes = colours(rivals), markers(rivals)
    for panel, (p, radius, pairs) in zip(axes.flat, settings, strict=True):
        panel.axhspan(-0.02, 0.02, color="#DDDDDD", lw=0)
        panel.axhline(0, color="black", lw=0.8)
        for pair in pairs:
            found = [
                interval(paired_median, lead(trajectories, p=p, radius=radius, methods=pair, step=step), **options)
                for step in asked
            ]
            label = pair[1] if pair[0] == "AFW" else "FW, each with its best schedule"
            colour = tones[pair[1]]
            panel.plot(asked, [e.value for e in found], color=colour, marker=shapes[pair[1]], ms=4, label=label)
            panel.fill_between(asked, [e.low for e in found], [e.high for e in found], color=colour, alpha=0.12, lw=0)
        panel.set_yscale("symlog", linthresh=0.01)
        panel.set_title(f"p = {p:g}, {radius} radius", fontsize=10)
        panel.legend(fontsize=8, title="ahead of", title_fontsize=8)
    for panel in axes[-1]:
        panel.set_xlabel("step")
    for panel in axes[:, 0]:
        panel.set_ylabel("Auto-Frank-Wolfe ahead by (nats)")
    return figure


def sparsity_panels(counterfactuals: pd.DataFrame, columns: Mapping[str, str], **options) -> Figure:
    """F2.2: per measure (a panel) and network the mean for each ball, 95 % intervals."""
    figure, axes = plt.subplots(1, len(columns), figsize=(2.9 * len(columns), 3.4), squeeze=False)
    axes = axes[0]
    tones, shapes = colours(list(KINDS)), markers(list(KINDS))
    for panel, (column, title) in zip(axes, columns.items(), strict=True):
        for shift, kind in zip((-0.2, 0, 0.2), KINDS, strict=True):
            for place, network in enumerate(NETWORKS):
                condition = {"network": network, "kind": kind}
                found = interval(np.mean, cube(counterfactuals, column, [condition])[..., 0], **options)
                panel.errorbar(
                    place + shift,
                    found.value,
                    yerr=[[max(found.value - found.low, 0)], [max(found.high - found.value, 0)]],
                    color=tones[kind],
                    marker=shapes[kind],
                    capsize=3,
                    ls="",
                    label=BALLS[kind] if place == 0 else None,
                )
        panel.set_xticks(range(len(NETWORKS)), ["plain", "l2-\nrobust", "multi-norm\nrobust"], fontsize=9)
        panel.set_title(title, fontsize=10)
        panel.set_ylim(bottom=0)
    axes[0].legend(fontsize=10)
    return figure


def restart_panels(restarts: pd.DataFrame) -> Figure:
    """F2.6: gain of the best of several starts, and how far their counterfactuals lie apart; one value per image."""
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 3))
    gains = restarts["best"] - restarts["first"]
    axes[0].hist(gains, bins=20, color=COLOURS[0])
    axes[0].axvline(gains.mean(), color="black", ls="--", label=f"mean {gains.mean():.3f}")
    axes[0].set(xlabel="gain in log confidence (nats)", ylabel="images × training seeds")
    axes[1].hist(restarts["apart"], bins=20, color=COLOURS[1])
    axes[1].axvline(restarts["apart"].mean(), color="black", ls="--", label=f"mean {restarts['apart'].mean():.2f}")
    axes[1].set(xlabel="distance of two starts / size of the change")
    for panel in axes:
        panel.legend(fontsize=9)
    return figure


def sweep_curves(sweep: pd.DataFrame) -> Figure:
    """F2.8: confidence of every image (thin) and its mean (thick) against the radius, a panel per ball; first seed."""
    kinds = list(sweep["kind"].unique())
    figure, axes = plt.subplots(1, len(kinds), figsize=(3.4 * len(kinds), 3), sharey=True, squeeze=False)
    for panel, kind in zip(axes[0], kinds, strict=True):
        rows = sweep[(sweep["kind"] == kind) & (sweep["seed"] == sweep["seed"].min())]
        for _, line in rows.groupby("image"):
            panel.plot(line["eps"], line["confidence"], color=COLOURS[0], lw=0.7, alpha=0.5)
        mean = rows.groupby("eps")["confidence"].mean()
        panel.plot(mean.index, mean, color="black", lw=2.4, marker="o", ms=4)
        panel.set(title=BALLS[kind], xlabel="radius", ylim=(-0.02, 1.02))
    axes[0, 0].set_ylabel("confidence in the target")
    return figure


def false_positives(fooled: pd.DataFrame, **options) -> Figure:
    """Share of images of other classes called the marked class against the strength, a panel per mark."""
    kinds = list(fooled["mark"].unique())
    figure, axes = plt.subplots(1, len(kinds), figsize=(4.6 * len(kinds), 3.3), sharey=True, squeeze=False)
    names = {"marked": "trained with it on one class", "small": "trained with it on one class"}
    names |= {"control": "trained without", "plain": "plain network"}
    for panel, kind in zip(axes[0], kinds, strict=True):
        for number, (network, part) in enumerate(fooled[fooled["mark"] == kind].groupby("network", sort=False)):
            strengths = sorted(part["strength"].unique())
            shares = [cube(part, "marked_class", [{"strength": each}])[..., 0].astype(float) for each in strengths]
            found = [interval(np.mean, share, **options) for share in shares]
            look = {"marker": MARKERS[number], "color": COLOURS[number], "label": names.get(network, network)}
            panel.plot(strengths, [e.value for e in found], **look)
            ends = [e.low for e in found], [e.high for e in found]
            panel.fill_between(strengths, *ends, color=COLOURS[number], alpha=0.15, lw=0)
        panel.set(xlabel="strength α of the mark", title=kind, ylim=(-0.02, None))
        panel.legend(fontsize=9)
    axes[0, 0].set_ylabel("called the marked class")
    return figure


def titles_of(classes: Sequence[str], predicted: Sequence[int], confidence: Sequence[float]) -> list[str]:
    """ "“3”, 0.97" above each original: what the network takes it for."""
    return [f"“{classes[label]}”, {value:.2f}" for label, value in zip(predicted, confidence, strict=True)]


def network_title(network: str) -> str:
    """The name of a network in figures."""
    return TITLES.get(network, network)
