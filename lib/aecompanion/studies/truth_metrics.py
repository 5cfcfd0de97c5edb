"""Metrics against known effects: does a metric put explanations into the order that the truth gives?

    order of methods   τ( mean over pictures of the metric, mean over pictures of the truth's score ), over methods
    degradation        τ( metric, -s ) of one picture, over s, of the maps (1 - s) t / σ_t + s n, s = 0, ¼, ½, ¾, 1

τ: Kendall's τ-b of the metric turned so that larger is better; t: the painted truth (`evaluate.truth.painted`), n:
noise. The truth's score of a map is the rank correlation of what it gives to the parts of a picture with what they do
(`studies.truth.scored`). A metric that is the same for all maps recovers nothing: τ = 0. Pairs are (picture, target) of
one network; all maps of a pair see the same random numbers.

The statistics are those of `evaluate.recovery`. Two rows say what a metric could reach: "cosine with the truth" is
another score of the same truth, the cosine of the map and t; "truth, other half" is the truth's own order on every
second picture against that on the others.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.data.worlds import Picture
from aecompanion.evaluate.faithfulness import METRICS, measure
from aecompanion.evaluate.given import Given
from aecompanion.evaluate.recovery import tau
from aecompanion.evaluate.truth import above_floor, degraded
from aecompanion.explain.neighbours import explain_any, signed
from aecompanion.explain.portions import per_pass
from aecompanion.explain.references import reference
from aecompanion.networks.borrow import device_of
from aecompanion.studies import truth

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
METHODS = (
    "BP",
    "Grad-CAM",
    "IG",
    "SmoothGrad",
    "Grad-CAM++",
    "LayerCAM",
    "occlusion",
    "RISE",
    "guided BP",
    "guided Grad-CAM",
)
DEGRADED = "degraded truth"
CEILING, REPEATED = "cosine with the truth", "truth, other half"  # no metrics: what one could reach
CHEAP = {  # for networks that cost fifty times a compact one, whose IG holds four gigabytes
    "methods": tuple(name for name in METHODS if name not in ("RISE", "IG")),
    "metrics": tuple(name for name in METRICS if name != "max-sensitivity"),
    "options": {"noisy_samples": 8, "windows": 6},
    "asked": {
        "shares": (0.0, 1 / 32, 1 / 8, 1 / 4),
        "played": (0.0, 1 / 32, 1 / 8, 1 / 4, 1 / 2, 1.0),
        "squares": 8,
        "imputed": (0.2, 0.5),
    },
}
STRENGTH = 0.125  # of the blurred reference, a share of the image's side


def footprints(pictures: Sequence[Picture], targets: Sequence[int]) -> torch.Tensor:
    """The parts that show the target, n×1×H×W booleans. Raises ValueError where a picture has none."""
    found = []
    for picture, target in zip(pictures, targets, strict=True):
        own = [part.mask for part in picture.parts if part.label == target]
        if not own:
            raise ValueError(f"picture {picture.name!r} has no part of class {target}, expected at least one")
        found.append(np.any(own, axis=0))
    return torch.from_numpy(np.stack(found))[:, None]


def chosen(pictures: Sequence[Picture], count: int, *, least: int = 2) -> tuple[list[Picture], list[int]]:
    """`count` pictures, those with three parts and more first (two parts have two orders only), and of each one class
    that it shows: the one taken least often before, so that targets are spread over classes and, in mosaics, over
    photographs.

    Raises ValueError if fewer than `count` have `least` parts.
    """
    several = [picture for picture in pictures if len(picture.parts) >= least]
    several = sorted(several, key=lambda picture: len(picture.parts) < 3)[:count]
    if len(several) < count:
        raise ValueError(f"{len(several)} of {len(pictures)} pictures have {least} parts, expected {count}")
    targets: list[int] = []
    for picture in several:
        targets.append(min(picture.labels, key=targets.count))
    return several, targets


def measured(
    model: nn.Module,
    other: nn.Module,
    pictures: Sequence[Picture],
    targets: Sequence[int],
    *,
    multi_label: bool,
    methods: Sequence[str] = METHODS,
    metrics: Sequence[str] = tuple(METRICS),
    options: Mapping[str, object] | None = None,
    asked: Mapping[str, object] | None = None,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    stream: int = 0,
    least: float = truth.LEAST,
    progress: Callable[[str], object] = lambda name: None,
) -> pd.DataFrame:
    """One row per pair, map and metric of one network.

    Args:
        other: the same network re-initialised, for randomisation. options: of the methods (`PartOptions`); asked: of
            the metrics (`Given`). keys: of the pictures, for everything random.
            stream: a number per network, for the metric that is random (networks are 100 apart). least: as in
            `truth.scored`.

    Columns: pair, picture, target, rank (the truth's score of the map), method (or "degraded truth"), noise (its share,
    NaN for methods), metric, value (as defined), better (larger = better). Max-sensitivity is asked of methods alone:
    only they can be made again for another picture. The degraded truths of both networks have the same noise, as a
    method has the same seed: nothing but noise is a map that ignores the network, and randomisation says 0 of it, by
    construction.
    """
    keys = list(range(len(pictures))) if keys is None else list(map(int, keys))
    images, target = truth.images_of(pictures), torch.tensor(targets)
    references = reference(images, "blur_median", strength=STRENGTH)
    run = {"multi_label": multi_label, "seed": seed} | dict(options or {})

    def explain(method: str, network: nn.Module, shown: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
        own = {"references": references[places], "keys": [keys[place] for place in places]}
        return explain_any(method, network, shown, target[places], **own, **run).maps

    everyone, maps, changed = list(range(len(pictures))), {}, {}
    for network, found in ((other, changed), (model, maps)):
        rows = truth.effects(network, pictures, targets, multi_label=multi_label)
        known = truth.controls(pictures, truth.true_effects(rows), seed=seed, keys=keys)[truth.PAINTED]
        found.update({method: explain(method, network, images, everyone) for method in methods})
        found.update({degraded_name(s): degraded(known, s, seed=seed, keys=keys).float() for s in LEVELS})
    with_sign = [name for name in maps if name in signed or name not in methods]
    effect = truth.true_effects(rows, least=least)
    scores = truth.scored(maps, pictures, targets, effect, signed=with_sign, least=least)
    given = Given(
        references=references,
        inside=footprints(pictures, targets),
        multi_label=multi_label,
        seed=seed,
        keys=keys,
        batch=per_pass(images, device_of(model)),
        **dict(asked or {}),
    )
    tables = []
    for place, (name, found) in enumerate(maps.items()):
        again = None
        if name in methods:
            again = lambda shown, place, name=name: explain(name, model, shown, [place] * len(shown))  # noqa: E731
        own = dataclasses.replace(given, explain=again, other=changed[name], stream=stream + place)
        here = scores[scores["method"] == name].drop(columns="method").set_index("pair")
        facts = here[["picture", "target", "rank"]].reset_index()
        facts = facts.assign(method=method_of(name), noise=noise_of(name))
        for metric in metrics:
            if metric == "max-sensitivity" and again is None:
                continue
            values = measure(metric, model, images, found, target, own)
            better = METRICS[metric].oriented(values)
            tables.append(facts.assign(metric=metric, value=values.numpy(), better=better.numpy()))
        near = cosine(found if name in with_sign else above_floor(found), known).numpy()
        tables.append(facts.assign(metric=CEILING, value=near, better=near))
        progress(name)
    return pd.concat(tables, ignore_index=True)


def cosine(maps: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Cosine of n maps and n painted truths, 0 where one of them is zero."""
    return torch.cosine_similarity(maps.flatten(1).double(), known.flatten(1).double(), eps=1e-12)


