"""A sixth paper is one folder, one notebook and one stage: here they are added to a copy of the tree."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
import yaml

from aecompanion.pipeline.paths import ROOT
from aecompanion.report.papers import papers

PAPER = """
number: 6
title: "Toys for grown-ups"
authors: Doe and Roe
venue: TOY 2031
about: numbers that rise
links: {arXiv: https://example.org/6}
question: Do numbers rise?
answer: They do.
first: 5_evaluate/toy_demo
tables: {numbers: toy/numbers.parquet}
notes: Made up for a test.
displays:
  F6.1: {slug: rise, notebook: toy_demo, title: "They rise", original: "Fig. 1."}
  X6.2: {slug: missing, notebook: toy_demo, title: "Not to be had", original: "Ours."}
"""
CLAIMS = '''"""Claims of the toy paper."""

from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube


@claim("P6.01", "F6.1", "must", "> 0", "Numbers rise by {least} and more", over=[{"least": 0}, {"least": 1}])
def rise(tables, *, least):
    """The second value minus the first, less `least`."""
    values = cube(tables["numbers"], "value", [{"time": 0}, {"time": 1}])
    return values, lambda v: float((v[..., 1] - v[..., 0]).mean() - least)
'''
FIGURES = '''"""Figures of the toy paper."""

import matplotlib.pyplot as plt


def lines(rows):
    """A line per image."""
    figure, axes = plt.subplots()
    axes.plot(rows.pivot_table(index="time", columns="image", values="value"))
    return figure
'''
TABLES = '"""Tables of the toy paper."""\n\nIN_SHORT = {}\n'
REPORTED = """
- claim: P6.02
  value: 1.0
  unit: ""
  where: p. 3, Table 1
  source: the paper
  read_by: a test
  exact: printed
  tolerance: 1.5
- {display: F6.1, cell: rise, value: 2, unit: "", where: Fig. 1, source: the paper, read_by: a test, exact: digitised}
"""
CELLS = [
    'count: "Positive" = 4  # images',
    "import numpy as np\nimport pandas as pd\n\nfrom aecompanion.pipeline import paths\n"
    "from aecompanion.report import figures\nfrom aecompanion.papers.toy import figures as draw",
    "grid = [(s, i, t) for s in (1, 2) for i in range(count) for t in (0, 1)]\n"
    'rows = pd.DataFrame(grid, columns=["seed", "image", "time"])\n'
    'rows["value"] = rows["time"] * (2 + rows["image"] / 10)\n'
    'paths.save("toy/numbers.parquet", rows.to_parquet)',
    'figure = draw.lines(rows)\nfigures.save("F6.1", figure, source="made up", n=count, seeds=[1, 2])',
    'figures.save("X6.2", figures.placeholder("no boxes"), source="made up", n=0, seeds=[])',
]
STAGE = {
    "cmd": "python -m aecompanion run toy_demo",
    "deps": ["build/code/toy_demo.json"],
    "params": ["toy_demo", "threads"],
    "outs": ["build/executed/toy_demo.ipynb", "build/displays/toy_demo", "build/toy/numbers.parquet"],
}
REPORT = """
from aecompanion.report import claims, publication, publish
from aecompanion.report.papers import Tables, papers
rows = {paper.number: Tables(paper) for paper in papers()}
publish.publish(claims.evaluate_all(rows, resamples=50, seed=0))
publication.publish()
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the tree with the toy paper in the place of the five, its stage run and its report written."""
    root = tmp_path_factory.mktemp("six")
    for name in ("lib", "notebooks", "profiles"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("dvc.yaml", "params.yaml", "requirements.txt"):
        shutil.copy2(ROOT / name, root / name)
    room = root / "lib" / "aecompanion" / "papers"
    for paper in papers():  # their displays would take an hour
        (room / paper.handle / "paper.yaml").unlink()
    shutil.rmtree(room.parent / "data" / "cards")  # of data that are not there
    (room / "toy").mkdir()
    files = {"paper.yaml": PAPER, "claims.py": CLAIMS, "figures.py": FIGURES, "tables.py": TABLES}
    for name, text in {**files, "reported.yaml": REPORTED, "__init__.py": '"""Toy."""\n'}.items():
        (room / "toy" / name).write_text(text)
    cells = [nbformat.v4.new_markdown_cell("# Toys"), *map(nbformat.v4.new_code_cell, CELLS)]
    cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / "5_evaluate" / "toy_demo.ipynb")
    stages = yaml.safe_load((root / "dvc.yaml").read_text())
    stages["stages"]["toy_demo"] = STAGE
    (root / "dvc.yaml").write_text(yaml.safe_dump(stages, sort_keys=False))
    with (root / "params.yaml").open("a") as params:
        params.write("\ntoy_demo: {}\n")
    (root / "docs").mkdir()
    (root / "docs" / "findings.md").write_text("<!-- claims: -->\n<!-- end of claims -->\n")
    (root / "docs" / "intervals.md").write_text("<!-- coverage: -->\n<!-- end of coverage -->\n")
    shutil.copy(ROOT / "docs" / "intervals.csv", root / "docs")
    (root / "README.md").write_text("<!-- papers: -->\n<!-- end of papers -->\n")
    (root / "results").mkdir()
    shutil.copy2(ROOT / "results" / "passes.json", root / "results" / "passes.json")
    call(root, "-m", "aecompanion", "run", "toy_demo")
    call(root, "-c", REPORT, COMPANION_STAGE="claims_report")
    return root


def call(root, *arguments, **variables):
    """Run Python in the copy and return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(root / "lib")} | variables
    done = subprocess.run([sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_display_is_in_the_gallery_with_links_to_notebook_and_line(tree):
    page = (tree / "build" / "results" / "README.md").read_text()
    assert "## Paper 6 · Doe, TOY 2031: numbers that rise" in page or "## Paper 6 · Doe et al." in page
    assert "![F6.1: They rise](figures/F6.1_rise.png)" in page
    assert "Made in cell 4 of [toy_demo](../../notebooks/5_evaluate/toy_demo.ipynb)" in page
    assert "[papers.toy.figures.lines](../../lib/aecompanion/papers/toy/figures.py#L6)" in page
    assert "*Reported:* rise: 2 (the paper, Fig. 1; digitised)." in page
    assert (tree / "build" / "results" / "figures" / "F6.1_rise.png").stat().st_size > 1000


def test_what_could_not_be_made_is_listed_with_its_reason(tree):
    page = (tree / "build" / "results" / "README.md").read_text()
    assert "### Not made here\n\n* X6.2 · Not to be had: no boxes." in page
    assert "X6.2_missing.png" not in page
    assert not (tree / "build" / "results" / "figures" / "X6.2_missing.png").exists()


def test_its_claims_are_tested_and_a_typed_number_decides(tree):
    tested = pd.read_csv(tree / "build" / "results" / "claims.csv").set_index("id")
    assert tested.index.tolist() == ["P6.01", "P6.02"]
    assert tested["ours"].tolist() == pytest.approx([2.15, 1.15])
    assert tested.loc["P6.01", "reason"] == "needed > 0"
    assert (tested.loc["P6.02", "reported"], tested.loc["P6.02", "verdict"]) == (1, "reproduced")
    assert tested.loc["P6.02", "reason"] == "needed within [-0.5, 2.5]"
    page = (tree / "build" / "results" / "README.md").read_text()
    assert "[F6.1](#f61--they-rise) | [rise](../../lib/aecompanion/papers/toy/claims.py#L8)" in page


def test_its_card_says_where_it_comes_from_and_which_run_made_it(tree):
    card = json.loads((tree / "build" / "results" / "cards" / "F6.1_rise.json").read_text())
    assert (card["cell"], card["function"]) == (4, "papers.toy.figures.lines")
    assert (card["n"], card["seeds"], card["source"]) == (4, [1, 2], "made up")
    assert card["run"]["seconds"] > 0
    assert card["run"]["cpu_seconds"] > 0.5, "the kernel alone takes more to start"
    assert "Python" in card["run"]["machine"]
    assert card["run"]["versions"]["torch"]


def test_it_is_a_row_of_the_readme(tree):
    lines = (tree / "README.md").read_text().splitlines()
    (row,) = [line for line in lines if line.startswith("| 6.")]
    assert "[Doe and Roe, TOY 2031](https://example.org/6)" in row
    assert "| Do numbers rise? | They do. | [2 reproduced](results/README.md#paper-6" in row
    assert "[toy_demo](notebooks/5_evaluate/toy_demo.ipynb)" in row


def test_it_is_in_the_plan(tree):
    assert "toy_demo" in call(tree, "-m", "aecompanion", "plan")


def test_it_waits_for_numbers_where_none_is_typed_in(tree):
    said = call(tree, "-m", "aecompanion", "missing")
    assert "displays without a number (0 of 1)" in said
    assert "claims without one (1): P6.01" in said
