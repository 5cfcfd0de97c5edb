"""Scenes: digits blended on patches of real photographs, several labels per image, boxes and masks exactly known.

    x = clip( Σ-over( α_k · colour_k  on  c·patch + (1 - c)·mean(patch) ) + σ·n ),   n ~ N(0, 1)

α_k is the ink of a real handwritten digit, turned, scaled to a side in `sides` and placed so that no two digits
overlap; its colour is drawn so that it stands out from what is below it, so colour says nothing about the class. c
lowers the contrast of the patch. Every scene has its own σ up to `grain`, which lets a network see noise of the size
that mask optimisation adds. Classes are drawn uniformly without repetition: each is in the same share of the scenes.

`VOC_LIKE` scenes have 1 to 3 objects, `COCO_LIKE` ones 2 to 6 smaller ones. They are composed here and have nothing of
PASCAL VOC or COCO but the number and relative size of objects; for the real data see `data.voc` and
`data.coco`. Scene `index` of a split depends on (seed, kind, split, index) only. Test scenes use digits
and parts of photographs (the right 40 %) that no training scene uses; validation scenes have digits of their own.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from aecompanion.data.dataset import SPLITS, Dataset
from aecompanion.data.drawn import Drawn, check_changes
from aecompanion.data.regions import Regions, bounding_box
from aecompanion.pipeline.rng import derive

WORKING_SIDE = 192  # shorter side of a photograph before patches are cut, pixels
KNOWN = 0.6  # share of a photograph's width that training and validation scenes use


@dataclasses.dataclass(frozen=True)
class Kind:
    """How many objects a scene has (lowest, highest) and their longer side, as a fraction of the image's side."""

    name: str
    objects: tuple[int, int]
    sides: tuple[float, float]


VOC_LIKE = Kind("VOC-like", (1, 3), (0.34, 0.5))
COCO_LIKE = Kind("COCO-like", (2, 6), (0.25, 0.34))
KINDS = {"voc": VOC_LIKE, "coco": COCO_LIKE}


def photograph_parts(files: Iterable[Path]) -> dict[str, list[np.ndarray]]:
    """Per split the part of each photograph that its patches come from, h×w×3 float in [0,1].

    The cut is made before scaling, which would mix pixels across it. Raises ValueError for no file.
    """
    left, right = [], []
    for file in files:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        cut = round(KNOWN * image.width)
        for parts, (start, end) in ((left, (0, cut)), (right, (cut, image.width))):
            part = image.crop((start, 0, end, image.height))
            scale = WORKING_SIDE / min(part.size)
            part = part.resize([round(side * scale) for side in part.size], Image.Resampling.LANCZOS)
            parts.append(np.asarray(part, np.float32) / 255)
    if not left:
        raise ValueError("no photograph given, expected at least one to take patches from")
    return {"train": left, "validation": left, "test": right}


