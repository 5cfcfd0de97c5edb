"""What chest phantoms take from real files: outlines of lungs, which findings occur together, and where they lie."""

import dataclasses
import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from skimage import measure

from aecompanion.data.regions import bounding_box

FINDINGS = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax")
IN_BOX_TABLE = {"Infiltration": "Infiltrate"}  # the two NIH tables spell it differently
LUNG_FIELD = (0.12, 0.10, 0.88, 0.80)  # left, top, right, bottom of the lungs in a typical NIH image, by eye
OUTLINE = 128  # side of the stored lung outlines


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
