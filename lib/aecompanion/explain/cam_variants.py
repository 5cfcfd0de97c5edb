"""Grad-CAM++ and LayerCAM: Grad-CAM with other weights of the same activations and gradients.

    Grad-CAM++   L = ReLU( Σ_k w_k A^k ),   w_k = Σ_ij α_ij^k ReLU(g_ij^k),   α = g² / (2 g² + g³ Σ_ab A_ab^k)
    LayerCAM     L = ReLU( Σ_k ReLU(g^k) ⊙ A^k )

A: activations of one layer (K×h×w), g = ∂z_c/∂A, z_c: the logit of the explained class c; α is 0 where g is 0. Of
Grad-CAM++ we leave out the factor exp(z_c) of the published weights, which scales a map as a whole. captum has neither
of the two.
Sources: Chattopadhay, Sarkar, Howlader and Balasubramanian, WACV 2018; Jiang, Zhang, Hou, Cheng and Wei, IEEE TIP 2021.
"""

import torch
from torch import nn

from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of, plain
from aecompanion.networks.layers import layer_of


def gradcam_plus_plus(
    model: nn.Module, images: torch.Tensor, target: int | torch.Tensor, *, layer: str | nn.Module, batch: int = 128
) -> torch.Tensor:
    """L of Grad-CAM++, N×1×h×w at the layer's resolution, on the CPU. Cost: one forward and one backward pass per pair.

    Args:
        images: N×C×H×W in [0,1]; target: one class index or N; layer: a module of `model`, or its name, that runs once
            per forward pass and returns N×K×h×w.

    Raises ValueError if the layer is unknown, runs not once or has no spatial extent, and for targets as in
    `explain.target`.
    """
    features, slopes = layer_gradients(model, images, target, layer=layer, batch=batch)
    peak = slopes.abs().flatten(1).amax(1).reshape(-1, 1, 1, 1).double()
    # α of g/max|g| and A·max|g| is that of g and A: cubes of small gradients would be rounded to zero
    unit = slopes / peak.where(peak > 0, 1)
    below = 2 * unit**2 + unit**3 * (features * peak).sum((2, 3), keepdim=True)
    alpha = torch.where((unit != 0) & (below != 0), unit**2 / below, 0.0)
    weights = (alpha * slopes.relu()).sum((2, 3), keepdim=True)
    return (weights * features).sum(1, keepdim=True).relu().to(images.dtype)


def layercam(
    model: nn.Module, images: torch.Tensor, target: int | torch.Tensor, *, layer: str | nn.Module, batch: int = 128
) -> torch.Tensor:
    """L of LayerCAM, N×1×h×w on the CPU; cost, arguments and errors as in `gradcam_plus_plus`."""
    features, slopes = layer_gradients(model, images, target, layer=layer, batch=batch)
    return (slopes.relu() * features).sum(1, keepdim=True).relu().to(images.dtype)


def layer_gradients(
    model: nn.Module, images: torch.Tensor, target: int | torch.Tensor, *, layer: str | nn.Module, batch: int = 128
) -> tuple[torch.Tensor, torch.Tensor]:
    """A and g of the formulas, N×K×h×w each, in double precision on the CPU."""
    model, device, found = plain(model), device_of(model), []
    target = targets_of(target, len(images))
    with borrowed(model):
        seen = watched(model, layer)
        for start in range(0, len(images), batch):
            classes = target[start : start + batch].to(device)
            given = images[start : start + batch].detach().to(device).requires_grad_()
            logits = model(given.clone())  # a leaf cannot be written into
            targets_of(target, len(images), classes=logits.shape[1])
            features = only(seen, layer)
            (slopes,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), features)
            found.append((features.detach().double().cpu(), slopes.double().cpu()))
    features, slopes = zip(*found, strict=True)
    return torch.cat(features), torch.cat(slopes)


def watched(model: nn.Module, layer: str | nn.Module) -> list[torch.Tensor]:
    """A list that every pass of a borrowed network appends the layer's output to; what follows it gets a copy, so that
    no in-place layer writes over it.
    """
    seen: list[torch.Tensor] = []

    def keep(module: nn.Module, given: tuple, output: torch.Tensor) -> torch.Tensor:
        seen.append(output)
        return output.clone() if isinstance(output, torch.Tensor) else output

    layer_of(model, layer).register_forward_hook(keep)
    return seen


def only(seen: list[torch.Tensor], layer: str | nn.Module) -> torch.Tensor:
    """Take the one output of the last pass. Raises ValueError if there is another number of them, or no places."""
    count, features = len(seen), seen[-1] if seen else None
    seen.clear()
    if count != 1:
        name = layer if isinstance(layer, str) else type(layer).__name__
        raise ValueError(f"layer {name!r} runs {count} times per pass, expected once")
    if not isinstance(features, torch.Tensor) or features.dim() != 4:
        kind = (
            f"{features.dim()}-dimensional features" if isinstance(features, torch.Tensor) else type(features).__name__
        )
        raise ValueError(f"the layer returns {kind}, expected N×K×h×w for a CAM")
    return features
