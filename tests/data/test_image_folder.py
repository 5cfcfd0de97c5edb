import os
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from aecompanion.data import image_folder as module
from aecompanion.data.dataset import Dataset, split_by_sample
from aecompanion.data.image_folder import image_folder
from aecompanion.data.pixels import read_image
from aecompanion.pipeline.paths import ROOT

SHARED = ROOT.parent / "shared" / "data"  # real data sets, outside the project

SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in Python 3.11.0 to 3.11.3


def fill(folder, number, *, shape=(8, 8), suffix="png", first=0):
    """`number` grey images whose pixels depend on their path, so that no two are alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + number):
        rng = np.random.default_rng(list(f"{folder.parent.name}/{folder.name}/{i}".encode()))
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{i}.{suffix}")


def layout(root, **parts):
    """`layout(root, train={"ann": 3})` writes three images below root/train/ann."""
    for part, numbers in parts.items():
        for name, number in numbers.items():
            fill(root / part / name, number)
    return root


def labels(dataset: Dataset, split: str) -> list[int]:
    return dataset.labels[dataset.indices(split)].tolist()


def pixels(dataset: Dataset, split: str) -> set[bytes]:
    return {dataset.images[i].tobytes() for i in dataset.indices(split)}


def on_disk(*folders, size: int = 8) -> set[bytes]:
    """Pixels of every image in these folders."""
    return {
        read_image(file, channels=1, size=size).tobytes()
        for folder in folders
        for file in folder.rglob("*")
        if file.suffix.lower() in module.SUFFIXES
    }


# a folder per class


@pytest.fixture
def root(tmp_path):
    """Three classes in three formats, four 40×30 images each, and files that are not images."""
    for name, suffix in (("zoe", "jpg"), ("ann", "png"), ("bob", "PGM")):
        fill(tmp_path / "faces" / name, 4, shape=(40, 30), suffix=suffix)
    (tmp_path / "faces" / "zoe" / "notes.txt").write_text("not an image")
    (tmp_path / "faces" / "README").write_text("not a class")
    return tmp_path / "faces"


def test_the_classes_are_the_folder_names_in_order(root):
    dataset = image_folder(root, size=24)
    assert dataset.classes == ["ann", "bob", "zoe"]
    assert dataset.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert dataset.counts == {"classes": 3, "images": 12, "unreadable": 0}
    assert dataset.source == "image folder faces: 3 classes"


@pytest.mark.parametrize("channels", [1, 3])
def test_jpg_png_and_pgm_files_are_read(root, channels):
    dataset = image_folder(str(root), size=24, channels=channels)
    assert dataset.images.shape == (12, channels, 24, 24)
    for i, file in ((0, "ann/0.png"), (5, "bob/1.PGM"), (11, "zoe/3.jpg")):
        assert np.array_equal(dataset.images[i], read_image(root / file, channels=channels, size=24))


def test_an_image_is_64_pixels_wide_and_grey_unless_told_otherwise(root):
    dataset = image_folder(root)
    assert (dataset.images.shape, dataset.channels, dataset.size) == ((12, 1, 64, 64), 1, 64)


def test_without_a_train_folder_each_class_is_split_by_sample(root):
    dataset = image_folder(root, size=24, seed=3)
    assert dataset.split.tolist() == split_by_sample(dataset.labels.numpy(), 3).tolist()
    for split in ("train", "validation", "test"):
        assert set(labels(dataset, split)) == {0, 1, 2}


def test_images_deeper_below_a_class_belong_to_it(root):
    fill(root / "bob" / "more" / "still", 2)
    dataset = image_folder(root, size=8)
    assert torch.bincount(dataset.labels).tolist() == [4, 6, 4]


def test_classes_keeps_the_first_folders(root):
    dataset = image_folder(root, size=24, classes=2)
    assert dataset.classes == ["ann", "bob"]
    assert torch.bincount(dataset.labels).tolist() == [4, 4]


def test_progress_sees_every_image_once(root):
    seen = []
    image_folder(root, size=8, progress=lambda items: seen.extend(items) or items)
    assert len(seen) == 12


def test_a_large_set_stays_on_disk_and_gives_the_same_batches(root, monkeypatch):
    packed = image_folder(root, size=24)
    monkeypatch.setattr(module, "PACK_LIMIT", 12 * 24 * 24 - 1)
    lazy = image_folder(root, size=24)
    assert (packed.files, lazy.images) == (None, None)
    assert np.array_equal(lazy.split, packed.split)
    assert torch.equal(lazy.batch(range(12)), packed.batch(range(12)))


def test_a_set_of_exactly_the_limit_is_packed(root, monkeypatch):
    monkeypatch.setattr(module, "PACK_LIMIT", 12 * 24 * 24)
    assert image_folder(root, size=24).images is not None


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder, expected one folder per class in it"):
        image_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("part", [".", "train"])
def test_a_folder_without_images_is_refused(tmp_path, part):
    (tmp_path / part / "ann").mkdir(parents=True)
    with pytest.raises(ValueError, match=f"^{tmp_path}: holds no images, expected CLASS"):
        image_folder(tmp_path)


@pytest.mark.parametrize("content", [b"broken", b"P5\n40 30\nxx\n"])
def test_an_unreadable_image_is_named(root, content):
    (root / "bob" / "2.PGM").write_bytes(content)
    with pytest.raises(ValueError, match=r"bob/2\.PGM: cannot be read"):
        image_folder(root, size=24)


@pytest.mark.parametrize("limit", [module.PACK_LIMIT, 0])
def test_a_skipped_image_is_left_out_and_counted(root, monkeypatch, limit):
    whole = image_folder(root, size=24)
    monkeypatch.setattr(module, "PACK_LIMIT", limit)
    (root / "bob" / "2.PGM").write_bytes(b"broken")
    dataset = image_folder(root, size=24, unreadable="skip")
    assert dataset.counts == {"classes": 3, "images": 11, "unreadable": 1}
    kept = [i for i in range(12) if i != 6]
    assert torch.equal(dataset.labels, whole.labels[kept])
    assert torch.equal(dataset.batch(range(11)), whole.batch(kept))


def test_a_name_that_is_not_utf_8_is_refused_before_any_image_is_read(root, monkeypatch):
    (root / "ann" / "0.png").rename(os.fsdecode(os.fsencode(root) + b"/ann/caf\xe9.png"))
    monkeypatch.setattr(module, "readable", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"caf\\udce9.png': the name is not UTF-8"):
        image_folder(root)


def test_a_class_below_three_images_is_named(root):
    for i in (0, 1):
        (root / "zoe" / f"{i}.jpg").unlink()
    with pytest.raises(ValueError, match=r"faces/zoe: 2 readable image\(s\), expected at least 3 per class"):
        image_folder(root, size=24)


def test_skipping_does_not_leave_a_class_below_three(root):
    for i in (0, 1):
        (root / "ann" / f"{i}.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"ann: 2 readable image\(s\)"):
        image_folder(root, size=24, unreadable="skip")


def test_a_root_of_unreadable_images_only_is_refused(tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "0.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=rf"^{tmp_path}/ann: 0 readable image\(s\), expected at least 3 per class$"):
        image_folder(tmp_path, unreadable="skip")


def test_an_unknown_way_to_treat_unreadable_images_is_refused(root):
    with pytest.raises(ValueError, match="unreadable is 'ignore', expected 'error' or 'skip'"):
        image_folder(root, unreadable="ignore")


# train/ and test/ (CIFAR-10)


@pytest.fixture
def halves(tmp_path):
    """Classes of 20, 10 and 2 training images and two test images each."""
    sizes = {"ann": 20, "bob": 10, "zoe": 2}
    return layout(tmp_path / "halves", train=sizes, test=dict.fromkeys(sizes, 2))


def test_the_test_folder_is_the_test_split(halves):
    dataset = image_folder(halves, size=8)
    assert dataset.classes == ["ann", "bob", "zoe"]
    assert labels(dataset, "test") == [0, 0, 1, 1, 2, 2]
    assert pixels(dataset, "test") == on_disk(halves / "test")


def test_a_tenth_of_each_class_of_train_is_validation_and_at_least_one_image(halves):
    dataset = image_folder(halves, size=8)
    assert np.bincount(labels(dataset, "validation")).tolist() == [2, 1, 1]
    assert np.bincount(labels(dataset, "train")).tolist() == [18, 9, 1]
    assert pixels(dataset, "train") | pixels(dataset, "validation") == on_disk(halves / "train")


def test_the_validation_images_depend_on_the_seed_only(halves):
    first, second, other = (image_folder(halves, size=8, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.split, second.split)
    assert not np.array_equal(first.split, other.split)
    assert np.array_equal(first.split == "test", other.split == "test")


def test_another_class_does_not_change_the_validation_images_of_this_one(halves):
    alone, all_three = image_folder(halves, size=8, classes=1), image_folder(halves, size=8)
    of_ann = (all_three.labels == 0).numpy()
    assert np.array_equal(alone.split, all_three.split[of_ann])
    assert np.array_equal(alone.images, all_three.images[of_ann])


def test_two_classes_do_not_give_the_same_places_to_validation(tmp_path):
    layout(tmp_path, train={"ann": 40, "bob": 40}, test={"ann": 1, "bob": 1})
    dataset = image_folder(tmp_path, size=8)
    ann, bob = (dataset.split[(dataset.labels == label).numpy()] for label in (0, 1))
    assert not np.array_equal(ann, bob)


def test_validation_images_of_the_test_folder_leave_all_of_train_for_training(tmp_path):
    sizes = {"ann": 20, "bob": 30}
    folder = layout(tmp_path, train=dict.fromkeys(sizes, 4), test=sizes)
    dataset = image_folder(folder, size=8, validation="test")
    assert pixels(dataset, "train") == on_disk(folder / "train")
    assert np.bincount(labels(dataset, "validation")).tolist() == [2, 3]
    assert np.bincount(labels(dataset, "test")).tolist() == [18, 27]
    assert pixels(dataset, "test") | pixels(dataset, "validation") == on_disk(folder / "test")


def test_a_class_whose_only_test_image_would_be_validation_is_named(tmp_path):
    layout(tmp_path, train={"ann": 4, "bob": 4}, test={"ann": 1, "bob": 2})
    assert len(image_folder(tmp_path, size=8).indices("test")) == 3
    with pytest.raises(ValueError, match=r"test/ann: 1 readable image, expected none or at least 2 per class"):
        image_folder(tmp_path, size=8, validation="test")


def test_a_folder_with_val_keeps_its_own_validation_images(tmp_path):
    sizes = {"ann": 3, "bob": 3}
    layout(tmp_path, train=sizes, val=sizes, test=sizes)
    first, second = (image_folder(tmp_path, size=8, validation=each) for each in ("train", "test"))
    assert np.array_equal(first.split, second.split)


def test_classes_limits_every_part(halves):
    dataset = image_folder(halves, size=8, classes=2)
    assert dataset.classes == ["ann", "bob"]
    assert dataset.counts == {"classes": 2, "images": 34, "unreadable": 0}
    assert labels(dataset, "test") == [0, 0, 1, 1]


def test_a_large_set_in_parts_stays_on_disk_and_gives_the_same_batches(halves, monkeypatch):
    packed = image_folder(halves, size=8)
    monkeypatch.setattr(module, "PACK_LIMIT", 0)
    lazy = image_folder(halves, size=8)
    assert lazy.images is None
    assert np.array_equal(lazy.split, packed.split)
    assert torch.equal(lazy.batch(range(38)), packed.batch(range(38)))


def test_a_skipped_image_of_one_part_leaves_the_other_as_it_was(halves):
    whole = image_folder(halves, size=8)
    (halves / "test" / "bob" / "0.png").write_bytes(b"broken")
    dataset = image_folder(halves, size=8, unreadable="skip")
    assert dataset.counts == {"classes": 3, "images": 37, "unreadable": 1}
    assert labels(dataset, "test") == [0, 0, 1, 2, 2]
    for split in ("train", "validation"):
        assert pixels(dataset, split) == pixels(whole, split)


def test_a_class_that_cannot_give_a_validation_image_is_named(halves):
    (halves / "train" / "zoe" / "0.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"halves/train/zoe: 1 readable image\(s\), expected at least 2 per class"):
        image_folder(halves, size=8, unreadable="skip")


@pytest.mark.parametrize(
    "parts",
    [
        {"test": {"ann": 3, "eve": 3}},
        {"val": {"ann": 3, "eve": 3}},
        pytest.param(
            {"val": {"ann": 3, "eve": 3}, "test": {"ann": 3, "eve": 3}},
        ),
    ],
    ids=lambda parts: " and ".join(parts),
)
def test_a_class_that_train_has_not_is_named(tmp_path, parts):
    layout(tmp_path, train={"ann": 3, "bob": 3}, **parts)
    with pytest.raises(ValueError, match=r"train/eve: 0 readable image\(s\)"):
        image_folder(tmp_path, size=8)


@pytest.mark.parametrize("other", [None, "val", "test"])
def test_train_alone_is_refused(tmp_path, other):
    layout(tmp_path, train={"ann": 3, "bob": 3})
    if other:
        (tmp_path / other).mkdir()
    expected = f"^{tmp_path}: has train/ but neither val/ nor test/ with the same classes$"
    with pytest.raises(ValueError, match=expected):
        image_folder(tmp_path, size=8)


# train/ and val/, with or without test/ (ImageNet)


@pytest.fixture
def thirds(tmp_path):
    """Two classes; three training images, two of val/ and one of test/ each."""
    return layout(tmp_path, **{part: {"ann": n, "bob": n} for part, n in (("train", 3), ("val", 2), ("test", 1))})


def test_three_labelled_parts_are_the_three_splits(thirds):
    dataset = image_folder(thirds, size=8)
    for split, part, number in (("train", "train", 3), ("validation", "val", 2), ("test", "test", 1)):
        assert labels(dataset, split) == [0] * number + [1] * number
        assert pixels(dataset, split) == on_disk(thirds / part)


@pytest.mark.parametrize("unlabelled", [None, "", "images"], ids=["no test", "test", "test/images"])
def test_val_is_the_test_split_where_test_has_no_labels(thirds, unlabelled):
    for name in ("ann", "bob"):
        (thirds / "test" / name / "0.png").unlink()
        (thirds / "test" / name).rmdir()
    (thirds / "test").rmdir()
    if unlabelled is not None:
        fill(thirds / "test" / unlabelled, 5)
    dataset = image_folder(thirds, size=8)
    assert dataset.classes == ["ann", "bob"]
    assert pixels(dataset, "test") == on_disk(thirds / "val")
    assert labels(dataset, "validation") == [0, 1]
    assert labels(dataset, "train") == [0, 0, 1, 1]
    assert pixels(dataset, "train") | pixels(dataset, "validation") == on_disk(thirds / "train")


# Tiny-ImageNet


@pytest.fixture
def tiny(tmp_path):
    """Two classes of ten training images, and a table that gives five images of val/ to them, not in order."""
    root = tmp_path / "tiny"
    for name in ("n01", "n02"):
        fill(root / "train" / name / "images", 10, suffix="JPEG")
        (root / "train" / name / f"{name}_boxes.txt").write_text("0.JPEG\t0\t0\t7\t7\n")
    fill(root / "val" / "images", 5, suffix="JPEG")
    fill(root / "test" / "images", 5, suffix="JPEG")
    rows = [f"{i}.JPEG\t{name}\t0\t0\t7\t7\n" for i, name in enumerate(["n02", "n01", "n02", "n02", "n01"])]
    (root / "val" / "val_annotations.txt").write_text("".join(rows))
    return root


def test_the_table_of_tiny_imagenet_labels_its_val_folder(tiny):
    dataset = image_folder(tiny, size=8)
    assert dataset.classes == ["n01", "n02"]
    assert [len(dataset.indices(split)) for split in ("train", "validation", "test")] == [18, 2, 5]
    assert labels(dataset, "test") == [0, 0, 1, 1, 1]
    for i, number in zip(dataset.indices("test"), (1, 4, 0, 2, 3), strict=True):
        assert np.array_equal(
            dataset.images[i], read_image(tiny / "val" / "images" / f"{number}.JPEG", channels=1, size=8)
        )


def test_classes_limits_the_table_too(tiny):
    assert labels(image_folder(tiny, size=8, classes=1), "test") == [0, 0]


def test_an_image_that_only_the_table_has_is_named_or_skipped(tiny):
    (tiny / "val" / "images" / "4.JPEG").unlink()
    with pytest.raises(ValueError, match=r"val/images/4\.JPEG: cannot be read"):
        image_folder(tiny, size=8)
    dataset = image_folder(tiny, size=8, unreadable="skip")
    assert dataset.counts == {"classes": 2, "images": 24, "unreadable": 1}
    assert labels(dataset, "test") == [0, 1, 1, 1]


# real data


def unpacked(name, folder, wanted):
    """The members of an archive whose names start with one of `wanted`; skips the test where it is absent."""
    archive = SHARED / f"{name}.tar.xz"
    if not archive.exists():
        pytest.skip(f"{archive} is absent: real data sets are not part of the project")
    with tarfile.open(archive) as opened:
        members = [member for member in opened if member.name.startswith(wanted)]
        opened.extractall(folder, members, **SAFELY)
    return folder / name


def test_two_classes_of_cifar_10(tmp_path):
    parts = ("cifar10/train/airplane/", "cifar10/train/automobile/", "cifar10/test/airplane/", "cifar10/test/auto")
    dataset = image_folder(unpacked("cifar10", tmp_path, parts), size=32, channels=3, classes=2)
    assert dataset.classes == ["airplane", "automobile"]
    assert dataset.images.shape == (2400, 3, 32, 32)
    for split, number in (("train", 900), ("validation", 100), ("test", 200)):
        assert np.bincount(labels(dataset, split)).tolist() == [number, number]
    assert not pixels(dataset, "train") & pixels(dataset, "validation")


def test_three_people_of_the_orl_faces(tmp_path):
    root = unpacked("orl_faces", tmp_path, ("orl_faces/s1/", "orl_faces/s2/", "orl_faces/s3/"))
    dataset = image_folder(root, size=92)
    assert dataset.classes == ["s1", "s2", "s3"]
    for split, number in (("train", 8), ("validation", 1), ("test", 1)):
        assert np.bincount(labels(dataset, split)).tolist() == [number] * 3
    first = np.asarray(Image.open(root / "s1" / "1.pgm"))
    assert np.array_equal(dataset.images[0, 0], first[10:102])  # the middle 92 of 112 rows


# a limit


def test_a_limit_is_an_even_spread_over_every_class_and_part(tmp_path):
    root = layout(tmp_path / "set", train={"ann": 11, "bob": 4}, test={"ann": 5, "bob": 5})
    dataset = image_folder(root, size=8, limit=6)
    assert dataset.counts["images"] == 6 + 4 + 5 + 5
    names = sorted(root.joinpath("train", "ann").glob("*"))  # by name: 0, 1, 10, 2, ...
    kept = {read_image(names[i], channels=1, size=8).tobytes() for i in (0, 2, 4, 6, 8, 10)}
    assert kept <= {image.tobytes() for image in dataset.images}
    assert labels(dataset, "test") == [0] * 5 + [1] * 5


def test_a_limit_above_every_class_changes_nothing(root):
    assert np.array_equal(image_folder(root, size=8, limit=4).images, image_folder(root, size=8).images)


def test_a_limit_that_cannot_be_split_says_so(root):
    with pytest.raises(ValueError, match="limit is 2, expected at least 3 images per class"):
        image_folder(root, size=8, limit=2)
