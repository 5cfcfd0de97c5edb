"""The code cells of notebooks can be read beside their output: narrow, short unless they draw, laid out by ruff. What
they name exists.
"""

import json
import re
import subprocess
import sys

import pytest

from aecompanion.pipeline.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("**/[!.]*.ipynb"))
WIDTH, LONG = 100, 20
DRAWS = re.compile(r"figures\.save\(|displays\.save\(|plt\.(show|subplots|figure)\(")
every_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


def cells(file):
    """The sources of all code cells but the parameters, which keep one line each."""
    for cell in json.loads(file.read_text())["cells"]:
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", []):
            yield "".join(cell["source"])


def parameters(file):
    """The parameters without their types, which are names of `pipeline.parameters` that no cell imports."""
    for cell in json.loads(file.read_text())["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            yield re.sub(r'(?m)^(\w+): "[^"]+" =', r"\1 =", "".join(cell["source"]))


def write(folder, file, sources):
    """A notebook of these code cells alone."""
    book = json.loads(file.read_text())
    plain = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    book["cells"] = [plain | {"id": f"c{i}", "source": source} for i, source in enumerate(sources)]
    (folder / file.name).write_text(json.dumps(book))


def ruff(*command):
    """What ruff says, "" where it is content."""
    found = subprocess.run([sys.executable, "-m", "ruff", *command], capture_output=True, text=True)
    return "" if found.returncode == 0 else found.stdout + found.stderr


@every_notebook
def test_no_line_of_a_cell_is_wider_than_a_page(file):
    assert [line for source in cells(file) for line in source.splitlines() if len(line) > WIDTH] == []


@every_notebook
def test_a_cell_that_does_not_draw_is_short(file):
    long = [source for source in cells(file) if len(source.splitlines()) > LONG and not DRAWS.search(source)]
    assert [source.splitlines()[0] for source in long] == []


def test_cells_are_laid_out_by_ruff(tmp_path):
    for file in NOTEBOOKS:
        write(tmp_path, file, cells(file))
    options = ["--isolated", "--no-cache", "--target-version", "py311", "--line-length", str(WIDTH)]
    assert ruff("format", "--check", *options, str(tmp_path)) == ""


def test_cells_use_no_name_that_nothing_defines(tmp_path):
    """In functions, too, which fail only where they are called, perhaps after an hour."""
    for file in NOTEBOOKS:
        write(tmp_path, file, [*parameters(file), *cells(file)])
    assert (
        ruff("check", "--isolated", "--no-cache", "--select", "F821", "--output-format", "concise", str(tmp_path)) == ""
    )
