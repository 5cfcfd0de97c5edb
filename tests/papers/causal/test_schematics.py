import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path
from matplotlib.text import Text

from aecompanion.papers.causal.schematics import UNITS, causal_graph, framework, released_numbers
from aecompanion.report import figures
from aecompanion.report.figures import WRONG

DRAWN = [causal_graph, framework]


@pytest.fixture(autouse=True)
def pixels(settings):
    """The resolution of the notebooks: what fits is measured in their pixels."""
    figures.use_style()


def texts(figure) -> list[Text]:
    return [text for panel in figure.axes for text in (panel.title, *panel.texts) if text.get_text()]


def words(panel) -> list[str]:
    return [text.get_text() for text in panel.texts]


def arrows(artist) -> list[FancyArrowPatch]:
    return artist.findobj(FancyArrowPatch)


def crosses(panel):
    return [line for line in panel.lines if line.get_marker() == "x"]


@pytest.fixture(params=DRAWN, ids=lambda draw: draw.__name__)
def figure(request):
    drawn = request.param()
    drawn.canvas.draw()
    return drawn


# ---- layout


def test_every_text_lies_inside_the_figure(figure):
    renderer, page = figure.canvas.get_renderer(), figure.bbox
    for text in texts(figure):
        extent = text.get_window_extent(renderer)
        inside = page.x0 <= extent.x0 and extent.x1 <= page.x1 and page.y0 <= extent.y0 and extent.y1 <= page.y1
        assert inside, text.get_text()


def test_no_two_texts_overlap(figure):
    renderer = figure.canvas.get_renderer()
    extents = [(text.get_text(), text.get_window_extent(renderer)) for text in texts(figure)]
    for (one, first), (other, second) in itertools.combinations(extents, 2):
        assert not first.overlaps(second), f"{one!r} and {other!r}"


def test_no_text_is_smaller_than_nine_points(figure):
    assert min(text.get_fontsize() for text in texts(figure)) >= 9


def test_text_in_a_box_stays_in_it(figure):
    """A text whose middle is the middle of a shape that it could label is not wider or higher than the shape."""
    renderer, nodes = figure.canvas.get_renderer(), 0
    for arrow in arrows(figure):
        for shape in (arrow.patchA, arrow.patchB):
            extent = shape.get_window_extent(renderer)
            middle = ((extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2)
            for text in shape.axes.texts:
                label = text.get_window_extent(renderer)
                if label.contains(*middle):
                    nodes += 1
                    assert label.width < extent.width and label.height < extent.height, text.get_text()
    assert nodes > 10


def outline(shape) -> np.ndarray:
    """Points along the edge of a shape, in pixels."""
    (edge,) = shape.get_transform().transform_path(shape.get_path()).to_polygons()
    return Path(edge).interpolated(100).vertices


def test_every_arrow_starts_and_ends_at_the_edge_of_a_shape(figure):
    for arrow in arrows(figure):
        line = arrow.axes.transData.transform(arrow.get_path().vertices)
        for end, shape in ((line[0], arrow.patchA), (line[2], arrow.patchB)):
            assert np.hypot(*(outline(shape) - end).T).min() < 4


@pytest.mark.parametrize("draw", DRAWN)
def test_drawing_leaves_the_settings_alone(draw):
    before = dict(plt.rcParams)
    assert draw().get_size_inches()[0] == 11.25
    assert dict(plt.rcParams) == before


# ---- content


def test_the_graph_has_three_panels_with_titles_in_words():
    panels = causal_graph().axes
    heads = [panel.get_title().split("\n")[0] for panel in panels]
    assert heads == ["(a) observation", "(b) do(R = fill)", "(c) do($c_j$ = 0)"]
    for panel in panels:
        assert {"U", "hidden", "finding F = label", "marker M", "rest of x", "image x", "$c_1$", "$c_K$"} <= set(
            words(panel)
        )


def test_interventions_cut_the_arrows_into_their_target_and_no_other():
    panels = causal_graph().axes
    assert [len(arrows(panel)) for panel in panels] == [13, 13, 13]
    for panel, cut in zip(panels, (0, 1, 2), strict=True):
        dashed = [arrow for arrow in arrows(panel) if arrow.get_linestyle() != "-"]
        assert (len(dashed), len(crosses(panel))) == (cut, cut)
        assert len({arrow.patchB for arrow in dashed}) == min(cut, 1)
        assert words(panel).count("do") == min(cut, 1)


@pytest.mark.parametrize(("index", "value"), [(1, "R = fill"), (2, "0")])
def test_the_target_shows_what_it_is_set_to(index, value):
    panel = causal_graph().axes[index]
    assert value in words(panel)
    (target,) = {arrow.patchB for arrow in arrows(panel) if arrow.get_linestyle() != "-"}
    assert target.get_edgecolor() == to_rgba(WRONG)
    assert sum(arrow.patchA is target for arrow in arrows(panel)) == (3 if index == 1 else 1)  # its own effect stays


def test_only_the_intervened_panels_have_a_changed_prediction():
    predictions = [next(word for word in words(panel) if "prediction" in word) for panel in causal_graph().axes]
    assert predictions == ["prediction $p$", "prediction $p'$", "prediction $p'$"]


def test_the_framework_names_both_branches_the_effect_and_the_interventions_on_the_input():
    (panel,) = framework().axes
    shown = words(panel)
    assert {"image x", "plain branch", "encoder", "decoder", "do", "($c_j$ = 0)", "$p$", "$p'$"} <= set(shown)
    assert shown.count("r, cls") == 2
    joined = "\n".join(shown)
    for part in (
        "CE_k = p'_k - p_k",
        "ECE =",
        "w_k = p_k",
        "do(R = fill)",
        "adversarial perturbation",
        f"{UNITS} chan",
    ):
        assert part in joined
    assert len(crosses(panel)) == 1


def test_three_inputs_lead_into_the_first_layers():
    (panel,) = framework().axes
    into = {}
    for arrow in arrows(panel):
        into[arrow.patchB] = into.get(arrow.patchB, 0) + 1
    assert sorted(into.values()) == [1] * 7 + [2, 3]  # the effect takes p and p', f the image or what replaces it


# ---- what the released notebooks print


def test_released_numbers_are_twelve_full_rows_in_order():
    table = released_numbers()
    assert list(table.columns) == ["id", "notebook", "content", "printed"]
    assert list(table["id"]) == [f"A{i}" for i in range(1, 13)]
    assert (table.apply(lambda column: column.str.strip().str.len()) > 0).all(axis=None)


@pytest.mark.parametrize(
    ("row", "numbers"),
    [
        ("A1", [".9924", ".9914", ".9986"]),
        ("A3", ["12.72", "12.82", "0.0976"]),
        ("A5", ["3.986", "0.015386"]),
        ("A7", ["0.01005", "0.01378", "-2.886e-4"]),
        ("A8", ["0.3734"]),
        ("A9", ["0.4588", "0.4669", "3.9109e-3"]),
        ("A10", ["2.0835e-5"]),
        ("A12", ["0.8367", "0.8342", ".0602"]),
    ],
)
def test_released_numbers_keep_the_digits(row, numbers):
    printed = released_numbers().set_index("id").loc[row, "printed"]
    assert all(number in printed for number in numbers)


def test_released_series_have_their_lengths():
    printed = released_numbers().set_index("id")["printed"]
    assert len(printed["A1"].split(";")[0].split()) == 1 + 10  # "test" and an accuracy per epoch
    assert printed["A2"].count("/") == 10
    assert [len(part.split()) for part in printed["A3"].split("; ")] == [11, 11, 2]
