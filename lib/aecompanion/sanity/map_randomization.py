"""Parameter randomisation of every kind of map: do the methods of `explain.methods` answer to what was learned?

A: map of the intact network, A': map of the network with re-initialised layers, for the same pair (image, class), the
same noise and the same RISE masks, so that an intact network gives A' = A. Both n×1×H×W, scaled to [0,1] by their
minimum and maximum. Three similarities, 1 for A' = A:

    spearman   rank correlation of pixels
    ssim       structural similarity
    hog        rank correlation of histograms of oriented gradients

All maps here are non-negative, so signed and absolute rank correlation are one. A constant map has no ranks: `spearman`
and `hog` are then 0, the scaled map is 0 everywhere, and the row is marked `undefined`; the same goes for a map that is
not finite. Constant means up to rounding: interpolating a constant leaves differences of 1e-7 that would be ranked.
SSIM needs care: a constant map is *similar* to a sparse one, most of whose windows are flat as well.

What happens to the network: `randomized` resets a batch normalisation with its convolution, running statistics
included. It is then the identity, while torch's initialisation of a convolution divides the variance by about six.
Nothing explodes; activations fade layer by layer until the logits hardly differ between images. A mask then has nothing
to gain from the network, its area term empties it, and the map is constant: a change, but one that says as much about
the size of the logits as about their content. EP, whose area is given, shows what its sort makes of equal values, and
RISE the sum of its masks, both the same for every image; BP and Grad-CAM do not feel the size. Hence the third way:
after each step of the cascade the running statistics of the re-initialised normalisations are taken from the images in
`calibration`, so that activations keep their size.

Sources: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018; Kim et al., IEEE TIP 2022, show the cascade of
their maps without numbers. Where we depart: HOG cells of 8 px in place of 16, which on a 64 px map would be 16 cells in
all; cells of 8 px still hold several of a 16×16 mask's. One cell per block, so that each counts once. SSIM with a
uniform window as everywhere here.
"""

import copy
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from skimage.feature import hog
from torch import nn

from aecompanion.evaluate.dissimilarity import ssim
from aecompanion.explain.mask import Settings
from aecompanion.explain.methods import METHODS, explain
from aecompanion.networks.borrow import device_of
from aecompanion.pipeline import parallel
from aecompanion.sanity.randomization import layers, randomized, spearman

WAYS = ("cascading", "independent")
RECALIBRATED = "cascading, recalibrated"
OTHER = "other image"
FLAT = 1e-5  # a map whose range is a smaller share of its largest value is constant
CELL = 8  # side of a HOG cell, pixels

Randomised = tuple[str, str, float, nn.Module]  # way, layer, depth, network of its own
Stages = list[tuple[str, torch.Tensor]]  # layer re-initialised last ("" for none), maps n×1×H×W


def study(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    references: torch.Tensor,
    *,
    settings: Mapping[str, Settings],
    methods: Collection[str] = METHODS,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    rise_masks: int = 400,
    multi_label: bool | None = None,
    calibration: torch.Tensor | None = None,
    workers: int = 2,
    progress: Callable[[str], object] = lambda layer: None,
) -> pd.DataFrame:
    """Similarity of each method's map to the intact network's, for every layer re-initialised, every way.

    Args:
        images, references: n×C×H×W; target: n class indices. settings: of the mask methods. seed: of the
            re-initialisation, the noise and RISE's masks; keys: of the noise, one per pair (default: positions).
        calibration: images for the way "cascading, recalibrated"; without them it is left out.
        workers: networks at a time. progress: called with the layer's name after each network, the intact one first.

    Returns one row per way ("other image", those of `WAYS`, "cascading, recalibrated"), layer, method and pair: way,
    layer, depth (share of the layers from the output up to this one, in (0, 1]; 0 for "other image"), position (of the
    pair), method, spearman, ssim, hog, undefined. "other image" compares the intact map of a pair with that of the next
    pair of a different image: what similarity remains between unrelated maps.
    """
    ways = WAYS if calibration is None else (*WAYS, RECALIBRATED)
    networks = all_networks(model, ways, seed=seed, calibration=calibration)
    options = {"references": references, "settings": settings, "rise_masks": rise_masks, "multi_label": multi_label}
    results = maps_of(networks, images, target, methods=methods, workers=workers, seed=seed, keys=keys, **options)
    tables, intact = [], {}
    for (way, layer, depth), found in results:
        for method in methods:
            facts = {"way": way, "layer": layer, "depth": depth, "method": method}
            if way:
                tables.append(similarity(intact[method], found[method], range(len(images)), **facts))
                continue
            intact[method] = found[method]
            here, there = neighbours(images)
            if here:
                tables.append(similarity(found[method][here], found[method][there], here, **facts | {"way": OTHER}))
        progress(layer)
    columns = ["way", "layer", "depth", "position", "method", "spearman", "ssim", "hog", "undefined"]
    return pd.concat(tables, ignore_index=True)[columns]


