"""What carries over: which claims are compared, and the sentence that says why two verdicts differ."""

import pandas as pd
import pytest

from aecompanion.pipeline import paths
from aecompanion.report import carried, verdicts

COLUMNS = ["id", "statement", "strength", "ours", "ci_low", "ci_high", "verdict"]
FACTS = {"paper": 4, "display": "T4.5", "n": 30, "seeds": 3, "reason": "needed > 0; one seed"}


def run(*rows, **facts) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS).assign(**FACTS | facts)


def whys(*pairs, **facts) -> list[str]:
    """`why` of pairs of (ours, low, high, verdict), default and public."""
    default, public = (
        run(*((f"P4.0{at}", f"s{at}", "must", *pair[side]) for at, pair in enumerate(pairs)), **facts)
        for side in (0, 1)
    )
    return carried.compared(default, public)["why"].tolist()


def test_only_what_both_runs_test_on_real_images_is_compared():
    default = run(
        ("P4.01", "a", "must", 1, 1, 1, "reproduced"),
        ("P4.02", "b", "check", 1, 1, 1, "reproduced"),
        ("P4.03", "c", "must", 1, 1, 1, "not testable here"),
        ("P4.04", "d", "must", 1, 1, 1, "reproduced"),
        ("P4.05", "VOC-like: e", "must", 1, 1, 1, "reproduced"),
        ("P4.06", "f (least over composed worlds)", "must", 1, 1, 1, "reproduced"),
        ("P4.07", "g", "report", 1, 1, 1, "reproduced"),
    )
    public = default.assign(verdict="reproduced")
    public.loc[3, "statement"] = "d, worded anew"
    public.loc[6, "verdict"] = "undecided"
    both = carried.compared(default, carried.real(public))
    assert both["id"].tolist() == ["P4.01", "P4.07"]
    assert both["same"].tolist() == [True, False]
    assert both["why"].tolist()[0] == ""


def test_the_sentence_follows_from_both_intervals():
    found = whys(
        ((0.2, 0.1, 0.3, "reproduced"), (-0.2, -0.3, -0.1, "not reproduced")),
        ((0.2, 0.1, 0.3, "reproduced"), (0.1, -0.2, 0.4, "undecided")),
        ((0.2, -0.1, 0.5, "undecided"), (-0.2, -0.6, -0.1, "not reproduced")),
        ((0.0, -0.01, 0.01, "no difference"), (0.2, 0.1, 0.3, "reproduced")),
    )
    assert found == [
        "the two exclude each other",
        "the public run's estimate points the same way, its interval, 3.0 times as wide as the default one, "
        "holds both sides",
        "the default run's estimate points the other way, its interval, 1.2 times as wide as the public one, "
        "holds both sides",
        "in the default run all of the interval lies within the margin of the bound, in the public run beyond it",
    ]


def test_a_reported_number_has_a_side_as_well():
    inside, outside = (0.75, 0.6, 0.9, "undecided"), (0.3, 0.2, 0.4, "not reproduced")
    (found,) = whys((inside, outside), reason="needed within [0.71, 0.77]; the cell compared: faces")
    assert found.startswith("the default run's estimate points the other way")


@pytest.mark.parametrize("sign", verdicts.RELATIONS)
def test_every_relation_is_read_from_the_reason(sign):
    row = pd.Series({"ours": 2.0, "reason": f"needed {sign} 1e-6, the interval holds both sides"})
    assert carried.side(row, "") is (">" in sign)
    assert carried.relation(row["reason"]) == f"{sign} 1e-6"


def test_estimates_say_their_n_and_seeds():
    rows = run(("P4.01", "a", "must", 0.5, 0.25, 0.75, "reproduced"), n=1200, seeds=1)
    assert carried.estimate(rows.iloc[0], "") == "0.5 [0.25, 0.75], n = 1,200, 1 seed"
    rows["seeds"] = 0
    assert carried.estimate(rows.iloc[0], "") == "0.5 [0.25, 0.75], n = 1,200"


def test_every_published_difference_has_its_reason():
    results = paths.ROOT / "results"
    if not (results / "public" / "claims.csv").is_file():
        pytest.skip("no results of the public profile are published here")
    claims, public = (pd.read_csv(folder / "claims.csv") for folder in (results, results / "public"))
    both = carried.compared(claims, carried.real(public))
    assert len(both) > 50
    assert (both["why"] == "").eq(both["same"]).all()
    differs = both[~both["same"]]
    assert all(carried.side(row, "") is not None for _, row in differs.iterrows())
    text = carried.page(claims, public)
    assert all(f"| {row.id}, {row.strength} |" in text for row in differs.itertuples())


def test_no_page_without_a_public_run(tmp_path):
    assert carried.pages(tmp_path) == {}
