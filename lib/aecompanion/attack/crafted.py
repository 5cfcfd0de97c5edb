"""Attacked test sets, crafted on one network and stored as files would be: 8 bits per pixel.

The attacks are those that `attack.attacks` marks: FGSM, I-FGSM (`steps` steps of eps/steps) and PGD (`steps` steps
of eps/4 from a random start), linf, untargeted. Sets are stored and tables are labelled by the level k of eps = k/255,
so clean and attacked images lie on the same 8-bit grid and rounding never leaves the eps-ball.

Source: the abstract of Huang et al., ICPR 2020, names the three attacks but no magnitude; the settings here are common
ones (docs/papers/halftone.md, section 2.6).
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from aecompanion.attack import attacks
from aecompanion.attack.gradient import quantise
from aecompanion.attack.objective import Objective, cross_entropy


def craft(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    attack: str,
    eps: float,
    steps: int = 10,
    seed: int = 0,
    batch: int = 120,
    objective: Objective = cross_entropy,
) -> torch.Tensor:
    """The attacked images, N×C×H×W in [0,1] on the 8-bit grid.

    Args:
        attack: the name of one that sets are crafted with; eps: in pixel units.
        steps: of the iterated attacks; seed: of random starts (image i from (seed, i)); objective: what they raise.

    Raises ValueError for an unknown attack.
    """
    if attack not in attacks.crafted_names():
        known = ", ".join(attacks.crafted_names())
        raise ValueError(f"attack {attack!r} is unknown, expected one of {known}")
    row, attacked = attacks.ATTACKS[attack], []
    for start in range(0, len(images), batch):
        part = images[start : start + batch], labels[start : start + batch]
        options = row.crafted(eps, steps, seed, range(start, start + len(part[0])))
        attacked.append(row.function(model, *part, eps=eps, objective=objective, **options))
    return quantise(torch.cat(attacked))


def level_of(eps: float) -> int:
    """The k of eps = k/255, under which sets are stored. Raises ValueError for an eps that is no whole k/255."""
    level = round(eps * 255)
    if abs(eps * 255 - level) > 1e-6:
        raise ValueError(f"eps is {eps}, expected a whole number of grey levels, k/255")
    return level


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
