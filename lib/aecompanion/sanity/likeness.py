"""How alike two maps are, how complex one is, and maps that are averaged over noisy inputs.

    spearman     rank correlation of pixels
    ssim         structural similarity
    hog          rank correlation of histograms of oriented gradients
    complexity   ξ(A) = -Σ_b q_b ln q_b, with q_b the share of A's pixels in bin b of 100 equal bins from its smallest
                 to its largest value; in nats, from 0 (constant) to ln 100
    rise         (ξ(A') - ξ(A)) / ξ(A): eMPRT, the relative rise of complexity from the intact network's map A to that
                 of the re-initialised network, A'. A method that answers to what was learned should show more
                 disorder, rise > 0, once all of it is gone
    smoothed     Ā = 1/n Σ_k A(x + σ z_k), z_k ~ N(0, 1): sMPRT compares Ā with Ā' in the place of A with A', so that
                 the noise of a single gradient does not pass for an answer to the parameters

Sources: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018 (similarities); Hedström et al., "Sanity checks
revisited: an exploration to repair the model parameter randomisation test", XAI in Action at NeurIPS 2023 (eMPRT,
sMPRT). Where we depart: a fixed number of bins, where the authors' package quantus derives one from the maps by a rule
and else takes 100; bins span each map's own range, so that no normalisation is needed; a constant map has complexity 0,
and an intact map of complexity 0 has no rise (NaN). In sMPRT we average fewer noisy inputs, and the order stays that of
the rest of the check, from the output to the input, where quantus advises the opposite; once all layers are
re-initialised the order does not matter. HOG cells of 8 px in place of 16, which on a 64 px map would be 16 cells in
all; cells of 8 px still hold several of a 16×16 mask's. One cell per block, so that each counts once. SSIM with a
uniform window as everywhere here.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from skimage.feature import hog

from aecompanion.evaluate.dissimilarity import spearman, ssim
from aecompanion.pipeline.rng import generator

FLAT = 1e-5  # a map whose range is a smaller share of its largest value is constant
CELL = 8  # side of a HOG cell, pixels
BINS = 100  # of the histogram whose entropy is a map's complexity


def hog_similarity(a: torch.Tensor, b: torch.Tensor, *, cell: int = CELL) -> torch.Tensor:
    """Rank correlation of the HOG descriptors of n pairs of maps n×1×H×W; NaN where a map has no gradient.

    Raises ValueError for maps smaller than one `cell`.
    """
    if min(a.shape[-2:]) < cell:
        raise ValueError(f"maps are {a.shape[-2]}×{a.shape[-1]}, expected at least one HOG cell of {cell} px")
    options = {"pixels_per_cell": (cell, cell), "cells_per_block": (1, 1)}
    described = [torch.from_numpy(np.stack([hog(m.numpy(), **options) for m in maps[:, 0]])) for maps in (a, b)]
    return spearman(*described)


def similarity(a: torch.Tensor, b: torch.Tensor, position: Sequence[int], **facts) -> pd.DataFrame:
    """A row per pair of maps n×1×H×W: `facts`, position, the three similarities, the rise of complexity from a to b,
    and whether one is undefined.
    """
    undefined = constant(a) | constant(b)
    scale = scaled(a), scaled(b)
    measures = {"spearman": spearman(*scale), "ssim": ssim(*scale), "hog": hog_similarity(*scale)}
    for name in ("spearman", "hog"):
        measures[name] = torch.where(undefined, 0.0, measures[name])
    values = {name: each.double().numpy() for name, each in measures.items()} | {"rise": rise(a, b).numpy()}
    return pd.DataFrame(facts | {"position": list(position)} | values | {"undefined": undefined.numpy()})


def constant(maps: torch.Tensor) -> torch.Tensor:
    """n booleans: the map is the same everywhere, up to rounding, or is not finite."""
    flat = maps.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    varies = high - low > FLAT * torch.maximum(low.abs(), high.abs())  # False where a value is not a number
    return ~(varies & torch.isfinite(flat).all(1))


def scaled(maps: torch.Tensor) -> torch.Tensor:
    """Each of n×1×H×W maps scaled to [0,1] by its minimum and maximum; constant maps become 0."""
    low, high = (getattr(maps.flatten(1), end)(1).reshape(-1, 1, 1, 1) for end in ("amin", "amax"))
    return torch.where(constant(maps).reshape(-1, 1, 1, 1), 0.0, (maps - low) / (high - low))


def complexity(maps: torch.Tensor, *, bins: int = BINS) -> torch.Tensor:
    """ξ of n maps n×1×H×W, nats, double precision: 0 for a constant map, at most ln `bins`."""
    places = (scaled(maps).double().flatten(1) * bins).long().clamp(max=bins - 1)
    counts = torch.zeros(len(maps), bins, dtype=torch.double).scatter_add_(1, places, torch.ones_like(places).double())
    return torch.special.entr(counts / places.shape[1]).sum(1)


def rise(intact: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    """(ξ(A') - ξ(A)) / ξ(A) of n pairs of maps n×1×H×W, double precision; NaN where A is constant, -1 where A' is."""
    before, after = complexity(intact), complexity(changed)
    return torch.where(before > 0, (after - before) / before, torch.nan)


def smoothed(
    explain: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    *,
    copies: int,
    spread: float,
    seed: int,
    keys: Sequence[int] | None = None,
) -> torch.Tensor:
    """Mean of the maps n×1×H×W that `explain` makes of `copies` noisy versions of n images, spread in pixel units.

    The noise of copy k of an image comes from (seed, key, k), so two networks see the same; keys: one per image
    (default: positions). Raises ValueError for no copy.
    """
    if copies < 1:
        raise ValueError(f"copies is {copies}, expected at least 1")
    keys, total = range(len(images)) if keys is None else keys, torch.zeros(())
    for k in range(copies):
        noise = torch.stack([torch.randn(images.shape[1:], generator=generator(seed, int(key), k)) for key in keys])
        total = total + explain(images + spread * noise.to(images))
    return total / copies


def neighbours(images: torch.Tensor) -> tuple[list[int], list[int]]:
    """Pairs and, for each, the next pair (round the end) whose image is another; pairs that have none are left out."""
    count, found = len(images), []
    for here in range(count):
        others = ((here + step) % count for step in range(1, count))
        there = next((other for other in others if not images[other].equal(images[here])), None)
        if there is not None:
            found.append((here, there))
    return [here for here, _ in found], [there for _, there in found]
