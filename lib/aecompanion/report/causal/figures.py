"""Figures of the companion to Yang et al., ICIP 2019 (F1.1 to F1.9, reconstructed) and ours, from saved tidy rows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
import torch
from matplotlib.figure import Figure

from aecompanion.data.dataset import Dataset
from aecompanion.data.regions import Regions
from aecompanion.report.causal import tables as causal_tables
from aecompanion.report.causal.tables import COUNTERFACTUAL, REGIONS, TRUTH
from aecompanion.report.cubes import error_bars
from aecompanion.report.figures import COLOURS, channels_last, colours, markers, picture

TITLES = {"mask": "exact mask", "box": "box", "cam": "CAM", "gradcam": "Grad-CAM", "random": "elsewhere"}


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


def telling_case(effects: pd.DataFrame) -> int:
    """A case that the network sees and whose removal it notices: median true effect among those with p above 0.7."""
    fill = COUNTERFACTUAL if COUNTERFACTUAL in set(effects["fill"]) else "mean"
    own = effects[(effects["region"] == "box") & (effects["fill"] == fill)].sort_values("effect")
    seen = own[own["p"] > 0.7] if (own["p"] > 0.7).any() else own
    return int(seen["case"].iloc[len(seen) // 2])


def masking_panel(
    image: torch.Tensor, shown: dict[str, torch.Tensor], effects: pd.DataFrame, region: Regions
) -> Figure:
    """X1.4: regions (columns) under fills (rows) with p' and CE under each picture."""
    from aecompanion.explain.fills import replace

    fills = {"mean": "mean", "black": "black", "white": "white"}
    if region.without is not None:
        fills = {COUNTERFACTUAL: region.counterfactuals()} | fills
    names = [name for name in REGIONS if shown[name].any()]
    figure, axes = plt.subplots(len(fills) + 1, len(names), figsize=(2.0 * len(names) + 0.5, 2.25 * (len(fills) + 1)))
    p = effects["p"].iloc[0]
    for panel, name in zip(axes[0], names, strict=True):
        picture(panel, channels_last(image), title=f"{TITLES[name]}\np = {p:.2f}", cmap="gray")
        panel.contour(shown[name][0, 0], [0.5], colors=COLOURS[1], linewidths=1.2)
    for row, (fill, filling) in zip(axes[1:], fills.items(), strict=True):
        for panel, name in zip(row, names, strict=True):
            change = effects[(effects["region"] == name) & (effects["fill"] == fill)]["effect"].iloc[0]
            replaced = replace(image[None], shown[name], filling)[0]
            picture(panel, channels_last(replaced), title=f"p' = {p + change:.2f}, CE = {change:+.2f}", cmap="gray")
        row[0].set_ylabel(fill)
    return figure


def region_points(effects: pd.DataFrame, table: pd.DataFrame, fills: list[str]) -> Figure:
    """F1.3: |CE| of every case (points, mean over networks) and its mean with the 95 % interval, a panel per fill."""
    figure, axes = plt.subplots(1, len(fills), figsize=(4.8 * len(fills), 3.8), sharey=True, squeeze=False)
    for panel, fill in zip(axes[0], fills, strict=True):
        cases = effects[effects["fill"] == fill].assign(size=effects["effect"].abs())
        cases = cases.groupby(["region", "case"])["size"].mean()
        rows = table[table["fill"] == fill].set_index("region").loc[list(REGIONS)]
        for place, name in enumerate(REGIONS):
            points = cases.loc[name].to_numpy()
            spread = place - 0.28 + 0.4 * (np.arange(len(points)) * 0.618 % 1)  # evenly, without a random number
            panel.plot(spread, points, "o", color=COLOURS[place], ms=3, alpha=0.45, mew=0)
        errors = error_bars(rows["size"], rows["size_low"], rows["size_high"])
        panel.errorbar(np.arange(len(rows)) + 0.3, rows["size"], errors, fmt="D", color="black", ms=5, capsize=3)
        panel.set(title=f"fill: {fill}", ylabel="|CE$_y$|", ylim=(-0.02, 1.02))
        panel.set_xticks(range(len(REGIONS)), [TITLES[name] for name in REGIONS], rotation=20)
    return figure


