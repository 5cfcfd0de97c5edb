import numpy as np
import pytest
import torch

from aecompanion.studies import shifts

MAPS = {
    "stage2/0": np.zeros((2, 4, 4), np.float32),
    "stage2/0.05": np.ones((2, 4, 4), np.float32),
    "stage1/0": np.zeros((2, 8, 8), np.float32),
}


def test_maps_are_read_as_they_were_written_one_file_per_network(tmp_path):
    shifts.save(tmp_path, "vgg", 3, MAPS)
    assert [file.name for file in tmp_path.iterdir()] == ["vgg_3.npz"]
    found = shifts.load(tmp_path, "vgg", 3)
    assert list(found) == list(MAPS)
    assert all(np.array_equal(found[name][:, 0].numpy(), each) for name, each in MAPS.items())


def test_the_files_are_uncompressed_arrays_in_the_order_given(tmp_path):
    shifts.save(tmp_path, "vgg", 3, MAPS)
    np.savez(tmp_path / "by_hand.npz", **MAPS)
    assert (tmp_path / "vgg_3.npz").read_bytes() == (tmp_path / "by_hand.npz").read_bytes()


def test_maps_that_are_missing_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="the heatmaps of resnet 1"):
        shifts.load(tmp_path, "resnet", 1)


def test_stages_are_listed_once_in_their_order():
    assert shifts.stages(MAPS) == ["stage2", "stage1"]


def test_the_maps_of_a_stage_are_found_by_their_level():
    maps = {name: torch.from_numpy(each) for name, each in MAPS.items()}
    assert shifts.at(maps, "stage2", 0.0) is maps["stage2/0"]
    assert shifts.at(maps, "stage2", 0.05) is maps["stage2/0.05"]
