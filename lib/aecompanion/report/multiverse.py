"""One claim under every reasonable choice: specification curves (Simonsohn, Simmons and Nelson, Nature Human Behaviour
2020).

A table of specifications has one row per combination of choices: `claim` (its statement, short), one column per choice
(start, fill, radius, ...; empty where a choice does not arise), `estimate` with `low` and `high`, and `published`, true
where every choice is the one that the claim's own display makes.
"""

import itertools
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aecompanion.evaluate.intervals import Interval
from aecompanion.report.cubes import error_bars

BELOW, BOTH, ABOVE = "interval below the line", "holds the line", "interval above the line"
COLOURS = {BELOW: "#D55E00", BOTH: "#999999", ABOVE: "#0072B2"}
Levels = Mapping[str, Sequence[Any]]


def specifications(
    claim: str, choices: Levels, measure: Callable[..., Interval | None], published: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """One row per combination of the levels of `choices`: what `measure(**levels)` estimates; combinations for which it
    returns None (they do not arise) or that have no estimate are left out. `published`: the levels of the claim's own
    display.

    Raises ValueError if `published` is none of the combinations.
    """
    rows = []
    for levels in itertools.product(*choices.values()):
        chosen = dict(zip(choices, levels, strict=True))
        found = measure(**chosen)
        if found is None or not np.isfinite(found.value):
            continue
        own = published is not None and chosen == dict(published)
        ends = {"estimate": found.value, "low": found.low, "high": found.high}
        rows.append({"claim": claim, **chosen, **ends, "published": own})
    table = pd.DataFrame(rows)
    if published is not None and not (len(table) and table["published"].any()):
        raise ValueError(f"{claim!r} has no specification {dict(published)}, which is to be the published one")
    return table


def sides(table: pd.DataFrame, reference: float) -> pd.Series:
    """BELOW, BOTH or ABOVE for each row: where its interval lies to the line."""
    found = np.select([table["high"] < reference, table["low"] > reference], [BELOW, ABOVE], BOTH)
    return pd.Series(found, table.index)


def deciding(table: pd.DataFrame, choices: Sequence[str], reference: float | Mapping[str, float]) -> pd.DataFrame:
    """Which choice decides the sign: per claim and choice the number of specifications, the share whose estimate lies
    above the reference, and

        explained = Var_levels E[above | level] / Var above,

    the part of the variance of "above" (zeros and ones) between the levels of that choice alone: 1 if it decides alone,
    0 if it makes no difference (or nothing does: then every estimate is on one side); with the levels of the lowest and
    of the highest share. The most deciding choice of a claim comes first. `reference`: one for all or one per claim.
    """
    rows = []
    for claim, part in table.groupby("claim", sort=False):
        above = (part["estimate"] > line_of(reference, claim)).astype(float)
        for choice in present(part, choices):
            shares = above.groupby(part[choice].astype(str), sort=False).agg(["mean", "size"])
            between = np.average((shares["mean"] - above.mean()) ** 2, weights=shares["size"])
            total = above.var(ddof=0)
            low, high = shares["mean"].idxmin(), shares["mean"].idxmax()
            rows.append(
                {
                    "claim": claim,
                    "choice": choice,
                    "specifications": len(part),
                    "above": above.mean(),
                    "explained": between / total if total else 0.0,
                    "lowest": low,
                    "share at lowest": shares.loc[low, "mean"],
                    "highest": high,
                    "share at highest": shares.loc[high, "mean"],
                }
            )
    found = pd.DataFrame(rows)
    found["place"] = found["claim"].map({claim: k for k, claim in enumerate(table["claim"].unique())})
    found = found.sort_values(["place", "explained"], ascending=[True, False], kind="stable")
    return found.drop(columns="place").reset_index(drop=True)


def sentences(table: pd.DataFrame, choices: Sequence[str], reference: float | Mapping[str, float]) -> list[str]:
    """One sentence per claim: how many specifications lie on which side, and what decides."""
    found = []
    for claim, part in deciding(table, choices, reference).groupby("claim", sort=False):
        rows = table[table["claim"] == claim]
        counts = sides(rows, line_of(reference, claim)).value_counts()
        text = (
            f"{claim}: of {len(rows)} specifications {counts.get(ABOVE, 0)} lie above {line_of(reference, claim):g}, "
            f"{counts.get(BELOW, 0)} below, {counts.get(BOTH, 0)} hold it"
        )
        first = part.iloc[0]
        if first["explained"] > 0:
            text += (
                f"; the sign depends most on {first['choice']} ({first['explained']:.0%} of its variance: "
                f"{first['share at highest']:.0%} above at {first['highest']}, "
                f"{first['share at lowest']:.0%} at {first['lowest']})"
            )
        found.append(text + ".")
    return found


def figure(
    table: pd.DataFrame,
    choices: Sequence[str],
    reference: float | Mapping[str, float],
    label: str | Mapping[str, str],
    *,
    log: bool = False,
) -> Figure:
    """The specification curves, one column per claim: the estimates in ascending order with their intervals, a line at
    the reference, a diamond where every choice is the published one; below, a tick per specification and level.

    Args:
        label: what the estimate is, with its unit; one for all or one per claim. log: a logarithmic axis, for ratios.
    """
    claims = list(table["claim"].unique())
    levels = {claim: levels_of(table[table["claim"] == claim], choices) for claim in claims}
    most = max(map(len, levels.values()))
    size = 7.2 * len(claims), 3.4 + 0.21 * most
    ratios = {"height_ratios": [3.2, 0.21 * most]}
    drawn, axes = plt.subplots(2, len(claims), figsize=size, squeeze=False, sharex="col", gridspec_kw=ratios)
    for (top, below), claim in zip(axes.T, claims, strict=True):
        part = table[table["claim"] == claim].sort_values("estimate", ignore_index=True)
        line = line_of(reference, claim)
        curve(top, part, line)
        if log:
            top.set_yscale("log")
            top.yaxis.set_major_formatter("{x:g}")
            top.yaxis.set_minor_formatter("{x:g}")
        top.set_title("\n".join(textwrap.wrap(claim, 62)))
        top.set_ylabel(label if isinstance(label, str) else label[claim])
        matrix(below, part, levels[claim], line)
    handles = [Line2D([], [], color=colour, marker="o", ls="", ms=4, label=name) for name, colour in COLOURS.items()]
    handles.append(Line2D([], [], color="black", marker="D", ls="", ms=6, mfc="none", label="as published here"))
    drawn.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=10)
    return drawn


