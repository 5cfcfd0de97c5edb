"""Grad-CAM of one network before and after an attack, for every arm, explained class and attack level.

The maps are kept at the layer's own resolution (8×8, not 64×64); `explain.gradcam.heatmap` makes the pictures.
A set of maps is a dictionary of float32 arrays N×h×w: "clean/MODE" and "ARM/MODE/EPS", e.g. "white/own_pred/0.05".
The arm "other" is no attack but the ceiling: "other/MODE/0" holds the maps of another person's clean image, in the
place of the image that it is compared with.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aecompanion.attack.gradient import perturb, quantise
from aecompanion.explain.gradcam import class_to_explain, explain_classes, gradcam
from aecompanion.pipeline.rng import generator


def key(arm: str, mode: str, eps: float) -> str:
    """Name of a set of maps; level 0 is the clean one whatever the arm."""
    return f"{arm}/{mode}/{exact(eps)}" if eps else f"clean/{mode}"


def exact(eps: float) -> str:
    """The shortest text that reads back as the same number, so that rows join on it."""
    return repr(float(eps)).removesuffix(".0")


def attacked_maps(
    network,
    images: torch.Tensor,
    signs: dict[str, torch.Tensor],
    predictions: pd.DataFrame,
    *,
    eps: list[float],
    modes: dict[str, list[str]],
    batch: int = 128,
) -> dict[str, np.ndarray]:
    """Maps of the network's last Grad-CAM layer; no (image, class) pair is explained twice.

    Args:
        network: a `Network`; images: N×C×H×W in [0,1].
        signs: the arms and their int8 signs, e.g. {"white": ..., "black": ...}.
        predictions: rows of this network with the columns arm, eps, label, prediction, the images in their order.
        eps: attack levels; modes: the class modes of each arm, the first arm's also for the clean images.
    """
    rows = dict(iter(predictions.groupby(["arm", "eps"])))
    layer, maps = network.cam_layer(), {}
    for arm, arm_signs in signs.items():
        clean = classes_of(rows[arm, 0.0], "prediction")
        labels = classes_of(rows[arm, 0.0], "label")
        for level in [0.0, *eps]:
            if level == 0 and maps:  # the clean images are the same in every arm
                continue
            attacked = classes_of(rows[arm, level], "prediction")
            classes = [class_to_explain(mode, clean=clean, attacked=attacked, labels=labels) for mode in modes[arm]]
            shown = perturb(images, arm_signs, level)
            explained = explain_classes(network, shown, torch.stack(classes), layer=layer, batch=batch)
            for mode, values in zip(modes[arm], explained, strict=True):
                maps[key(arm, mode, level)] = values[:, 0].numpy()
    return maps


def other_maps(
    network, images: torch.Tensor, classes: torch.Tensor, partners: torch.Tensor, *, clean: np.ndarray, batch: int = 128
) -> dict[str, np.ndarray]:
    """Maps of the image `partners[i]` in the place of image i: how far apart maps are that share the network alone.

    Args:
        network: a `Network`; images: N×C×H×W in [0,1]; classes: what it predicts for each of the N clean images.
        partners: N positions, see `partners`; clean: the maps of the clean images for their own class, N×h×w.

    Returns "other/own_pred/0", each partner for its own class, and "other/clean_pred/0", each for the class of image i.
    """
    shown = quantise(images)[partners]
    same_class = gradcam(network, shown, classes, layer=network.cam_layer(), batch=batch)
    return {"other/own_pred/0": clean[partners.numpy()], "other/clean_pred/0": same_class[:, 0].numpy()}


def partners(labels: torch.Tensor, *, seed: int) -> torch.Tensor:
    """For each of N images the position of another one, drawn from all that show another person.

    Raises ValueError if all labels are the same, for then there is no other person.
    """
    if len(labels.unique()) < 2:
        raise ValueError(f"all {len(labels)} images have one label, expected images of at least two people")
    drawn = []
    for position, label in enumerate(labels):
        others = torch.nonzero(labels != label).flatten()
        drawn.append(others[torch.randint(len(others), (), generator=generator(seed, position))])
    return torch.stack(drawn)


def stage_maps(
    network, images: torch.Tensor, signs: torch.Tensor, predictions: pd.DataFrame, *, eps: list[float]
) -> dict[str, np.ndarray]:
    """Maps of every Grad-CAM layer, own class, one arm: "LAYER/0", "LAYER/0.01", ... (N×h×w, h and w per layer)."""
    maps = {}
    for level in [0.0, *eps]:
        classes = classes_of(predictions[predictions["eps"] == level], "prediction")[: len(images)]
        shown = perturb(images, signs, level)
        for name in network.cam_layers:
            values = gradcam(network, shown, classes, layer=network.cam_layer(name))
            maps[f"{name}/{exact(level)}"] = values[:, 0].numpy()
    return maps


def classes_of(frame: pd.DataFrame, column: str) -> torch.Tensor:
    return torch.from_numpy(frame[column].to_numpy().copy())


def save(path: Path, maps: dict[str, np.ndarray]) -> None:
    """Write maps as an uncompressed npz."""
    with path.open("wb") as file:
        np.savez(file, **maps)


def load(path: Path) -> dict[str, torch.Tensor]:
    """Read what `save` wrote, as N×1×h×w tensors."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name])[:, None] for name in arrays.files}
