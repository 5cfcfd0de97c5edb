"""Occlusion: how much the class's probability falls where a window of the image is replaced, thin over captum.

    A(u) = mean over the windows w that cover pixel u of  p_c(x) - p_c(x with w replaced)

p: sigmoid, or softmax, of the logits. `windows` per side in equal steps, each at least as wide as its step, so that all
pixels are covered; by default a step is an eighth and a window a quarter of the image. Positive: the window holds
evidence for the class. Where several windows cover a pixel, captum takes their mean. The published fill is a grey
square.
Source: Zeiler and Fergus, ECCV 2014.
"""

import torch
from captum.attr import Occlusion
from torch import nn

from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.read import several_labels, squashed

WINDOWS = 7  # per side
BATCH = 64  # occluded images per pass
SHARE = 0.25  # window's side as a share of the image's, before it is fitted to whole pixels


def occlusion(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    *,
    windows: int = WINDOWS,
    fill: float | torch.Tensor = 0.5,
    multi_label: bool | None = None,
) -> torch.Tensor:
    """A of the formula with its sign, N×1×H×W on the CPU, in the kind of number of the images.

    Args:
        images: N×C×H×W in [0,1]. target: one class index or N. windows: per side; windows² + 1 forward passes per pair.
            fill: a value in [0,1], or images N×C×H×W to take the pixels from. multi_label: sigmoid scores, otherwise
            softmax; None asks the network's card.

    Raises ValueError for more windows than pixels, filling images of another shape, a network without a card if
    `multi_label` is None, and for targets as in `explain.target`.
    """
    if isinstance(fill, torch.Tensor) and fill.shape != images.shape:
        raise ValueError(f"the images to fill from are {tuple(fill.shape)}, expected {tuple(images.shape)}")
    device, target = device_of(model), targets_of(target, len(images))
    several = several_labels(model, multi_label)
    sides, steps = zip(*(window_of(side, windows) for side in images.shape[2:]), strict=True)
    step = max(1, BATCH // windows**2)  # images at a time

    def p_of(points: torch.Tensor) -> torch.Tensor:
        logits = model(points.clone())
        targets_of(target, len(images), classes=logits.shape[1])
        return squashed(logits, multi_label=several)

    maps = []
    with borrowed(model), torch.no_grad():
        explain = Occlusion(p_of)
        for start in range(0, len(images), step):
            chunk = slice(start, start + step)
            filling = fill[chunk].detach().to(device, images.dtype) if isinstance(fill, torch.Tensor) else fill
            found = explain.attribute(
                images[chunk].detach().to(device),
                sliding_window_shapes=(images.shape[1], *sides),
                strides=(images.shape[1], *steps),
                target=target[chunk].to(device),
                baselines=filling,
                perturbations_per_eval=min(BATCH, windows**2),
            )
            maps.append(found.mean(1, keepdim=True).to(images.dtype).cpu())  # all channels have the same value
    return torch.cat(maps)


def window_of(side: int, windows: int) -> tuple[int, int]:
    """Width and step, in pixels, of `windows` windows that cover a side from its first to its last pixel."""
    if not 1 <= windows <= side:
        raise ValueError(f"windows is {windows}, expected 1 to {side} (the image side)")
    if windows == 1:
        return side, 1
    step = max(1, round(side * (1 - SHARE) / (windows - 1)))
    while side - step * (windows - 1) < step:  # windows must not leave gaps
        step -= 1
    return side - step * (windows - 1), step
