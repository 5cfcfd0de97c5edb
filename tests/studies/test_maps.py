import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.data.regions import Regions
from aecompanion.explain.methods import Explained
from aecompanion.pipeline.rng import generator
from aecompanion.studies import maps
from aecompanion.studies.masks import score

KEY = ("voc", "vgg", 1)


def drawn(count: int, number: int) -> torch.Tensor:
    return torch.rand(count, 1, 16, 16, generator=generator(5, number))


def masked(count: int, number: int) -> Explained:
    map_ = drawn(count, number)
    return Explained(map_, 1 - map_, torch.arange(count) == 0)


@pytest.fixture
def found():
    """Three pairs by RP and Grad-CAM, the first two of them by T as well."""
    return {"RP": masked(3, 1), "Grad-CAM": Explained(drawn(3, 2)), "T": masked(2, 3)}


@pytest.fixture
def pairs():
    boxes = np.array([[1, 1, 5, 5], [2, 2, 4, 9], [0, 3, 7, 8]])
    masks = np.zeros((3, 16, 16), bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return Regions(np.array([4, 4, 7]), np.array([0, 1, 0]), boxes, masks)


def same(one: Explained, other: Explained) -> bool:
    fields = [(getattr(one, name), getattr(other, name)) for name in ("maps", "mask", "stuck")]
    return all(a is b is None or (a is not None and b is not None and torch.equal(a, b)) for a, b in fields)


def test_what_is_saved_is_loaded(tmp_path, found, pairs):
    maps.save(tmp_path / "maps", {KEY: found}, {KEY[:2]: pairs}, strength=0.125, settings={"side": 16})
    part, read, strength = maps.load(tmp_path / "maps", KEY)
    assert list(read) == ["RP", "Grad-CAM", "T"]
    assert all(same(read[name], found[name]) for name in found)
    assert (part.image.tolist(), part.label.tolist(), strength) == ([4, 4, 7], [0, 1, 0], 0.125)
    assert maps.shared_settings(tmp_path / "maps") == {"side": 16}
    assert maps.keys(tmp_path / "maps", ["voc"]) == [KEY]


def test_the_arrays_of_a_file_stand_in_a_fixed_order_and_are_not_compressed(tmp_path, found, pairs):
    maps.save(tmp_path / "maps", {KEY: found}, {KEY[:2]: pairs}, strength=0.125, settings={"side": 16})
    by_hand = {f"map:{name}": each.maps.numpy() for name, each in found.items()}
    by_hand |= {f"stuck:{name}": found[name].stuck.numpy() for name in ("RP", "T")} | {"strength": np.array(0.125)}
    np.savez(tmp_path / "by_hand.npz", **by_hand)
    assert (tmp_path / "maps" / "voc_vgg_1.npz").read_bytes() == (tmp_path / "by_hand.npz").read_bytes()


def test_maps_that_are_missing_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="the maps of resnet 2 on coco"):
        maps.load(tmp_path, ("coco", "resnet", 2))


def test_networks_are_listed_by_data_family_and_number_of_the_seed(tmp_path):
    stems = ["coco_vgg_2", "voc_other_1", "voc_resnet_1", "voc_vgg_10", "voc_vgg_2", "voc_vgg_pairs", "voc_googlenet_1"]
    for stem in stems:
        (tmp_path / f"{stem}.npz").touch()
    order = [("vgg", 2), ("vgg", 10), ("googlenet", 1), ("resnet", 1), ("other", 1)]
    assert maps.keys(tmp_path, ["voc", "coco"]) == [*(("voc", *each) for each in order), ("coco", "vgg", 2)]


def test_chunks_are_joined_to_what_they_were_cut_from(found):
    parts = [maps.select(found, np.arange(2)), maps.select(found, np.array([2]))]
    assert [list(part) for part in parts] == [["RP", "Grad-CAM", "T"], ["RP", "Grad-CAM"]]
    together = maps.joined(parts)
    assert list(together) == list(found)
    assert all(same(together[name], found[name]) for name in found)


def test_every_method_of_a_chunk_is_scored_with_the_area_of_rps_masks(found, pairs):
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 2))
    model.card = {"multi_label": False}
    images, target = drawn(3, 4), torch.from_numpy(pairs.label)
    given = (model, images, target, torch.zeros_like(images), pairs.box_masks())
    methods = {name: found[name] for name in ("RP", "Grad-CAM")}
    rows, curves = maps.scored(*given, methods, keys=[5, 6, 7], seed=3, facts={"data": "voc"})
    areas = (1 - found["RP"].mask).flatten(1).mean(1)
    for name, each in methods.items():
        expected, curve = score(*given, each, areas=areas, keys=[5, 6, 7], seed=3)
        expected = expected.assign(data="voc", pair=[5, 6, 7], method=name)
        pd.testing.assert_frame_equal(rows[rows["method"] == name], expected)
        assert torch.equal(curves[name], curve)
