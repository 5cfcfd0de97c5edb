import argparse
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat import v4

from aecompanion.pipeline import conditions, notebooks, parameters, paths, run
from aecompanion.pipeline.paths import ROOT
from aecompanion.train import ensemble

SHOW = """
# what the kernel sees
import os
import sys
print(word, count, os.environ.get("COMPANION_STAGE"), os.environ["OMP_NUM_THREADS"], os.getcwd())
print("100%|###| 3/3", file=sys.stderr)
from ipykernel.connect import get_connection_info
print(get_connection_info(unpack=True)["transport"])
"""
TRANSPORT = "tcp" if os.name == "nt" else "ipc"
WRITTEN = ("executed/tiny.ipynb", "stripped/tiny.ipynb", "locks/tiny", "locks/tiny.pid", "passes/tiny.json")
FAIL = '\n\nassert count != 13, "thirteen"\nprint("not reached")'


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Make a project with one notebook, `tiny`, and point the runner to it."""
    with pytest.MonkeyPatch.context() as patch:

        def to(section, *, threads=1, own=1):
            root = tmp_path_factory.mktemp("project")
            build, source = root / "build", root / "notebooks" / "1_a" / "tiny.ipynb"
            source.parent.mkdir(parents=True)
            declared = f'word: "Name" = "own"  # a = b\ncount: "Positive" = {own}'
            tagged = v4.new_code_cell(declared, metadata={"tags": ["parameters"]})
            cells = [v4.new_markdown_cell("# Tiny"), tagged, v4.new_code_cell(SHOW), v4.new_code_cell(FAIL)]
            nbformat.write(v4.new_notebook(cells=cells), source)
            (root / "params.yaml").write_text(yaml.safe_dump({"threads": threads, "tiny": section}))
            for name, value in {"ROOT": root, "BUILD": build, "BY_HAND": build / "by_hand"}.items():
                patch.setattr(run, name, value)
            patch.setattr(notebooks, "SOURCES", root / "notebooks")
            (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"tiny": {"deps": ["build/code/tiny.json"]}}}))
            patch.setattr(parameters, "ROOT", root)
            patch.delenv(run.STAGE_VARIABLE, raising=False)
            return root

        yield to


def files(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def printed(file):
    """What a notebook's cells printed, and the source of its injected cell."""
    cells = nbformat.read(file, as_version=4).cells
    text = "".join(output.text for cell in cells for output in cell.get("outputs", []) if output.name == "stdout")
    injected = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
    return text, injected


@pytest.fixture(scope="module")
def history(make):
    """Two runs as a stage, then one by hand: what was written when, and the environment around it."""
    root, environment = make({"word": "given"}, threads=3), dict(os.environ)
    stage = run.run("tiny")
    first, after_stage = stage.read_bytes(), files(root)
    second = run.run("tiny.ipynb").read_bytes()
    by_hand = run.run("tiny", {"count": 5})
    return {
        "root": root,
        "stage": stage,
        "runs": (first, second),
        "after_stage": after_stage,
        "by_hand": by_hand,
        "environment": (environment, dict(os.environ)),
    }


@pytest.fixture
def no_execution(monkeypatch):
    """Fail the test if the notebook is executed."""
    monkeypatch.setattr(run.papermill, "execute_notebook", lambda *_, **__: pytest.fail("executed"))


@pytest.fixture
def executions(monkeypatch):
    """Instead of executing, copy the input to the output; the list of (input, output, parameters, stage)."""
    calls = []

    def execute(source, target, values, **options):
        calls.append((source, target, values, os.environ.get(run.STAGE_VARIABLE)))
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(run.papermill, "execute_notebook", execute)
    return calls


# ---- a stage


def test_a_stage_runs_in_the_root_with_the_parameters_of_its_section_its_name_and_the_threads(history):
    text, injected = printed(history["stage"])
    assert text == f"given 1 tiny 3 {history['root']}\n{TRANSPORT}\nnot reached\n"
    assert injected == ['# Parameters\nword = "given"\n']


