"""Which region of a chest image tells a label that is not in the lungs: the view of a radiograph, a planted marker.

    |CE(R)| = |p_y(x | do(R = fill)) - p_y(x)|,      excess(R) = |CE(R)| - |CE(R')|

y: the image's view (or whether it carries the marker), p: softmax over the two views, so |CE| is the same for either.
R': the control, R moved cyclically by a random number of rows and columns: as many pixels of the same form at a place
that is any place equally often. A large region does more than a small one whatever it holds; the excess says whether
R does more than its size. Negative CE: the region held evidence for the true view.

Regions are the same pixels in every image: a partition (`partition`), unions of its parts (`UNIONS`) and, where the
data have one, the box of the image's own marker. Lung fields are the mean of the usable ones among the 517 lung masks
that torchxrayvision ships, put where lungs are in a typical NIH image; no image's own lungs are known here, so phantoms
get the same. "left" and "right" are the image's, the patient's are the other way round.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from aecompanion.data.dataset import Dataset
from aecompanion.data.lungs import LUNG_FIELD
from aecompanion.data.regions import Regions
from aecompanion.explain.causal_effect import block_effects, region_effects
from aecompanion.networks.read import probabilities
from aecompanion.pipeline.rng import generator

CORNER, FRAME = 0.2, 0.08  # sides of a corner and of the border frame, shares of the image's side
CORNERS = ("corner, top left", "corner, top right", "corner, bottom left", "corner, bottom right")
LUNGS = ("lung, left", "lung, right")
PARTS = (*CORNERS, "border between corners", "neck and shoulders", "flanks and diaphragm", *LUNGS, "mediastinum")
UNIONS = {
    "frame": (*CORNERS, "border between corners"),
    "outside": (*CORNERS, "border between corners", "neck and shoulders", "flanks and diaphragm"),
    "lungs": LUNGS,
}
MARKER = "marker"
RADIOGRAPHS, PHANTOMS = ("AP", "PA"), ("no marker", "marker")  # the two views, class 0 and class 1


def mean_lungs(outlines: np.ndarray, size: int) -> np.ndarray:
    """The share of lungs at every pixel of a size×size image, 2×size×size in [0,1], left lung first.

    outlines: mean of the pairs of lungs of `data.lungs.read_tables`, 2×128×128 in [0,1]; they fill their frame,
    which is put at `LUNG_FIELD`. Raises ValueError for another shape.
    """
    if outlines.ndim != 3 or len(outlines) != 2:
        raise ValueError(f"the mean outlines are {outlines.shape}, expected 2×H×W (left and right lung)")
    left, top, right, bottom = (round(side * size) for side in LUNG_FIELD)
    placed = np.zeros((2, size, size), np.float32)
    for frame, outline in zip(placed, outlines, strict=True):
        shrunk = Image.fromarray(outline.astype(np.float32)).resize((right - left, bottom - top), Image.Resampling.BOX)
        frame[top:bottom, left:right] = np.asarray(shrunk)
    return placed


def partition(outlines: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """The ten `PARTS` of a size×size image, boolean masks that cover every pixel once.

    A lung is where at least half of the pairs have it; the mediastinum lies between the lungs, row by row; corners are
    squares and the border a frame, both without lungs; what is left is divided at half the lungs' height.
    """
    lungs = mean_lungs(outlines, size) >= 0.5
    lungs[1] &= ~lungs[0]
    rows, columns = np.mgrid[:size, :size]
    corner, frame = round(CORNER * size), max(1, round(FRAME * size))
    upper, lower, west, east = (rows < corner, rows >= size - corner, columns < corner, columns >= size - corner)
    edge = np.minimum.reduce([rows, columns, size - 1 - rows, size - 1 - columns]) < frame
    middle = size * (LUNG_FIELD[1] + LUNG_FIELD[3]) / 2
    found, taken = {}, np.zeros((size, size), bool)
    wanted = [*zip(LUNGS, lungs, strict=True), ("mediastinum", between(*lungs))]
    wanted += zip(CORNERS, (upper & west, upper & east, lower & west, lower & east), strict=True)
    wanted += [("border between corners", edge), ("neck and shoulders", rows < middle)]
    wanted += [("flanks and diaphragm", rows >= middle)]
    for name, mask in wanted:
        found[name] = mask & ~taken
        taken = taken | mask
    return {name: found[name] for name in PARTS}


def between(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The pixels between two lungs, H×W booleans each, row by row where a row has both."""
    columns = np.arange(left.shape[1])
    after = left.shape[1] - np.argmax(left[:, ::-1], axis=1)  # one past the last column of the left lung
    until = np.argmax(right, axis=1)  # first column of the right lung
    both = left.any(1) & right.any(1)
    return both[:, None] & (columns >= after[:, None]) & (columns < until[:, None])


