"""X1.25 and X1.26: published specifications are the claims, weighted correlations those of the resample."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aecompanion.evaluate.intervals import interval
from aecompanion.papers.causal import specifications
from aecompanion.papers.causal.claims import region_difference
from aecompanion.papers.causal.claims_rankings import best_fill_lead
from aecompanion.papers.causal.rankings import correlated
from aecompanion.papers.causal.specifications import BEST, CHOICES, FILLS, GAP, RANKING, SEEN, table

OPTIONS = {"resamples": 15, "seed": 2}
FINDINGS = ("Mass", "Nodule", "Effusion")


@pytest.fixture(scope="module")
def estimates():
    """Two seeds, 24 cases: "ring" of the box is the truth with little noise, everything else mostly noise."""
    rng, rows = np.random.default_rng(0), []
    for seed in (1, 2):
        p = rng.uniform(0.2, 0.95, 24)
        truth = -p * rng.uniform(0.1, 0.9, 24)
        columns = {"probability": -p, "mask · counterfactual": truth, "box · counterfactual": truth}
        for region in ("mask", "box", "cam", "gradcam"):
            for fill in ("counterfactual", "all off", *FILLS):
                strength = {("box", "ring"): 0.95, ("box", "all off"): 0.9}.get((region, fill), 0.3)
                noise = -p * rng.uniform(0, 0.9, 24)
                columns.setdefault(f"{region} · {fill}", strength * truth + (1 - strength) * noise)
        for name, values in columns.items():
            facts = {"case": np.arange(24), "image": np.arange(24), "method": name, "value": values, "seed": seed}
            rows.append(pd.DataFrame(facts).assign(finding=np.resize(FINDINGS, 24)))
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def curves(estimates):
    return table(estimates, **OPTIONS)


def row_of(curves, claim, **levels):
    part = curves[curves["claim"] == claim]
    published = part[part["published"]].iloc[0]
    chosen = {name: published[name] for name in CHOICES if pd.notna(published[name])} | levels
    (row,) = part[np.logical_and.reduce([part[name] == level for name, level in chosen.items()])].to_dict("records")
    return row


def test_the_published_ranking_is_its_claim(estimates, curves):
    values, statistic = best_fill_lead({"estimates": estimates}, reading="within findings")
    expected, row = interval(statistic, values, **OPTIONS), row_of(curves, RANKING)
    assert row["published"] and row["fill"] == BEST
    assert [row[name] for name in ("estimate", "low", "high")] == pytest.approx(
        [expected.value, expected.low, expected.high]
    )


def test_the_published_gap_is_its_claim(estimates, curves):
    rows = estimates[estimates["method"].str.contains(" · ")].rename(columns={"value": "effect"})
    rows[["region", "fill"]] = rows["method"].str.split(" · ", expand=True).to_numpy()
    p = estimates[estimates["method"] == "probability"].assign(p=lambda each: -each["value"])
    effects = rows.merge(p[["seed", "case", "p"]])
    values, statistic = region_difference({"effects": effects}, fill="all off", regions=["box", "cam"])
    expected, row = interval(statistic, values, **OPTIONS), row_of(curves, GAP)
    assert [row[name] for name in ("estimate", "low", "high")] == pytest.approx(
        [expected.value, expected.low, expected.high]
    )


def test_a_choice_is_made_as_it_says(estimates, curves):
    wide = estimates.pivot(index=["seed", "case"], columns="method", values="value")
    p = -wide["probability"]
    logit = {name: np.log((p + wide[name]) / (1 - p - wide[name])) - np.log(p / (1 - p)) for name in wide}
    leads = []
    for seed in (1, 2):
        truth = logit["mask · counterfactual"][seed]
        fill = stats.pearsonr(logit["box · mean"][seed], truth)[0]
        leads.append(fill - stats.pearsonr(-np.log(p / (1 - p))[seed], truth)[0])
    chosen = {"fill": "mean", "effect of": "log-odds", "coefficient": "Pearson", "over": "pooled"}
    assert row_of(curves, RANKING, **chosen)["estimate"] == pytest.approx(np.mean(leads))
    lost = (wide["gradcam · mean"] - wide["mask · mean"])[p >= 0.5]
    chosen = {"fill": "mean", "region": "mask", "against": "Grad-CAM", "as": "evidence lost", "statistic": "median"}
    assert row_of(curves, GAP, **chosen, cases=SEEN)["estimate"] == pytest.approx(lost.median())


def test_a_good_fill_leads_and_a_finding_or_a_seed_is_left_out_one_at_a_time(curves):
    assert row_of(curves, RANKING, fill="ring")["estimate"] > row_of(curves, RANKING, fill="black")["estimate"]
    assert not curves.duplicated(["claim", *CHOICES]).any()
    assert (curves.loc[curves["seeds"] != "all", "cases"] == "all").all()
    assert set(curves["cases"]) == {"all", SEEN, *(f"without {name}" for name in FINDINGS)}


@pytest.mark.parametrize(("ranks", "measure"), [(True, stats.spearmanr), (False, stats.pearsonr)])
def test_weighted_correlations_are_those_of_the_resample(ranks, measure):
    rng = np.random.default_rng(5)
    values, groups = rng.integers(0, 6, (14, 3)).astype(float), np.arange(14) % 2
    drawn = rng.integers(0, 14, 14)
    counted = np.stack([np.ones(14), np.bincount(drawn, minlength=14)])
    member = (groups[:, None] == [0, 1]).astype(float)
    found = correlated(values, np.array([2]), counted, member, ranks)
    for row, cases in enumerate((np.arange(14), drawn)):
        parts = [values[cases][groups[cases] == group] for group in (0, 1)]
        expected = [np.mean([measure(part[:, k], part[:, 2])[0] for part in parts]) for k in (0, 1)]
        assert found[row, :2, 0] == pytest.approx(expected)


def test_no_case_and_no_truth_leave_the_rest(estimates):
    assert table(estimates[:0]).empty
    assert specifications.sentences(table(estimates[:0])) == ""
    assert specifications.deciding(table(estimates[:0])).empty
    bare = estimates[~estimates["method"].str.contains("counterfactual|all off")]
    assert set(table(bare, resamples=3)["claim"]) == {GAP}


def test_where_a_network_sees_no_case_that_choice_does_not_arise(estimates):
    faint = estimates.assign(value=estimates["value"] / 4)  # no probability reaches a half
    found = table(faint, **OPTIONS)
    assert SEEN not in set(found["cases"]) and "all" in set(found["cases"])
    assert set(found["claim"]) == {RANKING, GAP}


def test_the_figure_shows_the_gap_in_one_unit(curves):
    figure = specifications.figure(curves)
    names = [label.get_text() for label in figure.axes[3].get_yticklabels()]
    assert "effect of: probability" not in names and "log-odds" not in names
    assert specifications.deciding(curves)["claim"].nunique() == 2
