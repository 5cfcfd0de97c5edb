"""Intervals on weighted resamples are those of `evaluate.intervals`."""

import numpy as np
import pytest

from aecompanion.evaluate.detection import auroc
from aecompanion.evaluate.intervals import bounded, interval
from aecompanion.evaluate.replicates import mean_over_seeds, of_auroc, of_means, once_per_seed

OPTIONS = {"resamples": 20, "seed": 3}


def ends(found):
    return found.value, found.low, found.high


@pytest.mark.parametrize("seeds", [1, 3])
def test_means_have_the_interval_of_nanmean(seeds):
    values = np.random.default_rng(0).normal(size=(seeds, 9, 2))
    values[:, 4, 1] = np.nan
    found = of_means(values, **OPTIONS)
    for k, each in enumerate(found):
        assert ends(each) == pytest.approx(ends(interval(np.nanmean, values[..., k], **OPTIONS)))


@pytest.mark.parametrize("seeds", [1, 3])
def test_an_auroc_has_the_interval_of_its_resamples_ties_included(seeds):
    values = np.random.default_rng(1).integers(0, 6, (seeds, 12, 2)) + np.array([0, 1.0])
    statistic = bounded(0, 1)(lambda v: float(np.mean([auroc(own[:, 0], own[:, 1]) for own in v])))
    assert ends(of_auroc(values, **OPTIONS)) == pytest.approx(ends(interval(statistic, values, **OPTIONS)))


def test_a_statistic_is_asked_once_per_seed_and_block():
    asked = []

    def median(own):
        asked.append(own.shape)
        return np.median(own)

    values = np.random.default_rng(2).normal(size=(4, 7))
    found = interval(once_per_seed(median), values, **OPTIONS)
    plain = interval(lambda v: float(np.mean([np.median(own) for own in v])), values, **OPTIONS)
    assert ends(found) == ends(plain)
    assert len(asked) == 4 * (2 + OPTIONS["resamples"])  # the block itself at either end


def test_a_mean_over_seeds_leaves_out_what_is_undefined_and_each_seed_in_turn():
    found = mean_over_seeds(np.array([[[1.0], [np.nan], [4.0]]]))
    assert found[:, 0] == pytest.approx([2.5, 4, 2.5, 1])
    assert np.isnan(mean_over_seeds(np.full((1, 2, 1), np.nan))).all()
