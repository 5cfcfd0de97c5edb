import numpy as np
import pytest
import torch

from aecompanion.data.dataset import Dataset
from aecompanion.data.mosaics import Mosaics, of_dataset

CLASSES = [f"class {number}" for number in range(40)]
FLAT = np.arange(0, 240, 10, dtype=np.uint8)[:, None, None, None] * np.ones((24, 3, 4, 4), np.uint8)
LABELS = np.arange(24) // 2 + 20  # two photographs of each class


def mosaics(**options) -> Mosaics:
    """Of one grey level per photograph."""
    return Mosaics(FLAT, LABELS, CLASSES, **({"seed": 3, "count": 50} | options))


@pytest.mark.parametrize("grid", [2, 3])
def test_cells_are_different_classes_and_fillings_others(grid):
    world = mosaics(grid=grid, fillings=3)
    for index in range(50):
        cells, fillings = world.drawn(index)
        assert len(set(LABELS[cells])) == grid**2
        assert fillings.shape == (grid**2, 2)
        assert not set(LABELS[fillings].ravel()) & set(LABELS[cells])
        assert all(len(set(each)) == 2 for each in fillings)
        assert np.array_equal(world.members(index), cells)


@pytest.mark.parametrize(("grid", "apart"), [(2, 3), (3, 1)])
def test_mosaics_of_a_round_share_no_class_and_rounds_differ(grid, apart):
    world = mosaics(grid=grid, fillings=3)
    assert world.apart == apart
    rounds = []
    for start in range(0, 45, apart):
        shown = np.concatenate([world.members(index) for index in range(start, start + apart)])
        assert len(set(LABELS[shown])) == len(shown) == apart * grid**2
        rounds.append(tuple(shown))
    assert len(set(rounds)) == len(rounds)


def test_a_mosaic_worked_by_hand():
    world = mosaics(fillings=3)
    (a, b, c, d), fillings = world.drawn(0)
    picture = world.picture(0)
    assert [part.name for part in picture.parts] == ["top left", "top right", "bottom left", "bottom right"]
    assert [part.label for part in picture.parts] == LABELS[[a, b, c, d]].tolist()
    assert np.array_equal(picture.image[0, ::4, ::4], 10 * np.array([[a, b], [c, d]]))
    assert np.array_equal(np.argwhere(picture.parts[1].mask)[[0, -1]], [[0, 4], [3, 7]])
    assert np.array_equal(picture.without[2, :, 1, 4, 0], [*(10 * fillings[2]), 10 * c])  # the mean of one grey is it
    assert picture.without.shape == (4, 3, 3, 8, 8)


def test_the_last_filling_is_the_mean_colour_of_the_cell():
    photographs = np.random.default_rng(0).integers(0, 256, (24, 3, 4, 4), dtype=np.uint8)
    world = Mosaics(photographs, LABELS, CLASSES, seed=1)
    cell = world.members(5)[3]
    filled = world.picture(5).without[3, -1, :, 4:, 4:]
    assert np.array_equal(filled, np.broadcast_to(filled[:, :1, :1], filled.shape))
    assert np.abs(filled[:, 0, 0] - photographs[cell].mean((1, 2))).max() <= 0.5


def test_photographs_come_about_equally_often_and_seeds_give_other_mosaics():
    world = mosaics(count=600)
    often = np.bincount(np.concatenate([world.members(index) for index in range(600)]), minlength=24)
    assert often.sum() == 2400
    assert np.abs(often - 100).max() < 4.5 * np.sqrt(100 * 5 / 6)
    other = mosaics(seed=4)
    assert any(not np.array_equal(world.members(index), other.members(index)) for index in range(5))


def test_those_of_a_data_set_are_halved():
    images = np.random.default_rng(0).integers(0, 256, (24, 3, 8, 8), dtype=np.uint8)
    split = np.array(["test"] * 24, object)
    dataset = Dataset(torch.from_numpy(LABELS), split, CLASSES, "noise", 3, 8, images=images)
    used = np.arange(1, 24)
    world = of_dataset(dataset, used, seed=2)
    assert (world.size, world.photographs.shape) == (8, (23, 3, 4, 4))
    assert np.array_equal(world.labels, LABELS[1:])
    whole = images[1, 0, :2, :2].mean()
    assert abs(int(world.photographs[0, 0, 0, 0]) - whole) <= 0.5


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"grid": 4}, "grid is 4, expected 2 or 3"),
        ({"fillings": 1}, "fillings is 1, expected at least 2"),
        ({"grid": 3, "fillings": 5}, "the photographs show 12 classes, expected at least 13: 9 cells and 4 fillings"),
    ],
)
def test_mosaics_that_cannot_be_made_are_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        mosaics(**options)
    with pytest.raises(ValueError, match="labels are 3, expected 24"):
        Mosaics(FLAT, LABELS[:3], CLASSES)
