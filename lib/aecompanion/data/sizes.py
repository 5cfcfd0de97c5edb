"""How large a data set is, without reading it: images per split, classes, side, objects in evaluated images.

A folder that is not on disk has the size that is published about it, by a part of its name.
"""

import dataclasses
from pathlib import Path

from aecompanion.data.image_folder import PACK_LIMIT, SUFFIXES
from aecompanion.pipeline.paths import ROOT

FINDINGS = 7  # of the radiographs' fourteen, those with boxes
# train, validation, test (images, or shares of a folder that the readers split), images, classes, objects per image
PUBLISHED = {
    "vggface2": (0.8, 0.1, 0.1, 3_310_000, 9_131, 0.0),  # Cao et al., FG 2018: 362 images per identity
    "imagenet200": (234_000, 26_000, 10_000, 270_000, 200, 0.0),  # 1,300 and 50 per class
    "imagenet": (1_153_050, 128_117, 50_000, 1_331_167, 1_000, 0.0),  # Russakovsky et al., IJCV 2015
    "cifar": (45_000, 5_000, 10_000, 60_000, 10, 0.0),
    "orl": (0.8, 0.1, 0.1, 400, 40, 0.0),  # Samaria and Harter, 1994
    "chestxray14": (0.8, 0.1, 0.1, 112_120, FINDINGS, 984 / 112_120),  # Wang et al., CVPR 2017
    "nih": (0.8, 0.1, 0.1, 112_120, FINDINGS, 984 / 112_120),
    "voc": (0.5, 0.25, 0.25, 5_011, 20, 1.5),  # Everingham et al., IJCV 2010: train and val
    "train2014": (0.8, 0.1, 0.1, 82_783, 80, 2.9),
    "val2014": (0.8, 0.1, 0.1, 40_504, 80, 2.9),
    "coco128": (0.8, 0.1, 0.1, 128, 80, 2.9),
}


@dataclasses.dataclass(frozen=True)
class Images:
    """A data set in numbers: images per split, classes, channels, side, objects in evaluated images."""

    train: int
    validation: int
    test: int
    classes: int
    channels: int
    size: int
    regions: int = 0
    folder: bool = False  # read from files in place of composed

    count = property(lambda self: self.train + self.validation + self.test)
    pixels = property(lambda self: self.channels * self.size**2)  # values of one image
    float = property(lambda self: 4 * self.pixels)  # bytes of one image in float32
    lazy = property(lambda self: self.folder and self.count * self.pixels > PACK_LIMIT)  # not packed: an index of files

    @property
    def disk(self) -> float:
        """Bytes that the prepared set takes: pixels, or 100 for the row of a file; masks at one bit per pixel."""
        return self.count * (100 if self.lazy else self.pixels) + self.regions * self.size**2 / 8


def split(total: int) -> tuple[int, int, int]:
    """80/10/10."""
    tenth = round(total / 10)
    return total - 2 * tenth, tenth, tenth


def from_folder(root: str, where: str, *, channels: int, size: int, classes=None, limit=None, per_class=None) -> Images:
    """A folder's set: the published numbers; where the folder is on disk its files counted, in the same proportions.

    `classes` keeps so many, `limit` so many images, `per_class` so many of every class in each part of the folder.
    Raises ValueError, naming the parameter `where`, for a folder that is neither on disk nor known by its name.
    """
    place = ROOT / Path(root).expanduser()
    known = next((name for name in PUBLISHED if name in root.lower()), None)
    if known is None and not place.is_dir():
        named = f"one named after a published set ({', '.join(PUBLISHED)})"
        raise ValueError(f"{where} is {root!r}: expected a folder on disk, or {named}")
    *parts, total, all_classes, objects = PUBLISHED[known] if known else (0.8, 0.1, 0.1, 0, 0, 1.0)
    if place.is_dir():
        total = sum(file.suffix.lower() in SUFFIXES for file in place.rglob("*"))
        all_classes = all_classes or sum(child.is_dir() for child in place.iterdir())
    kept = min(classes or all_classes, all_classes)
    wanted = min(total * kept // max(all_classes, 1), limit or total)
    train, validation, test = (wanted * part / sum(parts) for part in parts)
    if per_class is not None:
        flat = sum(parts) <= 1  # one folder that the reader splits; else test images have a folder of their own
        most = per_class * kept
        share = min(1, most / max(wanted if flat else train + validation, 1))
        train, validation, test = train * share, validation * share, test * share if flat else min(test, most)
    held = round(validation), round(test)
    rest = round(train + validation + test) - sum(held)
    return Images(rest, *held, kept, channels, size, round(sum(held) * objects), folder=True)
