"""From tidy rows to the arrays that claims are tested on: seeds × images × conditions."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from aecompanion.evaluate.intervals import interval

Statistic = Callable[[np.ndarray], float]
Condition = dict[str, str | int]


def cube(rows: pd.DataFrame, value: str, conditions: Iterable[Condition], *, item: str = "image") -> np.ndarray:
    """seeds × images × conditions of the column `value`; a condition fixes columns, e.g. {"attack": "pgd"}. `item` is
    the column that tells images (or cases) apart.

    Raises ValueError if a condition does not hold one row per seed and image.
    """
    layers = []
    for condition in conditions:
        chosen = rows[np.logical_and.reduce([rows[column] == each for column, each in condition.items()])]
        if chosen.empty or chosen.duplicated(["seed", item]).any():
            raise ValueError(f"{condition}: {len(chosen)} rows, expected one per seed and {item}")
        layers.append(chosen.pivot(index="seed", columns=item, values=value))
        same = layers[0].index.equals(layers[-1].index) and layers[0].columns.equals(layers[-1].columns)
        if len(chosen) != layers[-1].size or not same:
            raise ValueError(f"{condition}: {len(chosen)} rows, expected one per seed and {item}, the same in all")
    return np.stack([layer.to_numpy(float) for layer in layers], axis=-1)


def error_bars(values: ArrayLike, low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """2×n distances from n values down and up to the ends of their intervals, 0 where an end lies beyond the value."""
    values, low, high = (np.asarray(each, float) for each in (values, low, high))
    return np.maximum(np.stack([values - low, high - values]), 0)


def untestable(why: str = "") -> tuple[np.ndarray, Statistic]:
    """What an estimator returns where the data do not have what it needs; `why`: the reason, by default the claim's."""

    def statistic(values: np.ndarray) -> float:
        return np.nan

    statistic.why = why  # type: ignore[attr-defined]
    return np.full((1, 1), np.nan), statistic


def mean_row(values: np.ndarray, name: str, statistic: Statistic = np.mean, **options) -> dict[str, float]:
    """{name, name_low, name_high}: a statistic (the mean) of seeds × images × ... with its interval."""
    found = interval(statistic, values, **options)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