@dataclasses.dataclass(frozen=True, eq=False)
class Scenes:
    """The endless series of scenes of one seed.

    Args:
        kind: number and size of objects. digits: a data set of single digits, 1×28×28. parts: `photograph_parts`.
        size: side in pixels. contrast: range of c. grain: largest standard deviation of the noise, pixel units.
    """

    kind: Kind
    digits: Dataset
    parts: dict[str, list[np.ndarray]]
    size: int = 64
    seed: int = 0
    contrast: tuple[float, float] = (0.4, 0.8)
    grain: float = 0.06

    def __post_init__(self) -> None:
        if self.size < 48:
            raise ValueError(f"size is {self.size}, expected at least 48 (small digits would not be legible)")
        if self.kind.objects[1] > len(self.digits.classes):
            raise ValueError(f"up to {self.kind.objects[1]} objects of {len(self.digits.classes)} classes, none twice")

    @functools.cached_property
    def members(self) -> dict[tuple[str, int], np.ndarray]:
        """The digits of every split and class, by position."""
        labels = self.digits.labels.numpy()
        pairs = [(split, label) for split in SPLITS for label in range(len(self.digits.classes))]
        return {pair: np.flatnonzero((self.digits.split == pair[0]) & (labels == pair[1])) for pair in pairs}

    def composed(self, index: int, split: str) -> tuple[np.ndarray, list[Drawn], np.ndarray]:
        """What the scene is made of: its background and its noise, size×size×3, and its digits in drawing order.

        Raises ValueError for an unknown split.
        """
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown, expected one of {', '.join(SPLITS)}")
        rng = np.random.default_rng(derive(self.seed, self.kind.objects[1], SPLITS.index(split), index))
        image = self.background(self.parts[split], rng)
        count = rng.integers(self.kind.objects[0], self.kind.objects[1] + 1)
        drawn: list[Drawn] = []
        taken = np.zeros((self.size, self.size), bool)
        for label in rng.permutation(len(self.digits.classes))[:count]:
            ink = self.ink(int(label), split, rng)
            place = free_place(taken, ink.shape, rng)
            if place is None:
                break  # a crowded scene ends with fewer objects
            top, left = place
            here = np.s_[top : top + ink.shape[0], left : left + ink.shape[1]]
            colour = contrasting(image[here].mean((0, 1)), rng)  # no other digit is there
            taken[here] = True
            drawn.append(Drawn(int(label), ink, (int(top), int(left)), colour))
        return image, drawn, rng.uniform(0, self.grain) * rng.standard_normal(image.shape)

    def render(
        self, index: int, split: str, *, without: Iterable[int] = (), instead: Mapping[int, int] | None = None
    ) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """The scene, 3×size×size float32 in [0,1], and the mask (size×size boolean) of each class in it.

        Args:
            without: labels to leave out. instead: label → the class whose digit is drawn at its place, see `exchanged`.

        Everything else stays as it is, bit for bit outside the footprints (ink above 0) of the digits in question; a
        mask holds the ink above 0.3. Raises ValueError for an unknown split, for a label that the scene does not have
        or that is in both arguments, and for a new class that is none or that the scene shows already.
        """
        image, drawn, noise = self.composed(index, split)
        without, instead = set(without), dict(instead or {})
        check_changes(without, instead, [each.label for each in drawn], len(self.digits.classes))
        masks: dict[int, np.ndarray] = {}
        for each in (each for each in drawn if each.label not in without):
            if each.label in instead:
                each = self.exchanged(each, instead[each.label], index, split)
            image[each.here] += each.ink[..., None] * (each.colour - image[each.here])
            masks[each.label] = each.covered(self.size, 0.3)
        image += noise
        return image.clip(0, 1).astype(np.float32).transpose(2, 0, 1), masks

    def footprints(self, index: int, split: str) -> dict[int, np.ndarray]:
        """All that each digit of the scene covers, however thinly: label → size×size boolean, ink above 0."""
        return {each.label: each.covered(self.size, 0) for each in self.composed(index, split)[1]}

    def exchanged(self, drawn: Drawn, label: int, index: int, split: str) -> Drawn:
        """A digit of another class in its place: same centre (moved into the image where it would stick out), same
        longer side, same colour; which one, and how it is turned, from a stream of its own. A wide digit in the place
        of a narrow one may touch its neighbours.
        """
        stream = derive(self.seed, self.kind.objects[1], SPLITS.index(split), index, 1 + drawn.label, label)
        ink = self.ink(label, split, np.random.default_rng(stream), longest=max(drawn.ink.shape))
        corners = zip(drawn.place, drawn.ink.shape, ink.shape, strict=True)
        top, left = (min(max(0, start + (old - new) // 2), self.size - new) for start, old, new in corners)
        return Drawn(label, ink, (top, left), drawn.colour)

    def background(self, parts: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """A patch of a photograph with lowered contrast, size×size×3."""
        part = parts[rng.integers(len(parts))]
        side = int(rng.uniform(0.35, 0.9) * min(part.shape[:2]))
        top, left = (rng.integers(length - side + 1) for length in part.shape[:2])
        patch = Image.fromarray((part[top : top + side, left : left + side] * 255).astype(np.uint8))
        patch = np.asarray(patch.resize((self.size, self.size), Image.Resampling.BILINEAR), float) / 255
        if rng.random() < 0.5:
            patch = patch[:, ::-1]
        return patch.mean((0, 1)) + rng.uniform(*self.contrast) * (patch - patch.mean((0, 1)))

    def ink(self, label: int, split: str, rng: np.random.Generator, *, longest: int | None = None) -> np.ndarray:
        """How much a digit of this class covers what is below it, h×w in [0,1]; turned and scaled, cut to its box.

        `longest`: the longer side in pixels, drawn from the kind's `sides` where it is None.
        """
        members = self.members[split, label]
        digit = Image.fromarray(np.asarray(self.digits.images[members[rng.integers(len(members))], 0]))
        large = digit.resize((56, 56), Image.Resampling.BICUBIC)  # enlarged first, so that turning keeps strokes
        turned = np.asarray(large.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR))
        top, left, bottom, right = bounding_box(turned > 64)
        side = rng.uniform(*self.kind.sides) * self.size if longest is None else longest
        scale = side / max(bottom - top, right - left)
        height, width = (max(4, round(length * scale)) for length in (bottom - top, right - left))
        cut = Image.fromarray(turned[top:bottom, left:right]).resize((width, height), Image.Resampling.BOX)
        return (1.3 * np.asarray(cut, float) / 255).clip(0, 1)


def free_place(taken: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> tuple[int, int] | None:
    """Top and left of a random place where a box of that shape touches nothing taken; None where there is none."""
    sums = np.pad(taken.astype(int).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows, columns = shape
    inside = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    places = np.argwhere(inside == 0)
    return tuple(places[rng.integers(len(places))]) if len(places) else None


def contrasting(below: np.ndarray, rng: np.random.Generator, least: float = 0.35) -> np.ndarray:
    """A random RGB colour whose luminance differs by at least `least` from that of the colour below it."""
    while True:
        candidates = rng.uniform(0, 1, (16, 3))
        red, green, blue = (candidates - below).T
        # not a matrix product: libraries add in the order that suits the processor
        fitting = np.abs(0.299 * red + 0.587 * green + 0.114 * blue) >= least
        if fitting.any():
            return candidates[fitting.argmax()]


def scene_set(
    scenes: Scenes, counts: dict[str, int], *, progress: Callable[[Iterable], Iterable] = iter
) -> tuple[Dataset, Regions]:
    """A data set of `counts` {split: scenes} with labels N×10, and the regions of every object in its validation and
    test scenes. Raises ValueError for an unknown split or if there is neither a validation nor a test scene.
    """
    if not counts.get("validation", 0) + counts.get("test", 0):
        raise ValueError(f"counts are {counts}, expected validation or test scenes")
    rows = [(split, index) for split, count in counts.items() for index in range(count)]
    classes, size = scenes.digits.classes, scenes.size
    images = np.empty((len(rows), 3, size, size), np.uint8)
    labels = np.zeros((len(rows), len(classes)), np.int64)
    found: list[tuple] = []
    for position, (split, index) in enumerate(progress(rows)):
        picture, masks = scenes.render(index, split)
        images[position] = (picture * 255).round()
        labels[position, list(masks)] = 1
        if split != "train":
            found += [(position, label, bounding_box(mask), mask) for label, mask in sorted(masks.items())]
    image, label, boxes, masks = (np.array(column) for column in zip(*found, strict=True))
    dataset = Dataset(
        images=images,
        labels=torch.from_numpy(labels),
        split=np.array([split for split, _ in rows], object),
        classes=list(classes),
        source=f"{scenes.kind.name} scenes composed of MNIST digits on {len(scenes.parts['train'])} photographs",
        channels=3,
        size=size,
        counts={"images": len(rows), "objects": int(labels.sum()), "regions": len(found)},
    )
    return dataset, Regions(image, label, boxes, masks)
