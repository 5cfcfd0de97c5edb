"""Controls for estimates of a finding's effect: what an estimate has to beat before it says anything of its region.

Each gives N values, the more negative the larger the effect that it foresees, for a class y and the box B of a finding:

    probability           -p_y                                 no region at all: an effect p' - p cannot be below -p
    CAM evidence          -1/(HW) Σ_{i in B} max(M_i, 0)       in logits; M: class activation map, H×W
    CAM share × p         -p_y Σ_{i in B} max(M_i, 0) / Σ_i max(M_i, 0)
    integrated gradients  -Σ_{i in B} IG_i                     signed, from the image's mean colour
    Shapley value         -φ_B of p_y, mean fill               `shapley_of_region`

None has a setting that was tuned: reference and fill are the mean colour of "mean", the most common fill.
Behind the network M is what global average pooling adds up, so the whole map's mean is the logit without its bias.
"""

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.explain.cam import cam
from aecompanion.explain.causal_effect import blocks
from aecompanion.explain.fills import replace
from aecompanion.explain.integrated_gradients import integrated_gradients
from aecompanion.networks.read import probabilities
from aecompanion.pipeline.rng import generator

CONTROLS = ("probability", "CAM evidence", "CAM share × p", "integrated gradients", "Shapley value")


def shapley_of_region(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    regions: torch.Tensor,
    *,
    draws: int = 16,
    per_side: int = 4,
    fill: str = "mean",
    seed: int = 0,
    multi_label: bool | None = None,
) -> torch.Tensor:
    """Shapley value of one region per image in the game whose other players are the blocks of a grid outside it, N.

        φ_R = E_S [ p_y(S ∪ R) - p_y(S) ]

    p_y(S) is the probability of the image in which only S and what no block covers stays, everything else replaced by
    the `fill`; S holds every other player that comes before R in a random order, so its size is uniform. The first two
    draws are the ends, S of everybody and S of nobody, in the share 1/(K + 1) each that they have among K + 1 sizes;
    sizes between them are drawn from (seed, position of the image). Cost: 2 · draws forward passes per image.

    images N×C×H×W, target N, regions N×1×H×W boolean. Source: Shapley 1953; the sampling is that of Castro et al. 2009.
    Raises ValueError for fewer than 3 draws.
    """
    if draws < 3:
        raise ValueError(f"draws is {draws}, expected at least 3 (both ends and one between them)")
    grid = blocks(images.shape[-1], per_side)[:, 0]
    players = len(grid)
    found = torch.empty(len(images), draws)
    hidden = torch.zeros(draws, len(images), 1, *images.shape[2:], dtype=torch.bool)  # the blocks that are replaced
    for case in range(len(images)):
        draw = generator(seed, case)
        for row in range(draws):
            size = (0, players)[row] if row < 2 else int(torch.randint(1, players, (), generator=draw))
            gone = torch.randperm(players, generator=draw)[:size]
            hidden[row, case, 0] = grid[gone].any(0)
    for row in range(draws):
        with_region, without = hidden[row] & ~regions, hidden[row] | regions
        p = [answer(model, images, target, gone, fill, multi_label) for gone in (with_region, without)]
        found[:, row] = p[0] - p[1]
    ends = found[:, :2].sum(1) / (players + 1)
    return ends + found[:, 2:].mean(1) * (players - 1) / (players + 1)


def answer(model, images, target, gone, fill, multi_label) -> torch.Tensor:
    """p of the target, N, after the pixels in `gone` (N×1×H×W, may be empty) were replaced."""
    some, shown = gone.flatten(1).any(1), images.clone()
    shown[some] = replace(images[some], gone[some], fill)
    return probabilities(model, shown, multi_label=multi_label).gather(1, target[:, None])[:, 0]


def controls(
    model: nn.Module, images: torch.Tensor, target: torch.Tensor, boxes: torch.Tensor, *, seed: int, draws: int = 16
) -> dict[str, torch.Tensor]:
    """{name of `CONTROLS`: N values}; images N×C×H×W, target N, boxes N×1×H×W boolean."""
    p = probabilities(model, images).gather(1, target[:, None])[:, 0]
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    maps = cam(model, images, target, layer=model.cam_layer(), linear=linear)
    positive = F.interpolate(maps, tuple(images.shape[2:]), mode="bilinear", align_corners=False).clamp_min(0)
    inside, pixels = (positive * boxes).flatten(1).sum(1), images[0, 0].numel()
    references = images.mean((2, 3), keepdim=True).expand_as(images)
    gradients = integrated_gradients(model, images, target, references, signed=True)
    return {
        "probability": -p,
        "CAM evidence": -inside / pixels,
        "CAM share × p": -p * inside / positive.flatten(1).sum(1).clamp_min(1e-12),
        "integrated gradients": -(gradients * boxes).flatten(1).sum(1),
        "Shapley value": -shapley_of_region(model, images, target, boxes, draws=draws, seed=seed),
    }
