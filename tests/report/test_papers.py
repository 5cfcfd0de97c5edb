import pandas as pd
import pytest
import yaml

from aecompanion.pipeline import paths
from aecompanion.pipeline.notebooks import sources
from aecompanion.report import papers

FACTS = {
    "number": 9,
    "title": "A title",
    "authors": "One, Two and Three",
    "venue": "V 2030",
    "about": "a matter",
    "links": {"arXiv": "https://example.org/9"},
    "question": "Is it so?",
    "answer": "It is.",
    "first": "3_attack/toy",
    "tables": {"rows": "toy/rows.parquet"},
    "notes": "A note.",
    "displays": {"F9.1": {"slug": "one", "notebook": "toy", "title": "One", "original": "Ours."}},
}


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.setattr(papers, "ROOM", tmp_path)
    papers.papers.cache_clear()
    (tmp_path / "toy").mkdir()

    def write(**changes):
        papers.papers.cache_clear()
        facts = {name: value for name, value in (FACTS | changes).items() if value is not None}
        (tmp_path / "toy" / "paper.yaml").write_text(yaml.safe_dump(facts, sort_keys=False))

    yield write
    papers.papers.cache_clear()


@pytest.mark.parametrize(("display", "paper"), [("F5.4", 5), ("X5.10", 5), ("T1.2", 1), ("F12.01", 12)])
def test_the_paper_of_a_display_is_the_number_after_its_letter(display, paper):
    assert papers.number_of(display) == paper


@pytest.mark.parametrize("display", ["", "F", "Fig. 4", "X.1", "C3", "S10", "P5.01", "F5"])
def test_an_id_of_another_form_is_an_error_that_names_it(display):
    with pytest.raises(ValueError, match=rf"^display {display!r} has no paper"):
        papers.number_of(display)


def test_the_papers_and_the_bench_are_found_by_number_under_their_handles():
    *others, bench = papers.papers()
    assert [paper.handle for paper in others] == ["causal", "counterfactual", "masks", "halftone", "shift"]
    assert [paper.number for paper in others] == [1, 2, 3, 4, 5]
    assert papers.paper(3).name == "Kim et al., IEEE TIP 2022: Robust Perturbation"
    assert all(paper.link.startswith("https://") for paper in others)
    assert (bench.handle, bench.number, bench.name, bench.links) == ("truth", 6, "Ours, no paper: the truth bench", {})


def test_the_notebook_to_begin_with_exists():
    known = {path.relative_to(paths.ROOT / "notebooks").with_suffix("").as_posix() for path in sources()}
    assert {paper.first for paper in papers.papers()} <= known


def test_what_is_said_of_a_paper_has_no_numbers_that_could_go_stale():
    for paper in papers.papers():
        assert not any(letter.isdigit() for letter in paper.answer), paper.answer


def test_an_open_paper_is_never_called_unobtainable():
    for paper in papers.papers():
        assert "unobtainable" not in paper.notes
        assert ("open access" in paper.notes) == (paper.number in (1, 2, 5))


def test_a_description_is_read(room):
    room()
    (paper,) = papers.papers()
    assert (paper.handle, paper.name, paper.link) == ("toy", "One et al., V 2030: a matter", "https://example.org/9")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"venue": None}, r"^toy/paper\.yaml: keys \['venue'\] are missing or unknown"),
        ({"venues": "V"}, r"^toy/paper\.yaml: keys \['venues'\] are missing or unknown"),
        ({"displays": {"F8.1": {}}}, r"^toy/paper\.yaml: display 'F8\.1' is not of paper 9$"),
        ({"displays": {"C1": {}}}, r"^display 'C1' has no paper"),
    ],
)
def test_a_wrong_description_is_one_sentence(room, changes, message):
    room(**changes)
    with pytest.raises(ValueError, match=message):
        papers.papers()


def test_an_unknown_number_names_the_known_ones():
    with pytest.raises(ValueError, match=r"^no paper 9, expected one of \[1, 2, 3, 4, 5, 6\]$"):
        papers.paper(9)


def test_tables_are_read_once_when_they_are_asked_for(room, tmp_path, monkeypatch):
    room()
    read = []
    monkeypatch.setattr(papers.paths, "find", lambda name: tmp_path / name)
    monkeypatch.setattr(papers.pd, "read_parquet", lambda file: read.append(file) or pd.DataFrame({"a": [1]}))
    tables = papers.Tables(papers.papers()[0])
    assert (list(tables), len(tables), read) == (["rows"], 1, [])
    assert tables["rows"] is tables["rows"]
    assert read == [tmp_path / "toy" / "rows.parquet"]
    with pytest.raises(KeyError, match="'other'"):
        tables["other"]
