import json
import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from aecompanion.pipeline import paths
from aecompanion.report import comparison, verification

ROWS = [  # id, paper, strength, ours, ci_low, ci_high, verdict
    ("P1.01", 1, "must", 0.5, 0.4, 0.6, "reproduced"),
    ("P1.02", 1, "expected", 0.1, -0.1, 0.3, "undecided"),
    ("P1.03", 1, "report", -0.2, -0.3, -0.1, "not reproduced"),
    ("P2.01", 2, "expected", -0.2, -0.3, -0.1, "not reproduced"),
    ("P2.02", 2, "report", float("nan"), float("nan"), float("nan"), "not testable here"),
]
COLUMNS = ["id", "paper", "strength", "ours", "ci_low", "ci_high", "verdict"]
PUBLISHED = pd.DataFrame(ROWS, columns=COLUMNS).assign(statement=lambda rows: "claim " + rows["id"])
TABLE = "method,value,share\nRP,1.5,0.2\nMP,2,\n"
STAGES = {
    "faces_data": {"outs": ["build/executed/faces_data.ipynb", "build/passes/faces_data.json", "build/faces/data"]},
    "mod_vid": {"outs": ["build/faces/shift.parquet"]},
}


def results(folder, claims=PUBLISHED, table=TABLE, machine="A", data="1"):
    """Write a folder of results with one table and one card."""
    for name in ("cards", "tables"):
        (folder / name).mkdir(parents=True)
    claims.to_csv(folder / "claims.csv", index=False)
    (folder / "tables" / "T1.1_a.csv").write_text(table)
    card = {"run": {"machine": machine}, "inputs": {"build/faces/data": data, "build/code/x.json": "changes"}}
    (folder / "cards" / "T1.1_a.json").write_text(json.dumps(card))
    (folder / "README.md").write_text("page")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A checkout with published results."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    results(tmp_path / "results")
    return tmp_path


def ran(tree, *changes, place="build/results", **options):
    """A run whose claims differ from the published by these (id, column, value)."""
    claims = PUBLISHED.copy()
    for id, column, value in changes:
        claims.loc[claims["id"] == id, column] = value
    results(tree / place, claims, **options)


