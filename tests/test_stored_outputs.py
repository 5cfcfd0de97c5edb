"""What the notebooks show is what their code prints: outputs of the tutorial-size run against the stored ones.

`make test` runs this in the tutorial's side tree, on the copies that its pipeline executed, so that no notebook is
executed a second time. As with nbval in its lax mode, cells that hold NBVAL_CHECK_OUTPUT are compared, by their text.
"""

import nbformat
import pytest

from aecompanion.pipeline.notebooks import EXECUTED, page, sources
from aecompanion.pipeline.paths import BUILD, ROOT

MARK = "NBVAL_CHECK_OUTPUT"
NOTEBOOKS = [source for source in sources() if any(MARK in cell.source for cell in nbformat.read(source, 4).cells)]
SIDE_TREE = ROOT.parts[-3:] == ("build", "profiles", "tutorial")


def texts(cell) -> list[str]:
    """What a cell prints and shows as text, in order; prints in a row are one."""
    found = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    kinds = [output.output_type for output in cell.outputs]
    joined: list[str] = []
    for place, (kind, text) in enumerate(zip(kinds, found, strict=True)):
        if kind == "stream" and place and kinds[place - 1] == "stream":
            joined[-1] += text
        else:
            joined.append(text)
    return joined


def test_there_is_something_to_compare():
    cells = [cell for source in NOTEBOOKS for cell in nbformat.read(source, 4).cells if MARK in cell.source]
    assert len(NOTEBOOKS) > 40
    assert all(any(texts(cell)) for cell in cells)


@pytest.mark.skipif(not SIDE_TREE, reason="runs in the tutorial's side tree, see `make test`")
@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda source: source.stem)
def test_checked_cells_print_what_is_stored(source):
    stored = [cell for cell in nbformat.read(source, as_version=4).cells if MARK in cell.source]
    printed = [cell for cell in page(source, EXECUTED).cells if MARK in cell.source]
    for before, now in zip(stored, printed, strict=True):
        assert texts(now) == texts(before), before.source


@pytest.mark.skipif(not SIDE_TREE, reason="runs in the tutorial's side tree, see `make test`")
def test_no_notebook_shows_a_red_box():
    """What cells wrote to stderr beside progress bars, kept by `aecompanion run` before it cleans."""
    assert {file.stem: file.read_text() for file in (BUILD / "stderr").glob("*.txt")} == {}


def test_no_stored_output_is_a_warning_or_an_error():
    red = [
        f"{source.stem}, cell {number}"
        for source in sources()
        for number, cell in enumerate(nbformat.read(source, 4).cells)
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr" or output.output_type == "error"
    ]
    assert red == []