@pytest.mark.parametrize(("precision", "expected"), [("bfloat16", "bfloat16"), ("float32", None), (None, None)])
def test_a_precision_other_than_float32_reaches_the_training(make, executions, monkeypatch, precision, expected):
    root = make({})
    if precision:
        (root / "params.yaml").write_text(yaml.safe_dump({"precision": precision, "tiny": {}}))
    execute, seen = run.papermill.execute_notebook, []

    def watched(*arguments, **options):
        seen.append(os.environ.get(ensemble.PRECISION_VARIABLE))
        return execute(*arguments, **options)

    monkeypatch.setattr(run.papermill, "execute_notebook", watched)
    run.run("tiny")
    assert seen == [expected]


@pytest.mark.parametrize(
    ("top", "section", "expected"),
    [
        ("cuda", {}, {"device": "cuda"}),
        ("cuda", {"device": "cpu"}, {"device": "cpu"}),
        ("cpu", {}, {}),
        (None, {"device": "mps"}, {"device": "mps"}),
    ],
)
def test_the_device_is_that_of_the_section_or_of_the_whole_file(make, executions, monkeypatch, top, section, expected):
    root = make({})
    source = root / "notebooks" / "1_a" / "tiny.ipynb"
    notebook = nbformat.read(source, as_version=4)
    notebook.cells[1].source += '\ndevice: "Device" = "cpu"'
    nbformat.write(notebook, source)
    (root / "params.yaml").write_text(yaml.safe_dump(({} if top is None else {"device": top}) | {"tiny": section}))
    run.run("tiny")
    run.run("tiny", {"count": 2})
    assert [call[2] for call in executions] == [expected, expected | {"count": 2}]


def test_a_notebook_without_a_device_gets_none(make, executions):
    root = make({})
    (root / "params.yaml").write_text(yaml.safe_dump({"device": "cuda", "tiny": {}}))
    run.run("tiny")
    assert executions[0][2] == {}


def test_a_stage_leaves_its_executed_copy_and_nothing_half_done(history):
    assert history["stage"] == history["root"] / "build" / "executed" / "tiny.ipynb"
    written = {f"build/{each}" for each in WRITTEN}
    assert history["after_stage"] == written | {"notebooks/1_a/tiny.ipynb", "params.yaml", "dvc.yaml"}


def test_two_runs_write_the_same_bytes(history):
    first, second = history["runs"]
    assert first == second
    outputs = [output for cell in nbformat.reads(first, 4).cells for output in cell.get("outputs", [])]
    assert [output.name for output in outputs] == ["stdout", "stdout"]


def test_the_environment_is_put_back(history):
    before, after = history["environment"]
    assert after == before


def test_a_stage_compares_the_raw_files_that_it_declares(make, no_execution, monkeypatch):
    root, asked = make({}), []
    stages = {"tiny": {"deps": ["build/code/tiny.json", "data/photos", "build/data", "data/weights/a.pth"]}}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))

    def check(*, below):
        asked.append(below)
        raise ValueError("data/photos/cat.png has changed")

    monkeypatch.setattr(run.sources, "check", check)
    with pytest.raises(ValueError, match="^data/photos/cat.png has changed$"):
        run.run("tiny")
    assert asked == [["photos", "weights/a.pth"]]


def test_a_run_by_hand_compares_no_raw_files(make, executions, monkeypatch):
    make({})
    monkeypatch.setattr(run.sources, "check", lambda **_: pytest.fail("compared"))
    run.run("tiny", {"count": 2})


def test_an_empty_section_injects_nothing(make, executions):
    make(None)
    run.run("tiny")
    assert [(values, stage) for _, _, values, stage in executions] == [({}, "tiny")]


# ---- by hand


def test_a_run_by_hand_is_no_stage_and_lays_its_values_over_the_section(history):
    text, injected = printed(history["by_hand"])
    assert text == f"given 5 None 3 {history['root']}\n{TRANSPORT}\nnot reached\n"
    assert injected == ['# Parameters\nword = "given"\ncount = 5\n']


def test_a_run_by_hand_writes_only_below_by_hand(history):
    assert history["by_hand"] == history["root"] / "build" / "by_hand" / "executed" / "tiny.ipynb"
    new = files(history["root"]) - history["after_stage"]
    assert new == {f"build/by_hand/{each}" for each in WRITTEN}
    assert history["stage"].read_bytes() == history["runs"][1]


