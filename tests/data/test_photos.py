import numpy as np
import pytest
import torch
from PIL import Image

from lib import paths
from lib.data import photos, sources


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three photographs: the left half black, the right half of one colour; chelsea is 20×10, the others 10×10."""
    (tmp_path / "photos").mkdir()
    for module in (photos, paths):
        monkeypatch.setattr(module, "DATA", tmp_path)
    for name, width in {"chelsea.png": 20, "imagenet_01_559.png": 10, "imagenet_00_7.png": 10}.items():
        pixels = np.zeros((10, width, 3), np.uint8)
        pixels[:, width // 2 :] = 255, 51, 0
        file = tmp_path / "photos" / name
        Image.fromarray(pixels).save(file)
        if name != "chelsea.png":  # Pillow reads by content, so that the pixels stay exact under this suffix
            file.rename(file.with_suffix(".jpg"))
    return tmp_path


def test_the_names_are_chelsea_and_the_numbered_photographs_in_order(folder):
    (folder / "photos" / "other.jpg").touch()
    assert photos.names() == ["chelsea", "imagenet_00_7", "imagenet_01_559"]


@pytest.mark.parametrize(("name", "label"), [("chelsea", 285), ("imagenet_00_7", 7), ("imagenet_01_559", 559)])
def test_the_label_is_the_last_number_of_the_name_and_the_egyptian_cat_for_chelsea(folder, name, label):
    assert photos.photograph(name, size=4)[1] == label


def test_a_photograph_of_the_wanted_size_has_its_own_pixels_in_the_unit_interval(folder):
    image, _ = photos.photograph("imagenet_00_7", size=10)
    assert (image.shape, image.dtype) == ((1, 3, 10, 10), torch.float32)
    assert torch.equal(image[0, :, :, :5], torch.zeros(3, 10, 5))
    assert torch.equal(image[0, :, 0, 9], torch.tensor([1.0, 51 / 255, 0.0]))


def test_the_centre_of_a_wide_photograph_is_cut_out(folder):
    narrow, wide = (photos.photograph(name, size=10)[0] for name in ("imagenet_00_7", "chelsea"))
    assert torch.equal(wide, narrow)  # 20×10 with the edge in the middle, cut to 10×10 with the edge in the middle


def test_a_photograph_is_224_pixels_wide_unless_told_otherwise(folder):
    image, _ = photos.photograph("chelsea")
    assert image.shape == (1, 3, 224, 224)
    assert (image.min(), image.max()) == (0, 1)


def test_an_unknown_name_is_an_error_that_lists_the_names(folder):
    expected = "^photograph 'chelsey' is unknown, expected one of: chelsea, imagenet_00_7, imagenet_01_559$"
    with pytest.raises(ValueError, match=expected):
        photos.photograph("chelsey")


@pytest.mark.parametrize("name", ["chelsea", "imagenet_00_7"])
def test_while_data_is_empty_the_error_says_how_to_fill_it(folder, name):
    for file in (folder / "photos").iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match=r"^data/photos/chelsea\.png is missing: `make data` copies it"):
        photos.photograph(name)


def test_the_packages_ship_chelsea_and_twenty_labelled_photographs(tmp_path, monkeypatch):
    for module in (photos, paths):
        monkeypatch.setattr(module, "DATA", tmp_path)
    shipped = [source for source in sources.manifest() if source.path.startswith("photos/")]
    monkeypatch.setattr(sources, "manifest", lambda: shipped)
    sources.fill(tmp_path)
    names = photos.names()
    assert len(names) == 21
    for name in names:
        image, label = photos.photograph(name, size=16)
        assert image.shape == (1, 3, 16, 16)
        assert 0 <= image.min() < image.max() <= 1
        assert 0 <= label < 1000
