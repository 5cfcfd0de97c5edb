"""Files of the heatmaps before and after an attack: one per network and training seed, NETWORK_SEED.npz in a folder.

What a file holds is said in `explain.attacked_maps`: sets of maps by arm, mode and level, or by stage and level.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

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


def typical(images: torch.Tensor, labels: np.ndarray) -> torch.Tensor:
    """How typical each of N images (N×C×H×W) is of its label: its pixels' correlation with the mean image of all that
    share the label, in [-1, 1] (NaN for a flat image). The most typical face is upright, uncovered and evenly lit.

    Raises ValueError unless there is one label per image.
    """
    if len(images) != len(labels):
        raise ValueError(f"{len(labels)} labels, expected one for each of {len(images)} images")
    pixels, found = images.flatten(1), torch.empty(len(images))
    for label in np.unique(labels):
        own = torch.from_numpy(np.flatnonzero(labels == label))
        centred = pixels[own] - pixels[own].mean(1, keepdim=True)
        found[own] = nn.functional.cosine_similarity(centred, centred.mean(0, keepdim=True), eps=0)
    return found


def stages(maps: Iterable[str]) -> list[str]:
    """The stages of a network, early ones first, of maps by stage and level."""
    return list(dict.fromkeys(name.split("/")[0] for name in maps))


def at(maps: Mapping[str, torch.Tensor], stage: str, eps: float) -> torch.Tensor:
    """The maps of one stage at one level (0: before the attack)."""
    return maps[f"{stage}/{attacked_maps.exact(eps)}"]
