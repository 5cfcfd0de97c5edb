"""Controls that have the size of an attack but not its aim: noise as large.

The random numbers of image i come from (seed, i), so a control does not depend on the batch it is made in.
"""

from collections.abc import Sequence

import torch

from aecompanion.attack.transfer import random_signs
from aecompanion.pipeline.rng import generator


def sign_noise(images: torch.Tensor, *, eps: float, seed: int, indices: Sequence[int]) -> torch.Tensor:
    """clip_[0,1](x + eps · s) with random signs s: as large as an FGSM perturbation in every pixel."""
    check(images, indices)
    signs = random_signs(images.shape[1:], seed=seed, indices=indices)
    return (images + eps * signs.to(images)).clamp(0, 1)


def l2_noise(images: torch.Tensor, *, norms: torch.Tensor, seed: int, indices: Sequence[int]) -> torch.Tensor:
    """clip_[0,1](x + ‖δ_n‖₂ · u_n) with a random direction u_n: as long as an l2 perturbation of each image."""
    check(images, indices)
    drawn = torch.stack([torch.randn(images.shape[1:], generator=generator(seed, int(i))) for i in indices])
    length = drawn.flatten(1).norm(dim=1)
    return (images + drawn.to(images) * (norms / length).to(images).reshape(-1, 1, 1, 1)).clamp(0, 1)


def check(images: torch.Tensor, indices: Sequence[int]) -> None:
    """Raise ValueError unless there is one index per image."""
    if len(indices) != len(images):
        raise ValueError(f"indices name {len(indices)} images, expected {len(images)}")
