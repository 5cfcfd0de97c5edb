"""What the counterfactuals of many images leave behind besides their rows: features for distances, pictures to show.

    features   an uncompressed npz, "SEED|NETWORK|KIND|START" and "real": N×d features of the judge
    gallery    an uncompressed npz, "NETWORK|KIND": the first images of one training seed, n×C×H×W

START is "ID" for counterfactuals that begin at test images, "OD" for those that begin at images without an object.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

REAL = "real"
Start = tuple[int, str, str, str]


def save_features(path: Path, features: Mapping[Start, np.ndarray], real: np.ndarray) -> None:
    """Write the features of every (seed, network, kind, start) and those of real images."""
    write(path, {"|".join(map(str, key)): values for key, values in features.items()} | {REAL: real})


def load_features(path: Path) -> tuple[dict[Start, np.ndarray], np.ndarray]:
    """What `save_features` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        split = {name: name.split("|") for name in arrays.files if name != REAL}
        return {(int(seed), *rest): arrays[name] for name, (seed, *rest) in split.items()}, arrays[REAL]


def save_gallery(path: Path, pictures: Mapping[tuple[str, str], torch.Tensor]) -> None:
    """Write the pictures of every (network, kind)."""
    write(path, {"|".join(key): images.numpy() for key, images in pictures.items()})


def load_gallery(path: Path) -> dict[tuple[str, str], torch.Tensor]:
    """What `save_gallery` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return {tuple(name.split("|")): torch.from_numpy(arrays[name]) for name in arrays.files}


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)
