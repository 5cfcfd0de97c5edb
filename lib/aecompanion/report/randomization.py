"""Table and figure of the randomisation checks of papers 3 and 5, measured between two yardsticks.

`similarity` below: rows of a study of `sanity.randomization` or `sanity.map_randomization`, with the training seed and
the column `item` that tells pairs or images apart. With s the mean similarity to the intact network's map,

    share of retrained = (s - s_other) / (s_retrained - s_other)

where s_other is that of intact maps of two different images and s_retrained that of maps of networks trained from other
seeds: 0 where a map is as unlike as that of another image, 1 where it is as like as that of a network which learned the
same. Undefined similarities are left out of the share.
"""

import re
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aecompanion.evaluate.intervals import interval
from aecompanion.report.cubes import mean_row
from aecompanion.sanity.randomization import OTHER, RECALIBRATED, RETRAINED, WAYS

SHARE = "share of retrained"
LOOKS = {WAYS[0]: ("-", "o"), WAYS[1]: ("--", "s"), RECALIBRATED: ((0, (6, 1, 1, 1)), "^")}  # line and marker
YARDSTICKS = {OTHER: (":", "black"), RETRAINED: ((0, (1, 0)), "#999999")}
DRAWN = {"resamples": 100, "seed": 0}  # of the bands


def short(layer: str) -> str:
    """A layer's name without the container and the trailing positions: "body.stage3.1.0" is "stage3"."""
    return re.sub(r"(\.\d+)+$", "", layer.removeprefix("body."))


