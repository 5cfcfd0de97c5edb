"""Specification curves: the rows, what decides the sign, the drawing."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from aecompanion.evaluate.intervals import Interval
from aecompanion.report import multiverse

CHOICES = {"fill": ["grey", "black"], "seed": [1, 2, 3]}


def measure(fill: str, seed: int) -> Interval | None:
    """Above zero for grey, below for black, whatever the seed; black with seed 3 does not arise."""
    if (fill, seed) == ("black", 3):
        return None
    value = (1 if fill == "grey" else -1) * (1 + seed / 10)
    return Interval(value, value - 0.5, value + 0.5)


@pytest.fixture
def table() -> pd.DataFrame:
    return multiverse.specifications("grey raises it", CHOICES, measure, {"fill": "grey", "seed": 1})


def test_one_row_per_combination_that_arises(table):
    assert len(table) == 5
    assert table.loc[table["published"], ["fill", "seed"]].to_numpy().tolist() == [["grey", 1]]
    assert table["estimate"].tolist() == pytest.approx([1.1, 1.2, 1.3, -1.1, -1.2])


def test_published_must_be_one_of_them():
    with pytest.raises(ValueError, match="no specification"):
        multiverse.specifications("grey", CHOICES, measure, {"fill": "white", "seed": 1})


def test_undefined_estimates_are_left_out():
    found = multiverse.specifications("nothing", {"seed": [1, 2]}, lambda seed: Interval(float("nan"), 0, 0))
    assert found.empty


def test_the_deciding_choice_explains_the_sign_alone(table):
    found = multiverse.deciding(table, ["seed", "fill"], 0)
    assert found["choice"].tolist() == ["fill", "seed"]
    assert found.loc[0, "explained"] == pytest.approx(1)
    assert found.loc[1, "explained"] == pytest.approx(((1 / 2 - 3 / 5) ** 2 * 4 + (1 - 3 / 5) ** 2) / 5 / (6 / 25))
    assert (found.loc[0, "highest"], found.loc[0, "lowest"]) == ("grey", "black")
    assert found["above"].tolist() == pytest.approx([0.6, 0.6])


def test_nothing_decides_where_all_agree(table):
    found = multiverse.deciding(table, ["seed", "fill"], {"grey raises it": -5})
    assert found["explained"].tolist() == [0, 0]
    assert multiverse.sentences(table, ["seed", "fill"], -5) == [
        "grey raises it: of 5 specifications 5 lie above -5, 0 below, 0 hold it."
    ]


def test_sides_follow_the_interval(table):
    assert multiverse.sides(table, 0).tolist() == [multiverse.ABOVE] * 3 + [multiverse.BELOW] * 2
    assert multiverse.sides(table, 1).iloc[0] == multiverse.BOTH


def test_sentence_names_the_deciding_choice(table):
    (text,) = multiverse.sentences(table, ["seed", "fill"], 0)
    assert "3 lie above 0, 2 below, 0 hold it" in text
    assert "depends most on fill (100% of its variance: 100% above at grey, 0% at black)" in text


def test_figure_has_a_tick_per_specification_and_level(table):
    other = table.assign(claim="another").drop(columns="fill")
    drawn = multiverse.figure(pd.concat([table, other]), ["fill", "seed"], 0, "effect", log=False)
    first, second, below, below_second = drawn.axes
    assert first.get_ylabel() == "effect"
    assert [tick.get_text() for tick in below.get_yticklabels()] == ["fill: grey", "black", "seed: 1", "2", "3"]
    assert [tick.get_text() for tick in below_second.get_yticklabels()] == ["seed: 1", "2", "3"]
    assert sum(len(each.get_offsets()) for each in below.collections) == 2 * len(table)
    diamonds = [line for line in first.lines if line.get_marker() == "D"]
    assert diamonds[0].get_ydata().tolist() == pytest.approx([1.1])
    plt.close(drawn)
