"""Which pairs every method explains where effects are known, what it is given, and its scores and cost.

A job is one network of one world and a chunk of pairs, because masks and their variants run on the first pictures only.
Mosaics are taken only as far as no two of them show the same class, and so the same photograph: the item of intervals
is the mosaic, as it is the picture elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.data.worlds import Picture, World
from aecompanion.explain.methods import METHODS
from aecompanion.explain.neighbours import NEIGHBOURS, PartOptions, explain_several, row_of, signed
from aecompanion.studies import truth
from aecompanion.studies.own_values import of_images

DEAR = "mask"  # the family of methods that run on fewer pictures
PIXELS = 24 * 64**2  # explained together: the two dozen pairs of a job at 64 px, one pair at 224 px
VARIANTS = (  # of masks, on the fewest: how RP and MP compare from equal and from own starts
    *("RP (start 0.5)", "MP (start 0.5)", "RP (start 1)", "MP (start 1)"),
    *("RP (published)", "MP (published)"),
)


class Pairs(NamedTuple):
    """Pairs of one network: numbers, pictures, their positions in the world, targets, effects by part (nats), items."""

    numbers: list[int]
    pictures: list[Picture]
    positions: list[int]
    targets: list[int]
    effects: list[np.ndarray]
    items: list[str]

    def select(self, chosen: Sequence[int]) -> "Pairs":
        return Pairs(*([column[i] for i in chosen] for column in self))


def pairs_of(
    rows: pd.DataFrame, world: World, *, pictures: int, targets: int, apart: bool = False, least: float
) -> Pairs:
    """Pairs on the world's first `pictures` pictures, from the effects of one network (rows of `truth.effects`).

    targets: the most per picture; where it has more, another one is left out from picture to picture. apart: of the
    first pictures that show no class of an earlier one, as far as they go, and their first targets before all second
    ones. An item, the unit of intervals, is the picture.
    """
    shown = []
    for position in range(len(world)):
        picture = world.picture(position)
        if len(shown) < pictures and not (apart and shares(picture, [each for _, each in shown])):
            shown.append((position, picture))
    place = {picture.name: (position, picture) for position, picture in shown}
    rows = rows[rows["picture"].isin(place)]
    listed = rows[["pair", "picture", "target"]].drop_duplicates().sort_values("pair")
    effect = dict(zip(listed["pair"], truth.true_effects(rows, least=least), strict=True))
    found = []
    for name, part in listed.groupby("picture", sort=False):
        position, picture = place[name]
        if len(part) > targets:
            part = part.iloc[sorted((position + k) % len(part) for k in range(targets))]
        for turn, (pair, target) in enumerate(zip(part["pair"], part["target"], strict=True)):
            found.append((turn if apart else 0, (int(pair), picture, position, int(target), effect[pair], name)))
    found = [pair for _, pair in sorted(found, key=lambda each: each[0])]
    return Pairs(*map(list, zip(*found, strict=True)))


def shares(picture: Picture, others: Sequence[Picture]) -> bool:
    """Whether a picture shows a class that one of the others shows."""
    return not set(picture.labels).isdisjoint(label for other in others for label in other.labels)


def wanted(first: int, *, dear: int, variants: int, varied: bool) -> list[str]:
    """The methods that explain the pairs of picture number `first`: all but masks everywhere, masks on the first `dear`
    pictures, their variants on the first `variants`, if this network has them.
    """
    names = [name for name, row in (METHODS | NEIGHBOURS).items() if row.family != DEAR or first < dear]
    return [*names, *(VARIANTS if varied and first < variants else ())]


def explained(
    names: Sequence[str], model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: PartOptions
) -> dict[str, torch.Tensor]:
    """The maps of several methods, n×1×H×W, PIXELS at a time: masks of a few pairs at 224 px would take gigabytes."""
    step, parts = max(1, PIXELS // (images.shape[-2] * images.shape[-1])), []
    for i in range(0, len(images), step):
        own = images[i : i + step], target[i : i + step], of_images(options, i, i + step)
        parts.append(explain_several(names, model, *own))
    return {name: torch.cat([part[name] for part in parts]) for name in names}


def scored(
    model: nn.Module,
    pairs: Pairs,
    names: Sequence[str],
    *,
    references: Callable[[torch.Tensor], torch.Tensor],
    seed: int,
    least: float,
    **options,
) -> pd.DataFrame:
    """The rows of `truth.scored` for the methods and the controls, with item, forward and backward (passes per pair).

    references: from images to what masks and perturbations put in the place of pixels. options: of `PartOptions`.
    """
    images, target = truth.images_of(pairs.pictures), torch.tensor(pairs.targets)
    parts = [torch.from_numpy(picture.masks) for picture in pairs.pictures]
    options |= {"references": references(images), "parts": parts, "seed": seed, "keys": pairs.numbers}
    maps = truth.controls(pairs.pictures, pairs.effects, seed=seed, keys=pairs.numbers)
    passes, given = dict.fromkeys(maps, (0, 0)), PartOptions(**options)
    maps |= explained(names, model, images, target, given)
    passes |= {name: row_of(name, given).passes(given) for name in names}
    meaning = {*truth.SIGNED, *signed}
    rows = truth.scored(maps, pairs.pictures, pairs.targets, pairs.effects, signed=meaning, least=least)
    rows["item"] = np.array(pairs.items)[rows["pair"]]
    rows["pair"] = np.array(pairs.numbers)[rows["pair"]]
    rows[["forward", "backward"]] = [passes[method] for method in rows["method"]]
    return rows
