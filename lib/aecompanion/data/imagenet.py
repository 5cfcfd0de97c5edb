"""Photographs with ImageNet labels, for networks that know the thousand classes.

    ROOT/val/WNID/*.jpg    any folder of ILSVRC-2012 by synset, or ROOT/WNID/*.jpg
    ROOT/classes.csv       index,wnid,name of the classes; where it is missing, timm's list of the 1,000 synsets

Without a folder the set is foolbox's twenty labelled photographs, whose class is part of the file's name. Every image
is in the split "test": nothing is trained here. The shorter side is scaled to `size` and the centre cropped.
"""

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from aecompanion.data import photos
from aecompanion.data.dataset import Dataset
from aecompanion.data.image_folder import SUFFIXES, by_class, check_names
from aecompanion.data.pixels import PACK_LIMIT, check_unreadable, even_spread, read_image, readable
from aecompanion.pipeline.paths import raw

CLASSES = 1000


def embedded(*, size: int, names: list[str]) -> Dataset:
    """foolbox's twenty photographs; `names`: of the thousand classes."""
    shipped = [name for name in photos.names() if name.startswith("imagenet_")]
    files = [raw(f"photos/{name}.jpg") for name in shipped]
    images = np.stack([read_image(file, channels=3, size=size) for file in files])
    labels = [int(name.rpartition("_")[2]) for name in shipped]
    return as_dataset(images, None, labels, names, size, "photographs shipped with foolbox", 0)


def folder(
    root: str | Path,
    *,
    size: int,
    names: list[str],
    limit: int | None = None,
    unreadable: str = "error",
    progress: Callable[[Iterable], Iterable] = iter,
) -> Dataset:
    """The photographs of a folder in one of the layouts above, or an even spread of `limit` of them.

    Args:
        names: of the thousand classes. unreadable: "error" (raise ValueError naming the file) or "skip" (count it).

    Raises FileNotFoundError for a missing folder, ValueError for one without images and for a sub-folder that is no
    synset of the classes.
    """
    root = Path(root)
    check_unreadable(unreadable)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder, expected val/WNID/*.jpg in it")
    listed = sorted(by_class(root / "val" if (root / "val").is_dir() else root))
    if not listed:
        raise ValueError(f"{root}: holds no images, expected val/WNID/*{', *'.join(sorted(SUFFIXES))}")
    known = synsets(root)
    strange = sorted({name for name, _ in listed} - set(known))
    if strange:
        raise ValueError(
            f"{root}: {strange[0]} is no synset of the {len(known)} classes, expected names like n01440764"
        )
    listed = [listed[i] for i in even_spread(len(listed), limit)]
    files = [file for _, file in listed]
    check_names(files)
    keep = len(files) * 3 * size * size <= PACK_LIMIT
    kept, pixels = [], []
    for i, image in readable(files, channels=3, size=size, unreadable=unreadable, progress=progress):
        kept.append(i)
        pixels += [image] if keep else []
    labels = [known[listed[i][0]] for i in kept]
    paths = None if keep else [str(files[i].resolve()) for i in kept]
    images = np.stack(pixels) if keep else None
    return as_dataset(
        images, paths, labels, names, size, f"ImageNet photographs of {root.name}", len(files) - len(kept)
    )


def as_dataset(images, files, labels: list[int], names: list[str], size: int, source: str, skipped: int) -> Dataset:
    return Dataset(
        images=images,
        files=files,
        labels=torch.tensor(labels),
        split=np.array(["test"] * len(labels), object),
        classes=names,
        source=source,
        channels=3,
        size=size,
        counts={"images": len(labels), "classes shown": len(set(labels)), "unreadable": skipped},
    )


def synsets(root: Path) -> dict[str, int]:
    """The index of every synset: by ROOT/classes.csv, else by timm's list, which is in the order of the classes.

    Raises ValueError naming the file for one without the columns index and wnid, or with an index beyond the thousand.
    """
    table = root / "classes.csv"
    if not table.is_file():
        from timm.data import ImageNetInfo

        return {wnid: index for index, wnid in enumerate(ImageNetInfo("imagenet-1k").label_names())}
    with table.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    try:
        found = {row["wnid"].strip(): int(row["index"]) for row in rows}
    except (KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"{table}: expected the columns index (a number) and wnid ({error!r})") from error
    if not found or not all(0 <= index < CLASSES for index in found.values()):
        raise ValueError(f"{table}: expected indices from 0 to {CLASSES - 1} of at least one synset")
    return found


def right_by_all(predictions: dict[str, torch.Tensor], labels: torch.Tensor) -> np.ndarray:
    """Positions of the images whose label every network names first; `predictions`: N class indices per network.

    Raises ValueError if there is none.
    """
    agreed = torch.stack([said == labels for said in predictions.values()]).all(0)
    if not agreed.any():
        raise ValueError(f"none of {len(labels)} images is named right by all {len(predictions)} networks")
    return agreed.nonzero()[:, 0].numpy()
