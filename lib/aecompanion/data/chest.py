"""Chest phantoms: drawn radiographs whose cause of every label is known pixel by pixel. They are not radiographs.

    x = clip( a + g·( anatomy(L) + Σ_f 1_f · d_f + n ) )

L: the outline of a real pair of lungs (the 517 masks that torchxrayvision ships, blank and odd ones left out). d_f:
what finding f adds, zero outside its mask. n: grain. a, g: exposure. Anatomy, grain and exposure share one random
stream, every d_f has its own, derived from (seed, image, f). So the image without one finding differs from the image
with it inside that finding's mask only: the intervention do(f = off) is exact.

What comes from real tables (NIH ChestX-ray14: Wang et al., CVPR 2017): sizes and places of the findings (a random box
of the finding, carried over to the lungs at hand), and which findings occur together (a random row of the label table
that holds a chosen finding). Tempered: a share `healthy` has none, and the findings are chosen with the square root of
their NIH frequency. Everything else is drawn by eye: shapes and contrasts of the findings have no clinical value.

A `marker`, a bright letter in an upper corner, can go with one finding (a confounder: it says nothing about the body
but helps to guess the label). Real ChestX-ray14: `data.chest_xray14`.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import torch

from aecompanion.data.dataset import SPLITS, Dataset
from aecompanion.data.lungs import FINDINGS, Tables
from aecompanion.data.phantom import Body, letter
from aecompanion.data.pixels import bits
from aecompanion.data.regions import Regions, bounding_box
from aecompanion.pipeline.rng import derive


@dataclasses.dataclass(frozen=True, eq=False)
class Phantoms:
    """The endless series of phantoms of one seed; image `index` depends on (seed, index) and the settings only.

    Args:
        size: side in pixels. healthy: share of images without any finding. marker_with: the finding that the marker
            goes with, None for no marker; marker: chance of a marker with that finding and without it.
    """

    tables: Tables
    size: int = 64
    seed: int = 0
    healthy: float = 0.3
    marker_with: str | None = None
    marker: tuple[float, float] = (0.8, 0.2)

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ValueError(f"size is {self.size}, expected at least 32 (a nodule would vanish)")
        if self.marker_with not in (None, *FINDINGS):
            raise ValueError(f"marker_with is {self.marker_with!r}, expected one of {', '.join(FINDINGS)} or None")

    def stream(self, index: int, part: int) -> np.random.Generator:
        """The random numbers of one part of one image."""
        return np.random.default_rng(derive(self.seed, index, part))

    def labels(self, index: int) -> tuple[np.ndarray, bool]:
        """Which findings the image has (7 booleans) and whether it has the marker."""
        rng, rows = self.stream(index, 0), self.tables.rows
        found = np.zeros(len(FINDINGS), bool)
        if rng.random() >= self.healthy:
            chance = np.sqrt(rows.mean(0))
            chosen = rng.choice(len(FINDINGS), p=chance / chance.sum())
            having = np.flatnonzero(rows[:, chosen])
            found = rows[having[rng.integers(len(having))]].copy()
        goes = self.marker_with is not None and found[FINDINGS.index(self.marker_with)]
        return found, self.marker_with is not None and bool(rng.random() < self.marker[0 if goes else 1])

    def render(self, index: int, *, without: Iterable[str] = ()) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The image (size×size float32 in [0,1]) and the mask of every finding in it and of the marker ("marker").

        `without` names findings, or "marker", to leave out: do(finding = off). Everything else stays as it is.
        Raises ValueError for a name that this image does not have.
        """
        without = set(without)
        found, marked = self.labels(index)
        present = [finding for finding, here in zip(FINDINGS, found, strict=True) if here]
        present += ["marker"] if marked else []
        for name in without:
            if name not in present:
                raise ValueError(f"image {index} has no {name!r}, expected one of: {', '.join(present) or 'none'}")
        rng = self.stream(index, 1)
        body = Body(self.tables.lungs[rng.integers(len(self.tables.lungs))], self.size, rng)
        image = body.image.copy()
        masks: dict[str, np.ndarray] = {}
        for name in (name for name in present if name not in without | {"marker"}):
            part = self.stream(index, 2 + FINDINGS.index(name))
            boxes = self.tables.boxes[name]
            change = body.draw(name, boxes[part.integers(len(boxes))], part)
            masks[name] = np.abs(change) > 2 / 255
            image += np.where(masks[name], change, 0)
        gain, offset = rng.uniform(0.85, 1.15), rng.uniform(-0.05, 0.05)
        image = gain * (image + body.grain) + offset
        if marked and "marker" not in without:
            masks["marker"] = letter(self.size, self.stream(index, 2 + len(FINDINGS)))
            image = np.where(masks["marker"], 0.95, image)
        return image.clip(0, 1).astype(np.float32), masks


