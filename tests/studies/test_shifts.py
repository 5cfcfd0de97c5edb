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


# ---- the most typical face


def test_a_typical_image_looks_like_the_mean_of_its_label_whatever_its_brightness_and_contrast():
    ramp = torch.arange(16.0).reshape(1, 4, 4)
    images = torch.stack([ramp, 0.5 * ramp + 3, ramp.flip(1), ramp, -ramp])
    found = shifts.typical(images, np.array([7, 7, 7, 2, 2]))
    assert found[0].item() == pytest.approx(found[1].item(), abs=1e-6)
    assert found[0] > found[2]
    assert found[:2].min() > 0.6
    # by hand: from row to row the three images rise by 4, 2 and -4, from column to column by 1, 0.5 and 1
    rows, columns = 2 / 3, 2.5 / 3
    expected = (4 * rows + columns) / ((4**2 + 1) * (rows**2 + columns**2)) ** 0.5
    assert found[0].item() == pytest.approx(expected, abs=1e-5)


def test_a_flat_image_has_no_correlation_and_an_image_alone_is_its_own_mean():
    images = torch.stack([torch.full((1, 4, 4), 0.5), torch.arange(16.0).reshape(1, 4, 4)])
    found = shifts.typical(images, np.array([0, 1]))
    assert torch.isnan(found[0])
    assert found[1].item() == pytest.approx(1, abs=1e-6)


def test_every_image_needs_a_label():
    with pytest.raises(ValueError, match=r"^1 labels, expected one for each of 2 images$"):
        shifts.typical(torch.rand(2, 1, 4, 4), np.array([0]))
