"""Which metric finds the order that the truth gives: the table X6.5, the figure X6.6 and the words that both use.

Rows are those of `studies.truth_metrics.measured`, with world, family and seed. Worlds are told apart by name; each has
the networks of one family. In mosaics the "seeds" are the networks with published weights.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aecompanion.evaluate import recovery
from aecompanion.evaluate.faithfulness import METRICS
from aecompanion.evaluate.given import Given
from aecompanion.papers.truth.tables import FOR_READERS
from aecompanion.report.cubes import error_bars, mean_row
from aecompanion.report.figures import COLOURS
from aecompanion.studies import truth_metrics as study

LEAST = 0.5  # τ: three of four pairs of levels of noise in the right order
NOT_METRICS = (study.CEILING, study.REPEATED)
ORDER, NOISE = ("order", "noise")  # the two questions
KINDS = {name: row.kind for name, row in METRICS.items()} | dict.fromkeys(NOT_METRICS, "ceiling")
COLOUR = {"removal": COLOURS[0], "annotation": COLOURS[2], "network": COLOURS[4], "control": "grey", "ceiling": "black"}
DASHES = ("-", "--", ":", "-.")


def methods_of(rows: pd.DataFrame) -> list[str]:
    """The methods that have rows, in their order, without the degraded truth."""
    return [name for name in rows["method"].unique() if name != study.DEGRADED]


def metric_table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """X6.5: a row per world and metric, then what one could reach.

    Columns: world, metric, kind; order and noise (τ with methods' true order; with degradation) with intervals; passes
    (forward, per map; of max-sensitivity explanations); believe (`believed`).
    """
    made = []
    for world, here in rows.groupby("world", sort=False):
        names = [name for name in (*METRICS, study.CEILING) if name in set(here["metric"])]
        for name in [*names, study.REPEATED]:
            made.append(metric_row(here, str(world), name, **options))
    return pd.DataFrame(made)


def metric_row(here: pd.DataFrame, world: str, name: str, **options) -> dict:
    """One row of X6.5."""
    asked = study.CEILING if name == study.REPEATED else name
    values = study.method_cube(here, asked, methods_of(here))
    statistic = recovery.other_half if name == study.REPEATED else recovery.order_of_methods
    taus = np.full((1, 1), np.nan) if name == study.REPEATED else study.degradation(here, name)
    row = {"world": FOR_READERS.get(world, world), "metric": name, "kind": KINDS[name]}
    row |= mean_row(values, ORDER, statistic, **options) | mean_row(taus, NOISE, recovery.mean_tau, **options)
    cost = METRICS[name].passes(Given()) if name in METRICS else 0
    return row | {"passes": cost, "believe": believed(row) if name in METRICS else ""}


def believed(row: dict) -> str:
    """For what a metric may be believed, by the rule of the two intervals.

    "methods": the interval of `order` lies above 0; "noise": that of `noise` lies above `LEAST`; "both"; "misleads":
    one of the intervals lies below 0; "not shown" otherwise.
    """
    if row[f"{ORDER}_high"] < 0 or row[f"{NOISE}_high"] < 0:
        return "misleads"
    methods, noise = row[f"{ORDER}_low"] > 0, row[f"{NOISE}_low"] > LEAST
    return {(True, True): "both", (True, False): "methods", (False, True): "noise"}.get((methods, noise), "not shown")


def metric_figure(table: pd.DataFrame, rows: pd.DataFrame) -> Figure:
    """X6.6: a column per world; above τ of every metric with its intervals, below the metric of the degraded truth."""
    worlds = list(dict.fromkeys(rows["world"]))
    shape = {"figsize": (2.1 + 3.1 * len(worlds), 9.6), "height_ratios": [1.6, 1], "squeeze": False, "sharex": "row"}
    figure, axes = plt.subplots(2, len(worlds), **shape, sharey="row")
    lines = table.groupby("metric", sort=False)["kind"].first()  # a world may lack a metric, whose line stays empty
    for (above, below), world in zip(axes.T, worlds, strict=True):
        shown = FOR_READERS.get(world, world)
        taus_panel(above, table[table["world"] == shown], lines)
        above.set_title(shown)
        curves_panel(below, rows[rows["world"] == world])
    axes[0, 0].legend(loc="lower left", bbox_to_anchor=(-0.9, 1.0), fontsize=9, borderaxespad=0)
    axes[1, 0].set_ylabel("metric, from its worst (0)\nto its best level (1)")
    axes[1, -1].legend(fontsize=7.5, loc="upper left", bbox_to_anchor=(1, 1.05))
    return figure


def taus_panel(panel: Axes, part: pd.DataFrame, lines: pd.Series) -> None:
    """Both τ of every metric of one world, a line each. lines: the kind of each metric, from the top."""
    part, height = part.set_index("metric").reindex(lines.index), np.arange(len(lines))[::-1]
    for column, colour, marker, shift in ((ORDER, COLOURS[0], "o", 0.17), (NOISE, COLOURS[1], "s", -0.17)):
        ends = error_bars(part[column], part[f"{column}_low"], part[f"{column}_high"])
        label = {ORDER: "order of methods", NOISE: "truth that degrades to noise"}[column]
        style = {"fmt": marker, "color": colour, "ms": 5, "elinewidth": 1.2, "label": label}
        panel.errorbar(part[column], height + shift, xerr=ends, **style)
    panel.axvline(0, color="black", lw=0.8)
    panel.set(yticks=height, xlim=(-1.05, 1.05), xlabel="Kendall's τ with the truth")
    panel.set_yticklabels(lines.index)
    for label, kind in zip(panel.get_yticklabels(), lines, strict=False):  # shared ones are in the first panel
        label.set_color(COLOUR[kind])
    panel.grid(axis="y", lw=0.4)


def curves_panel(panel: Axes, here: pd.DataFrame) -> None:
    """Every metric of the degraded truth by its share of noise, means over pictures, scaled to [0,1] per metric."""
    controls = here["metric"].map(KINDS) == "control"
    own = here[(here["method"] == study.DEGRADED) & ~controls]
    for i, (metric, part) in enumerate(own.groupby("metric", sort=False)):
        mean = part.groupby("noise")["better"].mean()
        span = mean.max() - mean.min()
        if not span > 0:
            continue
        style = {"color": COLOURS[i % len(COLOURS)], "ls": DASHES[i % 4]}
        panel.plot(mean.index, (mean - mean.min()) / span, lw=1.4, label=metric, **style)
    panel.set(xlabel="share of noise", xticks=study.LEVELS)


def sentences(table: pd.DataFrame, metrics: Sequence[str] = ()) -> str:
    """How many worlds each metric may be believed in: "deletion: methods 1, noise 4 of 5 worlds; ..."."""
    worlds, said = table["world"].nunique(), []
    own = table[~table["kind"].isin(("control", "ceiling"))]
    for metric in metrics or own["metric"].unique():
        found = own.loc[own["metric"] == metric, "believe"]
        counts = [f"{what} {int(found.isin((what, 'both')).sum())}" for what in ("methods", "noise")]
        said.append(f"{metric}: {', '.join(counts)} of {worlds}")
    return "; ".join(said)
