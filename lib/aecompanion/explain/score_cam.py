"""Score-CAM: activations weighted by the score of what they show of the image, without gradients.

    L = ReLU( Σ_k α_k A^k ),    α = softmax_k( z_c(x ⊙ M^k) - z_c(x_b) ),    M^k = s( upsample(A^k) )

A: activations of one layer (K×h×w), s: shift and scale to [0,1], z_c: the logit of class c. The baseline term z_c(x_b)
is the same for all k, so the softmax does not see it and we do not compute it. x ⊙ M: removed pixels become `fill`, 0.5
as in `rise`, 0 in the space of networks that are normalised with a mean of 0.5. One forward pass per channel is dear
where K is in the thousands; `channels` takes those whose activations vary most over the image (standard deviation), a
known shortcut; with K or fewer of them it is Score-CAM as published. captum does not have it.
Source: Wang, Wang, Du, Yang, Zhang, Ding, Mardziel and Hu, CVPR Workshop 2020.
"""

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.explain.cam_variants import only, watched
from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of, plain

CHANNELS, BATCH = 64, 64  # channels that are asked about; masked images per pass


@torch.no_grad()
def score_cam(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    *,
    layer: str | nn.Module,
    channels: int | None = CHANNELS,
    fill: float = 0.5,
) -> torch.Tensor:
    """L of the formula, N×1×h×w at the layer's resolution, on the CPU, in the kind of number of the images.

    Args:
        images: N×C×H×W in [0,1]; target: one class index or N; layer: a module of `model`, or its name, that runs once
            per forward pass and returns N×K×h×w. channels: at most so many, None for all: forward passes per pair, and
            one more. fill: value of removed pixels, [0,1].

    Raises ValueError for fewer than one channel, if the layer is unknown, runs not once or has no spatial extent, and
    for targets as in `explain.target`.
    """
    if channels is not None and channels < 1:
        raise ValueError(f"channels {channels}: expected at least 1, or None for all of the layer")
    model, device, maps = plain(model), device_of(model), []
    target = targets_of(target, len(images))
    with borrowed(model):
        seen = watched(model, layer)
        for image, label in zip(images.to(device), target.tolist(), strict=True):
            logits = model(image[None].clone())
            targets_of(target, len(images), classes=logits.shape[1])
            features = only(seen, layer)[0]
            spread = features.float().flatten(1).std(1)
            chosen = features[spread.argsort(descending=True, stable=True)[:channels]]
            large = F.interpolate(chosen[:, None].float(), tuple(image.shape[1:]), mode="bilinear", align_corners=False)
            low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
            masks = ((large - low) / (high - low).where(high > low, 1)).to(image.dtype)
            scores = []
            for part in masks.split(BATCH):
                scores.append(model(torch.lerp(image.new_full((), fill), image, part))[:, label].float())
                seen.clear()
            weights = torch.cat(scores).softmax(0)
            maps.append(torch.einsum("k,khw->hw", weights, chosen.float()).relu()[None].cpu())
    return torch.stack(maps).to(images.dtype)