def test_a_run_by_hand_executes_the_notebook_as_it_is_now_and_not_the_copy_of_the_pipeline(make, executions):
    root = make({})
    run.run("tiny", {"count": 2})
    assert executions[0][0] == root / "build" / "by_hand" / "stripped" / "tiny.ipynb"


def test_a_run_by_hand_beside_a_running_stage_has_a_temporary_file_of_its_own(make, executions):
    make({})
    run.run("tiny")
    run.run("tiny", {"count": 2})
    assert executions[0][1] != executions[1][1]


# ---- failing


@pytest.fixture(scope="module")
def failures(make):
    """The project and the message of a failing cell, with an injected parameter and with the notebook's own values."""
    found = []
    for options in ({"section": {"count": 13}}, {"section": None, "own": 13}):
        root = make(**options)
        with pytest.raises(RuntimeError) as caught:
            run.run("tiny")
        found.append((root, str(caught.value)))
    return found


def test_a_failing_cell_is_one_sentence_with_notebook_cell_and_error(failures):
    for _, message in failures:
        assert message.startswith("notebooks/1_a/tiny.ipynb, cell ")
        assert """ ('assert count != 13, "thirteen"'): AssertionError: thirteen """ in message
        assert message.endswith("[kept as far as it came: build/failed/tiny.ipynb]")
        assert "\n" not in message


def test_a_failing_cell_has_the_same_number_with_and_without_injected_parameters(failures):
    injected, own = (message for _, message in failures)
    assert injected == own


def test_a_failing_notebook_is_kept_as_far_as_it_came_and_no_executed_copy_is_written(failures):
    for root, _ in failures:
        kept = nbformat.read(root / "build" / "failed" / "tiny.ipynb", as_version=4)
        outputs = [output for cell in kept.cells for output in cell.get("outputs", [])]
        assert [output.text for output in outputs if output.get("name") == "stdout"] == [
            f"own 13 tiny 1 {root}\n{TRANSPORT}\n"
        ]
        assert [output.ename for output in outputs if output.output_type == "error"] == ["AssertionError"]
        assert not {name for name in files(root) if "executed" in name or ".part." in name}


def test_a_notebook_that_succeeds_after_all_removes_the_failed_copy(make, executions):
    failed = make({}) / "build" / "failed" / "tiny.ipynb"
    failed.parent.mkdir(parents=True)
    failed.touch()
    run.run("tiny")
    assert not failed.exists()


# ---- refused before anything is executed


def test_an_unknown_notebook_is_refused(make, no_execution):
    make({})
    with pytest.raises(FileNotFoundError, match="^no notebook 'tinny' below notebooks/, expected one of: tiny$"):
        run.run("tinny")


def test_a_value_of_the_wrong_type_in_params_yaml_is_refused(make, no_execution):
    make({"count": "many"})
    with pytest.raises(ValueError, match=r"^params\.yaml: tiny\.count is 'many': input should be a valid integer"):
        run.run("tiny")


def test_a_value_of_the_wrong_type_by_hand_is_refused(make, no_execution):
    make({})
    with pytest.raises(ValueError, match=r"^-p: tiny\.count is 0: input should be greater than or equal to 1"):
        run.run("tiny", {"count": 0})


@pytest.mark.parametrize(
    ("section", "overrides", "where"), [({"extra": "x"}, None, "params.yaml"), ({}, {"extra": "x"}, "-p")]
)
def test_a_parameter_that_the_notebook_does_not_declare_is_refused(make, no_execution, section, overrides, where):
    make(section)
    with pytest.raises(ValueError, match=rf"^{where}: tiny\.extra is not a parameter, expected one of: word, count$"):
        run.run("tiny", overrides)


def test_values_by_hand_must_satisfy_the_conditions_of_their_own_notebook_alone(make, no_execution, monkeypatch):
    make({"count": 3})
    own = conditions.Condition(("tiny.count", "tiny.word"), lambda count, word: f"expected not {word}" * (count == 4))
    other = conditions.Condition(("tiny.count", "tiny_train.counts"), lambda *_: pytest.fail("checked"))
    monkeypatch.setattr(conditions, "CONDITIONS", (own, other))
    with pytest.raises(ValueError, match=r"^-p: tiny\.count is 4: expected not own$"):
        run.run("tiny", {"count": 4})


