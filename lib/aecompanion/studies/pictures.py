"""What figures are drawn from: the arrays and facts that a computing notebook leaves to one that only draws.

A folder with `arrays.npz` (uncompressed, values and types as they were, nothing pickled) and `facts.json`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

ARRAYS, FACTS = "arrays.npz", "facts.json"


def save(folder: Path, arrays: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Make `folder` and write both files; facts are what JSON can hold."""
    folder.mkdir(parents=True)
    np.savez(folder / ARRAYS, **{name: values.detach().cpu().numpy() for name, values in arrays.items()})
    (folder / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def load(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `save` wrote. Raises FileNotFoundError for a folder without these files."""
    for name in (ARRAYS, FACTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder / name}: no such file, expected a folder that aecompanion.studies.pictures wrote"
            )
    with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        found = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return found, json.loads((folder / FACTS).read_text())
