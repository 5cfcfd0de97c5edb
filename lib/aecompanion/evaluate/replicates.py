"""The intervals of `evaluate.intervals` for many statistics of the same seeds and images.

There a statistic is computed anew on every resample. Here every resample is a row of weights, so that the statistics of
all resamples are one product, and serve all that ask for them.
"""

import functools

import numpy as np

from aecompanion.evaluate.intervals import Estimate, Interval, spread


@functools.lru_cache(maxsize=64)
def weights(seeds: int, images: int, *, resamples: int, seed: int) -> np.ndarray:
    """How often each seed × image counts: once; without one seed; resampled images; both. Rows: (1 + resamples) × (1 +
    seeds left out), the images' draws outside.
    """
    by_image = draws(images, resamples=resamples, seed=seed)
    by_seed = np.stack([np.ones(seeds, int), *(1 - np.eye(seeds, dtype=int) if seeds > 1 else [])])
    return (by_image[:, None, None] * by_seed[None, :, :, None]).reshape(-1, seeds * images).astype(np.int32)


def draws(images: int, *, resamples: int, seed: int) -> np.ndarray:
    """How often each image counts, (1 + resamples) × images: once in the first row, as drawn in the others."""
    rng = np.random.default_rng(seed)
    drawn = [np.bincount(rng.integers(0, images, images), minlength=images) for _ in range(resamples)]
    return np.stack([np.ones(images, int), *drawn])


def weighted_mean(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """rows × K: means of seeds × images × K without NaN, each entry counted as its row says."""
    flat = values.reshape(-1, values.shape[-1])
    counted = drawn.astype(float)
    return (counted @ np.nan_to_num(flat)) / (counted @ ~np.isnan(flat))


def weighted_median(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The same for the median (the mean of both middle entries where their number is even)."""
    columns = []
    for column in values.reshape(-1, values.shape[-1]).T:
        order = np.argsort(column)[: (~np.isnan(column)).sum()]
        counted = np.cumsum(drawn[:, order], axis=1)
        total = counted[:, -1:]
        lower = np.argmax(2 * counted >= total, axis=1)
        upper = np.argmax(2 * counted > total, axis=1)
        columns.append((column[order][lower] + column[order][upper]) / 2)
    return np.stack(columns, axis=1)


def mean_over_seeds(by_seed: np.ndarray) -> np.ndarray:
    """Rows as in `weights` of the mean over seeds of a statistic of each: rows × seeds × K to rows(1 + seeds) × K."""
    rows, seeds, columns = by_seed.shape
    kept = 1 - np.eye(seeds) if seeds > 1 else np.zeros((0, 1))
    kept = np.concatenate([np.ones((1, seeds)), kept])
    defined = np.isfinite(by_seed)
    with np.errstate(invalid="ignore"):
        found = (kept @ np.where(defined, by_seed, 0)) / (kept @ defined.astype(float))
    return found.reshape(rows * len(kept), columns)


def interval(
    parts: np.ndarray, seeds: int, images: int, *, level: float = 0.95, bounds: tuple[float, float] | None = None
) -> Interval:
    """The least of K quantities with its interval, as `evaluate.intervals.interval` has it.

    Args:
        parts: rows × K, rows as in `weights`; seeds: how many were left out in turn, 0 for one seed.
        bounds: of each quantity, as `evaluate.intervals.bounded` says.
    """
    grid = parts.reshape(-1, 1 + seeds, parts.shape[1])
    scale, by_seed = images / max(images - 1, 1), np.zeros(parts.shape[1])
    by_image = scale * spread(grid[1:, 0])
    if seeds:
        pseudo = seeds * grid[1:, :1] - (seeds - 1) * grid[1:, 1:]
        crossed = scale * spread(pseudo - pseudo.mean(1, keepdims=True)).sum(0) / (seeds * (seeds - 1))
        by_seed = np.maximum((seeds - 1) ** 2 / seeds * spread(grid[0, 1:]) - crossed, 0)
    freedom = max(seeds - 1, 0), images - 1
    points = zip(grid[0, 0], by_seed, by_image, strict=True)
    estimates = tuple(Estimate(float(each), (float(s), float(i)), freedom, bounds) for each, s, i in points)
    tail = (1 - level) / 2
    low = min(each.end(tail, -1) for each in estimates)
    high = min(each.end(tail / len(estimates), 1) for each in estimates)
    return Interval(float(grid[0, 0].min()), low, high, estimates)


def of_means(values: np.ndarray, *, resamples: int = 400, seed: int = 0) -> list[Interval]:
    """`evaluate.intervals.interval(np.nanmean, ...)` of each of K columns, seeds × images × K, that are no zeros and
    ones."""
    seeds, images = values.shape[:2]
    parts = weighted_mean(values, weights(seeds, images, resamples=resamples, seed=seed))
    return [interval(parts[:, [k]], seeds if seeds > 1 else 0, images) for k in range(parts.shape[1])]


def of_auroc(values: np.ndarray, *, resamples: int = 400, seed: int = 0) -> Interval:
    """`evaluate.intervals.interval` of the mean over seeds of the AUROC of condition 1 against condition 0, of seeds ×
    images × 2. With w how often a resample holds an image: Σ_ij w_i w_j ([b_j > a_i] + [b_j = a_i]/2) / (Σ_i w_i)².
    """
    seeds, images = values.shape[:2]
    drawn, found = draws(images, resamples=resamples, seed=seed).astype(float), []
    for first, second in np.moveaxis(values, -1, 1):
        larger = (second > first[:, None]) + 0.5 * (second == first[:, None])
        found.append(((drawn @ larger) * drawn).sum(1) / images**2)
    parts = mean_over_seeds(np.stack(found, axis=1)[..., None])
    return interval(parts, seeds if seeds > 1 else 0, images, bounds=(0, 1))


def once_per_seed(of_seed, *, kept: int = 64):
    """The mean over seeds of `of_seed` (images × ... to a number or K of them, NaN where undefined) as a statistic of
    seeds × images × ...: it remembers what it said of a seed, since the jackknife asks for the same seeds again.
    """

    @functools.lru_cache(maxsize=kept)
    def remembered(content: bytes, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        return np.asarray(of_seed(np.frombuffer(content, kind).reshape(shape)), float)

    def statistic(values: np.ndarray):
        each = np.stack([remembered(own.tobytes(), values.dtype.str, own.shape) for own in values])
        if np.isfinite(each).all():
            found = each.mean(0)
        else:
            found = mean_over_seeds(each.reshape(1, len(each), -1))[0].reshape(each.shape[1:])
        return float(found) if found.ndim == 0 else found

    return statistic
