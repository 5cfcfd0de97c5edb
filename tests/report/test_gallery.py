import inspect
import json

import numpy as np
import pandas as pd
import pytest
import yaml

from aecompanion.pipeline import paths
from aecompanion.report import claims, displays, gallery
from aecompanion.report.halftone import tables as halftone_tables

STAGES = {"mod_vid": {"outs": ["build/displays/mod_vid"]}, "shift_gallery": {"outs": ["build/displays/shift_gallery"]}}
ENTRIES = {
    "F5.9": {"slug": "curve", "notebook": "mod_vid", "title": "A curve", "original": "Fig. 9."},
    "T5.9": {"slug": "means", "notebook": "mod_vid", "title": "The means", "original": "Unknown."},
    "X2.1": {"slug": "other", "notebook": "shift_gallery", "title": "Of another paper", "original": "Ours."},
    "X5.9": {"slug": "more", "suffix": ".csv", "notebook": "shift_gallery", "title": "More means", "original": "Ours."},
}
CLAIMS = [
    (
        "P5.01",
        5,
        "F5.9",
        "It rises | or falls",
        "must",
        2.32,
        0.12345,
        0.1,
        0.2,
        240,
        3,
        "reproduced",
        "needed > 0",
        "make",
    ),
    ("P5.02", 5, "T5.9", "It is zero", "report", np.nan, 1e-9, 0, 0, 240, 3, "not reproduced", "needed > 1", "make"),
    (
        "P2.01",
        2,
        "X2.1",
        "It is undefined",
        "expected",
        3,
        np.nan,
        np.nan,
        np.nan,
        9,
        1,
        "not testable here",
        "why",
        "make",
    ),
]


def register(folder, entries):
    """Registers of displays with these entries."""
    for file in folder.glob("paper*_displays.yaml"):
        file.unlink()
    for paper in {displays.paper_of(name) for name in entries}:
        own = {name: entry for name, entry in entries.items() if displays.paper_of(name) == paper}
        (folder / f"paper{paper}_displays.yaml").write_text(yaml.safe_dump(own, sort_keys=False))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A project of four displays, all made, in which the report stage runs."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setattr(paths, "BY_HAND", tmp_path / "build" / "by_hand")
    monkeypatch.setattr(displays, "REGISTERS", tmp_path)
    monkeypatch.setenv("COMPANION_STAGE", "claims_report")
    register(tmp_path, ENTRIES)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    for display in reversed(ENTRIES):
        content = f"content of {display}"
        card = {"source": "faces", "n": 240, "seeds": [1]}
        displays.save(display, gallery.suffix(display), lambda path, content=content: path.write_text(content), **card)
    return tmp_path


@pytest.fixture
def table():
    return pd.DataFrame(CLAIMS, columns=claims.COLUMNS)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- small pieces


@pytest.mark.parametrize(("display", "paper"), [("F5.4", 5), ("X5.10", 5), ("T1.2", 1), ("P12.01", 12), ("X1.13", 1)])
def test_the_paper_of_a_display_is_the_number_after_its_letter(display, paper):
    assert displays.paper_of(display) == paper


@pytest.mark.parametrize(("display", "paper"), [("F1.1", 1), ("F1.9", 1), ("F2.2", 2), ("T2.11", 2)])
def test_the_companion_experiments_belong_to_their_papers(display, paper):
    assert displays.paper_of(display) == paper


@pytest.mark.parametrize("display", ["", "F", "Fig. 4", "X.1"])
def test_an_id_without_a_paper_is_an_error_that_names_it(display):
    with pytest.raises(ValueError, match=rf"^display {display!r} has no paper"):
        displays.paper_of(display)


def test_every_registered_display_and_claim_belongs_to_a_known_paper():
    assert {displays.paper_of(display) for display in displays.register()} <= set(gallery.PAPERS)
    assert {claim["paper"] for claim in claims.register()} <= set(gallery.PAPERS)


def test_a_claim_points_to_a_display_of_its_own_paper():
    for claim in claims.register():
        assert displays.paper_of(claim["display"]) == claim["paper"], claim["id"]


