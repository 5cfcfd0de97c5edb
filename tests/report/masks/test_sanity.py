import numpy as np
import pytest
import torch
from drawn import fits, titles
from matplotlib.colors import to_hex
from randomised import LAYERS, similarity_rows, value

from aecompanion.explain.methods import METHODS
from aecompanion.pipeline.rng import generator
from aecompanion.report.figures import COLOURS
from aecompanion.report.masks import sanity as masks_sanity
from aecompanion.sanity.map_randomization import OTHER, RECALIBRATED, WAYS

NAMES = ["head.score", "stage1", "stem"]
ROWS = ["rank correlation", "SSIM", "HOG correlation", "share of constant maps"]
SIZE = 8


@pytest.fixture
def stages():
    """Method to its maps of two pairs, given in another order; MP's are constant in the end."""
    found = {}
    for part, method in enumerate(("RP", "MP", "BP", "RP,\nrecalibrated")):
        maps = 3 * torch.rand(4, 2, 1, SIZE, SIZE, generator=generator(9, part))
        if method == "MP":
            maps[2:, 1] = 0.4
        found[method] = list(zip(["", *LAYERS], maps, strict=True))
    return found


def texts(panel):
    return [text.get_text() for text in panel.texts]


def lines_of(panel, label):
    """The line of a method, and its dotted yardstick where there is one."""
    (line,) = [line for line in panel.lines if line.get_label() == label]
    dotted = [each for each in panel.lines if each.get_linestyle() == ":" and each.get_color() == line.get_color()]
    return line, dotted


@pytest.mark.parametrize(
    ("layer", "name"),
    [("body.stem.1.0", "stem"), ("body.head.score", "head.score"), ("fc", "fc"), ("body.a.0.b", "a.0.b"), ("", "")],
)
def test_a_layer_is_named_without_container_and_positions(layer, name):
    assert masks_sanity.short(layer) == name


# ---- F3.12


@pytest.mark.parametrize("pair", [0, 1])
def test_the_grid_has_a_row_per_method_and_a_column_per_layer(stages, pair):
    image = torch.rand(3, SIZE, SIZE, generator=generator(9, 9))
    figure = masks_sanity.cascade_grid(stages, image, (1, 2, 5, 7), pair=pair, title="a scene")
    scene, *panels, bar = figure.axes
    panels = np.reshape(panels, (4, 4))
    assert titles(panels[0]) == ["original", *NAMES]
    assert [line[0].get_ylabel() for line in panels] == ["BP", "MP", "RP", "RP,\nrecalibrated"]
    for line, method in zip(panels, ("BP", "MP", "RP", "RP,\nrecalibrated"), strict=True):
        for panel, (_, maps) in zip(line, stages[method], strict=True):
            (picture,) = panel.images
            assert picture.get_clim() == (0, 1)
            own = maps[pair, 0]
            flat = own.max() == own.min()
            expected = torch.zeros_like(own) if flat else (own - own.min()) / (own.max() - own.min())
            assert np.asarray(picture.get_array()) == pytest.approx(expected.numpy())
            assert texts(panel) == (["constant"] if flat else [])
    assert sum(len(texts(panel)) for panel in panels.flat) == (2 if pair == 1 else 0)
    assert bar.get_ylabel() == "map, each scaled to [0, 1]"
    assert scene.get_title() == "a scene"
    assert np.array_equal(np.asarray(scene.images[0].get_array()), image.permute(1, 2, 0))
    for box in scene.patches:
        assert box.get_bbox().extents.tolist() == [1.5, 0.5, 6.5, 4.5]  # left, top, right, bottom
    assert fits(figure)


def test_the_grid_of_one_method_has_one_row(stages):
    figure = masks_sanity.cascade_grid({"RP": stages["RP"]}, torch.zeros(1, SIZE, SIZE), (0, 0, 4, 4))
    assert len(figure.axes) == 1 + 4 + 1
    assert fits(figure)


# ---- X3.4


def test_the_curves_have_a_panel_per_measure_and_way_and_a_line_per_method(similarity):
    figure = masks_sanity.curves(similarity)
    panels = np.reshape(figure.axes, (4, 3))
    assert titles(panels[0]) == [*WAYS, RECALIBRATED]
    assert [line[0].get_ylabel() for line in panels] == ROWS
    assert [panel.get_xlabel() for panel in panels[-1]] == ["layers up to this one", "layer", "layers up to this one"]
    for line, share in zip(panels[:3], (1, 1 / 2, 1 / 3), strict=True):
        for panel, way in zip(line, (*WAYS, RECALIBRATED), strict=True):
            for method in METHODS:
                drawn, (dotted,) = lines_of(panel, method)
                assert drawn.get_xdata() == pytest.approx(np.array([1, 2, 3]) / 3)
                expected = [share * value(way, depth / 3, method) for depth in (1, 2, 3)]
                assert drawn.get_ydata() == pytest.approx(expected)
                assert dotted.get_ydata() == pytest.approx([share * value(OTHER, 0.0, method)] * 2)
                assert min(dotted.get_xdata()) > 1
                assert to_hex(drawn.get_color()).upper() == COLOURS[[*METHODS].index(method)]
    for panel in panels[-1]:
        drawn, dotted = lines_of(panel, "MP")
        assert drawn.get_ydata() == pytest.approx([0.5, 0.5, 1])
        assert dotted == []
        assert [tick.get_text() for tick in panel.get_xticklabels()] == [*NAMES, OTHER]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(METHODS)
    assert len({lines_of(panels[0, 0], method)[0].get_marker() for method in METHODS}) == len(METHODS)
    assert fits(figure)


def test_markers_are_hollow_where_most_maps_are_constant(similarity):
    panel = masks_sanity.curves(similarity).axes[0]
    hollow = [line for line in panel.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    (line,) = hollow
    assert to_hex(line.get_color()).upper() == COLOURS[[*METHODS].index("MP")]
    assert line.get_xdata().tolist() == [1.0]  # half of them is not most of them


@pytest.mark.parametrize("ways", [WAYS, WAYS[:1]])
def test_ways_and_methods_that_were_not_studied_are_left_out(ways):
    rows = similarity_rows(methods=("RP", "BP"), ways=ways)
    figure = masks_sanity.curves(rows)
    assert len(figure.axes) == 4 * len(ways)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["BP", "RP"]
    assert fits(figure)


def test_one_image_has_no_yardstick():
    rows = similarity_rows()
    figure = masks_sanity.curves(rows[rows["way"] != OTHER])
    assert not any(line.get_linestyle() == ":" for panel in figure.axes for line in panel.lines)
