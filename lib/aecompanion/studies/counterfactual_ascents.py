"""How optimisers get to their counterfactuals: the best objective so far after every step, and each family of
Frank-Wolfe rules with the schedule that suits it on other images.

FAMILIES has what `own_best_rows` chooses from: Auto-Frank-Wolfe with both rules and both reductions of the step, and
rules that adapt nothing, M/(k+2) and M/(2+√k). A comparison of two families is fair only if neither runs with a
schedule that was chosen for the other.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from aecompanion.attack.ascent import Ascent
from aecompanion.attack.objective import towards
from aecompanion.evaluate.sparsity import sparsity
from aecompanion.explain.counterfactual import counterfactual
from aecompanion.explain.frank_wolfe import CLASSIC, PUBLISHED, RELEASED, Schedule, auto_frank_wolfe
from aecompanion.explain.frank_wolfe_l1q import frank_wolfe_l1q

FACTORS = {  # variants of the step size: rule and reduction; two more are optimisers' own
    "root, .5": Schedule("root", 2.0, factor=0.5),
    "constant, .75": Schedule("constant", 0.75, factor=0.75),
}
OWN = {"AFW": "root, .75", "AFW (released)": "constant, .5"}
FAMILIES = {
    "AFW": {"root, .75": PUBLISHED, "constant, .5": RELEASED} | FACTORS,
    "FW": {
        "2/(k+2)": CLASSIC,
        "1.5/(k+2)": Schedule("harmonic", 1.5, adaptive=False),
        "1/(k+2)": Schedule("harmonic", 1.0, adaptive=False),
        "2/(2+√k)": Schedule("root", 2.0, adaptive=False),
    },
}
SPARSE = ("AFW", "AFW (released)", "FW", "APGD")  # in the l1-ball
SHARES = (64, 16)  # of d: the q of FW-L1-q


def trajectory_rows(model, images, target, *, p: float, eps: float, methods: Sequence[str], temperature, steps, keys):
    """One row per method, image and step (0: the start): the best objective so far (log confidence, nats)."""
    parts = []
    for method in methods:
        options = {"eps": eps, "p": p, "steps": steps, "objective": towards(temperature), "keys": keys}
        parts.append(by_step(counterfactual(method, model, images, target, **options), keys).assign(method=method))
    return pd.concat(parts, ignore_index=True)[["method", "step", "value", "image"]].assign(p=p, eps=eps)


def sparse_rows(model, images, target, *, eps: float, temperature, steps, keys) -> pd.DataFrame:
    """One row per method and image in the l1-ball, p = 1: the objective after the same number of steps, how many values
    changed (share), how unequally (Gini index over pixels) and the largest change. Methods: SPARSE, and
    `frank_wolfe_l1q` with the q of SHARES.
    """
    options = {"eps": eps, "steps": steps, "objective": towards(temperature), "keys": keys}
    found = {method: counterfactual(method, model, images, target, p=1.0, **options) for method in SPARSE}
    for divisor in SHARES:
        q = max(images[0].numel() // divisor, 1)
        found[f"FW-L1-q, q = d/{divisor}"] = frank_wolfe_l1q(model, images, target, q=q, **options)
    parts = []
    for method, ascent in found.items():
        delta = ascent.images - images
        measures = sparsity(delta, torch.zeros(len(images), *images.shape[2:], dtype=torch.bool))
        own = {"value": ascent.value.numpy(), "values": (delta.flatten(1) != 0).double().mean(1).numpy()}
        parts.append(measures[["changed", "gini", "largest"]].assign(**own, image=list(keys), method=method))
    return pd.concat(parts, ignore_index=True).assign(p=1.0, eps=eps)


def by_step(found: Ascent, keys: Sequence[int]) -> pd.DataFrame:
    """The trace of an ascent as rows: step, image, value."""
    steps, count = found.trace.shape
    columns = {"step": np.repeat(np.arange(steps), count), "image": list(keys) * steps}
    return pd.DataFrame(columns | {"value": found.trace.flatten().numpy()})


def last(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last step, without the column `step`."""
    return rows[rows["step"] == rows["step"].max()].drop(columns="step").reset_index(drop=True)


def own_best_rows(model, images, target, *, p: float, eps: float, chosen_on, temperature, steps, keys) -> pd.DataFrame:
    """`trajectory_rows` of both families, each with the schedule of the highest mean objective on other images.

    `chosen_on`: those images with their targets and keys. The column `schedule` has the name of the one chosen, and
    methods are called "AFW, own best" and "FW, own best".
    """
    parts = []
    options = {"eps": eps, "p": p, "steps": steps, "objective": towards(temperature)}
    others, goals, names = chosen_on
    for family, schedules in FAMILIES.items():
        means = {
            name: auto_frank_wolfe(model, others, goals, schedule=each, keys=names, **options).value.mean().item()
            for name, each in schedules.items()
        }
        best = max(means, key=means.get)
        found = auto_frank_wolfe(model, images, target, schedule=schedules[best], keys=keys, **options)
        parts.append(by_step(found, keys).assign(method=f"{family}, own best", schedule=best))
    return pd.concat(parts, ignore_index=True).assign(p=p, eps=eps)
