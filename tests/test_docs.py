"""README.md is short and shows what is published, its tree is there, and every example of the documents runs."""

import os
import re
import subprocess
import sys

import pandas as pd
import pytest

from aecompanion.pipeline.paths import ROOT
from aecompanion.report import carried, pages

README, FINDINGS = ROOT / "README.md", ROOT / "docs" / "findings.md"
SIDE_TREE = ROOT.parent.name == "profiles"  # whose results are of another size
EXECUTED = ("README.md", "docs/your_own.md", "docs/adding.md")


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a document in this language ("" for none), in their order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / name).read_text(), flags=re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def documented_tree() -> list[str]:
    """The paths at the beginning of the lines of README's tree."""
    (tree,) = (text for text in blocks("README.md", "") if text.startswith("README.md"))
    return [line.split()[0] for line in tree.splitlines()]


def test_the_readme_stays_short():
    assert len(README.read_bytes()) <= 14_000


@pytest.mark.parametrize("entry", documented_tree())
def test_every_entry_of_the_documented_tree_exists(entry):
    path = ROOT / entry
    assert path.is_dir() if entry.endswith("/") else path.is_file()


def test_every_document_is_listed_in_its_index():
    listed = (ROOT / "docs" / "README.md").read_text()
    missing = [file.name for file in (ROOT / "docs").glob("*.md") if f"({file.name})" not in listed]
    assert missing == ["README.md"]


@pytest.mark.parametrize("name", EXECUTED)
def test_the_examples_run_in_their_order(name, tmp_path):
    """In a process of their own, since some add rows to the tables of methods."""
    examples, script = blocks(name, "python"), tmp_path / "examples.py"
    assert examples
    script.write_text("\n".join(examples))
    places = os.pathsep.join([str(ROOT / "lib"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": places}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(SIDE_TREE, reason="the documents show the default size")
def test_the_readme_shows_the_published_verdicts():
    text = README.read_text()
    assert text == pages.insert(text, pages.paper_table(pd.read_csv(ROOT / "results" / "claims.csv")), "papers")


@pytest.mark.skipif(SIDE_TREE, reason="the documents show the default size")
def test_the_findings_show_the_published_tables():
    text, results = FINDINGS.read_text(), ROOT / "results"
    default, public = (pd.read_csv(results / place / "claims.csv") for place in ("", "public"))
    for mark, table in {
        "claims": pages.counts(default, carried.real(public)),
        **pages.in_short(results),
    }.items():
        assert text == pages.insert(text, table, mark, "docs/findings.md")
