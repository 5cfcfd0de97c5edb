import re

import nbformat
import pytest
import yaml

from aecompanion.pipeline.paths import ROOT
from aecompanion.report import gallery, headers
from aecompanion.report.papers import paper

STAGES = """
raw: {cmd: copy, deps: [manifest.yaml], outs: [build/raw]}
00_start_here: {deps: [data/photos], outs: [build/executed/00_start_here.ipynb]}
toy_data: {deps: [data/toys, build/code/toy_data.json], outs: [build/toys/data, build/executed/toy_data.ipynb]}
toy_train: {deps: [build/toys/data/images.npy], outs: [build/toys/networks]}
toy_table: {deps: [build/toys/networks], outs: [build/displays/toy_table: {persist: true}]}
toy_report: {deps: [build/displays/toy_table], outs: [build/results]}
"""
FOLDERS = {"00_start_here": "", "toy_data": "1_data", "toy_train": "2_train", "toy_table": "2_train", "toy_report": "7"}
TITLE = "# Toys\n\n**What you will learn**: little."


@pytest.fixture
def chain(tmp_path):
    """Four notebooks in a row beside the start page; toy_table makes two displays of paper 5 and one of paper 3."""
    notebooks = {name: tmp_path / folder / f"{name}.ipynb" for name, folder in FOLDERS.items()}
    for file in notebooks.values():
        file.parent.mkdir(exist_ok=True)
        cells = [nbformat.v4.new_markdown_cell(TITLE), nbformat.v4.new_code_cell("x = 1")]
        file.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
    made = dict.fromkeys(["F5.1", "T5.1", "X3.1"], "toy_table")
    return headers.Chain(yaml.safe_load(STAGES), notebooks, made)


def first_cell(chain, name):
    return nbformat.read(chain.notebooks[name], as_version=4).cells[0].source


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("00_start_here", [], []),
        ("toy_data", [], ["toy_train"]),  # a file in a folder that a stage writes
        ("toy_train", ["toy_data"], ["toy_table"]),
        ("toy_table", ["toy_train"], ["toy_report"]),
        ("toy_report", ["toy_table"], []),
    ],
)
def test_the_chain_follows_from_what_stages_read_and_write(chain, name, before, after):
    assert (chain.before(name), chain.after(name)) == (before, after)


@pytest.mark.parametrize(
    ("read", "written", "met"),
    [
        ("build/a", "build/a", True),
        ("build/a/b.csv", "build/a", True),
        ("build/a", "build/a/b.csv", True),
        ("build/a", "build/ab", False),
        ("build/a.csv", "build/a", False),
    ],
)
def test_paths_meet_by_their_parts(read, written, met):
    assert headers.meet(["other", read], [written]) is met


@pytest.mark.parametrize(
    ("name", "papers"),
    [("00_start_here", []), ("toy_data", [3, 5]), ("toy_table", [3, 5]), ("toy_report", [3, 5])],
)
def test_a_stage_serves_the_papers_whose_displays_depend_on_it_or_which_it_reads(chain, name, papers):
    assert chain.papers(name) == papers


def test_a_header_says_papers_chain_and_results(chain):
    about, places, size = headers.header("toy_table", chain).splitlines()
    for number in (3, 5):
        assert f"Paper {number}: [{paper(number).name}]({paper(number).link})" in about
    assert "Reads: [toy_train](toy_train.ipynb) · Read by: [toy_report](../7/toy_report.ipynb) · " in places
    assert "[2 displays of paper 5](" in places
    assert "results/README.md#paper-3--kim-et-al-ieee-tip-2022-robust-perturbation)" in places
    assert places.endswith("[start page](../00_start_here.ipynb)")
    assert "tutorial size" in size and "default size" in size
    assert size.endswith("results/README.md)")


def test_raw_data_are_named_and_the_start_page_does_not_link_to_itself(chain):
    about, places, _ = headers.header("00_start_here", chain).splitlines()
    assert (about, places) == ("* Of no single paper", "* Reads: `data/photos`")
    assert "Reads: `data/toys` · " in headers.header("toy_data", chain)


