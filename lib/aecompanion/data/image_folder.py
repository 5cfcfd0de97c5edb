"""Any folder of labelled images: one sub-folder per class, or train/ and test/ folders with one sub-folder per class.

    ROOT/CLASS/*.jpg                      split 80/10/10 within each class (ORL, LFW, VGGFace2)
    ROOT/{train,val,test}/CLASS/*.jpg     the folder's own split (CIFAR-10, ImageNet)

Images may lie deeper below CLASS (Tiny-ImageNet: train/CLASS/images/); hidden files and folders hold none. Validation
images are taken from train/ where there is no val/ (or from test/, for networks whose published weights have seen
train/ and would be judged too well by it); val/ serves as the test split where there is no test/. A val/
folder without class folders (Tiny-ImageNet: val/images and val_annotations.txt) is read through that table.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from aecompanion.data.dataset import Dataset, split_by_sample
from aecompanion.data.files import image_files, text_of
from aecompanion.data.pixels import PACK_LIMIT, check_unreadable, even_spread, readable

SUFFIXES = {".jpg", ".jpeg", ".png", ".pgm"}
Listed = tuple[str, Path]  # class name, file


def image_folder(
    root: Path,
    *,
    size: int = 64,
    channels: int = 1,
    seed: int = 0,
    unreadable: str = "error",
    classes: int | None = None,
    limit: int | None = None,
    validation: str = "train",
    progress: Callable[[Iterable], Iterable] = iter,
) -> Dataset:
    """Every image below `root` in one of the layouts above, as a data set.

    Every file is decoded once here, so a broken one is found now and not in the middle of a training.
    `unreadable` is "error" (raise ValueError naming the file) or "skip" (leave it out and count it); `classes` keeps
    the first so many by name, `limit` so many images of every class in each part of the folder, an even spread over
    their names; `validation` is the part, "train" or "test", from which validation images are drawn. Raises
    FileNotFoundError for a missing root, ValueError for one without images, for a class that a test split has and
    train/ has not, and for a class with too few images to split.
    """
    root = Path(root)
    check_unreadable(unreadable)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder, expected one folder per class in it")
    parts = listing(root)
    names = sorted({name for part in parts.values() for name, _ in part})[:classes]
    if not names:
        raise ValueError(f"{root}: holds no images, expected CLASS/*.jpg, .jpeg, .png or .pgm")
    wanted = set(names)
    listed = [(part, name, file) for part in parts for name, file in parts[part] if name in wanted]
    if limit is not None:
        listed = spread(listed, limit)

    keep_pixels = len(listed) * channels * size * size <= PACK_LIMIT
    kept, pixels = [], []
    files = [file for *_, file in listed]
    check_names(files)
    for i, image in readable(files, channels=channels, size=size, unreadable=unreadable, progress=progress):
        part, name, file = listed[i]
        kept.append((part, names.index(name), str(file.resolve())))
        if keep_pixels:
            pixels.append(image)
    labels = np.array([label for _, label, _ in kept], int)
    return Dataset(
        images=np.stack(pixels) if keep_pixels and pixels else None,
        files=None if keep_pixels and pixels else [file for _, _, file in kept],
        labels=torch.from_numpy(labels),
        split=split(root, np.array([part for part, _, _ in kept], object), labels, names, seed, validation),
        classes=names,
        source=f"image folder {root.name}: {len(names)} classes",
        channels=channels,
        size=size,
        counts={"classes": len(names), "images": len(kept), "unreadable": len(listed) - len(kept)},
    )


def check_names(files: list[Path]) -> None:
    """Raises ValueError for a name that is not UTF-8, which the index of the set could not hold."""
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise ValueError(f"{str(file)!r}: the name is not UTF-8, expected one that is (convmv renames)") from None


def listing(root: Path) -> dict[str, list[Listed]]:
    """The images of each part of the folder, sorted by class and name: {"all": ...} or {"train": ..., "test": ...}."""
    if not (root / "train").is_dir():
        return {"all": by_class(root)}
    parts = {"train": by_class(root / "train")}
    for part in ("val", "test"):
        table = root / part / f"{part}_annotations.txt"
        if table.exists():
            parts[part] = sorted(table_rows(table))
        elif (root / part).is_dir():
            parts[part] = by_class(root / part)
    # Tiny-ImageNet and ImageNet ship test/ without labels: nothing there is in a class of train/
    known = {name for name, _ in parts["train"]}
    if "val" in parts and not known & {name for name, _ in parts.get("test", [])}:
        parts["test"] = parts.pop("val")
    return parts


def spread(listed: list[tuple[str, str, Path]], limit: int) -> list[tuple[str, str, Path]]:
    """At most `limit` images of every part and class, evenly spread. Raises ValueError for a limit below 3."""
    if limit < 3:
        raise ValueError(f"limit is {limit}, expected at least 3 images per class (train, validation, test)")
    groups: dict[tuple[str, str], list] = {}
    for row in listed:
        groups.setdefault(row[:2], []).append(row)
    return [rows[i] for rows in groups.values() for i in even_spread(len(rows), limit)]


def table_rows(table: Path) -> list[Listed]:
    """(class, file) of every line "file, class, box..." of a table beside images/. ValueError for another form."""
    rows = [line.split("\t") for line in text_of(table).splitlines() if line]
    if any(len(row) < 2 for row in rows):
        raise ValueError(f"{table}: has a line without tabs, expected file, class and box separated by tabs")
    return [(row[1], table.parent / "images" / row[0]) for row in rows]


def by_class(folder: Path) -> list[Listed]:
    """(class, file) of every image below folder/CLASS; loose images have no class."""
    files = [(file.relative_to(folder).parts, file) for file in image_files(folder, SUFFIXES)]
    return [(parts[0], file) for parts, file in files if len(parts) > 1]


def split(
    root: Path, part: np.ndarray, labels: np.ndarray, names: list[str], seed: int, validation: str = "train"
) -> np.ndarray:
    """Names of the splits: the folder's own, validation drawn from the part of that name where it has none."""
    flat = not (root / "train").is_dir()
    counts = np.bincount(labels[part == ("all" if flat else "train")], minlength=len(names))
    least = 3 if flat else 2
    for name, count in zip(names, counts, strict=True):
        if count < least:
            place = root / name if flat else root / "train" / name
            raise ValueError(f"{place}: {count} readable image(s), expected at least {least} per class")
    if flat:
        return split_by_sample(labels, seed, names=names)
    assigned = np.where(part == "val", "validation", part).astype(object)
    if "test" not in part:
        raise ValueError(f"{root}: has train/ but neither val/ nor test/ with the same classes")
    if "validation" not in assigned:
        if validation == "test":
            for name, count in zip(names, np.bincount(labels[part == "test"], minlength=len(names)), strict=True):
                if count == 1:  # it would be validation, and no test image be left
                    raise ValueError(f"{root / 'test' / name}: 1 readable image, expected none or at least 2 per class")
        whole = np.flatnonzero(part == validation)
        drawn = train_and_validation(labels[whole], seed)
        assigned[whole[drawn]] = "validation"
    return assigned


def train_and_validation(labels: np.ndarray, seed: int, share: float = 0.1) -> np.ndarray:
    """Positions of a stratified tenth (at least one per class), seeded."""
    drawn = []
    for label in np.unique(labels):
        members = np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero(labels == label))
        drawn.append(members[: max(1, round(share * len(members)))])
    return np.concatenate(drawn)
