import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from drawn import fits, image, names, shown, ticks, titles
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from aecompanion.data.dataset import Dataset
from aecompanion.data.regions import Regions
from aecompanion.evaluate.intervals import interval
from aecompanion.explain.methods import METHODS, STARTS
from aecompanion.papers.masks import figures as masks_figures, tables as masks_tables
from aecompanion.papers.masks.figures import BOX, looks
from aecompanion.report.figures import COLOURS

OPTIONS = {"resamples": 20, "seed": 0}
SIZE = 16
CLASSES = ["cat", "cup", "dog"]


def texts(panel):
    return [text.get_text() for text in panel.texts]


def frames(panel):
    """(top, left, bottom, right) of the boxes in a panel, in pixels of the image, half-open."""
    found = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
    corners = [(*patch.get_xy()[::-1], patch.get_height(), patch.get_width()) for patch in found]
    return [(top + 0.5, left + 0.5, top + 0.5 + high, left + 0.5 + wide) for top, left, high, wide in corners]


def some_set(channels, part):
    packed = (image(4, channels, SIZE, SIZE, part=part) * 255).byte().numpy()
    split = np.array(["test"] * 4, dtype=object)
    return Dataset(
        torch.ones(4, 3, dtype=torch.int64), split, CLASSES, "composed scenes", channels, SIZE, images=packed
    )


@pytest.fixture
def scenes():
    return some_set(3, 1)


@pytest.fixture
def phantoms():
    return dataclasses.replace(some_set(1, 2), source="drawn phantoms")


@pytest.fixture
def regions():
    """Two objects in image 2, one in images 0 and 3."""
    boxes = np.array([[2, 3, 8, 9], [4, 4, 16, 16], [0, 0, 5, 7], [5, 1, 9, 7]])
    masks = np.zeros((4, SIZE, SIZE), bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return Regions(np.array([2, 0, 2, 3]), np.array([0, 1, 2, 1]), boxes, masks)


def maps_of(methods, count, part=0):
    """Maps of each method on a range of its own, the first of RP constant."""
    found = {m: image(count, 1, SIZE, SIZE, part=part + i) * (i + 1) + i for i, m in enumerate(methods, 20)}
    if "RP" in found:
        found["RP"][0] = 0.4
    return found


# ---- boxes


def test_a_box_is_drawn_around_its_pixels():
    figure, panel = plt.subplots()
    panel.imshow(np.zeros((SIZE, SIZE)))
    masks_figures.box(panel, (2, 3, 8, 9))
    assert frames(panel) == [(2, 3, 8, 9)]
    assert texts(panel) == []
    (frame,) = panel.patches
    assert not frame.get_fill()
    assert to_hex(frame.get_edgecolor()).upper() == BOX == COLOURS[1]


def test_the_pixels_that_are_coloured_are_those_at_the_edge_of_the_box():
    scale, (top, left, bottom, right) = 10, (2, 3, 8, 9)
    side = SIZE * scale / 72  # a pixel of the image is 10 by 10
    figure = plt.figure(figsize=(side, side), dpi=72, layout="none")
    panel = figure.add_axes((0, 0, 1, 1))
    panel.imshow(np.zeros((SIZE, SIZE)), cmap="gray", aspect="auto")
    panel.axis("off")
    masks_figures.box(panel, (top, left, bottom, right))
    figure.canvas.draw()
    coloured = np.asarray(figure.canvas.buffer_rgba())[..., :3].max(2) > 60
    assert coloured.shape == (SIZE * scale, SIZE * scale)
    rows, columns = np.flatnonzero(coloured.any(1)), np.flatnonzero(coloured.any(0))
    edges = np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1])
    assert abs(edges - scale * np.array([top, bottom, left, right])).max() <= 2  # half a line's width
    inside = coloured[scale * top + 3 : scale * bottom - 3, scale * left + 3 : scale * right - 3]
    assert not inside.any()


@pytest.mark.parametrize("corners", [(2, 3, 8, 9), (0, 0, 16, 16)])
def test_the_name_stands_above_the_box_and_is_never_cut_off(corners):
    figure, panel = plt.subplots()
    panel.imshow(np.zeros((SIZE, SIZE)))
    masks_figures.box(panel, corners, "cat")
    (text,) = panel.texts
    assert text.get_text() == "cat"
    assert text.get_position()[0] == corners[1]
    assert text.get_position()[1] < corners[0] - 0.5  # rows count downwards
    assert text.get_va() == "bottom"
    assert not text.get_clip_on()
    assert text.get_color() == BOX
    assert fits(figure)