def maps_of(
    networks: Iterator[Randomised],
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    methods: Collection[str],
    workers: int,
    **options,
) -> Iterator[tuple[tuple[str, str, float], dict[str, torch.Tensor]]]:
    """((way, layer, depth), maps of each method) per network; `options` are those of `explain`.

    As many networks as workers exist at a time: all forty-nine of a VGG-16 would take 27 GB.
    """

    def explained(network: Randomised) -> dict[str, torch.Tensor]:
        return {method: explain(method, network[-1], images, target, **options).maps for method in methods}

    while group := list(itertools.islice(networks, workers)):
        for network, found in zip(group, parallel.over(explained, group, workers=workers), strict=True):
            yield network[:-1], found


def all_networks(model: nn.Module, ways: Sequence[str], **options) -> Iterator[Randomised]:
    """The intact network, then those of every way; `options` are those of `reinitialised`."""
    yield "", "", 0.0, copy.deepcopy(model)
    for way in ways:
        yield from reinitialised(model, way, **options)


def reinitialised(
    model: nn.Module, way: str, *, seed: int, calibration: torch.Tensor | None = None
) -> Iterator[Randomised]:
    """A network of its own for every layer. Raises ValueError for an unknown way."""
    if way not in (*WAYS, RECALIBRATED) or (way == RECALIBRATED and calibration is None):
        raise ValueError(f"way is {way!r}, expected one of {', '.join(WAYS)}, or {RECALIBRATED!r} with images for it")
    names = layers(model)[::-1]
    for count, (name, changed) in enumerate(randomized(model, seed=seed, cascading=way != "independent"), 1):
        network = copy.deepcopy(changed)
        if way == RECALIBRATED:
            recalibrate(network, sum(names[:count], []), calibration)
        yield way, name, count / len(names), network


@torch.no_grad()
def recalibrate(model: nn.Module, names: Sequence[str], images: torch.Tensor) -> None:
    """Set the running statistics of the batch normalisations among the modules `names` to those of `images`."""
    model.eval()
    parts = [model.get_submodule(name) for name in names]
    parts = [part for part in parts if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [part.momentum for part in parts]
    for part in parts:
        part.train()
        part.momentum = 1.0
    model(images.to(device_of(model)))
    for part, momentum in zip(parts, momenta, strict=True):
        part.eval()
        part.momentum = momentum


def neighbours(images: torch.Tensor) -> tuple[list[int], list[int]]:
    """Pairs and, for each, the next pair (round the end) whose image is another; pairs that have none are left out."""
    count, found = len(images), []
    for here in range(count):
        others = ((here + step) % count for step in range(1, count))
        there = next((other for other in others if not images[other].equal(images[here])), None)
        if there is not None:
            found.append((here, there))
    return [here for here, _ in found], [there for _, there in found]


def similarity(a: torch.Tensor, b: torch.Tensor, position: Sequence[int], **facts) -> pd.DataFrame:
    """A row per pair of maps n×1×H×W: `facts`, position, the three similarities and whether one is undefined."""
    undefined = constant(a) | constant(b)
    a, b = scaled(a), scaled(b)
    measures = {"spearman": spearman(a, b), "ssim": ssim(a, b), "hog": hog_similarity(a, b)}
    for name in ("spearman", "hog"):
        measures[name] = torch.where(undefined, 0.0, measures[name])
    values = {name: each.double().numpy() for name, each in measures.items()}
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


def hog_similarity(a: torch.Tensor, b: torch.Tensor, *, cell: int = CELL) -> torch.Tensor:
    """Rank correlation of the HOG descriptors of n pairs of maps n×1×H×W; NaN where a map has no gradient.

    Raises ValueError for maps smaller than one `cell`.
    """
    if min(a.shape[-2:]) < cell:
        raise ValueError(f"maps are {a.shape[-2]}×{a.shape[-1]}, expected at least one HOG cell of {cell} px")
    options = {"pixels_per_cell": (cell, cell), "cells_per_block": (1, 1)}
    described = [torch.from_numpy(np.stack([hog(m.numpy(), **options) for m in maps[:, 0]])) for maps in (a, b)]
    return spearman(*described)


def cascade_maps(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    references: torch.Tensor,
    *,
    settings: Mapping[str, Settings],
    methods: Collection[str] = METHODS,
    seed: int = 0,
    way: str = "cascading",
    calibration: torch.Tensor | None = None,
    workers: int = 2,
    **options,
) -> dict[str, Stages]:
    """The maps of each method stage by stage, for a figure: the intact network's, then those of the way.

    `options` are those of `explain` (keys, rise_masks, multi_label). The maps are those that `study` compares.
    """
    networks = all_networks(model, [way], seed=seed, calibration=calibration)
    options |= {"references": references, "settings": settings, "seed": seed}
    results = list(maps_of(networks, images, target, methods=methods, workers=workers, **options))
    return {method: [(layer, found[method]) for (_, layer, _), found in results] for method in methods}
