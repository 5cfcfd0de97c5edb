"""A folder of anybody's images as network input, with labels and boxes where it has them.

    ROOT/**/*.jpg ...      .jpg .jpeg .png .pgm .bmp .tif .tiff .webp; the first sub-folder's name is the label
    ROOT/boxes.csv         file, left, top, right, bottom (and label): optional, one row per box

What one file becomes: `data.pixels`. What would silently show something else is refused in one sentence, too:
several frames, fewer than `least` pixels on a side, and a long side of more than ASPECT short ones, of which the centre
crop would show less than a quarter.

Boxes are described in `data.own_boxes`.
"""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image

from aecompanion.data.files import one_line, visible_files
from aecompanion.data.own_boxes import box_mask, read_boxes
from aecompanion.data.pixels import check_unreadable, even_spread, read_image

SUFFIXES = (".jpg", ".jpeg", ".png", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
LEAST = 16  # pixels on the shorter side
ASPECT = 4  # longer side over shorter side
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


@dataclasses.dataclass(frozen=True, eq=False)
class OwnImages:
    """N prepared images of a folder.

    images: N×C×size×size in [0,1]. names: paths below the folder. labels: the first sub-folder, else the label of the
    first box, else None. boxes: N×1×size×size bool, the union of an image's boxes, empty where it has none.
    counts: what was found and left out. skipped: one sentence per file left out.
    """

    images: torch.Tensor
    names: list[str]
    labels: list[str | None]
    boxes: torch.Tensor
    counts: dict[str, int]
    skipped: list[str]

    def __len__(self) -> int:
        return len(self.names)


def own_images(
    root: str | Path,
    *,
    size: int,
    channels: int = 3,
    boxes: str | Path | None = None,
    unreadable: str = "error",
    least: int = LEAST,
    limit: int | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> OwnImages:
    """Every image below `root`, prepared for a network of this input size.

    Args:
        channels: 1 (grey) or 3 (RGB) of the result, whatever the files have.
        boxes: the file of boxes; by default ROOT/boxes.csv where that exists.
        unreadable: "error" (raise ValueError naming the file) or "skip" (leave the file out, count it, say why).
        least: pixels that each side of a file must have. limit: an even spread of so many files.

    Raises FileNotFoundError for a missing folder or file of boxes, ValueError for a folder without a readable image, a
    refused file, a row of boxes that names no image, lies outside it or is no box, and options out of range.
    """
    root = Path(root).expanduser()
    check_options(root, size=size, channels=channels, unreadable=unreadable, limit=limit)
    files, others = listing(root)
    rows = read_boxes(root, boxes, [name_of(file, root) for file in files])
    files = [files[i] for i in even_spread(len(files), limit)]
    pixels, masks, names, labels, skipped, cropped = [], [], [], [], [], 0
    for file in progress(files):
        name = name_of(file, root)
        own = [row for row in rows if row.name == name]
        try:
            image = read_own(file, channels=channels, size=size, least=least)
        except ValueError as error:
            if unreadable == "error":
                raise
            skipped.append(str(error))
            continue
        mask = box_mask(own, stored_size(file), size)
        cropped += bool(own) and not mask.any()
        pixels.append(image)
        masks.append(mask)
        names.append(name)
        labels.append(name.split("/")[0] if "/" in name else next((row.label for row in own if row.label), None))
    if not pixels:
        raise ValueError(f"{root}: none of its {len(files)} images can be used ({skipped[0]})")
    return OwnImages(
        images=torch.from_numpy(np.stack(pixels)).float().div_(255),
        names=names,
        labels=labels,
        boxes=torch.from_numpy(np.stack(masks))[:, None],
        counts={
            "images": len(names),
            "with a label": sum(label is not None for label in labels),
            "with a box": sum(bool(mask.any()) for mask in masks),
            "boxes cropped away": cropped,
            "skipped": len(skipped),
            "files of other kinds": others,
        },
        skipped=skipped,
    )


def check_options(root: Path, *, size: int, channels: int, unreadable: str, limit: int | None) -> None:
    """Raise for what does not depend on the files."""
    if not root.is_dir():
        kind = "is a file" if root.exists() else "no such folder"
        raise FileNotFoundError(f"{root}: {kind}, expected a folder of images")
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels}, expected 1 (grey) or 3 (RGB)")
    check_unreadable(unreadable)
    if size < 1 or (limit is not None and limit < 1):
        raise ValueError(f"size {size}, limit {limit}: expected at least 1")


def check_folder(root: str | Path) -> None:
    """Raise as `own_images` does for a folder that is missing or holds no image, without reading one."""
    root = Path(root).expanduser()
    check_options(root, size=1, channels=3, unreadable="skip", limit=None)
    listing(root)


def listing(root: Path) -> tuple[list[Path], int]:
    """The image files below `root` by name, and how many files of other kinds lie there (boxes.csv not counted).

    Hidden files are neither. ValueError for no image.
    """
    found = visible_files(root)
    files = [file for file in found if file.suffix.lower() in SUFFIXES]
    others = [file.name for file in found if file not in set(files) and file.name != "boxes.csv"]
    if not files:
        there = f" (there are {', '.join(others[:3])}{' and more' if len(others) > 3 else ''})" if others else ""
        raise ValueError(f"{root}: holds no images{there}, expected {' '.join(SUFFIXES)}")
    return files, len(others)


def name_of(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix()


def read_own(file: Path, *, channels: int, size: int, least: int = LEAST) -> np.ndarray:
    """One file as described above, uint8 C×size×size. Raises ValueError naming it and what was expected."""
    try:
        with Image.open(file) as opened:
            problem = refusal(opened, least)
    except Exception as error:  # Pillow raises whatever a damaged header leads to
        raise ValueError(f"{file}: cannot be read as an image ({one_line(error)})") from error
    if problem:
        raise ValueError(f"{file}: {problem}")
    return read_image(file, channels=channels, size=size)


def refusal(opened: Image.Image, least: int) -> str | None:
    """Why an image cannot be used, or None."""
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":  # a phone's JPEG with a second view: the first is the picture
        return f"holds {frames} frames, expected a single image"
    width, height = upright_size(opened)
    if min(width, height) < least:
        return f"is {width}×{height} pixels, expected at least {least} on each side"
    if max(width, height) > ASPECT * min(width, height):
        share = min(width, height) / max(width, height)
        return (
            f"is {width}×{height} pixels, of which the centre crop shows {share:.0%}, expected sides of at most "
            f"{ASPECT}:1 (cut it first)"
        )
    return None


def upright_size(opened: Image.Image) -> tuple[int, int]:
    """Width and height as a viewer shows the file."""
    turned = opened.getexif().get(ExifTags.Base.Orientation, 1) in TURNED
    return opened.size[::-1] if turned else opened.size


def stored_size(file: Path) -> tuple[int, int]:
    """`upright_size` of a file that can be read."""
    with Image.open(file) as opened:
        return upright_size(opened)


# labels


def class_indices(labels: Sequence[str | None], classes: Sequence[str], *, unknown: str = "error") -> torch.Tensor:
    """Labels as N indices of `classes`, -1 where an image has none: by name (capitals and "_" for " " do not matter) or
    by number. A label that is neither raises ValueError naming the nearest class, or with `unknown="none"` counts as
    none: a folder "holiday" is not meant as a class.
    """
    if unknown not in ("error", "none"):
        raise ValueError(f"unknown is {unknown!r}, expected 'error' or 'none'")
    plain = {}
    for index, name in enumerate(classes):
        plain.setdefault(simplified(name), index)  # of two classes with one name the first
    found = []
    for label in labels:
        if label is None:
            found.append(-1)
        elif simplified(label) in plain:
            found.append(plain[simplified(label)])
        elif label.isdigit() and int(label) < len(classes):
            found.append(int(label))
        elif unknown == "none":
            found.append(-1)
        else:
            near = difflib.get_close_matches(simplified(label), list(plain), 1)
            hint = f" (nearest: {classes[plain[near[0]]]!r})" if near else ""
            raise ValueError(
                f"label {label!r} is no class of the network, expected one of its {len(classes)} class names or a "
                f"number below that{hint}"
            )
    return torch.tensor(found)


def simplified(name: str) -> str:
    return name.strip().lower().replace("_", " ")
