import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from aecompanion.data.dataset import Dataset, split_by_sample
from aecompanion.data.pixels import read_image


@pytest.fixture
def lazy(tmp_path):
    """Ten random grey PNG files of two classes, as an index of files."""
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(10)]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (48, 64), dtype=np.uint8)).save(file)
    labels = np.repeat([0, 1], 5)
    return Dataset(
        files=[str(file) for file in files],
        labels=torch.from_numpy(labels),
        split=split_by_sample(labels, 0),
        classes=["ä", "b"],
        source="random",
        channels=1,
        size=32,
        counts={"images": 10},
    )


@pytest.fixture
def packed(lazy):
    images = np.stack([read_image(file, channels=1, size=32) for file in lazy.files])
    return dataclasses.replace(lazy, files=None, images=images)


def spread(count: int = 50) -> Dataset:
    """`count` one-pixel images of five classes in order, all in the test split."""
    return Dataset(
        images=np.zeros((count, 1, 1, 1), np.uint8),
        labels=torch.arange(count) // (count // 5),
        split=np.full(count, "test", dtype=object),
        classes=list("abcde"),
        source="",
        channels=1,
        size=1,
    )


# one form for both kinds


@pytest.mark.parametrize("kind", ["packed", "lazy"])
def test_a_saved_data_set_is_loaded_as_it_was(kind, request, tmp_path):
    dataset = request.getfixturevalue(kind)
    dataset.save(tmp_path / "saved" / "here")
    loaded = Dataset.load(tmp_path / "saved" / "here")
    assert torch.equal(loaded.labels, dataset.labels)
    assert loaded.split.tolist() == dataset.split.tolist()
    assert loaded.files == dataset.files
    for field in ("classes", "source", "channels", "size", "counts"):
        assert getattr(loaded, field) == getattr(dataset, field)
    assert torch.equal(loaded.batch(range(10)), dataset.batch(range(10)))


@pytest.mark.parametrize(("kind", "names"), [("packed", {"images.npy"}), ("lazy", set())])
def test_only_a_packed_set_writes_its_pixels(kind, names, request, tmp_path):
    request.getfixturevalue(kind).save(tmp_path / "saved")
    assert {file.name for file in (tmp_path / "saved").iterdir()} == {"dataset.json", "index.csv"} | names


def test_packed_and_lazy_batches_are_equal(packed, lazy):
    assert torch.equal(packed.batch([7, 0, 7]), lazy.batch([7, 0, 7]))


def test_a_batch_is_the_stored_pixels_over_255(packed):
    batch = packed.batch(np.array([3, 1]))
    assert batch.dtype == torch.float32
    assert batch.shape == (2, 1, 32, 32)
    assert torch.equal(batch, torch.from_numpy(packed.images[[3, 1]]).float() / 255)


def test_a_batch_spans_zero_to_one():
    dataset = dataclasses.replace(spread(5), images=np.array([0, 255, 51, 102, 204], np.uint8).reshape(5, 1, 1, 1))
    torch.testing.assert_close(dataset.batch(range(5)).flatten(), torch.tensor([0, 1, 0.2, 0.4, 0.8]))


def test_changing_a_batch_leaves_the_data_set_alone(packed):
    before = packed.images.copy()
    packed.batch([0, 1]).zero_()
    assert np.array_equal(packed.images, before)


def test_the_length_is_the_number_of_images(packed, lazy):
    assert len(packed) == len(lazy) == 10


# several labels or none


SEVERAL = [[0, 0, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 1]] * 2


@pytest.fixture(params=["packed", "lazy"])
def multi_hot(request):
    """Ten images with one label, none or several of three classes."""
    dataset = request.getfixturevalue(request.param)
    return dataclasses.replace(dataset, labels=torch.tensor(SEVERAL), classes=["ä", "b", "c|d"])


def test_several_labels_are_loaded_as_they_were(multi_hot, tmp_path):
    multi_hot.save(tmp_path / "saved")
    loaded = Dataset.load(tmp_path / "saved")
    assert loaded.multi_label
    assert loaded.labels.dtype == torch.int64
    assert loaded.labels.tolist() == SEVERAL
    assert loaded.classes == multi_hot.classes
    assert loaded.files == multi_hot.files
    assert torch.equal(loaded.batch(range(10)), multi_hot.batch(range(10)))


