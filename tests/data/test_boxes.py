from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from aecompanion.data.boxes import Annotated, Object, prepared_mask, prepared_masks, regions, shares
from aecompanion.data.pixels import read_image
from aecompanion.data.regions import Regions, bounding_box


def filled(top, left, bottom, right, shape=(32, 32)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


# one object


@pytest.mark.parametrize(
    ("box", "shape", "expected"),
    [
        ((0, 0, 64, 64), (64, 64), (0, 0, 32, 32)),
        ((10, 20, 30, 50), (64, 64), (5, 10, 15, 25)),
        ((0, 0, 64, 128), (64, 128), (0, 0, 32, 32)),  # clipped on both sides
        ((8, 40, 24, 72), (64, 128), (4, 4, 12, 20)),  # landscape: 32 columns are cut off on the left
        ((40, 8, 72, 24), (128, 64), (4, 4, 20, 12)),  # portrait
        ((0, 0, 8, 40), (64, 128), (0, 0, 4, 4)),  # begins outside the crop
        ((0, 0, 10, 10), (16, 17), (0, 0, 20, 19)),  # half a column is cut off: 9.5 of 16
        ((31, 31, 32, 32), (64, 64), (15, 15, 16, 16)),  # a quarter of a pixel
        ((0, 20.9, 64, 21.1), (64, 64), (0, 10, 32, 11)),  # thin: a tenth of every pixel of a column
        ((3, 3, 61, 61), (64, 64), (1, 1, 31, 31)),  # 1.5 to 30.5: half a pixel counts
        ((2.9, 3.1, 61.1, 60.9), (64, 64), (1, 2, 31, 30)),  # a little more and a little less than half
    ],
)
def test_a_box_is_scaled_cropped_and_clipped(box, shape, expected):
    assert np.array_equal(prepared_mask(box, shape, 32) & ~corners(expected), filled(*expected) & ~corners(expected))
    assert bounding_box(prepared_mask(box, shape, 32)) == expected


def corners(box):
    """The corner pixels of a box above one pixel: half a row and half a column are a quarter of a pixel."""
    top, left, bottom, right = box
    mask = np.zeros((32, 32), bool)
    if min(bottom - top, right - left) > 1:
        mask[np.ix_([top, bottom - 1], [left, right - 1])] = True
    return mask


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ((0, 96, 64, 128), (64, 128)),  # begins where the crop ends
        ((0, 0, 64, 32), (64, 128)),  # ends where the crop begins
        ((96, 0, 128, 64), (128, 64)),
        ((0, 0, 32, 64), (128, 64)),
        ((0, 0, 64, 32 + 1e-9), (64, 128)),  # ends there but for rounding
    ],
)
def test_a_box_outside_the_crop_leaves_nothing(box, shape):
    assert not prepared_mask(box, shape, 32).any()


@pytest.mark.parametrize("shape", [(48, 48), (48, 75), (75, 48), (20, 31)])
def test_the_mask_of_a_filled_box_is_reduced_as_the_box_is(shape):
    rng = np.random.default_rng(0)
    for _ in range(20):
        top, bottom = sorted(rng.choice(shape[0] + 1, 2, replace=False).tolist())
        left, right = sorted(rng.choice(shape[1] + 1, 2, replace=False).tolist())
        other = (0, 0, *shape)  # the mask wins over the box
        mask = filled(top, left, bottom, right, shape)
        assert np.array_equal(
            prepared_mask(other, shape, 32, mask=mask), prepared_mask((top, left, bottom, right), shape, 32)
        )