def fill_grid(table: pd.DataFrame) -> Figure:
    """F1.4: mean |CE| against the fill, a line per region."""
    fills = list(dict.fromkeys(table["fill"]))
    figure, panel = plt.subplots(figsize=(8.5, 3.8))
    for offset, name in enumerate(REGIONS):
        rows = table[table["region"] == name].set_index("fill").loc[fills]
        errors = error_bars(rows["size"], rows["size_low"], rows["size_high"])
        place = np.arange(len(fills)) + 0.12 * (offset - 2)
        marker, colour = markers(list(REGIONS))[name], colours(list(REGIONS))[name]
        panel.errorbar(place, rows["size"], errors, fmt=marker, color=colour, capsize=2, ms=6, label=TITLES[name])
    panel.set(xticks=range(len(fills)), ylabel="mean |CE$_y$|", ylim=(0, None))
    panel.set_xticklabels(fills)
    for edge in np.arange(len(fills) - 1) + 0.5:
        panel.axvline(edge, color="#dddddd", lw=0.8)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right center", title="region")
    return figure


def estimates_against_truth(estimates: pd.DataFrame, finding: pd.Series) -> Figure:
    """X1.5: true effect (x) against six estimates (y) on equal axes (a share has its own), and rank correlations."""
    table = causal_tables.correlation_table(estimates, resamples=100).set_index("method")["spearman"]
    shown = [f"box · {fill}" for fill in ("mean", "ring", "white")] + [
        "CAM share",
        "latent, one channel",
        "released formula",
    ]
    truth = estimates[estimates["method"] == TRUTH].set_index(["seed", "case"])["value"]
    palette = colours(sorted(finding.unique()))
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 7.2))
    values = estimates[estimates["method"].isin([TRUTH, *(name for name in shown if not name.endswith("share"))])]
    limits = values["value"].min() - 0.04, values["value"].max() + 0.04
    for panel, method in zip(axes.flat, shown, strict=True):
        rows = estimates[estimates["method"] == method].set_index(["seed", "case"])["value"].reindex(truth.index)
        case = truth.index.get_level_values("case")
        panel.axhline(0, color="#bbbbbb", lw=0.8)
        if method.endswith("share"):  # no effect, so no line of equality
            panel.set(xlim=limits, box_aspect=1)
        else:
            panel.plot(limits, limits, color="black", lw=0.8, ls=":")
            panel.set(xlim=limits, ylim=limits, box_aspect=1)
        panel.scatter(truth, rows, s=8, alpha=0.6, c=finding.loc[case].map(palette), linewidths=0)
        panel.set_title(f"{method}\nrank correlation {table[method]:.2f}", fontsize=10)
    for panel in axes[1]:
        panel.set_xlabel("true CE$_y$ (finding off)")
    for panel in axes[:, 0]:
        panel.set_ylabel("estimate")
    handles = [plt.Line2D([], [], color=colour, marker="o", ls="", label=name) for name, colour in palette.items()]
    figure.legend(handles=handles, loc="outside right center", fontsize=9, title="finding")
    return figure


def collapse(released: pd.DataFrame) -> Figure:
    """F1.9: score of the plain branch and agreement of both over epochs; thin lines: seeds, thick: means."""
    domains, variants = list(dict.fromkeys(released["domain"])), list(dict.fromkeys(released["variant"]))
    chance = {"digits": 0.1, "chest": 0.5}
    score = {"digits": "accuracy of the network", "chest": "AUROC of the network"}
    figure, axes = plt.subplots(2, len(domains), figsize=(4.4 * len(domains) + 1.4, 5.6), sharex=True, squeeze=False)
    for column, domain in zip(axes.T, domains, strict=True):
        for panel, value in zip(column, ("plain", "agreement"), strict=True):
            for variant in variants:
                rows = released[(released["domain"] == domain) & (released["variant"] == variant)].dropna(
                    subset=[value]
                )
                by_seed = rows.pivot(index="epoch", columns="seed", values=value)
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
