"""What the layers of a network answer to a clean and to an attacked image.

    r_l = corr( a_l(x), a_l(x*) )

Pearson's correlation over all values of one layer's activations a_l, per image; with `pool` > 1 both are averaged over
pool×pool cells first, so that a pattern that only moved a little counts as kept. 1: the attack did not reach the layer.
Huang's thesis (NCCU, 2019) analyses its results by the activations of the convolutions; the measure is ours.
"""

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.networks.borrow import borrowed, device_of, plain
from aecompanion.networks.layers import layer_of


@torch.no_grad()
def activations(model: nn.Module, images: torch.Tensor, layers: dict[str, str | nn.Module]) -> dict[str, torch.Tensor]:
    """Outputs N×C×h×w of the named layers (modules or their names in the model) for N images, on the CPU.

    The model's hooks are removed again. Raises ValueError for a layer that the model lacks.
    """
    model, seen = plain(model), {}
    with borrowed(model):
        for name, layer in layers.items():
            module = layer_of(model, layer)
            module.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: copy(output)}))
        model(images.to(device_of(model), copy=True))
    return seen


def copy(output: torch.Tensor) -> torch.Tensor:
    """On the CPU, and not overwritten by an in-place layer that follows."""
    return output.detach().to("cpu", copy=True)


def correlation(clean: torch.Tensor, attacked: torch.Tensor, *, pool: int = 1) -> torch.Tensor:
    """r of the formula for N pairs, N values in [-1, 1]; NaN where one of the two is constant.

    Raises ValueError if the shapes differ.
    """
    if clean.shape != attacked.shape:
        raise ValueError(f"activations have shapes {tuple(clean.shape)} and {tuple(attacked.shape)}, expected the same")
    if pool > 1:
        clean, attacked = F.avg_pool2d(clean, pool), F.avg_pool2d(attacked, pool)
    a, b = (values.double().flatten(1) for values in (clean, attacked))
    constant = (a.amax(1) == a.amin(1)) | (b.amax(1) == b.amin(1))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    found = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    return torch.where(constant, torch.nan, found).float()
