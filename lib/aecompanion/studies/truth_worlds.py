"""Worlds beside the networks that are asked about them: the effect of every part, and how far to trust its mean.

    e(part, T) = mean over fillings of  ℓ_T(x) - ℓ_T(x without part),     ℓ = log p - log(1 - p)   (nats)

`effects` of `studies.truth` computes one network's; here are the networks of each world, the table over all of them,
and its summaries. Mosaics of a few photographs share them. `by_photograph` averages, per network, all effects of a
photograph on its own class, so that the photograph is the unit; what the photographs beside it and in its place add
stays out of that. `photograph_errors` therefore has a second standard error beside it, which leaves out every mosaic
that shows the photograph in any cell (a delete-one jackknife), and the naive one, of mosaics as if they had nothing in
common. What is measured on mosaics elsewhere keeps to those that share no photograph (`data.mosaics`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import nn

from aecompanion.data.mosaics import Mosaics
from aecompanion.data.worlds import NONE, World
from aecompanion.explain.portions import per_pass
from aecompanion.networks import checkpoint, pretrained
from aecompanion.networks.borrow import device_of
from aecompanion.pipeline.parallel import over
from aecompanion.studies.truth import LEAST, effects, images_of, pairs

REAL = "EfficientNet-Lite"  # family of the networks of mosaics
KEYS = ["world", "family", "seed"]


class Asked(NamedTuple):
    """A network that is asked about a world: how to load it, its family and its training seed."""

    world: str
    family: str
    seed: int
    load: Callable[[], nn.Module]


def trained(world: str, folder: Path, *, seeds: Iterable[int], families=None, device: str = "cpu") -> list[Asked]:
    """The networks of a folder that have one of the training seeds and (None: any) one of the families.

    Raises ValueError where there is none.
    """
    found = [
        Asked(world, family, seed, lambda file=file: checkpoint.load(file, device=device))
        for (family, seed), file in checkpoint.catalogue(folder).items()
        if seed in set(seeds) and (families is None or family in families)
    ]
    if not found:
        wanted = "" if families is None else f" among {', '.join(families)}"
        raise ValueError(f"{folder.name} has no network with a training seed of {list(seeds)}{wanted}")
    return found


def published(world: World, sources: Sequence[str], *, device: str = "cpu") -> list[Asked]:
    """The networks with published weights that mosaics are shown to, e.g. "pip/efficientnet_lite0". They stand in the
    place of training seeds: network i of `sources` has the seed i, and all are one family.
    """
    return [
        Asked(
            world.name,
            REAL if all("efficientnet_lite" in each for each in sources) else "published",
            number,
            lambda source=source: pretrained.ready(source, size=world.size, device=device),
        )
        for number, source in enumerate(sources)
    ]


def all_effects(
    worlds: Mapping[str, World],
    asked: Sequence[Asked],
    *,
    also: Mapping[str, int],
    workers: int = 2,
    progress: Callable[[Iterable], Iterable] = iter,
) -> pd.DataFrame:
    """The rows of `studies.truth.effects` of every network on all pictures of its world, with world, family and seed.

    Args:
        also: by world, the class whose effect is asked for, too, where a picture has a part that shows none.
    """
    shown = {
        name: pairs([world.picture(index) for index in range(len(world))], also=also.get(name))
        for name, world in worlds.items()
    }

    def one(each: Asked) -> pd.DataFrame:
        pictures, targets = shown[each.world]
        model = each.load()
        batch = per_pass(images_of(pictures[:1]), device_of(model))
        rows = effects(model, pictures, targets, multi_label=worlds[each.world].multi_label, batch=batch)
        return rows.assign(**{key: getattr(each, key) for key in KEYS})

    rows = pd.concat(progress(over(one, asked, workers=workers)), ignore_index=True)
    return rows[[*KEYS, *(column for column in rows if column not in KEYS)]]


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per network, pair and part: the mean effect over fillings, and their standard deviation (spread)."""
    keys = [*KEYS, "pair", "picture", "part", "part_name", "part_label", "target"]
    found = rows.groupby(keys, sort=False)["effect"].agg(effect="mean", spread="std")
    return found.reset_index()


