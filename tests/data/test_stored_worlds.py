import numpy as np
import pytest

from aecompanion.data.mosaics import Mosaics
from aecompanion.data.stored_worlds import StoredWorld, load, save
from aecompanion.data.worlds import Part, Picture


def hand_made() -> StoredWorld:
    """Two pictures with one and two parts, of two fillings each."""
    rng = np.random.default_rng(0)
    masks = rng.random((3, 5, 5)) < 0.5
    images = rng.integers(0, 256, (2, 1, 5, 5), dtype=np.uint8)
    without = rng.integers(0, 256, (3, 2, 1, 5, 5), dtype=np.uint8)
    parts = [Part("a", 1, masks[0]), Part("marker", -1, masks[1]), Part("b", 0, masks[2])]
    first = Picture("one", images[0], tuple(parts[:1]), without[:1])
    second = Picture("two", images[1], tuple(parts[1:]), without[1:])
    return StoredWorld("drawn", ["x", "y"], 1, 5, True, (first, second))


MOSAICS = Mosaics(
    np.random.default_rng(0).integers(0, 256, (9, 3, 4, 4), dtype=np.uint8), np.arange(9), list("abcdefghi"), count=3
)


@pytest.mark.parametrize("world", [hand_made(), MOSAICS], ids=["hand made", "mosaics"])
def test_a_stored_world_comes_back_bit_for_bit(world, tmp_path):
    save(world, tmp_path / "world.npz")
    found = load(tmp_path / "world.npz")
    for fact in ("name", "classes", "channels", "size", "multi_label"):
        assert getattr(found, fact) == getattr(world, fact)
        assert type(getattr(found, fact)) is type(getattr(world, fact))
    assert len(found) == len(world)
    for index in range(len(world)):
        one, other = world.picture(index), found.picture(index)
        assert one.name == other.name
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.without, other.without)
        assert np.array_equal(one.masks, other.masks)
        assert [(p.name, p.label) for p in one.parts] == [(p.name, p.label) for p in other.parts]
    with pytest.raises(IndexError, match=f"index is {len(world)}"):
        found.picture(len(world))


def test_two_writings_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save(hand_made(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