def test_what_writes_results_links_to_all_of_them(chain):
    assert "[all results](" in headers.header("toy_report", chain)
    assert "[all results](" not in headers.header("toy_table", chain)


def test_many_notebooks_are_counted(chain, monkeypatch):
    monkeypatch.setattr(headers, "MANY", 1)
    assert "Reads: 1 notebooks · " in headers.header("toy_report", chain)


def test_headers_are_written_once_and_the_rest_of_the_cell_stays(chain):
    assert headers.write(chain) == list(FOLDERS)
    assert headers.write(chain) == []
    text = first_cell(chain, "toy_data")
    block = headers.header("toy_data", chain)
    assert text == f"# Toys\n\n{headers.MARKS[0]}\n\n{block}\n\n{headers.MARKS[1]}\n\n**What you will learn**: little."
    assert nbformat.read(chain.notebooks["toy_data"], as_version=4).cells[1].source == "x = 1"


def test_a_header_is_renewed_where_the_chain_changes(chain):
    headers.write(chain)
    chain.reads["toy_train"] = ["data/other"]
    assert headers.write(chain) == ["toy_data", "toy_train"]
    assert "Read by" not in first_cell(chain, "toy_data")
    assert first_cell(chain, "toy_train").count(headers.MARKS[0]) == 1


def test_check_looks_and_writes_nothing(chain):
    assert headers.write(chain, check=True) == list(FOLDERS)
    assert first_cell(chain, "toy_data") == TITLE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Toys", "toy: the first cell does not begin with a title"),
        (f"# Toys\n\n{headers.MARKS[1]}\n\n{headers.MARKS[0]}", "toy: the marks .* out of order"),
        (f"# Toys\n\n{headers.MARKS[0]}", "toy: the marks .* are missing"),
    ],
)
def test_a_cell_without_title_or_with_marks_out_of_order_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        headers.headed(text, "* new", "toy")


@pytest.mark.parametrize("stale", [[], ["toy_data", "toy_table"]])
def test_the_command_fails_in_check_mode_naming_the_notebooks(monkeypatch, capsys, stale):
    monkeypatch.setattr("sys.argv", ["aecompanion headers", "--check"])
    monkeypatch.setattr(headers, "write", lambda chain, check: stale if check else [])
    if stale:
        with pytest.raises(SystemExit, match="toy_data, toy_table"):
            headers.main()
    else:
        headers.main()
        assert "0 headers out of date" in capsys.readouterr().out


def test_every_committed_header_is_up_to_date():
    assert headers.write(headers.current(), check=True) == []


def test_every_link_of_a_header_leads_to_a_file():
    chain = headers.current()
    for name, file in chain.notebooks.items():
        for target in headers.header(name, chain).split("](")[1:]:
            address = target.partition(")")[0].partition("#")[0]
            if not address.startswith("https://"):
                assert (file.parent / address).resolve().is_file(), f"{name}: {address} below {ROOT}"


def test_every_notebook_ends_with_a_way_onward():
    for file in headers.current().notebooks.values():
        last = nbformat.read(file, as_version=4).cells[-1]
        assert last.source.startswith("## What was found, and what to try"), file.name
        onward = last.source.splitlines()[-1] if "* Next: " not in last.source else last.source.partition("* Next: ")[2]
        assert re.search(r"\]\([^)]+\.(ipynb|md)", onward), file.name


def test_links_from_notebooks_into_the_documents_lead_to_a_section():
    for file in headers.current().notebooks.values():
        prose = "\n".join(cell.source for cell in nbformat.read(file, as_version=4).cells if "](" in cell.source)
        for address, place in re.findall(r"\]\(([\w./]+\.md)#([^)]+)\)", prose):
            text = (file.parent / address).read_text()
            known = {gallery.anchor(title) for title in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)}
            if "/results/" not in address:  # whose headings are written by the run that follows
                assert place in known, f"{file.name}: {address}#{place}"