def test_several_labels_are_joined_and_none_is_empty(multi_hot, tmp_path):
    multi_hot.save(tmp_path)
    lines = (tmp_path / "index.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[:6]] == ["label", "2", "", "0|2", "1", "0|1|2"]


def test_labels_of_a_set_without_any_finding_keep_their_columns(packed, tmp_path):
    dataset = dataclasses.replace(packed, labels=torch.zeros(10, 3, dtype=torch.int64), classes=list("abc"))
    dataset.save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert loaded.multi_label
    assert torch.equal(loaded.labels, dataset.labels)


def test_one_class_that_is_there_or_not_stays_multi_label(packed, tmp_path):
    dataset = dataclasses.replace(packed, labels=torch.tensor([[0], [1]] * 5), classes=["a"])
    dataset.save(tmp_path)
    assert Dataset.load(tmp_path).labels.tolist() == [[0], [1]] * 5


@pytest.mark.parametrize("kind", ["packed", "lazy"])
def test_one_label_per_image_is_written_as_its_index(kind, request, tmp_path):
    dataset = request.getfixturevalue(kind)
    assert not dataset.multi_label
    dataset.save(tmp_path / "saved")
    loaded = Dataset.load(tmp_path / "saved")
    assert not loaded.multi_label
    assert loaded.labels.dtype == torch.int64
    assert loaded.labels.tolist() == [0] * 5 + [1] * 5
    lines = (tmp_path / "saved" / "index.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["label", *"0000011111"]


def test_a_view_keeps_several_labels(multi_hot, tmp_path):
    multi_hot.save_view(tmp_path / "view", lambda images: 1 - images)
    assert Dataset.load(tmp_path / "view").labels.tolist() == SEVERAL


def test_the_indices_of_a_split_do_not_depend_on_the_labels(multi_hot, packed):
    for split in ("train", "validation", "test"):
        assert np.array_equal(multi_hot.indices(split), packed.indices(split))
    assert len(multi_hot) == 10


# another representation


@pytest.mark.parametrize("kind", ["packed", "lazy"])
@pytest.mark.parametrize("batch", [1, 4, 10, 256])
def test_a_view_is_the_transformed_images_with_labels_and_splits_as_they_were(kind, batch, request, tmp_path):
    dataset, sizes = request.getfixturevalue(kind), []

    def halve(images):
        sizes.append(len(images))
        return images / 2

    dataset.save_view(tmp_path / "new" / "view", halve, batch=batch)
    view = Dataset.load(tmp_path / "new" / "view")
    assert np.array_equal(view.images, (dataset.batch(range(10)) / 2 * 255).round().byte().numpy())
    assert sizes == {1: [1] * 10, 4: [4, 4, 2], 10: [10], 256: [10]}[batch]
    assert torch.equal(view.labels, dataset.labels)
    assert view.split.tolist() == dataset.split.tolist()
    for field in ("classes", "source", "channels", "size", "counts"):
        assert getattr(view, field) == getattr(dataset, field)


def test_a_view_leaves_the_three_files_of_a_packed_set_and_replaces_an_older_one(packed, tmp_path):
    for level in (0, 1):
        packed.save_view(tmp_path / "view", lambda images, level=level: torch.full_like(images, level))
    assert {file.name for file in (tmp_path / "view").iterdir()} == {"dataset.json", "index.csv", "images.npy"}
    assert (Dataset.load(tmp_path / "view").images == 255).all()


# indices


def test_the_three_splits_hold_every_image_once(packed):
    found = np.concatenate([packed.indices(split) for split in ("train", "validation", "test")])
    assert sorted(found) == list(range(10))


def test_a_limit_spreads_over_every_class():
    dataset = spread()
    assert dataset.labels[dataset.indices("test", limit=5)].tolist() == [0, 1, 2, 3, 4]


def test_a_limit_keeps_the_ends_and_takes_nothing_twice():
    found = spread().indices("test", limit=37)
    assert (len(found), found[0], found[-1]) == (37, 0, 49)
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("limit", [None, 50, 51])
def test_a_limit_beyond_the_split_gives_all_of_it(limit):
    assert spread().indices("test", limit=limit).tolist() == list(range(50))


def test_a_split_without_images_has_no_indices():
    assert len(spread().indices("train", limit=3)) == 0


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match=r"split 'val' is unknown.*train, validation, test"):
        spread().indices("val")


# split_by_sample


def counts(split: np.ndarray, labels: np.ndarray, label: int) -> tuple[int, ...]:
    return tuple(int((split[labels == label] == name).sum()) for name in ("train", "validation", "test"))


def test_the_split_is_stratified():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [20, 50, 100]))
    split = split_by_sample(labels, 0)
    assert [counts(split, labels, label) for label in range(3)] == [(16, 2, 2), (40, 5, 5), (80, 10, 10)]


@pytest.mark.parametrize("members", [3, 4, 7])
def test_a_small_class_is_in_every_split(members):
    labels = np.repeat([0, 1], [members, 40])
    assert counts(split_by_sample(labels, 0), labels, 0) == (members - 2, 1, 1)


def test_the_shares_can_be_chosen():
    labels = np.zeros(100, int)
    assert counts(split_by_sample(labels, 0, validation=0.25, test=0.35), labels, 0) == (40, 25, 35)


def test_the_split_depends_on_the_seed_only():
    labels = np.repeat([0, 1], 50)
    assert np.array_equal(split_by_sample(labels, 3), split_by_sample(labels, 3))
    assert not np.array_equal(split_by_sample(labels, 3), split_by_sample(labels, 4))


def test_another_class_does_not_change_the_split_of_this_one():
    alone = split_by_sample(np.zeros(30, int), 0)
    assert np.array_equal(split_by_sample(np.repeat([0, 1], [30, 10]), 0)[:30], alone)


def test_two_classes_are_not_split_alike():
    split = split_by_sample(np.repeat([0, 1], 50), 0)
    assert not np.array_equal(split[:50], split[50:])


@pytest.mark.parametrize(("names", "shown"), [(None, "1"), (["ann", "bob"], "'bob'")])
def test_a_class_below_three_images_is_named(names, shown):
    with pytest.raises(ValueError, match=rf"class {shown} has 2 image\(s\), expected at least 3"):
        split_by_sample(np.array([0, 0, 0, 1, 1]), 0, names=names)