@pytest.mark.parametrize(
    ("display", "suffix"), [("F1.1", ".png"), ("T1.6", ".csv"), ("X1.5", ".png"), ("X1.6", ".csv"), ("T4.1", ".csv")]
)
def test_the_suffix_of_a_registered_display(display, suffix):
    assert gallery.suffix(display) == suffix


def test_displays_of_a_paper_stand_together_in_the_register():
    order = [displays.paper_of(display) for display in displays.register()]
    assert order == sorted(order)


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


def test_tables_are_csv_and_everything_else_is_a_picture_unless_the_register_says_otherwise(tree):
    assert {display: gallery.suffix(display) for display in ENTRIES} == {
        "F5.9": ".png",
        "T5.9": ".csv",
        "X2.1": ".png",
        "X5.9": ".csv",
    }


# ---- publishing


def test_every_display_is_published_with_its_card(tree):
    cards = gallery.publish_displays()
    assert files(tree / "results") == ["figures", "tables"]
    figures, tables = ["F5.9_curve", "X2.1_other"], ["T5.9_means", "X5.9_more"]
    assert files(tree / "results" / "figures") == [f"{name}{end}" for name in figures for end in (".json", ".png")]
    assert files(tree / "results" / "tables") == [f"{name}{end}" for name in tables for end in (".csv", ".json")]
    assert (tree / "results" / "tables" / "T5.9_means.csv").read_text() == "content of T5.9"
    assert [(card["id"], card["file"]) for card in cards] == [  # in the order of the registers
        ("X2.1", "figures/X2.1_other.png"),
        ("F5.9", "figures/F5.9_curve.png"),
        ("T5.9", "tables/T5.9_means.csv"),
        ("X5.9", "tables/X5.9_more.csv"),
    ]
    published = json.loads((tree / "results" / "figures" / "F5.9_curve.json").read_text())
    assert cards[1] == published | {"file": "figures/F5.9_curve.png"}
    assert list(published)[:4] == ["id", "title", "notebook", "original"]
    assert (published["title"], published["original"]) == ("A curve", "Fig. 9.")  # as the register words them now


def test_a_display_that_is_no_longer_registered_disappears_from_the_results(tree):
    gallery.publish_displays()
    register(tree, {"T5.9": ENTRIES["T5.9"]})
    gallery.publish_displays()
    assert files(tree / "results" / "figures") == []
    assert files(tree / "results" / "tables") == ["T5.9_means.csv", "T5.9_means.json"]


@pytest.mark.parametrize("ending", [".png", ".json"])
def test_a_display_that_was_not_made_is_an_error_that_names_the_stage_and_keeps_the_old_results(tree, ending):
    gallery.publish_displays()
    before = files(tree / "results" / "figures")
    (tree / "build" / "displays" / "shift_gallery" / f"X2.1_other{ending}").unlink()
    place = rf"^build/displays/shift_gallery/X2\.1_other\{ending} is missing: run the stage shift_gallery first"
    with pytest.raises(FileNotFoundError, match=place):
        gallery.publish_displays()
    assert files(tree / "results" / "figures") == before


# ---- the page


@pytest.fixture
def page(tree, table):
    means = pd.DataFrame({"network": ["vgg"] * 12, "mean": [0.25] * 12})
    long = pd.DataFrame({"network": ["resnet"] * 13, "mean": [0.75] * 13})
    read = {"tables/T5.9_means.csv": means, "tables/X5.9_more.csv": long}
    return gallery.page(gallery.publish_displays(), table, read.__getitem__, size="240 test images")


def section(page, title):
    """The lines from a heading to the next one of its kind, without empty lines."""
    level = title.split()[0]
    lines = page.splitlines()
    start = lines.index(title)
    end = next((i for i in range(start + 1, len(lines)) if lines[i].startswith(f"{level} ")), len(lines))
    return [line for line in lines[start + 1 : end] if line]


def test_the_page_has_a_section_per_paper_with_its_claims_before_its_displays(page):
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == [
        "# Results",
        f"## Paper 2 · {gallery.PAPERS[2]}",
        "### Claims",
        "### X2.1 · Of another paper",
        f"## Paper 5 · {gallery.PAPERS[5]}",
        "### Claims",
        "### F5.9 · A curve",
        "### T5.9 · The means",
        "### X5.9 · More means",
    ]
    assert "(240 test images)" in page


