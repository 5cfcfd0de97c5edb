"""One page for what was handed in: maps of one image, and a panel for each of the four parts beside the built-in rows.

    explanations   rank correlation with true effects against passes per pair     attacks     accuracy against eps
    defences       accuracy, clean and in the worst case                          detectors   AUROC

What was handed in is black, with a star; a part that was left out has an empty panel that says so.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aecompanion.attack.attacks import ATTACKS
from aecompanion.explain.methods import METHODS
from aecompanion.report.figures import channels_last, colours, markers, picture
from aecompanion.studies import truth
from aecompanion.studies.own_method import LOOK, OWN

PANELS = ("explanations", "attacks", "defences", "detectors")
MOST = 9  # pictures in the first row
LINES = {truth.PAINTED: "bottom", truth.RANDOM: "bottom", truth.UNIFORM: "top"}  # control: where its name stands


def page(
    image: torch.Tensor | None,
    maps: Mapping[str, torch.Tensor],
    numbers: pd.DataFrame,
    passes: Mapping[str, int],
) -> Figure:
    """image: C×H×W in [0,1]; maps: 1×H×W by name. numbers: part (of PANELS), method, where, measure, value, low, high.

    passes: forward and backward passes per pair, by method.
    """
    shown = dict(list(maps.items())[: MOST - 1])
    figure = plt.figure(figsize=(13.5, 5.2))
    above, below = figure.subfigures(2, 1, height_ratios=[1, 2])
    places = np.atleast_1d(above.subplots(1, max(1 + len(shown), 2)))
    for place in places:
        place.set_axis_off()
    if image is not None:
        picture(places[0], channels_last(image), title="image")
        for place, (name, found) in zip(places[1:], shown.items(), strict=False):
            picture(place, found[0].cpu().numpy(), vmin=None, vmax=None, title=name)
        for place in places[: 1 + len(shown)]:
            place.set_axis_on()
    draw = (explanations, attacks, defences, detectors)
    for place, part, function in zip(below.subplots(1, 4), PANELS, draw, strict=True):
        rows = numbers[numbers["part"] == part]
        place.set_title(part)
        if len(rows):
            function(place, rows, passes)
        else:
            place.text(0.5, 0.5, "none handed in", ha="center", transform=place.transAxes)
            place.set_axis_off()
    return figure


def maps_of(images: torch.Tensor, maps: Mapping[str, torch.Tensor], *, rows: int) -> Figure:
    """The first `rows` images N×C×H×W and their maps N×1×H×W, each scaled to its own range."""
    figure, places = plt.subplots(rows, 1 + len(maps), figsize=(1.25 * (1 + len(maps)), 1.35 * rows), squeeze=False)
    for i, line in enumerate(places):
        picture(line[0], channels_last(images[i]), title="image" if i == 0 else "")
        for place, (name, found) in zip(line[1:], maps.items(), strict=True):
            picture(place, found[i, 0].cpu().numpy(), vmin=None, vmax=None, title=name if i == 0 else "")
    return figure


def look(names: list[str]) -> dict[str, dict[str, str]]:
    """Colour and marker of every name: those of its table, black and a star for what was handed in, else in order."""
    free, signs = colours(names), markers(names)
    rows = {**METHODS, **ATTACKS}
    found = {}
    for name in names:
        row = rows.get(name)
        found[name] = (
            {"color": row.colour, "marker": row.marker} if row else {"color": free[name], "marker": signs[name]}
        )
    return found | {OWN: {"color": LOOK["colour"], "marker": LOOK["marker"]}}


def errors(rows: pd.DataFrame) -> np.ndarray:
    """The lengths of the bars below and above, 2×n."""
    lengths = np.stack([rows["value"] - rows["low"], rows["high"] - rows["value"]])
    return np.nan_to_num(np.maximum(lengths, 0))


def explanations(place: Axes, rows: pd.DataFrame, passes: Mapping[str, int]) -> None:
    """The first place where truth is known; what costs no pass, because it asks no network, as grey lines."""
    rows = rows[rows["measure"] == "rank"]
    rows = rows[rows["where"] == rows["where"].iloc[0]]
    styles = look(rows["method"].tolist())
    for name in rows["method"]:
        row = rows[rows["method"] == name]
        value = row["value"].iloc[0]
        if name in passes:
            size = {"markersize": 12 if name == OWN else 7}
            place.errorbar(max(passes[name], 1), value, errors(row), linestyle="", label=name, **styles[name], **size)
        elif name in LINES:
            place.axhline(value, color="#BBBBBB", linewidth=0.8, zorder=0)
            spot = {"xycoords": ("axes fraction", "data"), "fontsize": 7, "ha": "right"}
            place.annotate(name, (1, value), va=LINES[name], **spot)
    place.set(xscale="log", xlabel="passes per pair", ylabel="rank correlation with effects", ylim=(-1.05, 1.12))
    place.legend(fontsize=7, ncols=2, loc="lower right")


def attacks(place: Axes, rows: pd.DataFrame, passes: Mapping[str, int]) -> None:
    """From the clean images on; dashes: built in."""
    rows = rows[rows["measure"] == "accuracy"]
    clean = rows[rows["method"] == "clean"]
    names = [name for name in dict.fromkeys(rows["method"]) if name != "clean"]
    styles = look(names)
    for name in names:
        own = pd.concat([clean, rows[rows["method"] == name]])
        levels = own["where"].str.removesuffix("/255").astype(int)
        title = ATTACKS[name].title if name in ATTACKS else name
        line = {"linestyle": "-" if name == OWN else "--", "label": title}
        place.errorbar(levels, own["value"], errors(own), **styles[name], **line)
    place.set(xlabel="ε in levels of 255", ylabel="accuracy", ylim=(-0.03, 1.2), yticks=np.arange(6) / 5)
    place.legend(fontsize=7, ncols=3, loc="upper right")


def defences(place: Axes, rows: pd.DataFrame, passes: Mapping[str, int]) -> None:
    """Two bars per defence."""
    names = list(dict.fromkeys(rows["method"]))
    for step, (measure, colour) in enumerate({"clean": "#BBBBBB", "worst": "#0072B2"}.items()):
        own = rows[rows["measure"] == measure].set_index("method").loc[names]
        at = np.arange(len(names)) + 0.4 * step - 0.2
        tints = ["#000000" if name == OWN and measure == "worst" else colour for name in names]
        place.barh(at, own["value"], 0.38, xerr=errors(own), color=tints, ecolor="#777777", label=measure)
    place.set(yticks=range(len(names)), yticklabels=names, xlabel="accuracy", xlim=(0, 1.03))
    place.invert_yaxis()
    place.legend(fontsize=7, loc="lower right")


def detectors(place: Axes, rows: pd.DataFrame, passes: Mapping[str, int]) -> None:
    """AUROC at the largest eps; the line is chance."""
    rows = rows[rows["where"] == rows["where"].iloc[-1]]
    names = list(dict.fromkeys(rows["method"]))
    sets = list(dict.fromkeys(rows["measure"]))
    tints = colours(sets)
    for step, measure in enumerate(sets):
        own = rows[rows["measure"] == measure].set_index("method").loc[names]
        at = np.arange(len(names)) + 0.25 * (step - (len(sets) - 1) / 2)
        place.errorbar(
            own["value"], at, xerr=errors(own), linestyle="", marker="o", color=tints[measure], label=measure
        )
    place.axvline(0.5, color="#BBBBBB", linewidth=0.8)
    place.set(yticks=range(len(names)), yticklabels=names, xlim=(-0.03, 1.03), ylim=(len(names) - 0.4, -0.6))
    place.set_xlabel(f"AUROC at {rows['where'].iloc[0]}")
    place.legend(fontsize=7, loc="lower left")