def phantom_set(
    phantoms: Phantoms,
    counts: dict[str, int],
    *,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[Dataset, Regions, Regions | None, np.ndarray]:
    """A data set of `counts` {split: images}, and what is known about its test images.

    Returns the data set (labels N×7); the regions of every finding in a test image with the image re-rendered without
    it; the same for the markers (their label is the finding that the marker goes with; None without markers); and which
    of all N images carry the marker. Raises ValueError if no test image has a finding, or for an unknown split.
    """
    unknown = set(counts) - set(SPLITS)
    if unknown:
        raise ValueError(f"split {min(unknown)!r} is unknown, expected one of {', '.join(SPLITS)}")
    split = np.repeat(list(counts), list(counts.values()))
    size = phantoms.size
    images, labels = np.empty((len(split), 1, size, size), np.uint8), np.zeros((len(split), len(FINDINGS)), np.int64)
    marked = np.zeros(len(split), bool)
    entries: dict[bool, list[tuple]] = {False: [], True: []}
    for index in progress(range(len(split))):
        picture, masks = phantoms.render(index)
        images[index, 0] = bits(picture)
        labels[index], marked[index] = phantoms.labels(index)
        for name, mask in masks.items() if split[index] == "test" else ():
            if not mask.any():
                continue  # drawn too faint or out of sight: no region to point at
            label = FINDINGS.index(phantoms.marker_with if name == "marker" else name)
            other = bits(phantoms.render(index, without=[name])[0])
            entries[name == "marker"].append((index, label, bounding_box(mask), mask, other[None]))
    if not entries[False]:
        raise ValueError(f"none of the {counts.get('test', 0)} test images has a finding, expected more test images")
    dataset = Dataset(
        images=images,
        labels=torch.from_numpy(labels),
        split=split.astype(object),
        classes=list(FINDINGS),
        source="chest phantoms drawn on real lung outlines, not radiographs",
        channels=1,
        size=size,
        counts={"images": len(split), "no finding": int((labels.sum(1) == 0).sum())}
        | {"several findings": int((labels.sum(1) > 1).sum()), "lung outlines": len(phantoms.tables.lungs)}
        | {f"outlines refused, {why}": count for why, count in phantoms.tables.refused.items()},
    )
    regions, markers = (Regions(*map(np.array, zip(*each, strict=True))) if each else None for each in entries.values())
    return dataset, regions, markers, marked


def all_off(phantoms: Phantoms, regions: Regions) -> Regions:
    """The same regions, with the image rendered without *any* finding and without the marker as `without`.

    Taken into a region, it removes from there whatever the generator can remove; the image without the finding alone
    leaves a marker, and other findings, where they are.
    """
    bare = {}
    for index in np.unique(regions.image):
        found, marked = phantoms.labels(index)
        names = [finding for finding, here in zip(FINDINGS, found, strict=True) if here]
        bare[index] = bits(phantoms.render(index, without=names + ["marker"] * marked)[0])[None]
    return dataclasses.replace(regions, without=np.array([bare[index] for index in regions.image]))
