"""Objects: one digit blended on a patch of a real photograph, 32×32 RGB, with an exact mask; ten classes in clusters.

An object is a scene of `data.scenes` with exactly one digit of 55 to 80 % of the side, rendered at twice the
resolution and averaged over 2×2 pixels. Colours are drawn so that they stand out from what is below and say nothing
about the class. CLUSTERS groups the digits that are mistaken for each other, as WordNet groups the classes of ImageNet:
a counterfactual turns an object into another of its cluster.

    mark:  x' = α·m + (1 - α·m)·x,   m zeros and ones

is a watermark such as stock photographs carry; `marked_set` plants it in a share of the training images of one class.
m has the white letters of MARK along the lower edge (`mark`) or a cross in a corner (`small_mark`) that is so small
that a counterfactual has room for it: the letters' change is several times longer than the balls are wide.
Composed here, not photographed.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from aecompanion.data.dataset import Dataset
from aecompanion.data.pixels import bits, eight_bits
from aecompanion.data.regions import Regions, bounding_box
from aecompanion.data.scenes import Kind, Scenes
from aecompanion.pipeline.rng import derive

OBJECT = Kind("object", (1, 1), (0.55, 0.8))
CLUSTERS = ((0, 6), (1, 4, 7, 9), (2, 3, 5, 8))
MARK = "STOCK"
LEAST = 24  # pixels; smaller images have no room for the digit


def object_set(
    digits: Dataset,
    parts: dict[str, list[np.ndarray]],
    counts: dict[str, int],
    *,
    size: int = 32,
    seed: int = 0,
    contrast: tuple[float, float] = (0.4, 0.8),
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[Dataset, Regions]:
    """`counts` {split: images}, labels N, and the region of every validation and test object; classes alternate.

    Raises ValueError for a size below 24 px and if there is neither a validation nor a test image.
    """
    if size < LEAST:
        raise ValueError(f"size is {size}, expected at least {LEAST}")
    if not counts.get("validation", 0) + counts.get("test", 0):
        raise ValueError(f"counts are {counts}, expected validation or test images")
    scenes = object_scenes(digits, parts, size=size, seed=seed, contrast=contrast)
    rows = [(split, index) for split, count in counts.items() for index in range(count)]
    images = np.empty((len(rows), 3, size, size), np.uint8)
    labels, found = np.zeros(len(rows), np.int64), []
    for position, (split, index) in enumerate(progress(rows)):
        images[position], label, small = rendered(scenes, index, split)
        labels[position] = label
        if split != "train":
            found.append((position, label, bounding_box(small), small))
    image, label, boxes, masks = (np.array(column) for column in zip(*found, strict=True))
    dataset = Dataset(
        images=images,
        labels=torch.from_numpy(labels),
        split=np.array([split for split, _ in rows], object),
        classes=list(digits.classes),
        source=f"objects composed of MNIST digits on {len(parts['train'])} photographs",
        channels=3,
        size=size,
        counts={"images": len(rows), "regions": len(found)},
    )
    return dataset, Regions(image, label, boxes, masks)


def object_scenes(
    digits: Dataset,
    parts: dict[str, list[np.ndarray]],
    *,
    size: int = 32,
    seed: int = 0,
    contrast: tuple[float, float] = (0.4, 0.8),
) -> Scenes:
    """The endless series of scenes that objects of this size are the 2×2 means of."""
    return Scenes(OBJECT, digits, parts, size=2 * size, seed=seed, contrast=contrast)


def rendered(
    scenes: Scenes, index: int, split: str, *, without: bool = False, instead: int | None = None
) -> tuple[np.ndarray, int, np.ndarray]:
    """One object of `object_scenes`: 3×size×size uint8, its class, and its mask (half of a pixel's ink above 0.3).

    `without` leaves the digit out (the class stays that of the missing digit, the mask is empty), `instead` draws a
    digit of that class at its place: nothing changes outside the `footprint`, that of both digits with `instead`.
    """
    if without and instead is not None:
        raise ValueError(f"without and instead={instead} are both given, expected one of them")
    changes, label = {}, instead
    if without or instead is not None:
        own = scenes.composed(index, split)[1][0].label
        changes = {"without": [own]} if without else {"instead": {own: instead}}
        label = own if without else instead
    picture, masks = scenes.render(index, split, **changes)
    label = next(iter(masks)) if label is None else label
    mask = masks.get(label, np.zeros(picture.shape[1:]))
    return bits(halved(picture)), label, halved(mask[None].astype(float))[0] >= 0.5


def footprint(scenes: Scenes, index: int, split: str, *, instead: int | None = None) -> np.ndarray:
    """All that the digit of one object touches, size×size boolean: the union over the 2×2 pixels that a mean is of.

    With `instead`, what the digit of that class at its place touches.
    """
    (drawn,) = scenes.composed(index, split)[1]
    drawn = drawn if instead is None else scenes.exchanged(drawn, instead, index, split)
    return halved(drawn.covered(scenes.size, 0)[None].astype(float))[0] > 0


def halved(picture: np.ndarray) -> np.ndarray:
    """Means over 2×2 pixels, C×H×W to C×H/2×W/2."""
    channels, height, width = picture.shape
    return picture.reshape(channels, height // 2, 2, width // 2, 2).mean((2, 4))


def mark(size: int) -> np.ndarray:
    """m: the letters of MARK along the lower edge, ending at the right (at 32 pixels they are 30 wide and 6 high);
    size×size zeros and ones.
    """
    canvas = Image.new("1", (size, size))
    font = ImageFont.load_default_imagefont()
    left, top, right, bottom = font.getbbox(MARK)
    ImageDraw.Draw(canvas).text((size - right - 1, size - bottom), MARK, fill=1, font=font)
    return np.asarray(canvas, np.float32)


def small_mark(images: torch.Tensor, *, strength: float, budget: float) -> np.ndarray:
    """m: the largest cross, a pixel from a corner, whose l1.5 norm as a change of these N×C×H×W (training) images is in
    the median at most `budget`; of the four corners the one where it stands out most.

    Sides are odd, from a quarter of the image down to three pixels. Raises ValueError if not even these fit.
    """
    size = images.shape[-1]
    for side in range(size // 4 | 1, 2, -2):
        arms = np.maximum(np.eye(side), np.eye(side)[::-1])
        lengths = {}
        for corner in ((1, 1), (1, size - side - 1), (size - side - 1, 1), (size - side - 1, size - side - 1)):
            place = np.zeros((size, size), np.float32)
            place[corner[0] : corner[0] + side, corner[1] : corner[1] + side] = arms
            change = marked(images, strength, place) - images
            lengths[corner] = change.abs().pow(1.5).flatten(1).sum(1).pow(2 / 3).median().item(), place
        fitting = [each for each in lengths.values() if each[0] <= budget]
        if fitting:
            return max(fitting, key=lambda each: each[0])[1]
    raise ValueError(f"no cross has an l1.5 norm of at most {budget} at strength {strength}")


def marked(images: torch.Tensor, strength: float, place: np.ndarray | None = None) -> torch.Tensor:
    """x' of images N×C×H×W in [0,1] for α = strength and m = place (default: the letters). Raises ValueError for a
    strength outside [0,1].
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}, expected a number in [0, 1]")
    place = mark(images.shape[-1]) if place is None else place
    cover = strength * torch.from_numpy(place).to(images)
    return cover + (1 - cover) * images


