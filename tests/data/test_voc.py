import numpy as np
import pytest
import torch
from PIL import Image

from aecompanion.data import boxes as module
from aecompanion.data.pixels import read_image
from aecompanion.data.voc import CLASSES, halved, voc2007

DOG, CAR, PERSON = (CLASSES.index(name) for name in ("dog", "car", "person"))
# id: H×W, objects (class, xmin, ymin, xmax, ymax, difficult), as VOC writes them: from 1, last pixel included
TRAIN = {
    "000012": ((32, 64), [("dog", 17, 1, 32, 8, 0), ("car", 19, 5, 26, 12, 0), ("dog", 33, 9, 40, 32, 0)]),
    "000017": ((64, 32), [("person", 5, 21, 16, 40, 0), ("person", 1, 1, 32, 64, 1), ("car", 1, 1, 8, 20, 1)]),
    "000023": ((32, 32), [("car", 1, 1, 2, 2, 1)]),
}
VAL = {
    "000005": ((32, 64), [("dog", 1, 1, 16, 32, 0), ("person", 20, 3, 20, 3, 0)]),  # the dog is outside the crop
    "000007": ((32, 32), [("car", 1, 1, 32, 32, 0)]),
    "000009": ((32, 32), []),
    "000016": ((32, 32), [("dog", 3, 5, 8, 12, 0)]),
}
CAR_BOX = "<xmin>19</xmin><ymin>5</ymin><xmax>26</xmax><ymax>12</ymax>"


def annotation(name, shape, objects):
    parts = "".join(
        f"<object><name>{label}</name><pose>Left</pose><truncated>0</truncated><difficult>{difficult}</difficult>"
        f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
        for label, xmin, ymin, xmax, ymax, difficult in objects
    )
    size = f"<size><width>{shape[1]}</width><height>{shape[0]}</height><depth>3</depth></size>"
    return f"<annotation><folder>VOC2007</folder><filename>{name}.jpg</filename>{size}{parts}</annotation>\n"


