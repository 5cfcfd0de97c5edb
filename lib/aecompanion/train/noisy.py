"""Training on images and noisy copies of them: hybrid training with noise where the dots were.

    min_θ  mean_i  ( ℓ( f_θ(x_i), y_i ) + ℓ( f_θ(x_i'), y_i ) ) / 2,     x' = clip( x + σ n, 0, 1 ),   n ~ N(0, 1)

with n new for every image and step. A halftone T moves an image by far more than any attack does, and a network that
has learned to overlook so large a change may owe its robustness to the size alone. So σ is the one at which the noise
is as large as the dots, root mean square, after clipping:

    mean ( x' - x )²  =  mean ( T(x) - x )²

Noise on half of every batch as a rival of a defence: Ford et al., ICML 2019; Rusak et al., ECCV 2020.
"""

import math

import pandas as pd
import torch
from torch import nn

from aecompanion.data.dataset import Dataset
from aecompanion.networks.zoo import Network
from aecompanion.pipeline.rng import generator
from aecompanion.train import fit as plain

LARGEST = 1e4  # of σ: there clipped noise is black and white, and grows no further
HALVINGS = 60


def noisy(images: torch.Tensor, *, sigma: float) -> torch.Tensor:
    """N×C×H×W in [0,1] with Gaussian noise, clipped; from torch's own generator."""
    return (images + sigma * torch.randn_like(images)).clamp(0, 1)


def size(images: torch.Tensor, changed: torch.Tensor) -> float:
    """The root mean square of what was changed."""
    return math.sqrt((changed - images).double().square().mean().item())


def matched(images: torch.Tensor, *, target: float, seed: int = 0) -> float:
    """The σ at which clipped noise on these images has the size `target`, by bisection with one draw of the noise:
    every pixel moves farther, or stays at its bound, as σ grows.

    Raises ValueError if no noise in [0,1] is that large, or `target` is not positive.
    """
    noise = torch.randn(images.shape, generator=generator(seed, 0))

    def reached(sigma: float) -> float:
        return size(images, (images + sigma * noise).clamp(0, 1))

    if not 0 < target < reached(LARGEST):
        raise ValueError(f"size is {target:.3f}, expected above 0 and below {reached(LARGEST):.3f}, the largest noise")
    low, high = 0.0, LARGEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < target else (low, middle)
    return high


def fit(network: Network, dataset: list[Dataset], *, sigma: float, **options) -> pd.DataFrame:
    """`train.fit.fit` on two representations, noise on the second half of every batch; validation and test images have
    none. Raises ValueError for any other number of representations.
    """
    if not isinstance(dataset, list) or len(dataset) != 2:
        raise ValueError(f"{type(dataset).__name__} of representations, expected a list of two: plain and noisy images")

    def craft(_: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        plain_half, noisy_half = images.chunk(2)
        both = torch.cat([plain_half, noisy(noisy_half, sigma=sigma)])
        return both.contiguous(memory_format=torch.channels_last)

    return plain.fit(network, dataset, craft=craft, **options)
