"""Saliency by back-propagation (BP), thin over captum.

    A = max over channels of | ∂z_c / ∂x |

z_c: the logit of the explained class c. Source: Simonyan, Vedaldi and Zisserman, ICLR Workshop 2014.
"""

import torch
from captum.attr import Saliency
from torch import nn

from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of


def saliency(model: nn.Module, images: torch.Tensor, target: int | torch.Tensor, *, batch: int = 128) -> torch.Tensor:
    """A of the formula, N×1×H×W on the CPU; images N×C×H×W in [0,1], target one class index or N.

    Raises ValueError for targets as in `explain.target`.
    """
    device, maps, target = device_of(model), [], targets_of(target, len(images))

    def logits_of(chunk: torch.Tensor) -> torch.Tensor:
        logits = model(chunk.clone())  # a leaf cannot be written into
        targets_of(target, len(images), classes=logits.shape[1])
        return logits

    with borrowed(model):
        explain = Saliency(logits_of)
        for start in range(0, len(images), batch):
            chunk = images[start : start + batch].detach().to(device).requires_grad_()
            gradient = explain.attribute(chunk, target=target[start : start + batch].to(device), abs=True)
            maps.append(gradient.amax(1, keepdim=True).cpu())
    return torch.cat(maps)