def test_values_by_hand_reach_the_notebook_as_their_types_have_them(make, executions):
    source = make({}) / "notebooks" / "1_a" / "tiny.ipynb"
    notebook = nbformat.read(source, as_version=4)
    notebook.cells[1].source += '\neps: "Eps" = 0.01'
    nbformat.write(notebook, source)
    run.run("tiny", {"eps": "8/255"})
    assert executions[0][2] == {"eps": 8 / 255}


def test_a_second_run_of_a_stage_is_refused_with_the_process_of_the_first(make, no_execution):
    root = make({})
    expected = rf"^tiny is already running \(process {os.getpid()}\): wait or end it$"
    with run.locked("tiny", root / "build"), pytest.raises(RuntimeError, match=expected):
        run.run("tiny")


def test_the_lock_is_free_again_after_a_run_also_one_that_failed(make, executions):
    root = make({})
    with pytest.raises(KeyError), run.locked("tiny", root / "build"):
        raise KeyError
    run.run("tiny")
    run.run("tiny")
    assert len(executions) == 2


# ---- the command line


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("Fraction", "0.01", 0.01),
        ("Seeds", "[1, 2]", [1, 2]),
        ("Optional[Positive]", "null", None),
        ("Optional[Positive]", "", None),
        ("Name", "001", "001"),
        ("Name", "1e5", "1e5"),
        ("Name", "on", "on"),
        ("Optional[Name]", "2020", "2020"),
        ("Optional[Name]", "null", None),
        ("Names", "[1: a", "[1: a"),  # refused later, by its type
        ("Folder", "null", None),
        ("Folder", "/a/b c", "/a/b c"),
        ("Folder", "2020", "HERE/2020"),
        ("Folder", ".", "HERE"),
        ("File", "~/w.pt", "HOME/w.pt"),
        ("File", "pretrained", "HERE/pretrained"),
        ("NetworkWeights", "pretrained", "pretrained"),
        ("NetworkWeights", "none", "none"),
        ("NetworkWeights", "null", None),
        ("NetworkWeights", "path", "HERE/path"),
        ("NetworkWeights", "~/w.pt", "HOME/w.pt"),
    ],
)
def test_a_value_on_the_command_line_is_read_as_its_type_has_it(tmp_path, monkeypatch, kind, text, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    if isinstance(expected, str):
        expected = expected.replace("HERE", str(tmp_path)).replace("HOME", "/home/me")
    assert run.typed(text, parameters.Parameter(eval(kind, vars(parameters)), None)) == expected


def test_an_argument_that_is_no_name_with_a_value_is_refused():
    assert run.parse("name=a=b") == ("name", "a=b")
    with pytest.raises(argparse.ArgumentTypeError, match="^'eps' is not of the form name=value$"):
        run.parse("eps")


def test_a_folder_that_is_not_there_is_one_sentence_before_a_kernel_starts(tmp_path, no_execution, monkeypatch):
    for name in ("ROOT", "BUILD", "BY_HAND"):  # the real project, whatever `make` has pointed to
        monkeypatch.setattr(run, name, getattr(paths, name))
    monkeypatch.setattr(notebooks, "SOURCES", paths.ROOT / "notebooks")
    monkeypatch.setattr(parameters, "ROOT", paths.ROOT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["aecompanion.pipeline.run", "my_images", "-p", "size=64", "-p", "root=photos"])
    with pytest.raises(SystemExit) as caught:
        run.main()
    assert caught.value.code == f"aecompanion run: -p: root is '{tmp_path}/photos': no such file or folder"
    known = {"root": parameters.Parameter(parameters.Folder, None), "word": parameters.Parameter(str, None)}
    run.check_paths({"root": None, "word": "photos"}, known)
    run.check_paths({"root": str(tmp_path)}, known)


def test_the_command_line_hands_all_values_to_the_run(make, executions, monkeypatch):
    make({"word": "given"})
    monkeypatch.setattr(sys, "argv", ["aecompanion.pipeline.run", "tiny", "-p", "count=2", "-p", "word=other"])
    run.main()
    assert executions[0][2] == {"word": "other", "count": 2}


def test_a_run_by_hand_ends_with_what_it_wrote_and_a_stage_says_nothing(make, monkeypatch, capsys):
    root = make({})

    def execute(source, target, values, **options):
        target.write_bytes(source.read_bytes())
        for name in ("own/page.png", "own/a.csv", "own/page.png"):
            with Path(os.environ["COMPANION_SAVED"]).open("a") as note:
                note.write(f"{root}/build/by_hand/{name}\n")

    monkeypatch.setattr(run.papermill, "execute_notebook", execute)
    monkeypatch.setattr(sys, "argv", ["aecompanion.pipeline.run", "tiny", "-p", "count=2"])
    for _ in range(2):  # the second run lists its own files only
        run.main()
        names = ["own/page.png", "own/a.csv", "executed/tiny.ipynb"]
        assert capsys.readouterr().out == "".join(f"wrote build/by_hand/{name}\n" for name in names)
    monkeypatch.setattr(sys, "argv", ["aecompanion.pipeline.run", "tiny"])
    run.main()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tinny"], "aecompanion run: no notebook 'tinny' below notebooks/, expected one of: tiny"),
        (["tiny", "-p", "count=x"], "aecompanion run: -p: tiny.count is 'x': input should be a valid integer"),
        (["tiny"], "aecompanion run: tiny is already running (process 1): wait or end it"),
    ],
)
def test_a_problem_ends_the_command_with_its_sentence(make, no_execution, monkeypatch, arguments, message):
    root = make({})
    monkeypatch.setattr(sys, "argv", ["aecompanion.pipeline.run", *arguments])
    monkeypatch.setattr(run.os, "getpid", lambda: 1)
    with run.locked("tiny", root / "build"), pytest.raises(SystemExit) as caught:
        run.main()
    assert caught.value.code.startswith(message)
    assert "\n" not in caught.value.code