# ---- scenes


def test_the_gallery_has_every_objects_box_and_name_on_its_image(scenes, regions):
    indices = np.array([2, 1, 3])
    figure = masks_figures.gallery(scenes, regions, indices)
    assert len(figure.axes) == 3
    for panel, index in zip(figure.axes, indices, strict=True):
        assert np.array_equal(shown(panel), scenes.batch([index])[0].permute(1, 2, 0))
    assert [frames(panel) for panel in figure.axes] == [[(2, 3, 8, 9), (0, 0, 5, 7)], [], [(5, 1, 9, 7)]]
    assert [texts(panel) for panel in figure.axes] == [["cat", "dog"], [], ["cup"]]
    assert figure.get_suptitle() == "composed scenes"
    assert fits(figure)


def test_a_gallery_may_be_of_one_grey_image(phantoms, regions):
    figure = masks_figures.gallery(phantoms, regions, np.array([0]))
    (panel,) = figure.axes
    assert np.array_equal(shown(panel), phantoms.batch([0])[0, 0])
    assert panel.images[0].get_clim() == (0, 1)
    assert texts(panel) == ["cup"]


# ---- F3.1


def test_the_motivation_is_the_first_pair_with_its_box_and_its_map_on_the_scale_of_an_attribution(phantoms, regions):
    maps = image(4, 1, SIZE, SIZE, part=5)
    figure = masks_figures.motivation(phantoms, regions, maps)
    left, right, bar = figure.axes
    assert left.get_title() == "image, box of the finding"
    assert right.get_title() == "what RP takes away for “cat”"
    assert (frames(left), texts(left)) == ([(2, 3, 8, 9)], ["cat"])
    assert (frames(right), texts(right)) == ([], [])
    below, over = right.images
    for picture in (left.images[0], below):
        assert np.array_equal(np.asarray(picture.get_array()), phantoms.batch([2])[0, 0])
        assert picture.get_clim() == (0, 1)
    assert np.array_equal(np.asarray(over.get_array()), maps[0, 0])
    assert over.get_clim() == (0, 1)  # 1 - m as it is, not stretched
    assert 0 < over.get_alpha() < 1
    assert bar.get_ylabel() == "attribution, 1 - m"
    assert fits(figure)


# ---- F3.8, F3.9


@pytest.fixture
def rows(scenes, phantoms, regions):
    """Three pairs of one data set, two of another; the methods of the second come in another order."""
    methods = ("BP", "Grad-CAM", "RP")
    first = (scenes, regions.select([0, 1, 2]), maps_of(methods, 3))
    return [first, (phantoms, regions.select([3, 0]), maps_of(methods[::-1], 2, part=40))]


def test_the_rows_are_the_pairs_with_their_box_class_and_the_map_of_every_method(rows):
    figure = masks_figures.qualitative(rows)
    *panels, bar = figure.axes
    panels = np.reshape(panels, (5, 4))
    assert titles(panels[0]) == ["input", "BP", "Grad-CAM", "RP"]
    assert {panel.get_title() for panel in panels[1:].flat} == {""}
    assert [line[0].get_ylabel() for line in panels] == ["cat", "cup", "dog", "cup", "cat"]
    assert bar.get_ylabel() == "attribution, each map on its own range"
    boxes = [(2, 3, 8, 9), (4, 4, 16, 16), (0, 0, 5, 7), (5, 1, 9, 7), (2, 3, 8, 9)]
    assert [frames(line[0]) for line in panels] == [[corners] for corners in boxes]
    assert not any(panel.patches for panel in panels[:, 1:].flat)
    for row, (part, index) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]):
        dataset, regions, maps = rows[part]
        original = dataset.batch(regions.image)[index]
        assert np.array_equal(shown(panels[row, 0]), original[0] if part else original.permute(1, 2, 0))
        for panel, method in zip(panels[row, 1:], ("BP", "Grad-CAM", "RP"), strict=True):
            own = maps[method][index, 0].numpy()
            flat = method == "RP" and index == 0
            expected = 0 * own if flat else (own - own.min()) / (own.max() - own.min())
            assert shown(panel) == pytest.approx(expected)
            assert shown(panel).max() == pytest.approx(0 if flat else 1)
    assert fits(figure)


