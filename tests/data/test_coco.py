import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as codes

from aecompanion.data import boxes as module
from aecompanion.data.coco import coco, numbers, split_by_image
from aecompanion.data.pixels import read_image
from aecompanion.pipeline.paths import ROOT

SHARED = ROOT.parent / "shared" / "data"  # real data sets, outside the project
CATEGORIES = [(18, "dog"), (1, "person"), (3, "car")]  # not in the order of their ids, which have gaps
PERSON, CAR, DOG = range(3)
SHAPES = {9: (32, 64), 25: (64, 32), 30: (32, 32), 34: (32, 32), 36: (32, 32), 42: (32, 64)}  # H×W by image id
# image, category, x, y, width, height, iscrowd
OBJECTS = [
    (25, 1, 4, 20, 12, 20, 0),
    (9, 18, 16, 0, 16, 8, 0),
    (9, 3, 18, 4, 8, 8, 0),
    (9, 18, 32, 8, 8, 24, 0),
    (25, 3, 0, 0, 32, 64, 1),
    (30, 3, 0, 0, 2, 2, 1),
    (34, 3, 1.4, 2.6, 4.2, 6.8, 0),  # to 5.6 and 9.4
    (42, 18, 0, 0, 16, 32, 0),  # outside the crop
    (42, 1, 20, 3, 1, 1, 0),
    (34, 18, 4, 4, 5, 0, 0),  # flat, as two of COCO are
]

SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in Python 3.11.0 to 3.11.3


