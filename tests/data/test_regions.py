import numpy as np
import pytest
import torch

from aecompanion.data.regions import Regions, bounding_box, boxes_to_masks

BOXES = np.array([[0, 0, 2, 3], [1, 2, 4, 5], [3, 4, 4, 5]])  # in images of 4 rows and 5 columns


def regions(**changes) -> Regions:
    """Three entries of two images; the second mask is finer than its box."""
    masks = boxes_to_masks(BOXES, (4, 5))[:, 0].numpy()
    masks[1, 1, 2] = masks[1, 3, 4] = False
    without = np.arange(3 * 2 * 4 * 5, dtype=np.uint8).reshape(3, 2, 4, 5)
    parts = {"image": np.array([0, 0, 7]), "label": np.array([1, 4, 1]), "boxes": BOXES, "masks": masks}
    return Regions(**(parts | {"without": without} | changes))


def assert_equal(found: Regions, expected: Regions) -> None:
    for field in ("image", "label", "boxes", "masks"):
        assert np.array_equal(getattr(found, field), getattr(expected, field)), field
    assert found.masks.dtype == bool
    assert (found.without is None) == (expected.without is None)
    if expected.without is not None:
        assert np.array_equal(found.without, expected.without)
        assert found.without.dtype == np.uint8


# round trip


@pytest.mark.parametrize("changes", [{}, {"without": None}], ids=["generated", "real"])
def test_saved_regions_are_loaded_as_they_were(tmp_path, changes):
    regions(**changes).save(tmp_path / "regions.npz")
    assert_equal(Regions.load(tmp_path / "regions.npz"), regions(**changes))


def test_the_file_has_the_name_that_was_asked_for(tmp_path):
    """numpy itself would add .npz."""
    regions().save(tmp_path / "regions")
    assert [file.name for file in tmp_path.iterdir()] == ["regions"]
    assert_equal(Regions.load(tmp_path / "regions"), regions())


def test_regions_saved_over_older_ones_replace_them(tmp_path):
    regions().save(tmp_path / "regions.npz")
    regions(without=None).select([2]).save(tmp_path / "regions.npz")
    assert_equal(Regions.load(tmp_path / "regions.npz"), regions(without=None).select([2]))


def test_masks_that_fill_no_whole_bytes_survive(tmp_path):
    masks = np.random.default_rng(0).random((5, 3, 7)) < 0.5
    boxes = np.array([bounding_box(mask) for mask in masks])
    found = Regions(np.arange(5), np.zeros(5, int), boxes, masks)
    found.save(tmp_path / "a.npz")
    assert_equal(Regions.load(tmp_path / "a.npz"), found)


# boxes


def test_a_box_is_half_open_rows_first():
    mask = boxes_to_masks(np.array([[1, 2, 3, 5]]), (4, 6))
    expected = [[0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]]
    assert mask.shape == (1, 1, 4, 6)
    assert mask.dtype == torch.bool
    assert mask[0, 0].int().tolist() == expected


def test_box_masks_are_the_slices_of_the_boxes():
    masks = regions().box_masks()
    assert masks.shape == (3, 1, 4, 5)
    for mask, (top, left, bottom, right) in zip(masks[:, 0], BOXES, strict=True):
        assert mask[top:bottom, left:right].all()
        assert mask.sum() == (bottom - top) * (right - left)


def test_the_whole_image_is_a_box():
    assert boxes_to_masks(np.array([[0, 0, 4, 5]]), (4, 5)).all()


def test_the_bounding_box_of_a_filled_box_is_that_box():
    for box in BOXES:
        assert bounding_box(boxes_to_masks(box[None], (4, 5))[0, 0].numpy()) == tuple(box)


def test_the_bounding_box_spans_every_part_of_a_mask():
    mask = np.zeros((6, 8), bool)
    mask[1, 6] = mask[4, 2] = True
    box = bounding_box(mask)
    assert box == (1, 2, 5, 7)
    assert all(type(edge) is int for edge in box)


def test_no_boxes_are_no_masks():
    assert boxes_to_masks(np.zeros((0, 4), int), (4, 5)).shape == (0, 1, 4, 5)


# select, counterfactuals


@pytest.mark.parametrize("chosen", [[2, 0], np.array([2, 0])], ids=["list", "array"])
def test_select_keeps_the_order_that_was_asked_for(chosen):
    found = regions().select(chosen)
    assert found.image.tolist() == [7, 0]
    assert found.label.tolist() == [1, 1]
    assert found.boxes.tolist() == [[3, 4, 4, 5], [0, 0, 2, 3]]
    assert np.array_equal(found.masks, regions().masks[[2, 0]])
    assert np.array_equal(found.without, regions().without[[2, 0]])


def test_select_takes_booleans():
    everything = regions()
    assert_equal(everything.select(everything.label == 1), everything.select([0, 2]))


def test_select_without_counterfactuals_has_none():
    assert regions(without=None).select([1]).without is None


@pytest.mark.parametrize("changes", [{}, {"without": None}], ids=["generated", "real"])
def test_nothing_can_be_selected_and_saved(tmp_path, changes):
    nothing = regions(**changes).select(np.zeros(3, bool))
    assert len(nothing) == 0
    assert nothing.box_masks().shape == (0, 1, 4, 5)
    nothing.save(tmp_path / "a.npz")
    assert_equal(Regions.load(tmp_path / "a.npz"), nothing)


def test_the_length_is_the_number_of_entries():
    assert len(regions()) == 3


def test_counterfactuals_are_the_stored_pixels_over_255():
    found = regions()
    images = found.counterfactuals()
    assert images.dtype == torch.float32
    assert images.shape == (3, 2, 4, 5)
    assert torch.equal(images, torch.from_numpy(found.without).float() / 255)


def test_changing_the_counterfactuals_leaves_the_regions_alone():
    found = regions()
    found.counterfactuals().zero_()
    assert np.array_equal(found.without, regions().without)


def test_real_data_have_no_counterfactuals():
    with pytest.raises(ValueError, match="these regions have no counterfactual images: only generated data have them"):
        regions(without=None).counterfactuals()


# what is refused


@pytest.mark.parametrize("part", ["label", "boxes", "masks", "without"])
def test_parts_of_different_lengths_are_refused(part):
    with pytest.raises(ValueError, match=rf"^{part} has 2 entries, expected 3 as image has$"):
        regions(**{part: getattr(regions(), part)[:2]})


@pytest.mark.parametrize(
    "box",
    [
        (-1, 0, 2, 3),
        (0, -1, 2, 3),
        (2, 0, 2, 3),
        (3, 0, 2, 3),
        (0, 3, 2, 3),
        (0, 4, 2, 3),
        (0, 0, 5, 3),
        (0, 0, 2, 6),
    ],
)
def test_a_box_outside_the_image_or_without_area_is_named(box):
    boxes = BOXES.copy()
    boxes[1] = box
    shown = ", ".join(map(str, box))
    expected = rf"^box 1 is \({shown}\), expected top < bottom and left < right inside 4×5$"
    with pytest.raises(ValueError, match=expected):
        regions(boxes=boxes)


def test_an_empty_mask_is_named_with_its_image():
    masks = regions().masks.copy()
    masks[2] = False
    with pytest.raises(ValueError, match=r"^region 2 \(image 7\) is empty, expected at least one pixel$"):
        regions(masks=masks)