def test_rows_of_several_data_sets_say_of_which_they_are(rows):
    panels = np.reshape(masks_figures.qualitative(rows, names=("VOC-like", "COCO-like")).axes[:-1], (5, 4))
    labels = [line[0].get_ylabel() for line in panels]
    assert labels == ["VOC-like\ncat", "VOC-like\ncup", "VOC-like\ndog", "COCO-like\ncup", "COCO-like\ncat"]


def test_all_maps_have_one_scale_and_one_colour_map_and_grey_images_another(rows):
    figure = masks_figures.qualitative(rows)
    *panels, bar = figure.axes
    panels = np.reshape(panels, (5, 4))
    assert {panel.images[0].get_clim() for panel in panels.flat} == {(0, 1)}
    assert {panel.images[0].get_cmap().name for panel in panels[:, 1:].flat} == {"inferno"}
    assert {panel.images[0].get_cmap().name for panel in panels[:, 0]} == {"gray"}
    assert bar.get_ylim() == (0, 1)


def test_a_map_that_lacks_for_a_pair_is_an_error(rows):
    dataset, regions, maps = rows[1]
    with pytest.raises(KeyError, match="RP"):
        masks_figures.qualitative([rows[0], (dataset, regions, {"BP": maps["BP"], "Grad-CAM": maps["Grad-CAM"]})])


def test_there_may_be_one_pair_only(scenes, regions):
    part = (scenes, regions.select([0]), maps_of(("BP", "RP"), 1))
    figure = masks_figures.qualitative([part])
    assert titles(figure.axes[:3]) == ["input", "BP", "RP"]


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0, -3.0])
def test_a_constant_map_is_scaled_to_0(value):
    found = masks_figures.scaled(torch.full((4, 5), value))
    assert found.shape == (4, 5)
    assert (found == 0).all()


def test_other_maps_are_scaled_by_their_own_minimum_and_maximum():
    values = torch.tensor([[-1.0, 0.0], [1.0, 3.0]])
    assert masks_figures.scaled(values).tolist() == [[0, 0.25], [0.5, 1]]
    assert masks_figures.scaled(7 * values - 2) == pytest.approx(masks_figures.scaled(values))
    assert values.tolist() == [[-1, 0], [1, 3]]  # the caller's map stays


# ---- F3.11

SHARES = np.array([0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0])  # unequal steps


@pytest.fixture
def curves():
    """Five pairs."""
    scores = [image(5, len(SHARES), part=60 + part).sort(1, descending=True).values.numpy() for part in range(3)]
    return dict(zip(("random", "MP", "RP"), scores, strict=True))


def test_the_legends_of_the_deletion_curves_have_the_area_under_what_is_drawn(curves):
    figure = masks_figures.deletion_curves(SHARES, curves, 3, title="composed scenes")
    assert titles(figure.axes) == ["one pair", "mean"]
    for panel, pick in zip(figure.axes, (lambda each: each[3], lambda each: each.mean(0)), strict=True):
        drawn = [pick(each) for each in curves.values()]
        areas = [np.trapezoid(curve, SHARES) for curve in drawn]
        expected = [f"{name} {area:.3f}" for name, area in zip(curves, areas, strict=True)]
        assert names(panel.get_legend()) == expected
        assert panel.get_legend().get_title().get_text() == "AUC"
        assert len(panel.lines) == 3
        for line, label, curve in zip(panel.lines, expected, drawn, strict=True):
            assert line.get_label() == label
            assert line.get_xdata() == pytest.approx(SHARES)
            assert line.get_ydata() == pytest.approx(curve)
    assert names(figure.axes[0].get_legend()) != names(figure.axes[1].get_legend())


def test_the_area_under_a_curve_by_hand():
    shares, falls = np.array([0, 0.25, 1]), np.array([[1.0, 0.5, 0.0], [0.6, 0.1, 0.0]])
    figure = masks_figures.deletion_curves(shares, {"RP": falls}, 0, title="")
    assert [names(panel.get_legend()) for panel in figure.axes] == [["RP 0.375"], ["RP 0.250"]]


