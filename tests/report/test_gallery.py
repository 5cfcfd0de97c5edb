import numpy as np
import pandas as pd
import pytest

from aecompanion.pipeline import paths
from aecompanion.report import carried, claims, gallery, pages
from aecompanion.report.papers import papers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (2, "2"),
        (-38.32, "-38.3"),
        (1e-7, "0"),
        (-1e-9, "0"),
        (2e-6, "2e-06"),
        (0, "0"),
        (0.4, "0.4"),
    ],
)
def test_a_number_has_three_digits_and_numerical_noise_is_zero(value, text):
    assert gallery.number(value) == text


@pytest.mark.parametrize("value", [None, np.nan, float("nan")])
def test_a_missing_number_is_empty(value):
    assert gallery.number(value) == ""


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Paper 3 · Kim et al., TIP 2022: RP", "paper-3--kim-et-al-tip-2022-rp"),
        ("F3.6 · The reverse image of L_M's mask", "f36--the-reverse-image-of-l_ms-mask"),
    ],
)
def test_an_anchor_is_githubs(title, expected):
    assert gallery.anchor(title) == expected


def test_a_claim_is_a_row_with_links_its_interval_and_a_verdict_that_is_bold_unless_reproduced():
    row = [
        "P5.05",
        5,
        "T5.2",
        "It | is",
        "must",
        2.32,
        0.12345,
        0.1,
        0.2,
        0.01,
        0.04,
        240,
        3,
        "reproduced",
        "needed > 0",
        "make",
    ]
    nothing = [np.nan] * 6
    other = ["P5.99", 5, "T5.2", "So", "report", *nothing, 9, 1, "not testable here", "why", "m"]
    table = pd.DataFrame([row, other], columns=claims.COLUMNS)
    card = {"title": "MOD", "file": "tables/T5.2_mod.csv"}
    header, _, first, second = gallery.verdicts(table, "../", {"T5.2": card}).splitlines()
    assert header.startswith(
        "| id | claim | display | by | strength | paper | ours [95 % interval] | p (Holm) | verdict | reason |"
    )
    assert first.startswith(
        r"| P5.05 | It \| is | [T5.2](#t52--mod) | [mod_at_zero](../lib/aecompanion/papers/shift/cl"
    )
    assert first.endswith("| must | 2.32 | 0.123 [0.1, 0.2] | 0.04 | reproduced | needed > 0 |")
    assert second.endswith("| report |  |  [, ] |  | **not testable here** | why |")


def test_a_table_of_twelve_rows_is_shown_and_a_longer_one_is_folded():
    card = {"file": "tables/T9.1_a.csv"}
    short, long = (gallery.table_block(card, pd.DataFrame({"mean": [0.25] * rows})).splitlines() for rows in (12, 13))
    assert (len(short), short[0], short[2]) == (14, "| mean |", "| 0.250 |")
    assert long[0] == "<details><summary>13 rows (tables/T9.1_a.csv)</summary>"


def test_a_profile_is_known_by_the_place_of_its_results(tmp_path):
    assert gallery.profile_of(tmp_path / "results") is None
    assert gallery.profile_of(tmp_path / "build" / "results") is None
    assert gallery.profile_of(tmp_path / "results" / "public") == "public"
    assert gallery.profile_of(tmp_path / "build" / "profiles" / "public" / "build" / "results") == "public"


def test_the_page_of_a_profile_names_its_command():
    assert any("`make repro PROFILE=public`" in line for line in gallery.heading("public"))


# ---- generated parts


README = "# Project\n<!-- a: no more -->\nold <!-- b -->\n<!-- end of a -->\nbetween\n<!-- b: -->\n<!-- end of b -->\n"


@pytest.mark.parametrize("mark", ["a", "b"])
def test_a_table_replaces_what_stands_between_its_marks_and_nothing_else(mark):
    once = pages.insert(README, "| new |", mark)
    assert once.count("| new |") == 1
    assert once.startswith("# Project\n")
    assert "between\n" in once
    assert ("old" in once) == (mark == "b")
    assert pages.insert(once, "| new |", mark) == once


