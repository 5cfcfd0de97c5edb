"""X4.11: specifications equal the claims' estimators, and what was not measured is left out."""

import numpy as np
import pytest
from support import estimators

from aecompanion.evaluate.intervals import interval
from aecompanion.papers.halftone import specifications
from aecompanion.papers.halftone.specifications import KEEPS, LINES, PROTECTS, clean_pairs, measured, pairs, table
from aecompanion.papers.halftone.tables import WORST

ESTIMATORS = estimators(4)


@pytest.fixture
def tables(paper4_tables):
    return dict(zip(("transfer", "representations", "adaptive"), paper4_tables, strict=True))


@pytest.fixture
def curves(tables):
    return table(tables["adaptive"], tables["transfer"], tables["representations"])


def chosen(curves, claim, **levels):
    rows = curves[(curves["claim"] == claim) & np.logical_and.reduce([curves[k] == v for k, v in levels.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


def test_the_published_specifications_are_what_the_claims_measure(tables, curves):
    own = curves[curves["published"]].set_index("claim")["estimate"]
    values, statistic = ESTIMATORS["halftone_gain"](tables)
    assert own[PROTECTS] == pytest.approx(statistic(values))
    values, statistic = ESTIMATORS["view_difference"](tables, first=["hybrid", "grey"], second=["grey", "grey"])
    assert own[KEEPS] == pytest.approx(statistic(values))
    assert set(LINES) == set(curves["claim"]) == {PROTECTS, KEEPS}


def test_one_specification_by_hand(curves):
    facts = {"attack": WORST, "ε": "4", "measure": "top5", "network": "hybrid", "images": "all", "seeds": "all"}
    assert chosen(curves, PROTECTS, dots="Floyd-Steinberg", **facts)["estimate"] == pytest.approx(0.2)
    assert chosen(curves, PROTECTS, dots="4 levels, blur", **facts)["estimate"] == pytest.approx(0.0)
    stored = facts | {"attack": specifications.file_of("pgd", "hybrid"), "ε": "8", "dots": "Floyd-Steinberg"}
    assert chosen(curves, PROTECTS, **stored)["estimate"] == pytest.approx(0.2)
    facts = {"hybrid": "equal updates", "tested on": "halftone", "rival": "shifted images", "measure": "top1"}
    assert chosen(curves, KEEPS, crops="known", seeds="all", **facts)["estimate"] == pytest.approx(-0.3)


def test_only_what_both_sides_get_right_without_attack_counts_in_the_subset(tables):
    rows = specifications.Rows(tables["adaptive"], tables["transfer"], tables["representations"])
    facts = {"attack": specifications.file_of("pgd", "grey"), "ε": "8", "measure": "top1", "network": "hybrid"}
    assert rows.protects(**facts, dots="Floyd-Steinberg", images="right without attack", seeds="1") is None  # nine
    facts |= {"dots": "Floyd-Steinberg", "seeds": "1"}
    assert rows.protects(**facts, images="all").value == pytest.approx(0.1)


def test_what_was_not_measured_is_left_out(curves):
    assert not len(curves[(curves["network"] == "adversarial") & (curves["attack"] == WORST)])
    assert set(curves.loc[curves["rival"] == "twice the epochs", "tested on"]) == {"grey"}
    assert set(curves.loc[curves["attack"] == specifications.file_of("fgsm", "hybrid"), "network"]) == {"hybrid"}


def test_the_interval_is_that_of_the_report():
    values = np.random.default_rng(0).normal(size=(3, 20))
    ours, theirs = measured(values, resamples=40, seed=1), interval(np.mean, values, resamples=40, seed=1)
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))
    assert measured(np.where(np.arange(20) < 9, values, np.nan), least=10) is None


def test_a_run_without_the_small_radii_has_its_own_first_one(tables):
    rows = tables["adaptive"][~tables["adaptive"]["level"].isin([2, 4])]
    found = table(rows, tables["transfer"], tables["representations"])
    assert found.loc[found["claim"] == PROTECTS, "ε"].unique().tolist() == ["8"]
    assert found.loc[found["claim"] == PROTECTS, "published"].sum() == 1


def test_the_shares_of_the_claims_by_hand(tables):
    found = pairs(tables["adaptive"])
    assert [(with_["defence"].removeprefix("hybrid + "), with_["level"]) for with_, _ in found] == [
        *(("halftone", level) for level in (2, 4, 8)),
        ("randomised halftone", 8),
        *(("4 levels, blur", level) for level in (2, 4, 8)),
    ]
    assert {without["defence"] for _, without in found} == {"hybrid without halftoning"}
    values, statistic = ESTIMATORS["share_protected"](tables)
    assert values.shape == (2, 10, 2 * 7, 2)
    # top-1: 7-7, 6-5, 4-4; 2-4; 6-7, 5-5, 3-4; top-5: 9-8, 9-7, 8-6; 5-6; 8-8, 7-7, 6-6
    assert statistic(values) == pytest.approx(4 / 14)
    values, statistic = ESTIMATORS["share_kept"](tables)
    assert values.shape[2] == 2 * len(clean_pairs(tables["representations"]))
    differences = (values[..., 0] - values[..., 1]).mean((0, 1))
    assert statistic(values) == pytest.approx((differences > -0.05).mean())
    assert 0 < statistic(values) < 1
