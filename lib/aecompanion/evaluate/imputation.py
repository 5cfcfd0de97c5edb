"""Noisy linear imputation: removed pixels become what their neighbours suggest, so that no edge shows where they were.

    x_i = Σ_{j ∈ N(i)} w_ij x_j / Σ_{j ∈ N(i)} w_ij  for every removed pixel i,      w = 1/6 beside, 1/12 diagonal
    x_i <- clip_[0,1]( x_i + σ n_i ),  n standard normal

N(i): the up to eight neighbours inside the image. Removed pixels depend on removed neighbours, so the equations are one
sparse linear system per image, solved exactly; where everything is removed the image's mean colour takes its place.
A plain fill betrays by its shape which pixels were removed, and a network may read the class from that shape. Source:
Rong et al., "A consistent and efficient evaluation strategy for attribution methods", ICML 2022.

Where we depart: pixels may be removed in square cells of `cell` pixels. The system is then one of the cells' mean
colours, which is faster by the fourth power or so of the cell's side; an imputed cell has one colour.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve
from torch.nn import functional as F

from aecompanion.pipeline.rng import generator

WEIGHTS = {
    (down, right): 1 / 12 if down and right else 1 / 6
    for down in (-1, 0, 1)
    for right in (-1, 0, 1)
    if (down, right) != (0, 0)
}
NOISE = 0.01  # σ, pixel units, as published


def imputed(
    images: torch.Tensor,
    removed: torch.Tensor,
    *,
    cell: int = 1,
    noise: float = NOISE,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> torch.Tensor:
    """Images without their removed pixels, N×C×H×W in [0,1] on the CPU.

    Args:
        images: N×C×H×W in [0,1]. removed: N×1×h×w booleans with h = H / cell, w = W / cell. noise: σ. keys: of the
            noise, drawn from (seed, key); the same numbers whatever is removed.

    Raises ValueError for other shapes or no booleans.
    """
    count, _, height, width = images.shape
    if removed.dtype != torch.bool or removed.shape != (count, 1, height // cell, width // cell) or height % cell:
        raise ValueError(
            f"removed is {removed.dtype} {tuple(removed.shape)}, expected torch.bool "
            f"{(count, 1, height // cell, width // cell)} for images {tuple(images.shape)} in cells of {cell}"
        )
    keys = range(count) if keys is None else keys
    images = images.detach().cpu()
    small = F.avg_pool2d(images, cell) if cell > 1 else images
    filled = torch.stack([solved(image, gone[0]) for image, gone in zip(small, removed.cpu(), strict=True)])
    drawn = torch.stack([torch.randn(images.shape[1:], generator=generator(seed, key)) for key in keys])
    filled, gone = (enlarged(each, cell) for each in (filled, removed.cpu().to(images.dtype)))
    return torch.where(gone > 0, (filled + noise * drawn.to(images)).clamp(0, 1), images)


def enlarged(values: torch.Tensor, cell: int) -> torch.Tensor:
    """Every value as a square of `cell` pixels."""
    return values.repeat_interleave(cell, 2).repeat_interleave(cell, 3) if cell > 1 else values


def solved(image: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """One image C×H×W without noise; removed: H×W booleans."""
    gone = removed.numpy()
    if not gone.any():
        return image
    if gone.all():
        return image.mean((1, 2), keepdim=True).expand_as(image)
    values = image.double().numpy()
    number = np.full(gone.shape, -1)
    number[gone] = np.arange(gone.sum())
    rows, columns, entries = [], [], []
    known = np.zeros((gone.sum(), len(values)))
    total = np.zeros(gone.sum())
    y, x = np.nonzero(gone)
    for (down, right), weight in WEIGHTS.items():
        row, column = y + down, x + right
        inside = (row >= 0) & (row < gone.shape[0]) & (column >= 0) & (column < gone.shape[1])
        here, row, column = np.flatnonzero(inside), row[inside], column[inside]
        total[here] += weight
        other = gone[row, column]
        rows.append(here[other])
        columns.append(number[row[other], column[other]])
        entries.append(np.full(other.sum(), -weight))
        known[here[~other]] += weight * values[:, row[~other], column[~other]].T
    own = np.arange(len(total))
    places = np.concatenate([own, *rows]), np.concatenate([own, *columns])
    system = sparse.csc_array((np.concatenate([total, *entries]), places), shape=(len(total), len(total)))
    values = values.copy()
    values[:, gone] = spsolve(system, known, permc_spec="MMD_AT_PLUS_A").reshape(len(total), -1).T
    return torch.from_numpy(values).to(image)
