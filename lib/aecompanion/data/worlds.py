"""Worlds with truth: pictures whose parts can be taken out exactly, so that the effect of each on a network is known.

    effect of part p on output c  =  f_c(x) - f_c(x without p),      x without p = x  outside the footprint of p

x is a picture, uint8 C×H×W; `without` is the same picture rendered once more with everything the same (background,
colours, noise, exposure, the other parts) but p. The equality outside the footprint holds bit for bit: clipping and
rounding to 8 bits act on each pixel alone, and a footprint holds every pixel that p touches, however thinly. It is
therefore a little wider than the mask that a region of a data set has (`data.regions`).

ChestWorld      `data.chest`: findings and the marker, on drawn radiographs
SceneWorld      `data.scenes`: digits on patches of photographs
ObjectWorld     `data.objects`: one digit, and on every second picture a watermark
`data.mosaics`  real photographs in a grid, for networks that know them; there `without` has several fillings

The intervention is the generator's: of a picture it answers "what if this digit had not been drawn", and nothing about
photographs that nobody composed. Judging explanations by such interventions: Hesse, Schaub-Meyer and Roth,
"FunnyBirds", ICCV 2023.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from aecompanion.data import objects
from aecompanion.data.chest import Phantoms
from aecompanion.data.lungs import FINDINGS
from aecompanion.data.pixels import bits, eight_bits
from aecompanion.data.scenes import KINDS, Scenes
from aecompanion.pipeline.rng import derive

NONE = -1  # label of a part that shows no class
MARKER, DIGIT, MARK = "marker", "digit", "mark"
MOST_TRIES = 1000  # pictures looked at for each that has enough parts


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A part of a picture: its name, the class that it shows (-1: none), and its footprint, H×W booleans."""

    name: str
    label: int
    mask: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A picture C×H×W uint8, its parts, and `without`, parts×fillings×C×H×W uint8: the same without each part."""

    name: str
    image: np.ndarray
    parts: tuple[Part, ...]
    without: np.ndarray

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError(f"picture {self.name!r} has no part, expected at least one")
        if len(self.without) != len(self.parts) or self.without.shape[2:] != self.image.shape:
            expected = f"{len(self.parts)}×fillings×{'×'.join(map(str, self.image.shape))}"
            raise ValueError(f"picture {self.name!r}: without is {self.without.shape}, expected {expected}")

    @property
    def masks(self) -> np.ndarray:
        """The footprints, parts×H×W booleans."""
        return np.stack([part.mask for part in self.parts])

    @property
    def labels(self) -> list[int]:
        """The classes that the picture shows, in the order of its parts, without repetition."""
        return list(dict.fromkeys(part.label for part in self.parts if part.label != NONE))


class World(Protocol):
    """A series of pictures; picture `index` depends on the world's seed and the index only."""

    name: str
    classes: list[str]
    channels: int
    size: int
    multi_label: bool

    def __len__(self) -> int: ...

    def picture(self, index: int) -> Picture: ...


def exact(picture: Picture) -> bool:
    """Whether every `without` equals the picture outside its part's footprint, bit for bit."""
    changed = (picture.without != picture.image).any(2)  # parts × fillings × H × W
    return not (changed & ~picture.masks[:, None]).any()


def numbers(enough: Callable[[int], bool], start: int, count: int) -> list[int]:
    """The first `count` numbers from `start` on that are enough. Raises ValueError where they are too rare."""
    last = start + MOST_TRIES * max(count, 1)
    found = list(itertools.islice(filter(enough, range(start, last)), count))
    if len(found) < count:
        raise ValueError(f"{len(found)} pictures from {start} to {last} have enough parts, expected {count}")
    return found


def place_in(world: World, index: int) -> int:
    """The index, checked. Raises IndexError outside 0 to len - 1."""
    if not 0 <= index < len(world):
        raise IndexError(f"index is {index}, expected 0 to {len(world) - 1}, a picture of {world.name!r}")
    return int(index)


