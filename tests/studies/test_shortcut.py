import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.data.dataset import Dataset
from aecompanion.data.lungs import LUNG_FIELD
from aecompanion.data.regions import Regions
from aecompanion.studies.shortcut import (
    CORNERS,
    LUNGS,
    MARKER,
    PARTS,
    PHANTOMS,
    UNIONS,
    between,
    grid_rows,
    mean_lungs,
    moved,
    partition,
    regions_of,
    study,
    view_set,
)

SIZE = 20
FULL = np.ones((2, 128, 128)) * [[[1.0]], [[0.0]]]  # the left lung is everywhere, the right one nowhere


def outlines():
    """Two slender ellipses that reach into no corner."""
    rows, columns = np.mgrid[:128, :128] / 128
    return np.stack([((rows - 0.5) / 0.5) ** 2 + ((columns - x) / 0.14) ** 2 < 1 for x in (0.3, 0.7)]).astype(float)


def no_markers(size=SIZE):
    return Regions(*(np.zeros((0, *shape), int) for shape in ((), (), (4,))), np.zeros((0, size, size), bool))


class Corner(nn.Module):
    """Two logits: zero and ten times the mean of the 4×4 pixels in the upper left, which is all that it reads."""

    card = {"multi_label": False}

    def forward(self, images):
        score = 10 * images[:, :, :4, :4].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(score), score], dim=1)


def dataset(count=6, **options):
    images = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(4, 2).repeat(4, 3)
    split = np.array((["train", "validation", "test"] * count)[:count], dtype=object)
    labels = torch.zeros(count, 2, dtype=torch.int64)
    facts = {"classes": ["a", "b"], "source": "squares", "channels": 1, "size": 4}
    return Dataset(**({"labels": labels, "split": split, "images": images} | facts | options))


# ---- lung fields


def test_the_mean_lungs_lie_in_the_lung_field():
    left, right = mean_lungs(FULL, 100)
    west, top, east, bottom = (round(100 * side) for side in LUNG_FIELD)
    assert (left[top:bottom, west:east] == 1).all()
    assert left.sum() == (bottom - top) * (east - west)
    assert not right.any()


def test_a_mean_of_half_stays_a_half():
    assert mean_lungs(FULL / 2, SIZE).max() == 0.5


@pytest.mark.parametrize("shape", [(128, 128), (3, 128, 128), (1, 2, 128, 128)])
def test_outlines_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"the mean outlines are \(.*\), expected 2×H×W \(left and right lung\)"):
        mean_lungs(np.zeros(shape), SIZE)


# ---- the partition


@pytest.mark.parametrize("size", [SIZE, 48, 64, 101])
@pytest.mark.parametrize("lungs", [outlines(), FULL, np.zeros((2, 128, 128))])
def test_the_parts_cover_every_pixel_once(size, lungs):
    parts = partition(lungs, size)
    assert tuple(parts) == PARTS
    assert (sum(mask.astype(int) for mask in parts.values()) == 1).all()


def test_the_parts_are_where_their_names_say():
    parts = partition(outlines(), 64)
    places = {name: np.argwhere(mask).mean(0) for name, mask in parts.items()}
    assert places["lung, left"][1] < places["mediastinum"][1] < places["lung, right"][1]
    assert places["neck and shoulders"][0] < places["lung, left"][0] < places["flanks and diaphragm"][0]
    for name, (row, column) in zip(CORNERS, ((0, 0), (0, -1), (-1, 0), (-1, -1)), strict=True):
        assert parts[name][row, column]
        assert parts[name].sum() == 13**2  # no lung reaches into a corner
    assert parts["border between corners"].sum() == 64**2 - 54**2 - 4 * (13**2 - 8**2)
    assert all(parts[name].any() for name in PARTS)