@pytest.fixture
def folder(tmp_path):
    """The COCO layout in miniature: six images of two folders, one without an annotation."""
    for number, shape in SHAPES.items():
        file = tmp_path / "images" / name(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (*shape, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    write(tmp_path, contents())
    return tmp_path


def name(number):
    return f"part{number % 2}/{number:012d}.jpg"


def contents():
    images = [{"id": n, "file_name": name(n), "height": h, "width": w} for n, (h, w) in SHAPES.items()]
    annotations = [
        {"id": 100 + i, "image_id": image, "category_id": category, "bbox": box, "iscrowd": crowd}
        for i, (image, category, *box, crowd) in enumerate(OBJECTS)
    ]
    categories = [{"id": number, "name": text} for number, text in CATEGORIES]
    return {"images": images[::-1], "annotations": annotations, "categories": categories}


def write(folder, data):
    (folder / "instances.json").write_text(json.dumps(data))


def read(folder, **options):
    return coco(folder / "images", folder / "instances.json", **({"size": 16} | options))


def drawn(folder, segmentation, *, annotation=2):
    """The prepared mask of the car of image 9 with this segmentation."""
    data = contents()
    data["annotations"][annotation]["segmentation"] = segmentation
    write(folder, data)
    dataset, regions = read(folder)
    assert dataset.counts["objects with a mask"] == bool(segmentation)
    assert (regions.image[0], regions.label[0]) == (0, CAR)
    return regions.masks[0]


def filled(top, left, bottom, right, shape=(16, 16)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


# the images


def test_the_images_are_in_the_order_of_their_ids(folder):
    dataset, _ = read(folder)
    expected = [read_image(folder / "images" / name(number), channels=3, size=16) for number in SHAPES]
    assert np.array_equal(dataset.images, expected)
    assert (dataset.channels, dataset.size, dataset.multi_label) == (3, 16, True)
    assert dataset.source == "COCO, 6 images of instances.json"


def test_an_image_is_64_pixels_wide_in_colour_unless_told_otherwise(folder):
    assert coco(str(folder / "images"), str(folder / "instances.json"))[0].images.shape == (6, 3, 64, 64)
    assert read(folder, channels=1)[0].images.shape == (6, 1, 16, 16)


def test_the_classes_are_the_categories_in_the_order_of_their_ids(folder):
    assert read(folder)[0].classes == ["person", "car", "dog"]


def test_an_image_has_the_labels_of_its_objects_without_crowds_and_flat_ones(folder):
    labels = [row.nonzero()[:, 0].tolist() for row in read(folder)[0].labels]
    assert labels == [[CAR, DOG], [PERSON], [], [CAR], [], [PERSON, DOG]]


def test_everything_is_counted(folder):
    dataset, _ = read(folder)
    assert dataset.counts == {
        "images": 6,
        "objects": 7,
        "objects with a mask": 0,
        "crowd objects": 2,
        "flat objects": 1,
        "images with crowd or flat objects only": 1,
        "images without objects": 1,
        "regions": 5,
        "regions cropped away": 1,
        "classes without a test image": int((dataset.labels[dataset.indices("test")].sum(0) == 0).sum()),
        "unreadable": 0,
    }


def test_classes_without_a_test_image_are_counted_and_not_refused(folder):
    missing = {}
    for seed in range(20):
        dataset, _ = read(folder, seed=seed)
        (test,) = dataset.indices("test")
        missing[int(test)] = dataset.counts["classes without a test image"]
    assert missing == {0: 1, 1: 2, 2: 3, 3: 2, 4: 3, 5: 1}


def test_nothing_is_printed(folder, capsys):
    read(folder)
    assert capsys.readouterr().out == ""


# the split


def test_a_tenth_is_validation_and_a_tenth_test_and_at_least_one():
    for count, expected in ((100, [80, 10, 10]), (3, [1, 1, 1]), (14, [12, 1, 1])):
        split = split_by_image(count, 0)
        assert [int((split == part).sum()) for part in ("train", "validation", "test")] == expected


def test_the_split_depends_on_the_seed_only():
    first, same, other = (split_by_image(50, seed).tolist() for seed in (0, 0, 1))
    assert first == same
    assert first != other


# the regions


def test_a_region_is_the_union_of_the_objects_of_a_class_in_the_prepared_image(folder):
    _, regions = read(folder)
    assert list(zip(regions.image.tolist(), regions.label.tolist(), strict=True)) == [
        (0, CAR),
        (0, DOG),
        (1, PERSON),
        (3, CAR),
        (5, PERSON),
    ]
    assert regions.boxes.tolist() == [
        [2, 1, 6, 5],  # landscape: columns 18 to 26, less 16, halved
        [0, 0, 16, 12],  # around both dogs
        [2, 2, 12, 8],  # portrait: rows 20 to 40, less 16, halved; the crowd is not there
        [1, 1, 5, 3],  # rows 1.3 to 4.7, columns 0.7 to 2.8
        [1, 2, 2, 3],
    ]
    assert np.array_equal(regions.masks[1], filled(0, 0, 4, 8) | filled(4, 8, 16, 12))
    others = [0, 2, 3, 4]
    assert np.array_equal(regions.masks[others], regions.box_masks()[others, 0].numpy())


def test_an_object_outside_the_crop_leaves_its_label(folder):
    dataset, regions = read(folder)
    assert dataset.labels[5, DOG] == 1
    assert (5, DOG) not in list(zip(regions.image, regions.label, strict=True))


def test_a_turned_file_has_its_regions_turned(folder):
    """Orientation 6: the stored left is shown on top."""
    file = folder / "images" / name(9)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(file).copy().save(file, exif=exif)
    assert read(folder)[1].boxes[0].tolist() == [1, 16 - 6, 5, 16 - 2]


def test_without_annotations_there_are_no_regions(folder):
    write(folder, contents() | {"annotations": []})
    dataset, regions = read(folder)
    assert (len(regions), int(dataset.labels.sum())) == (0, 0)
    assert (dataset.counts["images without objects"], dataset.counts["classes without a test image"]) == (6, 3)


# the masks: image 9 is 64 wide, the crop begins at column 16 and two pixels become one


def test_polygons_are_drawn_and_prepared_like_the_image(folder):
    square, bar = [20, 4, 28, 4, 28, 12, 20, 12], [40, 20, 44, 20, 44, 30, 40, 30]
    assert np.array_equal(drawn(folder, [square]), filled(2, 2, 6, 6))
    assert np.array_equal(drawn(folder, [square, bar]), filled(2, 2, 6, 6) | filled(10, 12, 15, 14))


def test_a_slanted_polygon_is_not_its_box(folder):
    mask = drawn(folder, [[16, 0, 48, 0, 16, 32]])
    assert mask[:15, 0].all()
    assert abs(int(mask.sum()) - 128) < 16
    assert not mask[9:, 9:].any()


@pytest.mark.parametrize("as_text", [False, True])
def test_run_lengths_are_decoded(folder, as_text):
    mask = filled(4, 20, 12, 28, (32, 64))
    if as_text:
        code = codes.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    else:
        code = [20 * 32 + 4] + [8, 24] * 7 + [8, 32 - 12 + 36 * 32]  # down the columns, outside first
    assert np.array_equal(drawn(folder, {"counts": code, "size": [32, 64]}), filled(2, 2, 6, 6))


def test_the_text_of_run_lengths_is_read_as_pycocotools_writes_it():
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (7, 40), (300, 200)):
        for share in (0, 0.001, 0.3, 1):
            mask = rng.random((height, width)) < share
            edges = np.flatnonzero(np.diff(mask.ravel("F"), prepend=False))
            counts = np.diff([0, *edges, mask.size]).tolist()
            text = codes.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
            assert numbers(text) == counts
    assert numbers(text + "P") is None  # 32: more would follow


@pytest.mark.parametrize("nothing", [None, [], [[20, 4, 20, 4, 20, 4]], {"counts": [2048], "size": [32, 64]}])
def test_the_box_is_filled_where_the_mask_is_missing_or_empty(folder, nothing):
    assert np.array_equal(drawn(folder, nothing), filled(2, 1, 6, 5))


# the options


def test_a_limit_is_an_even_spread_with_its_regions(folder):
    whole, every = read(folder)
    dataset, regions = read(folder, limit=3)
    kept = [0, 2, 5]
    assert np.array_equal(dataset.images, whole.images[kept])
    assert torch.equal(dataset.labels, whole.labels[kept])
    assert [kept[i] for i in regions.image] == [0, 0, 5]
    assert np.array_equal(regions.boxes, every.boxes[[0, 1, 4]])
    assert (dataset.counts["crowd objects"], dataset.source) == (1, "COCO, 3 images of instances.json")
    assert len(read(folder, limit=6)[0]) == len(read(folder, limit=99)[0]) == 6


def test_a_large_set_stays_on_disk_and_gives_the_same_batches(folder, monkeypatch):
    monkeypatch.setattr(module, "PACK_LIMIT", 6 * 3 * 16 * 16)
    packed, regions = read(folder)
    monkeypatch.setattr(module, "PACK_LIMIT", 6 * 3 * 16 * 16 - 1)
    lazy, lazy_regions = read(folder)
    assert (packed.files, lazy.images) == (None, None)
    assert torch.equal(lazy.batch(range(6)), packed.batch(range(6)))
    assert np.array_equal(lazy_regions.masks, regions.masks)


@pytest.mark.parametrize("damage", ["broken", "missing"])
def test_a_skipped_image_is_counted_and_the_regions_still_find_theirs(folder, damage):
    whole, every = read(folder)
    (folder / "images" / name(25)).unlink()
    if damage == "broken":
        (folder / "images" / name(25)).write_bytes(b"broken")
    dataset, regions = read(folder, unreadable="skip")
    kept = [0, 2, 3, 4, 5]
    assert (dataset.counts["unreadable"], dataset.counts["images"], dataset.counts["crowd objects"]) == (1, 5, 1)
    assert np.array_equal(dataset.images, whole.images[kept])
    assert torch.equal(dataset.labels, whole.labels[kept])
    assert [kept[i] for i in regions.image] == [0, 0, 3, 5]
    assert np.array_equal(regions.boxes, every.boxes[[0, 1, 3, 4]])


def test_an_unreadable_image_is_named(folder):
    (folder / "images" / name(25)).write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"images/part1/000000000025\.jpg: cannot be read as an image"):
        read(folder)


def test_progress_sees_every_image_once(folder):
    seen = []
    read(folder, progress=lambda items: seen.extend(items) or items)
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"unreadable": "ignore"}, "^unreadable is 'ignore', expected 'error' or 'skip'$"),
        ({"limit": 2}, "^limit is 2, expected at least 3"),
        ({"channels": 2, "unreadable": "skip"}, "^channels is 2, expected 1"),
    ],
)
def test_an_option_out_of_range_is_refused(folder, options, expected):
    with pytest.raises(ValueError, match=expected):
        read(folder, **options)


