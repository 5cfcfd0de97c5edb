import re

import numpy as np
import pytest
import torch
from PIL import Image

from aecompanion.data import imagenet
from aecompanion.networks.efficientnet_lite import imagenet_classes

NAMES = [f"class {number}" for number in range(1000)]
TENCH, SHARK = "n01440764", "n01484850"


@pytest.fixture
def root(tmp_path):
    for wnid, grey in ((TENCH, 10), (SHARK, 200)):
        folder = tmp_path / "val" / wnid
        folder.mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (40, 30), (grey, grey, grey)).save(folder / f"{number}.png")
    return tmp_path


def read(root, **options):
    return imagenet.folder(root, **{"size": 32, "names": NAMES} | options)


def test_the_embedded_set_is_twenty_photographs_with_the_class_of_their_name():
    data = imagenet.embedded(size=64, names=imagenet_classes())
    assert data.images.shape == (20, 3, 64, 64)
    assert data.labels[:3].tolist() == [243, 559, 438]
    assert data.classes[243] == "bull mastiff"
    assert len(data.indices("test")) == 20


def test_a_folder_without_a_table_is_read_by_the_order_of_the_thousand_synsets(root):
    data = read(root)
    assert data.labels.tolist() == [0, 0, 2, 2]
    assert (data.images[:2] == 10).all()
    assert (data.images[2:] == 200).all()
    assert data.counts == {"images": 4, "classes shown": 2, "unreadable": 0}


def test_the_synsets_may_lie_in_the_folder_itself(root):
    assert read(root / "val").labels.tolist() == [0, 0, 2, 2]


def test_the_table_of_classes_goes_first(root):
    (root / "classes.csv").write_text(f"index,wnid,name\n7,{TENCH},a\n9,{SHARK},b\n")
    assert read(root).labels.tolist() == [7, 7, 9, 9]


def test_a_limit_is_an_even_spread(root):
    assert read(root, limit=2).labels.tolist() == [0, 2]


def test_an_unreadable_file_is_named_or_counted(root):
    (root / "val" / TENCH / "0.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"0\.png: cannot be read"):
        read(root)
    assert read(root, unreadable="skip").counts == {"images": 3, "classes shown": 2, "unreadable": 1}


def test_folders_that_are_no_synsets_and_empty_ones_are_one_sentence(root, tmp_path):
    (root / "val" / "dogs").mkdir()
    Image.new("RGB", (40, 30)).save(root / "val" / "dogs" / "a.png")
    with pytest.raises(ValueError, match=r"dogs is no synset of the 1000 classes"):
        read(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: holds no images"):
        read(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"gone: no such folder"):
        read(tmp_path / "gone")


@pytest.mark.parametrize("table", ["wnid,name\nn1,a\n", "index,wnid\n1000,n1\n", "index,wnid\nx,n1\n", "index,wnid\n"])
def test_a_table_without_indices_is_one_sentence(root, table):
    (root / "classes.csv").write_text(table)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(root))}/classes\.csv: expected"):
        read(root)


def test_only_images_that_every_network_names_right_are_kept():
    said = {"a": torch.tensor([1, 2, 3, 4]), "b": torch.tensor([1, 0, 3, 0])}
    assert np.array_equal(imagenet.right_by_all(said, torch.tensor([1, 2, 3, 3])), [0, 2])
    with pytest.raises(ValueError, match="none of 1 images is named right by all 1 networks"):
        imagenet.right_by_all({"a": torch.tensor([1])}, torch.tensor([2]))
