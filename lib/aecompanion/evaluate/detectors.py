"""Detectors of attacked images: the one table of them.

    s(x) = v(x)                              one-sided: large values are suspicious
    s(x) = -v(x)                             one-sided: small values are suspicious
    s(x) = |v(x) - median of v on clean validation images|        two-sided

with v one of

    probability_sum   Σ_k p_k (1 for softmax networks, where it says nothing)
    uncertainty       1 - mean_k max(p_k, 1 - p_k), for softmax networks 1 - max_k p_k
    effect            e = ECE_j - ECE0 of one fixed code channel j (paper 1)
    bottleneck        mean |d(c(a)) - a|, the error of the inserted bottleneck
    squeezing         max over squeezers q of |p(x) - p(q(x))|_1, q: 4 bits per pixel, 3×3 median (Xu et al.)
    mahalanobis       min over groups g of (h - μ_g)ᵀ Σ⁻¹ (h - μ_g), h: penultimate features (Lee et al.)
    heatmap           NISSIM of the Grad-CAM of x and that of its median-filtered copy (paper 5's measure as a detector)

`fit(setting)` gives every detector as a function of N images, N scores, larger = more suspicious; none needs a clean
copy of the image. The side of a detector is fixed before test images are attacked: attacks on a network's own decisions
raise probabilities, because most findings are absent, and the effect of a channel falls. Every value has a gradient in
the images (the rounding to 4 bits passes it straight through), so each detector can be attacked
(`attack.detector_aware`).

Where we depart: Xu et al. add non-local means; Lee et al. add noise to the input, combine layers and have one label per
image (with several, an image is in the group of every finding that it has, or in that of none).
Sources: Yang et al., ICIP 2019; Xu, Evans and Qi, NDSS 2018; Lee et al., NeurIPS 2018.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from aecompanion.evaluate import suspicion
from aecompanion.evaluate.suspicion import Score, Setting
from aecompanion.networks.borrow import borrowed, device_of


@dataclasses.dataclass(frozen=True)
class Detector:
    """value: makes v. side: "large", "small" or "two", which values are suspicious."""

    title: str
    value: Callable[[Setting], Score]
    side: str = "large"


DETECTORS = {
    "effect": Detector("effect of one channel, two-sided", suspicion.channel_effect, "two"),
    "small_effect": Detector("small effect of one channel", suspicion.channel_effect, "small"),
    "sum": Detector("large sum of probabilities", suspicion.probability_sum),
    "sum_two": Detector("sum of probabilities, two-sided", suspicion.probability_sum, "two"),
    "confidence": Detector("low confidence", suspicion.low_confidence),
    "confidence_two": Detector("confidence, two-sided", suspicion.low_confidence, "two"),
    "squeezing": Detector("feature squeezing", suspicion.squeezing),
    "mahalanobis": Detector("Mahalanobis distance", suspicion.mahalanobis),
    "bottleneck": Detector("bottleneck error", suspicion.bottleneck_error),
    "heatmap": Detector("NISSIM of Grad-CAM", suspicion.moved_heatmap),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A detector of one network: N images to N scores, larger = more suspicious. usual: the median of v on clean
    validation images.
    """

    value: Score
    side: str
    usual: torch.Tensor

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return self.oriented(self.value(images))

    def oriented(self, values: torch.Tensor) -> torch.Tensor:
        """s of N values v."""
        if self.side == "two":
            return (values - self.usual.to(values)).abs()
        return values if self.side == "large" else -values


def fit(setting: Setting, names: list[str] | None = None) -> dict[str, Fitted]:
    """Every detector, or those named. Raises ValueError for an unknown name."""
    names = list(DETECTORS) if names is None else names
    if unknown := set(names) - set(DETECTORS):
        raise ValueError(f"detector {min(unknown)!r} is unknown, expected one of {', '.join(DETECTORS)}")
    makers = dict.fromkeys(DETECTORS[name].value for name in names)
    made = {maker: maker(setting) for maker in makers}
    values = values_of(setting.model, list(made.values()), setting.clean)
    usual = {score: each.median() for score, each in values.items()}
    rows = {name: DETECTORS[name] for name in names}
    return {name: Fitted(made[row.value], row.side, usual[made[row.value]]) for name, row in rows.items()}


def read(model: nn.Module, score: Score, images: torch.Tensor, *, batch: int = 64) -> torch.Tensor:
    """The values of N images without gradients, on the CPU; the network comes back as it was."""
    with borrowed(model), torch.no_grad():
        return torch.cat([score(part.to(device_of(model))).detach().cpu() for part in images.split(batch)])


def image_scores(
    model: nn.Module, fitted: dict[str, Fitted], images: torch.Tensor, *, batch: int = 64
) -> dict[str, torch.Tensor]:
    """The scores of N images under every detector, on the CPU; what two of them share is read once."""
    values = values_of(model, list(dict.fromkeys(each.value for each in fitted.values())), images, batch=batch)
    return {name: each.oriented(values[each.value]) for name, each in fitted.items()}


@torch.no_grad()
def values_of(
    model: nn.Module, scores: list[Score], images: torch.Tensor, *, batch: int = 64
) -> dict[Score, torch.Tensor]:
    """The values v of N images, N per score, on the CPU."""
    values: dict[Score, list[torch.Tensor]] = {score: [] for score in scores}
    with borrowed(model):
        for part in images.split(batch):
            given = part.to(device_of(model))  # one tensor for all: what they share is recognised by it
            for score, found in values.items():
                found.append(score(given).detach().cpu())
    return {score: torch.cat(found) for score, found in values.items()}