def degraded_name(noise: float) -> str:
    return f"{DEGRADED} {noise:g}"


def method_of(name: str) -> str:
    return DEGRADED if name.startswith(DEGRADED) else name


def noise_of(name: str) -> float:
    return float(name.removeprefix(DEGRADED)) if name.startswith(DEGRADED) else np.nan


# from rows to the blocks that statistics are computed of


def method_cube(rows: pd.DataFrame, metric: str, methods: Sequence[str]) -> np.ndarray:
    """seeds × pairs × methods × (better, rank) of one world's rows.

    Raises ValueError unless every seed has the same pairs and methods once.
    """
    here = rows[(rows["metric"] == metric) & rows["method"].isin(methods)]
    return np.stack([block(here, column, "method", methods) for column in ("better", "rank")], axis=-1)


def degradation(rows: pd.DataFrame, metric: str) -> np.ndarray:
    """τ of every picture, seeds × pairs, of one world's rows; NaN for a metric that degraded maps were not asked."""
    here = rows[(rows["metric"] == metric) & (rows["method"] == DEGRADED)]
    if here.empty:
        return np.full((1, 1), np.nan)
    values = block(here, "better", "noise", LEVELS)
    return np.apply_along_axis(tau, 2, values, -np.array(LEVELS))


def block(rows: pd.DataFrame, value: str, column: str, levels: Sequence) -> np.ndarray:
    """seeds × pairs × levels of a column. Raises ValueError for rows that are missing or double."""
    seeds, pairs = (sorted(rows[name].unique()) for name in ("seed", "pair"))
    wide = rows.pivot(index=["seed", "pair"], columns=column, values=value)
    if len(wide) != len(seeds) * len(pairs) or not set(levels) <= set(wide.columns):
        raise ValueError(f"{len(rows)} rows, expected one per seed, pair and {column} ({len(levels)})")
    return wide.loc[:, list(levels)].to_numpy(float).reshape(len(seeds), len(pairs), len(levels))
