"""PASCAL VOC 2007: photographs with the boxes of all objects of 20 classes, several classes in most images.

    root/VOCdevkit/VOC2007/ImageSets/Main/{train,val}.txt     ids, one a line (2,501 and 2,510 in the release)
    root/VOCdevkit/VOC2007/Annotations/ID.xml                 the objects of an image
    root/VOCdevkit/VOC2007/JPEGImages/ID.jpg

An image has a label where it has at least one object of the class that is not marked difficult; objects marked
difficult give neither label nor region and are counted. A box counts pixels from 1 and includes its last:

    left = xmin - 1,   top = ymin - 1,   right = xmax,   bottom = ymax     half-open, from 0, in the stored file

The objects of a class in an image are one region, as `data.boxes` says.

Where we depart: the paper's code trains on train, validates on val and reports on val again, so its figures are of the
images that chose its settings. Here train is the training split and val is halved (seeded) into validation and test.
The release's own test set stays unread.

torchvision's `VOCDetection` lists the files and reads the XML; its images are not used, they would be decoded twice.
Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 2010.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from aecompanion.data.boxes import Annotated, Box, Object, prepare
from aecompanion.data.dataset import Dataset
from aecompanion.data.files import text_of
from aecompanion.data.regions import Regions

CLASSES = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]
PARTS = ("train", "val")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def voc2007(
    root: Path,
    *,
    size: int = 64,
    channels: int = 3,
    limit: int | None = None,
    unreadable: str = "error",
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[Dataset, Regions]:
    """The images of train and val (N×20 labels) and a region per (image, class) pair that the crop leaves.

    Every annotation is checked before an image is read. `limit` takes an even spread over the images; `unreadable` is
    "error" or "skip" (leave out and count) as in `image_folder`. Raises FileNotFoundError for a missing folder, list,
    annotation or image, ValueError for contents that do not fit.
    """
    root = Path(root)
    from torchvision.datasets import VOCDetection  # here: few sets are VOC, and importing it is dear

    folder = root / "VOCdevkit" / "VOC2007"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder, expected the unpacked VOC 2007 (VOCdevkit/VOC2007)")
    listed, parts = [], []
    for part in PARTS:
        place = folder / "ImageSets" / "Main" / f"{part}.txt"
        if not place.is_file():
            raise FileNotFoundError(f"{place}: no such file, expected the ids of the {part} images")
        text_of(place)  # refused here where torchvision could not read it
        voc = VOCDetection(root, year="2007", image_set=part)
        if not len(voc):
            raise ValueError(f"{place}: lists no image, expected ids like 000012, one a line")
        listed += [annotated(Path(file), Path(xml)) for file, xml in zip(voc.images, voc.annotations, strict=True)]
        parts += [part] * len(voc)
    for file, times in Counter(image.file for image in listed).items():
        if times > 1:
            raise ValueError(f"{place.parent}: lists {file.stem} {times} times, expected each image once")
    return prepare(
        listed,
        classes=list(CLASSES),
        kinds=["difficult"],
        source=lambda number: f"PASCAL VOC 2007, {number:,} images",
        split=lambda kept: halved(np.array(parts)[kept], seed),
        size=size,
        channels=channels,
        limit=limit,
        unreadable=unreadable,
        progress=progress,
    )


def annotated(file: Path, xml: Path) -> Annotated:
    """The image `file` with the checked objects of its annotation `xml`."""
    from torchvision.datasets import VOCDetection

    if not xml.is_file():
        raise FileNotFoundError(f"{xml}: no such file, expected the annotation of {file.name}")
    try:
        tree = VOCDetection.parse_voc_xml(ElementTree.parse(xml).getroot())
    except ElementTree.ParseError as error:
        raise ValueError(f"{xml}: cannot be read as XML ({error})") from error
    tree = tree.get("annotation")
    if not isinstance(tree, dict):
        raise ValueError(f"{xml}: has no element annotation with children, expected filename, size and objects")
    if tree.get("filename") != file.name:
        raise ValueError(f"{xml}: annotates the image {tree.get('filename')!r}, expected {file.name!r}")
    shape = numbers(tree.get("size"), ("height", "width"))
    if shape is None or not all(side >= 1 and side.is_integer() for side in shape):
        raise ValueError(f"{xml}: states the size {tree.get('size')}, expected whole numbers width and height")
    objects, set_aside = [], Counter()
    for place, item in enumerate(tree["object"], 1):
        what = item if isinstance(item, dict) else {}
        name, difficult = what.get("name"), what.get("difficult", "0")
        if name not in CLASSES:
            raise ValueError(f"{xml}: object {place} has the class {name!r}, expected one of {', '.join(CLASSES)}")
        if difficult not in ("0", "1"):
            raise ValueError(f"{xml}: object {place} ({name}) has difficult {difficult!r}, expected 0 or 1")
        box = half_open(what.get("bndbox"), shape)
        if box is None:
            raise ValueError(
                f"{xml}: object {place} ({name}) has the box {what.get('bndbox')}, expected "
                f"1 ≤ xmin ≤ xmax ≤ {shape[1]:g} and 1 ≤ ymin ≤ ymax ≤ {shape[0]:g}"
            )
        if difficult == "1":
            set_aside["difficult"] += 1
        else:
            objects.append(Object(CLASSES.index(name), box))
    return Annotated(file, xml, (int(shape[0]), int(shape[1])), objects, set_aside)


def numbers(element: object, names: tuple[str, ...]) -> list[float] | None:
    """The children `names` of an element as numbers; None where one is missing or none."""
    try:
        return [float(element[name]) for name in names]
    except (TypeError, KeyError, ValueError):
        return None


def half_open(bndbox: object, shape: list[float]) -> Box | None:
    """A bndbox (from 1, last pixel included) as (top, left, bottom, right) from 0; None where it does not fit."""
    corners = numbers(bndbox, CORNERS)
    if corners is None:
        return None
    (xmin, ymin, xmax, ymax), (height, width) = corners, shape
    # a comparison with nan is false
    return (ymin - 1, xmin - 1, ymax, xmax) if 1 <= xmin <= xmax <= width and 1 <= ymin <= ymax <= height else None


def halved(part: np.ndarray, seed: int) -> np.ndarray:
    """The split of images of the parts "train" and "val", val halved (seeded; the odd one is a test image): N names."""
    split = np.full(len(part), "train", dtype=object)
    val = np.random.default_rng(seed).permutation(np.flatnonzero(part == "val"))
    if len(val) == len(part) or len(val) < 2:
        raise ValueError(
            f"train has {len(part) - len(val)} readable image(s) and val {len(val)}, "
            "expected at least 1 and 2 (train; validation, test)"
        )
    split[val] = "test"
    split[val[: len(val) // 2]] = "validation"
    return split
