"""White-box and black-box FGSM over many networks, from stored gradient signs.

    x* = clip_[0,1]( x + ε · s ),   s = sign ∇_x J(f(x), y), computed once per image and network

White-box: s of the attacked network itself. Black-box: s of one source network, for all of them; a network trained
with seed k gets the signs of the source's next seed, so that the source's own architecture is not attacked with its
own gradient either. With a single seed it is, and its rows name itself as the source.
Noise: random s of ±1, one set per training seed and the same for all its networks: as large as both, without an aim.
Attacked images are rounded to 8 bits, as saved images are. Source: Chakraborty et al., CVPR Workshops 2022.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.attack.gradient import gradient_signs, perturb
from aecompanion.networks.folding import folded
from aecompanion.networks.read import predict
from aecompanion.networks.stem import attributed
from aecompanion.pipeline.rng import generator

Key = tuple[str, int]  # network name, training seed
BATCH = 32  # images per pass: at 64×64 what one pass writes then stays in the cache
Signs = dict[Key, torch.Tensor]  # N×C×H×W int8


def all_signs(networks: Iterable[tuple[Key, nn.Module]], images: torch.Tensor, labels: torch.Tensor) -> Signs:
    """The signs of every network on every image: one forward and one backward pass each (of the folded network)."""
    return {key: gradient_signs(attributed(network), images, labels, batch=BATCH) for key, network in networks}


def random_signs(shape: Sequence[int], *, seed: int, indices: Sequence[int]) -> torch.Tensor:
    """int8 signs N×C×H×W, ±1 with equal chance, for images of `shape` (C×H×W). Those of an image come from (seed, its
    index), so they do not depend on the batch.
    """
    drawn = [torch.randint(2, tuple(shape), generator=generator(seed, int(index))) * 2 - 1 for index in indices]
    return torch.stack(drawn).to(torch.int8)


def source_of(key: Key, source: str, signs: Signs) -> Key:
    """The network whose signs make the black-box arm for `key`: `source`, trained with the next seed (cyclic).

    Raises ValueError if `source` was not trained.
    """
    seeds = sorted(seed for name, seed in signs if name == source)
    if not seeds:
        names = ", ".join(sorted({name for name, _ in signs}))
        raise ValueError(f"source {source!r} is not among the trained networks, expected one of: {names}")
    later = [seed for seed in seeds if seed > key[1]]
    return source, (later or seeds)[0]


def source_in(predictions: pd.DataFrame) -> Key:
    """The network that the black-box rows of one attacked network name as their source."""
    name, _, seed = predictions.loc[predictions["arm"] == "black", "source"].iloc[0].rpartition("_")
    return name, int(seed)


def attack_all(
    networks: Iterable[tuple[Key, nn.Module]],
    signs: Signs,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: list[float],
    source: str,
    noise: Mapping[int, torch.Tensor] | None = None,
) -> pd.DataFrame:
    """Predictions of every network on the clean images (eps 0) and on every arm at every level.

    Args:
        noise: random signs by training seed, for a third arm whose source is "noise_SEED"; None: two arms.

    Returns one row per network, seed, arm ("white", "black", "noise"), eps and image with the columns network, seed,
    arm, source, eps, image (position in `images`), label, prediction, confidence (softmax of the prediction), psnr (dB,
    of the 8-bit image) and psnr_float (not rounded); eps 0 stands once per arm.
    """
    size: dict[tuple[Key, float], tuple[torch.Tensor, torch.Tensor]] = {}
    signs = signs | {("noise", seed): drawn for seed, drawn in (noise or {}).items()}
    tables = []
    for key, given in networks:
        network = folded(given)
        senders = {"white": key, "black": source_of(key, source, signs)}
        for arm, sender in (senders | ({"noise": ("noise", key[1])} if noise else {})).items():
            for level in dict.fromkeys([0.0, *eps]):
                attacked = perturb(images, signs[sender], level)
                if (sender, level) not in size:
                    exact = perturb(images, signs[sender], level, bits=None)
                    size[sender, level] = psnr(images, attacked), psnr(images, exact)
                confidence, prediction = predict(network, attacked, batch=BATCH).softmax(1).max(1)
                columns = {
                    "network": key[0],
                    "seed": key[1],
                    "arm": arm,
                    "source": f"{sender[0]}_{sender[1]}",
                    "eps": level,
                    "image": np.arange(len(images)),
                    "label": labels.numpy(),
                    "prediction": prediction.numpy(),
                    "confidence": confidence.numpy(),
                    "psnr": size[sender, level][0].numpy(),
                    "psnr_float": size[sender, level][1].numpy(),
                }
                tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def psnr(images: torch.Tensor, attacked: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio -10 log10( mean (x - x*)² ) of N pairs of images in [0,1], in dB (inf if equal)."""
    return -10 * torch.log10((images.double() - attacked.double()).square().flatten(1).mean(1)).float()


def save_signs(path: Path, signs: Signs, images: np.ndarray) -> None:
    """Write the signs, one int8 array per network, and the data set's indices of the images (uncompressed npz)."""
    with path.open("wb") as file:
        np.savez(file, images=images, **{f"{name}_{seed}": values.numpy() for (name, seed), values in signs.items()})


def load_signs(path: Path) -> tuple[Signs, np.ndarray]:
    """What `save_signs` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        keys = [name for name in arrays.files if name != "images"]
        signs = {(key.rpartition("_")[0], int(key.rpartition("_")[2])): torch.from_numpy(arrays[key]) for key in keys}
        return signs, arrays["images"]