def regions_of(parts: dict[str, np.ndarray], images: np.ndarray, markers: Regions) -> dict[str, torch.Tensor]:
    """N×1×H×W boolean masks per region for the images with these N positions in the data set: the parts, `UNIONS`,
    and the box of each image's own marker (empty where it has none; no such region where no image has one).
    """
    unions = {name: np.logical_or.reduce([parts[part] for part in members]) for name, members in UNIONS.items()}
    same = {name: torch.from_numpy(mask).expand(len(images), 1, -1, -1) for name, mask in (parts | unions).items()}
    places = {image: entry for entry, image in enumerate(markers.image.tolist())}
    own = [places.get(image) for image in np.asarray(images).tolist()]
    if all(entry is None for entry in own):
        return same
    boxes = markers.box_masks()
    nothing = torch.zeros_like(boxes[0])
    return same | {MARKER: torch.stack([nothing if entry is None else boxes[entry] for entry in own])}


def moved(masks: torch.Tensor, images: Sequence[int], *, seed: int, region: int) -> torch.Tensor:
    """The control of the formula, N×1×H×W: every mask moved cyclically, image i by an offset drawn from (seed, i,
    number of the region), so that a batch of 1 and a batch of 64 get the same.
    """
    height, width = masks.shape[2:]
    rolled = []
    for mask, image in zip(masks, images, strict=True):
        draw = generator(seed, int(image), region)
        offset = [torch.randint(side, (), generator=draw).item() for side in (height, width)]
        rolled.append(mask.roll(offset, dims=(1, 2)))
    return torch.stack(rolled)


def view_set(dataset: Dataset, views: np.ndarray, classes: Sequence[str]) -> Dataset:
    """The same images and splits with the two `classes` of `views` (N names) as label; images of another view are left
    out. Raises ValueError if the numbers of images and of views differ, or no image is of either view.
    """
    if len(views) != len(dataset):
        raise ValueError(f"there are {len(views)} views, expected one for each of the {len(dataset)} images")
    kept = np.flatnonzero(np.isin(views, list(classes)))
    if not len(kept):
        known = ", ".join(sorted(set(views.tolist()))) or "none"
        raise ValueError(f"no image is {' or '.join(classes)}, the views are: {known}")
    labels = torch.from_numpy((views[kept] == classes[1]).astype(np.int64))
    whole = len(kept) == len(dataset)
    return dataclasses.replace(
        dataset,
        labels=labels,
        split=dataset.split[kept],
        classes=list(classes),
        images=None if dataset.images is None else dataset.images if whole else dataset.images[kept],
        files=None if dataset.files is None else [dataset.files[i] for i in kept],
        counts={name: int((views == name).sum()) for name in classes},
    )


def study(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    regions: dict[str, torch.Tensor],
    *,
    fills: Sequence[str],
    indices: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    """Rows image, region, fill, share (of the image's pixels), p (of the true view), effect (CE of the formula) and
    control (CE of the moved region) for N images N×C×H×W with the views `target` and positions `indices`; effect and
    control are NaN where the image does not have the region.
    """
    p = probabilities(model, images)
    rows = []
    for number, (region, masks) in enumerate(regions.items()):
        there = masks.flatten(1).any(1)
        share = masks.flatten(1).float().mean(1).numpy()
        controls = moved(masks, indices, seed=seed, region=number)
        for fill in fills:
            facts = {"image": np.asarray(indices), "region": region, "fill": fill, "share": share}
            facts["p"] = p.gather(1, target[:, None])[:, 0].numpy()
            for column, each in (("effect", masks), ("control", controls)):
                change = torch.full((len(images),), torch.nan)
                found = region_effects(model, images[there], each[there], fill=fill, p=p[there])
                change[there] = found.gather(1, target[there, None])[:, 0]
                facts[column] = change.numpy()
            rows.append(pd.DataFrame(facts))
    return pd.concat(rows, ignore_index=True)


def grid_rows(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    per_side: int,
    fill: str,
    indices: Sequence[int],
) -> pd.DataFrame:
    """Rows image, row, column, effect: CE of the true view when one block of a per_side×per_side grid is replaced."""
    lost = block_effects(model, images, target, per_side=per_side, fill=fill)[:, 0]
    image, row, column = np.meshgrid(np.asarray(indices), *[np.arange(per_side)] * 2, indexing="ij")
    columns = {"image": image, "row": row, "column": column, "effect": -lost.numpy()}
    return pd.DataFrame({name: each.ravel() for name, each in columns.items()})
