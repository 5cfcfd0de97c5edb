import numpy as np
import pytest
import torch
from drawn import fits, titles
from matplotlib.colors import to_hex
from randomised import LAYERS, NAMES, similarity_rows, value

from aecompanion.explain.methods import METHODS
from aecompanion.papers.masks import sanity as masks_sanity
from aecompanion.pipeline.rng import generator
from aecompanion.report.randomization import LOOKS, YARDSTICKS, short
from aecompanion.sanity.randomization import OTHER, RECALIBRATED, RETRAINED, WAYS

ROWS = ["rank correlation", "SSIM", "HOG correlation", "share constant"]
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


def curve(panel, way):
    """The line of a way."""
    style, marker = LOOKS[way]
    (found,) = [each for each in panel.lines if each.get_marker() == marker and each.get_linestyle() != "None"]
    return found


def levels(panel, way):
    """The yardstick's line across a panel."""
    return [each.get_ydata()[0] for each in panel.lines if each.get_color() == YARDSTICKS[way][1]]


@pytest.mark.parametrize(
    ("layer", "name"),
    [("body.stem.1.0", "stem"), ("body.head.score", "head.score"), ("fc", "fc"), ("body.a.0.b", "a.0.b"), ("", "")],
)
def test_a_layer_is_named_without_container_and_positions(layer, name):
    assert short(layer) == name


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


def test_the_curves_have_a_column_per_method_in_its_own_colour_and_a_line_per_way(similarity):
    figure = masks_sanity.curves(similarity)
    panels = np.reshape(figure.axes, (4, len(METHODS)))
    assert titles(panels[0]) == list(METHODS)
    assert [line[0].get_ylabel() for line in panels] == ROWS
    for line, share in zip(panels[:3], (1, 1 / 2, 1 / 3), strict=True):
        for panel, (method, row) in zip(line, METHODS.items(), strict=True):
            for way in (*WAYS, RECALIBRATED):
                drawn = curve(panel, way)
                assert drawn.get_xdata() == pytest.approx(np.array([1, 2, 3]) / 3)
                assert drawn.get_ydata() == pytest.approx(
                    [share * value(way, depth / 3, method) for depth in (1, 2, 3)]
                )
                assert to_hex(drawn.get_color()).upper() == row.colour  # as in every figure of methods
            for way in (OTHER, RETRAINED):  # of this very method
                assert levels(panel, way) == pytest.approx([share * value(way, 0.0, method)])
            assert len(panel.collections) == 3  # a band per way
    for panel in panels[-1]:
        assert levels(panel, OTHER) == []
        assert [tick.get_text() for tick in panel.get_xticklabels()] == NAMES
    assert curve(panels[-1][[*METHODS].index("MP")], WAYS[0]).get_ydata() == pytest.approx([0.5, 0.5, 1])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [*WAYS, RECALIBRATED, OTHER, RETRAINED]
    assert fits(figure)


def test_markers_are_hollow_where_most_maps_are_constant(similarity):
    for panel, method in zip(masks_sanity.curves(similarity).axes, METHODS, strict=False):
        hollow = [line for line in panel.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
        assert len(hollow) == (3 if method == "MP" else 0)  # one per way
        assert all(line.get_xdata() == [1.0] for line in hollow)  # half of them is not most of them


@pytest.mark.parametrize("ways", [WAYS, WAYS[:1]])
def test_ways_and_methods_that_were_not_studied_are_left_out(ways):
    figure = masks_sanity.curves(similarity_rows(methods=("RP", "BP"), ways=ways))
    assert titles(figure.axes[:2]) == ["BP", "RP"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*ways, OTHER, RETRAINED]
    assert fits(figure)


def test_one_image_and_one_network_have_no_yardsticks():
    rows = similarity_rows()
    figure = masks_sanity.curves(rows[~rows["way"].isin([OTHER, RETRAINED])])
    assert not any(levels(panel, way) for panel in figure.axes for way in (OTHER, RETRAINED))