@pytest.mark.parametrize(
    ("error", "message"),
    [(OSError(28, "No space left on device"), "No space left on device"), (KeyboardInterrupt(), "interrupted")],
)
def test_a_full_disk_and_ctrl_c_are_one_sentence_and_keep_what_was_computed(make, monkeypatch, error, message):
    root = make({})

    def execute(source, target, *_, **__):
        Path(target).write_text("{}")
        raise error

    monkeypatch.setattr(run.papermill, "execute_notebook", execute)
    monkeypatch.setattr(sys, "argv", ["aecompanion.pipeline.run", "tiny"])
    with pytest.raises(SystemExit) as caught:
        run.main()
    assert caught.value.code.startswith("aecompanion run: ") and message in caught.value.code
    assert (root / "build" / "failed" / "tiny.ipynb").exists()
    assert not (root / "build" / "failed" / ".part.tiny.ipynb").exists()


def test_the_command_exits_with_1_and_one_line_on_stderr():
    done = subprocess.run(
        [sys.executable, "-m", "aecompanion", "run", "no_such_notebook"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("aecompanion run: no notebook 'no_such_notebook' below notebooks/, expected one of: ")
    assert done.stderr.count("\n") == 1


def test_only_progress_bars_are_no_complaints():
    text = "\r 50%|##  | 1/2 [00:01<00:01,  1.0it/s]\r100%|####| 2/2\n3it [00:01, 2.9it/s]\nUserWarning: a\n  b\n"
    cell = v4.new_code_cell(
        "", outputs=[v4.new_output("stream", name="stderr", text=text), v4.new_output("stream", text="c")]
    )
    assert run.complaints(v4.new_notebook(cells=[v4.new_markdown_cell("# A"), cell])) == [
        "cell 1: UserWarning: a",
        "cell 1: b",
    ]


def test_complaints_are_kept_until_a_run_has_none(tmp_path):
    loud = v4.new_code_cell("", outputs=[v4.new_output("stream", name="stderr", text="a warning\n")])
    run.note_complaints(v4.new_notebook(cells=[loud]), tmp_path / "stderr" / "a.txt")
    assert (tmp_path / "stderr" / "a.txt").read_text() == "cell 0: a warning\n"
    run.note_complaints(v4.new_notebook(), tmp_path / "stderr" / "a.txt")
    assert not (tmp_path / "stderr" / "a.txt").exists()
