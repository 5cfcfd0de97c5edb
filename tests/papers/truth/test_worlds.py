import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from aecompanion.data.stored_worlds import StoredWorld
from aecompanion.data.worlds import Part, Picture
from aecompanion.papers.truth import worlds as draw


def picture(name: str, labels: list[int]) -> Picture:
    """A pixel per part, 8×8."""
    masks = np.zeros((len(labels), 8, 8), bool)
    masks[range(len(labels)), range(len(labels)), 0] = True
    parts = tuple(Part(f"part {i}", label, mask) for i, (label, mask) in enumerate(zip(labels, masks, strict=True)))
    image = np.full((3, 8, 8), 100, np.uint8)
    return Picture(name, image, parts, np.where(masks[:, None], 0, image)[:, None].astype(np.uint8))


def rows(world: StoredWorld) -> pd.DataFrame:
    """Two families, an effect of the part's number plus the target."""
    return pd.DataFrame(
        {"world": world.name, "family": family, "seed": 1, "picture": each.name, "part": i, "target": target}
        | {"effect": i + 10 * target}
        for each in world.pictures
        for i in range(len(each.parts))
        for target in (0, 1, 2)
        for family in ("a", "b")
    )


LABELS = {"one": [0], "three": [2, 0, 1], "marked": [1, -1], "many": [0, 1, 2, 0, 1]}
WORLD = StoredWorld("w", list("xyz"), 3, 8, True, tuple(picture(*each) for each in LABELS.items()))


def test_the_example_has_a_part_without_class_if_there_is_one_and_else_the_most_parts():
    chosen = draw.chosen(WORLD, rows(WORLD), also=2)
    assert (chosen.picture.name, set(chosen.rows["target"])) == ("marked", {2})
    plain = StoredWorld("w", list("xyz"), 3, 8, True, (*WORLD.pictures[:2], WORLD.pictures[3]))
    chosen = draw.chosen(plain, rows(plain))
    assert (chosen.picture.name, set(chosen.rows["target"])) == ("three", {2})  # many has more than are drawn


def test_the_figure_shows_every_part_and_every_effect():
    examples = [draw.chosen(WORLD, rows(WORLD), also=2), draw.Example(WORLD, WORLD.pictures[1], rows(WORLD).iloc[:0])]
    examples[1] = examples[1]._replace(rows=rows(WORLD).query("picture == 'three' and target == 1"))
    figure = draw.worlds(examples)
    titles = [axes.get_title() for axes in figure.axes]
    assert [title for title in titles if title.startswith("without")] == [
        *(f"without part {i}" for i in (0, 1)),
        *(f"without part {i}" for i in (0, 1, 2)),
    ]
    bars = figure.axes[-1]
    assert bars.get_title() == "effect on “y”, nats"
    assert sorted(line.get_xdata()[0] for line in bars.lines if line.get_marker() != "None") == [10, 10, 11, 11, 12, 12]
    plt.close(figure)


def test_footprints_are_in_their_colours():
    shown = draw.outlined(WORLD.pictures[1])
    assert shown.shape == (8, 8, 3)
    assert len({tuple(shown[i, 0].round(3)) for i in range(4)}) == 4
    assert shown.max() <= 1
    assert shown[5, 5] == pytest.approx(0.35 * 100 / 255)
