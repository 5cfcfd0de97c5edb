import ast

import pytest

from aecompanion.pipeline.paths import ROOT
from aecompanion.report import displays, source

NAMES = {"draw": "aecompanion.papers.masks.figures", "figures": "aecompanion.report.figures"}


def maker(*cells):
    parsed = [(place, ast.parse(cell)) for place, cell in enumerate(cells)]
    (save,) = (call for call in source.calls(parsed[-1][1]) if source.saves(call, "F9.1"))
    return source.maker(save, len(cells) - 1, parsed, NAMES)


@pytest.mark.parametrize(
    "cells",
    [
        ["figures.save('F9.1', draw.reverse(x), n=1)"],
        ["figure = draw.reverse(x)\nfigures.save('F9.1', figure, n=1)"],
        ["figure = draw.reverse(x)", "y = 2", "figures.save('F9.1', figure)"],
        ["def page(x):\n    return draw.reverse(x)", "figure = page(1)\nfigures.save('F9.1', figure)"],
        ["figure = draw.reverse(x) if x else figures.placeholder('no')\nfigures.save('F9.1', figure)"],
        ["figure = draw.qualitative(x)", "figure = draw.reverse(x)", "figures.save('F9.1', figure)"],
        ["with draw.reverse(x) as figure:\n    pass\nfigures.save('F9.1', figure)"],
    ],
)
def test_the_function_that_made_what_is_saved_is_found(cells):
    assert maker(*cells) == "aecompanion.papers.masks.figures.reverse"


def test_what_the_notebook_draws_by_itself_has_no_function():
    assert maker("figure, axes = plt.subplots()", "figures.save('F9.1', figure)") == ""


@pytest.mark.parametrize("display", displays.register())
def test_every_display_leads_to_a_cell_that_saves_it_and_to_a_line_that_defines_its_function(display):
    made = source.made(display)
    assert (ROOT / made.notebook).is_file()
    assert made.cell > 0
    if made.function:
        line = (ROOT / made.file).read_text().splitlines()[made.line - 1]
        assert line.startswith(f"def {made.function.rpartition('.')[2]}(")


def test_nearly_all_displays_have_a_function():
    bare = [display for display in displays.register() if not source.made(display).function]
    assert len(bare) < 10, bare


def test_a_function_that_is_not_there_is_one_sentence():
    with pytest.raises(ValueError, match=r"^lib/aecompanion/report/figures\.py has no function nothing$"):
        source.where("aecompanion.report.figures.nothing")
