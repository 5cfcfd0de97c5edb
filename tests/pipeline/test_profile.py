import hashlib
import subprocess
import sys

import nbformat
import pytest
import yaml
from nbformat import v4

from aecompanion.data import public
from aecompanion.pipeline import notebooks, parameters, profile

PARAMS = {"threads": 2, "mod_vid": {"window": 7, "resamples": 1000, "seed": 0}, "shift_gallery": {"face": 0}}
OVERLAY = {"mod_vid": {"resamples": 100}, "shift_gallery": None}
COMPOSED = {"threads": 2, "mod_vid": {"window": 7, "resamples": 100, "seed": 0}, "shift_gallery": {}}
IGNORED = "/build/\n/data\n*.pyc\n"
TRACKED = {
    "params.yaml": yaml.safe_dump(PARAMS, sort_keys=False),
    "profiles/small.yaml": yaml.safe_dump(OVERLAY),
    "profiles/tiny.yaml": "",
    ".gitignore": IGNORED,
    ".dvc/config": "[core]\n",
    "lib/aecompanion/a.py": "a = 1",
    "lib/aecompanion/gone.py": "gone",
    "dvc.lock": "the default's lock",
    "results/README.md": "the default's results",
}
OTHERS = {
    "lib/aecompanion/new.py": "new",
    "results/new.csv": "1",
    "data/cat.png": "cat",
    "build/faces/a": "a",
    "lib/aecompanion/a.pyc": "c",
}


def write(root, contents):
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def files(root):
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith(".git/")}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with tracked, new and ignored files; one tracked file is deleted from the working tree."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.delenv("GIT_DIR", raising=False)
    monkeypatch.setattr(profile, "ROOT", tmp_path)
    monkeypatch.setattr(profile, "BUILD", tmp_path / "build")
    monkeypatch.setattr(parameters, "ROOT", tmp_path)
    write(tmp_path, TRACKED)
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    write(tmp_path, OTHERS)
    (tmp_path / "lib" / "aecompanion" / "gone.py").unlink()
    return tmp_path


@pytest.fixture
def pipeline(monkeypatch):
    """Note all commands but git instead of running them; `dvc repro` writes a result and a lock; `fail` names one."""
    real, calls = subprocess.run, []

    class Pipeline:
        fail, commands = None, calls

    def execute(command, **options):
        if command[0] == "git":
            return real(command, **options)
        calls.append((command, options["cwd"], options["env"]["PYTHONPATH"]))
        if command[2:] == ["dvc", "repro"] and Pipeline.fail != "dvc":
            write(options["cwd"], {"build/results/README.md": "small", "dvc.lock": "new lock"})
        return subprocess.CompletedProcess(command, returncode=int(command[2] == Pipeline.fail))

    monkeypatch.setattr(subprocess, "run", execute)
    return Pipeline


# ---- the side tree


def test_the_side_tree_links_to_the_readers_data_sets_and_does_not_hold_them(checkout):
    (checkout / ".gitignore").write_text(IGNORED + "/public\n")
    assert not (profile.prepare("small") / "public").exists()
    write(checkout, {"public/faces/a.png": "a"})
    for _ in range(2):
        link = profile.prepare("small") / "public"
        assert link.is_symlink()
        assert (link / "faces" / "a.png").read_text() == "a"
    assert (checkout / "public" / "faces" / "a.png").exists()


def test_the_side_tree_has_the_tracked_and_new_files_without_results_lock_and_ignored_ones(checkout):
    side = profile.prepare("small")
    assert side == checkout / "build" / "profiles" / "small"
    kept = {
        "profiles/small.yaml",
        "profiles/tiny.yaml",
        ".gitignore",
        ".dvc/config",
        "lib/aecompanion/a.py",
        "lib/aecompanion/new.py",
    }
    assert files(side) == kept | {"params.yaml", ".dvc/config.local"}
    assert (side / "lib" / "aecompanion" / "a.py").read_text() == "a = 1"


def test_the_side_trees_parameters_are_the_composed_ones_in_their_order(checkout):
    composed = yaml.safe_load((profile.prepare("small") / "params.yaml").read_text())
    assert composed == COMPOSED
    assert list(composed) == list(COMPOSED)
    assert yaml.safe_load((checkout / "params.yaml").read_text()) == PARAMS


def test_files_are_checked_and_are_no_parameters(checkout, monkeypatch):
    monkeypatch.setattr(public, "ROOT", checkout)
    sha256 = hashlib.sha256(b"weights").hexdigest()
    facts = f"files: {{public/a.th: {{sha256: {sha256}, source: a site}}}}"
    write(checkout, {"profiles/weighty.yaml": f"extends: small\n{facts}\n"})
    with pytest.raises(
        FileNotFoundError, match=r"^.*public/a\.th is missing, put the file of that name there \(a site;"
    ):
        profile.prepare("weighty")
    assert not profile.side_tree("weighty").exists()
    write(checkout, {"public/a.th": "weights"})
    assert "files" not in yaml.safe_load((profile.prepare("weighty") / "params.yaml").read_text())


