"""Curves and bars of Huang et al., ICPR 2020, and ours, from tidy rows and tables."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.attack.attacks import crafted_names, title_of
from aecompanion.defend.defences import KINDS
from aecompanion.evaluate.intervals import interval
from aecompanion.papers.halftone.tables import HYBRID, under
from aecompanion.report.cubes import cube, error_bars
from aecompanion.report.figures import COLOURS, MARKERS

LINES = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
TITLES = {"transfer": "PGD crafted on the grey network", "adaptive": "worst case of attacks that know it"}
SPENT = 5000  # passes at the right end of the axis, if none broke later


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
            errors = error_bars(line["mean"], line["ci_low"], line["ci_high"])
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
    """F4.6: top-1 and top-5 against ε under attacks crafted on the grey network, mean over images and seeds. Hybrid +
    halftone (with 95 % intervals) and the undefended network are lines; of every other kind the range from its worst to
    its best defence is shaded.
    """
    compared = {name: kind for name, kind in KINDS.items() if kind.compared}
    crafted_on_grey = transfer[transfer["source"] == "grey"]
    rows = crafted_on_grey[(crafted_on_grey["split"] == "known") & crafted_on_grey["kind"].isin(compared)]
    means = rows.groupby(["kind", "defence", "attack", "level"], observed=True)[["top1", "top5"]].mean()
    crafted = crafted_names()
    figure, axes = plt.subplots(2, len(crafted), figsize=(4 * len(crafted), 6.4), sharex=True, sharey="row")
    for line, metric, chance in zip(axes, ("top1", "top5"), (1 / classes, 5 / classes), strict=True):
        for panel, attack in zip(line, crafted, strict=True):
            along = means[metric].unstack("attack")[["clean", attack]].bfill(axis=1)["clean"].unstack("level")
            for name, kind in compared.items():
                if name not in along.index:
                    continue
                family = along.loc[name].drop(HYBRID, errors="ignore")
                if len(family) > 1:
                    label = f"{name}: {'; '.join(family.index)}"
                    panel.fill_between(family.columns, family.min(), family.max(), color=kind.colour, alpha=0.25)
                    panel.plot(family.columns, family.mean(), kind.line, color=kind.colour, lw=1.3, label=label)
                elif len(family):
                    panel.plot(family.columns, family.iloc[0], kind.line, color=kind.colour, label=family.index[0])
                if HYBRID in along.loc[name].index:
                    best = along.loc[(name, HYBRID)]
                    panel.plot(best.index, best, color=kind.colour, marker=MARKERS[0], ms=5, lw=2.6, label=HYBRID)
                    at = [under("clean" if level == 0 else attack, level=level) for level in best.index]
                    cubes = [cube(rows, metric, [each]) for each in at]
                    found = [interval(np.mean, values, resamples=200) for values in cubes]
                    mean, low, high = np.array([(each.value, each.low, each.high) for each in found]).T
                    errors = error_bars(mean, low, high)
                    panel.errorbar(best.index, mean, errors, color="#000000", fmt="none", elinewidth=1.2, zorder=3)
            panel.axhline(chance, color="#999999", lw=1)
            panel.set(ylim=(0, 1.02), title=title_of(attack) if metric == "top1" else "")
        line[0].set_ylabel(f"{metric[:3]}-{metric[3:]} accuracy")
    for panel in axes[1]:
        panel.set(xlabel="ε (grey levels of 255)", xticks=sorted(means.index.get_level_values("level").unique()))
    axes[1, 0].text(9, 5 / classes + 0.02, "chance", color="#666666", fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", fontsize=9, title="line: mean; shaded: worst to best")
    return figure


def perturbation_curves(curves: pd.DataFrame, areas: pd.DataFrame, *, metric: str = "top1", chance: float) -> Figure:
    """X4.2: accuracy against ε with 95 % intervals over images and seeds, transferred beside adaptive, and the area
    under each curve. Points of one ε stand side by side.
    """
    names = sorted(dict.fromkeys(curves["defence"]), key=lambda name: name != HYBRID)
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 6.4), sharey=True)
    levels = sorted(curves["level"].unique())
    for panel, arm in zip(axes, ("transfer", "adaptive"), strict=True):
        for i, name in enumerate(names):
            part = curves[(curves["arm"] == arm) & (curves["defence"] == name)]
            values = cube(part, metric, [{"level": level} for level in levels])
            found = [interval(np.mean, values[..., [k]], resamples=200) for k in range(len(levels))]
            mean, low, high = np.array([(each.value, each.low, each.high) for each in found]).T
            row = areas[(areas["arm"] == arm) & (areas["defence"] == name)].iloc[0]
            text = f"{row[f'area_{metric}']:.2f} [{row[f'{metric}_low']:.2f}, {row[f'{metric}_high']:.2f}] {name}"
            place = np.arange(len(levels)) + 0.07 * (i - (len(names) - 1) / 2)
            main = name == HYBRID
            colour = KINDS["halftone"].colour if main else [c for c in COLOURS if c != KINDS["halftone"].colour][i - 1]
            style = {"color": colour, "marker": MARKERS[i], "ms": 7 if main else 4.5, "lw": 2.6 if main else 1.1}
            panel.errorbar(place, mean, error_bars(mean, low, high), elinewidth=1, label=text, **style)
        panel.axhline(chance, color="#999999", lw=1, ls="--")
        panel.set(xlabel="ε (grey levels of 255)", ylim=(0, 1.02))
        panel.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
        panel.set_title(TITLES[arm])
        panel.legend(title="area under the curve", fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    axes[0].set_ylabel(f"{metric[:3]}-{metric[3:]} accuracy")
    return figure


def budget_curves(rows: pd.DataFrame, defences: list[str], *, levels: list[int], metric: int = 1) -> Figure:
    """X4.8: accuracy in the worst case against how many forward passes an image has had, a panel per ε, mean over
    images and seeds. The passes at smaller ε count, because what they broke stays broken.
    """
    figure, axes = plt.subplots(1, len(levels), figsize=(4.1 * len(levels), 4.2), sharey=True, squeeze=False)
    shown = rows.loc[rows["defence"].isin(defences) & rows["level"].isin(levels), f"passes{metric}"]
    end = max(SPENT, 1.2 * shown[np.isfinite(shown)].max())
    for panel, level in zip(axes[0], levels, strict=True):
        for i, name in enumerate(defences):
            passes = np.sort(rows.loc[(rows["defence"] == name) & (rows["level"] == level), f"passes{metric}"])
            broken = passes[np.isfinite(passes)]
            left = 1 - np.arange(1, len(broken) + 1) / len(passes)
            x, y = np.concatenate([[1], broken, [end]]), np.concatenate([[1], left, left[-1:] if len(left) else [1]])
            main = name == HYBRID
            colour = KINDS["halftone"].colour if main else [c for c in COLOURS if c != KINDS["halftone"].colour][i]
            panel.step(x, y, where="post", color=colour, lw=2.6 if main else 1.5, ls="-" if main else LINES[i % 4])
            panel.plot(x[-1], y[-1], MARKERS[i], color=colour, label=f"{name}", clip_on=False)
        panel.set(xscale="log", xlim=(1, end), ylim=(0, 1.02), title=f"ε = {level}/255")
        panel.set_xlabel("forward passes per image")
    axes[0, 0].set_ylabel(f"top-{metric} accuracy")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def paired_bars(table: pd.DataFrame, *, groups: str, bars: str, value: str, ylabel: str) -> Figure:
    """Grouped bars of a table with VALUE, VALUE_low and VALUE_high."""
    names, sets = list(dict.fromkeys(table[groups])), list(dict.fromkeys(table[bars]))
    figure, axes = plt.subplots(figsize=(1.1 * len(names) + 3, 3.6))
    width = 0.8 / len(sets)
    for i, each in enumerate(sets):
        rows = table[table[bars] == each].set_index(groups).reindex(names)
        errors = error_bars(rows[value], rows[f"{value}_low"], rows[f"{value}_high"])
        x = np.arange(len(names)) + (i - (len(sets) - 1) / 2) * width
        shown = title_of(each)
        axes.bar(x, rows[value], width * 0.92, yerr=errors, color=COLOURS[i], label=shown, error_kw={"lw": 1})
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set(ylabel=ylabel, ylim=(0, 1.02))
    figure.legend(loc="outside right center", fontsize=9, title=bars)
    return figure
