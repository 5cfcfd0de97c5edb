"""Effects of latent features as tidy rows, and the bottleneck that they are measured through."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aecompanion.explain.causal_effect import LatentEffects
from aecompanion.networks import checkpoint
from aecompanion.train import causal_autoencoder


def bottleneck(folder: Path, seed: int, *, device: str) -> dict:
    """{"layer", "autoencoder"}: the bottleneck of a training seed and where in the network it stands, as
    `explain.causal_effect.latent_effects` takes them.
    """
    file = folder / f"{seed}.safetensors"
    layer, autoencoder = checkpoint.card(file)["layer"], causal_autoencoder.load(file, device=device)
    return {"layer": layer, "autoencoder": autoencoder}


def latent_rows(
    found: LatentEffects, labels: torch.Tensor, images: np.ndarray, usual: LatentEffects | None = None
) -> pd.DataFrame:
    """One row per image, label it has, and channel. usual: the effects of do(c_j = mean code), if they were measured.

    labels: N indices or N×K zeros and ones; images: names of the N images. Columns: image, label, channel, effect (CE
    of that label beyond the bottleneck's own), expected (ECE_j - ECE0), usual (the same with c_j at the mean code, if
    measured), baseline (ECE0) and same (all decisions are equal with and without the bottleneck).
    Images without any label have the label -1 and no effect (NaN).
    """
    several = labels.dim() == 2
    if several:
        bare = (labels.sum(1) == 0).nonzero()
        pairs = torch.cat([labels.nonzero(), torch.cat([bare, torch.full_like(bare, -1)], dim=1)])
    else:
        pairs = torch.stack([torch.arange(len(labels)), labels], dim=1)
    image, label = pairs.T
    if several:
        same = ((found.p > 0.5) == (found.p_through > 0.5)).all(1)
    else:
        same = found.p.argmax(1) == found.p_through.argmax(1)
    expected, effects = found.expected - found.baseline, found.effects
    tables = []
    for channel in range(len(effects)):
        columns = {"image": images[image.numpy()], "label": label.numpy(), "channel": channel}
        own = torch.where(label < 0, torch.nan, effects[channel, image, label])
        columns |= {"effect": own.numpy(), "expected": expected[channel, image].numpy()}
        columns |= {"baseline": found.baseline[image].numpy(), "same": same[image].numpy()}
        if usual is not None:
            columns |= {"usual": (usual.expected - usual.baseline)[channel, image].numpy()}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)
