"""Files of the heatmaps before and after an attack: one per network and training seed, NETWORK_SEED.npz in a folder.

What a file holds is said in `explain.attacked_maps`: sets of maps by arm, mode and level, or by stage and level.
`compared` goes from images to the rows of NISSIM in one go, where no maps are kept.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.attack import transfer
from aecompanion.evaluate.shift import compare, join_predictions
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


def compared(
    networks: Mapping[str, nn.Module],
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    indices: Sequence[int],
    eps: Sequence[float],
    window: int = 7,
    seed: int = 0,
    batch: int = 16,
    progress: Callable[[Iterable], Iterable] = iter,
) -> pd.DataFrame:
    """FGSM of networks that nobody trains here, and how far their Grad-CAM maps of the own class move.

    Arms: "white", the network's own signs; "black", those of the next network of the mapping (the first one's for the
    last); "noise", random signs of the same ε; "other", the clean map of an image with another label.

    Args:
        networks: `Network`s by name. images: N×C×H×W in [0,1]; indices: what tells them apart.
        eps: levels, pixel units. window: of SSIM. seed: of signs and partners. batch: images attacked together.

    Returns one row per network, arm, level and image, the columns of `evaluate.shift.join_predictions` (seed is 0).
    Raises ValueError if all labels are the same.
    """
    partners = attacked_maps.partners(labels, seed=seed).numpy()
    size, names, tables = images.shape[-1], list(networks), []
    clean: dict[str, list[np.ndarray]] = {name: [] for name in names}
    said: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    for start in progress(range(0, len(images), batch)):
        chunk = slice(start, start + batch)
        shown, keys = images[chunk], indices[chunk]
        signs = transfer.all_signs((((name, 0), networks[name]) for name in names), shown, labels[chunk])
        noise = transfer.random_signs(shown.shape[1:], seed=seed, indices=keys)
        for place, name in enumerate(names):
            source = names[(place + 1) % len(names)]
            arms = {"white": signs[name, 0], "black": signs[source, 0], "noise": noise}
            rows, maps = attacked(networks[name], name, shown, labels[chunk], signs, arms, eps=list(eps), source=source)
            rows["image"] = np.asarray(keys)[rows["image"]]
            clean[name].append(maps["clean/own_pred"])
            said[name].append(rows)
            tables.append(join_predictions(compare(tensors(maps), size=size, window=window), rows))
    for name in names:  # the ceiling, which needs the maps of all images
        own = np.concatenate(clean[name])
        maps = {"clean/own_pred": own, "other/own_pred/0": own[partners]}
        tables.append(join_predictions(compare(tensors(maps), size=size, window=window), pd.concat(said[name])))
    return pd.concat(tables, ignore_index=True)


def attacked(network, name: str, images, labels, signs, arms, *, eps: list[float], source: str):
    """Predictions of one network in every arm, see `transfer.attack_all`, and its maps of the own class."""
    options = {"eps": eps, "source": source, "noise": {0: arms["noise"]}}
    rows = transfer.attack_all([((name, 0), network)], signs, images, labels, **options)
    rows = rows.assign(correct=rows["prediction"] == rows["label"], family="other")
    modes = dict.fromkeys(arms, ["own_pred"])
    return rows, attacked_maps.attacked_maps(network, images, arms, rows, eps=eps, modes=modes)


def tensors(maps: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """N×h×w arrays as N×1×h×w tensors."""
    return {name: torch.from_numpy(np.ascontiguousarray(values))[:, None] for name, values in maps.items()}
