"""Columns and lines of the picture of a pipeline."""

import re

from aecompanion.site import graph

DIAMOND = {
    "data": [],
    "train": ["data"],
    "attack": ["data", "train"],
    "other": ["data"],
    "end": ["attack", "other", "data"],
}


def test_a_stage_rests_on_all_before_it():
    assert graph.ancestors("attack", DIAMOND) == {"data", "train"}
    assert graph.ancestors("data", DIAMOND) == set()


def test_only_direct_steps_are_drawn():
    steps = graph.reduced(DIAMOND)
    assert (steps["attack"], steps["end"]) == (["train"], ["attack", "other"])


def test_a_stage_stands_behind_all_that_it_reads():
    columns = graph.columns(DIAMOND)
    place = {name: x for x, names in enumerate(columns) for name in names}
    assert all(place[each] < place[name] for name, reads in DIAMOND.items() for each in reads)
    assert sorted(place) == sorted(DIAMOND)


def test_the_picture_has_a_linked_box_per_stage_and_a_line_per_step():
    drawn = graph.svg(DIAMOND, lambda name: f"{name}.html", "A < B")
    assert sorted(re.findall(r'<a href="(\w+)\.html"', drawn)) == sorted(DIAMOND)
    assert drawn.count("<path ") == sum(map(len, graph.reduced(DIAMOND).values()))
    assert 'aria-label="A &lt; B"' in drawn