@dataclasses.dataclass(frozen=True, eq=False)
class ChestWorld:
    """Phantoms with at least `least` parts (findings that are visible, and the marker), `count` of them, the first that
    come at or after number `start` of the series. A part that shows a finding has its class, the marker has none.
    """

    phantoms: Phantoms
    start: int = 0
    count: int = 100
    least: int = 2
    name: str = "chest"
    channels: int = 1
    multi_label: bool = True

    @property
    def classes(self) -> list[str]:
        return list(FINDINGS)

    @property
    def size(self) -> int:
        return self.phantoms.size

    @functools.cached_property
    def numbers(self) -> list[int]:
        """Which phantoms of the series they are."""
        return numbers(lambda number: self.visible(number) >= self.least, self.start, self.count)

    def visible(self, number: int) -> int:
        """How many parts phantom `number` shows; 0, without drawing it, where it has too few to begin with."""
        found, marked = self.phantoms.labels(number)
        if found.sum() + marked < self.least:
            return 0
        return sum(mask.any() for mask in self.phantoms.render(number)[1].values())

    def __len__(self) -> int:
        return self.count

    def picture(self, index: int) -> Picture:
        number = self.numbers[place_in(self, index)]
        image, masks = self.phantoms.render(number)
        shown = {name: mask for name, mask in masks.items() if mask.any()}  # one drawn too faintly leaves no trace
        parts = [Part(name, NONE if name == MARKER else FINDINGS.index(name), mask) for name, mask in shown.items()]
        without = [bits(self.phantoms.render(number, without=[name])[0])[None, None] for name in shown]
        return Picture(f"{self.name} {number}", bits(image)[None], tuple(parts), np.stack(without))


@dataclasses.dataclass(frozen=True, eq=False)
class SceneWorld:
    """Scenes of a split with at least `least` digits, `count` of them, the first from scene `start` on."""

    scenes: Scenes
    split: str = "test"
    least: int = 2
    start: int = 0
    count: int = 100
    channels: int = 3
    multi_label: bool = True

    @property
    def name(self) -> str:
        known = [name for name, kind in KINDS.items() if kind == self.scenes.kind]
        return known[0] if known else self.scenes.kind.name

    @property
    def classes(self) -> list[str]:
        return list(self.scenes.digits.classes)

    @property
    def size(self) -> int:
        return self.scenes.size

    @functools.cached_property
    def numbers(self) -> list[int]:
        """Which scenes of the split they are."""
        if self.least > self.scenes.kind.objects[1]:
            raise ValueError(f"least is {self.least}, expected at most {self.scenes.kind.objects[1]}, the most digits")
        enough = lambda number: len(self.scenes.footprints(number, self.split)) >= self.least  # noqa: E731
        return numbers(enough, self.start, self.count)

    def __len__(self) -> int:
        return self.count

    def picture(self, index: int) -> Picture:
        number = self.numbers[place_in(self, index)]
        image, _ = self.scenes.render(number, self.split)
        footprints = self.scenes.footprints(number, self.split)
        parts = [Part(self.classes[label], label, mask) for label, mask in footprints.items()]
        without = [bits(self.scenes.render(number, self.split, without=[label])[0])[None] for label in footprints]
        return Picture(f"{self.name} {number}", bits(image), tuple(parts), np.stack(without))


@dataclasses.dataclass(frozen=True, eq=False)
class ObjectWorld:
    """Objects of a split; on each, with a chance, a watermark (`data.objects.marked`) that shows no class.

    Args:
        scenes: `data.objects.object_scenes`. place: m, zeros and ones (default: the letters); strength: α.
        chance: of a watermark, which is drawn from (the scenes' seed, number), 1 for one on every picture.
    """

    scenes: Scenes
    split: str = "test"
    place: np.ndarray | None = None
    strength: float = 0.8
    chance: float = 0.5
    start: int = 0
    count: int = 100
    name: str = "objects"
    channels: int = 3
    multi_label: bool = False

    @property
    def classes(self) -> list[str]:
        return list(self.scenes.digits.classes)

    @property
    def size(self) -> int:
        return self.scenes.size // 2

    def __len__(self) -> int:
        return self.count

    def picture(self, index: int) -> Picture:
        number = self.start + place_in(self, index)
        image, label, _ = objects.rendered(self.scenes, number, self.split)
        bare, _, _ = objects.rendered(self.scenes, number, self.split, without=True)
        place = objects.mark(self.size) if self.place is None else self.place
        parts = [Part(DIGIT, label, objects.footprint(self.scenes, number, self.split))]
        name = f"{self.name} {number}"
        if np.random.default_rng(derive(self.scenes.seed, 1, number)).random() >= self.chance:
            return Picture(name, image, tuple(parts), bare[None, None])
        parts.append(Part(MARK, NONE, place > 0))
        both = torch.from_numpy(np.stack([image, bare])).float() / 255
        with_mark, alone = eight_bits(objects.marked(both, self.strength, place)).numpy()
        return Picture(name, with_mark, tuple(parts), np.stack([alone, image])[:, None])