def test_lungs_come_before_corners():
    parts = partition(FULL, SIZE)
    assert parts["lung, left"].sum() == mean_lungs(FULL, SIZE)[0].sum()
    assert not parts["mediastinum"].any()
    assert parts["corner, top left"].sum() < 4**2


def test_between_is_the_gap_of_the_rows_that_have_both():
    left, right = np.zeros((2, 3, 6), bool)
    left[0, 1], left[1, [0, 2]] = True, True
    right[0, 4], right[1, 3], right[2, 5] = True, True, True
    assert between(left, right).tolist() == [[False, False, True, True, False, False], [False] * 6, [False] * 6]


# ---- regions of images


def test_without_markers_there_are_the_parts_and_the_unions_only():
    parts = partition(outlines(), SIZE)
    found = regions_of(parts, np.array([3, 5]), no_markers())
    assert list(found) == [*PARTS, *UNIONS]
    for name, masks in found.items():
        assert (masks.shape, masks.dtype) == ((2, 1, SIZE, SIZE), torch.bool)
        assert torch.equal(masks[0], masks[1]), name
    rest = found["outside"] | found["lungs"] | found["mediastinum"]
    assert rest.all()
    assert not (found["outside"] & (found["lungs"] | found["mediastinum"])).any()
    assert torch.equal(found["lungs"], found[LUNGS[0]] | found[LUNGS[1]])
    assert (found["outside"] | ~found["frame"]).all()


def test_the_marker_is_the_box_of_the_own_image_and_empty_where_there_is_none():
    boxes = np.array([[0, 0, 2, 3], [1, 1, 2, 2]])
    masks = np.zeros((2, SIZE, SIZE), bool)
    masks[:, 1, 1] = True
    markers = Regions(np.array([7, 4]), np.zeros(2, int), boxes, masks)
    found = regions_of(partition(outlines(), SIZE), np.array([4, 5, 7]), markers)[MARKER]
    assert found.flatten(1).sum(1).tolist() == [1, 0, 6]
    assert found[2, 0, :2, :3].all()
    assert MARKER not in regions_of(partition(outlines(), SIZE), np.array([5]), markers)


# ---- the control


def test_a_moved_region_has_as_many_pixels_and_depends_on_its_image_only():
    masks = torch.rand(5, 1, 7, 9, generator=torch.Generator().manual_seed(1)) > 0.6
    found = moved(masks, [3, 1, 4, 9, 5], seed=2, region=1)
    assert torch.equal(found.flatten(1).sum(1), masks.flatten(1).sum(1))
    assert torch.equal(moved(masks[3:4], [9], seed=2, region=1)[0], found[3])
    assert not torch.equal(moved(masks, [3, 1, 4, 9, 5], seed=2, region=2), found)


def test_a_control_is_any_place_equally_often():
    mask = torch.zeros(1, 1, 3, 4, dtype=torch.bool)
    mask[0, 0, 0, 0] = True
    found = moved(mask.expand(3000, -1, -1, -1), range(3000), seed=0, region=0).float().mean((0, 1))
    assert (found - 1 / 12).abs().max() < 0.025  # five standard deviations


# ---- views as labels


def test_the_second_class_is_one_and_other_views_are_left_out():
    views = np.array(["PA", "AP", "UNKNOWN", "PA", "AP", "PA"])
    found = view_set(dataset(), views, ("AP", "PA"))
    assert found.labels.tolist() == [1, 0, 1, 0, 1]
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 3, 4, 5]
    assert found.split.tolist() == ["train", "validation", "train", "validation", "test"]
    assert (found.classes, found.multi_label) == (["AP", "PA"], False)
    assert found.counts == {"AP": 2, "PA": 3}


def test_a_set_on_disk_keeps_the_files_of_its_images():
    lazy = dataset(images=None, files=list("abcdef"))
    views = np.array(["marker", "odd", "no marker", "odd", "odd", "marker"])
    assert view_set(lazy, views, PHANTOMS).files == ["a", "c", "f"]


