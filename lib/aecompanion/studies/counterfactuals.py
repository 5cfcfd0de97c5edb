"""The studies of counterfactuals that tables and claims rest on, as tidy rows: one per image and setting.

Radii are matched: for every network and kind of ball the radius is the one at which a set of *validation* images
reaches a given mean confidence (`radii`); everything reported is measured on test images at that radius. KINDS has the
ball and the optimiser of each kind: l1 by APGD, l1.5 and l2 by Auto-Frank-Wolfe, as in the paper.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.attack.ascent import Ascent
from aecompanion.attack.lp_ball import norm
from aecompanion.attack.objective import towards
from aecompanion.data.clusters import Clusters, other_in_cluster
from aecompanion.data.dataset import Dataset
from aecompanion.data.regions import Regions
from aecompanion.evaluate.frechet import features
from aecompanion.evaluate.sparsity import sparsity
from aecompanion.explain.counterfactual import counterfactual, matched_radius, min_norm
from aecompanion.explain.frank_wolfe import auto_frank_wolfe
from aecompanion.networks import checkpoint
from aecompanion.networks.read import predict
from aecompanion.pipeline.rng import derive
from aecompanion.studies.counterfactual_ascents import FACTORS, OWN, last, own_best_rows, sparse_rows, trajectory_rows

KINDS = {"l1": ("APGD", 1.0), "l1.5": ("AFW", 1.5), "l2": ("AFW", 2.0)}
UNTOUCHED = "untouched images"
LARGEST = {"l1": 400.0, "l1.5": 60.0, "l2": 16.0}  # where the search for a radius starts, pixel units


def calibrated(folder: Path, temperatures: dict, label: str, seed: int, *, device: str) -> tuple[nn.Module, float]:
    """A network of `folder` by label and training seed, and its temperature T, read off `temperatures`."""
    name = f"{label}_{seed}"
    return checkpoint.load(folder / f"{name}.safetensors", device=device), temperatures[name]["temperature"]


def aims(dataset: Dataset, indices: Sequence[int], clusters: Clusters) -> torch.Tensor:
    """What the images at `indices` are turned into: another class of their cluster each, N class indices."""
    return torch.tensor(other_in_cluster(dataset.labels[indices].tolist(), clusters))


def object_masks(regions: Regions, indices: np.ndarray) -> np.ndarray | None:
    """The masks of the objects in the images at `indices` (every image has one region), None where no image has any."""
    return regions.masks[np.searchsorted(regions.image, indices)] if len(regions) else None


def largest(kind: str, images: torch.Tensor) -> float:
    """A radius beyond use for images of this size: LARGEST is for 3×32×32 and grows with d^(1/p)."""
    return LARGEST[kind] * (images[0].numel() / 3072) ** (1 / KINDS[kind][1])


def radius(model: nn.Module, images, target, *, kind: str, confidence: float, temperature: float, steps: int) -> float:
    """The radius of one kind at which these (validation) images reach `confidence` on average."""
    method, p = KINDS[kind]
    return matched_radius(
        model,
        images,
        target,
        confidence=confidence,
        largest=largest(kind, images),
        method=method,
        p=p,
        temperature=temperature,
        steps=steps,
    )


def matched(model: nn.Module, images, target, *, kind: str, **options) -> float:
    """The same, `largest` where no radius reaches the confidence (options: of `radius`)."""
    found = radius(model, images, target, kind=kind, **options)
    return found if np.isfinite(found) else largest(kind, images)


def explained(model, images, target, *, kind: str, eps: float, temperature: float, steps: int, keys=None) -> Ascent:
    """The counterfactuals of one kind; their `value` is the confidence in the target."""
    method, p = KINDS[kind]
    options = {"p": p, "steps": steps, "objective": towards(temperature), "keys": keys}
    found = counterfactual(method, model, images, target, eps=eps, **options)
    return Ascent(found.images, found.value.exp(), found.trace.exp())


def measured(
    found: torch.Tensor, images: torch.Tensor, target: torch.Tensor, masks: np.ndarray | None, judge: nn.Module
) -> pd.DataFrame:
    """One row per counterfactual: the columns of `sparsity` and `realism`, the confidence of an independent network in
    the target. Without masks (a folder of images) the columns about the background are NaN.
    """
    known = masks is not None
    shape = (len(images), *images.shape[2:])
    rows = sparsity(found - images, torch.from_numpy(masks) if known else torch.zeros(shape, dtype=torch.bool))
    if not known:
        rows[["background", "outside"]] = np.nan
    return rows.assign(realism=confidence(judge, found, target), clean_realism=confidence(judge, images, target))


def confidence(model: nn.Module, images: torch.Tensor, target: torch.Tensor, *, temperature: float = 1.0) -> np.ndarray:
    """softmax(z/T) at the target class, N."""
    return (predict(model, images) / temperature).softmax(1).gather(1, target[:, None])[:, 0].numpy()


def optimiser_rows(model, images, target, **options) -> pd.DataFrame:
    """One row per method and image: the objective reached (options: of `trajectory_rows`)."""
    return last(trajectory_rows(model, images, target, **options))


def schedule_rows(model, images, target, *, p: float, eps: float, temperature, steps, keys) -> pd.DataFrame:
    """The same for the variants of the step size in FACTORS; `all_schedules` adds those of OWN."""
    parts = []
    for name, schedule in FACTORS.items():
        options = {"eps": eps, "p": p, "steps": steps, "objective": towards(temperature), "keys": keys}
        found = auto_frank_wolfe(model, images, target, schedule=schedule, **options)
        parts.append(pd.DataFrame({"schedule": name, "value": found.value.numpy(), "image": list(keys)}))
    return pd.concat(parts, ignore_index=True).assign(p=p, eps=eps)


def all_schedules(variants: pd.DataFrame, optimisers: pd.DataFrame) -> pd.DataFrame:
    """Rows of `schedule_rows` beside those of `optimiser_rows` that differ from them in the schedule only."""
    own = optimisers[optimisers["method"].isin(OWN) & (optimisers["radius"] == "matched")]
    return pd.concat([own.assign(schedule=own["method"].map(OWN)).drop(columns="method"), variants], ignore_index=True)


def restart_rows(model, images, target, *, p: float, eps: float, temperature, steps, keys, restarts: int):
    """One row per image: the objective of the first start and of the best of all, and how far the counterfactuals of
    different starts lie apart (mean over pairs, l2, as a share of the mean size of the change).

    Raises ValueError for fewer than two restarts.
    """
    if restarts < 2:
        raise ValueError(f"restarts is {restarts}, expected at least 2 to compare")
    options = {"eps": eps, "p": p, "steps": steps, "objective": towards(temperature), "keys": keys}
    runs = [auto_frank_wolfe(model, images, target, seed=start, **options) for start in range(restarts)]
    values = torch.stack([run.value for run in runs])
    sizes = torch.stack([norm(run.images - images, 2) for run in runs]).mean(0)
    pairs = [(i, j) for i in range(restarts) for j in range(i)]
    apart = torch.stack([norm(runs[i].images - runs[j].images, 2) for i, j in pairs]).mean(0)
    columns = {"image": list(keys), "first": values[0].numpy(), "best": values.amax(0).numpy()}
    return pd.DataFrame(columns | {"apart": (apart / sizes).numpy()}).assign(p=p, eps=eps)


def sweep_rows(model, images, target, *, kind: str, radii: Sequence[float], temperature, steps, keys) -> pd.DataFrame:
    """One row per radius and image: the confidence reached. All radii share batches."""
    many, keys = len(radii), list(keys)
    eps = torch.tensor([each for each in radii for _ in keys])
    options = {"kind": kind, "eps": eps, "temperature": temperature, "steps": steps, "keys": keys * many}
    found = explained(model, images.repeat(many, 1, 1, 1), target.repeat(many), **options)
    columns = {"eps": np.repeat(list(radii), len(keys)), "confidence": found.value.numpy(), "image": keys * many}
    return pd.DataFrame(columns).assign(kind=kind)


def least_rows(
    model,
    images,
    target,
    *,
    kind: str,
    levels: Sequence[float],
    temperature,
    steps,
    keys,
    searches=7,
    most=None,
    describe: Callable[[torch.Tensor], pd.DataFrame] = lambda found: pd.DataFrame(),
):
    """One row per confidence and image: the least radius that reaches it, in the kind's own norm, and the change's l1
    and l2 norm.

    Args:
        most: where the halving starts, by default half of `largest`; one multiple of every kind's matched radius gives
            all kinds the same relative precision. describe: further columns from the counterfactuals of all images
            (those of the first confidence first).
    """
    method, p = KINDS[kind]
    many, keys = len(levels), list(keys)
    images, target = images.repeat(many, 1, 1, 1), target.repeat(many)
    options = {"method": method, "p": p, "temperature": temperature, "steps": steps, "keys": keys * many}
    wanted = torch.tensor([level for level in levels for _ in keys])
    limits = {"confidence": wanted, "largest": most or largest(kind, images) / 2, "searches": searches}
    found, radii = min_norm(model, images, target, **limits, **options)
    delta = found.images - images
    columns = {"level": np.repeat(list(levels), len(keys)), "radius": radii.numpy(), "image": keys * many}
    sizes = {"confidence": found.value.numpy(), "l1": norm(delta, 1).numpy(), "l2": norm(delta, 2).numpy()}
    further = describe(found.images)
    further = further[[name for name in further if name not in (*columns, *sizes)]]
    return pd.concat([pd.DataFrame(columns | sizes), further], axis=1).assign(kind=kind)


def feature_rows(judge: nn.Module, images: torch.Tensor) -> np.ndarray:
    """Features of the judge's last stage, N×d."""
    return features(judge, images, layer=judge.cam_layer())


def floor_features(judge: nn.Module, dataset: Dataset, patches: torch.Tensor, count: int, *, draws: int = 10) -> dict:
    """The features of untouched images, by (draw, name, "none", start): `draws` times `count` test images and, once,
    the patches. Their Fréchet distance is what a set of this size has for no other reason than its size.
    """
    test, found = dataset.indices("test"), {}
    for draw in range(draws):
        chosen = np.sort(np.random.default_rng(derive(0, draw)).permutation(test)[:count])
        found[draw, UNTOUCHED, "none", "ID"] = feature_rows(judge, dataset.batch(chosen))
    if len(patches):
        found[0, UNTOUCHED, "none", "OD"] = feature_rows(judge, patches)
    return found


ROWS = {  # the comparisons of `counterfactual_sets`
    "optimisers": trajectory_rows,
    "own best": own_best_rows,
    "l1": sparse_rows,
    "schedules": schedule_rows,
    "restarts": restart_rows,
    "sweep": sweep_rows,
    "least": least_rows,
}
