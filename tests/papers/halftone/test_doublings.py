import pytest
from drawn import names, ticks, titles

from aecompanion.papers.halftone import doublings
from aecompanion.papers.halftone.tables import HYBRID

CONTROL = "hybrid without halftoning"


@pytest.fixture
def adaptive(paper4_tables):
    return paper4_tables[2]


def test_the_budgets_are_read_from_the_names_of_the_adversaries(adaptive):
    assert doublings.efforts(adaptive) == [1, 2, 4]
    assert doublings.efforts(adaptive[~adaptive["adversary"].str.contains("×")]) == [1]
    assert doublings.beyond(16) == "worst case, × 16"


def test_the_doubling_rows_begin_with_the_worst_case_of_what_was_given_more(adaptive):
    doubling = doublings.doubling_rows(adaptive)
    left = doubling.groupby(["defence", "level", "effort"])["top1"].mean().round(9)
    assert set(doubling["defence"]) == {HYBRID, CONTROL}
    assert left[HYBRID, 8].to_dict() == {1: 0.4, 2: 0.3, 4: 0.3}
    assert left[CONTROL, 8].to_dict() == {1: 0.4, 2: 0.4, 4: 0.2}
    assert set(doubling["level"]) == {2, 4, 8}  # 16/255 was given no more
    assert len(doubling) == 2 * 3 * 3 * 20


def test_the_last_breaks_are_counted_over_images_and_seeds_and_told_in_a_sentence(adaptive):
    doubling = doublings.doubling_rows(adaptive)
    found = doublings.last_breaks(doubling).set_index(["defence", "level"])
    assert found.loc[(HYBRID, 8)].to_dict() == {"broken": 0, "left": 6, "images": 20}
    assert found.loc[(CONTROL, 8)].to_dict() == {"broken": 4, "left": 4, "images": 20}
    assert doublings.flatness(doubling[doubling["defence"] == CONTROL]) == (
        "The last doubling broke: hybrid without halftoning 2 of 20 at 2/255 in top-1, 0 of 20 at 4/255 in top-1, "
        "4 of 20 at 8/255 in top-1, 2 of 20 at 8/255 in top-5."
    )


def points(line):
    return line.get_xdata().tolist(), line.get_ydata().tolist()


def test_the_doubling_curves_have_a_line_per_defence_and_level_and_top5_at_the_tables_level(adaptive):
    doubling = doublings.doubling_rows(adaptive)
    figure = doublings.doubling_curves(doubling)
    assert titles(figure.axes) == ["top-1", "top-5"]
    lines = {line.get_label(): points(line) for line in figure.axes[0].lines}
    assert set(lines) == {f"{name}, ε = {level}/255" for name in (HYBRID, CONTROL) for level in (2, 4, 8)}
    assert lines[f"{CONTROL}, ε = 8/255"] == ([1, 2, 4], pytest.approx([0.4, 0.4, 0.2]))
    assert [points(line)[1] for line in figure.axes[1].lines] == [
        pytest.approx([0.8, 0.7, 0.6]),
        pytest.approx([0.6, 0.6, 0.5]),
    ]
    assert names(figure.legends[0]) == list(lines)
    assert ticks(figure.axes[1].get_xticklabels()) == ["1", "2", "4"]
