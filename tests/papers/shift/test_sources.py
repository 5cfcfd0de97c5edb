"""X5.22 and its claims, worked by hand: three deep and two wide networks."""

import numpy as np
import pandas as pd
import pytest

from aecompanion.papers.shift import sources
from aecompanion.papers.shift.claims_sources import (
    deep_minus_wide_from,
    deep_minus_wide_from_any,
    lead,
    own_minus_other,
)
from aecompanion.papers.shift.tables import LEVELS

FAMILY = {"vgg": "deep", "resnet": "deep", "resnet_deep": "deep", "inception": "wide", "xception": "wide"}


@pytest.fixture
def rows() -> pd.DataFrame:
    """Right where the source lies on the other side, of ten images; where it does not, on half of them."""
    found = []
    for source, side in FAMILY.items():
        for network, own in FAMILY.items():
            right = [side != own or (image % 2 == 0 and source != network) for image in range(10)]
            for seed in (1, 2):
                for eps in LEVELS:
                    frame = pd.DataFrame({"image": range(10), "correct": right})
                    names = {"source": source, "source_seed": 3 - seed, "network": network, "seed": seed, "eps": eps}
                    found.append(frame.assign(**names, family=own))
    return pd.concat(found, ignore_index=True)


def value(found):
    cube, statistic = found
    return statistic(cube)


def test_the_order_turns_with_the_source(rows):
    tables = {"sources": rows}
    assert value(deep_minus_wide_from(tables, source="resnet")) == pytest.approx(0.5 - 1)
    assert value(deep_minus_wide_from(tables, source="inception")) == pytest.approx(1 - 0.5)
    assert value(deep_minus_wide_from_any(tables)) == pytest.approx(-0.5)


def test_the_source_itself_is_left_out():
    values = np.zeros((1, 1, 3, 1))
    values[0, 0, 0] = 1  # a deep network that only counts where it is not the source
    deep = np.array([True, True, False])
    assert lead(values, deep, ~deep, 0) == 0
    assert lead(values, deep, ~deep, 1) == 1


def with_recogniser(rows):
    """A recogniser that is right under its own signs, and nothing else is."""
    attacked = rows[rows["network"] == "vgg"].assign(network="mobilefacenet", family="recogniser", correct=False)
    every = pd.concat([rows, attacked], ignore_index=True)
    sender = every[every["source"] == "vgg"].assign(source="mobilefacenet", correct=False)
    sender["correct"] = sender["network"] == "mobilefacenet"
    return pd.concat([every, sender], ignore_index=True)


def test_a_recogniser_is_neither_deep_nor_wide_and_never_another_training(rows):
    tables, more = {"sources": rows}, {"sources": with_recogniser(rows)}
    for source in ("resnet", "inception"):
        same = [value(deep_minus_wide_from(each, source=source)) for each in (tables, more)]
        assert same[0] == same[1]
    assert value(deep_minus_wide_from_any(more)) == pytest.approx(-0.5)
    # own: the five trained ones, 0; others: 16 of the 20 pairs as before and ten pairs with the recogniser, 0
    assert value(own_minus_other(more)) == pytest.approx(-(8 * 0.5 + 12) / 30)


def test_the_own_architecture_keeps_less(rows):
    # own: 0; of the 20 other pairs 8 lie on the same side (.5) and 12 on the other (1)
    assert value(own_minus_other({"sources": rows})) == pytest.approx(-(8 * 0.5 + 12) / 20)


def test_without_two_sides_or_other_seeds_nothing_is_tested(rows):
    alone = rows[rows["network"].isin(["vgg", "resnet", "xception"]) & rows["source"].isin(["vgg", "resnet"])]
    assert np.isnan(value(deep_minus_wide_from({"sources": alone}, source="vgg")))
    same = rows.assign(source_seed=rows["seed"])
    assert np.isnan(value(own_minus_other({"sources": same})))


def test_table_and_matrices_hold_every_pair_and_the_noise(rows):
    noise = rows[rows["source"] == "vgg"].assign(arm="noise", correct=True)
    found = sources.table(rows, noise, resamples=10, seed=0)
    assert len(found) == (5 + 1) * 5 * len(LEVELS)
    assert found.query("source == @sources.NOISE")["accuracy"].eq(1).all()
    assert found.query("source == 'vgg' and network == 'vgg'")["accuracy"].eq(0).all()
    figure = sources.matrices(found)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert len(shown) == 30
    assert shown[0] == "0.00"
