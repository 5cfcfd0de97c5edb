"""Who says whether a counterfactual looks like its target: several networks that neither made nor saw it.

    realism          the judge of another architecture, trained plainly
    realism_plain    a plain network of the maker's architecture and another training seed
    realism_l2       an l2-robust one of that seed
    realism_multi    a multiple-norm robust one of that seed
    perceptual       LPIPS-like distance from the image, `evaluate.feature_distance`

A plain judge believes what transfers to plain networks; a robust one needs more than that. The other seed is the next
one of those that were trained, the first after the last. With one training seed nobody is left to ask: every other
network descends from the maker's own plain one, and the columns are NaN. Confidences of these judges are calibrated.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.evaluate.feature_distance import feature_distance, stage_ends, unit_features
from aecompanion.networks.efficientnet_lite import efficientnet_lite0

JUDGES = ("plain", "l2", "multi")
SIZE = 64  # px that images are enlarged to for the distance


def other_seed(seed: int, seeds: Sequence[int]) -> int | None:
    """The training seed after this one, in a ring; None if there is no other."""
    ring = sorted(seeds)
    return ring[(ring.index(seed) + 1) % len(ring)] if len(ring) > 1 else None


def opinions(
    found: torch.Tensor,
    target: torch.Tensor,
    seed: int,
    seeds: Sequence[int],
    *,
    load: Callable[[str, int], tuple[nn.Module, float]],
    confidence: Callable[..., np.ndarray],
) -> pd.DataFrame:
    """One row per counterfactual, a column `realism_LABEL` per judge; NaN with one training seed.

    Args:
        load: gives a network and its temperature for a label and a seed. confidence: as
            `studies.counterfactuals.confidence`.
    """
    other = other_seed(seed, seeds)
    if other is None:
        return pd.DataFrame({f"realism_{label}": np.full(len(found), np.nan) for label in JUDGES})
    columns = {}
    for label in JUDGES:
        judge, temperature = load(label, other)
        columns[f"realism_{label}"] = confidence(judge, found, target, temperature=temperature)
    return pd.DataFrame(columns)


class Perceptual:
    """The LPIPS-like distance of counterfactuals from their images, in the features of EfficientNet-Lite0."""

    def __init__(self, weights: Path, *, device: str = "cpu") -> None:
        self.network = efficientnet_lite0(weights).to(device)
        self.layers = stage_ends(self.network.body)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Of N×C×H×W images in [0,1] (one channel counts three times), a tensor per layer."""
        return unit_features(self.network, images.expand(-1, 3, -1, -1), self.layers, size=SIZE)

    def distance(self, found: torch.Tensor, features: list[torch.Tensor]) -> np.ndarray:
        """d of counterfactuals from the images whose features are given, N."""
        return feature_distance(self.features(found), features).numpy()