def end(monkeypatch, capsys, *arguments):
    """Exit status and output of `aecompanion verify ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["aecompanion verify", *arguments])
    with pytest.raises(SystemExit) as ended:
        verification.main()
    return ended.value.code, capsys.readouterr().out


def test_the_same_again_is_reproduced(tree, monkeypatch, capsys):
    ran(tree)
    status, said = end(monkeypatch, capsys)
    assert status == 0
    assert "prepared data: 1 of 1 hashes equal\n" in said
    assert "tables     1 bytes (within: 0.01; largest deviation 0)" in said
    assert said.endswith(
        "verify: reproduced: 5 of 5 verdicts equal, 5 estimates inside the published interval, "
        "0 must or expected claims between reproduced and not reproduced\n"
    )
    assert json.loads((tree / "build" / "verification.json").read_text())["reproduced"] is True


@pytest.mark.parametrize(
    ("id", "verdict", "status"),
    [
        ("P1.01", "not reproduced", 1),  # must, turned round
        ("P2.01", "reproduced", 1),  # expected, turned round
        ("P1.01", "undecided", 0),  # must, but only undecided
        ("P1.02", "not reproduced", 0),  # was undecided
        ("P1.03", "reproduced", 0),  # of strength report
        ("P2.02", "reproduced", 0),
    ],
)
def test_only_a_must_or_expected_claim_that_turns_round_fails(tree, monkeypatch, capsys, id, verdict, status):
    ran(tree, (id, "verdict", verdict))
    ended, said = end(monkeypatch, capsys)
    assert ended == status
    assert f"{'!!' if status else '  '} {id} (" in said
    assert ("NOT reproduced" in said) is bool(status)
    assert "4 of 5 verdicts equal" in said


def test_a_claim_that_changed_is_named_with_both_estimates_and_intervals(tree, monkeypatch, capsys):
    ran(tree, ("P1.01", "verdict", "undecided"), ("P1.01", "ours", 0.1), ("P1.01", "ci_low", -0.2))
    said = end(monkeypatch, capsys)[1]
    lines = said.splitlines()
    start = next(place for place, line in enumerate(lines) if "P1.01 (must) claim P1.01" in line)
    assert lines[start + 1].split() == ["published", "reproduced", "0.5", "[0.4,", "0.6]"]
    assert lines[start + 2].split() == ["here", "undecided", "0.1", "[-0.2,", "0.6]"]
    assert "estimates  2 of 3 inside the published interval" in said
    found = json.loads((tree / "build" / "verification.json").read_text())["papers"]["1"]["changed"]
    assert found[0]["here"] == {"verdict": "undecided", "estimate": 0.1, "interval": [-0.2, 0.6]}


def test_a_claim_in_other_words_is_not_compared_but_counted(tree, monkeypatch, capsys):
    ran(tree, ("P1.01", "statement", "another"), ("P1.01", "verdict", "not reproduced"))
    status, said = end(monkeypatch, capsys)
    assert status == 0
    assert "only published: P1.01" in said
    assert said.rstrip().endswith(", 1 published claims not compared")


def test_machines_and_data_of_both_are_named(tree, monkeypatch, capsys):
    ran(tree, machine="B", data="2")
    said = end(monkeypatch, capsys)[1]
    assert "here:      B (1 displays)" in said
    assert "published: A (1 displays) [results]" in said
    assert "prepared data: 0 of 1 hashes equal: other in build/faces/data" in said


@pytest.mark.parametrize(
    ("table", "state", "apart"),
    [
        (TABLE, "bytes", 0),
        (TABLE.replace("1.5", "1.50"), "within", 0),
        (TABLE.replace("1.5", "1.512"), "within", 0.012 / 1.512),
        (TABLE.replace("1.5", "3"), "beyond", 0.5),
        (TABLE.replace("0.2", "-0.2"), "beyond", 2),
        (TABLE.replace("MP,2,", "MP,2,0"), "other", None),
        (TABLE.replace("MP", "EP"), "other", None),
        (TABLE.replace("share", "part"), "other", None),
        (TABLE + "EP,1,1\n", "other", None),
    ],
)
def test_tables_are_compared_by_bytes_then_by_numbers(tree, table, state, apart):
    ran(tree, table=table)
    found = comparison.compare_tables(tree / "build" / "results", tree / "results")["T1.1_a.csv"]
    assert found["state"] == state
    assert found["deviation"] == (apart if apart is None else pytest.approx(apart))


def test_tables_of_one_side_alone_are_said(tree):
    ran(tree)
    (tree / "build" / "results" / "tables" / "T2.2_b.csv").write_text("a\n1\n")
    (tree / "results" / "tables" / "C6_old.csv").write_text("a\n1\n")
    found = comparison.compare(tree / "build" / "results", tree / "results")
    assert found["papers"]["2"]["tables"] == {"only here": 1}
    assert comparison.compare_tables(tree / "build" / "results", tree / "results")["C6_old.csv"] == {
        "state": "only published",
        "deviation": None,
    }


def test_a_git_reference_and_a_folder_are_published_results_too(tree, monkeypatch, capsys):
    monkeypatch.delenv("GIT_DIR", raising=False)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "results"], [*identity, "commit", "-qm", "first"], ["tag", "v1"]):
        subprocess.run(["git", *command], cwd=tree, check=True)
    ran(tree, ("P1.01", "verdict", "not reproduced"))
    ran(tree, ("P1.01", "verdict", "not reproduced"), place="other")
    assert end(monkeypatch, capsys, str(tree / "other"))[0] == 0
    status, said = end(monkeypatch, capsys, "v1")
    assert status == 1
    assert "[results/ at v1]" in said


def test_a_profile_is_compared_with_its_own_published_results(tree, monkeypatch, capsys):
    ran(tree, place="results/small")
    ran(tree, ("P1.01", "verdict", "not reproduced"), place="build/profiles/small/build/results")
    status, said = end(monkeypatch, capsys, "--profile", "small")
    assert status == 1
    assert "[results/small]" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], r"build/results/ is missing or incomplete: run `make repro` first$"),
        (["--profile", "none"], r"build/profiles/none/build/results/ is missing or incomplete"),
    ],
)
def test_without_a_run_there_is_one_sentence(tree, monkeypatch, capsys, arguments, sentence):
    status, said = end(monkeypatch, capsys, *arguments)
    assert re.match(f"aecompanion verify: {sentence}", status)
    assert said == ""


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("no-such-reference", "no-such-reference is neither a folder nor a git reference that has results/"),
        ("empty", "empty has no claims.csv, expected published results (or results/ in it)"),
    ],
)
def test_a_reference_that_is_none_is_one_sentence(tree, monkeypatch, capsys, reference, problem):
    ran(tree)
    (tree / "empty").mkdir()
    monkeypatch.chdir(tree)
    assert end(monkeypatch, capsys, reference)[0] == f"aecompanion verify: {problem}"


def test_results_without_a_claim_in_common_cannot_be_compared(tree, monkeypatch, capsys):
    ran(tree, *((id, "statement", "other") for id in PUBLISHED["id"]))
    status, _ = end(monkeypatch, capsys)
    assert status.startswith("aecompanion verify: no claim of strength must or expected has the same words in both")
