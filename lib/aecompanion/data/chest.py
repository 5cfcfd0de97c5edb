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
import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import ndimage
from skimage import measure

from aecompanion.data.dataset import SPLITS, Dataset
from aecompanion.data.regions import Regions, bounding_box
from aecompanion.pipeline.rng import derive

FINDINGS = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax")
IN_BOX_TABLE = {"Infiltration": "Infiltrate"}  # the two NIH tables spell it differently
LUNG_FIELD = (0.12, 0.10, 0.88, 0.80)  # left, top, right, bottom of the lungs in a typical NIH image, by eye
OUTLINE = 128  # side of the stored lung outlines
CONTRAST = {  # brightness of each finding, pixel units: lowest, highest
    "Atelectasis": (0.14, 0.30),
    "Cardiomegaly": (0.05, 0.12),
    "Effusion": (0.04, 0.13),
    "Infiltration": (0.06, 0.16),
    "Mass": (0.12, 0.26),
    "Nodule": (0.20, 0.36),
    "Pneumothorax": (-0.09, -0.03),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """What is taken from real files: lung outlines, label rows and boxes; `refused` counts unusable masks by reason."""

    lungs: np.ndarray  # M×2×128×128 bool: the lung on the image's left, the one on its right; both fill the frame
    rows: np.ndarray  # R×7 bool, NIH images with at least one of FINDINGS
    boxes: dict[str, np.ndarray]  # finding: n×4 centre x, centre y, width, height as fractions of the lung field
    refused: dict[str, int]


def read_tables(folder: Path, *, progress: Callable[[Iterable], Iterable] = iter) -> Tables:
    """Read lung_masks.zip, labels.csv.gz and boxes.csv.gz of data/chest (see lib/aecompanion/data/manifest.yaml).

    Raises FileNotFoundError naming the first file that is missing.
    """
    for name in ("lung_masks.zip", "labels.csv.gz", "boxes.csv.gz"):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name} is missing: `make data` copies it from torchxrayvision")
    lungs, refused = [], {}
    with zipfile.ZipFile(folder / "lung_masks.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith((".png", ".jpg", ".jpeg")))
        for name in progress(names):
            with Image.open(io.BytesIO(archive.read(name))) as opened:
                opened.draft("L", (2 * OUTLINE, 2 * OUTLINE))  # JPEGs are decoded small, which is 30 times as fast
                small = opened.convert("L").resize((OUTLINE, OUTLINE), Image.Resampling.BOX)
            outcome = pair_of_lungs(np.asarray(small) > 127)
            if isinstance(outcome, str):
                refused[outcome] = refused.get(outcome, 0) + 1
            else:
                lungs.append(outcome)
    labels = pd.read_csv(folder / "labels.csv.gz")["Finding Labels"].str.split("|")
    rows = np.array([[finding in found for finding in FINDINGS] for found in labels])
    table = pd.read_csv(folder / "boxes.csv.gz").iloc[:, :6]
    table.columns = ["image", "finding", "x", "y", "width", "height"]
    return Tables(np.stack(lungs), rows[rows.any(1)], {f: field_boxes(table, f) for f in FINDINGS}, refused)


def pair_of_lungs(mask: np.ndarray) -> np.ndarray | str:
    """The two lungs of a mask, 2×128×128 bool, scaled so that their common box fills the frame; or why not."""
    if mask.mean() < 0.02:
        return "blank"
    parts = sorted(measure.regionprops(measure.label(mask)), key=lambda part: -part.area)[:2]
    if len(parts) < 2 or sum(part.area for part in parts) < 0.95 * mask.sum():
        return "not two lungs"
    left, right = sorted(parts, key=lambda part: part.centroid[1])
    if min(part.solidity for part in parts) < 0.85:
        return "ragged or hollow"
    sides = [(part.bbox[2] - part.bbox[0], part.bbox[3] - part.bbox[1]) for part in (left, right)]
    if not 0.5 < left.area / right.area < 2 or not all(1.2 < height / width < 3.2 for height, width in sides):
        return "odd proportions"
    if mask[[0, -1]].any() or mask[:, [0, -1]].any():
        return "cut by the border"
    both = np.zeros((2, *mask.shape), bool)
    for layer, part in zip(both, (left, right), strict=True):
        layer[tuple(part.coords.T)] = True
    top, west, bottom, east = bounding_box(both.any(0))
    framed = torch.from_numpy(both[:, top:bottom, west:east]).float()[None]
    return (torch.nn.functional.interpolate(framed, size=(OUTLINE, OUTLINE), mode="bilinear")[0] > 0.5).numpy()


def field_boxes(table: pd.DataFrame, finding: str) -> np.ndarray:
    """The NIH boxes of a finding (pixels of 1024) as centre and size in fractions of the typical lung field."""
    own = table[table["finding"] == IN_BOX_TABLE.get(finding, finding)]
    left, top, right, bottom = (1024 * side for side in LUNG_FIELD)
    x, y = own["x"] + own["width"] / 2, own["y"] + own["height"] / 2
    wide, high = right - left, bottom - top
    return np.stack([(x - left) / wide, (y - top) / high, own["width"] / wide, own["height"] / high], 1).astype(float)


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


class Body:
    """The anatomy of one phantom: soft tissue, lungs, heart, spine, ribs; and where findings go in it."""

    def __init__(self, outline: np.ndarray, size: int, rng: np.random.Generator) -> None:
        self.size = size
        rows, columns = np.mgrid[:size, :size] / size
        high, wide = rng.uniform(0.58, 0.68), rng.uniform(0.66, 0.76)
        top, left = rng.uniform(0.10, 0.20), (1 - wide) / 2 + rng.uniform(-0.03, 0.03)
        self.field = (left, top, wide, high)
        if rng.random() < 0.5:
            outline = outline[::-1, :, ::-1]
        self.lungs = np.stack([place(lung, self.field, size) for lung in outline])
        soft = ndimage.gaussian_filter(self.lungs.any(0).astype(float), size / 90)
        torso = ((columns - 0.5) / 0.56) ** 4 + ((rows - 0.72) / 0.72) ** 4 < 1
        image = 0.06 + 0.50 * ndimage.gaussian_filter(torso.astype(float), size / 40)
        image += 0.12 * np.exp(-(((columns - left - wide / 2) / 0.07) ** 2))  # spine and mediastinum
        image -= 0.34 * soft
        self.rows, self.columns, self.soft = rows, columns, soft
        self.heart = (left + wide * rng.uniform(0.54, 0.58), top + high * rng.uniform(0.64, 0.70))
        self.radii = (wide * rng.uniform(0.19, 0.225), high * rng.uniform(0.20, 0.25))
        image = np.maximum(image, 0.58 * self.ellipse(self.heart, self.radii))
        slope, phase, distance = rng.uniform(0.25, 0.45), rng.uniform(0, 1), rng.uniform(0.085, 0.105)
        arcs = rows - slope * np.abs(columns - left - wide / 2)
        image += 0.045 * soft * np.sin(2 * np.pi * (arcs / distance + phase)).clip(0)  # ribs
        vessels = ndimage.gaussian_filter(rng.standard_normal((size, size)), size / 40)
        image += 0.035 * soft * vessels / vessels.std()
        cloud = ndimage.gaussian_filter(rng.standard_normal((size, size)), size / 8)
        self.image = image + 0.02 * cloud / cloud.std()
        self.grain = rng.uniform(0.015, 0.03) * rng.standard_normal((size, size))

    def ellipse(self, centre: tuple[float, float], radii: tuple[float, float], edge: float = 0.12) -> np.ndarray:
        """1 inside, 0 outside, a soft edge (relative to the radius)."""
        x, y = (self.columns - centre[0]) / radii[0], (self.rows - centre[1]) / radii[1]
        return 1 / (1 + np.exp((np.hypot(x, y) - 1) / edge * 2))

    def at(self, box: np.ndarray, *, inside: float = 0.0) -> tuple[float, float, int]:
        """The box's centre carried over to this body, moved into the nearest lung; which lung. `inside` is the least
        distance to the lung's edge, as a share of the largest possible.
        """
        left, top, wide, high = self.field
        x, y = left + box[0] * wide, top + box[1] * high
        side = int(x > left + wide / 2)
        depth = ndimage.distance_transform_edt(self.lungs[side])
        rows, columns = np.nonzero(depth >= max(1, inside * depth.max()))
        nearest = np.argmin(np.hypot(rows / self.size - y, columns / self.size - x))
        return columns[nearest] / self.size, rows[nearest] / self.size, side

    def draw(self, finding: str, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What the finding adds to the image, size×size; `box` in fractions of the lung field."""
        wide, high = box[2] * self.field[2], box[3] * self.field[3]
        low, top = CONTRAST[finding]
        strength = rng.uniform(low, top)
        return strength * getattr(self, finding.lower())(box, wide, high, rng)

    def nodule(self, box, wide, high, rng) -> np.ndarray:
        """A small round spot inside a lung."""
        x, y, _ = self.at(box, inside=0.2)
        radius = np.clip((wide + high) / 4, 0.028, 0.06)
        return self.ellipse((x, y), (radius, radius), 0.35)

    def mass(self, box, wide, high, rng) -> np.ndarray:
        """A larger, lobed spot inside a lung."""
        x, y, side = self.at(box, inside=0.3)
        radii = np.clip((wide / 2, high / 2), 0.065, 0.16)
        shape = np.zeros((self.size, self.size))
        for _ in range(4):
            shift = rng.uniform(-0.4, 0.4, 2) * radii
            shape = np.maximum(shape, self.ellipse((x + shift[0], y + shift[1]), radii * rng.uniform(0.5, 0.8, 2), 0.3))
        return shape

    def infiltration(self, box, wide, high, rng) -> np.ndarray:
        """A patchy cloud over part of a lung."""
        x, y, side = self.at(box, inside=0.3)
        radii = np.clip((wide / 2, high / 2), 0.10, 0.22)
        patches = ndimage.gaussian_filter(rng.standard_normal((self.size, self.size)), self.size / 28)
        patches = (0.6 + 0.6 * patches / patches.std()).clip(0, 1.6)
        return self.ellipse((x, y), radii, 0.5) * patches * np.maximum(self.soft, 0.15)

    def atelectasis(self, box, wide, high, rng) -> np.ndarray:
        """A plate-like band in a lung, slightly tilted."""
        x, y, side = self.at(box, inside=0.2)
        length, thick = np.clip(wide / 2, 0.07, 0.16), np.clip(high / 5, 0.014, 0.03)
        tilt = rng.uniform(-0.5, 0.5)
        along = (self.columns - x) * np.cos(tilt) + (self.rows - y) * np.sin(tilt)
        across = -(self.columns - x) * np.sin(tilt) + (self.rows - y) * np.cos(tilt)
        return np.exp(-((along / length) ** 4) - (across / thick) ** 2)

    def effusion(self, box, wide, high, rng) -> np.ndarray:
        """Fluid at the base of a lung, higher at the chest wall (a meniscus)."""
        side = int(box[0] > 0.5)
        lung = self.lungs[side]
        rows, columns = np.nonzero(lung)
        bottom, top = rows.max() / self.size, rows.min() / self.size
        level = bottom - np.clip(high, 0.12, 0.40) * (bottom - top)
        outer = (columns.min() if side == 0 else columns.max()) / self.size
        inner = (columns.max() if side == 0 else columns.min()) / self.size
        towards = ((self.columns - inner) / (outer - inner)).clip(0, 1)
        depth = self.rows - (level - 0.09 * towards**3)
        return ndimage.gaussian_filter(lung.astype(float), self.size / 90) / (1 + np.exp(-depth / 0.015))

    def pneumothorax(self, box, wide, high, rng) -> np.ndarray:
        """Air at the rim of a lung: darker, towards the apex."""
        side = int(box[0] > 0.5)
        lung = self.lungs[side]
        depth = ndimage.distance_transform_edt(lung) / self.size
        rows, columns = np.nonzero(lung)
        middle, apex = columns.mean() / self.size, rows.min() / self.size
        reach = np.clip(1.6 * high, 0.22, 0.5)
        outer = (self.columns < middle) if side == 0 else (self.columns > middle)
        width = max(np.clip(0.35 * wide, 0.03, 0.07), 1.5 / self.size)  # at least one pixel of air
        near = lung & (depth < width) & (outer | (self.rows < apex + 0.10)) & (self.rows < apex + reach)
        line = lung & (np.abs(depth - width) < 0.5 / self.size) & outer & (self.rows < apex + reach)
        return ndimage.gaussian_filter(near.astype(float), self.size / 160) - 0.8 * (line & ~near)

    def cardiomegaly(self, box, wide, high, rng) -> np.ndarray:
        """A wider heart: what it covers beyond the usual one."""
        factor = np.clip(wide / (2.2 * self.radii[0]), 1.15, 1.45)
        larger = self.ellipse((self.heart[0] + 0.02, self.heart[1]), (self.radii[0] * factor, self.radii[1] * 1.08))
        grown = (larger - self.ellipse(self.heart, self.radii)).clip(0, 1)
        return grown * np.maximum(self.soft, 0.2)


def place(lung: np.ndarray, field: tuple[float, float, float, float], size: int) -> np.ndarray:
    """A 128×128 outline drawn into the field (left, top, width, height) of a size×size frame."""
    left, top, wide, high = (round(side * size) for side in field)
    shrunk = Image.fromarray(lung).resize((wide, high), Image.Resampling.NEAREST)
    frame = np.zeros((size, size), bool)
    frame[top : top + high, left : left + wide] = np.asarray(shrunk)[: size - top, : size - left]
    return frame


def letter(size: int, rng: np.random.Generator) -> np.ndarray:
    """The mask of a letter-like mark (an L) in an upper corner."""
    height, width, stroke = round(0.12 * size), round(0.08 * size), max(1, round(0.03 * size))
    top, left = round(rng.uniform(0.02, 0.05) * size), round(rng.uniform(0.02, 0.05) * size)
    left = left if rng.random() < 0.5 else size - left - width
    mask = np.zeros((size, size), bool)
    mask[top : top + height, left : left + stroke] = True
    mask[top + height - stroke : top + height, left : left + width] = True
    return mask


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


def bits(image: np.ndarray) -> np.ndarray:
    """[0,1] to 8 bits."""
    return (image * 255).round().astype(np.uint8)
