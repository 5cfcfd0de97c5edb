"""Integrated gradients (IG), thin over captum.

    A_c = | Σ_channels (x - x_r) ⊙ ∫_0^1 ∂z_c/∂x (x_r + t (x - x_r)) dt |

The integral is a Gauss-Legendre sum over `steps` points of the line from the reference x_r to the image. Before the
absolute value the sum over all pixels is z_c(x) - z_c(x_r), up to the error of that sum (`signed=True` keeps the sign).
Kim et al. (IEEE TIP 2022) do not compare with it. Source: Sundararajan, Taly and Yan, ICML 2017.
"""

import torch
from captum.attr import IntegratedGradients
from torch import nn

from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of

STEPS = 24
BATCH = 64  # points of lines per pass, of images up to 64 px: `captum` would show all of them at once
PIXELS = BATCH * 64**2  # per pass of larger images: 64 points at 224 px hold five gigabytes of activations


def integrated_gradients(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    references: torch.Tensor,
    *,
    steps: int = STEPS,
    signed: bool = False,
) -> torch.Tensor:
    """A of the formula, n×1×H×W on the CPU, in the kind of number of the images.

    Args:
        images, references: x and x_r, n×C×H×W in [0,1]. target: one class index or n. steps: forward and backward
            passes per pair. signed: without the absolute value.

    Raises ValueError for references of another shape, fewer than one step, and for targets as in `explain.target`.
    """
    if references.shape != images.shape:
        raise ValueError(f"references are {tuple(references.shape)}, expected {tuple(images.shape)} as the images")
    if steps < 1:
        raise ValueError(f"steps {steps}: expected at least 1")
    device, target = device_of(model), targets_of(target, len(images))

    def logits_of(points: torch.Tensor) -> torch.Tensor:
        logits = model(points.clone())  # a leaf cannot be written into
        targets_of(target, len(images), classes=logits.shape[1])
        return logits

    with borrowed(model):
        found = IntegratedGradients(logits_of).attribute(
            images.detach().to(device),
            baselines=references.detach().to(device, images.dtype),
            target=target.to(device),
            n_steps=steps,
            internal_batch_size=max(min(BATCH, PIXELS // (images.shape[-2] * images.shape[-1])), len(images)),
        )
    found = found.detach().to(images.dtype).sum(1, keepdim=True)
    return (found if signed else found.abs()).cpu()
