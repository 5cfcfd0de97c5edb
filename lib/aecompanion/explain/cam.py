"""Class activation maps (Zhou et al., CVPR 2016), and regions of a given area from any heatmap.

    M_c = Σ_k w_ck A_k

A: the last feature map (K×h×w), w: the weights of the linear layer behind global average pooling. For such a network
Grad-CAM of the same layer is ReLU(M_c) / (h·w): both name the same pixels. M is N×1×h×w.
"""

import torch
from torch import nn

from aecompanion.explain.activations import activations
from aecompanion.explain.target import targets_of
from aecompanion.networks.layers import layer_of


def cam(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    *,
    layer: str | nn.Module,
    linear: str | nn.Linear,
    batch: int = 128,
) -> torch.Tensor:
    """M_c of N images for their `target` classes, N×1×h×w on the CPU, not rectified.

    layer, linear: modules of `model` or their names. Raises ValueError if the linear layer does not take as many
    features as the layer has channels, and for targets as in `explain.target`.
    """
    linear = layer_of(model, linear)
    target, maps = targets_of(target, len(images), classes=linear.out_features), []
    for chunk, classes in zip(images.split(batch), target.split(batch), strict=True):
        features = activations(model, chunk, {"last": layer})["last"]
        if features.shape[1] != linear.in_features:
            raise ValueError(f"the linear layer takes {linear.in_features} features, the layer has {features.shape[1]}")
        maps.append(torch.einsum("nk,nkhw->nhw", linear.weight.detach().cpu()[classes], features)[:, None])
    return torch.cat(maps)


def hottest(maps: torch.Tensor, areas: torch.Tensor) -> torch.Tensor:
    """The `areas[n]` pixels of map n with the largest values, N×1×H×W boolean; ties go to the earlier pixel.

    Raises ValueError for an area below 1 or above the number of pixels, and for maps that are not finite.
    """
    pixels = maps[0].numel()
    if not torch.isfinite(maps).all():  # a sort puts NaN first
        raise ValueError("maps hold values that are not finite, expected numbers")
    if ((areas < 1) | (areas > pixels)).any():
        raise ValueError(f"areas span [{areas.min()}, {areas.max()}], expected 1 to {pixels} pixels")
    flat = maps.flatten(1)
    rank = flat.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return (rank < areas[:, None]).reshape(maps.shape)
