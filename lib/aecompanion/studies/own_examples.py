"""Four small methods, handed in the way a reader's would be: what `my_method` runs where nothing else is named.

    explain   gradient × input   max over channels of |x · ∂z_c / ∂x|
    attack    random signs       clip(x + eps s), s uniform on {-1, 1}: an attack that knows nothing
    defend    Gaussian blur      sigma of one pixel
    detect    total variation    mean |difference of neighbouring pixels|: noise raises it

Each stands in a paper's comparison as a control: what an answer is worth that has not been thought about for long.
"""

from collections.abc import Sequence

import torch
from torch import nn

from aecompanion.pipeline.rng import generator


def gradient_times_input(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options=None) -> torch.Tensor:
    """N×1×H×W. Cost: one forward and one backward pass."""
    given = images.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(given).gather(1, target[:, None]).sum(), given)
    return (slope * images).abs().amax(1, keepdim=True)


def random_signs(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    seed: int = 0,
    indices: Sequence[int] | None = None,
) -> torch.Tensor:
    """N×C×H×W in [0,1]; the signs are drawn from (seed, index). Cost: no pass."""
    keys = range(len(images)) if indices is None else indices
    coins = [torch.randint(0, 2, images.shape[1:], generator=generator(seed, int(key))) for key in keys]
    return (images + eps * (2 * torch.stack(coins) - 1).to(images)).clamp(0, 1)


def gaussian_blur(images: torch.Tensor) -> torch.Tensor:
    """N×C×H×W in, the same out."""
    from torchvision.transforms.functional import gaussian_blur as blurred

    return blurred(images, kernel_size=5, sigma=1.0)


def total_variation(images: torch.Tensor) -> torch.Tensor:
    """N scores, larger = more suspicious. Cost: no pass."""
    down, across = images.diff(dim=2).abs(), images.diff(dim=3).abs()
    return down.flatten(1).mean(1) + across.flatten(1).mean(1)
