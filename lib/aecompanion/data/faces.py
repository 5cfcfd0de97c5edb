"""Faces with identities: generated variations of photographed faces.

scikit-image ships 100 LFW face crops, 25×25, grey, without names. One photographed face is one identity,
and a sample of it is

    x = clip( c·(W_θ(face)·light - 1/2) + 1/2, occluded, + σ·n ),   n ~ N(0, 1)

with W_θ a similarity warp (position, scale, rotation; borders reflected) to size×size, `light` a linear ramp, c the
contrast, and one rectangle of grey in front of the face in a part of the samples. Sample j of identity i depends on
(seed, i, j) only, and on no processor (`data.exact`). So an identity here is "one photographed face under generated
variation", not a person over years.

Real faces, one folder per identity (ORL, LFW, VGGFace2): `data.image_folder`.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from aecompanion.data.dataset import Dataset, split_by_sample
from aecompanion.data.exact import normal, turn, warp
from aecompanion.data.pixels import bits
from aecompanion.data.variation import illuminate, symmetric
from aecompanion.pipeline.rng import generator


@dataclasses.dataclass(frozen=True)
class Variation:
    """Half-widths of the uniform variations. Lengths are fractions of the image side, angles degrees."""

    position: float = 0.09
    scale: float = 0.16
    rotation: float = 18.0
    light: float = 0.45  # relative brightness change from the middle to the edge
    contrast: float = 0.3
    occlusion: float = 0.4  # share of the samples with a rectangle in front of the face
    noise: float = 0.04  # standard deviation, pixel units


def vary(face: np.ndarray, gen: torch.Generator, *, size: int, variation: Variation) -> np.ndarray:
    """One sample of a face: `face` h×w in [0,1] to size×size in [0,1], float64; all randomness from `gen`."""
    uniform = symmetric(gen)
    cos, sin = turn(uniform(variation.rotation) / 360)
    zoom = 1 + uniform(variation.scale)
    cos, sin = cos / zoom, sin / zoom
    theta = [[cos, -sin, 2 * uniform(variation.position)], [sin, cos, 2 * uniform(variation.position)]]
    image = warp(face, theta, size, cubic=True)
    image = illuminate(image, uniform, light=variation.light, contrast=variation.contrast)

    occluded, grey = torch.rand(2, generator=gen).tolist()
    height, width, top, left = torch.rand(4, generator=gen).tolist()
    noise = normal(gen, image.shape)
    if occluded < variation.occlusion:
        rows, columns = round(size * (0.15 + 0.2 * height)), round(size * (0.15 + 0.2 * width))
        y, x = round(top * (size - rows)), round(left * (size - columns))
        image[y : y + rows, x : x + columns] = grey
    return (image + variation.noise * noise).clip(0, 1)


def embedded_faces(
    file: Path,
    *,
    identities: int,
    samples: int,
    size: int = 64,
    seed: int = 0,
    variation: Variation | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Dataset:
    """`samples` variations of each of `identities` photographed faces, split 80/10/10 by sample.

    `file` is scikit-image's lfw_subset.npy (200×25×25, the first 100 are faces); which faces become identities is
    drawn with `seed`. Raises ValueError if more than 100 identities or fewer than 3 samples are asked for.
    """
    if not 1 <= identities <= 100:
        raise ValueError(f"identities is {identities}, expected 1 to 100 (scikit-image ships 100 faces)")
    if samples < 3:
        raise ValueError(f"samples is {samples}, expected at least 3 (train, validation, test)")
    photographs = np.load(file, allow_pickle=False)[:100].astype(float)
    chosen = sorted(torch.randperm(100, generator=generator(seed))[:identities].tolist())
    variation = variation or Variation()

    images = np.empty((identities * samples, 1, size, size), np.uint8)
    for i, photograph in enumerate(progress(chosen)):
        for j in range(samples):
            sample = vary(photographs[photograph], generator(seed, photograph, j), size=size, variation=variation)
            images[i * samples + j, 0] = bits(sample)
    labels = np.repeat(np.arange(identities), samples)
    return Dataset(
        images=images,
        labels=torch.from_numpy(labels),
        split=split_by_sample(labels, seed),
        classes=[f"face {photograph:03d}" for photograph in chosen],
        source=f"LFW crops shipped with scikit-image: {identities} photographed faces, generated variations",
        channels=1,
        size=size,
        counts={"identities": identities, "images": len(labels), "unreadable": 0},
    )
