"""Figures of Huang et al., ICPR 2020: its Fig. 1 and the reconstructed ones, and ours.

All take images or tidy rows that earlier stages saved and return a matplotlib figure.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle

from aecompanion.attack.attacks import crafted_names, title_of
from aecompanion.attack.crafted import level_of
from aecompanion.defend.defences import KINDS
from aecompanion.report.figures import COLOURS, MARKERS, RIGHT, WRONG, channels_last, picture
from aecompanion.report.halftone.tables import HYBRID

DIFFERENCE = "RdBu_r"
NAMES = {
    "floyd_steinberg": "Floyd-Steinberg",
    "jarvis": "Jarvis-Judice-Ninke",
    "stucki": "Stucki",
    "atkinson": "Atkinson",
    "bayer": "Bayer 8×8",
}


def label(name: str, confidence: float) -> str:
    """ "cup, 93 %"."""
    return f"{name}, {confidence:.0%}"


def dither_gallery(image: torch.Tensor, dots: dict[str, torch.Tensor], smoothed: dict[str, torch.Tensor]) -> Figure:
    """F4.2: a grey image and its halftones; whole, a quarter magnified, and after a low-pass (what the eye does)."""
    columns = {"grey": image, **dots}
    figure, axes = plt.subplots(3, len(columns), figsize=(1.95 * len(columns) + 0.6, 6.3))
    side = image.shape[-1]
    zoom = slice(side // 4, side // 2)
    for column, (name, content) in zip(axes.T, columns.items(), strict=True):
        picture(column[0], content[0, 0], title=NAMES.get(name, name))
        picture(column[1], content[0, 0][zoom, zoom])
        picture(column[2], smoothed[name][0, 0])
        column[0].add_patch(Rectangle((side // 4, side // 4), side // 4, side // 4, fill=False, ec="#E69F00", lw=1.5))
    for panel, text in zip(axes[:, 0], ("whole", "the marked part", "low-pass"), strict=True):
        panel.set_ylabel(text, fontsize=10)
    return figure


def flip_maps(image: torch.Tensor, maps: dict[str, tuple[torch.Tensor, float]]) -> Figure:
    """Where dots flip under a perturbation: a panel per dither with the share of flipped dots."""
    figure, axes = plt.subplots(1, len(maps) + 1, figsize=(1.95 * (len(maps) + 1), 2.4))
    picture(axes[0], image[0, 0], title="grey image")
    for panel, (name, (flipped, share)) in zip(axes[1:], maps.items(), strict=True):
        picture(panel, 1 - flipped[0, 0].float(), title=f"{NAMES.get(name, name)}: {share:.0%}")
    return figure


def addition(clean: torch.Tensor, attacked: torch.Tensor, *, eps: float, titles: tuple[str, str]) -> Figure:
    """F4.1: image + change = adversarial example, the predicted label and its confidence under each. The change is ε
    times the sign of the gradient, but for what clipping to [0,1] takes off.
    """
    level = level_of(eps)
    figure, axes = plt.subplots(1, 5, figsize=(9, 3.1), width_ratios=[4, 1.1, 4, 0.6, 4])
    difference = (attacked - clean) * 255 / level
    picture(axes[0], channels_last(clean), right=True)
    picture(axes[2], channels_last(difference), cmap=DIFFERENCE, vmin=-1, vmax=1)
    picture(axes[4], channels_last(attacked), right=False)
    for panel, text in zip(axes[::2], (titles[0], "change / ε", titles[1]), strict=True):
        panel.set_xlabel(text, fontsize=10)
    for panel, text in zip(axes[1::2], (f"+ {level}/255 ×", "="), strict=True):
        panel.axis("off")
        panel.text(0.5, 0.5, text, ha="center", va="center", fontsize=12)
    return figure


def attack_rows(rows: dict[str, dict[str, torch.Tensor]], *, eps: float) -> Figure:
    """F4.4: rows clean and attacked; columns image, difference to clean, halftone, halftone difference, inverse.

    Differences of grey images are drawn on ±eps, those of dots on ±1.
    """
    level = level_of(eps)
    titles = ("grey", f"difference, ±{level}/255", "halftone", "flipped dots", "inverse halftone")
    figure, axes = plt.subplots(len(rows), 5, figsize=(9.4, 1.9 * len(rows) + 0.3))
    clean = next(iter(rows.values()))
    for line, (name, row) in zip(axes, rows.items(), strict=True):
        picture(line[0], channels_last(row["grey"]))
        change = (row["grey"] - clean["grey"]) * 255 / level
        picture(line[1], channels_last(change), cmap=DIFFERENCE, vmin=-1, vmax=1)
        picture(line[2], channels_last(row["halftone"]))
        flips = row["halftone"] - clean["halftone"]
        picture(line[3], channels_last(flips), cmap=DIFFERENCE, vmin=-1, vmax=1)
        picture(line[4], channels_last(row["inverse"]))
        line[0].set_ylabel(title_of(name))
        line[3].set_xlabel(f"{flips.abs().mean():.0%} of the dots" if name != "clean" else "", fontsize=9)
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title, fontsize=10)
    return figure


def pipeline(
    stages: list[tuple[str, torch.Tensor]], outcomes: dict[str, tuple[list[tuple[str, float]], str]]
) -> Figure:
    """F4.3: input, recharacterisation (forward, backward) and the classifiers' five best classes, from a real run.

    `stages` are images with titles; `outcomes` maps a classifier to its ((class, probability), ...) and the true class.
    """
    figure, axes = plt.subplots(1, len(stages) + len(outcomes), figsize=(2.5 * (len(stages) + len(outcomes)), 2.9))
    for panel, (title, image) in zip(axes, stages, strict=False):
        picture(panel, channels_last(image), title=title)
    for panel, (title, (best, truth)) in zip(axes[len(stages) :], outcomes.items(), strict=True):
        names, shares = zip(*best, strict=True)
        panel.barh(range(len(best)), shares, color=[RIGHT if name == truth else "#999999" for name in names])
        panel.set(xlim=(0, 1), yticks=[], xlabel="probability")
        panel.invert_yaxis()
        for y, name in enumerate(names):
            panel.text(0.03, y, name, va="center", fontsize=9)
        panel.set_title(title, fontsize=9)
    for left, right in zip(axes[: len(stages) - 1], axes[1 : len(stages)], strict=True):
        ends = {"coordsA": left.transAxes, "coordsB": right.transAxes}
        figure.add_artist(
            ConnectionPatch((1.0, 0.5), (-0.02, 0.5), arrowstyle="-|>", mutation_scale=18, fc="k", **ends)
        )
    figure.get_layout_engine().set(wspace=0.12)
    return figure


def activations(
    images: dict[str, torch.Tensor], maps: dict[str, dict[str, torch.Tensor]], *, channels: int = 4
) -> Figure:
    """F4.5: the first convolution's activations of each network, clean above attacked, on one scale per network.

    `images` maps a row title to the network's input; `maps` network → {"clean", "attacked"} → C×h×w.
    """
    rows = [(network, kind) for network in maps for kind in ("clean", "attacked")]
    figure, axes = plt.subplots(len(rows), channels + 2, figsize=(1.45 * (channels + 2) + 0.6, 1.4 * len(rows) + 0.5))
    for line, (network, kind) in zip(axes, rows, strict=True):
        active = maps[network]["clean"].flatten(1).std(1).argsort(descending=True)[:channels].sort().values
        top = max(maps[network][each][active].max().item() for each in ("clean", "attacked"))
        picture(line[0], images[f"{network}/{kind}"][0])
        for panel, index in zip(line[1:-1], active, strict=True):
            picture(panel, maps[network][kind][index], cmap="viridis", vmin=0, vmax=top)
        change = (maps[network]["attacked"] - maps[network]["clean"]).abs().mean(0)
        reference = maps[network]["clean"].abs().mean()
        picture(line[-1], change / reference, cmap="magma", vmin=0, vmax=2)
        if kind == "clean":
            line[-1].set_visible(False)
        line[0].set_ylabel(f"{network}\n{kind}", fontsize=9)
    titles = [
        axes[0, 0].set_title("input", fontsize=9),
        axes[0, 1].set_title("first convolution, the same channels in both rows", fontsize=9, loc="left"),
        axes[1, -1].set_title("mean |change|\n(0 to 2 × mean)", fontsize=8),
    ]
    for title in titles:
        title.set_in_layout(False)  # wider than its panel
    return figure


def correlations(table: pd.DataFrame) -> Figure:
    """Correlation of clean and attacked activations by depth, a panel per attack, mean and 95 % interval. Layers named
    "…, 4×4" are averages of another layer: hollow markers above it, on no line.
    """
    attacks = list(dict.fromkeys(table["attack"]))
    known = list(dict.fromkeys(table["layer"]))
    layers = [layer for layer in known if "4×4" not in layer]
    networks = list(dict.fromkeys(table["network"]))
    figure, axes = plt.subplots(1, len(attacks), figsize=(3.7 * len(attacks) + 1.2, 3.4), sharey=True, squeeze=False)
    for panel, attack in zip(axes[0], attacks, strict=True):
        for i, network in enumerate(networks):
            line = table[(table["attack"] == attack) & (table["network"] == network)].set_index("layer").loc[layers]
            errors = [line["mean"] - line["ci_low"], line["ci_high"] - line["mean"]]
            panel.errorbar(
                range(len(layers)), line["mean"], errors, color=COLOURS[i], marker=MARKERS[i], capsize=2, label=network
            )
            for pooled in (layer for layer in known if layer not in layers):
                mean = table[(table["attack"] == attack) & (table["network"] == network) & (table["layer"] == pooled)]
                place = layers.index(pooled.removesuffix(", 4×4"))
                panel.plot(place, mean["mean"], color=COLOURS[i], marker=MARKERS[i], mfc="white", ls="none")
        panel.set_xticks(range(len(layers)), layers, rotation=30, ha="right", fontsize=9)
        panel.set(title=title_of(attack), ylim=(0, 1.03))
    axes[0, 0].set_ylabel("correlation, clean with attacked")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure


def accuracy_curves(transfer: pd.DataFrame, *, classes: int) -> Figure:
    """F4.6: top-1 and top-5 against ε for every defence and attack (transferred), mean over images and seeds."""
    compared = {name: kind for name, kind in KINDS.items() if kind.compared}
    rows = transfer[(transfer["split"] == "known") & transfer["kind"].isin(compared)]
    names = rows.drop_duplicates("defence")[["defence", "kind"]].itertuples(index=False)
    styles, seen = {}, dict.fromkeys(compared, 0)
    for name, kind in names:
        own = {"color": compared[kind].colour, "linestyle": compared[kind].line}
        styles[name] = own | {"marker": MARKERS[seen[kind]], "ms": 5}
        styles[name]["lw"] = 2.6 if name == HYBRID else 1.3
        seen[kind] += 1
    means = rows.groupby(["defence", "attack", "level"], observed=True)[["top1", "top5"]].mean()
    crafted = crafted_names()
    figure, axes = plt.subplots(2, len(crafted), figsize=(4 * len(crafted), 6), sharex=True, sharey="row")
    for line, metric, chance in zip(axes, ("top1", "top5"), (1 / classes, 5 / classes), strict=True):
        for panel, attack in zip(line, crafted, strict=True):
            for name, style in styles.items():
                curve = pd.concat([means.loc[(name, "clean")], means.loc[(name, attack)]])[metric]
                panel.plot(curve.index, curve, label=name, **style)
            panel.axhline(chance, color="#999999", lw=1)
            panel.set(ylim=(0, 1.02), title=title_of(attack) if metric == "top1" else "")
        line[0].set_ylabel(f"{metric[:3]}-{metric[3:]} accuracy")
    for panel in axes[1]:
        panel.set(xlabel="ε (grey levels of 255)", xticks=sorted(means.index.get_level_values("level").unique()))
    axes[1, 0].text(9, 5 / classes + 0.02, "chance", color="#666666", fontsize=9)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure


def perturbation_curves(curves: pd.DataFrame, areas: pd.DataFrame, *, metric: str = "top1", chance: float) -> Figure:
    """X4.2: accuracy against ε, transferred beside adaptive, with the area under each curve and 95 % intervals."""
    names = list(dict.fromkeys(curves["defence"]))
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 6), sharey=True)
    for panel, arm in zip(axes, ("transfer", "adaptive"), strict=True):
        for i, name in enumerate(names):
            part = curves[(curves["arm"] == arm) & (curves["defence"] == name)]
            mean = part.groupby("level")[metric].mean()
            found = areas[(areas["arm"] == arm) & (areas["defence"] == name)].iloc[0]
            text = f"{found[f'area_{metric}']:.2f} [{found[f'{metric}_low']:.2f}, {found[f'{metric}_high']:.2f}] {name}"
            panel.plot(mean.index, mean, color=COLOURS[i], marker=MARKERS[i], ms=5, label=text)
        panel.axhline(chance, color="#999999", lw=1)
        panel.set(xlabel="ε (grey levels of 255)", ylim=(0, 1.02), xticks=sorted(curves["level"].unique()))
        panel.set_title({"transfer": "PGD crafted on the grey network", "adaptive": "PGD that knows the defence"}[arm])
        panel.legend(title="area under the curve", fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    axes[0].set_ylabel(f"{metric[:3]}-{metric[3:]} accuracy")
    return figure


def paired_bars(table: pd.DataFrame, *, groups: str, bars: str, value: str, ylabel: str) -> Figure:
    """Grouped bars of a table with VALUE, VALUE_low and VALUE_high."""
    names, sets = list(dict.fromkeys(table[groups])), list(dict.fromkeys(table[bars]))
    figure, axes = plt.subplots(figsize=(1.1 * len(names) + 3, 3.6))
    width = 0.8 / len(sets)
    for i, each in enumerate(sets):
        rows = table[table[bars] == each].set_index(groups).reindex(names)
        errors = np.abs([rows[value] - rows[f"{value}_low"], rows[f"{value}_high"] - rows[value]])
        x = np.arange(len(names)) + (i - (len(sets) - 1) / 2) * width
        shown = title_of(each)
        axes.bar(x, rows[value], width * 0.92, yerr=errors, color=COLOURS[i], label=shown, error_kw={"lw": 1})
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set(ylabel=ylabel, ylim=(0, 1.02))
    figure.legend(loc="outside right center", fontsize=9, title=bars)
    return figure


def photograph_strip(columns: dict[str, torch.Tensor], verdicts: dict[str, tuple[str, bool]]) -> Figure:
    """One photograph under several transformations, the prediction and whether it is right below each."""
    figure, axes = plt.subplots(1, len(columns), figsize=(2.1 * len(columns), 2.8), squeeze=False)
    for panel, (name, image) in zip(axes[0], columns.items(), strict=True):
        predicted, right = verdicts[name]
        picture(panel, channels_last(image), right=right, title=name)
        panel.set_xlabel(predicted, fontsize=9, color=RIGHT if right else WRONG)
    return figure