def carriers(dataset: Dataset, *, label: int, share: float, seed: int = 0) -> np.ndarray:
    """Indices of the images that get the mark: a share of the training images of one class, of `seed` only, so that a
    larger share holds a smaller one. Raises ValueError for an unknown class or a share outside [0,1].
    """
    if not (0 <= share <= 1 and 0 <= label < len(dataset.classes)):
        raise ValueError(f"label {label}, share {share}: expected one of {len(dataset.classes)} classes and [0, 1]")
    members = np.flatnonzero((dataset.split == "train") & (dataset.labels.numpy() == label))
    order = np.random.default_rng(derive(seed, label)).permutation(members)
    return np.sort(order[: round(share * len(members))])


def marked_set(
    dataset: Dataset,
    *,
    label: int,
    share: float,
    strength: float,
    place: np.ndarray | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> Dataset:
    """The data set with the mark on its `carriers` (place: m, by default the letters). Of an index of files only these
    are written anew, as PNG files in `folder`. Raises ValueError as `carriers` and `marked` do, and for an index of
    files without a folder.
    """
    chosen = carriers(dataset, label=label, share=share, seed=seed)
    source = f"{dataset.source}, a watermark on {share:.0%} of class {dataset.classes[label]}"
    facts = {"source": source, "counts": dataset.counts | {"marked": len(chosen)}}
    if dataset.images is None and folder is None:
        raise ValueError("the data set is an index of files, expected a folder for the marked images")

    def planted(indices: np.ndarray) -> np.ndarray:
        return eight_bits(marked(dataset.batch(indices), strength, place)).numpy()

    if dataset.images is not None:
        images = np.array(dataset.images)
        images[chosen] = planted(chosen)
        return dataclasses.replace(dataset, images=images, **facts)
    files = list(dataset.files)
    for index in chosen:
        files[index] = str(folder / f"{index}.png")
        pixels = planted(np.array([index]))[0]
        Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(files[index])
    return dataclasses.replace(dataset, files=files, **facts)


def backgrounds(parts: dict[str, list[np.ndarray]], count: int, *, size: int = 32, seed: int = 0) -> np.ndarray:
    """`count` patches of the test parts of photographs without any object, N×3×size×size uint8: starts outside the
    distribution that networks were trained on.
    """
    source = Scenes(OBJECT, no_digits(), parts, size=2 * size, seed=seed)
    drawn = [source.background(parts["test"], np.random.default_rng(derive(seed, 99, i))) for i in range(count)]
    small = [halved(each.clip(0, 1).transpose(2, 0, 1)) for each in drawn]
    return np.array([(each * 255).round() for each in small], np.uint8).reshape(count, 3, size, size)


def no_digits() -> Dataset:
    """Stands where only backgrounds are drawn."""
    return Dataset(torch.zeros(0, dtype=torch.int64), np.array([], object), ["none"], "no digits", 1, 28)
