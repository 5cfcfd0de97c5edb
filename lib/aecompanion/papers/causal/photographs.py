"""X1.27 to X1.32: paper 1 on photographs and networks with published ImageNet weights, from saved tidy rows.

Rows are those of `studies.photograph_effects` and `studies.photograph_detectors` with a column network. Nothing is
trained, so cubes have one "seed" and a family axis: 1 × photographs × networks × conditions. Only photographs that
every network names right are there.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.evaluate.detectors import DETECTORS
from aecompanion.evaluate.replicates import of_auroc, of_means
from aecompanion.explain.fills import FILLS
from aecompanion.papers.causal.evaded import evaded_table
from aecompanion.papers.causal.tables import named
from aecompanion.report.cubes import cube, error_bars, mean_row
from aecompanion.report.figures import COLOURS, MARKERS, colours, markers
from aecompanion.studies.photograph_detectors import CLEAN, SCORES
from aecompanion.studies.photograph_effects import REGIONS

TITLES = {
    "map": "hottest of the effect map",
    "gradcam": "hottest of Grad-CAM",
    "moved": "Grad-CAM's, moved",
    "centre": "centre square",
}
ARMS = {"plain": "FGSM, which does not know it", "adaptive": "attack that knows it"}


def networks(rows: pd.DataFrame) -> list[str]:
    """In their order."""
    return rows["network"].unique().tolist()


def blocked(rows: pd.DataFrame, column: str, conditions: list[dict]) -> np.ndarray:
    """1 × photographs × networks × conditions of a column."""
    names = networks(rows)
    found = cube(rows.assign(seed=0), column, [{"network": name} | each for name in names for each in conditions])
    return found.reshape(*found.shape[:2], len(names), len(conditions))


# regions: one row per network, photograph, region and fill


def region_table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.27: per network, fill and region the mean |CE| of the label with its interval over photographs, how it is
    spread over them (quartiles), and the mean CE.
    """
    table = []
    for network, part in rows.groupby("network", sort=False):
        pairs = [{"fill": fill, "region": region} for fill in FILLS for region in REGIONS]
        values = blocked(part, "effect", pairs)[:, :, 0]
        found = of_means(np.concatenate([np.abs(values), values], axis=-1), **options)
        quartiles = np.quantile(np.abs(values[0]), (0.25, 0.5, 0.75), axis=0)
        for k, pair in enumerate(pairs):
            row = {"network": network} | pair | named("size", found[k])
            row |= dict(zip(("quartile", "median", "third_quartile"), quartiles[:, k], strict=True))
            table.append(row | named("effect", found[len(pairs) + k]))
    return pd.DataFrame(table)


def region_figure(rows: pd.DataFrame, found: pd.DataFrame) -> Figure:
    """X1.28: |CE| of every region under every fill, a panel per network: a pale dot per photograph, and to the right
    of them a mark for their mean with its interval. `found` is `region_table`'s.
    """
    names = networks(rows)
    figure, axes = plt.subplots(
        len(names), 1, figsize=(9.5, 2.3 * len(names) + 0.6), sharex=True, sharey=True, squeeze=False
    )
    looks = colours(list(REGIONS)), markers(list(REGIONS))
    for panel, name in zip(axes[:, 0], names, strict=True):
        for k, region in enumerate(REGIONS):
            own = found[(found["network"] == name) & (found["region"] == region)].set_index("fill").loc[list(FILLS)]
            place = np.arange(len(FILLS)) + 0.19 * (k - (len(REGIONS) - 1) / 2)
            for x, fill in zip(place, FILLS, strict=True):
                each = rows[(rows["network"] == name) & (rows["region"] == region) & (rows["fill"] == fill)]["effect"]
                panel.scatter(np.full(len(each), x - 0.06), each.abs(), s=10, color=looks[0][region], alpha=0.4, lw=0)
            bars = error_bars(own["size"], own["size_low"], own["size_high"])
            look = {"color": looks[0][region], "marker": looks[1][region], "mec": "black", "mew": 0.5, "ms": 6}
            panel.errorbar(place + 0.03, own["size"], bars, ls="", capsize=2, label=TITLES[region], **look)
        panel.set(ylim=(-0.03, 1.03), ylabel="|CE| of the label")
        panel.set_title(name, loc="left")
    axes[-1, 0].set_xticks(np.arange(len(FILLS)), FILLS)
    axes[-1, 0].set_xlabel("fill")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(REGIONS), fontsize=9)
    return figure


# channels: one row per network, photograph and channel; half: which half of the photographs it is of


def ranked(rows: pd.DataFrame, column: str = "expected") -> np.ndarray:
    """1 × photographs × networks × channels: e (or, "usual", e at the mean code) with channels ordered by the mean |e|
    on the other half of the photographs.
    """
    layers = []
    for _, part in rows.groupby("network", sort=False):
        wide = part.pivot(index="image", columns="channel", values="expected")
        shown = part.pivot(index="image", columns="channel", values=column)
        half = part.drop_duplicates("image").set_index("image")["half"].loc[wide.index].to_numpy()
        found = np.empty(wide.shape)
        for own in np.unique(half):
            order = np.argsort(-wide[half != own].abs().mean().to_numpy(), kind="stable")
            found[half == own] = shown[half == own].to_numpy()[:, order]
        layers.append(found)
    return np.stack(layers, axis=1)[None]


