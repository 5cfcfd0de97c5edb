"""Maps that move though the answer does not: two controls from the other side.

An attack on the map (after Ghorbani et al., AAAI 2019, and Dombrowski et al., NeurIPS 2019) looks in the ball of an
attack for an image whose Grad-CAM map is unlike the clean one while class and confidence stay:

    max_x 1 - cos(L(x), L(x_0)) - 10 max(0, |p_c(x) - p_c(x_0)| - t/2),   |x - x_0|_inf <= eps

by signed steps on the 8-bit grid from x_0 plus random signs of one grey level. Of all images passed on the way with the
class c first and |p_c(x) - p_c(x_0)| <= t the one whose map moved most is kept. The weights α of Grad-CAM are
differentiated, too; behind a global average and a linear layer, as in the compact networks, they do not depend on x,
and the map needs no second derivative of the ReLUs.

Noise that the network does not notice: random signs of the size of an attack that leave the predicted class as it is
in so many of n draws that the Clopper-Pearson bound on its share is high (the test of randomised smoothing, Cohen et
al., ICML 2019).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.attack.gradient import perturb, quantise
from aecompanion.attack.transfer import random_signs
from aecompanion.defend.smoothing import bound
from aecompanion.evaluate.dissimilarity import nissim
from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.read import predict
from aecompanion.networks.stem import attributed

PENALTY = 10.0  # of a change of confidence beyond half the tolerance
GREY = 1 / 255


def map_attack(
    network: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    layer: nn.Module,
    eps: float,
    steps: int = 8,
    tolerance: float = 0.05,
    seed: int = 0,
    indices: Sequence[int],
) -> torch.Tensor:
    """N×C×H×W in [0,1], 8 bits: the same prediction, another map. Where none was found the image comes back as it is.

    Args:
        images: N×C×H×W in [0,1]; target: the N classes that the network predicts for them.
        layer: of Grad-CAM; eps: radius in pixel units, rounded to grey levels as `attack.gradient.perturb` does.
        tolerance: t above. seed, indices: of the random start, per image.

    Cost: `steps` forward and backward passes and one forward pass.
    """
    device = device_of(network)
    clean, target = quantise(images).to(device), target.to(device)
    radius = round(eps / GREY) * GREY
    step = max(GREY, radius / 4)
    start = perturb(clean, random_signs(images.shape[1:], seed=seed, indices=indices).to(clean), GREY)
    best, farthest = clean.clone(), torch.zeros(len(clean), device=device)
    with borrowed(network):
        reference, sure, _ = coarse_map(network, clean, target, layer)
        reference, sure = reference.detach(), sure.detach()
        current = start
        for number in range(steps + 1):
            given = current.detach().requires_grad_()
            found, confidence, first = coarse_map(network, given, target, layer)
            moved = 1 - F.cosine_similarity(found.flatten(1), reference.flatten(1), dim=1)
            change = (confidence - sure).abs()
            better = (first == target) & (change <= tolerance) & (moved > farthest)
            best[better], farthest[better] = current[better], moved.detach()[better]
            if number == steps:
                break
            goal = moved - PENALTY * F.relu(change - tolerance / 2)
            (gradient,) = torch.autograd.grad(goal.sum(), given)
            ahead = clean + (current + step * gradient.sign() - clean).clamp(-radius, radius)
            current = quantise(ahead.clamp(0, 1))
    return best.to(images.device)


def coarse_map(network, images, target, layer) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """L of Grad-CAM N×1×h×w with its graph, the softmax of the target and the predicted class."""
    kept: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda module, given, result: kept.append(result))
    with torch.enable_grad():
        images = images if images.requires_grad else images.detach().requires_grad_()
        logits = network(images)
        hook.remove()
        score = logits.gather(1, target[:, None]).sum()
        (slope,) = torch.autograd.grad(score, kept[0], create_graph=True)
        weighted = slope.mean((2, 3), keepdim=True) * kept[0]
    probability = logits.softmax(1).gather(1, target[:, None])[:, 0]
    return F.relu(weighted.sum(1, keepdim=True)), probability, logits.argmax(1)


def unnoticed(
    network: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    eps: float,
    draws: int = 30,
    seed: int,
    indices: Sequence[int],
    level: float = 0.95,
) -> np.ndarray:
    """N one-sided lower bounds (Clopper-Pearson) on the chance that random signs of size eps leave the prediction at
    the class `target`. None of the draws is one of `attack.transfer.random_signs` with the same seed.
    """
    kept = np.zeros(len(images), int)
    for draw in range(draws):
        signs = random_signs(images.shape[1:], seed=10_000 * (draw + 1) + seed, indices=indices)
        kept += (predict(network, perturb(images, signs, eps)).argmax(1) == target).numpy()
    return np.array([bound(int(each), draws, 1 - level) for each in kept])


def study(
    network,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    eps: Sequence[float],
    steps: int,
    draws: int,
    window: int,
    seed: int,
    indices: Sequence[int],
) -> pd.DataFrame:
    """Both controls at every level, on a `Network`: one row per level and image with the columns image (its index),
    eps, mapped (NISSIM of the map under `map_attack` to the clean one, for the class `target`), bound (`unnoticed`).
    """
    network = attributed(network)
    layer, size, same = network.cam_layer(), images.shape[-1], {"seed": seed, "indices": indices}
    before = heatmap(gradcam(network, images, target, layer=layer), size)
    parts = []
    for level in eps:
        attacked = map_attack(network, images, target, layer=layer, eps=level, steps=steps, **same)
        after = heatmap(gradcam(network, attacked, target, layer=layer), size)
        row = {"image": list(indices), "eps": level, "mapped": nissim(before, after, window=window).numpy()}
        bound = unnoticed(network, images, target, eps=level, draws=draws, **same)
        parts.append(pd.DataFrame(row | {"bound": bound}))
    return pd.concat(parts, ignore_index=True)
