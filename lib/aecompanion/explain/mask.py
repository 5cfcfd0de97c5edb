"""Masks by optimisation: Meaningful, Extremal and Robust Perturbation are losses of one batched optimiser.

    x_pt = m ⊙ x + (1 - m) ⊙ x_r,      x_rpt = (1 - m) ⊙ x + m ⊙ x_r,      m = upsample(u),  u ∈ [0,1]^(h×w)
    m* = argmin_m  L(m) + λ_area · mean|1 - m| + λ_tv · h · (mean|∂_y u|^β + mean|∂_x u|^β),    attribution 1 - m*

m = 1 keeps a pixel, 0 replaces it by the reference x_r. With p(c) what the network says of class c, T the explained
class, N the other classes, o the clean image, and D(p‖q) = log2(1 + |p - q|) (bounded), L is

    meaningful      p_pt(T)                                                        Fong and Vedaldi, ICCV 2017
    meaningful_log  -log(1 - p_pt(T)), which does not saturate where p(T) = 1      our variant of it
    target          -D(p_o(T)‖p_pt(T))                                             Kim et al., IEEE TIP 2022, T only
    mask            target + mean_N D(p_o‖p_pt)                                    L_M of Kim et al.
    robust          mask + D(p_o(T)‖p_rpt(T)) + mean_N log2(1 + p_rpt)             L_M + L_RM, the cross-check
    extremal        -z(T) of the image with only an area a shown,                  Fong, Patrick and Vedaldi, ICCV 2019
                    + λ_area·g^(t/T) · mean( sort(u) - r_a )²;  the map is the mean over several areas

Adam on u, clamped to [0,1] after each step; noise is added to every perturbed image, drawn from (seed, key of the
pair), so a mask depends neither on its batch nor on the method beside it.

Where we depart. Kim et al. call D a divergence; their released code computes the log above, which is the default here
(`divergence="kl"` is the Bernoulli one). Their slides have neither the total variation term nor means; the code has
both. h in front of the variation makes its weight independent of the resolution (a contour covers a share ∝ 1/h): their
20 at 300 px is 20/300 here. Clean image, masked image and reference share one normalisation (the code mixes two), and
the mask returned is the one after the last step. Extremal Perturbation runs with Adam and bilinear masks like the
others (TorchRay: SGD and a smooth maximum), and its area term must be weak at first: with all of u equal, sorting says
nothing. The area term keeps its slope at m = 1, where |1 - m| has none.

A softmax couples the classes: lowering one raises the rest. With `multi_label=False`, p(T) is the softmax; the N are
the `rivals` most likely other classes of the clean image; what must be kept is their share among all classes but T,
softmax(z without T); what must stay low in the reverse image is their softmax.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import nn

from aecompanion.explain.mask_loop import Loop, Masks
from aecompanion.explain.readout import DIVERGENCES
from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.read import several_labels
from aecompanion.pipeline.rng import generator

LOSSES = ("meaningful", "meaningful_log", "target", "mask", "robust", "extremal")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What defines a mask method.

    loss: one of LOSSES. side: h and w of u, None for the image's own. start: initial m (1 keeps all, 0 replaces all).
    area, variation, power: λ_area, λ_tv, β. noise: standard deviation, pixel units. jitter: shift of the masked image
    by up to so many pixels, anew at each step. areas, growth: of "extremal".
    """

    loss: str = "robust"
    side: int | None = 16
    start: float = 0.0
    steps: int = 150
    lr: float = 0.1
    area: float = 5.0
    variation: float = 20 / 300
    power: float = 2.0
    noise: float = 0.05
    jitter: int = 0
    divergence: str = "log_l1"
    areas: tuple[float, ...] = (0.025, 0.05, 0.1, 0.2)
    growth: float = 16.0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss {self.loss!r} is unknown, expected one of {', '.join(LOSSES)}")
        if self.divergence not in DIVERGENCES:
            raise ValueError(f"divergence {self.divergence!r} is unknown, expected one of {', '.join(DIVERGENCES)}")
        if not 0 <= self.start <= 1:
            raise ValueError(f"start is {self.start}, expected a number in [0, 1]")
        if self.steps < 1 or (self.side is not None and self.side < 2):
            raise ValueError(f"steps {self.steps}, side {self.side}: expected at least 1 step and a side of at least 2")
        if self.loss == "extremal" and not (self.areas and all(0 < area < 1 for area in self.areas)):
            raise ValueError(f"areas are {self.areas}, expected shares of the image inside (0, 1)")


# The published weights, starts and resolutions (Kim et al.: 300 px, all of the image's pixels; Fong and Vedaldi in the
# port that Kim et al.'s code resembles: 28×28 for 224 px; TorchRay: areas on VOC, 32×32 for 224 px). `mask_games` has
# them as rows of their own. EP's weight in TorchRay, 300, belongs to SGD with a rate of .01: Adam's steps do not shrink
# with the gradient, so its constraint has the least weight here with which the areas are met.
PUBLISHED = {
    "MP": Settings("meaningful", side=28, start=1.0, steps=500, area=0.01, variation=0.2 / 28, power=3.0),
    "RP": Settings("robust", side=None),
    "EP": Settings("extremal", side=32, steps=800, area=30.0, variation=0.0),
}


def optimise(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    references: torch.Tensor,
    settings: Settings,
    *,
    multi_label: bool | None = None,
    rivals: int = 10,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    batch: int = 32,
    record: Sequence[int] = (),
    progress: Callable[[int], object] = lambda step: None,
) -> Masks:
    """The masks of n pairs (image, class).

    Args:
        images, references: x and x_r, n×C×H×W in [0,1]. target: one class index or n. multi_label, rivals: see
            above; None asks the network's card.
        seed, keys: the noise of a pair is drawn from (seed, its key); by default its position. batch: pairs at once.
        record: steps after which masks are kept in `history`, 0 for the start. progress: called after each step.

    A step costs one forward and one backward pass per pair, with the loss "robust" two, with "extremal" as many as
    there are areas. In half precision the network sees half, masks and losses are single precision. Raises ValueError
    for shapes that do not fit, fewer than two classes, images that are not finite, a network without a card if
    `multi_label` is None, and for targets as in `explain.target`.
    """
    count = len(images)
    keys = list(range(count)) if keys is None else list(keys)
    if images.dim() != 4 or min(images.shape[2:]) < 2:
        raise ValueError(f"images are {tuple(images.shape)}, expected n×C×H×W with at least 2×2 pixels")
    if references.shape != images.shape or len(keys) != count:
        raise ValueError(
            f"images {tuple(images.shape)}, references {tuple(references.shape)} and {len(keys)} keys: expected "
            "n×C×H×W twice and n keys"
        )
    target = targets_of(target, count)
    if not (torch.isfinite(images).all() and torch.isfinite(references).all()):
        raise ValueError("images or references hold values that are not finite, expected numbers in [0, 1]")
    several = several_labels(model) if multi_label is None else multi_label
    device = device_of(model)
    parts = []
    with borrowed(model):
        for start in range(0, count, batch):
            here = slice(start, start + batch)
            loop = Loop(
                model,
                *(each[here].to(device) for each in (images, target, references)),
                settings,
                multi_label=several,
                rivals=rivals,
                generators=[generator(seed, key) for key in keys[here]],
            )
            parts.append(loop.run(set(record), progress))
    return Masks(
        torch.cat([part.mask for part in parts]),
        torch.cat([part.stuck for part in parts]),
        torch.cat([part.losses for part in parts], dim=1),
        [torch.cat(steps) for steps in zip(*(part.history for part in parts), strict=True)],
    )
