"""Attacked test sets, crafted on one network and stored as files would be: 8 bits per pixel.

FGSM, I-FGSM and PGD (linf, untargeted) at several eps. FGSM needs one backward pass for all eps; I-FGSM takes `steps`
steps of eps/steps, PGD `steps` steps of eps/4 from a random start. Levels are given in grey levels of 255, so clean and
attacked images lie on the same 8-bit grid and rounding never leaves the eps-ball.

Source: Huang et al., ICPR 2020 name the three attacks but no magnitude; the settings here are common ones.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lib.attack.gradient import Loss, cross_entropy, gradient_signs, ifgsm, perturb, pgd, quantise

ATTACKS = ("fgsm", "ifgsm", "pgd")


def craft(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    attack: str,
    level: int,
    steps: int = 10,
    seed: int = 0,
    batch: int = 120,
    loss: Loss = cross_entropy,
) -> torch.Tensor:
    """The attacked images, N×C×H×W in [0,1] on the 8-bit grid.

    Args:
        attack: "fgsm", "ifgsm" or "pgd"; level: eps in grey levels of 255.
        steps: of the iterated attacks; seed: of PGD's random starts (image i from (seed, i)); loss: what they ascend.

    Raises ValueError for an unknown attack.
    """
    if attack not in ATTACKS:
        raise ValueError(f"attack {attack!r} is unknown, expected one of {', '.join(ATTACKS)}")
    eps = level / 255
    if attack == "fgsm":
        return perturb(images, gradient_signs(network, images, labels, batch=batch, loss=loss), eps)
    attacked = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch], labels[start : start + batch]
        if attack == "ifgsm":
            attacked.append(ifgsm(network, *part, eps=eps, steps=steps, loss=loss))
        else:
            indices = range(start, start + len(part[0]))
            options = {"step_size": eps / 4, "seed": seed, "indices": indices, "loss": loss}
            attacked.append(pgd(network, *part, eps=eps, steps=steps, **options))
    return quantise(torch.cat(attacked))


def save(path: Path, sets: dict[tuple[str, int], torch.Tensor]) -> None:
    """Write {(attack, level): images} as 8-bit arrays (npz, uncompressed)."""
    with path.open("wb") as file:
        pixels = {key: (images * 255).round().byte().numpy() for key, images in sets.items()}
        np.savez(file, **{f"{attack}/{level}": array for (attack, level), array in pixels.items()})


def load(path: Path) -> dict[tuple[str, int], torch.Tensor]:
    """What `save` wrote, as float32 in [0,1]."""
    with np.load(path, allow_pickle=False) as arrays:
        pairs = {name: name.rpartition("/") for name in arrays.files}
        return {
            (attack, int(level)): torch.from_numpy(arrays[name]).float() / 255
            for name, (attack, _, level) in pairs.items()
        }