def ratio(values: np.ndarray) -> np.ndarray:
    """Per network the mean |e| of the first channel over that of the median one."""
    sizes = np.abs(values).mean((0, 1))
    return sizes[:, 0] / np.median(sizes, axis=1)


def channel_table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.29: per network the share of photographs whose class is the same through the bottleneck, its own mean |ECE0|,
    mean |e| of the first, the median and the last channel (order of the other half), and mean e of the first at zero
    and at the mean code of the other half.
    """
    table = []
    for network, part in rows.groupby("network", sort=False):
        once, values = part.drop_duplicates("image"), ranked(part)
        sizes = np.abs(values)[:, :, 0]
        row = {"network": network, "agreement": once["same"].mean(), "|ECE0|": once["baseline"].abs().mean()}
        row |= {"channels": values.shape[-1]} | mean_row(sizes[..., 0], "first", **options)
        row |= mean_row(sizes, "median", lambda v: float(np.median(v.mean((0, 1)))), **options)
        row |= mean_row(sizes[..., -1], "last", **options)
        row |= mean_row(values, "ratio", lambda v: float(ratio(v)[0]), **options)
        row |= mean_row(values[:, :, 0, 0], "at zero", **options)
        table.append(row | mean_row(ranked(part, "usual")[:, :, 0, 0], "at the mean code", **options))
    return pd.DataFrame(table)


# detection: one row per network, photograph, attack and level; evasion: one per photograph and score


def score_cube(rows: pd.DataFrame, score: str, attack: str, level: int) -> np.ndarray:
    """1 × photographs × networks × (clean, attacked)."""
    pairs = (CLEAN, (attack, level))
    return blocked(rows, score, [{"attack": name, "level": size} for name, size in pairs])


def detection_table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.30: per network, attack and level the share of photographs whose label is lost, and every score's AUROC."""
    table = []
    for network, part in rows.groupby("network", sort=False):
        sets = part[["attack", "level"]].drop_duplicates().itertuples(index=False, name=None)
        for attack, level in (each for each in sets if each != CLEAN):
            own = part[(part["attack"] == attack) & (part["level"] == level)]
            row = {"network": network, "attack": attack, "level": level, "lost": own["flipped"].mean()}
            for score in SCORES:
                row |= named(score, of_auroc(score_cube(part, score, attack, level)[:, :, 0], **options))
            table.append(row)
    return pd.DataFrame(table)


def evasion_table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.32: AUROC of every score under FGSM and under the attack that knows it, and the shares of photographs whose
    label is lost.
    """
    found = evaded_table(rows, **options)
    return found.drop(columns=[f"{arm}: decisions" for arm in ARMS])  # with one label they say the same as "fooled"


def detector_figure(found: pd.DataFrame, known: pd.DataFrame) -> Figure:
    """X1.31: AUROC of every score, a panel per level (filled: FGSM, hollow: noise of equal size; a mark per network),
    and a last one with both arms of the attack that knows it. Tables: X1.30's and X1.32's.
    """
    levels, names = sorted(found["level"].unique()), networks(found)
    figure, axes = plt.subplots(1, len(levels) + 1, figsize=(3.4 * (len(levels) + 1) + 2.2, 4.2), sharey=True)
    place = np.arange(len(SCORES))
    for panel, level in zip(axes, levels, strict=False):
        for attack, filled in (("fgsm", True), ("noise", False)):
            for k, name in enumerate(names):
                chosen = (found["network"] == name) & (found["attack"] == attack) & (found["level"] == level)
                shown = found[chosen].iloc[0]
                values = [[shown[f"{score}{end}"] for score in SCORES] for end in ("", "_low", "_high")]
                face = {"mfc": COLOURS[k] if filled else "white", "color": COLOURS[k], "marker": MARKERS[k]}
                label = name if filled else f"{name}, noise"
                shift = 0.11 * (k - (len(names) - 1) / 2) + (-0.18 if filled else 0.18)
                bars = error_bars(*values) if filled else None
                panel.errorbar(values[0], place + shift, xerr=bars, ls="", ms=6, lw=0.8, label=label, **face)
        panel.set(title=f"ε = {level}/255", xlabel="AUROC against clean")
    last = known.set_index("detector").loc[list(SCORES)]
    axes[-1].hlines(place, last["adaptive"], last["plain"], color="#BBBBBB", lw=1.5, zorder=0)
    for (arm, title), colour, marker, shift in zip(ARMS.items(), COLOURS[3:], "ov", (-0.12, 0.12), strict=False):
        bars = error_bars(last[arm], last[f"{arm}_low"], last[f"{arm}_high"])
        axes[-1].errorbar(
            last[arm], place + shift, xerr=bars, ls="", ms=6, capsize=2, color=colour, marker=marker, label=title
        )
    axes[-1].set(title=f"ε = {known['level'].iloc[0]}/255, {names[0]}", xlabel="AUROC against clean")
    for panel in axes:
        panel.axvline(0.5, color="black", ls=":", lw=1)
        panel.set(xlim=(-0.02, 1.02), yticks=place)
    axes[0].set_yticklabels([DETECTORS[name].title for name in SCORES])
    axes[0].invert_yaxis()
    handles = [each for panel in (axes[0], axes[-1]) for each in zip(*panel.get_legend_handles_labels(), strict=True)]
    figure.legend(*zip(*handles, strict=True), loc="outside upper center", ncols=4, fontsize=8.5)
    return figure
