"""Accuracy of defended networks: one row per image and condition, and the area under an accuracy-perturbation curve.

    top-k = share of images whose label is among the k largest logits

Chance of top-k is k / classes: with 30 classes top-5 starts at 17 %, so both are always given.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.defend.defences import Defence
from aecompanion.networks.read import predict

Sets = dict[tuple[str, str, int], tuple[torch.Tensor, torch.Tensor]]  # split, attack, level: images and labels


def outcomes(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> pd.DataFrame:
    """Columns label, prediction, top1 and top5 (both boolean) of N images, in order."""
    logits = predict(network, images)
    best = logits.topk(min(5, logits.shape[1])).indices
    return pd.DataFrame(
        {
            "label": labels.numpy(),
            "prediction": best[:, 0].numpy(),
            "top1": (best[:, 0] == labels).numpy(),
            "top5": (best == labels[:, None]).any(1).numpy(),
        }
    )


def area(levels: Sequence[float], accuracy: Sequence[float]) -> float:
    """∫ accuracy d(level) / (largest - smallest level), trapezoids: the mean accuracy over the range of eps.

    Raises ValueError unless levels ascend and both have the same length of at least two.
    """
    levels, accuracy = np.asarray(levels, float), np.asarray(accuracy, float)
    if levels.shape != accuracy.shape or levels.ndim != 1 or len(levels) < 2 or (np.diff(levels) <= 0).any():
        raise ValueError(f"levels {levels.tolist()} and accuracies {accuracy.tolist()}, expected ascending pairs")
    return float(np.trapezoid(accuracy, levels) / (levels[-1] - levels[0]))


def defended(defences: list[Defence], seed: int, load: Callable[[Defence, int], nn.Module], sets: Sets) -> pd.DataFrame:
    """Outcomes of several defences that share a transformation, which is computed once per set.

    Args:
        load: gives the network of a defence for a training seed.
        sets: images N×C×H×W in [0,1] and labels by split, attack ("clean" at level 0) and level.

    Returns one row per defence, set and image: defence, kind, network, seed, split, attack, level, image (position in
    its set) and the columns of `outcomes`. Raises ValueError if the transformations differ.
    """
    if len({id(defence.transform) for defence in defences}) != 1:
        raise ValueError(f"{[defence.name for defence in defences]} transform differently, expected one transformation")
    networks = {defence.name: load(defence, seed) for defence in defences}
    tables = []
    for (split, attack, level), (images, labels) in sets.items():
        transformed = defences[0].transform(images)
        for defence in defences:
            facts = {"defence": defence.name, "kind": defence.kind, "network": defence.network, "seed": seed}
            facts |= {"split": split, "attack": attack, "level": level, "image": np.arange(len(images))}
            tables.append(outcomes(networks[defence.name], transformed, labels).assign(**facts))
    return pd.concat(tables, ignore_index=True)


def by_transform(defences: list[Defence]) -> list[list[Defence]]:
    """The defences grouped by their transformation, for `defended`."""
    groups: dict[int, list[Defence]] = {}
    for defence in defences:
        groups.setdefault(id(defence.transform), []).append(defence)
    return list(groups.values())
