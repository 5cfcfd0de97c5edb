"""The settings of the mask methods: chosen by one rule for each method, written to a file, read by whoever makes masks.

The rule, for every method by itself: take the lowest mean deletion AUC over the validation pairs of all settings tried;
settings whose difference from it on the same pairs lies within one standard error of that difference count as equal,
and of these the one that replaces the smallest share of the images is taken. (Breiman et al., Classification and
Regression Trees, 1984, choose the smallest tree in this way.) So no method pays for another, and a difference that
as many pairs cannot show does not decide.

The file is JSON: {"pairs": n, "methods": {"MP": {"area": ..., "variation": ...}, "EP": {"areas": [...]}, "RP": ...}}.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

NEEDED = {"MP": ("area", "variation"), "EP": ("areas",), "RP": ("area", "variation")}


def choose(rows: pd.DataFrame) -> dict[str, int]:
    """The setting of every method by the rule above.

    rows: one per method, setting (a number) and pair, with deletion and area (the share replaced). Raises ValueError if
    a setting lacks a pair that another setting of its method has.
    """
    chosen = {}
    for method, part in rows.groupby("method", sort=False):
        table = part.pivot(index="pair", columns="setting", values="deletion")
        if table.isna().any(axis=None):
            raise ValueError(f"{method}: not every setting was tried on every pair, expected the same pairs for all")
        best = table.mean().idxmin()
        away = table.sub(table[best], axis=0)
        error = away.std() / np.sqrt(len(table)) if len(table) > 1 else 0 * away.mean()
        equal = away.mean()[away.mean() <= error].index
        areas = part.groupby("setting")["area"].mean()
        chosen[method] = int(areas[equal].idxmin())
    return chosen


def write(path: Path, methods: Mapping[str, Mapping], *, pairs: int) -> None:
    """Write the file; `methods` as `read` returns them. Raises ValueError as `read` does."""
    path.write_text(json.dumps({"pairs": pairs, "methods": checked(methods, path)}, indent=1) + "\n")


def read(path: Path) -> dict[str, dict]:
    """The settings by method, keyword arguments of `explain.methods.rescaled`.

    Raises ValueError, with the file's name, for what is no such file: not JSON, a method or number missing or unknown,
    a weight that is negative or not finite, an area outside (0, 1).
    """
    try:
        methods = json.loads(path.read_text())["methods"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no file of tuned settings ({error!r}), expected what mask_tuning writes") from error
    return checked(methods, path)


def checked(methods: Mapping[str, Mapping], path: Path) -> dict[str, dict]:
    """`methods` if they are complete and possible, else a ValueError."""
    names = sorted(methods) if isinstance(methods, Mapping) else methods
    if names != sorted(NEEDED):
        raise ValueError(f"{path} has settings of {names}, expected those of {', '.join(NEEDED)}")
    for name, needed in NEEDED.items():
        found = methods[name]
        if not isinstance(found, Mapping) or sorted(found) != sorted(needed):
            raise ValueError(f"{path}: the settings of {name} are {found}, expected {' and '.join(needed)}")
        for key, value in found.items():
            if not (shares(value) if key == "areas" else number(value) and value >= 0):
                wanted = "shares inside (0, 1)" if key == "areas" else "a finite number from 0"
                raise ValueError(f"{path}: {key} of {name} is {value!r}, expected {wanted}")
    return {name: dict(methods[name]) for name in NEEDED}


def number(value: object) -> bool:
    """Whether a value is a finite number (and no boolean)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def shares(values: object) -> bool:
    """Whether these are one or more numbers inside (0, 1)."""
    return isinstance(values, list | tuple) and bool(values) and all(number(each) and 0 < each < 1 for each in values)