@pytest.mark.parametrize("text", ["", README.replace("<!-- a:", "<!--"), README.replace("<!-- end of a -->", "")])
def test_missing_marks_are_an_error_that_names_them_and_the_file(text):
    with pytest.raises(ValueError, match=r"^docs/x\.md: the marks `<!-- a:` and `<!-- end of a -->` are missing"):
        pages.insert(text, "| new |", "a", "docs/x.md")


def test_verdicts_are_counted_and_in_brackets_those_that_must_hold():
    rows = [(1, "must", "reproduced"), (1, "report", "reproduced"), (1, "must", "not reproduced")]
    rows += [(5, "expected", "undecided"), (5, "must", "not testable here"), (5, "check", "reproduced")]
    both = pd.DataFrame(rows, columns=["paper", "strength", "verdict"]).assign(id=list("abcdef"))
    header, _, *lines = pages.counts(both, both.iloc[[0, 5]]).splitlines()
    names = [f"{run}: {verdict}" for run in ("embedded", "public") for verdict in gallery.VERDICTS]
    assert header == f"| paper | {' | '.join(names)} | checks that hold |"
    nothing = " | ".join(["0 (0)"] * 4)
    assert lines == [
        f"| 1 | 2 (1) | 0 (0) | 0 (0) | 1 (1) | 0 (0) | 1 (1) | {nothing} | 0 of 0 |",
        f"| 5 | 0 (0) | 0 (0) | 1 (0) | 0 (0) | 1 (1) | 0 (0) | {nothing} | 1 of 1 |",
    ]


def test_claims_about_scenes_that_stay_composed_are_no_evidence_on_real_images():
    rows = [("P3.01", "T3.2", "VOC-like: it deletes"), ("P3.02", "T3.2", "COCO-like: it deletes")]
    rows += [("P3.52", "X3.4", "BP: it changes"), ("P2.05", "T2.2", "it is sparse")]
    given = pd.DataFrame(rows, columns=["id", "display", "statement"]).assign(verdict="reproduced")
    found = carried.real(given).set_index("id")["verdict"]
    assert found.to_dict() == {
        "P3.01": "not testable here",
        "P3.02": "reproduced",
        "P3.52": "not testable here",
        "P2.05": "reproduced",
    }


def test_the_published_public_run_s_findings_about_masks_are_on_photographs_of_imagenet():
    """Its scenes are composed, its COCO networks fail the gate, and no radiograph was explained."""
    public = carried.real(pd.read_csv(paths.ROOT / "results" / "public" / "claims.csv"))
    found = public[(public["paper"] == 3) & (public["verdict"] != "not testable here")]
    assert len(found) and found["statement"].str.startswith("ImageNet").all()


def test_the_readmes_table_has_a_row_per_paper_with_its_verdicts():
    published = pd.read_csv(paths.ROOT / "results" / "claims.csv")
    _, _, *rows = pages.paper_table(published).splitlines()
    assert len(rows) == len(papers())
    for paper, row in zip(papers(), rows, strict=True):
        own = published[(published["paper"] == paper.number) & (published["strength"] != "check")]
        assert f"{(own['verdict'] == 'reproduced').sum()} reproduced" in row
        assert all(address in row for address in list(paper.links.values())[:1])


def test_the_published_verdicts_are_known():
    published = pd.read_csv(paths.ROOT / "results" / "claims.csv")
    assert set(published["verdict"]) <= set(gallery.VERDICTS)


def test_readme_findings_and_results_are_in_step_with_what_is_published():
    """`aecompanion report` mends it, also after an edit that moved a function to another line."""
    for name, text in pages.texts().items():
        assert (paths.ROOT / name).read_text() == text, f"{name} is out of date: run `aecompanion report`"
