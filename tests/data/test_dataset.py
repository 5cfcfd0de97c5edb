import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib.data.dataset import Dataset, read_image, split_by_sample


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


# read_image


def write(file: Path, pixels: np.ndarray, mode: str | None = None, **options) -> Path:
    image = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes()) if mode else Image.fromarray(pixels)
    image.save(file, **options)
    return file


def gradient(height: int = 32, width: int = 32) -> np.ndarray:
    return np.add.outer(np.arange(height) * 3, np.arange(width) * 2).astype(np.uint8)


def test_a_grey_pgm_of_the_right_size_keeps_its_pixels(tmp_path):
    file = write(tmp_path / "a.pgm", gradient())
    image = read_image(file, channels=1, size=32)
    assert image.dtype == np.uint8
    assert np.array_equal(image[0], gradient())


def test_a_grey_image_read_as_rgb_has_three_equal_channels(tmp_path):
    image = read_image(write(tmp_path / "a.png", gradient()), channels=3, size=32)
    assert np.array_equal(image, np.stack([gradient()] * 3))


def test_an_rgb_jpeg_keeps_the_order_of_its_colours(tmp_path):
    pixels = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    image = read_image(str(write(tmp_path / "a.jpg", pixels, quality=95)), channels=3, size=32)
    assert image.shape == (3, 32, 32)
    np.testing.assert_allclose(image.mean((1, 2)), (200, 100, 50), atol=2)


def test_an_rgb_image_read_as_grey_is_its_luma(tmp_path):
    file = write(tmp_path / "a.png", np.full((32, 32, 3), (200, 100, 50), np.uint8))
    image = read_image(file, channels=1, size=32)
    assert image.shape == (1, 32, 32)
    np.testing.assert_allclose(image, 0.299 * 200 + 0.587 * 100 + 0.114 * 50, atol=1)


def test_alpha_is_dropped_and_the_colour_under_it_stays(tmp_path):
    pixels = np.dstack([np.full((32, 32, 3), (10, 20, 30), np.uint8), gradient()])
    image = read_image(write(tmp_path / "a.png", pixels), channels=3, size=32)
    assert (image == np.array([10, 20, 30]).reshape(3, 1, 1)).all()


def test_a_cmyk_jpeg_is_read_as_rgb(tmp_path):
    pixels = np.full((32, 32, 4), (255, 0, 0, 0), np.uint8)
    image = read_image(write(tmp_path / "a.jpg", pixels, "CMYK"), channels=3, size=32)
    np.testing.assert_allclose(image.mean((1, 2)), (0, 255, 255), atol=2)


@pytest.mark.parametrize("suffix", ["png", "pgm"])
def test_a_16_bit_image_is_scaled_to_8_bits(tmp_path, suffix):
    pixels = gradient().astype(np.uint16) * 257
    if suffix == "png":
        file = write(tmp_path / "a.png", pixels)
    else:
        file = tmp_path / "a.pgm"
        file.write_bytes(b"P5 32 32 65535\n" + pixels.astype(">u2").tobytes())
    np.testing.assert_allclose(read_image(file, channels=1, size=32)[0].astype(int), gradient(), atol=1)


@pytest.mark.parametrize(("orientation", "upright"), [(3, lambda a: np.rot90(a, 2)), (6, lambda a: np.rot90(a, -1))])
def test_an_exif_rotation_is_applied(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = write(tmp_path / "a.png", gradient(), exif=exif)
    assert np.array_equal(read_image(file, channels=1, size=32)[0], upright(gradient()))


def test_an_exif_rotation_of_a_jpeg_is_applied_before_the_crop(tmp_path):
    stored = np.zeros((32, 64), np.uint8)
    stored[:, :32] = 255  # the left half is bright; orientation 6 turns it up
    exif = Image.Exif()
    exif[0x0112] = 6
    image = read_image(write(tmp_path / "a.jpg", stored, exif=exif), channels=1, size=32)[0]
    assert image[:14].mean() > 250
    assert image[18:].mean() < 5


@pytest.mark.parametrize(("shape", "crop"), [((32, 96), np.s_[:, 32:64]), ((64, 32), np.s_[16:48])])
def test_the_crop_is_the_centre(tmp_path, shape, crop):
    pixels = gradient(*shape)
    assert np.array_equal(read_image(write(tmp_path / "a.png", pixels), channels=1, size=32)[0], pixels[crop])


@pytest.mark.parametrize("side", [20, 100])
def test_the_shorter_side_is_scaled_to_the_size(tmp_path, side):
    pixels = np.zeros((side, 2 * side), np.uint8)
    pixels[:, side:] = 200
    image = read_image(write(tmp_path / "a.png", pixels), channels=1, size=40)
    assert image.shape == (1, 40, 40)
    assert (image[..., :15] == 0).all()
    assert (image[..., 25:] == 200).all()


def damaged(suffix: str, change) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(gradient()).save(buffer, {"png": "PNG", "pgm": "PPM", "jpg": "JPEG"}[suffix])
    return change(buffer.getvalue())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.png", b""),
        ("text.jpg", b"not an image"),
        ("cut.png", damaged("png", lambda content: content[:60])),
        ("cut.jpg", damaged("jpg", lambda content: content[: len(content) // 2])),
        ("cut.pgm", damaged("pgm", lambda content: content[: len(content) // 2])),
        ("header.pgm", b"P5\n32 32\nxx\n" + bytes(1024)),
        ("digits.pgm", b"P2\n2 2\n255\n1 2 3 a\n"),
        ("width.png", damaged("png", lambda content: content.replace(b"IHDR\0\0", b"IHDR\xff\xff"))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_corrupt_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: cannot be read as an image"):
        read_image(tmp_path / name, channels=1, size=32)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.png: cannot be read"):
        read_image(tmp_path / "gone.png", channels=1, size=32)


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
