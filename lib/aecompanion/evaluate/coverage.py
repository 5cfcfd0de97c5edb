"""How often do the intervals of `evaluate.intervals` hold the truth? Simulated seeds × images of known populations.

A cell of the populations is μ + seed + image + rest, all normal: `SHARED` of the variance within a seed belongs to the
image (the same for every seed), the rest to the pair. `effect` is the variance of the mean that comes from seeds
over that from images: 0, 1 or 5. Every population knows its true value in closed form.

    python -m aecompanion.evaluate.coverage > docs/intervals.csv
"""

import dataclasses
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from aecompanion.evaluate.intervals import Statistic, bounded, interval, least

SHARED = 0.7
NETWORKS = 5
EFFECTS = (0, 1, 5)
Draw = Callable[[np.random.Generator, int, int, float], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Population:
    """draw(rng, seeds, images, effect) → seeds × images × ...; truth(seeds, images, effect): the statistic's value."""

    draw: Draw
    statistic: Statistic
    truth: Callable[[int, int, float], float]


def cells(rng: np.random.Generator, seeds: int, images: int, spread: float, networks: int) -> np.ndarray:
    """seeds × images × networks of unit variance within a seed; the seeds' standard deviation is `spread`."""
    image = rng.normal(size=(1, images, networks)) * SHARED**0.5
    rest = rng.normal(size=(seeds, images, networks)) * (1 - SHARED) ** 0.5
    return spread * rng.normal(size=(seeds, 1, networks)) + image + rest


def normal(rng: np.random.Generator, seeds: int, images: int, effect: float, networks: int = 1) -> np.ndarray:
    """Cells whose mean over seeds and images has `effect` times the variance from seeds that it has from images."""
    return cells(rng, seeds, images, (effect * seeds * SHARED / images) ** 0.5, networks)


def correlated(rng: np.random.Generator, seeds: int, images: int, effect: float) -> np.ndarray:
    """An estimate and the truth of every image, whose correlation has Fisher's z .8 plus the seed's effect."""
    rho = np.tanh(0.8 + spread_of_z(seeds, images, effect) * rng.normal(size=(seeds, 1)))
    truth = np.broadcast_to(rng.normal(size=(1, images)), (seeds, images))
    return np.stack([rho * truth + np.sqrt(1 - rho**2) * cells(rng, seeds, images, 0, 1)[..., 0], truth], -1)


def spread_of_z(seeds: int, images: int, effect: float) -> float:
    return float(np.sqrt(effect * seeds * SHARED / (images - 3)))


def spearman_of_seeds(seeds: int, images: int, effect: float) -> float:
    """Mean over seeds of (6/π) asin(ρ/2), Spearman's correlation of a normal pair, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    rho = np.tanh(0.8 + spread_of_z(seeds, images, effect) * nodes)
    return float(np.dot(weights, 6 / np.pi * np.arcsin(rho / 2)) / weights.sum())


def scored(rng: np.random.Generator, seeds: int, images: int, effect: float) -> np.ndarray:
    """A score and the class of every image; the classes' means are 1.2 plus the seed's effect apart."""
    apart = 1.2 + spread_of_d(seeds, images, effect) * rng.normal(size=(seeds, 1))
    positive = np.broadcast_to(np.arange(images) % 2, (seeds, images))
    return np.stack([cells(rng, seeds, images, 0, 1)[..., 0] + apart * positive, positive], -1)


def spread_of_d(seeds: int, images: int, effect: float) -> float:
    return float(np.sqrt(effect * seeds * SHARED * 4 / images))


@bounded(-1, 1)
def rank_correlation(values: np.ndarray) -> float:
    ranks = stats.rankdata(values, axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    product = (ranks[..., 0] * ranks[..., 1]).sum(1)
    return float(np.mean(product / np.sqrt((ranks**2).sum(1).prod(-1))))


@bounded(0, 1)
def auroc(values: np.ndarray) -> float:
    positive = values[..., 1] == 1
    ranks = stats.rankdata(values[..., 0], axis=1)
    count = positive.sum(1)
    won = np.where(positive, ranks, 0).sum(1) - count * (count + 1) / 2
    return float(np.mean(won / (count * (positive.shape[1] - count))))


def networks(apart: float) -> Draw:
    """Five networks whose means are `apart` from each other, the first the least."""
    return lambda *size: normal(*size, NETWORKS) + apart * np.arange(NETWORKS)


POPULATIONS = {
    "mean": Population(lambda *size: normal(*size)[..., 0], np.mean, lambda *_: 0.0),
    "difference": Population(
        lambda *size: normal(*size, 2), lambda v: float((v[..., 0] - v[..., 1]).mean()), lambda *_: 0.0
    ),
    "ratio": Population(
        lambda *size: 4 + normal(*size, 2), lambda v: float(v[..., 0].mean() / v[..., 1].mean()), lambda *_: 1.0
    ),
    "median": Population(lambda *size: np.exp(normal(*size)[..., 0]), np.median, lambda *_: 1.0),
    "least of five equal networks": Population(networks(0), least(lambda v: v.mean((0, 1))), lambda *_: 0.0),
    "least of five networks": Population(networks(0.3), least(lambda v: v.mean((0, 1))), lambda *_: 0.0),
    "rank correlation": Population(correlated, rank_correlation, spearman_of_seeds),
    "AUROC": Population(
        scored,
        auroc,
        lambda *size: float(stats.norm.cdf(1.2 / np.sqrt(2 + spread_of_d(*size) ** 2))),
    ),
}


def cover(name: str, *, seeds: int, images: int, effect: float, simulations: int, resamples: int = 60) -> float:
    """Share of simulations whose 95 % interval holds the population's true value."""
    population = POPULATIONS[name]
    truth = population.truth(seeds, images, effect)
    rng = np.random.default_rng([seeds, images, effect, *name.encode()])
    held = 0
    for _ in range(simulations):
        found = interval(population.statistic, population.draw(rng, seeds, images, effect), resamples=resamples)
        held += found.low <= truth <= found.high
    return held / simulations


def table(simulations: int) -> pd.DataFrame:
    """A row per population, number of seeds and of images, a column per effect of the seeds."""
    rows = []
    for name in POPULATIONS:
        for seeds, images in ((3, 60), (3, 240), (5, 60)):
            row: dict = {"statistic": name, "seeds": seeds, "images": images}
            for effect in EFFECTS:
                size = {"seeds": seeds, "images": images, "effect": effect}
                row[f"seeds {effect} × images"] = cover(name, **size, simulations=simulations)
            rows.append(row)
            print(row, file=sys.stderr)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    print(table(1000).to_csv(index=False), end="")
