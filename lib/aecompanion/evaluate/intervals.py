"""95 % intervals over training seeds and images that cover 95 times in 100, with three seeds as with five.

The same test images are shown to every network, so seeds and images are crossed. With θ the statistic of a block of
S seeds × I images, three parts of its variance are estimated:

    V_s = (S-1)/S Σ_s (θ_{-s} - mean θ_{-s})²        seeds: the jackknife, each seed left out once
    V_i = I/(I-1) Var_b θ_b                          images: the bootstrap, images drawn with replacement
    V_x = I/(I-1) Σ_s Var_b (P_{s,b} - mean_s P_{s,b}) / (S (S-1)),  P_{s,b} = S θ_b - (S-1) θ_{b,-s}
                                                     seeds × images, which V_s and V_i both hold

so Var θ = V_i + max(V_s - V_x, 0). A few seeds leave V_s itself uncertain: the quantile is Student's t with S-1 degrees
of freedom for the seeds and I-1 for the images, averaged with the two parts of the variance as weights (Cochran and
Cox 1950; Satterthwaite's degrees of freedom cover .92 to .93 with three seeds that differ, `docs/intervals.md`). Where
nothing but images varies (one seed), V_s and V_x are zero; the other way round for one image.

- The least of several quantities (`least`, `largest`): it exceeds a bound only if all do, so its lower end is the least
  of the lower ends (intersection-union test); its upper end is the least of the upper ends at 1 - α/2K instead of
  1 - α/2 for K quantities (Bonferroni), since the smallest of K estimates is small by selection.
- Bounded statistics (`bounded`; means of zeros and ones): on the logit scale, by the delta method.
"""

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
from scipy import optimize, stats

ROUNDING = 1e-13  # a relative spread that sums in another order make

Statistic = Callable[[np.ndarray], float]
Parts = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Interval:
    """A point estimate with its confidence interval and what p-values need: the estimates that it is made of."""

    value: float
    low: float
    high: float
    estimates: tuple["Estimate", ...] = dataclasses.field(default=(), repr=False, compare=False)
    sign: int = dataclasses.field(
        default=1, repr=False, compare=False
    )  # -1: the largest of the estimates, whose negatives are stored

    def p(self, bound: float, *, above: bool) -> float:
        """One-sided p-value of "does not lie above (below) the bound"; NaN where there is no estimate."""
        if not np.isfinite(self.value):
            return np.nan
        bound, above = self.sign * bound, above == (self.sign > 0)
        each = [estimate.p(bound, above=above) for estimate in self.estimates]
        return max(each) if above else min(1.0, len(each) * min(each))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One quantity: its value, the parts of its variance with their degrees of freedom, and its bounds, if any."""

    value: float
    variances: tuple[float, float]
    freedom: tuple[int, int]
    bounds: tuple[float, float] | None = None

    def quantile(self, tail: float) -> float:
        """Cochran and Cox's t that leaves `tail` above it."""
        total = sum(self.variances)
        quantiles = [stats.t.isf(tail, max(freedom, 1)) for freedom in self.freedom]
        return float(np.dot(self.variances, quantiles) / total) if total else 0.0

    def end(self, tail: float, side: int) -> float:
        """The lower (side -1) or upper (side 1) end of the interval that leaves `tail` beyond it."""
        error = np.sqrt(sum(self.variances))
        if not error or not np.isfinite(error):
            return self.value
        step = side * self.quantile(tail) * error
        if self.bounds is None:
            return self.value + step
        low, high = self.bounds
        share = (self.value - low) / (high - low)
        if not 0 < share < 1:
            return float(np.clip(self.value + step, low, high))
        odds = np.log(share / (1 - share)) + step / (high - low) / (share * (1 - share))
        return low + (high - low) / (1 + np.exp(-odds))

    def p(self, bound: float, *, above: bool) -> float:
        """The smallest tail whose one-sided interval still lies beyond the bound."""
        side = -1 if above else 1
        beyond = self.value > bound if above else self.value < bound
        tail = 1e-9 if beyond else 1 - 1e-9
        if np.sign(self.end(tail, side) - bound) == np.sign(self.end(0.5, side) - bound):
            return 0.0 if beyond else 1.0
        return float(optimize.brentq(lambda each: self.end(each, side) - bound, min(tail, 0.5), max(tail, 0.5)))


class Least:
    """The least of several quantities of a block; `sign` -1: the largest."""

    def __init__(self, parts: Parts, sign: int = 1):
        self.parts, self.sign = parts, sign

    def __call__(self, values: np.ndarray) -> float:
        return float(self.sign * np.min(self.sign * np.asarray(self.parts(values))))


