"""SSIM of Grad-CAM maps on photographs before and after FGSM, in every rendering of `evaluate.renderings`."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.attack import transfer
from aecompanion.attack.gradient import perturb
from aecompanion.evaluate.renderings import renderings
from aecompanion.explain.attacked_maps import key
from aecompanion.studies.shifts import attacked, tensors

MODE = "own_pred"  # every image is explained for what its network says of it


def rendered(
    networks: Mapping[str, nn.Module],
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    indices: Sequence[int],
    level: float = 0.1,
    window: int = 7,
    seed: int = 0,
    batch: int = 16,
    progress: Callable[[Iterable], Iterable] = iter,
) -> pd.DataFrame:
    """The arms of `studies.shifts.compared` (but "other") at one level, as pictures.

    Args:
        networks: `Network`s by name. images: N×C×H×W in [0,1]; indices: what tells them apart.
        level: ε in pixel units. window: of SSIM. seed: of the random signs. batch: images attacked together.

    Returns one row per network, arm, rendering and image with the columns network, seed (0), arm, mode, rendering,
    image, ssim and correct0 (true: only images named right belong here). Cost: a forward pass of four images and what
    follows the layer backwards, beside the signs' pass.
    """
    names, tables = list(networks), []
    for start in progress(range(0, len(images), batch)):
        chunk = slice(start, start + batch)
        shown, keys = images[chunk], np.asarray(indices)[chunk]
        signs = transfer.all_signs((((name, 0), networks[name]) for name in names), shown, labels[chunk])
        noise = transfer.random_signs(shown.shape[1:], seed=seed, indices=keys)
        for place, name in enumerate(names):
            arms = {"white": signs[name, 0], "black": signs[names[(place + 1) % len(names)], 0], "noise": noise}
            sources = dict.fromkeys(arms, name)
            _, maps = attacked(networks[name], name, shown, labels[chunk], arms, sources=sources, eps=[level])
            found = tensors(maps)
            for arm, added in arms.items():
                pair = found[key(arm, MODE, 0)], found[key(arm, MODE, level)]
                pictures = perturb(shown, added, 0.0), perturb(shown, added, level)
                rows = renderings(*pair, pictures, window=window)
                facts = {"network": name, "seed": 0, "arm": arm, "mode": MODE, "correct0": True}
                tables.append(rows.assign(**facts, image=keys[rows["position"]]).drop(columns="position"))
    return pd.concat(tables, ignore_index=True)
