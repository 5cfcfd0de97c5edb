"""How well scores of single images tell attacked from clean ones; the scores themselves are in `evaluate.detectors`.

    AUROC(s)     = P( s(attacked) > s(clean) ) + P( equal ) / 2
    AUROC(s | z) = the same over the pairs (attacked, clean) that are alike in z: their ranks in z, over both sets,
                   differ by at most a tenth of all
    ρ(s, a | z)  = (ρ_sa - ρ_sz ρ_az) / √((1 - ρ_sz²)(1 - ρ_az²)),  rank correlations, a: 1 for attacked, 0 for clean

An AUROC below 1/2 means that the attack makes images less suspicious than clean ones; it is reported as it is. The
second and third ask what s adds to z: 1/2 and 0 if nothing.
"""

import numpy as np
import pandas as pd
import torch
from scipy import stats

from aecompanion.explain.causal_effect import LatentEffects

ALIKE = 0.1  # of all images: how far the ranks of a pair may be apart


def auroc(clean: np.ndarray, attacked: np.ndarray) -> float:
    """AUROC of the formula for values of clean and attacked images; NaN if one of them is empty."""
    clean, attacked = np.sort(np.ravel(clean)), np.ravel(attacked)
    if not (len(clean) and len(attacked)):
        return np.nan
    below, up_to = np.searchsorted(clean, attacked, "left"), np.searchsorted(clean, attacked, "right")
    return float((below + up_to).mean() / (2 * len(clean)))


def auroc_given(clean: np.ndarray, attacked: np.ndarray, z_clean: np.ndarray, z_attacked: np.ndarray) -> float:
    """AUROC(s | z) of the formula; NaN if no pair is alike."""
    ranks = stats.rankdata(np.concatenate([z_clean, z_attacked]))
    apart = np.abs(ranks[len(z_clean) :, None] - ranks[None, : len(z_clean)])
    larger = (attacked[:, None] > clean[None]) + 0.5 * (attacked[:, None] == clean[None])
    alike = apart <= ALIKE * len(ranks)
    return float(larger[alike].mean()) if alike.any() else np.nan


def correlation_given(clean: np.ndarray, attacked: np.ndarray, z_clean: np.ndarray, z_attacked: np.ndarray) -> float:
    """ρ(s, a | z) of the formula; NaN where a rank correlation is not defined or is 1."""
    truth = np.repeat([0, 1], [len(clean), len(attacked)])
    columns = [np.concatenate([clean, attacked]), truth, np.concatenate([z_clean, z_attacked])]
    with np.errstate(invalid="ignore", divide="ignore"):
        ranks = np.corrcoef([stats.rankdata(column) for column in columns])
        sa, sz, az = ranks[0, 1], ranks[0, 2], ranks[1, 2]
        left = (1 - sz**2) * (1 - az**2)
    return float((sa - sz * az) / np.sqrt(left)) if left > 1e-12 else np.nan


def most_influential(found: LatentEffects) -> int:
    """The channel with the largest mean |ECE_j - ECE0| over images."""
    return int((found.expected - found.baseline).abs().mean(1).argmax())


def score_rows(scores: dict[str, torch.Tensor], p: torch.Tensor, decisions: torch.Tensor) -> pd.DataFrame:
    """One row per image: every score, signed_effect (e of paper 1, minus "small_effect"), changed (how many of
    the decisions p > 1/2 differ from `decisions`, N×K) and flipped (some do). p: N×K.
    """
    changed = ((p > 0.5).long() != decisions).sum(1).numpy()
    columns = {name: values.numpy() for name, values in scores.items()}
    columns |= {"signed_effect": -columns["small_effect"], "changed": changed, "flipped": changed > 0}
    return pd.DataFrame(columns)