def test_a_claim_is_a_row_with_numbers_interval_and_a_verdict_that_is_bold_unless_reproduced(page):
    lines = section(page, f"## Paper 5 · {gallery.PAPERS[5]}")
    assert lines[lines.index("### Claims") + 1 :][:4] == [
        "| id | claim | strength | paper | ours [95 % interval] | verdict | reason |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        r"| P5.01 | It rises \| or falls | must | 2.32 | 0.123 [0.1, 0.2] | reproduced | needed > 0 |",
        "| P5.02 | It is zero | report |  | 0 [0, 0] | **not reproduced** | needed > 1 |",
    ]
    (undefined,) = (line for line in section(page, f"## Paper 2 · {gallery.PAPERS[2]}") if line.startswith("| P2"))
    assert undefined.startswith("| P2.01 | It is undefined | expected | 3 |")
    assert undefined.endswith("| **not testable here** | why |")


def test_a_figure_is_shown_with_its_caption_original_and_notebook(page):
    assert section(page, "### F5.9 · A curve") == [
        "![F5.9: A curve](figures/F5.9_curve.png)",
        "*Here:* Data: faces; n = 240; training seed 1. *Original:* Fig. 9. Made by `mod_vid`.",
    ]


def test_a_table_of_twelve_rows_is_shown_and_a_longer_one_is_folded(page):
    short, long = (section(page, title) for title in ("### T5.9 · The means", "### X5.9 · More means"))
    assert short[:3] == ["| network | mean |", "| --- | --- |", "| vgg | 0.250 |"]
    assert len(short) == 2 + 12 + 1
    assert long[0] == "<details><summary>13 rows (tables/X5.9_more.csv)</summary>"
    assert long[1:4] == ["| network | mean |", "| --- | --- |", "| resnet | 0.750 |"]
    assert len(long) == 1 + 2 + 13 + 1 + 1


def test_the_note_of_a_paper_stands_between_its_heading_and_its_claims_and_nowhere_else(table, monkeypatch):
    monkeypatch.setattr(gallery, "NOTES", {2: "**Mind** this.", 4: "Not shown."})
    lines = [line for line in gallery.page([], table, None, size="").splitlines() if line]
    heading = lines.index(f"## Paper 2 · {gallery.PAPERS[2]}")
    assert lines[heading + 1 : heading + 3] == ["**Mind** this.", "### Claims"]
    assert lines.count("**Mind** this.") == 1
    assert "Not shown." not in lines  # no claims, no displays, no section
    assert lines[lines.index(f"## Paper 5 · {gallery.PAPERS[5]}") + 1] == "### Claims"


def test_the_page_says_what_of_paper_4_is_reconstructed(table):
    page = gallery.page([], table.assign(paper=4), None, size="")
    assert f"## Paper 4 · {gallery.PAPERS[4]}\n\n{gallery.NOTES[4]}\n\n### Claims\n" in page
    for number in halftone_tables.PAPER_TOP5.values():
        assert f"{100 * number:.2f}" in gallery.NOTES[4]


def test_the_page_says_what_of_paper_1_is_reconstructed_and_that_phantoms_are_drawn(table):
    page = gallery.page([], table.assign(paper=1), None, size="")
    assert f"## Paper 1 · {gallery.PAPERS[1]}\n\n{gallery.NOTES[1]}\n\n### Claims\n" in page
    assert "reconstructed" in gallery.NOTES[1]
    assert "not radiographs" in gallery.NOTES[1]


def test_the_card_of_a_companion_experiment_stands_in_the_section_of_paper_1(table):
    card = {"id": "F1.3", "title": "Regions", "file": "figures/C3.png", "caption": "", "original": "", "notebook": "n"}
    page = gallery.page([card], table.assign(paper=1), None, size="")
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# Results",
        f"## Paper 1 · {gallery.PAPERS[1]}",
        "### Claims",
        "### F1.3 · Regions",
    ]


def test_every_note_is_one_paragraph_about_a_known_paper():
    assert set(gallery.NOTES) <= set(gallery.PAPERS)
    assert not any("\n" in note for note in gallery.NOTES.values())


def test_a_paper_with_claims_and_no_display_has_its_section(table):
    page = gallery.page([], table, None, size="")
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        f"## Paper {paper} · {gallery.PAPERS[paper]}" for paper in (2, 5)
    ]