def test_the_side_tree_is_no_repository_and_shares_the_cache(checkout):
    settings = (profile.prepare("small") / ".dvc" / "config.local").read_text()
    assert settings == f"[core]\n    no_scm = true\n[cache]\n    dir = {checkout}/.dvc/cache\n"


def test_a_second_preparation_follows_the_checkout(checkout):
    profile.prepare("small")
    write(checkout, {"lib/aecompanion/a.py": "a = 2"})
    (checkout / "lib" / "aecompanion" / "new.py").unlink()
    side = profile.prepare("small")
    assert (side / "lib" / "aecompanion" / "a.py").read_text() == "a = 2"
    assert "lib/aecompanion/new.py" not in files(side)


def test_a_second_preparation_keeps_what_the_pipeline_made(checkout):
    made = {"build/faces/a": "side", "data/cat.png": "side", "build/results/README.md": "side", "dvc.lock": "side"}
    write(profile.prepare("small"), made)
    side = profile.prepare("small")
    assert {name: (side / name).read_text() for name in made} == made


def test_the_side_tree_gets_the_lock_of_its_profile(checkout):
    write(checkout, {"profiles/small.lock": "small lock"})
    assert (profile.prepare("small") / "dvc.lock").read_text() == "small lock"


def test_an_unknown_profile_is_an_error_that_lists_the_profiles(checkout):
    with pytest.raises(FileNotFoundError, match=r"^profiles/large\.yaml is missing, expected one of: small, tiny$"):
        profile.prepare("large")
    assert not (checkout / "build" / "profiles").exists()


def test_a_profile_with_a_value_out_of_range_is_an_error_that_names_it(checkout):
    write(checkout, {"profiles/small.yaml": "mod_vid: {resamples: 1}"})
    with pytest.raises(ValueError, match=r"^small\.yaml: mod_vid\.resamples is 1: input should be greater than"):
        profile.prepare("small")


# ---- running


def test_a_run_reproduces_in_the_side_tree_with_its_own_modules(checkout, pipeline):
    profile.run("small")
    side = checkout / "build" / "profiles" / "small"
    assert pipeline.commands == [([sys.executable, "-m", "dvc", "repro"], side, str(side / "lib"))]


def test_a_run_brings_its_lock_back_and_touches_no_published_results(checkout, pipeline):
    write(checkout, {"results/small/README.md": "published"})
    before = {name: (checkout / name).read_text() for name in files(checkout)}
    profile.run("small")
    outside = {name for name in files(checkout) if not name.startswith("build/profiles/")}
    new = {"profiles/small.lock": "new lock"}
    assert {name: (checkout / name).read_text() for name in outside} == before | new
    assert (checkout / "build" / "profiles" / "small" / "build" / "results" / "README.md").read_text() == "small"


def test_a_failing_command_is_named_and_nothing_is_brought_back(checkout, pipeline):
    pipeline.fail = "dvc"
    with pytest.raises(RuntimeError, match="^profile small stopped in `dvc repro`"):
        profile.run("small")
    assert not (checkout / "profiles" / "small.lock").exists()


# ---- the command line and the notebooks


def test_the_command_ends_with_one_sentence(checkout, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["aecompanion.pipeline.profile", "large"])
    with pytest.raises(SystemExit) as caught:
        profile.main()
    assert caught.value.code == "aecompanion profile: profiles/large.yaml is missing, expected one of: small, tiny"


@pytest.mark.parametrize("options", [[], ["--refresh-notebooks"]])
def test_outputs_of_the_run_are_stored_only_on_request(checkout, pipeline, monkeypatch, options):
    cell = v4.new_code_cell("1 + 1")
    shown = v4.new_output("execute_result", data={"text/plain": "2"}, execution_count=1)
    ran = v4.new_code_cell("1 + 1", outputs=[shown], execution_count=1)
    source, executed = (
        checkout / "notebooks/1_a/first.ipynb",
        checkout / "build/profiles/tutorial/build/executed/first.ipynb",
    )
    for file, cells in ((source, [v4.new_markdown_cell("New words"), cell]), (executed, [ran])):
        file.parent.mkdir(parents=True)
        nbformat.write(v4.new_notebook(cells=cells), file)
    for module in (notebooks, profile):
        monkeypatch.setattr(module, "ROOT", checkout)
    monkeypatch.setattr(notebooks, "SOURCES", checkout / "notebooks")
    monkeypatch.setattr(profile, "EXECUTED", checkout / "build" / "executed")
    monkeypatch.setattr(profile, "run", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["aecompanion.pipeline.profile", "tutorial", *options])
    profile.main()
    stored = nbformat.read(source, as_version=4)
    assert stored.cells[0].source == "New words"
    assert stored.cells[1].outputs == ([shown] if options else [])
