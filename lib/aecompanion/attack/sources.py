"""Transferred FGSM from every trained network in turn, so that nobody's resistance hangs on whose signs were taken.

    accuracy of g under x* = clip_[0,1]( x + ε · sign ∇_x J(f(x), y) ),   f: each source, g: each network

One source, as in `attack.transfer`, hurts networks like itself most: with signs from a deep network the wide ones look
robust, and the other way round. A network of the source's own architecture gets the signs of another training seed.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.attack.gradient import perturb
from aecompanion.attack.transfer import BATCH, Key, Signs, source_of
from aecompanion.networks.folding import folded
from aecompanion.networks.read import predict


def by_source(
    networks: Iterable[tuple[Key, nn.Module]],
    signs: Signs,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: Iterable[float],
) -> pd.DataFrame:
    """Whether every network is right under the signs of every source. Cost: a forward pass per row.

    Args:
        networks: (name, seed) and the network that is attacked. signs: `transfer.all_signs` of N images N×C×H×W in
            [0,1]. labels: N class indices. eps: levels in pixel units.

    Returns one row per source, network, seed, eps and image with the columns source (name), source_seed, network, seed,
    eps, image (position in `images`) and correct. Raises ValueError for no level.
    """
    levels = list(dict.fromkeys(eps))
    if not levels:
        raise ValueError("eps is empty, expected at least one level in pixel units")
    sources, tables = list(dict.fromkeys(name for name, _ in signs)), []
    for key, given in networks:
        network = folded(given)
        for source in sources:
            sender = source_of(key, source, signs)
            for level in levels:
                said = predict(network, perturb(images, signs[sender], level), batch=BATCH).argmax(1)
                columns = {"source": source, "source_seed": sender[1], "network": key[0], "seed": key[1], "eps": level}
                columns |= {"image": np.arange(len(images)), "correct": (said == labels).numpy()}
                tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)
