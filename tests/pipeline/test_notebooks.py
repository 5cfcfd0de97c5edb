import copy

import nbformat
import pytest
from nbformat import v4

from aecompanion.pipeline import notebooks

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
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "PAGES", tmp_path / "build" / "pages")
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


def test_a_stream_that_was_cut_in_two_is_one_again():
    def said(text, name="stdout"):
        return v4.new_output("stream", name=name, text=text)

    shown = v4.new_output("display_data", data={"text/plain": "3"})
    cell = v4.new_code_cell("go()", outputs=[said("a\n"), said("25%", "stderr"), said("b\n"), shown, said("c\n")])
    (cleaned,) = notebooks.clean(v4.new_notebook(cells=[cell])).cells
    assert [output.get("text") for output in cleaned.outputs] == ["a\nb\n", None, "c\n"]


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


# ---- pages


@pytest.fixture
def executed(folder):
    """The folder of executed copies: the third run of both notebooks, one with injected parameters."""
    place = folder / "build" / "executed"
    place.mkdir(parents=True)
    for name in ("first", "second"):
        copied = notebooks.clean(notebook(run=3))
        if name == "second":
            injected = v4.new_code_cell("a = 2", metadata={"tags": ["injected-parameters"]}, execution_count=9)
            copied.cells.insert(2, injected)
        nbformat.write(copied, place / f"{name}.ipynb")
    return place


def reworded(file):
    """The notebook of a file with other prose and another layout of its code."""
    changed = nbformat.read(file, as_version=4)
    changed.cells[0].source = "# Another title"
    changed.cells[2].source = "(\n    a\n    + 2  # a sum\n)"
    nbformat.write(changed, file)


@pytest.mark.parametrize("name", ["1_a/first", "2_b/second"])
def test_a_page_has_todays_prose_and_the_outputs_of_the_run(folder, executed, name):
    source = folder / "notebooks" / f"{name}.ipynb"
    reworded(source)
    page = notebooks.page(source, executed)
    assert page.cells[0].source == "# Another title"
    assert page.cells[2].source.startswith("(")
    assert len(page.cells) == 3
    assert [output.get("text", "") for output in page.cells[2].outputs][0] == "result of run 3\n"
    assert page.cells[2].execution_count == 4


def test_a_page_of_other_code_than_was_executed_is_refused(folder, executed):
    source = folder / "notebooks" / "1_a" / "first.ipynb"
    changed = nbformat.read(source, as_version=4)
    changed.cells[2].source = "a + 3"
    nbformat.write(changed, source)
    expected = r"^build/executed/first\.ipynb is not of today's code: run the stage first again$"
    with pytest.raises(ValueError, match=expected):
        notebooks.page(source, executed)


def test_a_page_without_a_run_is_refused(folder):
    expected = r"^build/executed/first\.ipynb is missing: run the stage first$"
    with pytest.raises(FileNotFoundError, match=expected):
        notebooks.page(folder / "notebooks" / "1_a" / "first.ipynb", folder / "build" / "executed")


def test_the_command_writes_every_page_and_leaves_the_sources(folder, executed, monkeypatch):
    before = {path: path.read_bytes() for path in notebooks.sources()}
    monkeypatch.setattr(notebooks.page, "__defaults__", (executed,))
    notebooks.main()
    assert sorted(path.name for path in (folder / "build" / "pages").iterdir()) == ["first.ipynb", "second.ipynb"]
    assert {path: path.read_bytes() for path in notebooks.sources()} == before


def test_the_command_ends_with_its_sentence(folder, monkeypatch):
    monkeypatch.setattr(notebooks.page, "__defaults__", (folder / "build" / "executed",))
    with pytest.raises(SystemExit, match=r"^aecompanion pages: build/executed/first\.ipynb is missing"):
        notebooks.main()
