"""An LPIPS-like distance of two images: how far apart they are in the features of a network that knows photographs.

    d(x, y) = 1/L Σ_l  1/(H_l W_l) Σ_ij  ‖ u_l(x)_ij - u_l(y)_ij ‖²,      u_l(x)_ij = φ_l(x)_ij / ‖φ_l(x)_ij‖_2

φ_l: the maps of layer l, C_l×H_l×W_l; every place has its channels at norm 1, so d lies in [0, 4]. The form is that of
Zhang et al., CVPR 2018, "lin" without its learned weights: they average the layers of AlexNet or VGG with weights that
were fitted to people's judgements. Neither those networks nor those weights are here, so no value of d is an LPIPS, and
d is only comparable with d of the same network, layers and size of the images.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.efficientnet_lite import BLOCKS

LEAST = 1e-10  # of a norm


def stage_ends(body: nn.Module) -> list[nn.Module]:
    """The last block of EfficientNet-Lite0 at every resolution: 16, 24, 40, 112 and 320 channels."""
    found, last = [], -1
    for number, (_, _, _, _, _, repeats) in enumerate(BLOCKS):
        last += repeats
        coarser = number + 1 == len(BLOCKS) or BLOCKS[number + 1][2] == 2
        if coarser:
            found.append(body._blocks[last])
    return found


@torch.no_grad()
def unit_features(
    model: nn.Module, images: torch.Tensor, layers: Sequence[nn.Module], *, size: int, batch: int = 64
) -> list[torch.Tensor]:
    """u_l of the formula, N×C_l×H_l×W_l per layer, on the CPU; images (N×3×H×W in [0,1]) are enlarged to size×size
    first.

    Raises ValueError for no layer.
    """
    if not layers:
        raise ValueError("no layer given, expected at least one to measure in")
    kept: list[list[torch.Tensor]] = [[] for _ in layers]
    hooks = [
        layer.register_forward_hook(lambda module, given, output, k=k: kept[k].append(output / norms(output)))
        for k, layer in enumerate(layers)
    ]
    try:
        with borrowed(model):
            for part in images.split(batch):
                given = F.interpolate(part, (size, size), mode="bilinear", align_corners=False)
                model(given.to(device_of(model)))
    finally:
        for hook in hooks:
            hook.remove()
    return [torch.cat(parts).cpu() for parts in kept]


def norms(maps: torch.Tensor) -> torch.Tensor:
    """‖φ_ij‖_2 over channels, N×1×H×W."""
    return torch.linalg.vector_norm(maps, dim=1, keepdim=True).clamp_min(LEAST)


def feature_distance(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> torch.Tensor:
    """d of N pairs, from what `unit_features` gave for either side.

    Raises ValueError where layers or shapes differ.
    """
    if [each.shape for each in first] != [each.shape for each in second] or not first:
        raise ValueError("features of different layers or images, expected the same shapes twice")
    layers = [(x - y).square().sum(1).mean((1, 2)) for x, y in zip(first, second, strict=True)]
    return torch.stack(layers).mean(0)