# what is refused, before an image is read


def refused(folder, error, expected):
    with pytest.raises(error, match=expected):
        read(folder, progress=lambda items: pytest.fail("an image was about to be read"))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("image_id", 99, "is of image 99, expected the id of a listed image"),
        ("category_id", 2, "is of category 2, expected one of 1, 3, 18"),
        ("iscrowd", 2, "has iscrowd 2, expected 0 or 1"),
        ("iscrowd", None, "has iscrowd None, expected 0 or 1"),
    ],
)
def test_an_annotation_that_refers_to_nothing_known_is_named(folder, key, value, expected):
    data = contents()
    data["annotations"][1][key] = value
    write(folder, data)
    refused(folder, ValueError, rf"^{folder}/instances\.json: annotation 101 {expected}$")


@pytest.mark.parametrize(
    "box",
    [
        [4, 4, -1, 8],
        [4, 4, 8, -1],
        [-1.1, 4, 8, 8],
        [4, -1.1, 8, 8],
        [57, 4, 8.1, 8],
        [4, 25, 8, 8.1],
        [4, 4, float("nan"), 8],
        [4, 4, "8", 8],
        [4, 4, 8],
        None,
    ],
)
@pytest.mark.parametrize("crowd", [0, 1])
def test_a_box_that_does_not_fit_is_named(folder, box, crowd):
    data = contents()
    data["annotations"][1] |= {"bbox": box, "iscrowd": crowd}
    write(folder, data)
    expected = r"annotation 101 has the box .*, expected x, y, width, height inside 64×32$"
    refused(folder, ValueError, rf"^{folder}/instances\.json: {expected}")


