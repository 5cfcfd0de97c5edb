from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aecompanion.evaluate import coverage
from aecompanion.evaluate.coverage import POPULATIONS, auroc, cover, rank_correlation

PUBLISHED = Path(__file__).parents[2] / "docs" / "intervals.csv"
DOCUMENT = PUBLISHED.with_suffix(".md")


@pytest.fixture(scope="module")
def published():
    return pd.read_csv(PUBLISHED)


def test_the_published_intervals_cover_95_times_in_100(published):
    """Of 1,000 simulations each: seven tenths of a point are one standard deviation. A minimum holds for equal networks
    and for unequal ones, so it is wider than 95 % where they differ.
    """
    shares = published.filter(like="seeds ").to_numpy()
    minimum = published["statistic"].str.startswith("least").to_numpy()
    assert shares[~minimum].mean() == pytest.approx(0.95, abs=0.005)
    outside = np.sort(shares[~minimum][(shares[~minimum] < 0.93) | (shares[~minimum] > 0.97)])
    text = DOCUMENT.read_text()
    assert len(outside) <= 4 and all(f"{share:.3f}".lstrip("0") in text for share in outside)
    assert shares.min() >= 0.925 and shares[~minimum].max() <= 0.975
    assert shares[minimum].min() >= 0.95  # too wide, never too narrow
    assert f"{shares[minimum].max():.3f}".lstrip("0") in text
    assert set(published["statistic"]) == set(POPULATIONS)


@pytest.mark.parametrize("name", ["mean", "least of five equal networks"])
def test_a_simulation_covers_as_published(published, name):
    rows = published[(published["statistic"] == name) & (published["seeds"] == 3) & (published["images"] == 60)]
    found = cover(name, seeds=3, images=60, effect=5, simulations=150)
    assert found == pytest.approx(rows["seeds 5 × images"].item(), abs=0.06)  # three standard deviations


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("effect", coverage.EFFECTS)
def test_the_truth_is_the_value_of_a_large_sample(name, effect):
    population = POPULATIONS[name]
    size = 3, 60, effect  # the seeds' spread goes with these; drawn are many more
    rng = np.random.default_rng(0)
    found = [population.statistic(population.draw(rng, *size)) for _ in range(600)]
    error = np.std(found) / np.sqrt(len(found))
    if not name.startswith("least"):  # a minimum of estimates lies below the least of the means
        assert np.mean(found) == pytest.approx(population.truth(*size), abs=5 * error + 0.01)


def test_the_statistics_are_those_of_scipy():
    rng = np.random.default_rng(4)
    values = np.stack([rng.normal(size=(2, 20)), rng.integers(0, 2, (2, 20))], -1)
    expected = [stats.spearmanr(*layer.T).statistic for layer in values]
    assert rank_correlation(values) == pytest.approx(np.mean(expected), abs=0.02)  # ties of the classes
    won = [stats.mannwhitneyu(layer[layer[:, 1] == 1, 0], layer[layer[:, 1] == 0, 0]).statistic for layer in values]
    pairs = [(layer[:, 1] == 1).sum() * (layer[:, 1] == 0).sum() for layer in values]
    assert auroc(values) == pytest.approx(np.mean(np.divide(won, pairs)))
