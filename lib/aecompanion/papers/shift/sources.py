"""X5.22: accuracy of every network under the signs of every other one (`attack.sources`), random signs beside."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.papers.shift.tables import LEVELS, names
from aecompanion.report.cubes import cube as plain_cube, mean_row

NOISE = "random signs"


def source_cube(rows: pd.DataFrame, source: str, *, levels=LEVELS) -> np.ndarray:
    """seeds × images × networks × levels: 1 where the network is right under the signs of `source`, else 0."""
    chosen, networks = rows[rows["source"] == source], names(rows)
    conditions = [{"network": network, "eps": level} for network in networks for level in levels]
    values = plain_cube(chosen, "correct", conditions)
    return values.reshape(*values.shape[:2], len(networks), len(levels))


def table(rows: pd.DataFrame, predictions: pd.DataFrame, **options) -> pd.DataFrame:
    """One row per source, network and level: share of right answers with its interval over seeds and images; last come
    random signs of equal size, from the rows of `attack.transfer`.
    """
    same = predictions["eps"].isin(rows["eps"].unique()) & predictions["image"].isin(rows["image"].unique())
    noise = predictions[(predictions["arm"] == "noise") & same]
    noise = noise.assign(source=NOISE)[["source", "network", "seed", "eps", "image", "correct"]]
    found, every = [], pd.concat([rows, noise], ignore_index=True)
    for source in every["source"].unique():
        for network in names(rows):
            for level in sorted(rows["eps"].unique()):
                chosen = every[(every["source"] == source) & (every["network"] == network)]
                values = plain_cube(chosen, "correct", [{"eps": level}])[..., 0]
                row = {"source": source, "network": network, "eps": level}
                found.append(row | mean_row(values, "accuracy", **options))
    return pd.DataFrame(found)


def matrices(found: pd.DataFrame) -> Figure:
    """A matrix per level: sources down, attacked networks across, accuracy as number and shade; framed: the source's
    own architecture, from another training seed. `found` is `table`'s.
    """
    levels, networks = sorted(found["eps"].unique()), names(found)
    sources = found["source"].unique().tolist()
    size = (2.55 * len(levels) + 1.9, 3.6)
    figure, axes = plt.subplots(1, len(levels), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for panel, level in zip(axes[0], levels, strict=True):
        rows = found[found["eps"] == level].pivot(index="source", columns="network", values="accuracy")
        values = rows.loc[sources, networks].to_numpy()
        shown = panel.imshow(values, cmap="cividis", vmin=0, vmax=1)
        for (i, j), value in np.ndenumerate(values):
            ink = "black" if value > 0.55 else "white"
            panel.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=ink)
            if sources[i] == networks[j]:
                panel.add_patch(plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, ec="#D55E00", lw=1.8))
        panel.set_xticks(range(len(networks)), networks, rotation=40, ha="right", fontsize=9)
        panel.set_yticks(range(len(sources)), sources, fontsize=9)
        panel.set_title(f"ε = {level:g}", fontsize=10)
    axes[0, 0].set_ylabel("signs of")
    figure.supxlabel("network under attack", fontsize=10)
    figure.colorbar(shown, ax=axes[0].tolist(), shrink=0.8, label="accuracy")
    return figure
