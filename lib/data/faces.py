"""Faces with identities: generated variations of photographed faces (embedded), or a folder per identity (real).

Embedded: scikit-image ships 100 LFW face crops, 25×25, grey, without names. One photographed face is one identity,
and a sample of it is

    x = clip( c·(W_θ(face)·light - 1/2) + 1/2, occluded, + σ·n ),   n ~ N(0, 1)

with W_θ a similarity warp (position, scale, rotation; borders reflected) to size×size, `light` a linear ramp, c the
contrast, and one rectangle of grey in front of the face in a part of the samples. Sample j of identity i depends on
(seed, i, j) only. So an identity here is "one photographed face under generated variation", not a person over years.

Real: `root/IDENTITY/*.{jpg,jpeg,png,pgm}`, the layout of ORL, LFW and VGGFace2.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from lib.data.dataset import Dataset, read_image, split_by_sample
from lib.rng import generator

SUFFIXES = {".jpg", ".jpeg", ".png", ".pgm"}
PACK_LIMIT = 256 * 2**20  # bytes; larger identity folders stay on disk and are read lazily


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


def vary(face: torch.Tensor, gen: torch.Generator, *, size: int, variation: Variation) -> torch.Tensor:
    """One sample of a face: `face` 1×h×w in [0,1] to 1×size×size in [0,1]; all randomness from `gen`."""

    def uniform(half: float) -> float:
        return half * (2 * torch.rand((), generator=gen).item() - 1)

    angle = torch.deg2rad(torch.tensor(uniform(variation.rotation)))
    zoom = 1 + uniform(variation.scale)
    cos, sin = torch.cos(angle).item() / zoom, torch.sin(angle).item() / zoom
    theta = torch.tensor([[cos, -sin, 2 * uniform(variation.position)], [sin, cos, 2 * uniform(variation.position)]])
    grid = F.affine_grid(theta[None], [1, 1, size, size], align_corners=False)
    image = F.grid_sample(face[None], grid, mode="bicubic", padding_mode="reflection", align_corners=False)[0]

    ramp = torch.linspace(-1, 1, size)
    light = 1 + uniform(variation.light) * ramp[None, None, :] + uniform(variation.light) * ramp[None, :, None]
    image = (1 + uniform(variation.contrast)) * (image * light - 0.5) + 0.5

    occluded, grey = torch.rand(2, generator=gen).tolist()
    height, width, top, left = torch.rand(4, generator=gen).tolist()
    noise = torch.randn(image.shape, generator=gen)
    if occluded < variation.occlusion:
        rows, columns = round(size * (0.15 + 0.2 * height)), round(size * (0.15 + 0.2 * width))
        y, x = round(top * (size - rows)), round(left * (size - columns))
        image[:, y : y + rows, x : x + columns] = grey
    return (image + variation.noise * noise).clamp(0, 1)


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
    photographs = torch.from_numpy(np.load(file, allow_pickle=False)[:100]).float()
    chosen = sorted(torch.randperm(100, generator=generator(seed))[:identities].tolist())
    variation = variation or Variation()

    images = np.empty((identities * samples, 1, size, size), np.uint8)
    for i, photograph in enumerate(progress(chosen)):
        for j in range(samples):
            sample = vary(photographs[photograph, None], generator(seed, photograph, j), size=size, variation=variation)
            images[i * samples + j] = (sample * 255).round().byte().numpy()
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


def identity_folder(
    root: Path,
    *,
    size: int = 64,
    channels: int = 1,
    seed: int = 0,
    unreadable: str = "error",
    identities: int | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Dataset:
    """Every `root/IDENTITY/*.{jpg,jpeg,png,pgm}`, split 80/10/10 within each identity.

    Every file is decoded once here, so a broken one is found now and not in the middle of a training.
    `unreadable` is "error" (raise ValueError naming the file) or "skip" (leave it out and count it); `identities`
    keeps the first so many folders by name. Raises FileNotFoundError for a missing root, ValueError for one without
    images and for an identity with fewer than three.
    """
    root = Path(root)
    if unreadable not in ("error", "skip"):
        raise ValueError(f"unreadable is {unreadable!r}, expected 'error' or 'skip'")
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder, expected one folder per identity in it")
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())[:identities]
    listed = [(i, file) for i, folder in enumerate(folders) for file in sorted(folder.iterdir())]
    listed = [(i, file) for i, file in listed if file.suffix.lower() in SUFFIXES]
    if not listed:
        raise ValueError(f"{root}: holds no images, expected IDENTITY/*.jpg, .jpeg, .png or .pgm")

    keep_pixels = len(listed) * channels * size * size <= PACK_LIMIT
    labels, files, pixels, skipped = [], [], [], 0
    for i, file in progress(listed):
        try:
            image = read_image(file, channels=channels, size=size)
        except ValueError:
            if unreadable == "error":
                raise
            skipped += 1
            continue
        labels.append(i)
        files.append(str(file.resolve()))
        if keep_pixels:
            pixels.append(image)
    names = [folder.name for folder in folders]
    per_identity = np.bincount(labels, minlength=len(folders)) if labels else np.zeros(len(folders), int)
    for name, count in zip(names, per_identity, strict=True):
        if count < 3:
            raise ValueError(f"{root / name}: {count} readable image(s), expected at least 3 per identity")
    return Dataset(
        images=np.stack(pixels) if keep_pixels else None,
        files=None if keep_pixels else files,
        labels=torch.tensor(labels),
        split=split_by_sample(np.array(labels), seed, names=names),
        classes=names,
        source=f"identity folder {root.name}: {len(folders)} identities",
        channels=channels,
        size=size,
        counts={"identities": len(folders), "images": len(labels), "unreadable": skipped},
    )
