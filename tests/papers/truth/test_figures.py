import pytest

from aecompanion.papers.truth import figures, tables
from aecompanion.report.figures import placeholder, reason

OPTIONS = {"resamples": 100, "seed": 0}


@pytest.fixture
def rows(paper6_tables):
    return paper6_tables["methods"]


def test_every_method_has_a_look_of_its_own():
    looks = figures.looks()
    assert len(set(looks.values())) == len(looks)


def test_a_panel_per_world_and_reading(rows):
    table = tables.method_table(rows, **OPTIONS)
    figure = figures.truth_and_cost(table)
    titles = [panel.get_title() for panel in figure.axes if panel.get_title()]
    assert len(figure.axes) == 10 and len(titles) == 5
    assert "objects with mark\nrobust, trained with mark" in titles
    methods = set(table["method"]) - set(tables.CONTROLS)
    assert {text.get_text() for text in figure.legends[0].get_texts()} >= methods
    (marks,) = {len(panel.containers) for panel in figure.axes}
    assert marks == len(methods)


def test_points_stand_at_their_passes_and_ranks(rows):
    table = tables.method_table(rows, **OPTIONS)
    one = table[(table["world"] == "VOC-like scenes") & (table["network"] == "vgg")]
    figure = figures.truth_and_cost(one)
    drawn = sorted(tuple(map(float, each[0].get_xydata()[0])) for each in figure.axes[0].containers)
    own = one[~one["method"].isin(tables.CONTROLS)]
    assert drawn == sorted(zip(own["passes"].astype(float), own["rank"], strict=True))


def test_masks_have_a_line_per_world_and_comparison(rows):
    table = tables.mask_table(rows, **OPTIONS)
    figure = figures.masks(table)
    left, right = figure.axes
    assert len(left.containers) == len(right.containers) == table.groupby(["world", "family"]).ngroups
    assert [text.get_text() for text in left.get_yticklabels()] == list(tables.MASKS)
    places = [y for each in left.containers for y in each[0].get_ydata()]
    assert len(places) == len(set(places)) == len(table)


def test_without_masks_there_is_no_figure(rows):
    less = rows[~rows["method"].str.startswith(("RP", "MP"))]
    figure = figures.masks(tables.mask_table(less, **OPTIONS))
    assert reason(figure) == reason(placeholder("MP and RP did not run on the same pairs"))
