"""X3.9: start × area weight of MP and RP; X3.10: what deleted pixels become; X3.13: RISE's masks. From the rows
of `mask_games`."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.explain.methods import GRID, METHODS, grid_name
from aecompanion.papers.masks.tables import FOR_READERS, quotient, values, wins
from aecompanion.report.cubes import cube, error_bars, mean_row

BOTH = ("MP", "RP")
TUNED = "tuned RP/MP"  # RP as tuned, MP with a start and weight of the grid


def grid_table(scores: pd.DataFrame, **options) -> pd.DataFrame:
    """One row per start and area weight, VOC-like scenes: of each method the mean and the median deletion AUC, the area
    removed and the share of stuck masks; the ratio RP/MP of the means with its interval and the share of pairs on
    which RP has the lower AUC; and the ratio of RP as it was tuned, from start 0, to MP with this start and weight. NaN
    where only RP ran (its published weight).
    """
    rows = []
    for start in sorted({start for _, start, _ in GRID.values()}):
        for area in sorted({area for _, _, area in GRID.values()}, reverse=True):
            row: dict = {"start": start, "area weight": area}
            names = {method: grid_name(method, start, area) for method in BOTH}
            for method, name in names.items():
                if name in GRID:
                    found = {
                        column: values(scores, [name], column, data="voc") for column in ("deletion", "area", "stuck")
                    }
                    row |= {f"{method} {column}": each.mean() for column, each in found.items()}
                    row[f"{method} median"] = np.median(found["deletion"])
            if all(name in GRID for name in names.values()):
                both = values(scores, [names["RP"], names["MP"]], "deletion", data="voc")
                row |= mean_row(both, "RP/MP", quotient, **options)
                row["RP wins"] = wins(both)
                tuned = values(scores, ["RP", names["MP"]], "deletion", data="voc")
                row |= mean_row(tuned, TUNED, quotient, **options)
            rows.append(row)
    first = ["start", "area weight", "RP/MP", "RP/MP_low", "RP/MP_high", "RP wins"]
    first += [TUNED, f"{TUNED}_low", f"{TUNED}_high"]
    table = pd.DataFrame(rows)
    return table[[*first, *(column for column in table if column not in first)]]


def grid_figure(table: pd.DataFrame) -> Figure:
    """X3.9: ratios RP/MP of deletion AUCs against the area weight, one panel per MP's start, once with both at that
    start and weight, once with RP as tuned; below, the share of stuck masks. `table`: that of `grid_table`.
    """
    starts, most = sorted(table["start"].unique()), table.filter(like="stuck").max().max()
    figure, axes = plt.subplots(2, len(starts), figsize=(4.4 * len(starts), 6), sharex=True, sharey="row")
    figure.get_layout_engine().set(hspace=0.05)
    for (top, below), start in zip(axes.T, starts, strict=True):
        part = table[table["start"] == start].sort_values("area weight")
        shared = part.dropna(subset="RP/MP")
        for name, label, line in (("RP/MP", "RP at this start and weight", "-"), (TUNED, "RP as tuned", "--")):
            ends = error_bars(shared[name], shared[f"{name}_low"], shared[f"{name}_high"])
            look = {"color": "black", "ls": line, "marker": "o" if line == "-" else "^", "ms": 5, "lw": 1.4}
            top.errorbar(shared["area weight"], shared[name], ends, capsize=3, label=label, **look)
        top.axhline(1, color="0.6", lw=0.8)
        top.set(title=f"MP from m = {start:g}", yscale="log", xscale="log")
        for method in BOTH:
            look = {"color": METHODS[method].colour, "marker": METHODS[method].marker}
            known = part.dropna(subset=f"{method} stuck")
            below.plot(known["area weight"], known[f"{method} stuck"], label=method, ms=5, **look)
        below.set(xlabel="weight of the area term", ylim=(-0.01, max(0.05, 1.1 * most)))
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if within(tick, table)]
    axes[0, 0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0, 0].minorticks_off()
    axes[0, 0].set_ylabel("deletion AUC, RP / MP\n(< 1: RP deletes better)")
    axes[1, 0].set_ylabel("share of masks that\nnever left their start")
    axes[1, -1].legend()
    axes[0, 0].legend(fontsize=8)
    return figure


def within(tick: float, table: pd.DataFrame) -> bool:
    """Whether an axis of the ratio that holds 1 and every interval holds the tick."""
    low = min(table[["RP/MP_low", f"{TUNED}_low"]].min().min(), 1)
    high = max(table[["RP/MP_high", f"{TUNED}_high"]].max().max(), 1)
    return low / 1.2 <= tick <= high * 1.2


def substrate_table(rows: pd.DataFrame, methods: Sequence[str], **options) -> pd.DataFrame:
    """X3.10: mean deletion AUC with its interval per method, one group of columns per substrate, in the order of the
    rows (seed, pair, method, substrate, deletion).
    """
    table = []
    for method in methods:
        row: dict = {"method": method}
        for substrate in rows["substrate"].unique():
            found = cube(rows, "deletion", [{"method": method, "substrate": substrate}], item="pair")
            row |= mean_row(found, substrate, **options)
        table.append(row)
    return pd.DataFrame(table)


def rise_table(rows: pd.DataFrame, scores: pd.DataFrame, **options) -> pd.DataFrame:
    """X3.13: per data set and number of RISE's masks the mean deletion AUC and the ratio of RP's to it, with intervals.

    rows: data, seed, masks, pair, deletion; scores: those of T3.2, of which RP's with VGG on the same pairs are read.
    """
    table = []
    for (data, masks), part in rows.sort_values("masks", kind="stable").groupby(["data", "masks"], sort=False):
        known = scores[(scores["data"] == data) & (scores["family"] == "vgg") & (scores["method"] == "RP")]
        own = known.merge(part[["seed", "pair"]])
        both = pd.concat([own[["method", "seed", "pair", "deletion"]], part.assign(method="RISE")])
        found = cube(both, "deletion", [{"method": "RP"}, {"method": "RISE"}], item="pair")
        row = {"data": FOR_READERS.get(data, data), "masks": masks}
        row |= mean_row(found[..., 1], "deletion", **options) | mean_row(found, "RP/RISE", quotient, **options)
        table.append(row)
    return pd.DataFrame(table).sort_values(["data", "masks"], ascending=[False, True], ignore_index=True)
