"""The data sets of a profile as numbers: images per split, classes, side, objects in evaluated images."""

import dataclasses
from pathlib import Path
from typing import Any

from lib.data.image_folder import PACK_LIMIT, SUFFIXES
from lib.paths import ROOT

FINDINGS, PHOTOGRAPHS = 7, 30  # classes of the chest phantoms and of the photographs
BY_CLASS = ("faces_data", "photos_data", "objects_data")  # sections whose folders are one sub-folder per class

# What is published about sets that are not on disk: train, validation, test, classes, boxed objects per image. Splits
# are those that the readers of lib.data make of the release.
PUBLISHED = {
    "vggface2": (0.8, 0.1, 0.1, 3_310_000, 9_131, 0.0),  # Cao et al., FG 2018: 362 images per identity
    "imagenet200": (234_000, 26_000, 10_000, 270_000, 200, 0.0),  # 1,300 and 50 per class
    "imagenet": (1_153_050, 128_117, 50_000, 1_331_167, 1_000, 0.0),  # Russakovsky et al., IJCV 2015
    "cifar": (45_000, 5_000, 10_000, 60_000, 10, 0.0),
    "orl": (0.8, 0.1, 0.1, 400, 40, 0.0),  # Samaria and Harter, 1994
    "chestxray14": (0.8, 0.1, 0.1, 112_120, FINDINGS, 984 / 112_120),  # Wang et al., CVPR 2017
    "nih": (0.8, 0.1, 0.1, 112_120, FINDINGS, 984 / 112_120),
    "voc": (0.5, 0.25, 0.25, 5_011, 20, 1.5),  # Everingham et al., IJCV 2010: train and val
    "train2014": (0.8, 0.1, 0.1, 82_783, 80, 2.9),  # Lin et al., ECCV 2014
    "val2014": (0.8, 0.1, 0.1, 40_504, 80, 2.9),
    "coco128": (0.8, 0.1, 0.1, 128, 80, 2.9),
}


@dataclasses.dataclass(frozen=True)
class Images:
    """A data set as the formulas need it: images per split, classes, channels, side, objects in evaluated images."""

    train: int
    validation: int
    test: int
    classes: int
    channels: int
    size: int
    regions: int = 0
    folder: bool = False  # read from files in place of composed

    @property
    def count(self) -> int:
        return self.train + self.validation + self.test

    @property
    def pixels(self) -> int:
        """Values of one image."""
        return self.channels * self.size**2

    @property
    def lazy(self) -> bool:
        """Too large to be packed: an index of files."""
        return self.folder and self.count * self.pixels > PACK_LIMIT

    @property
    def disk(self) -> float:
        """Bytes that the prepared set takes: pixels, or 100 for the row of a file; masks at one bit per pixel."""
        return self.count * (100 if self.lazy else self.pixels) + self.regions * self.size**2 / 8


def files_below(folder: Path) -> int:
    """Number of image files."""
    return sum(file.suffix.lower() in SUFFIXES for file in folder.rglob("*"))


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
        names = ", ".join(PUBLISHED)
        raise ValueError(
            f"{where} is {root!r}: expected a folder on disk, or one named after a published set ({names})"
        )
    *parts, total, all_classes, objects = PUBLISHED[known] if known else (0.8, 0.1, 0.1, 0, 0, 1.0)
    if place.is_dir():
        total = files_below(place)
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
    return Images(
        round(train + validation + test) - sum(held),
        *held,
        kept,
        channels,
        size,
        round(sum(held) * objects),
        folder=True,
    )


def data_sets(values: dict[str, dict[str, Any]]) -> dict[str, Images]:
    """The data sets of the composed parameters, by domain."""
    faces, photos, chest = values["faces_data"], values["photos_data"], values["chest_data"]
    scenes, objects = values["scenes_data"], values["objects_data"]

    def composed(section: dict, classes: int, channels: int, regions: float, times: int = 1) -> Images:
        counts = [times * section[part] for part in ("train", "validation", "test")]
        return Images(*counts, classes, channels, section["size"], round(regions * sum(counts[1:])))

    def given(name: str, parameter: str, classes: int | None = None, *, channels: int) -> Images | None:
        section = values[name]
        if section[parameter] is None:
            return None
        limit = "per_class" if name in BY_CLASS else "limit"
        options = {"channels": channels, "size": section["size"], "classes": classes, limit: section.get("limit")}
        return from_folder(section[parameter], f"{name}.{parameter}", **options)

    identities = faces["identities"] or 100
    found = {
        "faces": given("faces_data", "root", faces["identities"], channels=faces["channels"])
        or Images(*split(identities * faces["samples"]), identities, 1, faces["size"]),
        "photos": given("photos_data", "root", photos["classes"], channels=photos["channels"])
        or composed(photos, PHOTOGRAPHS, 1, 0, PHOTOGRAPHS),
        "digits": Images(*split(10 * (values["digits_data"]["samples"] or 500)), 10, 1, 28),
        "chest": given("chest_data", "root", FINDINGS, channels=1) or composed(chest, FINDINGS, 1, 1.5),
        "voc": given("scenes_data", "voc_root", channels=3) or composed(scenes, 10, 3, 2),
        "coco": given("scenes_data", "coco_images", scenes.get("coco_classes"), channels=3)
        or composed(scenes, 10, 3, 4),
        "objects": given("objects_data", "root", channels=3) or composed(objects, 10, 3, 1),
    }
    if photos["root"] is None:
        found["held_out"] = Images(0, 0, PHOTOGRAPHS * photos["test"], PHOTOGRAPHS, 1, photos["size"])
    return found