def test_a_box_may_fill_the_image_and_stand_out_by_rounding(folder):
    data = contents()
    data["annotations"][2]["bbox"] = [-0.01, 0, 64.02, 32.01]
    write(folder, data)
    assert read(folder)[1].boxes[0].tolist() == [0, 0, 16, 16]


@pytest.mark.parametrize(
    "segmentation",
    [
        [[20, 4, 28, 12]],  # pycocotools would take it for a box
        [[20, 4, 28, 4, 28, 12, 20]],
        [[20, 4, 28, 4, 28, "12"]],
        [[20, 4, 28, 4, 1e9, 12]],  # would end the process
        [[20, 4, 28, 4, 28, -1e9]],
        [[20, 4, 28, 4, float("nan"), 12]],
        [20, 4, 28, 4, 28, 12],
        "text",
        {"counts": [2048], "size": [64, 32]},
        {"counts": [2047], "size": [32, 64]},
        {"counts": [-1, 2049], "size": [32, 64]},
        {"counts": "zzzz", "size": [32, 64]},  # pycocotools would return memory of its own
        {"counts": None, "size": [32, 64]},
        {"size": [32, 64]},
    ],
)
def test_a_segmentation_that_cannot_be_drawn_is_named(folder, segmentation):
    data = contents()
    data["annotations"][1]["segmentation"] = segmentation
    write(folder, data)
    refused(folder, ValueError, r"annotation 101 has a segmentation that cannot be drawn, expected polygons.* 32×64$")


@pytest.mark.parametrize(
    ("part", "key", "value", "expected"),
    [
        ("images", "width", 0, "image 42 is 0×32, expected whole numbers above 0"),
        ("images", "height", None, "image 42 is 64×None, expected whole numbers above 0"),
        ("images", "file_name", None, "image 42 has the file_name None, expected text"),
        ("images", "id", 9, "has more than one of images with the id 9, expected each id once"),
        ("annotations", "id", 105, "has more than one of annotations with the id 105, expected each id once"),
        ("categories", "id", 1, "has more than one of categories with the id 1, expected each id once"),
        ("categories", "name", "car", "has more than one category 'car', expected each name once"),
        ("categories", "name", None, "category 18 has the name None, expected a whole number and text"),
        ("categories", "id", "18", "category '18' has the name 'dog', expected a whole number and text"),
    ],
)
def test_a_malformed_entry_is_named(folder, part, key, value, expected):
    data = contents()
    data[part][0][key] = value
    write(folder, data)
    refused(folder, ValueError, rf"^{folder}/instances\.json: {expected}$")


@pytest.mark.parametrize("part", ["images", "annotations", "categories"])
def test_a_missing_list_is_named(folder, part):
    data = contents()
    del data[part]
    write(folder, data)
    refused(folder, ValueError, rf"^{folder}/instances\.json: has no {part}, expected a list of {part}$")