def test_the_area_of_the_mean_curve_is_the_mean_area(curves):
    figure = masks_figures.deletion_curves(SHARES, curves, 0, title="")
    areas = {name: np.mean([np.trapezoid(curve, SHARES) for curve in each]) for name, each in curves.items()}
    assert names(figure.axes[1].get_legend()) == [f"{name} {area:.3f}" for name, area in areas.items()]


def test_only_the_area_under_rp_is_shaded_down_to_0(curves):
    figure = masks_figures.deletion_curves(SHARES, curves, 3, title="")
    for panel, curve in zip(figure.axes, (curves["RP"][3], curves["RP"].mean(0)), strict=True):
        (shade,) = panel.collections
        corners = shade.get_paths()[0].vertices
        assert {tuple(point) for point in corners.round(6)} >= {
            *((round(x, 6), round(float(y), 6)) for x, y in zip(SHARES, curve, strict=True))
        }
        assert corners[:, 1].min() == 0
        assert (corners[:, 0].min(), corners[:, 0].max()) == (0, 1)
        own = next(line for line in panel.lines if line.get_label().startswith("RP"))
        assert to_hex(shade.get_facecolor()[0]) == to_hex(own.get_color())
        assert 0 < shade.get_alpha() < 0.5


def test_the_axes_of_the_deletion_curves_are_those_of_shares_and_probabilities(curves):
    figure = masks_figures.deletion_curves(SHARES, curves, 0, title="composed scenes; VGG")
    assert figure.get_suptitle() == "composed scenes; VGG"
    assert figure.axes[0].get_ylabel() == "p(explained class)"
    for panel in figure.axes:
        assert panel.get_xlabel() == "share of the image deleted (square-root scale)"
        assert (panel.get_xlim(), panel.get_ylim()) == ((0, 1), (0, 1.02))
        assert panel.get_xticks().tolist() == [0, 0.02, 0.1, 0.25, 0.5, 1]
        assert ticks(panel.get_xticklabels()) == ["0", ".02", ".1", ".25", ".5", "1"]
        assert [float(label) for label in ticks(panel.get_xticklabels())] == panel.get_xticks().tolist()
        (places,) = np.diff(panel.transData.transform([(0, 0), (0.25, 0), (1, 0)])[:, 0]).reshape(1, 2)
        assert places[0] == pytest.approx(places[1])  # a quarter is half-way on this scale
    assert fits(figure)


def test_no_two_deletion_curves_look_the_same_and_a_method_looks_the_same_in_every_company(curves):
    all_of = dict.fromkeys(["random", *METHODS, *STARTS], curves["RP"])
    drawn = []
    for some in (all_of, {"MP": curves["MP"], "RP": curves["RP"]}):
        figure = masks_figures.deletion_curves(SHARES, some, 0, title="")
        drawn.append({line.get_label().rsplit(" ", 1)[0]: look_of(line) for line in figure.axes[0].lines})
    everyone, few = drawn
    assert list(everyone) == list(all_of)
    shades, shapes = (set(each) for each in zip(*everyone.values(), strict=True))
    assert len(shades) == len(shapes) == len(all_of)
    assert few == {name: everyone[name] for name in ("MP", "RP")}


def look_of(line):
    return line.get_color(), line.get_marker()


# ---- F3.10


@pytest.fixture
def scores(paper3_tables):
    return paper3_tables["scores"]


def bars(panel, label):
    """The bars of a method: the one in the legend and those after it, of the same colour."""
    colour = next(bar.get_facecolor() for drawn in panel.containers for bar in drawn if drawn.get_label() == label)
    return [bar for drawn in panel.containers for bar in drawn if bar.get_facecolor() == colour]


def middle(bar):
    return bar.get_x() + bar.get_width() / 2