def least(parts: Parts) -> Least:
    """The statistic min_k parts(values)_k, with the interval of a minimum."""
    return Least(parts)


def largest(parts: Parts) -> Least:
    """The statistic max_k parts(values)_k, with the interval of a maximum."""
    return Least(parts, -1)


def bounded(low: float, high: float) -> Callable[[Statistic], Statistic]:
    """Say of a statistic that it lies in [low, high]: (-1, 1) of correlations, (0, 1) of an AUROC."""

    def mark(statistic: Statistic) -> Statistic:
        statistic.bounds = (low, high)  # type: ignore[attr-defined]
        return statistic

    return mark


def interval(
    statistic: Statistic, values: np.ndarray, *, resamples: int = 400, level: float = 0.95, seed: int = 0
) -> Interval:
    """`statistic(values)` with an interval; `values` has the axes seeds × images × anything.

    A statistic that does not vary gets an interval of width zero; resamples on which it is undefined (NaN) are left
    out. An axis of length one is held fixed: one training seed says nothing about the spread over seeds.

    Args:
        resamples: B, how often the images are drawn. level: the coverage, 1 - α.

    Raises ValueError for an empty array.
    """
    values = np.asarray(values)
    if values.ndim < 2 or 0 in values.shape:
        raise ValueError(f"values have shape {values.shape}, expected non-empty seeds × images × ...")
    sign = statistic.sign if isinstance(statistic, Least) else 1
    parts = statistic.parts if isinstance(statistic, Least) else statistic
    with np.errstate(all="ignore"):
        point, seeds, images = variances(parts, values, resamples=resamples, seed=seed)
    bounds = bounds_of(statistic, values)
    freedom = values.shape[0] - 1, values.shape[1] - 1
    estimates = [
        Estimate(float(sign * each), (float(s), float(i)), freedom, bounds)
        for each, s, i in zip(point, seeds, images, strict=True)
    ]
    alpha = 1 - level
    low = min(each.end(alpha / 2, -1) for each in estimates)
    high = min(each.end(alpha / 2 / len(estimates), 1) for each in estimates)
    low, high = (low, high) if sign > 0 else (-high, -low)
    return Interval(float(statistic(values)), low, high, tuple(estimates), sign)


def bounds_of(statistic: Statistic, values: np.ndarray) -> tuple[float, float] | None:
    """The bounds that `bounded` gave, (0, 1) of the mean of zeros and ones, else None."""
    if statistic in (np.mean, np.nanmean) and np.isin(values[~np.isnan(values.astype(float))], (0, 1)).all():
        return 0.0, 1.0
    return getattr(statistic, "bounds", None)


def variances(parts: Parts, values: np.ndarray, *, resamples: int, seed: int) -> tuple[np.ndarray, ...]:
    """The K quantities of `parts` and, for each, the variance due to seeds (never negative) and that due to images."""
    seeds, images = values.shape[:2]
    point = vector(parts(values))
    zero = np.zeros(len(point))
    without = [np.delete(np.arange(seeds), each) for each in range(seeds)] if seeds > 1 else []
    by_seed = zero
    if without:
        by_seed = (seeds - 1) ** 2 / seeds * spread(np.array([vector(parts(values[each])) for each in without]))
    if images == 1:
        return point, by_seed, zero
    rng = np.random.default_rng(seed)
    drawn, left_out = [], []
    with warnings.catch_warnings():  # a draw in which nothing is defined is NaN, as it should be
        warnings.simplefilter("ignore", RuntimeWarning)
        for _ in range(resamples):
            block = values[:, rng.integers(0, images, images)]
            drawn.append(vector(parts(block)))
            left_out.append([vector(parts(block[each])) for each in without])
    scale = images / (images - 1)
    by_image = scale * spread(np.array(drawn))
    if not without:
        return point, zero, by_image
    pseudo = seeds * np.array(drawn)[:, None] - (seeds - 1) * np.array(left_out)
    crossed = scale * spread(pseudo - pseudo.mean(1, keepdims=True)).sum(0) / (seeds * (seeds - 1))
    return point, np.maximum(by_seed - crossed, 0), by_image


def spread(drawn: np.ndarray) -> np.ndarray:
    """Variance over the first axis without undefined entries; 0 where fewer than two are defined, and of rounding."""
    masked = np.ma.masked_invalid(drawn)
    found = np.ma.filled(masked.var(0, ddof=1), 0.0)
    return np.where(found > (ROUNDING * np.abs(np.ma.filled(masked, 0.0)).max(0)) ** 2, found, 0.0)


def vector(found: float | np.ndarray) -> np.ndarray:
    return np.atleast_1d(np.asarray(found, float)).ravel()
