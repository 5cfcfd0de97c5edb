"""COCO: photographs with the boxes and outlines of all objects of 80 classes, in the COCO layout of one JSON file.

    images/000000000009.jpg ...       the folder that the `file_name` of every image lies in
    instances_train2014.json          images (id, file_name, width, height), annotations, categories

The classes are the categories in the order of their ids. An image has a label where it has at least one annotation of
the class with iscrowd = 0; crowds give neither label nor region and are counted, and so are flat objects, whose box
x, y, width, height has a side of 0 (the released training set has two). A box is in pixels of the stored file, from 0:

    left = x,   top = y,   right = x + width,   bottom = y + height

The segmentation (polygons or run lengths) gives the mask, the filled box where there is none. The objects of a class
in an image are one region, as `data.boxes` says.

Images are split 80/10/10 (seeded). They are not grouped: nothing says which photographs belong together. A class that
has no test image is counted, not refused: 80 classes do not all reach a small set's tenth.

torchvision's `CocoDetection` lists the files and pycocotools draws the masks; the images are not read through it, they
would be decoded twice. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014.
"""

import contextlib
import functools
import io
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from aecompanion.data.boxes import Annotated, Object, prepare
from aecompanion.data.dataset import Dataset
from aecompanion.data.regions import Regions

SLACK = 1  # pixels that a box may stand out of its image: the released boxes are rounded to hundredths