def test_the_bars_are_as_high_as_the_means_of_every_data_set(scores):
    methods = ["MP", "EP", "RP"]
    figure = masks_figures.distortion_bars(scores, methods, **OPTIONS)
    panel, _ = figure.axes
    assert ticks(panel.get_xticklabels()) == ["VOC-like", "COCO-like", "chest phantoms"]
    assert panel.get_ylabel() == "class distortion score\n(log-odds, higher is better)"
    assert names(figure.legends[0]) == methods
    for method, mean in zip(methods, (4.5, 2, 7), strict=True):
        drawn = bars(panel, method)
        assert [bar.get_height() for bar in drawn] == pytest.approx([mean, 0.8 * mean, 0.6 * mean])
        assert [bar.get_y() for bar in drawn] == [0, 0, 0]
    assert list(panel.lines[-1].get_ydata()) == [0, 0]
    assert fits(figure)


def test_every_bar_has_its_interval_and_median_at_its_middle(scores):
    methods = ["MP", "RP"]
    figure = masks_figures.distortion_bars(scores, methods, **OPTIONS)
    panel, _ = figure.axes
    lines = {}
    for line in panel.lines[:-1]:  # the last is the line at 0
        lines.setdefault(round(float(np.ravel(line.get_xdata())[0]), 9), []).append(np.ravel(line.get_ydata()))
    assert len(lines) == 6
    for method, mean in zip(methods, (4.5, 7), strict=True):
        for bar, (data, factor) in zip(bars(panel, method), (("voc", 1), ("coco", 0.8), ("chest", 0.6)), strict=True):
            ends, median = lines[round(middle(bar), 9)]
            values = masks_tables.values(scores, [method], "cds_absolute", data=data)[..., 0]
            expected = interval(np.mean, values, **OPTIONS)
            assert ends == pytest.approx([expected.low, expected.high])
            assert ends[0] < bar.get_height() < ends[1]
            assert median == pytest.approx([0.98 * factor * mean])


def test_beside_the_bars_stand_the_differences_on_the_same_pairs(scores):
    methods = ["MP", "EP", "RP"]
    panel = masks_figures.distortion_bars(scores, methods, **OPTIONS).axes[1]
    assert panel.get_ylabel() == "RP minus the method, same pairs"
    *drawn, zero = panel.lines
    assert list(zero.get_ydata()) == [0, 0]
    points, ranges = drawn[::2], drawn[1::2]
    expected = [(data, method) for data in ("voc", "coco", "chest") for method in ("MP", "EP")]
    for (data, method), point, ends in zip(expected, points, ranges, strict=True):
        own = masks_tables.values(scores, ["RP", method], "cds_absolute", data=data)
        found = interval(np.mean, own[..., 0] - own[..., 1], **OPTIONS)
        assert np.ravel(point.get_ydata()) == pytest.approx([found.value])
        assert ends.get_ydata() == pytest.approx([found.low, found.high])
        assert point.get_color() == METHODS[method].colour


def test_the_bars_stand_in_groups_around_their_tick_and_do_not_touch(scores):
    figure = masks_figures.distortion_bars(scores, [*METHODS, *STARTS], **OPTIONS)
    panel, _ = figure.axes
    drawn = [bar for container in panel.containers for bar in container]
    count = len([*METHODS, *STARTS])
    assert len(drawn) == 3 * count
    assert panel.get_xticks().tolist() == [0, 1, 2]
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in drawn)
    assert all(right < left for (_, right), (left, _) in zip(edges, edges[1:], strict=False))
    for position in range(3):
        own = [middle(bar) for bar in drawn if abs(middle(bar) - position) < 0.5]
        assert len(own) == count
        assert np.mean(own) == pytest.approx(position)
    assert len({bar.get_facecolor() for bar in drawn}) == count
    assert names(figure.legends[0]) == [*METHODS, *STARTS]


def test_a_method_has_the_same_colour_in_the_bars_and_in_the_curves(scores, curves):
    panel = masks_figures.distortion_bars(scores, ["MP", "RP"], **OPTIONS).axes[0]
    lines = masks_figures.deletion_curves(SHARES, curves, 0, title="").axes[0].lines
    for method in ("MP", "RP"):
        line = next(line for line in lines if line.get_label().startswith(method))
        assert to_hex(bars(panel, method)[0].get_facecolor()) == to_hex(line.get_color())
    assert set(looks()) == {"random", "oracle", *METHODS, *STARTS}


def test_a_data_set_of_another_name_keeps_it(scores):
    rows = scores[scores["data"] == "voc"].assign(data="mine")
    panel = masks_figures.distortion_bars(rows, ["RP"], **OPTIONS).axes[0]
    assert ticks(panel.get_xticklabels()) == ["mine"]