def stages(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows that a table shows: after the top layer alone, after all layers (also recalibrated, where that was
    studied), and of both yardsticks.
    """
    way = {name: rows[rows["way"] == name] for name in (WAYS[0], RECALIBRATED, RETRAINED, OTHER)}
    ends = {name: (part["depth"].min(), part["depth"].max()) for name, part in way.items()}
    found = {
        "top layer": way[WAYS[0]][way[WAYS[0]]["depth"] == ends[WAYS[0]][0]],
        "all layers": way[WAYS[0]][way[WAYS[0]]["depth"] == ends[WAYS[0]][1]],
        "all layers, recalibrated": way[RECALIBRATED][way[RECALIBRATED]["depth"] == ends[RECALIBRATED][1]],
        "none, retrained": way[RETRAINED],
        "none, other image": way[OTHER],
    }
    return {what: part for what, part in found.items() if len(part)}


def block(rows: pd.DataFrame, measure: str, item: str) -> np.ndarray:
    """seeds × items: the mean of a column over what else differs (peers). Raises ValueError where one has no row."""
    if rows.empty:
        raise ValueError(f"{measure}: no rows, expected one per seed and {item}")
    groups = rows.groupby(["seed", item])
    if groups.size().unstack().isna().any(axis=None):
        raise ValueError(f"{measure}: {len(rows)} rows, expected one per seed and {item}")
    return groups[measure].mean().unstack().to_numpy(float)


def between(rows: pd.DataFrame, yardsticks: pd.DataFrame, measure: str, item: str) -> np.ndarray:
    """seeds × items × 3: similarity of `rows`, of other images and of retrained networks; undefined ones are NaN.

    `yardsticks`: rows that hold both. Raises ValueError where one of the three is missing.
    """
    parts = (rows, *(yardsticks[yardsticks["way"] == way] for way in (OTHER, RETRAINED)))
    defined = [part.assign(**{measure: part[measure].where(~part["undefined"])}) for part in parts]
    return np.stack([block(part, measure, item) for part in defined], axis=-1)


def share(values: np.ndarray) -> float:
    """The formula on top, of seeds × items × 3; NaN where the yardsticks meet."""
    if np.isnan(values).all((0, 1)).any():
        return float("nan")
    here, other, retrained = np.nanmean(values, axis=(0, 1))
    return float((here - other) / (retrained - other)) if retrained != other else float("nan")


def summary(
    similarity: pd.DataFrame, by: str, order: Sequence[str], measures: Sequence[str], *, item: str, **options
) -> pd.DataFrame:
    """A row per value of `by` and stage: the means, the first measure's with its interval and its share of retrained.

    measures: columns, of which those without any value are left out; eMPRT ("rise") is given for whole networks only.
    options: of `interval`.
    """
    rows = []
    for name in order:
        group = similarity[similarity[by] == name]
        for what, part in stages(group).items():
            first, own = measures[0], {by: name, "re-initialised": what, "n": len(block(part, "undefined", item).T)}
            own |= mean_row(block(part, first, item), first, np.nanmean, **options)
            if {OTHER, RETRAINED} <= set(group["way"]):
                own |= mean_row(between(part, group, first, item), SHARE, share, **options)
            own |= {measure: part[measure].mean() for measure in measures[1:]}
            rows.append(own | {"undefined": part["undefined"].mean()})
    found = pd.DataFrame(rows)
    if "rise" in found:
        found["rise"] = found["rise"].where(found["re-initialised"].str.startswith("all layers"))
    return found.dropna(axis=1, how="all")


def multiples(
    similarity: pd.DataFrame,
    by: str,
    colours: Mapping[str, str],
    measures: Mapping[str, str],
    *,
    item: str,
    layers: bool = False,
) -> Figure:
    """A column per value of `by` in its colour, a row per measure: similarity over the depth, a line per way.

    Bands: 95 % intervals over seeds and items. Lines across: the yardsticks of this very column, dotted for other
    images, grey for retrained networks. Hollow: more than half of the maps are constant there. layers: name them on the
    axis, output first. The measure "undefined" is a share and has no yardstick.
    """
    ways = [way for way in LOOKS if way in set(similarity["way"])]
    size = (2.05 * len(colours) + 1.9, 2.1 * len(measures) + 0.9)
    figure, axes = plt.subplots(len(measures), len(colours), figsize=size, sharex=True, sharey="row", squeeze=False)
    for column, (name, colour) in zip(axes.T, colours.items(), strict=True):
        group = similarity[similarity[by] == name]
        column[0].set_title(name)
        for panel, measure in zip(column, measures, strict=True):
            for way in ways:
                line(panel, group[group["way"] == way], measure, item, colour, LOOKS[way])
            for way, (style, grey) in YARDSTICKS.items() if measure != "undefined" else ():
                if (group["way"] == way).any():
                    level = group.loc[group["way"] == way, measure].mean()
                    panel.axhline(level, color=grey, ls=style, lw=1.8, zorder=1)
            panel.axhline(0, color="#dddddd", lw=0.8, zorder=0)
    for panel, label in zip(axes[:, 0], measures.values(), strict=True):
        panel.set_ylabel(label)
    depths = similarity[similarity["way"].isin(ways)].drop_duplicates("depth").sort_values("depth")
    for panel in axes[-1]:
        if layers:
            panel.set_xticks(depths["depth"], map(short, depths["layer"]), rotation=90, fontsize=9)
        else:
            panel.set_xticks([0, 0.5, 1])
    figure.supxlabel("layer, output first" if layers else "place of the layer: output 0, input 1", fontsize=11)
    handles = [Line2D([], [], color="black", ls=LOOKS[way][0], marker=LOOKS[way][1], ms=5, label=way) for way in ways]
    known = [way for way in YARDSTICKS if (similarity["way"] == way).any()]
    handles += [Line2D([], [], color=YARDSTICKS[way][1], ls=YARDSTICKS[way][0], lw=1.8, label=way) for way in known]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=10)
    return figure


def line(panel: Axes, rows: pd.DataFrame, measure: str, item: str, colour: str, look: tuple) -> None:
    """Mean and band of one way over its depths."""
    if rows.empty:
        return
    depths = dict(iter(rows.groupby("depth")))
    found = [interval(np.nanmean, block(part, measure, item), **DRAWN) for part in depths.values()]
    style = {"color": colour, "ls": look[0], "marker": look[1], "ms": 4 if len(depths) < 9 else 2.5, "lw": 1.4}
    panel.plot(list(depths), [each.value for each in found], **style)
    low, high = [each.low for each in found], [each.high for each in found]
    panel.fill_between(list(depths), low, high, color=colour, alpha=0.18, lw=0)
    empty = [depth for depth, part in depths.items() if part["undefined"].mean() > 0.5]
    values = [each.value for depth, each in zip(depths, found, strict=True) if depth in empty]
    panel.plot(empty, values, **style | {"ls": "", "mfc": "white"})
