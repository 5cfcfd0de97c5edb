"""Fréchet distance of two sets of images in the features of a given network, and confidence of an independent one.

    d² = |μ_1 - μ_2|² + tr( Σ_1 + Σ_2 - 2 (Σ_1^½ Σ_2 Σ_1^½)^½ )

μ, Σ: mean and covariance of the features. With Inception-v3's pooled features it is the FID of Heusel et al.,
NeurIPS 2017; with any other network it is not comparable to an FID, so tables name the network. The estimate is biased
upwards for few images (about by tr Σ·(1/n_1 + 1/n_2) in the mean's part alone): compare sets of equal size only.
"""

import numpy as np
import torch
from torch import nn

from aecompanion.networks import read


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """d² of two sets of features, n×d each. Raises ValueError for fewer than two images or different d."""
    if min(len(first), len(second)) < 2 or first.shape[1:] != second.shape[1:]:
        raise ValueError(f"features {first.shape} and {second.shape}: expected at least 2×d each, the same d")
    first, second = first.astype(float), second.astype(float)
    gap = first.mean(0) - second.mean(0)
    one, two = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (first, second))
    root = square_root(one)
    cross = square_root(root @ two @ root)
    return float(gap @ gap + np.trace(one) + np.trace(two) - 2 * np.trace(cross))


def square_root(matrix: np.ndarray) -> np.ndarray:
    """Of a symmetric positive semi-definite matrix; eigenvalues below 0 are rounding and count as 0."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def features(model: nn.Module, images: torch.Tensor, *, layer: nn.Module, batch: int = 128) -> np.ndarray:
    """What `layer` of the network gives for N images, averaged over places where it is a map: N×d."""
    found = read.features(model, images, layer=layer, batch=batch)
    return (found.flatten(2).mean(2) if found.dim() > 2 else found).numpy()
