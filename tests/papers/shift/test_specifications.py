"""X5.7: statistics on weighted resamples equal those on the resamples, specifications equal the claims' estimators."""

import numpy as np
import pandas as pd
import pytest

from aecompanion.evaluate.intervals import interval, least
from aecompanion.papers.shift import scale, specifications
from aecompanion.papers.shift.claims_scale import deep_below_wide, mod_over_noise
from aecompanion.papers.shift.specifications import NOISE, ORDER, table, weighted_mean, weighted_median, weights
from aecompanion.papers.shift.tables import LEVELS

FAMILIES = {"vgg": "deep", "resnet": "deep", "inception": "wide"}
OPTIONS = {"resamples": 30, "seed": 4}


@pytest.fixture(scope="module")
def shift() -> pd.DataFrame:
    """Three seeds, twenty images; one image in five is wrong without attack, half of the others are fooled."""
    rng = np.random.default_rng(1)
    rows = []
    arms = [("white", "own_pred"), ("black", "own_pred"), ("noise", "own_pred"), ("other", "own_pred")]
    for network, family in FAMILIES.items():
        for arm, mode in arms:
            for eps in (0.0,) if arm == "other" else (0.0, *LEVELS):
                frame = pd.DataFrame([(s, i) for s in (1, 2, 3) for i in range(20)], columns=["seed", "image"])
                size = len(frame)
                height = 0.3 if arm == "other" else eps * {"white": 2, "black": 1, "noise": 0.5}[arm]
                columns = {name: height + 0.1 * rng.random(size) for name in ("nissim", *specifications.SETTINGS)}
                right = frame["image"] % 5 > 0
                columns |= {"rank": 1 - height - 0.1 * rng.random(size), "correct0": right}
                columns |= {"correct": right & (frame["image"] % 2 == 0) if eps else right}
                rows.append(frame.assign(network=network, family=family, arm=arm, mode=mode, eps=eps, **columns))
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def curves(shift) -> pd.DataFrame:
    return table(shift, **OPTIONS)


@pytest.mark.parametrize(("weighted", "plain"), [(weighted_mean, np.nanmean), (weighted_median, np.nanmedian)])
def test_a_weighted_statistic_is_that_of_the_resample(weighted, plain):
    values = np.random.default_rng(0).random((3, 7, 2))
    values[1, 2, 0] = np.nan
    found = weighted(values, weights(3, 7, resamples=5, seed=2))
    rng, row = np.random.default_rng(2), 0
    for block in [values, *(values[:, rng.integers(0, 7, 7)] for _ in range(5))]:
        for kept in ([0, 1, 2], [1, 2], [0, 2], [0, 1]):
            assert found[row] == pytest.approx(plain(block[kept], axis=(0, 1)))
            row += 1
    assert row == len(found)


@pytest.mark.parametrize(
    ("claim", "estimator", "arguments"),
    [(ORDER, deep_below_wide, {}), (NOISE, mod_over_noise, {"arm": "white"})],
)
def test_the_published_specification_is_the_claim(shift, curves, claim, estimator, arguments):
    found = curves[(curves["claim"] == claim) & curves["published"]]
    values, statistic = estimator({"shift": shift}, mode="own_pred", level=0.05, **arguments)
    expected = interval(statistic, values, **OPTIONS)
    assert found[["estimate", "low", "high"]].to_numpy() == pytest.approx(
        np.array([[expected.value, expected.low, expected.high]])
    )


def test_one_seed_alone_is_the_interval_over_its_images(shift, curves):
    chosen = (curves["claim"] == NOISE) & (curves["seeds"] == "2") & (curves["networks"] == "least")
    chosen &= (curves["images"] == "right without attack") & (curves["statistic"] == "mean") & (curves["ε"] == "0.1")
    chosen &= (curves["dissimilarity"] == "NISSIM") & (curves["arm, class"] == "black-box, own class")
    values = scale.block(shift[shift["seed"] == 2], mode="own_pred", arm="black", levels=(0.1,))
    expected = interval(least(scale.over_noise), values, **OPTIONS)
    (row,) = curves[chosen].to_dict("records")
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((expected.value, expected.low, expected.high))


def test_every_combination_that_arises_stands_once(curves):
    choices = list(specifications.CHOICES)
    assert not curves.duplicated(["claim", *choices]).any()
    assert set(curves["images"]) == set(specifications.SUBSETS)
    orders = curves[curves["claim"] == ORDER]
    # one seed alone has eight of sixteen images still right, fewer than LEAST
    assert len(orders) == 2 * 5 * 3 * len(specifications.MEASURES) * 2 * (3 + 3)
    assert len(curves[curves["claim"] == NOISE]) == 2 * 4 * len(specifications.MEASURES) * 2 * 2 * (3 + 3)


def test_without_wide_networks_the_order_is_left_out(shift):
    found = table(shift[shift["family"] == "deep"], **OPTIONS)
    assert found["claim"].unique().tolist() == [NOISE]
