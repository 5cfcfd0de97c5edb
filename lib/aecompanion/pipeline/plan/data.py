"""The data sets of a profile in numbers."""

import dataclasses
from typing import Any

from aecompanion.data.sizes import FINDINGS, Images, from_folder, split

PHOTOGRAPHS = 30  # classes of the photographs
BY_CLASS = ("faces_data", "photos_data", "objects_data")  # sections whose folders are one sub-folder per class


def data_sets(values: dict[str, dict[str, Any]]) -> dict[str, Images]:
    """The data sets of the composed parameters, by domain."""
    faces, photos, scenes = values["faces_data"], values["photos_data"], values["scenes_data"]

    def one(stage: str, root: str, composed: tuple[int, int, float], *, times=1, channels=3, classes=None) -> Images:
        """What the folder in parameter `root` holds, else `composed`: classes, channels, objects per image."""
        section = values[stage]
        if section[root] is not None:
            limit = {"per_class" if stage in BY_CLASS else "limit": section.get("limit")}
            options = {"channels": channels, "size": section["size"], "classes": classes, **limit}
            return from_folder(section[root], f"{stage}.{root}", **options)
        counts = [times * section[part] for part in ("train", "validation", "test")]
        return Images(*counts, *composed[:2], section["size"], round(composed[2] * sum(counts[1:])))

    options = {"channels": photos["channels"], "classes": photos["classes"], "times": PHOTOGRAPHS}
    found = {
        "photos": one("photos_data", "root", (PHOTOGRAPHS, 1, 0), **options),
        "digits": Images(*split(10 * (values["digits_data"]["samples"] or 500)), 10, 1, 28),
        "chest": one("chest_data", "root", (FINDINGS, 1, 1.5), channels=1, classes=FINDINGS),
        "voc": one("scenes_data", "voc_root", (10, 3, 2)),
        "coco": one("scenes_data", "coco_images", (10, 3, 4), classes=scenes["coco_classes"]),
        "objects": one("objects_data", "root", (10, 3, 1)),
    }
    identities = faces["identities"] or 100
    if faces["root"] is None:
        found["faces"] = Images(*split(identities * faces["samples"]), identities, 1, faces["size"])
    else:
        found["faces"] = one("faces_data", "root", (), channels=faces["channels"], classes=faces["identities"])
    held_out = {"train": 0, "validation": 0, "test": 0 if photos["root"] else PHOTOGRAPHS * photos["test"]}
    return found | {"held_out": dataclasses.replace(found["photos"], **held_out, folder=False)}
