"""X5.20 and X5.21: paper 5 on photographs and networks with published ImageNet weights (`studies.shifts.compared`).

Only images that every network names right without attack are there, so the rows of the clean images need no mask.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.papers.shift.scale import mod_table
from aecompanion.papers.shift.tables import ARMS, LEVELS, cube, mean_table, names, vid_statistic
from aecompanion.report.cubes import mean_row
from aecompanion.report.figures import colours, markers

KEYS = ["network", "arm", "eps"]


def table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """X5.20: one row per network, arm and level: accuracy, MOD with floor, ceiling and the share of it, and VID of the
    network in this arm (the same at every level), with intervals over images.
    """
    mod = mod_table(rows, **options).drop(columns=["mode", "paper"])
    parts = []
    for arm in ARMS:
        right = mean_table(cube(rows, "correct", mode="own_pred", arm=arm), names(rows), LEVELS, arm=arm, **options)
        moved = cube(rows, "nissim", mode="own_pred", arm=arm)
        spread = [mean_row(moved[:, :, i], "vid", vid_statistic("mod"), **options) for i in range(moved.shape[2])]
        right = right.rename(columns={"mean": "accuracy", "ci_low": "accuracy_low", "ci_high": "accuracy_high"})
        parts.append(right.merge(pd.DataFrame(spread).assign(network=names(rows)), on="network"))
    mod = mod.rename(columns={"mean": "mod", "ci_low": "mod_low", "ci_high": "mod_high"})
    return pd.concat(parts, ignore_index=True).merge(mod, on=KEYS, validate="one_to_one")


def panels(found: pd.DataFrame) -> Figure:
    """X5.21: MOD (above) and accuracy (below) of the three arms, a column per network; bands are 95 % intervals over
    images, dashed: the maps of two photographs. `found` is `table`'s.
    """
    networks = names(found)
    size = (2.9 * len(networks) + 1.8, 5.2)
    figure, axes = plt.subplots(2, len(networks), figsize=size, sharex=True, sharey="row", squeeze=False)
    for column, network in zip(axes.T, networks, strict=True):
        rows = found[found["network"] == network]
        for arm, each in rows.groupby("arm", sort=False):
            look = {"color": colours(list(ARMS))[arm], "marker": markers(list(ARMS))[arm], "ms": 5}
            for panel, value in zip(column, ("mod", "accuracy"), strict=True):
                panel.plot(each["eps"], each[value], label=ARMS[arm], **look)
                bounds = each[f"{value}_low"], each[f"{value}_high"]
                panel.fill_between(each["eps"], *bounds, color=look["color"], alpha=0.2, lw=0)
        column[0].axhline(rows["ceiling"].iloc[0], color="black", ls="--", lw=1, label="another photograph")
        column[0].set_title(network, fontsize=10)
    top = found[["mod_high", "ceiling"]].max().max()
    axes[0, 0].set(ylabel="MOD, own class", xlim=(0, 1.08 * found["eps"].max()), ylim=(0, 1.08 * top))
    axes[1, 0].set(ylabel="accuracy", ylim=(-0.02, 1.02))
    figure.supxlabel("ε (pixel units)", fontsize=11)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure
