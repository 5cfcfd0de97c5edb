"""Explanations against known effects: what removing each part of a picture really does, and what maps say of it.

    e_i = mean_f [ ℓ_T(x) - ℓ_T(x without part i, filling f) ],     ℓ = log p - log(1 - p)  (nats)

of the pairs (picture, target T) of one network. A part that speaks for the target has e > 0; one that speaks against it
(in a mosaic every other cell takes probability from T) has e < 0. Scores of maps are those of `evaluate.truth`: ranks
compare the parts of one picture for one target, so neither their scale nor that of another picture matters.

Beside methods stand `controls`, which ask no network: the painted truth (the best that a map can do), the parts
themselves (whoever finds the things and knows nothing of the network), a uniform map and noise.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.data.worlds import NONE, Picture
from aecompanion.evaluate import truth
from aecompanion.networks.read import answers
from aecompanion.pipeline.rng import generator

PAINTED, PARTS, UNIFORM, RANDOM = "painted truth", "parts", "uniform", "random"
CONTROLS = (PAINTED, PARTS, UNIFORM, RANDOM)
SIGNED = (PAINTED, RANDOM)  # of the controls
LEAST = 0.2  # nats; a part that moves the odds by less than a fifth counts as one without effect


def pairs(pictures: Sequence[Picture], also: int | None = None) -> tuple[list[Picture], list[int]]:
    """Every picture with each class that one of its parts shows, and with the class `also` (whose marker is planted)
    where a part shows none: as many pictures (repeated) as targets.
    """
    found = []
    for picture in pictures:
        shown = set(picture.labels)
        if also is not None and any(part.label == NONE for part in picture.parts):
            shown.add(also)
        found += [(picture, target) for target in sorted(shown)]
    return [picture for picture, _ in found], [target for _, target in found]


def images_of(pictures: Sequence[Picture]) -> torch.Tensor:
    """N×C×H×W in [0,1]."""
    return torch.from_numpy(np.stack([picture.image for picture in pictures])).float() / 255


def batches(pictures: Sequence[Picture], size: int) -> Iterator[torch.Tensor]:
    """Every picture, then its fillings part by part, in batches of `size` images in [0,1]."""
    waiting: list[np.ndarray] = []
    for picture in pictures:
        waiting += [picture.image, *picture.without.reshape(-1, *picture.image.shape)]
        while len(waiting) >= size:
            yield torch.from_numpy(np.stack(waiting[:size])).float() / 255
            waiting = waiting[size:]
    if waiting:
        yield torch.from_numpy(np.stack(waiting)).float() / 255


def effects(
    model: nn.Module,
    pictures: Sequence[Picture],
    targets: Sequence[int],
    *,
    multi_label: bool,
    batch: int = 64,
) -> pd.DataFrame:
    """One row per pair, part and filling: pair (its number), picture (its name), part (its number), part_name,
    part_label, target, filling, odds (log-odds of the target in the picture, nats), effect (nats) and effect_p (the
    same difference of p).

    Args:
        pictures, targets: n pictures and n class indices; a picture that comes more than once is shown once.

    Raises ValueError if there are not as many targets as pictures.
    """
    if len(pictures) != len(targets):
        raise ValueError(f"{len(pictures)} pictures and {len(targets)} targets, expected one target for each")
    distinct = list({id(picture): picture for picture in pictures}.values())
    odds, read = {}, np.empty((0, 0))
    said = iter(answers(model, batches(distinct, batch)))
    for picture in distinct:
        size = 1 + picture.without.shape[0] * picture.without.shape[1]
        while len(read) < size:
            more = truth.log_odds(next(said).double(), multi_label=multi_label).numpy()
            read = np.concatenate([read, more]) if len(read) else more
        odds[id(picture)], read = read[:size], read[size:]
    rows = []
    for number, (picture, target) in enumerate(zip(pictures, targets, strict=True)):
        mine = odds[id(picture)][:, target]
        after, p = mine[1:].reshape(picture.without.shape[:2]), 1 / (1 + np.exp(-mine))
        change = p[0] - p[1:].reshape(after.shape)
        rows += [
            {
                "pair": number,
                "picture": picture.name,
                "part": i,
                "part_name": part.name,
                "part_label": part.label,
                "target": target,
                "filling": filling,
                "odds": mine[0],
                "effect": mine[0] - after[i, filling],
                "effect_p": change[i, filling],
            }
            for i, part in enumerate(picture.parts)
            for filling in range(after.shape[1])
        ]
    return pd.DataFrame(rows)


def true_effects(rows: pd.DataFrame, *, least: float = 0.0) -> list[np.ndarray]:
    """e of every pair, by part, from the rows of `effects`: means over fillings, those below `least` set to 0."""
    means = rows.groupby(["pair", "part"])["effect"].mean()
    return [truth.settled(part.to_numpy(), least=least) for _, part in means.groupby("pair", sort=True)]


def controls(
    pictures: Sequence[Picture], effect: Sequence[np.ndarray], *, seed: int, keys: Sequence[int]
) -> dict[str, torch.Tensor]:
    """The maps of `CONTROLS`, n×1×H×W each. Noise is standard normal per pixel, from (seed, key), so that it favours
    no part, however large.
    """
    masks = [picture.masks for picture in pictures]
    size = masks[0].shape[1:]
    return {
        PAINTED: torch.cat([truth.painted(e, mask) for e, mask in zip(effect, masks, strict=True)]),
        PARTS: torch.cat([torch.from_numpy(mask.any(0)).double()[None, None] for mask in masks]),
        UNIFORM: torch.ones(len(masks), 1, *size),
        RANDOM: torch.stack([torch.randn(1, *size, generator=generator(seed, key)) for key in keys]),
    }


def scored(
    maps: Mapping[str, torch.Tensor],
    pictures: Sequence[Picture],
    targets: Sequence[int],
    effect: Sequence[np.ndarray],
    *,
    signed: Collection[str],
    least: float = LEAST,
) -> pd.DataFrame:
    """One row per pair and method.

    Args:
        maps: n×1×H×W by method. effect: of `true_effects`. signed: methods whose sign has a meaning; maps of others
            count from their lowest value. least: |e| in nats below which a part has no effect.

    Columns: pair, picture, target, method, parts (how many), rank, share, error, sign (NaN for methods without one) of
    `evaluate.truth`; density (the rank of mean values instead of sums over the footprints), size (the rank of |a| and
    |e|); pointing (hit of the part with the largest effect); marked and marked_true (share of Σ|a|, of Σ|e|, on parts
    that show no class, such as a marker; NaN where there is none).
    """
    rows = []
    for method, found in maps.items():
        found = found.double().cpu()
        found = found if method in signed else truth.above_floor(found)
        for number, (picture, target) in enumerate(zip(pictures, targets, strict=True)):
            facts = {"pair": number, "picture": picture.name, "target": target, "method": method}
            e = truth.settled(effect[number], least=least)
            rows.append(facts | one(found[number], picture, e, signed=method in signed, least=least))
    return pd.DataFrame(rows)


def one(attribution: torch.Tensor, picture: Picture, e: np.ndarray, *, signed: bool, least: float) -> dict:
    """The scores of one map (1×H×W) of one pair, see `scored`."""
    masks = picture.masks
    a = truth.part_attributions(attribution[None], masks)[0].numpy()
    inside = torch.from_numpy(masks[int(e.argmax())])[None, None]
    idle = np.array([part.label == NONE for part in picture.parts])
    strongest = e.max() > 0
    return {
        "parts": len(e),
        "rank": truth.rank_correlation(a, e),
        "density": truth.rank_correlation(a / masks.sum((1, 2)), e),
        "size": truth.rank_correlation(np.abs(a), np.abs(e)),
        "share": truth.share_on_effect(a, e, least=least),
        "error": truth.error_on_none(a, e, least=least),
        "sign": truth.sign_agreement(a, e, least=least) if signed else np.nan,
        "pointing": truth.pointing(attribution[None], inside).item() if strongest else np.nan,
        "marked": truth.quotient(np.abs(a[idle]).sum(), np.abs(a).sum()) if idle.any() else np.nan,
        "marked_true": truth.quotient(np.abs(e[idle]).sum(), np.abs(e).sum()) if idle.any() else np.nan,
    }