def curve(axes: Axes, part: pd.DataFrame, reference: float) -> None:
    """The upper panel: sorted estimates with intervals."""
    for side, rows in part.groupby(sides(part, reference)):
        ends = error_bars(rows["estimate"], rows["low"], rows["high"])
        look = {"color": COLOURS[side], "fmt": "o", "ms": 3, "elinewidth": 0.8, "alpha": 0.9}
        axes.errorbar(rows.index, rows["estimate"], ends, **look)
    own = part[part["published"]]
    axes.plot(own.index, own["estimate"], "D", ms=8, mfc="none", mec="black", mew=1.6, zorder=5)
    axes.axhline(reference, color="black", lw=0.8)


def matrix(axes: Axes, part: pd.DataFrame, levels: list[tuple[str, str]], reference: float) -> None:
    """The lower panel: a row per level of every choice, a tick where a specification has it."""
    colours = sides(part, reference).map(COLOURS)
    for row, (choice, level) in enumerate(levels):
        here = part[choice].astype(str) == level
        axes.scatter(part.index[here], np.full(here.sum(), row), c=list(colours[here]), marker="|", s=28, lw=1.1)
    starts = [row for row, (choice, _) in enumerate(levels) if row and choice != levels[row - 1][0]]
    for row in starts:
        axes.axhline(row - 0.5, color="0.85", lw=0.8)
    named = [f"{choice}: {level}" if row in (0, *starts) else level for row, (choice, level) in enumerate(levels)]
    axes.set_yticks(range(len(levels)), named, fontsize=9)
    axes.set(ylim=(len(levels) - 0.5, -0.5), xlabel=f"{len(part)} specifications, by estimate")
    axes.tick_params(axis="y", length=0)


def present(part: pd.DataFrame, choices: Sequence[str]) -> list[str]:
    """The choices that a claim's specifications vary."""
    return [choice for choice in choices if choice in part and part[choice].nunique() > 1]


def levels_of(part: pd.DataFrame, choices: Sequence[str]) -> list[tuple[str, str]]:
    """(choice, level) of a claim's specifications, in the order in which they come."""
    return [
        (choice, level) for choice in present(part, choices) for level in part[choice].dropna().astype(str).unique()
    ]


def line_of(reference: float | Mapping[str, float], claim: str) -> float:
    return reference[claim] if isinstance(reference, Mapping) else reference