def summary(rows: pd.DataFrame, *, also: Mapping[str, int], least: float = LEAST) -> pd.DataFrame:
    """One row per world and family, means over networks, pictures and parts; `also` as in `all_effects`.

    Columns: networks, pictures; parts per picture; own: effect of a part on its own class, other: on another class that
    the picture shows, none: of a part that shows no class, on the class of `also` (nats); largest: share of pairs in
    which the class's own part has the largest effect of all; moving: share of parts with |effect| >= least; fillings:
    standard deviation over fillings (NaN for one), seeds: over networks of the family (NaN for one).
    """
    effect = means(rows)
    idle, planted = effect["part_label"] == NONE, effect["target"] == effect["world"].map(also)
    is_own = effect["part_label"] == effect["target"]
    effect = effect.assign(kind=np.select([idle & planted, idle, is_own], ["none", "aside", "own"], "other"))
    table = []
    for (world, family), part in effect.groupby(["world", "family"], sort=False):
        by_kind = part.groupby("kind")["effect"].mean()
        shown = part[part.groupby([*KEYS, "pair"])["kind"].transform(lambda each: (each == "own").any())]
        first = shown.loc[shown.groupby([*KEYS, "pair"])["effect"].idxmax()]
        over_seeds = part.groupby(["pair", "part"])["effect"].std()
        table.append(
            {"world": world, "family": family, "networks": part["seed"].nunique()}
            | {"pictures": part["picture"].nunique(), "parts": part.groupby("picture")["part"].nunique().mean()}
            | {kind: by_kind.get(kind, np.nan) for kind in ("own", "other", "none")}
            | {"largest": (first["kind"] == "own").mean(), "moving": (part["effect"].abs() >= least).mean()}
            | {"fillings": part["spread"].mean(), "seeds": over_seeds.mean()}
        )
    return pd.DataFrame(table)


def marked(rows: pd.DataFrame, target: int) -> pd.DataFrame:
    """What parts that show no class do to the class `target`: one row per network and picture, and whether the picture
    shows that class (shown).
    """
    shows = set(rows.loc[rows["part_label"] == target, "picture"])
    found = means(rows[(rows["part_label"] == NONE) & (rows["target"] == target)])
    return found.assign(shown=found["picture"].isin(shows))


def own_effects(rows: pd.DataFrame, world: Mosaics) -> pd.DataFrame:
    """Of a mosaic's cells, the mean effect on their own class: one row per network, picture and cell, with the position
    of the photograph in it.
    """
    members = {world.picture(index).name: world.members(index) for index in range(len(world))}
    found = means(rows[(rows["world"] == world.name) & (rows["part_label"] == rows["target"])])
    where = [members[picture][part] for picture, part in zip(found["picture"], found["part"], strict=True)]
    return found.assign(photograph=where)


def by_photograph(own: pd.DataFrame) -> np.ndarray:
    """The rows of `own_effects` as networks × photographs: means over all cells that a photograph lies in."""
    return own.pivot_table(index="seed", columns="photograph", values="effect", aggfunc="mean").to_numpy()


def photograph_errors(own: pd.DataFrame, world: Mosaics) -> dict[str, float]:
    """The mean effect of a photograph on its own class, averaged over networks, with three standard errors.

    mean; cells: as if every cell of every mosaic were new; photographs: of the means of `by_photograph`; everywhere:
    the jackknife that leaves out all mosaics in which a photograph lies. The last is too wide rather than too narrow:
    a mosaic is left out with each of its grid² photographs, so that what photographs do not share (the cells around,
    the fillings) counts up to grid² times in the variance.
    """
    cells = own.groupby(["picture", "part", "photograph"], sort=False)["effect"].mean().reset_index()
    of_photograph = by_photograph(own).mean(0)
    lies = {photograph: set(part["picture"]) for photograph, part in cells.groupby("photograph")}
    left = [cells.loc[~cells["picture"].isin(pictures), "effect"].mean() for pictures in lies.values()]
    left = np.array([each for each in left if np.isfinite(each)])
    count = len(left)
    return {
        "mean": float(of_photograph.mean()),
        "cells": float(cells["effect"].std() / np.sqrt(len(cells))),
        "photographs": float(of_photograph.std(ddof=1) / np.sqrt(len(of_photograph))),
        "everywhere": float(np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum())) if count else np.nan,
    }