def test_a_mask_keeps_the_pixels_that_it_covers_at_least_half():
    mask = np.zeros((4, 8), np.uint8)
    mask[:, 2:6] = [[1, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert prepared_mask((0, 0, 4, 8), (4, 8), 2, mask=mask).tolist() == [[True, False], [False, True]]
    assert prepared_mask((0, 0, 4, 8), (4, 8), 4, mask=mask).tolist() == mask[:, 2:6].astype(bool).tolist()


def test_a_mask_below_half_a_pixel_keeps_what_it_covers_most():
    mask = np.zeros((8, 8), bool)
    mask[1, 1] = mask[6, 4:7] = True  # shares of 1, 2 and 1 sixteenths
    assert prepared_mask((0, 0, 8, 8), (8, 8), 2, mask=mask).tolist() == [[False, False], [False, True]]
    mask[6, 5:7] = False
    assert prepared_mask((0, 0, 8, 8), (8, 8), 2, mask=mask).tolist() == [[True, False], [False, True]]


def test_without_a_mask_or_with_an_empty_one_the_box_is_filled():
    box = (2, 4, 6, 8)
    for mask in (None, np.zeros((8, 8), bool)):
        assert np.array_equal(prepared_mask(box, (8, 8), 8, mask=mask), filled(*box, (8, 8)))


def test_shares_of_intervals_that_fill_a_side_sum_to_whole_pixels():
    covered = shares(np.arange(76), side=75, short=48, size=32)
    assert covered.shape == (75, 32)
    assert np.allclose(covered.sum(0), 1)
    assert np.allclose(covered[:13].sum(), 0)  # 13.5 are cut off
    assert np.isclose(covered[13].sum(), 32 / 48 / 2)


# one image


def photograph(file, box, shape, orientation):
    """White where the box is in stored pixels, black elsewhere."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(filled(*box, shape).astype(np.uint8) * 255).save(file, exif=exif)
    return Annotated(file, Path("notes.json"), shape, [Object(0, box)], Counter())


@pytest.mark.parametrize("shape", [(64, 64), (48, 96), (96, 48)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_mask_is_where_the_object_is_in_the_prepared_image(tmp_path, shape, orientation):
    """Boxes speak of stored pixels; read_image turns the image by its EXIF orientation."""
    image = photograph(tmp_path / "a.png", (30, 24, 36, 42), shape, orientation)
    bright = read_image(image.file, channels=1, size=32)[0] > 127
    assert 20 < bright.sum() < 200
    assert np.array_equal(prepared_masks(image, 32)[0], bright)


def test_a_drawn_mask_is_turned_too(tmp_path):
    image = photograph(tmp_path / "a.png", (30, 24, 36, 42), (48, 96), 6)
    drawn = Object(0, (0, 0, 48, 96), lambda: filled(30, 24, 36, 42, (48, 96)))
    image.objects[:] = [drawn]
    assert np.array_equal(prepared_masks(image, 32)[0], read_image(image.file, channels=1, size=32)[0] > 127)


def test_the_objects_of_a_class_are_one_mask_each_with_a_pixel_at_least(tmp_path):
    image = photograph(tmp_path / "a.png", (0, 0, 32, 32), (64, 64), 1)
    image.objects[:] = [Object(3, (0, 0, 20, 20)), Object(1, (8, 8, 16, 16)), Object(3, (63, 63, 64, 64))]
    masks = prepared_masks(image, 32)
    assert list(masks) == [1, 3]
    assert np.array_equal(masks[1], filled(4, 4, 8, 8))
    assert np.array_equal(masks[3], filled(0, 0, 10, 10) | filled(31, 31, 32, 32))


def test_a_file_of_another_size_than_annotated_is_named(tmp_path):
    file = photograph(tmp_path / "a.png", (0, 0, 4, 4), (20, 30), 6).file
    image = Annotated(file, Path("notes.json"), (30, 20), [], Counter())  # the size after turning
    with pytest.raises(ValueError, match=r"a\.png: stores 30×20 pixels, expected 20×30 as notes\.json says$"):
        prepared_masks(image, 8)


def test_no_pairs_are_no_regions_which_can_be_saved(tmp_path):
    regions([], 8).save(tmp_path / "regions.npz")
    found = Regions.load(tmp_path / "regions.npz")
    assert (len(found), found.masks.shape, found.boxes.shape) == (0, (0, 8, 8), (0, 4))
