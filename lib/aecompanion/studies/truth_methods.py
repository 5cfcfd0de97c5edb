"""Which pairs every method explains where effects are known, what it is given, and its scores and cost.

A job is one network of one world and a chunk of pairs, because masks and their variants run on the first pictures only.
In mosaics each pair has a photograph of its own as target, and a mosaic of its own, since mosaics share photographs.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.data.worlds import Picture, World
from aecompanion.explain.methods import METHODS, Method
from aecompanion.explain.neighbours import NEIGHBOURS, PartOptions, row_of, signed
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
    rows: pd.DataFrame, world: World, *, pictures: int, targets: int, single: bool = False, least: float
) -> Pairs:
    """Pairs on the world's first `pictures` pictures, from the effects of one network (rows of `truth.effects`).

    targets: the most per picture; where it has more, another one is left out from picture to picture. single: one pair
    per picture, with a target that no earlier pair has; `pictures` of these, as far as they go. An item, the unit of
    intervals, is the picture, or the target if `single`.
    """
    shown = [world.picture(position) for position in range(len(world) if single else min(pictures, len(world)))]
    place = {picture.name: position for position, picture in enumerate(shown)}
    rows = rows[rows["picture"].isin(place)]
    listed = rows[["pair", "picture", "target"]].drop_duplicates().sort_values("pair")
    effect = dict(zip(listed["pair"], truth.true_effects(rows, least=least), strict=True))
    found, used = [], set()
    for name, part in listed.groupby("picture", sort=False):
        position, free = place[name], part
        if single:
            free = part[~part["target"].isin(used)][: 1 if len(found) < pictures else 0]
        elif len(part) > targets:
            free = part.iloc[sorted((position + k) % len(part) for k in range(targets))]
        for pair, target in zip(free["pair"], free["target"], strict=True):
            used.add(target)
            item = f"class {target}" if single else name
            found.append((int(pair), shown[position], position, int(target), effect[pair], item))
    return Pairs(*map(list, zip(*found, strict=True)))


def wanted(first: int, *, dear: int, variants: int, varied: bool) -> list[str]:
    """The methods that explain the pairs of picture number `first`: all but masks everywhere, masks on the first `dear`
    pictures, their variants on the first `variants`, if this network has them.
    """
    names = [name for name, row in (METHODS | NEIGHBOURS).items() if row.family != DEAR or first < dear]
    return [*names, *(VARIANTS if varied and first < variants else ())]


def explained(
    row: Method, model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: PartOptions
) -> torch.Tensor:
    """The maps of one method, n×1×H×W, PIXELS at a time: IG shows a network two dozen points of every pair in one pass,
    which costs EfficientNet-Lite0 at 224 px gigabytes for a few pairs.
    """
    step, parts = max(1, PIXELS // (images.shape[-2] * images.shape[-1])), []
    for i in range(0, len(images), step):
        own = images[i : i + step], target[i : i + step], of_images(options, i, i + step)
        parts.append(row.explain(model, *own).maps.detach())
    return torch.cat(parts)


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
    for name in names:
        maps[name] = explained(row_of(name, given), model, images, target, given)
        passes[name] = row_of(name, given).passes(given)
    meaning = {*truth.SIGNED, *signed}
    rows = truth.scored(maps, pairs.pictures, pairs.targets, pairs.effects, signed=meaning, least=least)
    rows["item"] = np.array(pairs.items)[rows["pair"]]
    rows["pair"] = np.array(pairs.numbers)[rows["pair"]]
    rows[["forward", "backward"]] = [passes[method] for method in rows["method"]]
    return rows
