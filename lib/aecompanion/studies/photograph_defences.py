"""Paper 4 on networks with published weights: what is right behind each transformation, with and without an attacker.

    clean          f(T(x))
    transfer       f(T(x')),  x' crafted on another network
    own gradient   f(T(x')),  x' crafted on f itself, as if there were no T (grey-box)
    worst case     no image of the ball that the portfolio of `studies.worst_defences` shows to f∘T is named wrong

The worst case is a union: an image counts as broken where any of the other rows breaks it, too.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.attack.worst_case import worst_case
from aecompanion.defend.defences import Transform, transforms
from aecompanion.defend.levels import Levels
from aecompanion.evaluate.defence import outcomes
from aecompanion.studies.worst_defences import Case, judge, portfolio

CLEAN, TRANSFER, OWN, WORST = CONDITIONS = ("clean", "transfer", "own gradient", "worst case")
HYBRID = ("none", "halftone")  # what the network that learned the dots without labels is put behind


def transformations() -> dict[str, Transform]:
    """By name; each halftones, rounds or smooths channel by channel."""
    named = transforms()
    named["none"] = named.pop("grey")
    order = ("none", "jpeg", "bits", "tv", "median", "halftone")
    return {name: named[name] for name in order} | {"4 levels": Levels(4), "4 levels, blur": Levels(4, sigma=1.0)}


def judged(
    network: nn.Module, transform: Transform, sets: Mapping[str, torch.Tensor], labels: torch.Tensor
) -> pd.DataFrame:
    """A row per condition and image, of sets by condition: `outcomes` with condition and image."""
    parts = [
        outcomes(network, transform(images), labels).assign(condition=condition, image=range(len(labels)))
        for condition, images in sets.items()
    ]
    return pd.concat(parts, ignore_index=True)


def worst(
    network: nn.Module,
    other: nn.Module,
    transform: Transform,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    keys: np.ndarray,
    eps: float,
    steps: int,
    queries: int,
    seed: int,
) -> pd.DataFrame:
    """Rows of the worst case at one radius, images named by `keys`: label, top1, by (the attack that broke it first).

    Top-1 alone is aimed at, so there is no top5: the image that leaves it right may well be broken in top-5, too.

    other: the network that transferred attacks of the portfolio climb. steps, queries: of `worst_defences.portfolio`.
    """
    case = Case(network, other, transform)
    options = {"eps": [eps], "attacks": portfolio(case, steps=steps, queries=queries), "tops": (1,), "seed": seed}
    found = worst_case(judge(case), images, labels, **options)
    left = outcomes(network, transform(found.images[0, 0]), labels)
    return left[["label", "prediction", "top1"]].assign(by=found.by[0][0], condition=WORST, image=keys)


def united(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with every worst case lowered to what the other conditions leave of the same image."""
    least = table.groupby(["network", "transform", "image"])["top1"].transform("min")
    return table.assign(top1=table["top1"].where(table["condition"] != WORST, least).astype(bool))