def test_views_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="there are 2 views, expected one for each of the 6 images"):
        view_set(dataset(), np.array(["PA", "AP"]), ("AP", "PA"))
    with pytest.raises(ValueError, match="no image is AP or PA, the views are: LL, RL"):
        view_set(dataset(), np.array(["LL", "RL"] * 3), ("AP", "PA"))


# ---- effects


def test_a_network_that_reads_a_corner_has_the_effect_of_that_corner_and_no_other():
    images = torch.zeros(2, 1, SIZE, SIZE)
    images[:, :, :4, :4] = torch.tensor([0.2, 0.1])[:, None, None, None]
    regions = regions_of(partition(outlines(), SIZE), np.array([5, 8]), no_markers())
    target = torch.tensor([1, 0])
    rows = study(Corner(), images, target, regions, fills=["black"], indices=[5, 8], seed=0)
    p = torch.tensor([2.0, 1.0]).sigmoid().numpy()
    lost = [0.5 - p[0], p[1] - 0.5]  # the corner becomes black, and both views equally likely
    found = rows.pivot(index="region", columns="image", values="effect")
    for region in (CORNERS[0], "frame", "outside"):
        assert found.loc[region].tolist() == pytest.approx(lost, abs=1e-6)
    rest = [*CORNERS[1:], *LUNGS, "lungs", "mediastinum", "border between corners"]
    assert (found.loc[[*rest, "neck and shoulders", "flanks and diaphragm"]].abs() < 1e-6).all().all()
    assert rows[rows["image"] == 5]["p"].to_numpy() == pytest.approx(p[0])
    assert rows[rows["image"] == 8]["p"].to_numpy() == pytest.approx(1 - p[1])
    share = rows.drop_duplicates("region").set_index("region")["share"]
    assert share[CORNERS[0]] == pytest.approx(16 / 400)
    assert share[list(PARTS)].sum() == pytest.approx(1)


def test_the_control_is_the_effect_of_the_moved_region():
    images = torch.rand(3, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
    masks = torch.zeros(3, 1, SIZE, SIZE, dtype=torch.bool)
    masks[:, :, :, :9] = True
    rows = study(
        Corner(), images, torch.ones(3, dtype=int), {"half": masks}, fills=["white"], indices=[0, 1, 2], seed=3
    )
    white = torch.where(moved(masks, [0, 1, 2], seed=3, region=0), 1.0, images)
    expected = Corner()(white).softmax(1)[:, 1] - Corner()(images).softmax(1)[:, 1]
    assert rows["control"].to_numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_an_image_without_the_region_has_no_effect_of_it():
    masks = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.bool)
    masks[1, :, :4, :4] = True
    images = torch.full((2, 1, SIZE, SIZE), 0.1)
    rows = study(
        Corner(), images, torch.zeros(2, dtype=int), {MARKER: masks}, fills=["black", "mean"], indices=[0, 1], seed=0
    )
    assert rows["effect"].isna().tolist() == [True, False] * 2
    assert rows["control"].isna().tolist() == [True, False] * 2
    assert rows["share"].tolist() == pytest.approx([0, 0.04] * 2)


def test_the_grid_has_the_effect_in_the_blocks_that_are_read():
    images = torch.zeros(2, 1, SIZE, SIZE)
    images[:, :, :4, :4] = 0.2
    options = {"per_side": 5, "fill": "black", "indices": [3, 6]}  # blocks of 4×4
    rows = grid_rows(Corner(), images, torch.tensor([1, 0]), **options)
    assert len(rows) == 2 * 25
    lost = 0.5 - torch.tensor(2.0).sigmoid().item()
    read = (rows["row"] == 0) & (rows["column"] == 0)
    assert rows[read]["image"].tolist() == [3, 6]
    assert rows[read]["effect"].tolist() == pytest.approx([lost, -lost], abs=1e-6)
    assert (rows[~read]["effect"].abs() < 1e-6).all()
