"""Parameter randomisation: does the explanation depend on what the network has learned?

Cascading: the layers are re-initialised one after another from the output towards the input, and stay so.
Independent: one layer at a time, the others keep what they learned. A map that stays alike says little about the
network. Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.
"""

import copy
from collections.abc import Iterator

import pandas as pd
import torch
from torch import nn

from aecompanion.evaluate.dissimilarity import spearman, ssim
from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.read import predict
from aecompanion.pipeline.rng import seeded

NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


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


def study(network, images: torch.Tensor, *, size: int, seed: int) -> pd.DataFrame:
    """Similarity of Grad-CAM to the intact network's map while layers are re-initialised, both ways.

    Args:
        network: a `Network`; images: N×C×H×W; size: side to which maps are upsampled; seed: of the re-initialisation.

    Returns one row per way ("cascading", "independent", "other image"), layer and image: position (of the image),
    layer, depth (share of the layers from the output up to this one, in (0, 1]), spearman, ssim. "other image" compares
    the intact maps of image i and image i+1: what similarity remains between unrelated maps.
    """
    target = predict(network, images).argmax(1)
    intact = heatmap(gradcam(network, images, target, layer=network.cam_layer()), size)
    tables = [similarity("other image", "", 0.0, intact, intact.roll(-1, 0))]
    count = len(layers(network))
    for cascading in (True, False):
        way = "cascading" if cascading else "independent"
        for position, (name, changed) in enumerate(randomized(network, seed=seed, cascading=cascading), 1):
            maps = heatmap(gradcam(changed, images, target, layer=changed.cam_layer()), size)
            tables.append(similarity(way, name, position / count, intact, maps))
    return pd.concat(tables, ignore_index=True)


def similarity(way: str, layer: str, depth: float, intact: torch.Tensor, maps: torch.Tensor) -> pd.DataFrame:
    columns = {"way": way, "layer": layer, "depth": depth, "position": range(len(maps))}
    return pd.DataFrame(columns | {"spearman": spearman(intact, maps).numpy(), "ssim": ssim(intact, maps).numpy()})
