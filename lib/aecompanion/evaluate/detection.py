"""Scores of single images that may tell attacked from clean ones, and how well they do.

    AUROC(s) = P( s(attacked) > s(clean) ) + P( equal ) / 2

Every score is oriented before any attack is seen, larger = more suspicious, and needs no clean copy of the image:

    effect       |e(x) - median of e on clean validation images|, e = ECE_j - ECE0 of one fixed code channel j (paper 1)
    confidence   1 - mean_k max(p_k, 1 - p_k), for softmax networks 1 - max_k p_k
    bottleneck   mean |d(c(a)) - a|, the error of the inserted bottleneck
    heatmap      NISSIM of the Grad-CAM of x and that of its median-filtered copy (paper 5's measure as a detector)

An AUROC below 1/2 means that the attack makes images less suspicious than clean ones; it is reported as it is.
"""

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.defend.transforms import median
from aecompanion.evaluate.dissimilarity import nissim
from aecompanion.explain.causal_effect import LatentEffects, latent_effects
from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.train.causal_autoencoder import CausalAutoencoder

SCORES = ("effect", "confidence", "bottleneck", "heatmap")


def auroc(clean: np.ndarray, attacked: np.ndarray) -> float:
    """AUROC of the formula for values of clean and attacked images; NaN if one of them is empty."""
    clean, attacked = np.sort(np.ravel(clean)), np.ravel(attacked)
    if not (len(clean) and len(attacked)):
        return np.nan
    below, up_to = np.searchsorted(clean, attacked, "left"), np.searchsorted(clean, attacked, "right")
    return float((below + up_to).mean() / (2 * len(clean)))


def uncertainty(p: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """The score "confidence" of N×K probabilities."""
    return 1 - (torch.maximum(p, 1 - p).mean(1) if multi_label else p.amax(1))


def channel_effect(found: LatentEffects) -> torch.Tensor:
    """e = ECE_j - ECE0, N values, of effects that were computed for one channel."""
    return found.expected[0] - found.baseline


def most_influential(found: LatentEffects) -> int:
    """The channel with the largest mean |ECE_j - ECE0| over images."""
    return int((found.expected - found.baseline).abs().mean(1).argmax())


def image_scores(
    model: nn.Module,
    images: torch.Tensor,
    *,
    layer: str,
    autoencoder: CausalAutoencoder,
    channel: int,
    multi_label: bool,
    heat_layer: nn.Module,
) -> dict[str, torch.Tensor]:
    """The columns p (N×K), signed_effect (e of the formula), confidence, bottleneck and heatmap of N images.

    Cost per image: one forward pass to the layer and three from it, two of Grad-CAM.
    """
    found = latent_effects(
        model, images, layer=layer, autoencoder=autoencoder, channels=[channel], multi_label=multi_label, batch=64
    )
    top, size = found.p.argmax(1), images.shape[-1]
    maps = [heatmap(gradcam(model, each, top, layer=heat_layer), size) for each in (images, median(images))]
    return {
        "p": found.p,
        "signed_effect": channel_effect(found),
        "confidence": uncertainty(found.p, multi_label=multi_label),
        "bottleneck": found.error,
        "heatmap": nissim(*maps),
    }


def score_rows(scores: dict[str, torch.Tensor], usual: torch.Tensor, decisions: torch.Tensor) -> pd.DataFrame:
    """One row per image from `image_scores`: signed_effect, the four scores and flipped (some decision p > 1/2 differs
    from `decisions`, N×K). usual: the median of signed_effect on clean validation images.
    """
    columns = {name: scores[name].numpy() for name in ("signed_effect", "confidence", "bottleneck", "heatmap")}
    columns["effect"] = (scores["signed_effect"] - usual).abs().numpy()
    return pd.DataFrame(columns | {"flipped": ((scores["p"] > 0.5).long() != decisions).any(1).numpy()})