@pytest.mark.parametrize("part", ["images", "categories"])
def test_an_empty_list_is_named(folder, part):
    write(folder, contents() | {part: []})
    refused(folder, ValueError, rf"^{folder}/instances\.json: has no {part}, expected a list of {part}$")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"images": null}', '{"images": [{}]}', '{"annotations": [{"id": 1}]}', '{"categories": [7]}'],
)
def test_a_file_that_is_no_coco_json_is_named(folder, text):
    (folder / "instances.json").write_text(text)
    expected = (
        r"cannot be read as COCO annotations \(.*\), expected a JSON object of images, annotations and categories$"
    )
    refused(folder, ValueError, rf"^{folder}/instances\.json: {expected}")


def test_a_missing_image_is_named(folder):
    (folder / "images" / name(25)).unlink()
    expected = r"images/part1/000000000025\.jpg: no such file, expected the image that .*/instances\.json lists$"
    refused(folder, FileNotFoundError, expected)


@pytest.mark.parametrize(
    ("images", "instances", "expected"),
    [
        ("gone", "instances.json", "gone: no such folder, expected the images that .*/instances.json lists$"),
        ("images", "gone.json", r"gone\.json: no such file, expected annotations like instances_train2014\.json$"),
    ],
)
def test_a_wrong_path_is_named(folder, images, instances, expected):
    with pytest.raises(FileNotFoundError, match=rf"^{folder}/{expected}"):
        coco(folder / images, folder / instances)


def test_a_file_of_another_size_than_annotated_is_named(folder):
    Image.new("RGB", (32, 64)).save(folder / "images" / name(9))
    expected = r"000000000009\.jpg: stores 32×64 pixels, expected 64×32 as .*/instances\.json says$"
    with pytest.raises(ValueError, match=expected):
        read(folder, unreadable="skip")


@pytest.mark.parametrize("readable", [0, 2])
def test_too_few_readable_images_to_split_are_refused(folder, readable):
    for number in list(SHAPES)[readable:]:
        (folder / "images" / name(number)).write_bytes(b"broken")
    with pytest.raises(ValueError, match=rf"^there are {readable} readable image\(s\), expected at least 3"):
        read(folder, unreadable="skip")


# real data


def test_a_hundred_and_twenty_eight_real_photographs(tmp_path):
    archive = SHARED / "coco128.tar.xz"
    if not archive.exists():
        pytest.skip(f"{archive} is absent: real data sets are not part of the project")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, **SAFELY)
    dataset, regions = coco(tmp_path / "coco128" / "images", tmp_path / "coco128" / "instances.json")
    assert dataset.source == "COCO, 128 images of instances.json"
    assert dataset.images.shape == (128, 3, 64, 64)
    assert (len(dataset.classes), dataset.classes[0], dataset.classes[-1]) == (80, "person", "toothbrush")
    assert dataset.counts == {
        "images": 128,
        "objects": 929,
        "objects with a mask": 0,
        "crowd objects": 0,
        "flat objects": 0,
        "images with crowd or flat objects only": 0,
        "images without objects": 2,
        "regions": 346,
        "regions cropped away": 16,
        "classes without a test image": 60,
        "unreadable": 0,
    }
    assert [len(dataset.indices(split)) for split in ("train", "validation", "test")] == [102, 13, 13]
    assert int(dataset.labels.sum()) == 346 + 16
    assert (dataset.labels[regions.image, regions.label] == 1).all()
    bowls = regions.select((regions.image == 0) & (regions.label == dataset.classes.index("bowl")))
    assert bowls.boxes.tolist() == [[1, 0, 63, 64]]  # three: rows 4.31 to 473.53 of 480, wider than the crop


# the commonest classes


def test_the_commonest_classes_keep_their_order_and_the_others_are_background(folder):
    dataset, regions = coco(folder / "images", folder / "instances.json", size=32, classes=2)
    # images without crowds: dog 9, 34 and 42, car 9 and 34, person 25 and 42 (a tie: the smaller id)
    assert dataset.classes == ["person", "dog"]
    everything, _ = coco(folder / "images", folder / "instances.json", size=32)
    assert torch.equal(dataset.labels, everything.labels[:, [PERSON, DOG]])
    assert set(regions.label) <= {0, 1}


def test_fewer_than_two_classes_are_refused(folder):
    with pytest.raises(ValueError, match="classes is 1, expected at least 2"):
        coco(folder / "images", folder / "instances.json", size=32, classes=1)
