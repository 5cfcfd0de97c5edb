"""The maps of chosen pairs by every method: made in chunks, handed on in files, scored in the same chunks.

A folder of maps has, for every network KEY = (data, family, training seed), an uncompressed `DATA_FAMILY_SEED.npz`:

    map:METHOD     n×1×H×W, the attribution
    stuck:METHOD   n booleans, where the method makes masks m = 1 - map: those that never left their start
    strength       of the blurred reference, which the games must share with the masks

and, for every (data, family), the pairs of its networks, `DATA_FAMILY_pairs.npz` (see `data.regions`). Some methods
explain the first pairs only, so n may differ between methods. `settings.json` has the settings that all masks share.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.data.regions import Regions
from aecompanion.explain.methods import Explained
from aecompanion.studies.masks import score, unmasked

Key = tuple[str, str, int]
PAIRS, SETTINGS = "pairs", "settings.json"
FAMILIES = ("vgg", "googlenet", "resnet")  # the order in which results are shown
SHARED_AREA = 0.1  # of the image that is removed where no method makes masks
FIELDS = ("maps", "mask", "stuck")  # of Explained


def joined(parts: Sequence[Mapping[str, Explained]]) -> dict[str, Explained]:
    """The chunks of one network as one: every method of the first chunk, over all chunks that have it."""
    return {
        name: Explained(*(together([getattr(part[name], field) for part in parts if name in part]) for field in FIELDS))
        for name in parts[0]
    }


def together(values: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    return None if values[0] is None else torch.cat(values)


def at(values: torch.Tensor | None, positions: np.ndarray) -> torch.Tensor | None:
    return None if values is None else values[positions]


def select(found: Mapping[str, Explained], positions: np.ndarray) -> dict[str, Explained]:
    """The pairs at `positions` (ascending), of the methods that explain all of them."""
    return {
        name: Explained(*(at(getattr(each, field), positions) for field in FIELDS))
        for name, each in found.items()
        if positions[-1] < len(each.maps)
    }


def save(
    folder: Path,
    found: Mapping[Key, Mapping[str, Explained]],
    pairs: Mapping[tuple[str, str], Regions],
    *,
    strength: float,
    settings: Mapping[str, float],
) -> None:
    """Make `folder` and write the files described above."""
    folder.mkdir()
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")
    for (data, family, seed), methods in found.items():
        arrays = {f"map:{name}": each.maps.numpy() for name, each in methods.items()}
        arrays |= {f"stuck:{name}": each.stuck.numpy() for name, each in methods.items() if each.mask is not None}
        arrays["strength"] = np.array(strength)
        np.savez(folder / f"{data}_{family}_{seed}.npz", **arrays)
    for (data, family), part in pairs.items():
        part.save(folder / f"{data}_{family}_{PAIRS}.npz")


def shared_settings(folder: Path) -> dict[str, float]:
    """The settings that all masks of `folder` share, by name."""
    return json.loads((folder / SETTINGS).read_text())


def keys(folder: Path, data: Sequence[str]) -> list[Key]:
    """The networks that `folder` has maps of, in the order of `data`, of the families and of the training seeds."""
    names = [file.stem.split("_") for file in folder.glob("*.npz")]
    found = [(name, family, int(seed)) for name, family, seed in names if seed != PAIRS]
    order = {family: place for place, family in enumerate(FAMILIES)}
    return sorted(found, key=lambda key: (list(data).index(key[0]), order.get(key[1], len(order)), key[2]))


def load(folder: Path, key: Key) -> tuple[Regions, dict[str, Explained], float]:
    """The pairs of one network, their maps by method, and the strength of the reference.

    Raises FileNotFoundError where the folder has no maps of this network.
    """
    data, family, seed = key
    file = folder / f"{data}_{family}_{seed}.npz"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file, expected the maps of {family} {seed} on {data}")
    with np.load(file, allow_pickle=False) as arrays:
        read = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name != "strength"}
        strength = float(arrays["strength"])
    found = {}
    for name, maps in read.items():
        kind, _, method = name.partition(":")
        if kind == "map":
            stuck = read.get(f"stuck:{method}")
            found[method] = Explained(maps, None if stuck is None else 1 - maps, stuck)
    return Regions.load(folder / f"{data}_{family}_{PAIRS}.npz"), found, strength


def scored(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    references: torch.Tensor,
    inside: torch.Tensor,
    found: Mapping[str, Explained],
    *,
    keys: Sequence[int],
    seed: int,
    facts: Mapping[str, object],
) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    """The rows of `studies.masks.score` for every method of one chunk, and its deletion curves by method; methods
    without a mask remove as many pixels as RP's mask does, or SHARED_AREA where there is none. Added columns: the
    `facts`, pair (the `keys`), method.
    """
    areas = found["RP"].maps.flatten(1).mean(1) if "RP" in found else torch.full((len(images),), SHARED_AREA)
    rows, curves, known = [], {}, unmasked(model, images, references)
    for name, each in found.items():
        given = (model, images, target, references, inside, each)
        one, curves[name] = score(*given, areas=areas, keys=keys, seed=seed, known=known)
        rows.append(one.assign(**facts, pair=list(keys), method=name))
    return pd.concat(rows), curves