@pytest.fixture
def root(tmp_path):
    """VOC 2007 in miniature: three images in train, four in val, and one of the release's test set."""
    folder = tmp_path / "VOCdevkit" / "VOC2007"
    for part in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (folder / part).mkdir(parents=True)
    for name, (shape, objects) in {**TRAIN, **VAL, "000001": ((32, 32), [])}.items():
        (folder / "Annotations" / f"{name}.xml").write_text(annotation(name, shape, objects))
        pixels = np.random.default_rng(int(name)).integers(0, 256, (*shape, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{name}.jpg")
    (folder / "ImageSets" / "Main" / "train.txt").write_text("".join(f"{name}\n" for name in TRAIN))
    (folder / "ImageSets" / "Main" / "val.txt").write_text("".join(f"{name}\n" for name in VAL))
    return tmp_path


def read(root, **options):
    return voc2007(root, **({"size": 16} | options))


def place(root, name, suffix="jpg"):
    folder = {"jpg": "JPEGImages", "xml": "Annotations", "txt": "ImageSets/Main"}[suffix]
    return root / "VOCdevkit" / "VOC2007" / folder / f"{name}.{suffix}"


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return file


# the images


def test_the_images_are_those_of_train_and_val_in_the_order_of_the_lists(root):
    dataset, _ = read(root)
    expected = [read_image(place(root, name), channels=3, size=16) for name in (*TRAIN, *VAL)]
    assert np.array_equal(dataset.images, expected)
    assert (dataset.channels, dataset.size, dataset.multi_label) == (3, 16, True)
    assert dataset.source == "PASCAL VOC 2007, 7 images"


def test_an_image_is_64_pixels_wide_in_colour_unless_told_otherwise(root):
    assert voc2007(str(root))[0].images.shape == (7, 3, 64, 64)
    assert read(root, channels=1)[0].images.shape == (7, 1, 16, 16)


def test_the_twenty_classes_are_in_alphabetical_order(root):
    dataset, _ = read(root)
    assert dataset.classes == sorted(CLASSES)
    assert len(set(dataset.classes)) == 20


def test_an_image_has_the_labels_of_its_objects_that_are_not_difficult(root):
    labels = [row.nonzero()[:, 0].tolist() for row in read(root)[0].labels]
    assert labels == [[CAR, DOG], [PERSON], [], [DOG, PERSON], [CAR], [], [DOG]]


def test_everything_is_counted(root):
    dataset, _ = read(root)
    test = dataset.labels[dataset.indices("test")].sum(0)
    assert dataset.counts == {
        "images": 7,
        "objects": 8,
        "objects with a mask": 0,
        "difficult objects": 3,
        "images with difficult objects only": 1,
        "images without objects": 1,
        "regions": 6,
        "regions cropped away": 1,
        "classes without a test image": int((test == 0).sum()),
        "unreadable": 0,
    }
    assert 17 <= (test == 0).sum() < 20


def test_an_object_that_does_not_say_difficult_is_not(root):
    before = read(root)[0].counts
    change(place(root, "000023", "xml"), "<difficult>1</difficult>", "")
    after = read(root)[0].counts
    assert (after["objects"], after["difficult objects"]) == (before["objects"] + 1, before["difficult objects"] - 1)


# the split


def test_train_is_train_and_val_is_halved(root):
    split = read(root)[0].split
    assert split[:3].tolist() == ["train"] * 3
    assert sorted(split[3:]) == ["test"] * 2 + ["validation"] * 2


def test_the_halves_depend_on_the_seed_only():
    part = np.array(["train"] * 50 + ["val"] * 101)
    first, same, other = (halved(part, seed) for seed in (0, 0, 1))
    assert [int((first == name).sum()) for name in ("train", "validation", "test")] == [50, 50, 51]
    assert first.tolist() == same.tolist()
    assert first.tolist() != other.tolist()
    assert (first[:50] == "train").all()


def test_the_seed_reaches_the_split(root):
    splits = {tuple(read(root, seed=seed)[0].split) for seed in range(8)}
    assert len(splits) > 1


# the regions


def test_a_region_is_the_union_of_the_objects_of_a_class_in_the_prepared_image(root):
    _, regions = read(root)
    assert list(zip(regions.image.tolist(), regions.label.tolist(), strict=True)) == [
        (0, CAR),
        (0, DOG),
        (1, PERSON),
        (3, PERSON),
        (4, CAR),
        (6, DOG),
    ]
    assert regions.boxes.tolist() == [
        [2, 1, 6, 5],  # landscape: columns 18 to 26, less 16, halved
        [0, 0, 16, 12],  # around both dogs
        [2, 2, 12, 8],  # portrait: rows 20 to 40, less 16, halved; the difficult one is not there
        [1, 1, 2, 2],  # one pixel, (19, 2) from 0
        [0, 0, 16, 16],
        [2, 1, 6, 4],
    ]
    dogs = np.zeros((16, 16), bool)
    dogs[0:4, 0:8] = dogs[4:16, 8:12] = True
    assert np.array_equal(regions.masks[1], dogs)
    others = [0, 2, 3, 4, 5]
    assert np.array_equal(regions.masks[others], regions.box_masks()[others, 0].numpy())
    assert regions.without is None


def test_an_object_outside_the_crop_leaves_its_label(root):
    dataset, regions = read(root)
    assert dataset.labels[3, DOG] == 1
    assert (3, DOG) not in list(zip(regions.image, regions.label, strict=True))


def test_a_turned_file_has_its_regions_turned(root):
    """Orientation 6: the stored left is shown on top."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(place(root, "000016")).copy().save(place(root, "000016"), exif=exif)
    _, regions = read(root)
    assert regions.boxes[-1].tolist() == [1, 16 - 6, 4, 16 - 2]


def test_without_objects_there_are_no_regions(root):
    for name, (shape, _) in (TRAIN | VAL).items():
        place(root, name, "xml").write_text(annotation(name, shape, []))
    dataset, regions = read(root)
    assert (len(regions), int(dataset.labels.sum())) == (0, 0)
    assert (dataset.counts["images without objects"], dataset.counts["classes without a test image"]) == (7, 20)


# the options


def test_a_limit_is_an_even_spread_with_its_regions(root):
    whole, every = read(root)
    dataset, regions = read(root, limit=4)
    kept = [0, 2, 4, 6]
    assert np.array_equal(dataset.images, whole.images[kept])
    assert torch.equal(dataset.labels, whole.labels[kept])
    assert regions.image.tolist() == [0, 0, 2, 3]
    assert np.array_equal(regions.boxes, every.boxes[[0, 1, 4, 5]])
    assert (dataset.counts["difficult objects"], dataset.source) == (1, "PASCAL VOC 2007, 4 images")
    assert sorted(dataset.split) == ["test", "train", "train", "validation"]
    assert len(read(root, limit=7)[0]) == len(read(root, limit=99)[0]) == 7


def test_a_large_set_stays_on_disk_and_gives_the_same_batches(root, monkeypatch):
    monkeypatch.setattr(module, "PACK_LIMIT", 7 * 3 * 16 * 16)
    packed, regions = read(root)
    monkeypatch.setattr(module, "PACK_LIMIT", 7 * 3 * 16 * 16 - 1)
    lazy, lazy_regions = read(root)
    assert (packed.files, lazy.images) == (None, None)
    assert torch.equal(lazy.batch(range(7)), packed.batch(range(7)))
    assert np.array_equal(lazy_regions.masks, regions.masks)


@pytest.mark.parametrize("damage", ["broken", "missing"])
def test_a_skipped_image_is_counted_and_the_regions_still_find_theirs(root, damage):
    whole, every = read(root)
    place(root, "000017").unlink()
    if damage == "broken":
        place(root, "000017").write_bytes(b"broken")
    dataset, regions = read(root, unreadable="skip")
    kept = [0, 2, 3, 4, 5, 6]
    assert (dataset.counts["unreadable"], dataset.counts["images"], dataset.counts["difficult objects"]) == (1, 6, 1)
    assert np.array_equal(dataset.images, whole.images[kept])
    assert torch.equal(dataset.labels, whole.labels[kept])
    assert [kept[i] for i in regions.image] == [0, 0, 3, 4, 6]
    assert np.array_equal(regions.boxes, every.boxes[[0, 1, 3, 4, 5]])


def test_an_unreadable_image_is_named(root):
    place(root, "000017").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"JPEGImages/000017\.jpg: cannot be read as an image"):
        read(root)


def test_progress_sees_every_image_once(root):
    seen = []
    read(root, progress=lambda items: seen.extend(items) or items)
    assert len(seen) == 7


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"unreadable": "ignore"}, "^unreadable is 'ignore', expected 'error' or 'skip'$"),
        ({"limit": 2}, "^limit is 2, expected at least 3"),
        ({"channels": 2, "unreadable": "skip"}, "^channels is 2, expected 1"),
    ],
)
def test_an_option_out_of_range_is_refused(root, options, expected):
    with pytest.raises(ValueError, match=expected):
        read(root, **options)


# what is refused, before an image is read


def refused(root, error, expected):
    with pytest.raises(error, match=expected):
        read(root, progress=lambda items: pytest.fail("an image was about to be read"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("<name>car</name>", "<name>lorry</name>", "object 2 has the class 'lorry', expected one of aeroplane, .*tor$"),
        ("<name>car</name>", "", "object 2 has the class None, expected one of aeroplane"),
        ("<difficult>0<", "<difficult>maybe<", r"object 1 \(dog\) has difficult 'maybe', expected 0 or 1$"),
        ("filename>000012.jpg", "filename>000013.jpg", r"annotates the image '000013\.jpg', expected '000012\.jpg'$"),
        ("<width>64</width>", "", "states the size {.*}, expected whole numbers width and height$"),
        ("<width>64<", "<width>0<", "states the size {.*'width': '0'.*}, expected whole numbers width and height$"),
        ("<width>64<", "<width>nan<", "states the size {.*}, expected whole numbers width and height$"),
        ("<annotation>", "<annotation><", r"cannot be read as XML \(.*line 1.*\)$"),
        ("annotation>", "annotations>", "cannot be read as XML"),
    ],
)
def test_a_malformed_annotation_is_named(root, old, new, expected):
    change(place(root, "000012", "xml"), old, new)
    refused(root, ValueError, rf"^{root}/.*/Annotations/000012\.xml: {expected}")


@pytest.mark.parametrize("text", ["<picture><filename>000012.jpg</filename></picture>", "<annotation/>"])
def test_another_kind_of_xml_is_named(root, text):
    place(root, "000012", "xml").write_text(text)
    refused(root, ValueError, r"000012\.xml: has no element annotation with children, expected filename, size and obj")


@pytest.mark.parametrize(
    "box",
    [
        "<xmin>27</xmin><ymin>5</ymin><xmax>26</xmax><ymax>12</ymax>",  # no area
        "<xmin>19</xmin><ymin>13</ymin><xmax>26</xmax><ymax>12</ymax>",
        "<xmin>0</xmin><ymin>5</ymin><xmax>26</xmax><ymax>12</ymax>",  # outside
        "<xmin>19</xmin><ymin>0</ymin><xmax>26</xmax><ymax>12</ymax>",
        "<xmin>19</xmin><ymin>5</ymin><xmax>65</xmax><ymax>12</ymax>",
        "<xmin>19</xmin><ymin>5</ymin><xmax>26</xmax><ymax>33</ymax>",
        "<xmin>nan</xmin><ymin>5</ymin><xmax>26</xmax><ymax>12</ymax>",
        "<xmin>left</xmin><ymin>5</ymin><xmax>26</xmax><ymax>12</ymax>",
        "<xmin>19</xmin><ymin>5</ymin><xmax>26</xmax>",
        "",
    ],
)
def test_a_box_that_does_not_fit_is_named(root, box):
    change(place(root, "000012", "xml"), CAR_BOX, box)
    expected = r"object 2 \(car\) has the box .*, expected 1 ≤ xmin ≤ xmax ≤ 64 and 1 ≤ ymin ≤ ymax ≤ 32$"
    refused(root, ValueError, rf"000012\.xml: {expected}")


def test_a_box_may_fill_the_image(root):
    change(place(root, "000012", "xml"), CAR_BOX, "<xmin>1</xmin><ymin>1</ymin><xmax>64</xmax><ymax>32</ymax>")
    assert read(root)[1].boxes[0].tolist() == [0, 0, 16, 16]


@pytest.mark.parametrize(
    ("name", "suffix", "expected"),
    [
        ("train", "txt", r"Main/train\.txt: no such file, expected the ids of the train images$"),
        ("val", "txt", r"Main/val\.txt: no such file, expected the ids of the val images$"),
        ("000007", "xml", r"Annotations/000007\.xml: no such file, expected the annotation of 000007\.jpg$"),
        ("000007", "jpg", r"000007\.jpg: no such file, expected the image that .*/Annotations/000007\.xml lists$"),
    ],
)
def test_a_missing_file_is_named(root, name, suffix, expected):
    place(root, name, suffix).unlink()
    refused(root, FileNotFoundError, rf"^{root}/.*{expected}")


def test_a_missing_folder_is_named(root):
    expected = rf"^{root}/VOCdevkit/VOCdevkit/VOC2007: no such folder, expected the unpacked VOC 2007"
    refused(root / "VOCdevkit", FileNotFoundError, expected)


@pytest.mark.parametrize("name", ["train", "val"])
def test_an_empty_list_is_named(root, name):
    place(root, name, "txt").write_text("")
    refused(root, ValueError, rf"Main/{name}\.txt: lists no image, expected ids like 000012, one a line$")


def test_an_image_in_both_lists_is_named(root):
    place(root, "val", "txt").write_text("000005\n000012\n")
    refused(root, ValueError, "ImageSets/Main: lists 000012 2 times, expected each image once$")


def test_a_file_of_another_size_than_its_annotation_says_is_named(root):
    Image.new("RGB", (32, 64)).save(place(root, "000012"))
    expected = r"000012\.jpg: stores 32×64 pixels, expected 64×32 as .*/000012\.xml says$"
    with pytest.raises(ValueError, match=expected):
        read(root, unreadable="skip")


@pytest.mark.parametrize(("broken", "train", "val"), [([*TRAIN], 0, 4), ([*VAL][1:], 3, 1), ([*TRAIN, *VAL], 0, 0)])
def test_too_few_readable_images_to_split_are_refused(root, broken, train, val):
    for name in broken:
        place(root, name).write_bytes(b"broken")
    with pytest.raises(ValueError, match=rf"^train has {train} readable image\(s\) and val {val}, expected at least 1"):
        read(root, unreadable="skip")
