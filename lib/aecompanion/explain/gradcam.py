"""Grad-CAM (Selvaraju et al., ICCV 2017), thin over captum, with the bookkeeping that comparing two maps needs.

    α_k = (1/Z) Σ_ij ∂y^c / ∂A^k_ij,    L = ReLU( Σ_k α_k A^k ),    H = upsample( L / max L )

A: activations of one layer (K×h×w), y^c: the logit of the explained class c, Z = h·w. L is N×1×h×w, H is N×1×H×W in
[0,1]. H of an image whose L is zero everywhere is zero, that of an L with NaN stays NaN; `is_zero` counts both, because
SSIM calls two zero maps equal.

On an attacked image three classes c can be explained (which Chakraborty et al. took is not known here):
"own_pred", what the network says of the attacked image; "clean_pred", what it said of the clean one; "true_label".
"""

import torch
from captum.attr import LayerGradCam
from torch import nn
from torch.nn import functional as F

from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of, plain
from aecompanion.networks.layers import layer_of

MODES = ("own_pred", "clean_pred", "true_label")


def gradcam(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    *,
    layer: str | nn.Module,
    batch: int = 128,
) -> torch.Tensor:
    """L of the formula, N×1×h×w at the layer's resolution, on the CPU.

    Args:
        images: N×C×H×W in [0,1]; target: one class index or N; layer: a module of `model`, or its name, that runs once
            per forward pass and returns N×K×h×w.

    Raises ValueError if the layer is unknown or its output has no spatial extent, and for targets as in
    `explain.target`.
    """
    model, device, maps = plain(model), device_of(model), []
    target = targets_of(target, len(images))

    def logits_of(chunk: torch.Tensor) -> torch.Tensor:
        logits = model(chunk)
        targets_of(target, len(images), classes=logits.shape[1])
        return logits

    with borrowed(model):
        explain = LayerGradCam(logits_of, layer_of(model, layer))
        for start in range(0, len(images), batch):
            chunk = images[start : start + batch].detach().to(device, copy=True)
            classes = target[start : start + batch].to(device)
            maps.append(explain.attribute(chunk, target=classes, relu_attributions=True).detach().cpu())
    coarse = torch.cat(maps)
    if coarse.dim() != 4:
        raise ValueError(f"the layer returns {coarse.dim()}-dimensional features, expected N×K×h×w for Grad-CAM")
    return coarse


def explain_classes(
    model: nn.Module, images: torch.Tensor, classes: torch.Tensor, *, layer: str | nn.Module, batch: int = 128
) -> torch.Tensor:
    """Grad-CAM of every image for each of M classes: `classes` M×N gives M×N×1×h×w, no (image, class) pair twice."""
    maps = [gradcam(model, images, classes[0], layer=layer, batch=batch)]
    for row in range(1, len(classes)):
        current = maps[0].clone()
        todo = torch.ones(len(images), dtype=torch.bool)
        for earlier in range(row):
            same = todo & (classes[earlier] == classes[row])
            current[same] = maps[earlier][same]
            todo &= ~same
        if todo.any():
            current[todo] = gradcam(model, images[todo], classes[row][todo], layer=layer, batch=batch)
        maps.append(current)
    return torch.stack(maps)


def heatmap(coarse: torch.Tensor, size: int | tuple[int, int]) -> torch.Tensor:
    """H of the formula: each map divided by its maximum, then upsampled (bilinear) to `size`; zero maps stay zero,
    a map with values that are not finite becomes NaN everywhere.
    """
    peak = coarse.flatten(1).amax(1).reshape(-1, 1, 1, 1)
    normalised = torch.where(peak > 0, coarse / peak.clamp_min(torch.finfo(coarse.dtype).tiny), 0)
    normalised = normalised.masked_fill(~finite(coarse).reshape(-1, 1, 1, 1), torch.nan)
    return F.interpolate(normalised, size=size, mode="bilinear", align_corners=False)


def is_zero(coarse: torch.Tensor) -> torch.Tensor:
    """N booleans: the map shows nothing, because it is zero everywhere (the ReLU left nothing) or not finite."""
    return (coarse.flatten(1).amax(1) == 0) | ~finite(coarse)


def finite(coarse: torch.Tensor) -> torch.Tensor:
    """N booleans: every value of the map is a number."""
    return torch.isfinite(coarse).flatten(1).all(1)


def class_to_explain(mode: str, *, clean: torch.Tensor, attacked: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The N class indices of a mode, from the predictions on clean and attacked images and the labels.

    Raises ValueError for a mode that is not one of `MODES`.
    """
    if mode not in MODES:
        raise ValueError(f"class mode {mode!r} is unknown, expected one of {', '.join(MODES)}")
    return {"own_pred": attacked, "clean_pred": clean, "true_label": labels}[mode]
