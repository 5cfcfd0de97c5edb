"""Parameter randomisation: does the explanation depend on what the network has learned?

The networks that are compared with the intact one, and what Grad-CAM says of faces under them. The same for every kind
of map is `sanity.map_randomization`, similarities are in `sanity.likeness`.

    cascading                 the layers are re-initialised one after another from the output to the input, and stay so
    independent               one layer at a time, the others keep what they learned
    cascading, recalibrated   as the first; after each step the running statistics of the batch normalisations that were
                              re-initialised are taken from real images, so that activations keep their size
    retrained                 yardstick above: nothing re-initialised, the network trained again from another seed. A
                              map cannot be asked to be more alike than that
    other image               yardstick below: the intact network's map of another image

A map that stays alike says little about the network. Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS
2018; the yardsticks are ours.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch
from torch import nn

from aecompanion.evaluate.dissimilarity import spearman, ssim
from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.borrow import device_of
from aecompanion.networks.read import predict
from aecompanion.pipeline.rng import seeded
from aecompanion.sanity.likeness import rise, smoothed

BATCH_NORMALISATION = nn.modules.batchnorm._BatchNorm
NORMALISATIONS = (BATCH_NORMALISATION, nn.GroupNorm, nn.LayerNorm)
WAYS = ("cascading", "independent")
RECALIBRATED = "cascading, recalibrated"
OTHER, RETRAINED = "other image", "retrained"
SPREAD = 0.05  # standard deviation of the noise of smoothed maps, pixel units: that of the masks' noise

Randomised = tuple[str, str, float, nn.Module]  # way, layer, depth, network of its own


def randomized(model: nn.Module, *, seed: int, cascading: bool = True) -> Iterator[tuple[str, nn.Module]]:
    """Yield (name, copy of the model with that layer re-initialised), from the output towards the input.

    A layer is a convolution or linear layer together with the normalisation that follows it (a re-initialised
    normalisation alone would undo nothing that the convolution has learned); it is named after the former. Its new
    values are its own initialisation drawn from (seed, position). The caller's model is not touched. With `cascading`
    the same copy accumulates the changes, so use each before taking the next.
    """
    cascade = copy.deepcopy(model)
    for position, names in enumerate(reversed(layers(model))):
        current = cascade if cascading else copy.deepcopy(model)
        with seeded(seed, position), torch.no_grad():
            for name in names:
                current.get_submodule(name).reset_parameters()
        yield names[0], current


def layers(model: nn.Module) -> list[list[str]]:
    """Names of the modules of each layer in definition order: a layer with weights, then its normalisations."""
    found: list[list[str]] = []
    for name, module in model.named_modules():
        if resettable(module):
            if isinstance(module, NORMALISATIONS) and found:
                found[-1].append(name)
            else:
                found.append([name])
    return found


def resettable(module: nn.Module) -> bool:
    """The module owns parameters and can initialise them."""
    return hasattr(module, "reset_parameters") and next(module.parameters(recurse=False), None) is not None


def all_networks(
    model: nn.Module, ways: Sequence[str], peers: Mapping[str, nn.Module] | None = None, **options
) -> Iterator[Randomised]:
    """The intact network, its `peers` by name, those of every way; `options` are those of `reinitialised`."""
    yield "", "", 0.0, copy.deepcopy(model)
    for name, peer in (peers or {}).items():
        yield RETRAINED, name, 0.0, copy.deepcopy(peer)
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
    parts = [part for part in map(model.get_submodule, names) if isinstance(part, BATCH_NORMALISATION)]
    momenta = [part.momentum for part in parts]
    for part in parts:
        part.train()
        part.momentum = 1.0
    model(images.to(device_of(model)))
    for part, momentum in zip(parts, momenta, strict=True):
        part.eval()
        part.momentum = momentum


def study(
    network,
    images: torch.Tensor,
    *,
    size: int,
    seed: int,
    peers: Mapping[str, nn.Module] | None = None,
    copies: int = 0,
) -> pd.DataFrame:
    """Similarity of Grad-CAM to the intact network's map while layers are re-initialised, both ways.

    Args:
        network: a `Network`; images: N×C×H×W; size: side to which maps are upsampled; seed: of the re-initialisation
            and of the noise. peers: networks trained from other seeds, by name. copies: noisy inputs of smoothed maps.

    Returns one row per way ("other image", "retrained" where there are peers, "cascading", "independent"), layer (or
    peer) and image: position (of the image), layer, depth (share of the layers from the output up to this one, in
    (0, 1]), spearman, ssim, rise (of complexity) and, with copies, smooth: the rank correlation of smoothed maps, for
    the yardsticks and after the first and the last layer of the cascade.
    Every map explains the class that the intact network predicts. "other image" compares the intact maps of image i and
    image i+1.
    """
    target = predict(network, images).argmax(1)

    def maps(model, way: str = "", depth: float = 0.0) -> tuple[torch.Tensor, torch.Tensor | None]:
        def explain(given: torch.Tensor) -> torch.Tensor:
            return heatmap(gradcam(model, given, target, layer=model.cam_layer()), size)

        noisy = {"copies": copies, "spread": SPREAD, "seed": seed}
        shown = copies and way != WAYS[1] and depth in (0, 1 / count, 1)
        return explain(images), smoothed(explain, images, **noisy) if shown else None

    networks, count = all_networks(network, WAYS, peers, seed=seed), len(layers(network))
    next(networks)  # itself
    intact, smooth = maps(network)
    after = intact.roll(-1, 0), None if smooth is None else smooth.roll(-1, 0)
    tables = [similarity(OTHER, "", 0.0, (intact, smooth), after)]
    tables += [
        similarity(way, layer, depth, (intact, smooth), maps(other, way, depth))
        for way, layer, depth, other in networks
    ]
    return pd.concat(tables, ignore_index=True)


def similarity(way: str, layer: str, depth: float, intact: Sequence, maps: Sequence) -> pd.DataFrame:
    """A row per image of plain and, unless None, smoothed maps, N×1×H×W each; undefined correlations are NaN."""
    (a, smooth_a), (b, smooth_b) = intact, maps
    columns = {"way": way, "layer": layer, "depth": depth, "position": range(len(b))}
    measures = {"spearman": spearman(a, b), "ssim": ssim(a, b), "rise": rise(a, b)}
    if smooth_b is not None:
        measures["smooth"] = spearman(smooth_a, smooth_b)
    return pd.DataFrame(columns | {name: each.numpy() for name, each in measures.items()})