def test_a_bar_of_a_negative_score_hangs_down(scores):
    panel = masks_figures.distortion_bars(scores.assign(cds_absolute=-scores["cds_absolute"]), ["RP"], **OPTIONS).axes[
        0
    ]
    assert [bar.get_height() for bar in bars(panel, "RP")] == pytest.approx([-7, -5.6, -4.2])
    assert panel.get_ylim()[0] < -7


# ---- F3.6


@pytest.fixture
def pair():
    """An image, its reference and two masks; the probabilities of T and NT in x, x_pt and x_rpt."""
    masks = {"L_M": image(1, 1, SIZE, SIZE, part=71).round(), "RP": image(1, 1, SIZE, SIZE, part=72)}
    said = {"L_M": [(0.9711, 0.0111), (0.0003, 0.0022), (0.9096, 0.6469)], "RP": [(0.5, 0.1), (0.2, 0.3), (0.4, 0.6)]}
    return image(1, 3, SIZE, SIZE), image(1, 3, SIZE, SIZE, part=70), masks, said


def test_the_reverse_figure_has_image_mask_masked_and_reverse_image_of_every_method(pair):
    images, references, masks, said = pair
    figure = masks_figures.reverse(images, references, masks, said, ("sheep", "dog"))
    panels = np.reshape(figure.axes, (2, 4))
    assert [line[0].get_ylabel() for line in panels] == ["L_M", "RP"]
    for line, mask in zip(panels, masks.values(), strict=True):
        kept = (mask * images + (1 - mask) * references)[0].permute(1, 2, 0).numpy()
        reverse = ((1 - mask) * images + mask * references)[0].permute(1, 2, 0).numpy()
        assert shown(line[0]) == pytest.approx(images[0].permute(1, 2, 0).numpy())
        assert shown(line[1]) == pytest.approx(mask[0, 0].numpy())
        assert shown(line[2]) == pytest.approx(kept, abs=1e-6)
        assert shown(line[3]) == pytest.approx(reverse, abs=1e-6)
        assert line[1].images[0].get_cmap().name == "gray"  # 1 is white
    assert {panel.images[0].get_clim() for panel in panels.flat} == {(0, 1)}
    assert fits(figure)


def test_the_probabilities_stand_below_the_images_and_not_below_the_mask(pair):
    figure = masks_figures.reverse(*pair, ("sheep", "dog"))
    panels = np.reshape(figure.axes, (2, 4))
    assert [panel.get_xlabel() for panel in panels[0]] == [
        "T “sheep” 97.1%\nNT “dog” 1.1%",
        "",
        "T “sheep” 0.0%\nNT “dog” 0.2%",
        "T “sheep” 91.0%\nNT “dog” 64.7%",
    ]
    assert panels[1, 3].get_xlabel() == "T “sheep” 40.0%\nNT “dog” 60.0%"


def test_the_columns_have_titles_in_the_first_row_only(pair):
    figure = masks_figures.reverse(*pair, ("sheep", "dog"))
    panels = np.reshape(figure.axes, (2, 4))
    first = titles(panels[0])
    assert first[0] == "x"
    assert first[1].startswith("mask m")
    assert first[2:] == ["x_pt (masked)", "x_rpt (reverse)"]
    assert titles(panels[1]) == ["", "", "", ""]


def test_one_mask_of_a_grey_image_has_one_row_and_leaves_what_it_is_given(pair):
    images, references, masks, said = pair
    grey, blurred = images[:, :1].clone(), references[:, :1].clone()
    figure = masks_figures.reverse(grey, blurred, {"RP": masks["RP"]}, said, ("sheep", "dog"))
    assert len(figure.axes) == 4
    assert shown(figure.axes[0]) == pytest.approx(grey[0, 0].numpy())
    assert shown(figure.axes[2]).shape == (SIZE, SIZE)
    assert torch.equal(grey, images[:, :1])
    assert torch.equal(blurred, references[:, :1])


def test_a_mask_without_probabilities_is_an_error(pair):
    images, references, masks, said = pair
    with pytest.raises(KeyError, match="L_M"):
        masks_figures.reverse(images, references, masks, {"RP": said["RP"]}, ("sheep", "dog"))
