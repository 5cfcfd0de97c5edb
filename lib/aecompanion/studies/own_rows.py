"""What tables say of a callable beside the built-in rows: one row per image (or pair) and name, the same for all.

    truths    rank, share and error of maps against what every part of a picture really does (`studies.truth`)
    games     deletion, insertion, energy and class distortion of maps (`studies.maps.scored`, as in T3.2)
    attacks   whether the class survives, and how far the attacked image is from the clean one
    defences  what the worst case of one portfolio, the same for all, leaves (`studies.worst_defences`)
    scores    what detectors say of clean and attacked images, `detected` the AUROC of each

`summary` makes means with intervals of them. All settings are the caller's, the loops iterate over the names that they
are given, and nothing here knows which of them came from elsewhere.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.attack import crafted
from aecompanion.data.dataset import Dataset
from aecompanion.data.scenes import Scenes
from aecompanion.data.worlds import Picture, SceneWorld
from aecompanion.evaluate import detection, detectors
from aecompanion.evaluate.defence import outcomes
from aecompanion.evaluate.intervals import bounded, interval
from aecompanion.evaluate.suspicion import Setting
from aecompanion.explain.methods import METHODS, Explained, Options
from aecompanion.studies import truth, worst_defences
from aecompanion.studies.maps import joined, scored
from aecompanion.studies.own_values import of_images

ROUNDING = 0.5 / 255  # an attacked image is a file: half a grey level
UNIT = ("share", "error", "energy", "deletion", "insertion", "pointing")
BOUNDS = {"rank": (-1.0, 1.0), "randomised": (-1.0, 1.0), "other image": (-1.0, 1.0)} | dict.fromkeys(UNIT, (0.0, 1.0))


def pictures_of(dataset: Dataset, scenes: Scenes, images: Sequence[int], *, split: str = "test") -> list[Picture]:
    """Images of a composed data set (positions in it), each with its parts and itself without each of them.

    Raises ValueError if these scenes are not those that the data set was made of, and for a position outside the split.
    """
    numbers, worlds = {position: k for k, position in enumerate(dataset.indices(split))}, {}
    for position in dict.fromkeys(map(int, images)):
        if position not in numbers:
            raise ValueError(
                f"image {position} is not in the split {split!r}, expected one of its {len(numbers)} images"
            )
        picture = SceneWorld(scenes, split, least=1, start=numbers[position], count=1).picture(0)
        if not np.array_equal(picture.image, (255 * dataset.batch([position])[0]).round().byte().numpy()):
            raise ValueError(
                f"image {position} is not scene {numbers[position]} of seed {scenes.seed}, expected its own"
            )
        worlds[position] = picture
    return [worlds[int(position)] for position in images]


def explained(
    names: Sequence[str],
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    options: Options,
    *,
    batch: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, Explained]:
    """Maps of methods (of METHODS) for n pairs, `batch` at a time: what a callable from elsewhere shows a network in
    one pass is often many times as much.
    """
    parts = []
    for i in progress(range(0, len(images), batch)):
        given = images[i : i + batch], target[i : i + batch], of_images(options, i, i + batch)
        parts.append({name: METHODS[name].explain(model, *given) for name in names})
    return joined(parts)


def truths(
    model: nn.Module,
    pictures: Sequence[Picture],
    found: Mapping[str, torch.Tensor],
    targets: Sequence[int],
    *,
    signed: Collection[str],
    multi_label: bool,
    seed: int,
) -> pd.DataFrame:
    """The rows of `studies.truth.scored` for maps n×1×H×W by name, and for its controls, which know everything or
    nothing. n pictures and n classes; `signed`: names whose sign means for or against the class.
    """
    effect = truth.true_effects(truth.effects(model, pictures, targets, multi_label=multi_label), least=truth.LEAST)
    controls = truth.controls(pictures, effect, seed=seed, keys=range(len(pictures)))
    known = {*signed, *truth.SIGNED}
    return truth.scored({**found, **controls}, pictures, targets, effect, signed=known)


def games(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    references: torch.Tensor,
    inside: torch.Tensor,
    found: Mapping[str, Explained],
    *,
    keys: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    """The rows of `studies.maps.scored`, those of the games of mask_games, with method and pair."""
    rows, _ = scored(model, images, target, references, inside, found, keys=keys, seed=seed, facts={})
    return rows.reset_index(drop=True)


def attacks(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    names: Sequence[str],
    *,
    eps: Sequence[float],
    steps: int,
    seed: int,
) -> tuple[pd.DataFrame, dict[tuple[str, int], torch.Tensor]]:
    """One row per attack (of ATTACKS), level k of k/255 and image: distance (the largest change of a value, in levels),
    kept (it is at most eps), right (the class survives); and the attacked images by (attack, level).

    An image outside the ball counts as not attacked: its row is right if the clean image is.
    """
    clean = outcomes(model, images, labels)["top1"].to_numpy()
    rows, sets = [facts_of("clean", 0, clean, torch.zeros(len(images)), 0.0)], {}
    for name in names:
        for each in eps:
            found = crafted.craft(model, images, labels, attack=name, eps=each, steps=steps, seed=seed)
            sets[name, crafted.level_of(each)] = found
            right = outcomes(model, found, labels)["top1"].to_numpy()
            distance = (found - images).abs().flatten(1).amax(1)
            kept = (distance <= each + ROUNDING).numpy()
            rows.append(facts_of(name, crafted.level_of(each), np.where(kept, right, clean), distance, each))
    return pd.concat(rows, ignore_index=True), sets


def facts_of(name: str, level: int, right: np.ndarray, distance: torch.Tensor, eps: float) -> pd.DataFrame:
    """The rows of one attack at one level."""
    kept = (distance <= eps + ROUNDING).numpy()
    facts = {"method": name, "level": level, "image": range(len(right)), "right": right}
    return pd.DataFrame(facts | {"distance": (255 * distance).double().numpy(), "kept": kept})


def defences(
    cases: Mapping[str, worst_defences.Case],
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    steps: int,
    queries: int,
    seed: int,
) -> pd.DataFrame:
    """One row per defence and image: clean, and worst, whether the class survives the portfolio; by: what broke it."""
    rows = []
    for name, case in cases.items():
        found = worst_defences.attacked(case, images, labels, eps=[eps], steps=steps, queries=queries, seed=seed)
        left = worst_defences.rows(found, case.network, case.transform, labels)
        clean = outcomes(case.network, case.transform(images), labels)["top1"]
        facts = {"method": name, "image": range(len(labels)), "clean": clean, "worst": left["top1"]}
        rows.append(pd.DataFrame(facts | {"by": left["by1"]}))
    return pd.concat(rows, ignore_index=True)


def scores(
    setting: Setting, names: Sequence[str], images: torch.Tensor, sets: Mapping[tuple[str, int], torch.Tensor]
) -> pd.DataFrame:
    """One row per detector (of DETECTORS), attack, level and image: its score clean and attacked."""
    fitted, rows = detectors.fit(setting, list(names)), []
    clean = detectors.image_scores(setting.model, fitted, images)
    for (attack, level), attacked in sets.items():
        found = detectors.image_scores(setting.model, fitted, attacked)
        for name in names:
            facts = {"method": name, "attack": attack, "level": level, "image": range(len(images))}
            rows.append(pd.DataFrame(facts | {"clean": clean[name].numpy(), "attacked": found[name].numpy()}))
    return pd.concat(rows, ignore_index=True)


def detected(rows: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """AUROC per detector, attack and level with its interval over images, from the rows of `scores`."""
    area = bounded(0.0, 1.0)(lambda v: detection.auroc(v[0, :, 0], v[0, :, 1]))
    found = []
    for (method, attack, level), part in rows.groupby(["method", "attack", "level"], sort=False):
        each = interval(area, part[["clean", "attacked"]].to_numpy()[None], resamples=resamples, seed=seed)
        found.append({"method": method, "attack": attack, "level": level, "auroc": each.value})
        found[-1] |= {"low": each.low, "high": each.high}
    return pd.DataFrame(found)


def summary(
    rows: pd.DataFrame, measures: Sequence[str], *, by: Sequence[str] = ("method",), resamples: int, seed: int
) -> pd.DataFrame:
    """Means over images with 95 % intervals, long: the columns `by`, measure, value, low, high, images."""
    found = []
    for key, part in rows.groupby(list(by), sort=False):
        for measure in measures:
            values = part[measure].to_numpy(float)
            values = values[~np.isnan(values)]
            facts = dict(zip(by, key, strict=True)) | {"measure": measure, "images": len(values)}
            if len(values):
                mean = bounded(*BOUNDS[measure])(lambda v: float(v.mean())) if measure in BOUNDS else np.mean
                each = interval(mean, values[None], resamples=resamples, seed=seed)
                facts |= {"value": each.value, "low": each.low, "high": each.high}
            found.append(facts)
    return pd.DataFrame(found)
