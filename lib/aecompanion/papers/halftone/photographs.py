"""X4.6 and X4.7: paper 4 on photographs and published ImageNet networks (`studies.photograph_defences`)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binomtest

from aecompanion.papers.halftone.tables import METRICS
from aecompanion.report.cubes import error_bars, mean_row
from aecompanion.report.figures import COLOURS
from aecompanion.studies.photograph_defences import CONDITIONS, WORST


def table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """X4.7: one row per network, transformation and condition: n, top-1 and (but for the worst case) top-5 with
    intervals over images.
    """
    keys = ["network", "transform", "condition"]
    found = []
    for key, part in rows.groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True)) | {"n": len(part)}
        for metric in METRICS[: 1 if part["condition"].iloc[0] == WORST else 2]:
            row |= share(part[metric].to_numpy(bool), metric, **options)
        found.append(row)
    return pd.DataFrame(found)


def share(right: np.ndarray, name: str, **options) -> dict[str, float]:
    """{name, name_low, name_high}: a share of photographs. Where all of them agree their spread is 0 and says nothing:
    the interval is then the exact binomial one (Clopper and Pearson).
    """
    if right.all() or not right.any():
        found = binomtest(int(right.sum()), len(right)).proportion_ci()
        return {name: float(right[0]), f"{name}_low": found.low, f"{name}_high": found.high}
    return mean_row(right[None].astype(float), name, **options)


def panels(found: pd.DataFrame) -> Figure:
    """X4.6: top-1 behind every transformation, a panel per network, bars by condition with 95 % intervals."""
    networks, names = list(dict.fromkeys(found["network"])), list(dict.fromkeys(found["transform"]))
    size = (10, 1.9 * len(networks) + 0.9)
    figure, axes = plt.subplots(len(networks), 1, figsize=size, sharex=True, sharey=True, squeeze=False)
    width = 0.82 / len(CONDITIONS)
    for panel, network in zip(axes[:, 0], networks, strict=True):
        mine = found[found["network"] == network].set_index(["condition", "transform"])
        for i, condition in enumerate(CONDITIONS):
            rows = mine.reindex([(condition, name) for name in names])
            errors = error_bars(rows["top1"], rows["top1_low"], rows["top1_high"])
            x = np.arange(len(names)) + (i - (len(CONDITIONS) - 1) / 2) * width
            panel.bar(x, rows["top1"], 0.92 * width, yerr=errors, color=COLOURS[i], error_kw={"lw": 1}, label=condition)
        panel.set(ylim=(0, 1.02), ylabel="top-1")
        panel.set_title(network, fontsize=10, loc="left")
    axes[-1, 0].set_xticks(range(len(names)), names)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(CONDITIONS), fontsize=9)
    return figure
