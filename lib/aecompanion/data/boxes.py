"""Photographs annotated object by object, in pixels of the stored file, as a data set with regions.

With W×H the stored size, S = min(W, H) and s = size / S, the prepared image of `read_image` shows the point (x, y) at

    s·(x - (W - S)/2), s·(y - (H - S)/2)                 scaled and cropped at the centre

and a box or mask covers the share c in [0,1] of each of the size×size prepared pixels. The prepared mask of an object
is c ≥ min(1, max c)/2: half a pixel counts, and an object thinner than that keeps the pixels that it covers most.
An EXIF orientation turns the prepared mask as it turns the image: the centre crop is square, so both orders agree.

A region is one (image, class) pair: its mask is the union of the prepared masks of the image's objects of that class,
its box the bounding box of that union.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps

from aecompanion.data.dataset import Dataset
from aecompanion.data.pixels import PACK_LIMIT, check_unreadable, even_spread, readable
from aecompanion.data.regions import Regions, bounding_box

Box = tuple[float, float, float, float]  # top, left, bottom, right in stored pixels, half-open


class Object(NamedTuple):
    """One annotated object: class index, box and, where something finer is known, what gives its H×W mask."""

    label: int
    box: Box
    mask: Callable[[], np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class Annotated:
    """One image file, the file that annotates it, the H×W it states, its objects, and how many objects of each kind
    were set aside: they give neither label nor region.
    """

    file: Path
    annotation: Path
    shape: tuple[int, int]
    objects: list[Object]
    set_aside: Counter


def prepare(
    listed: Sequence[Annotated],
    *,
    classes: list[str],
    kinds: Sequence[str],
    source: Callable[[int], str],
    split: Callable[[np.ndarray], np.ndarray],
    size: int,
    channels: int,
    limit: int | None,
    unreadable: str,
    progress: Callable[[Iterable], Iterable],
) -> tuple[Dataset, Regions]:
    """Read the images `listed` and reduce their objects to regions (none at all is possible).

    `kinds` are those set aside; `source` gets the number of images kept, `split` their positions in `listed`.
    `limit` takes an even spread over the images; `unreadable` is "error" or "skip" (leave out and count).
    Raises FileNotFoundError for a missing image, ValueError for an unreadable one, for one whose stored size is not
    the annotated one, and for options out of range.
    """
    check_unreadable(unreadable)
    if channels not in (1, 3):  # read_image says so too, but as of an unreadable file
        raise ValueError(f"channels is {channels}, expected 1 (grey) or 3 (RGB)")
    if limit is not None and limit < 3:
        raise ValueError(f"limit is {limit}, expected at least 3 (train, validation, test)")
    chosen = even_spread(len(listed), limit)
    if unreadable == "error":
        for image in (listed[i] for i in chosen):
            if not image.file.is_file():
                raise FileNotFoundError(f"{image.file}: no such file, expected the image that {image.annotation} lists")

    keep_pixels = len(chosen) * channels * size * size <= PACK_LIMIT
    kept, pixels, pairs, cropped = [], [], [], 0
    files = [listed[i].file for i in chosen]
    for place, image in readable(files, channels=channels, size=size, unreadable=unreadable, progress=progress):
        i = chosen[place]
        for label, mask in prepared_masks(listed[i], size).items():
            if mask.any():
                pairs.append((len(kept), label, bounding_box(mask), mask))
            else:
                cropped += 1
        kept.append(i)
        if keep_pixels:
            pixels.append(image)

    splits = split(np.array(kept, int))
    images = [listed[i] for i in kept]
    labels = torch.zeros(len(kept), len(classes), dtype=torch.int64)
    for row, image in zip(labels, images, strict=True):
        row[[item.label for item in image.objects]] = 1
    several = " or ".join(kinds)
    without_label = [image for image in images if not image.objects]
    dataset = Dataset(
        images=np.stack(pixels) if keep_pixels else None,
        files=None if keep_pixels else [str(image.file.resolve()) for image in images],
        labels=labels,
        split=splits,
        classes=classes,
        source=source(len(kept)),
        channels=channels,
        size=size,
        counts={
            "images": len(kept),
            "objects": sum(len(image.objects) for image in images),
            "objects with a mask": sum(item.mask is not None for image in images for item in image.objects),
            **{f"{kind} objects": sum(image.set_aside[kind] for image in images) for kind in kinds},
            f"images with {several} objects only": sum(image.set_aside.total() > 0 for image in without_label),
            "images without objects": sum(image.set_aside.total() == 0 for image in without_label),
            "regions": len(pairs),
            "regions cropped away": cropped,
            "classes without a test image": int((labels[splits == "test"].sum(0) == 0).sum()),
            "unreadable": len(chosen) - len(kept),
        },
    )
    return dataset, regions(pairs, size)


def regions(pairs: list[tuple[int, int, tuple[int, int, int, int], np.ndarray]], size: int) -> Regions:
    """(position, class, box, mask) of every pair, in this order, as regions."""
    return Regions(
        image=np.array([position for position, *_ in pairs], int),
        label=np.array([label for _, label, *_ in pairs], int),
        boxes=np.array([box for _, _, box, _ in pairs], int).reshape(-1, 4),
        masks=np.array([mask for *_, mask in pairs], bool).reshape(-1, size, size),
    )


def prepared_masks(image: Annotated, size: int) -> dict[int, np.ndarray]:
    """The size×size mask of each class that `image` has an object of, by class; empty where all was cropped away."""
    with Image.open(image.file) as opened:
        shape, orientation = opened.size[::-1], opened.getexif().get(ExifTags.Base.Orientation, 1)
    if shape != image.shape:
        stored, stated = (f"{width}×{height}" for height, width in (shape, image.shape))
        raise ValueError(f"{image.file}: stores {stored} pixels, expected {stated} as {image.annotation} says")
    masks = {}
    for label, box, mask in sorted(image.objects, key=lambda item: item.label):
        one = prepared_mask(box, shape, size, mask=mask and mask())
        masks[label] = masks[label] | one if label in masks else one
    return {label: upright(mask, orientation) for label, mask in masks.items()}


def prepared_mask(box: Box, shape: tuple[int, int], size: int, *, mask: np.ndarray | None = None) -> np.ndarray:
    """One object of a file of `shape` H×W as a size×size bool mask: of its H×W mask, or where that is None or empty of
    its filled box. Empty where the centre crop leaves nothing of it.
    """
    if mask is not None and mask.any():
        top, left, bottom, right = bounding_box(mask)  # the rest of a large photograph need not be multiplied
        inside, rows, columns = mask[top:bottom, left:right], np.arange(top, bottom + 1), np.arange(left, right + 1)
    else:
        top, left, bottom, right = box
        inside, rows, columns = np.ones((1, 1)), np.array([top, bottom]), np.array([left, right])
    (height, width), short = shape, min(shape)
    covered = shares(rows, height, short, size).T @ inside @ shares(columns, width, short, size)
    if covered.max() < 1e-6:  # an edge that meets the crop's within rounding is no overlap
        return np.zeros((size, size), bool)
    return covered >= min(1, covered.max()) / 2 - 1e-9


def shares(edges: np.ndarray, side: int, short: int, size: int) -> np.ndarray:
    """k+1 ascending `edges` along a side as the k×size shares that the k intervals cover of each prepared pixel."""
    places = ((edges - (side - short) / 2) * size / short)[:, None]
    pixel = np.arange(size)
    return np.clip(np.minimum(places[1:], pixel + 1) - np.maximum(places[:-1], pixel), 0, None)


def upright(mask: np.ndarray, orientation: int) -> np.ndarray:
    """A mask turned as `read_image` turns an image with this EXIF orientation (1 to 8)."""
    picture = Image.fromarray(mask.astype(np.uint8))
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return np.asarray(ImageOps.exif_transpose(picture)).astype(bool)
