"""Parameter randomisation of every kind of map: do the methods of `explain.methods` answer to what was learned?

A: map of the intact network, A': map of the network with re-initialised layers, for the same pair (image, class), the
same noise and the same RISE masks, so that an intact network gives A' = A. Both n×1×H×W, compared by
`likeness.similarity`: 1 for A' = A. The ways and the two yardsticks are those of `sanity.randomization`.

All maps here are non-negative, so signed and absolute rank correlation are one. A constant map has no ranks: `spearman`
and `hog` are then 0, the scaled map is 0 everywhere, and the row is marked `undefined`; the same goes for a map that is
not finite. Constant means up to rounding: interpolating a constant leaves differences of 1e-7 that would be ranked.
SSIM needs care: a constant map is *similar* to a sparse one, most of whose windows are flat as well.

What happens to the network: `randomized` resets a batch normalisation with its convolution, running statistics
included. It is then the identity, while torch's initialisation of a convolution divides the variance by about six.
Nothing explodes; activations fade layer by layer until the logits hardly differ between images. A mask then has nothing
to gain from the network, its area term empties it, and the map is constant: a change, but one that says as much about
the size of the logits as about their content. EP, whose area is given, shows what its sort makes of equal values, the
same for every image; RISE, BP and Grad-CAM do not feel the size. Hence the recalibrated way.

Cost. Networks are explained with their normalisations folded (`networks.stem.attributed`). Methods in `thin` are
explained after the first, the middle and the last layer only; a network that is the same in two ways (the first layer
alone) is explained once. Smoothed maps are for gradients: masks see noise at every step of their optimisation already,
and a RISE map of n noisy images costs n times its masks.

Sources: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018; Kim et al., IEEE TIP 2022, show the cascade of
their maps without numbers.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import pandas as pd
import torch
from torch import nn

from aecompanion.evaluate.dissimilarity import spearman
from aecompanion.explain.mask import Settings
from aecompanion.explain.methods import METHODS, explain
from aecompanion.networks.stem import attributed
from aecompanion.pipeline import parallel
from aecompanion.sanity.likeness import neighbours, similarity, smoothed
from aecompanion.sanity.randomization import (
    BATCH_NORMALISATION,
    OTHER,
    RECALIBRATED,
    SPREAD,
    WAYS,
    Randomised,
    all_networks,
    layers,
)

Stages = list[tuple[str, torch.Tensor]]  # layer re-initialised last ("" for none), maps n×1×H×W
Maps = dict[str, torch.Tensor]  # by method; smoothed ones by SMOOTH and method
SMOOTH = "smooth "


def study(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    references: torch.Tensor,
    *,
    settings: Mapping[str, Settings],
    methods: Collection[str] = METHODS,
    thin: Collection[str] = (),
    peers: Mapping[str, nn.Module] | None = None,
    copies: int = 0,
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
        images, references: n×C×H×W; target: n class indices. settings: of the mask methods. thin: methods explained at
            `places` only. peers: the same network trained from other seeds, by name. copies: noisy inputs of the
            smoothed maps of gradients, 0 for none. seed: of the re-initialisation, the noise and RISE's masks; keys: of
            the noise, one per pair (default: positions).
        calibration: images for the way "cascading, recalibrated"; without them it is left out.
        workers: networks at a time. progress: called with the layer's name after each network, the intact one first.

    Returns one row per way ("other image", "retrained", those of `WAYS`, "cascading, recalibrated"), layer, method and
    pair: way, layer (for "retrained" the peer's name), depth (share of the layers from the output up to this one, in
    (0, 1]; 0 for the yardsticks), position (of the pair), method, spearman, ssim, hog, rise, smooth (rank correlation
    of smoothed maps, NaN where there are none), undefined. "other image" compares the intact map of a pair with that of
    the next pair of a different image: what similarity remains between unrelated maps.
    """
    ways = WAYS if calibration is None else (*WAYS, RECALIBRATED)
    networks = all_networks(model, ways, peers, seed=seed, calibration=calibration)
    options = {"references": references, "settings": settings, "rise_masks": rise_masks, "multi_label": multi_label}
    options |= {"methods": methods, "thin": thin, "copies": copies, "seed": seed, "keys": keys}
    tables, intact, everyone = [], {}, range(len(images))
    for (way, layer, depth), found in maps_of(model, networks, images, target, workers=workers, **options):
        here, there = neighbours(images) if not way else (everyone, everyone)
        intact = intact or found
        for method in (name for name in methods if name in found and len(here)):
            facts = {"way": way or OTHER, "layer": layer, "depth": depth, "method": method}
            table = similarity(intact[method][here], found[method][there], here, **facts)
            tables.append(table.assign(smooth=smooth_similarity(method, intact, found, here, there)))
        progress(layer)
    columns = ["way", "layer", "depth", "position", "method", "spearman", "ssim", "hog", "rise", "smooth", "undefined"]
    return pd.concat(tables, ignore_index=True)[columns]


def smooth_similarity(method: str, intact: Maps, found: Maps, here: Sequence[int], there: Sequence[int]):
    """Rank correlations of the smoothed maps of a method, NaN where it has none."""
    name = SMOOTH + method
    return spearman(intact[name][here], found[name][there]).double().numpy() if name in found else float("nan")


def places(count: int) -> set[int]:
    """The first, the middle and the last of `count` layers, counted from 1 at the output."""
    return {1, -(-count // 2), count}


def maps_of(
    model: nn.Module,
    networks: Iterator[Randomised],
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    methods: Collection[str],
    workers: int,
    thin: Collection[str] = (),
    copies: int = 0,
    **options,
) -> Iterator[tuple[tuple[str, str, float], Maps]]:
    """((way, layer, depth), maps of each method) per network made of `model`; `options` are those of `explain`.

    As many networks as workers exist at a time: all forty-nine of a VGG-16 would take 27 GB.
    """
    names, first = layers(model), {}
    drawn = any(isinstance(model.get_submodule(name), BATCH_NORMALISATION) for name in names[-1])  # the first's

    def explained(network: Randomised) -> Maps:
        way, _, depth, changed = network
        place = round(depth * len(names))
        again = place == 1 and not (way == RECALIBRATED and drawn)
        if again and first:
            return first
        changed = attributed(changed)
        chosen = [name for name in methods if name not in thin or not place or place in places(len(names))]
        found = {name: explain(name, changed, images, target, **options).maps for name in chosen}
        for name in (each for each in chosen if copies and METHODS[each].family == "gradient"):

            def one(noisy: torch.Tensor, name: str = name) -> torch.Tensor:
                return explain(name, changed, noisy, target, **options).maps

            own = {"seed": options.get("seed", 0), "keys": options.get("keys")}
            found[SMOOTH + name] = smoothed(one, images, copies=copies, spread=SPREAD, **own)
        if again:
            first.update(found)
        return found

    while group := list(itertools.islice(networks, workers)):
        for network, found in zip(group, parallel.over(explained, group, workers=workers), strict=True):
            yield network[:-1], found


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
    results = list(maps_of(model, networks, images, target, methods=methods, workers=workers, **options))
    return {method: [(layer, found[method]) for (_, layer, _), found in results] for method in methods}
