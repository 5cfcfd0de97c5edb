"""The published run beside others: which verdicts differ, what is called stable."""

import json

import pandas as pd
import pytest

from aecompanion.pipeline import paths, record
from aecompanion.report import gallery, replications

CLAIMS = pd.DataFrame(
    {
        "id": ["P1.01", "P1.02", "P1.03", "P1.04"],
        "paper": [1, 1, 1, 3],
        "display": ["F1.1", "F1.1", "T1.6", "T3.2"],
        "statement": ["a", "b", "c", "d"],
        "strength": ["must", "expected", "check", "report"],
        "ours": [1.5, 2.0, 3.0, 4.0],
        "verdict": ["reproduced", "undecided", "reproduced", "reproduced"],
    }
)
MACHINE = {"kind": "machine", "machine": "a machine", "commit": "abc", "seeds": "1, 2, 3"}


@pytest.fixture
def others() -> replications.Replications:
    elsewhere = CLAIMS.iloc[[1, 0, 3]].assign(
        ours=[2.5, 0.5, 4.5], verdict=["undecided", "not reproduced", "undecided"]
    )
    elsewhere["statement"] = ["b", "a", "d, worded anew"]
    again = CLAIMS.assign(verdict="undecided")
    return {"other": (MACHINE, elsewhere), "seeds": (MACHINE | {"kind": "seeds"}, again)}


def test_stable_is_the_same_verdict_on_every_machine_that_tested_the_statement(others):
    assert replications.stable(CLAIMS, others).tolist() == ["no", "yes", "", ""]


def test_seeds_do_not_decide_what_is_stable(others):
    assert replications.stable(CLAIMS, {"seeds": others["seeds"]}).tolist() == [""] * 4


def test_estimates_stand_in_the_row_of_their_claim(others):
    found = replications.compared(CLAIMS, others)
    assert found["other: ours"].tolist()[:2] == [0.5, 2.5]
    assert found["other: verdict"].isna().tolist() == [False, False, True, True]


def test_section_counts_and_names_what_differs(others):
    text = "\n".join(replications.section(CLAIMS, others))
    assert "2 claims have the same statement, 1 of them another verdict (1 that are no checks, 1 *must*)" in text
    assert "1 change between reproduced and not reproduced" in text
    assert "| P1.01 | must | a |" in text and "P1.02 | expected | b | 2.000 | 2.500" not in text
    assert "4 claims have the same statement, 3 of them another verdict (2 that are no checks, 1 *must*); 0" in text
    assert replications.section(CLAIMS, {}) == []


def test_keep_writes_what_replications_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(record, "RUNS", tmp_path / "build" / "runs")
    with pytest.raises(FileNotFoundError, match="run `make repro` first"):
        replications.keep("other", "machine")
    (tmp_path / "build" / "runs").mkdir(parents=True)
    (tmp_path / "build" / "runs" / "claims_report.json").write_text(json.dumps({"machine": "m", "commit": "c"}))
    (tmp_path / "build" / "results" / "cards").mkdir(parents=True)
    (tmp_path / "build" / "results" / "cards" / "a.json").write_text(json.dumps({"id": "F1.1", "seeds": [2, 1]}))
    (tmp_path / "build" / "results" / "cards" / "b.json").write_text(json.dumps({"id": "T3.2", "seeds": [7]}))
    CLAIMS.to_csv(tmp_path / "build" / "results" / "claims.csv", index=False)
    with pytest.raises(ValueError, match="kind is 'colour', expected machine or seeds"):
        replications.keep("other", "colour")
    with pytest.raises(ValueError, match="no paper 9, expected some of 1, 2, 3, 4, 5, 6"):
        replications.keep("other", "seeds", [1, 9])
    assert replications.keep("other", "seeds", [1]) == tmp_path / "results" / "replications" / "other"
    run, claims = replications.replications(tmp_path / "results")["other"]
    assert run == {"kind": "seeds", "machine": "m", "commit": "c", "seeds": "1, 2"}
    pd.testing.assert_frame_equal(claims, CLAIMS.iloc[:3])


def test_published_replications_test_the_published_claims():
    """A replication of long ago would test other statements: of its papers at least two thirds are the same."""
    results = paths.ROOT / "results"
    published = pd.read_csv(results / "claims.csv")
    for name, (run, claims) in replications.replications(results).items():
        assert run["kind"] in replications.KINDS
        own = published[published["paper"].isin(claims["paper"])]
        same = own.merge(claims, on=["id", "statement"])
        assert len(same) >= 2 / 3 * len(own), f"{name} is of another version of the claims: run it again"
        assert set(claims["verdict"]) <= set(gallery.VERDICTS)