def coco(
    images: Path,
    instances: Path,
    *,
    size: int = 64,
    channels: int = 3,
    limit: int | None = None,
    classes: int | None = None,
    unreadable: str = "error",
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[Dataset, Regions]:
    """The images in `instances` (N×K labels) and a region per (image, class) pair that the crop leaves.

    Every annotation is checked before an image is read. `limit` takes an even spread over the images by id; `classes`
    keeps the so many that most images show (objects of the others count as background); `unreadable` is "error" or
    "skip" (leave out and count) as in `image_folder`. Raises FileNotFoundError for a missing folder or file, ValueError
    for contents that do not fit.
    """
    from torchvision.datasets import CocoDetection  # here: few sets are COCO's, and importing it is dear

    images, instances = Path(images), Path(instances)
    if not images.is_dir():
        raise FileNotFoundError(f"{images}: no such folder, expected the images that {instances} lists")
    if not instances.is_file():
        raise FileNotFoundError(f"{instances}: no such file, expected annotations like instances_train2014.json")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress
            listed = CocoDetection(images, instances)
    except (ValueError, AssertionError, KeyError, TypeError) as error:
        raise ValueError(
            f"{instances}: cannot be read as COCO annotations ({type(error).__name__}: {error}), "
            "expected a JSON object of images, annotations and categories"
        ) from error
    checked_lists(listed.coco, instances)
    if classes is not None and classes < 2:
        raise ValueError(f"classes is {classes}, expected at least 2")
    for annotation in listed.coco.dataset["annotations"]:
        checked_annotation(annotation, listed.coco, instances)
    categories = commonest(listed.coco, classes)
    return prepare(
        [annotated(listed.coco, number, categories, images, instances) for number in listed.ids],
        classes=[listed.coco.cats[number]["name"] for number in categories],
        kinds=["crowd", "flat"],
        source=lambda number: f"COCO, {number:,} images of {instances.name}",
        split=lambda kept: split_by_image(len(kept), seed),
        size=size,
        channels=channels,
        limit=limit,
        unreadable=unreadable,
        progress=progress,
    )


def annotated(listed, number: int, categories: list[int], images: Path, instances: Path) -> Annotated:
    """The image with the id `number` and its objects; masks are drawn when asked for, all at once would fill memory."""
    image = listed.imgs[number]
    objects, set_aside = [], Counter()
    for annotation in listed.imgToAnns[number]:
        if annotation["category_id"] not in categories:
            continue
        x, y, width, height = annotation["bbox"]
        if annotation.get("iscrowd", 0):
            set_aside["crowd"] += 1
        elif min(width, height) == 0:
            set_aside["flat"] += 1
        else:
            mask = functools.partial(listed.annToMask, annotation) if annotation.get("segmentation") else None
            label = categories.index(annotation["category_id"])
            objects.append(Object(label, (y, x, y + height, x + width), mask))
    return Annotated(images / image["file_name"], instances, (image["height"], image["width"]), objects, set_aside)


def commonest(listed, classes: int | None) -> list[int]:
    """The ids of the `classes` categories that most images show (all for None), by id."""
    single = [each for each in listed.dataset["annotations"] if not each.get("iscrowd", 0)]
    images = Counter(category for _, category in {(each["image_id"], each["category_id"]) for each in single})
    ranked = sorted(listed.cats, key=lambda number: (-images[number], number))
    return sorted(ranked[:classes])


def checked_lists(listed, instances: Path) -> None:
    """Raise ValueError where the JSON file lacks a list, lists an id or name twice, or an image lacks a value."""
    lists = {"images": listed.imgs, "categories": listed.cats, "annotations": listed.anns}
    for name, by_id in lists.items():
        entries = listed.dataset.get(name)
        if not isinstance(entries, list) or (not entries and name != "annotations"):
            raise ValueError(f"{instances}: has no {name}, expected a list of {name}")
        if len(by_id) < len(entries):
            number = Counter(entry["id"] for entry in entries).most_common(1)[0][0]
            raise ValueError(f"{instances}: has more than one of {name} with the id {number}, expected each id once")
    for number, category in listed.cats.items():
        if not (isinstance(number, int) and isinstance(category.get("name"), str)):
            name = category.get("name")
            raise ValueError(
                f"{instances}: category {number!r} has the name {name!r}, expected a whole number and text"
            )
    names = [category["name"] for category in listed.cats.values()]
    if len(set(names)) < len(names):
        name = Counter(names).most_common(1)[0][0]
        raise ValueError(f"{instances}: has more than one category {name!r}, expected each name once")
    for number, image in listed.imgs.items():
        if not isinstance(image.get("file_name"), str):
            raise ValueError(f"{instances}: image {number} has the file_name {image.get('file_name')!r}, expected text")
        sides = [image.get(side) for side in ("width", "height")]
        if not all(isinstance(side, int) and side > 0 for side in sides):
            raise ValueError(f"{instances}: image {number} is {sides[0]}×{sides[1]}, expected whole numbers above 0")


def checked_annotation(annotation: dict, listed, instances: Path) -> None:
    """Raise ValueError for an unknown image or category, a box that does not fit, or a malformed segmentation."""
    where = f"{instances}: annotation {annotation['id']}"
    image = listed.imgs.get(annotation["image_id"])
    if image is None:
        raise ValueError(f"{where} is of image {annotation['image_id']}, expected the id of a listed image")
    if annotation["category_id"] not in listed.cats:
        known = ", ".join(map(str, sorted(listed.cats)))
        raise ValueError(f"{where} is of category {annotation['category_id']}, expected one of {known}")
    if annotation.get("iscrowd", 0) not in (0, 1):
        raise ValueError(f"{where} has iscrowd {annotation['iscrowd']!r}, expected 0 or 1")
    width, height, box = image["width"], image["height"], annotation.get("bbox")
    inside = False
    if isinstance(box, list) and len(box) == 4 and all(isinstance(value, int | float) for value in box):
        x, y, w, h = box
        # a comparison with nan is false
        inside = -SLACK <= x <= x + w <= width + SLACK and -SLACK <= y <= y + h <= height + SLACK
    if not inside:
        raise ValueError(f"{where} has the box {box}, expected x, y, width, height inside {width}×{height}")
    drawn = annotation.get("segmentation")
    # pycocotools checks nothing: it reads memory that is not its own, or ends the process
    if drawn and not (polygons(drawn, max(height, width)) or run_lengths(drawn, height, width)):
        raise ValueError(
            f"{where} has a segmentation that cannot be drawn, expected polygons of at least 3 points x, y "
            f"near the image or run lengths (counts, size) of {height}×{width}"
        )


def polygons(drawn: object, side: int) -> bool:
    """Whether this is a list of polygons x1, y1, x2, y2, ... (four numbers would be a box) within a `side` of the
    image.
    """
    return isinstance(drawn, list) and all(
        isinstance(points, list)
        and len(points) >= 6
        and len(points) % 2 == 0
        and all(isinstance(value, int | float) and -side <= value <= 2 * side for value in points)
        for points in drawn
    )


def run_lengths(drawn: object, height: int, width: int) -> bool:
    """Whether this is a run-length code of an H×W mask, its counts as numbers or as pycocotools' text."""
    if not isinstance(drawn, dict) or drawn.get("size") != [height, width]:
        return False
    counts = drawn.get("counts")
    if isinstance(counts, str):
        counts = numbers(counts)
    return (
        isinstance(counts, list)
        and all(isinstance(count, int) and count >= 0 for count in counts)
        and sum(counts) == height * width
    )


def numbers(text: str) -> list[int] | None:
    """The counts in pycocotools' text, None where it breaks off: 5 bits a character, lowest first, from "0" on; bit 5
    says that more follow, bit 4 of the last is the sign; from the fourth on, the difference to the last but one.
    """
    counts, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - ord("0")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    return None if shift else counts


def split_by_image(count: int, seed: int) -> np.ndarray:
    """A split name per image, a tenth each for validation and test, at least one image (seeded): N names."""
    if count < 3:
        raise ValueError(f"there are {count} readable image(s), expected at least 3 (train, validation, test)")
    tenth = max(1, round(count / 10))
    drawn = np.random.default_rng(seed).permutation(count)
    split = np.full(count, "train", dtype=object)
    split[drawn[:tenth]] = "validation"
    split[drawn[tenth : 2 * tenth]] = "test"
    return split
