"""Does a metric recover an order that is known? Kendall's τ-b, and the statistics of blocks that intervals are made of.

    τ = Σ_{i<j} sign(a_i - a_j) sign(b_i - b_j) / √( #{a_i ≠ a_j} · #{b_i ≠ b_j} )

Blocks are seeds × pictures × methods × (metric, true score), larger = better in both. In every resample both orders are
found anew, so an order of the truth that hangs on a few pictures widens the interval. Against `scipy.stats.kendalltau`
it is the same number without a p-value, which an interval of thousands of resamples would pay for.
"""

import numpy as np

from aecompanion.evaluate.intervals import bounded


def tau(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's τ-b of n pairs of numbers; pairs with a NaN are left out. 0 where a is constant, NaN where b is, or
    where fewer than two pairs are left.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    both = ~(np.isnan(a) | np.isnan(b))
    signs = [np.sign(each[both, None] - each[None, both]) for each in (a, b)]
    spread = [np.abs(each).sum() for each in signs]
    if not spread[1]:
        return np.nan
    return float((signs[0] * signs[1]).sum() / np.sqrt(spread[0] * spread[1])) if spread[0] else 0.0


@bounded(-1, 1)
def order_of_methods(values: np.ndarray) -> float:
    """τ of the methods' mean metric and mean true score; values: seeds × pictures × methods × (metric, score).

    As the statistic of an interval it finds both orders anew in every resample.
    """
    means = mean_of_known(values)
    return tau(means[:, 0], means[:, 1])


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over seeds and pictures without NaN, NaN where nothing is known."""
    known = ~np.isnan(values)
    count = known.sum((0, 1))
    return np.where(known, values, 0).sum((0, 1)) / np.where(count > 0, count, np.nan)


@bounded(-1, 1)
def other_half(values: np.ndarray) -> float:
    """τ of the methods' mean true score on every second picture with that on the others; values as `order_of_methods`.

    Only its spread is estimated with resamples, where a picture may come into both halves.
    """
    return tau(*(mean_of_known(values[:, start::2, :, 1]) for start in (0, 1)))


@bounded(-1, 1)
def mean_tau(values: np.ndarray) -> float:
    """Mean of the τ of single pictures, NaN left out."""
    known = ~np.isnan(values)
    return float(values[known].mean()) if known.any() else np.nan
