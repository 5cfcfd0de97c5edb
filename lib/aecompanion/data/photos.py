"""Real photographs that packages ship: as network input, and as an instance recognition problem made of crops.

`photograph` gives one of the labelled photographs (foolbox's twenty and scikit-image's cat) for an ImageNet network.

`crops` composes a classification problem from thirty photographs: a class is one photograph, a sample of it a seeded
crop, 64×64 grey,

    x = clip( c·(W_θ(photograph)·light - 1/2) + 1/2 + σ·n ),   n ~ N(0, 1)

with W_θ a similarity warp (position, scale, rotation, flip), `light` a linear ramp and c the contrast. Crop j of
photograph i depends on (seed, i, region, j) only, and on no processor (`data.exact`). Training, validation and test
crops come from the left 60 % of each photograph and may overlap, so their test accuracy says "recognises a known
photograph"; held-out crops come from the right 40 %, which no training crop touches.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from aecompanion.data.dataset import Dataset
from aecompanion.data.exact import normal, turn, warp
from aecompanion.data.pixels import bits, read_image
from aecompanion.data.sources import manifest
from aecompanion.data.variation import illuminate, symmetric
from aecompanion.pipeline.paths import raw
from aecompanion.pipeline.rng import generator

CHELSEA = 285  # "Egyptian cat": the closest ImageNet class; scikit-image gives none
KNOWN, HELD_OUT = (0.0, 0.6), (0.6, 1.0)  # horizontal parts of each photograph
WORKING_SIDE = 256  # shorter side of a photograph before cropping, pixels


@dataclasses.dataclass(frozen=True)
class Variation:
    """Ranges of the uniform variations. Sides are fractions of the photograph's shorter side, angles degrees."""

    smallest: float = 0.25
    largest: float = 0.4
    rotation: float = 15.0
    flip: bool = True
    light: float = 0.35
    contrast: float = 0.3
    noise: float = 0.04  # standard deviation, pixel units


def names() -> list[str]:
    """The names `photograph` knows: chelsea, then foolbox's photographs by number."""
    listed = (Path(source.path) for source in manifest())
    return ["chelsea", *sorted(path.stem for path in listed if path.match("photos/imagenet_*.jpg"))]


def photograph(name: str, *, size: int = 224) -> tuple[torch.Tensor, int]:
    """One photograph as 1×3×size×size in [0,1] (shorter side scaled, centre crop) and its ImageNet class index.

    Raises ValueError for an unknown name, FileNotFoundError while data/ is empty.
    """
    if name not in names():
        raise ValueError(f"photograph {name!r} is unknown, expected one of: {', '.join(names())}")
    file = raw("photos/chelsea.png" if name == "chelsea" else f"photos/{name}.jpg")
    label = CHELSEA if name == "chelsea" else int(name.split("_")[-1])
    return torch.from_numpy(read_image(file, channels=3, size=size).copy())[None].float() / 255, label


def files() -> dict[str, Path]:
    """The thirty photographs of the manifest by class name. Raises FileNotFoundError while data/ is incomplete."""
    listed = sorted(source.path for source in manifest() if source.path.startswith("photos/"))
    return {Path(path).stem: raw(path) for path in listed}


def region(file: Path, part: tuple[float, float], side: int = WORKING_SIDE) -> np.ndarray:
    """The horizontal part [from, to) of a photograph, grey, h×w in [0,1], the shorter side scaled to `side`."""
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened).convert("L")
    scale = side / min(image.size)
    left, right = (round(end * image.width) for end in part)
    image = image.crop((left, 0, right, image.height))  # before scaling, which would mix pixels across the cut
    image = image.resize([round(length * scale) for length in image.size], Image.Resampling.LANCZOS)
    return np.asarray(image, float) / 255


def crop(area: np.ndarray, gen: torch.Generator, *, size: int, variation: Variation) -> np.ndarray:
    """One sample, size×size in [0,1], float64, of an area h×w; all randomness from `gen`."""
    height, width = area.shape
    uniform = symmetric(gen)
    share = (variation.smallest + variation.largest) / 2 + uniform((variation.largest - variation.smallest) / 2)
    side = share * WORKING_SIDE
    cos, sin = turn(uniform(variation.rotation) / 360)
    mirror = -1.0 if variation.flip and uniform(1) < 0 else 1.0
    reach = side * (cos + abs(sin)) / 2  # half the side of the box around the turned square
    x = uniform(max(0.0, 1 - 2 * reach / width))
    y = uniform(max(0.0, 1 - 2 * reach / height))
    theta = [
        [mirror * cos * side / width, -sin * side / width, x],
        [mirror * sin * side / height, cos * side / height, y],
    ]
    # twice the size, then averaged: without it, edges of large crops would alias
    fine = warp(area, theta, 2 * size, cubic=False)
    image = (fine[::2, ::2] + fine[::2, 1::2] + fine[1::2, ::2] + fine[1::2, 1::2]) / 4
    image = illuminate(image, uniform, light=variation.light, contrast=variation.contrast)
    return (image + variation.noise * normal(gen, image.shape)).clip(0, 1)


def crops(
    photographs: dict[str, Path],
    *,
    counts: dict[str, int],
    held_out: bool = False,
    size: int = 64,
    seed: int = 0,
    variation: Variation | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Dataset:
    """`counts` (crops per photograph and split) of each photograph, from the known part or from the held-out part.

    Raises ValueError for an unknown split or no photograph.
    """
    if not photographs or not counts or set(counts) - {"train", "validation", "test"}:
        raise ValueError(
            f"{len(photographs)} photographs with counts for {sorted(counts)}, expected at least one photograph and "
            "splits among train, validation and test"
        )
    variation = variation or Variation()
    per_class = sum(counts.values())
    images = np.empty((len(photographs) * per_class, 1, size, size), np.uint8)
    for i, file in enumerate(progress(photographs.values())):
        area = region(file, HELD_OUT if held_out else KNOWN)
        for j in range(per_class):
            sample = crop(area, generator(seed, i, int(held_out), j), size=size, variation=variation)
            images[i * per_class + j, 0] = bits(sample)
    one_class = [split for split, count in counts.items() for _ in range(count)]
    what = "the held-out right 40 %" if held_out else "the left 60 %"
    return Dataset(
        images=images,
        labels=torch.arange(len(photographs)).repeat_interleave(per_class),
        split=np.array(one_class * len(photographs), object),
        classes=list(photographs),
        source=f"composed crops of {what} of {len(photographs)} photographs shipped with foolbox, scikit-image, "
        "scikit-learn and matplotlib",
        channels=1,
        size=size,
        counts={"photographs": len(photographs), "images": len(images)},
    )
