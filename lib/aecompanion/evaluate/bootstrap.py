"""Bootstrap intervals over images and training seeds.

The same test images are shown to every network, so the two sources of variation are crossed: a resample draws seeds
and images independently, with replacement, and evaluates the statistic on the resulting block. Intervals are
scipy's bias-corrected and accelerated ones (BCa), percentile where BCa is undefined.
"""

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Interval:
    """A point estimate with its confidence interval."""

    value: float
    low: float
    high: float


def interval(
    statistic: Callable[[np.ndarray], float],
    values: np.ndarray,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """`statistic(values)` with an interval; `values` has the axes seeds × images × anything.

    A statistic that does not vary over the resamples gets an interval of width zero; resamples on which it is undefined
    (NaN) are left out. An axis of length one is held fixed (one training seed says nothing about the spread over
    seeds). Raises ValueError for an empty array.
    """
    if values.ndim < 2 or 0 in values.shape:
        raise ValueError(f"values have shape {values.shape}, expected non-empty seeds × images × ...")
    point = float(statistic(values))
    axes = [np.arange(size) for size in values.shape[:2]]
    varying = [axis for axis in axes if len(axis) > 1]
    if not varying:
        return Interval(point, point, point)

    def on_block(*drawn: np.ndarray) -> float:
        remaining = iter(drawn)
        rows, columns = (next(remaining) if len(axis) > 1 else axis for axis in axes)
        return statistic(values[np.ix_(rows.astype(int), columns.astype(int))])

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns about degenerate distributions, which are handled below
        result = stats.bootstrap(
            varying,
            on_block,
            n_resamples=resamples,
            confidence_level=level,
            vectorized=False,
            rng=np.random.default_rng(seed),
        )
    low, high = result.confidence_interval
    defined = result.bootstrap_distribution[np.isfinite(result.bootstrap_distribution)]
    if not np.isfinite([low, high]).all():
        low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]) if defined.size else (point, point)
    return Interval(point, float(low), float(high))
