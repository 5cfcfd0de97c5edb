"""Figures of the companion to Yang et al., ICIP 2019 (F1.1 to F1.9, reconstructed) and ours, from saved tidy rows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from aecompanion.data.dataset import Dataset
from aecompanion.data.regions import Regions
from aecompanion.papers.causal import tables as causal_tables
from aecompanion.report.figures import COLOURS, channels_last, colours, markers, picture


def findings(dataset: Dataset, regions: Regions) -> Figure:
    """X1.3: one column per finding: an image with the mask and, where known, the same image without the finding."""
    rows = 1 if regions.without is None else 2
    figure, axes = plt.subplots(
        rows, len(dataset.classes), figsize=(1.75 * len(dataset.classes), 2.1 * rows), squeeze=False
    )
    for label, column in enumerate(axes.T):
        own, upper, lower = np.flatnonzero(regions.label == label), column[0], column[-1]
        upper.set_title(dataset.classes[label], fontsize=9)
        for panel in column:
            panel.set(xticks=[], yticks=[])
            panel.spines[["left", "bottom"]].set_visible(bool(len(own)))
        if not len(own):
            upper.text(0.5, 0.5, "no region", ha="center", va="center", transform=upper.transAxes)
            continue
        areas = regions.masks[own].sum((1, 2))
        entry = own[np.argsort(areas)[len(own) // 2]]  # a case of median size
        image = channels_last(dataset.batch([regions.image[entry]])[0])
        picture(upper, image, title=dataset.classes[label], cmap="gray")
        upper.contour(regions.masks[entry], [0.5], colors=COLOURS[1], linewidths=1.2)
        if regions.without is not None:
            picture(lower, regions.without[entry, 0] / 255, cmap="gray")
    axes[0, 0].set_ylabel("with mask")
    if rows == 2:
        axes[1, 0].set_ylabel("finding off")
    return figure


def channel_bars(latent: pd.DataFrame, history: pd.DataFrame) -> Figure:
    """F1.1: divergence while the bottleneck is trained, size of every channel's effect, and its effect per class."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12.5, 3.5), width_ratios=[1, 1.4, 1.5])
    losses = history[history["part"] == "bottleneck"]
    seaborn.lineplot(losses, x="epoch", y="deep", marker="o", errorbar=("pi", 100), ax=left)
    left.set(
        title="training the bottleneck", ylabel="KL(p ‖ p')", yscale="log", xticks=sorted(losses["epoch"].unique())
    )
    sizes = np.abs(causal_tables.ranked(latent, latent["domain"].iloc[0])).mean(1)  # seeds × channels
    order = np.arange(sizes.shape[1])
    middle.bar(order, sizes.mean(0), color=COLOURS[0], alpha=0.5)
    middle.plot(np.tile(order, (len(sizes), 1)).T, sizes.T, ".", color=COLOURS[7], ms=4)
    middle.set(
        title="size of the effect", xlabel="code channel, ordered", ylabel="mean |ECE$_j$ - ECE$_0$|", ylim=(0, None)
    )
    means = next(iter(causal_tables.class_by_channel(latent, latent["domain"].iloc[0]).values()))
    bound = np.nanmax(np.abs(means))
    shown = right.imshow(means, cmap="PuOr", vmin=-bound, vmax=bound, aspect="auto")
    right.set(title="CE of the own class, first seed", xlabel="code channel", ylabel="digit", yticks=range(len(means)))
    middle.set_xticks(order[::5])
    right.set_xticks(order[::5])
    figure.colorbar(shown, ax=right, label="mean CE$_y$")
    return figure


def class_channel_map(latent: pd.DataFrame, classes: list[str]) -> Figure:
    """F1.2: classes × channels of the mean CE_k, one panel per network, one scale."""
    maps = list(causal_tables.class_by_channel(latent, latent["domain"].iloc[0]).items())[:3]
    bound = max(np.nanmax(np.abs(each)) for _, each in maps)
    figure, axes = plt.subplots(1, len(maps), figsize=(4.1 * len(maps) + 1.6, 3.4), sharey=True, squeeze=False)
    for panel, (seed, means) in zip(axes[0], maps, strict=True):
        shown = panel.imshow(means, cmap="PuOr", vmin=-bound, vmax=bound, aspect="auto")
        panel.set(title=f"training seed {seed}", xlabel="code channel", yticks=range(len(classes)))
        panel.set_xticks(range(0, means.shape[1], 5))
        panel.set_yticklabels(classes)
    figure.colorbar(shown, ax=axes, label="mean CE$_k$ of do(c$_j$ = 0)")
    return figure


def collapse(released: pd.DataFrame) -> Figure:
    """F1.9: score of the plain branch and, once the bottleneck is trained, agreement of both; thin lines: seeds, thick:
    means; losses side by side. Agreement is left out where the network itself is within .1 of chance: two branches that
    say the same of every image agree, and it means nothing.
    """
    domains, variants = list(dict.fromkeys(released["domain"])), list(dict.fromkeys(released["variant"]))
    chance = {"digits": 0.1, "chest": 0.5}
    score = {"digits": "accuracy of the network", "chest": "AUROC of the network"}
    figure, axes = plt.subplots(2, len(domains), figsize=(4.4 * len(domains) + 1.4, 5.6), sharex=True, squeeze=False)
    for column, domain in zip(axes.T, domains, strict=True):
        for panel, value in zip(column, ("plain", "agreement"), strict=True):
            for variant in variants:
                rows = released[(released["domain"] == domain) & (released["variant"] == variant)]
                if value == "agreement":
                    rows = rows[(rows["epoch"] > 0) & (rows["plain"] > chance[domain] + 0.1)]
                if rows.empty:
                    continue
                by_seed = rows.pivot(index="epoch", columns="seed", values=value)
                by_seed.index = by_seed.index + 0.07 * (variants.index(variant) - (len(variants) - 1) / 2)
                colour, marker = colours(variants)[variant], markers(variants)[variant]
                panel.plot(by_seed.index, by_seed, color=colour, lw=0.8, alpha=0.6)
                panel.plot(
                    by_seed.index, by_seed.mean(axis=1), color=colour, marker=marker, lw=2.4, label=f"{variant} loss"
                )
            panel.set(ylim=(0, 1.03), ylabel=score[domain] if value == "plain" else "agreement of the branches")
            panel.set_xticks(sorted(released["epoch"].unique()))
        column[0].axhline(chance[domain], color="black", ls=":", lw=1)
        column[0].set_title(domain)
        column[1].set_xlabel("epochs of training the bottleneck")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure
