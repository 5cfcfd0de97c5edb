"""Sizes of folders that are there and of published sets that are not."""

import pytest

from aecompanion.data import lungs, sizes


def test_a_folder_that_is_not_there_has_its_published_size():
    found = sizes.from_folder("public/chestxray14", "chest_data.root", channels=1, size=224)
    assert (found.count, found.lazy) == (112_120, True)
    some = sizes.from_folder("public/vggface2", "faces_data.root", channels=3, size=224, classes=100)
    assert (some.count, some.classes) == (36_250, 100)
    assert sizes.from_folder("public/VOC", "scenes_data.voc_root", channels=3, size=300, limit=50).count == 50
    assert len(lungs.FINDINGS) == sizes.FINDINGS


@pytest.mark.parametrize(
    ("root", "per_class", "expected"),
    [
        ("public/cifar10", None, (45_000, 5_000, 10_000)),
        ("public/cifar10", 200, (1_800, 200, 2_000)),  # 200 of each of ten classes in train/, a tenth of them taken out
        ("public/cifar10", 2_000, (18_000, 2_000, 10_000)),
        ("public/orl_faces", 5, (160, 20, 20)),  # 5 of each of 40 people, then split
    ],
)
def test_a_limit_is_per_class_and_part_of_the_folder(root, per_class, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(sizes, "ROOT", tmp_path)  # no such folder: published sizes
    found = sizes.from_folder(root, "photos_data.root", channels=3, size=32, per_class=per_class)
    assert (found.train, found.validation, found.test) == expected


def test_a_folder_that_is_there_is_counted(tmp_path):
    for number in range(10):
        (tmp_path / f"class{number % 2}").mkdir(exist_ok=True)
        (tmp_path / f"class{number % 2}" / f"{number}.png").touch()
    found = sizes.from_folder(str(tmp_path), "faces_data.root", channels=1, size=64)
    assert (found.train, found.validation, found.test, found.classes, found.lazy) == (8, 1, 1, 2, False)


def test_a_folder_that_nobody_knows_is_a_sentence_that_names_the_parameter():
    with pytest.raises(ValueError, match=r"^faces_data\.root is 'mine': expected a folder on disk, or one named"):
        sizes.from_folder("mine", "faces_data.root", channels=1, size=64)


def test_bytes_by_hand():
    packed = sizes.Images(train=8, validation=1, test=1, classes=2, channels=3, size=4, regions=2)
    assert (packed.float, packed.disk) == (4 * 48, 10 * 48 + 2 * 16 / 8)
    large = sizes.Images(10**6, 0, 0, 2, 3, 224, folder=True)
    assert (large.lazy, large.disk) == (True, 10**8)