# ---- the project's README


README = """# Project
<!-- adaptive: by hand no more -->
old <!-- claims -->
<!-- end of adaptive -->
between
<!-- claims: generated -->
old
<!-- end of claims -->
end
"""


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ((), README.replace("generated -->\nold\n", "generated -->\n\n| new |\n")),
        (("claims",), README.replace("generated -->\nold\n", "generated -->\n\n| new |\n")),
        (("adaptive",), README.replace("no more -->\nold <!-- claims -->\n", "no more -->\n\n| new |\n")),
    ],
    ids=["claims-unless-told-otherwise", "claims", "adaptive"],
)
def test_a_table_replaces_what_stands_between_its_marks_and_nothing_else(mark, expected):
    once = gallery.insert(README, "| new |", *mark)
    assert once == expected
    assert gallery.insert(once, "| new |", *mark) == once


@pytest.mark.parametrize("mark", ["claims", "adaptive"])
def test_missing_marks_or_marks_out_of_order_are_an_error_that_names_them(mark):
    marks = rf"^README\.md: the marks `<!-- {mark}:` and `<!-- end of {mark} -->` are missing or out of order$"
    for text in (
        "",
        README.replace(f"<!-- {mark}:", "<!--"),
        README.replace(f"<!-- end of {mark} -->", ""),
        f"<!-- end of {mark} --> <!-- {mark}: -->",
    ):
        with pytest.raises(ValueError, match=marks):
            gallery.insert(text, "| new |", mark)


# ---- two runs side by side, and the page of a profile


def test_the_readme_shows_the_numbers_of_both_runs_and_leaves_missing_ones_empty(table):
    public = table.iloc[:1].assign(ours=0.5, ci_low=0.4, ci_high=0.6, verdict="not reproduced")
    lines = gallery.readme_table(table, public).splitlines()
    columns = ["id", "claim", "strength", "paper", "embedded [95 % interval]", "embedded: verdict"]
    header = f"| {' | '.join([*columns, 'public [95 % interval]', 'public: verdict'])} |"
    assert lines.count(header) == table["paper"].nunique()
    rows = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("| P")}
    first, second = table["id"].iloc[0], table["id"].iloc[1]
    assert rows[first].endswith("| 0.5 [0.4, 0.6] | **not reproduced** |")
    assert rows[second].endswith("|  |  |")


def test_the_readme_counts_the_verdicts_and_in_brackets_those_that_must_hold():
    rows = [(1, "must", "reproduced"), (1, "report", "reproduced"), (1, "must", "not reproduced")]
    rows += [(5, "expected", "same direction"), (5, "must", "not testable here")]
    both = pd.DataFrame(rows, columns=["paper", "strength", "verdict"])
    header, _, *lines = gallery.counts(both, both.iloc[:1]).splitlines()
    names = [f"{run}: {verdict}" for run in ("embedded", "public") for verdict in gallery.VERDICTS]
    assert header == f"| paper | {' | '.join(names)} |"
    nothing = "0 (0) | 0 (0) | 0 (0)"
    assert lines == [
        f"| 1 | 2 (1) | 0 (0) | 1 (1) | 0 (0) | 1 (1) | {nothing} |",
        f"| 5 | 0 (0) | 1 (0) | 0 (0) | 1 (1) | 0 (0) | {nothing} |",
    ]


def test_the_counts_have_every_verdict_that_a_claim_gets():
    source = inspect.getsource(claims)
    assert all(f'return "{verdict}"' in source or f'= "{verdict}"' in source for verdict in gallery.VERDICTS)
    published = pd.read_csv(paths.ROOT / "results" / "claims.csv")
    assert set(published["verdict"]) <= set(gallery.VERDICTS)


def test_a_side_tree_is_known_by_its_place(tmp_path):
    assert gallery.profile_of(tmp_path / "build" / "profiles" / "public") == "public"
    assert gallery.profile_of(tmp_path) is None


def test_the_page_of_a_profile_names_its_command(table):
    page = gallery.page([], table, None, size="", profile="public")
    assert page.startswith("# Results of the profile public\n\nMade by `make repro PROFILE=public`")
