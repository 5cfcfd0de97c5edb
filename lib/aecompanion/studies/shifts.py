"""Files of the heatmaps before and after an attack: one per network and training seed, NETWORK_SEED.npz in a folder.

What a file holds is said in `explain.attacked_maps`: sets of maps by arm, mode and level, or by stage and level.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from aecompanion.explain import attacked_maps


def save(folder: Path, network: str, seed: int, maps: Mapping[str, np.ndarray]) -> None:
    """Write the maps of one network into `folder`."""
    attacked_maps.save(file(folder, network, seed), dict(maps))


def load(folder: Path, network: str, seed: int) -> dict[str, torch.Tensor]:
    """What `save` wrote, as N×1×h×w tensors. Raises FileNotFoundError for a network that has no maps there."""
    path = file(folder, network, seed)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, expected the heatmaps of {network} {seed}")
    return attacked_maps.load(path)


def file(folder: Path, network: str, seed: int) -> Path:
    return folder / f"{network}_{seed}.npz"


def stages(maps: Iterable[str]) -> list[str]:
    """The stages of a network, early ones first, of maps by stage and level."""
    return list(dict.fromkeys(name.split("/")[0] for name in maps))


def at(maps: Mapping[str, torch.Tensor], stage: str, eps: float) -> torch.Tensor:
    """The maps of one stage at one level (0: before the attack)."""
    return maps[f"{stage}/{attacked_maps.exact(eps)}"]
