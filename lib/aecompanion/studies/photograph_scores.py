"""Explanations of real networks on photographs, scored: one row per network, method and photograph.

Games, class distortion and reverse images are those of `studies.masks.score`, with coarser steps of the games (1/32 of
the pixels on the first eighth, then eighths), since a network of this kind takes a hundred times the arithmetic of the
compact ones. The outputs are a softmax, so masks watch the `rivals` most likely other classes (`explain.mask`).
"""

import time
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import nn

from aecompanion.evaluate.distortion import distortion_score, nontarget_change
from aecompanion.evaluate.games import hottest_removed, play, schedule
from aecompanion.explain.mask import Settings
from aecompanion.explain.methods import METHODS, Explained, Options, explain, mask_passes
from aecompanion.networks.read import probabilities
from aecompanion.studies.photographs import views

COMPARED = ("RP", "MP", "MP (start 1)", "RISE", "Grad-CAM", "BP")  # RP first: its areas are those of maps without masks
BATCH = 16  # images per pass in the games, photographs at a time in the methods: sixty would hold 5 GB of activations


def scored(
    network: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    references: torch.Tensor,
    *,
    keys: Sequence[int],
    **options,
) -> pd.DataFrame:
    """Rows of one network, `BATCH` photographs at a time; see `scored_together` for arguments and columns."""
    starts = range(0, len(images), BATCH)
    parts = (slice(start, start + BATCH) for start in starts)
    rows = [
        scored_together(network, images[part], target[part], references[part], keys=keys[part], **options)
        for part in parts
    ]
    return pd.concat(rows, ignore_index=True)


def scored_together(
    network: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    references: torch.Tensor,
    *,
    settings: Mapping[str, Settings],
    rise_masks: int,
    rivals: int = 10,
    keys: Sequence[int],
    seed: int = 0,
) -> pd.DataFrame:
    """Rows of one network, all photographs in one batch.

    Args:
        images, references: n×3×H×W; target: n class indices. settings: of the mask methods in `COMPARED`, by name.
        keys: what tells the images apart.

    Columns: method, image, deletion and insertion (AUC; deleted pixels take the mean colour, inserted ones come out of
    the reference), cds (absolute), reverse (the same of the reverse image), change (mean |Δp| of the other classes),
    p_clean, p_masked, p_reverse, area, stuck, forward and backward (passes per photograph), seconds (CPU time of the
    calling thread per photograph, without the scores).
    """
    options = {"references": references, "settings": settings, "rise_masks": rise_masks, "rivals": rivals}
    options |= {"seed": seed, "keys": keys}
    tables, areas = [], torch.full((len(images),), 0.1)
    for method in COMPARED:
        begun = time.thread_time()
        found = explain(method, network, images, target, **options)
        spent = (time.thread_time() - begun) / len(images)
        if method == "RP":
            areas = (1 - found.mask).flatten(1).mean(1)
        rows = score(network, images, target, references, found, areas=areas, keys=keys, seed=seed)
        count = METHODS[method].passes if method in METHODS else mask_passes(method)
        forward, backward = count(Options(**options))
        tables.append(rows.assign(method=method, forward=forward, backward=backward, seconds=spent))
    return pd.concat(tables, ignore_index=True)


def score(
    network: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    references: torch.Tensor,
    found: Explained,
    *,
    areas: torch.Tensor,
    keys: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    """One row per image of one method. areas: shares of the image that maps without a mask remove, n."""
    mask = hottest_removed(found.maps, areas, seed=seed, keys=keys) if found.mask is None else found.mask
    clean, after, reverse = (
        probabilities(network, each, batch=BATCH) for each in views(images, references, mask).values()
    )
    pixels, own = images.shape[2] * images.shape[3], target[:, None]
    steps = schedule(pixels, first=pixels // 32, fine=pixels // 8, then=pixels // 8)
    grey = images.mean((2, 3), keepdim=True).expand_as(images)
    options = {"steps": steps, "seed": seed, "keys": keys, "batch": BATCH}
    row = {
        "deletion": play(network, images, grey, found.maps, target, **options).auc,
        "insertion": play(network, references, images, found.maps, target, **options).auc,
        "cds": distortion_score(clean, after, target),
        "reverse": distortion_score(clean, reverse, target),
        "change": nontarget_change(clean, after, target),
        "p_clean": clean.gather(1, own)[:, 0],
        "p_masked": after.gather(1, own)[:, 0],
        "p_reverse": reverse.gather(1, own)[:, 0],
        "area": (1 - mask).flatten(1).mean(1),
        "stuck": torch.zeros(len(images)) if found.stuck is None else found.stuck.float(),
    }
    return pd.DataFrame({name: values.double().numpy() for name, values in row.items()} | {"image": list(keys)})
