import copy

import nbformat
import pytest
from nbformat import v4

from lib import notebooks

WIDGET = "application/vnd.jupyter.widget-view+json"


def notebook(*, run: int):
    """One notebook with the outputs, counts, ids and metadata of the run-th time somebody executed it."""
    printed = v4.new_output("stream", name="stdout", text=f"result of run {run}\n")
    bar = v4.new_output("stream", name="stderr", text=f"{run}00%|###|")
    widget = v4.new_output("display_data", data={WIDGET: {"model_id": f"{run}"}, "text/plain": "bar"})
    shown = v4.new_output("execute_result", data={"text/plain": "3"}, execution_count=run)
    cells = [
        v4.new_markdown_cell("# Title", id=f"random{run}0", metadata={"collapsed": bool(run % 2)}),
        v4.new_code_cell(
            "a = 1  # comment = with, equals == signs\nb = c = 'x=y'",
            id=f"random{run}1",
            metadata={"tags": ["parameters"], "papermill": {"duration": run}},
            execution_count=run,
        ),
        v4.new_code_cell("a + 2", id=f"random{run}2", execution_count=run + 1, outputs=[printed, bar, widget, shown]),
    ]
    metadata = {"papermill": {"start_time": run}, "language_info": {"name": "python", "version": f"3.{run}"}}
    return v4.new_notebook(cells=cells, metadata=metadata)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with the notebooks 1_a/first, 2_b/second and a checkpoint."""
    monkeypatch.setattr(notebooks, "SOURCES", tmp_path / "notebooks")
    monkeypatch.setattr(notebooks, "STRIPPED", tmp_path / "build" / "notebooks")
    for place in ("2_b/second.ipynb", "1_a/first.ipynb", "1_a/.ipynb_checkpoints/first-checkpoint.ipynb"):
        file = tmp_path / "notebooks" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook(run=1), file)
    return tmp_path


# ---- stripping


def test_stripping_removes_outputs_and_counts_and_keeps_the_sources():
    before = notebook(run=3)
    after = notebooks.strip(copy.deepcopy(before))
    assert [cell.source for cell in after.cells] == [cell.source for cell in before.cells]
    assert [(cell.outputs, cell.execution_count) for cell in after.cells[1:]] == [([], None)] * 2


@pytest.mark.parametrize("change", [notebooks.strip, notebooks.clean])
def test_only_the_kernel_the_tags_and_numbered_ids_remain_of_the_metadata(change):
    after = change(notebook(run=3))
    assert after.metadata == {"kernelspec": notebooks.KERNEL}
    assert [cell.metadata for cell in after.cells] == [{}, {"tags": ["parameters"]}, {}]
    assert [cell.id for cell in after.cells] == ["cell-00", "cell-01", "cell-02"]


@pytest.mark.parametrize("change", [notebooks.strip, notebooks.clean])
def test_stripping_and_cleaning_are_idempotent(change):
    once = change(notebook(run=3))
    assert change(copy.deepcopy(once)) == once


@pytest.mark.parametrize("change", [notebooks.strip, notebooks.clean])
def test_what_comes_out_is_a_valid_notebook(change):
    nbformat.validate(change(notebook(run=3)))


def test_a_notebook_with_other_outputs_is_stripped_to_the_same_bytes(tmp_path):
    for run in (1, 2):
        nbformat.write(notebooks.strip(notebook(run=run)), tmp_path / f"{run}.ipynb")
    assert (tmp_path / "1.ipynb").read_bytes() == (tmp_path / "2.ipynb").read_bytes()


def test_a_changed_source_changes_the_stripped_bytes():
    changed = notebook(run=1)
    changed.cells[2].source = "a + 3"
    assert notebooks.strip(changed) != notebooks.strip(notebook(run=1))


# ---- cleaning


def test_cleaning_drops_stderr_and_widgets_and_keeps_the_other_outputs():
    before = notebook(run=3)
    printed, _, _, shown = before.cells[2].outputs
    after = notebooks.clean(copy.deepcopy(before))
    assert after.cells[2].outputs == [printed, shown]
    assert [cell.execution_count for cell in after.cells[1:]] == [3, 4]
    assert [cell.source for cell in after.cells] == [cell.source for cell in before.cells]


def test_cleaning_keeps_an_error():
    failed = notebook(run=1)
    error = v4.new_output("error", ename="ValueError", evalue="no", traceback=["no"])
    failed.cells[2].outputs = [error]
    assert notebooks.clean(failed).cells[2].outputs == [error]


# ---- files


def test_the_notebooks_come_in_the_order_of_their_folders_without_checkpoints(folder):
    assert [path.name for path in notebooks.sources()] == ["first.ipynb", "second.ipynb"]


@pytest.mark.parametrize("name", ["second", "second.ipynb", "notebooks/2_b/second.ipynb"])
def test_a_notebook_is_found_by_stem_name_and_path(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    assert notebooks.locate(name) == folder / "notebooks" / "2_b" / "second.ipynb"


@pytest.mark.parametrize("name", ["third", "first-checkpoint", "2_b"])
def test_an_unknown_notebook_is_an_error_that_lists_the_notebooks(folder, name):
    expected = f"^no notebook '{name}' below notebooks/, expected one of: first, second$"
    with pytest.raises(FileNotFoundError, match=expected):
        notebooks.locate(name)


def test_the_strip_stage_writes_a_stripped_copy_of_every_notebook_and_of_nothing_else(folder):
    stale = folder / "build" / "notebooks" / "1_a" / "renamed.ipynb"
    stale.parent.mkdir(parents=True)
    stale.touch()
    before = {path: path.read_bytes() for path in notebooks.sources()}
    notebooks.main()
    written = {str(path.relative_to(notebooks.STRIPPED)) for path in notebooks.STRIPPED.rglob("*.ipynb")}
    assert written == {"1_a/first.ipynb", "2_b/second.ipynb"}
    copied = nbformat.read(notebooks.STRIPPED / "1_a" / "first.ipynb", as_version=4)
    assert copied == notebooks.strip(notebook(run=1))
    assert {path: path.read_bytes() for path in notebooks.sources()} == before
