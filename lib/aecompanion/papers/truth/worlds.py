"""X6.1: the worlds of the truth bench, a picture of each: its parts, the picture without each, and what each does."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from aecompanion.data.worlds import NONE, Picture, World
from aecompanion.report.figures import COLOURS, MARKERS, picture as show

MOST = 4  # parts that are drawn; the rest are in the table
TITLE = 8.5  # points


class Example(NamedTuple):
    """A picture of a world and the rows of `studies.truth_worlds.means` of one target in it."""

    world: World
    picture: Picture
    rows: pd.DataFrame


def chosen(world: World, rows: pd.DataFrame, also: int | None = None) -> Example:
    """The first picture with the most parts up to MOST, before them those with a part that shows no class; the target
    is `also` where there is such a part, else the first class shown.
    """

    def worth(index: int) -> tuple[bool, int]:
        parts = world.picture(index).parts
        return any(part.label == NONE for part in parts), len(parts) if len(parts) <= MOST else 0

    picture = world.picture(max(range(len(world)), key=worth))
    target = picture.labels[0] if also is None or all_show(picture) else also
    own = rows[(rows["world"] == world.name) & (rows["picture"] == picture.name) & (rows["target"] == target)]
    return Example(world, picture, own)


def all_show(picture: Picture) -> bool:
    """Whether every part shows a class."""
    return all(part.label != NONE for part in picture.parts)


def worlds(examples: Sequence[Example]) -> Figure:
    """A row per example: the picture, its footprints, the picture without each part (with the first filling), and each
    part's effect on one class, a mark per network.
    """
    columns = 2 + MOST
    figure, axes = plt.subplots(
        len(examples),
        columns + 1,
        figsize=(12.5, 1.75 * len(examples)),
        squeeze=False,
        width_ratios=[1] * columns + [1.9],
    )
    for line, example in zip(axes, examples, strict=True):
        image, parts = example.picture.image, example.picture.parts[:MOST]
        show(line[0], last(image))
        line[0].set_ylabel(example.world.name, fontsize=10)
        show(line[1], outlined(example.picture))
        for panel in line[2:columns]:
            panel.axis("off")
        for number, (panel, part) in enumerate(zip(line[2:columns], parts, strict=False)):
            panel.axis("on")
            show(panel, last(example.picture.without[number, 0]))
            panel.set_title(f"without {part.name}", fontsize=TITLE, color=COLOURS[number], parse_math=False)
        effects(line[-1], example)
    axes[0, 0].set_title("picture", fontsize=TITLE)
    axes[0, 1].set_title("footprints", fontsize=TITLE)
    return figure


def last(image: np.ndarray) -> np.ndarray:
    """C×H×W uint8 to what imshow takes, in [0,1]."""
    return (image[0] if len(image) == 1 else image.transpose(1, 2, 0)) / 255


def outlined(picture: Picture) -> np.ndarray:
    """The picture in grey, darkened, with each footprint in its colour, H×W×3."""
    grey = 0.35 * np.repeat(picture.image.mean(0)[..., None], 3, 2) / 255
    for number, part in enumerate(picture.parts[:MOST]):
        colour = np.array([int(COLOURS[number][i : i + 2], 16) for i in (1, 3, 5)]) / 255
        grey[part.mask] = 0.35 * grey[part.mask] + 0.65 * colour
    return grey


def effects(panel: Axes, example: Example) -> None:
    """The effect of each part on the example's class, nats: a mark per network, shaped by family."""
    families = list(dict.fromkeys(example.rows["family"]))
    for number in range(len(example.picture.parts[:MOST])):
        for place, family in enumerate(families):
            own = example.rows[(example.rows["part"] == number) & (example.rows["family"] == family)]
            height = number + (place - (len(families) - 1) / 2) * 0.25
            style = {"marker": MARKERS[place], "color": COLOURS[number], "ls": "", "ms": 5}
            panel.plot(own["effect"], np.full(len(own), height), **style)
    names = [part.name for part in example.picture.parts[:MOST]]
    panel.axvline(0, color="black", lw=0.8)
    panel.set_yticks(range(len(names)), names, fontsize=8)
    panel.set(ylim=(len(names) - 0.4, -0.6))
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.tick_params(axis="x", labelsize=8)
    target = example.world.classes[int(example.rows["target"].iloc[0])]
    panel.set_title(f"effect on “{target[:24]}”, nats", fontsize=TITLE, parse_math=False)
    if len(families) > 1:
        options = {"color": "#555555", "ls": "", "ms": 5}
        handles = [Line2D([], [], marker=MARKERS[i], label=family, **options) for i, family in enumerate(families)]
        panel.legend(handles=handles, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.1)
