import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from aecompanion.pipeline import repro


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout in the place of this one."""
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "lib" / "aecompanion").mkdir(parents=True)
    monkeypatch.setattr(repro, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def started(checkout, monkeypatch):
    """The commands that would have been started; `codes` says how the n-th ends."""
    calls = SimpleNamespace(commands=[], options=[], codes={})

    def run(command, **options):
        calls.commands.append(command)
        calls.options.append(options)
        return SimpleNamespace(returncode=calls.codes.get(len(calls.commands), 0))

    monkeypatch.setattr(repro.subprocess, "run", run)
    return calls


@pytest.fixture
def data(monkeypatch):
    """What was done about raw files."""
    done = []
    for name in ("fill", "check"):
        monkeypatch.setattr(repro.sources, name, lambda name=name: done.append(name))
    return done


def test_a_module_runs_in_the_checkout_with_this_interpreter(started, checkout, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    repro.call("dvc", "status", "-q")
    assert started.commands == [[sys.executable, "-m", "dvc", "status", "-q"]]
    assert started.options[0]["cwd"] == checkout
    environment = started.options[0]["env"]
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)  # stages start `python`
    assert (environment["OMP_NUM_THREADS"], environment["OMP_WAIT_POLICY"]) == ("7", "passive")  # the caller's wins


def test_a_failing_module_ends_the_process_with_its_code(started):
    started.codes[1] = 3
    with pytest.raises(SystemExit) as ended:
        repro.call("dvc", "status")
    assert ended.value.code == 3


def test_without_a_checkout_nothing_is_started(started, checkout):
    (checkout / "dvc.yaml").unlink()
    with pytest.raises(SystemExit, match=f"^aecompanion: {checkout} is no checkout of the project$"):
        repro.call("dvc", "status")
    assert started.commands == []


def test_without_dvc_the_sentence_names_the_extra(started):
    with pytest.raises(
        SystemExit, match=r'no_dvc is missing, install "adversarial-explanation-companion\[pipeline\]"$'
    ):
        repro.call("no_dvc", "repro")
    assert started.commands == []


@pytest.mark.parametrize("stages", [[], ["faces_data", "--force"]])
def test_repro_fills_data_reproduces_and_ends_with_the_line_of_verify(started, data, monkeypatch, capsys, stages):
    monkeypatch.setattr(sys, "argv", ["aecompanion repro", *stages])
    monkeypatch.setattr(repro.verification, "verify", lambda: ({"papers": {}, "reproduced": True}, "results"))
    repro.main()
    assert data == ["fill", "check"]
    assert [command[2:] for command in started.commands] == [["dvc", "repro", *stages]]
    assert capsys.readouterr().out.startswith("verify: reproduced: 0 of 0 verdicts equal")


def test_several_jobs_take_the_fingerprints_run_what_is_stale_and_end_in_a_plain_repro(started, data, monkeypatch):
    asked = []
    monkeypatch.setattr(repro.stages, "pipeline", lambda root, targets: ({"a": set()}, {"a"}))
    monkeypatch.setattr(
        repro.stages, "run", lambda root, needs, stale, *, jobs, environment: asked.append((stale, jobs))
    )
    monkeypatch.setattr(repro.verification, "verify", lambda: ({"papers": {}, "reproduced": True}, "results"))
    monkeypatch.setattr(sys, "argv", ["aecompanion repro", "--jobs", "3", "a"])
    repro.main()
    commands = [command[2:] for command in started.commands]
    assert commands == [["dvc", "repro", "--quiet", "code"], ["dvc", "repro", "a"]]
    assert asked == [({"a"}, 3)]


def test_a_stage_that_fails_among_several_ends_repro_in_its_sentence(started, data, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a failed: no")

    monkeypatch.setattr(repro.stages, "pipeline", lambda root, targets: ({"a": set()}, {"a"}))
    monkeypatch.setattr(repro.stages, "run", fail)
    monkeypatch.setattr(sys, "argv", ["aecompanion repro", "--jobs", "2"])
    with pytest.raises(SystemExit, match=r"^aecompanion repro: a failed: no$"):
        repro.main()
    assert [command[2:] for command in started.commands] == [["dvc", "repro", "--quiet", "code"]]


def test_several_jobs_take_no_options_of_dvc(started, data, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["aecompanion repro", "--jobs", "2", "--force"])
    with pytest.raises(SystemExit, match="no options of DVC"):
        repro.main()
    assert started.commands == []


def test_repro_of_a_stage_before_any_report_says_why_nothing_is_compared(started, data, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["aecompanion repro", "faces_data"])

    def missing():
        raise FileNotFoundError("build/results/ is missing")

    monkeypatch.setattr(repro.verification, "verify", missing)
    repro.main()
    assert capsys.readouterr().out == "verify: build/results/ is missing\n"


def test_repro_compares_nothing_after_a_pipeline_that_failed(started, data, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["aecompanion repro"])
    started.codes[1] = 1
    with pytest.raises(SystemExit):
        repro.main()
    assert [command[2] for command in started.commands] == ["dvc"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError])
def test_repro_ends_in_one_sentence_when_raw_files_are_wrong(started, data, monkeypatch, error):
    def fill():
        raise error("data/a.jpg has changed")

    monkeypatch.setattr(repro.sources, "fill", fill)
    with pytest.raises(SystemExit, match=r"^aecompanion repro: data/a\.jpg has changed$"):
        repro.main()
    assert started.commands == []


def test_status_takes_the_fingerprints_before_it_asks_dvc(started):
    repro.status()
    assert [command[2:] for command in started.commands] == [["dvc", "repro", "--quiet", "code"], ["dvc", "status"]]


def test_status_does_not_ask_after_fingerprints_that_failed_and_says_so(started, capsys):
    started.codes[1] = 255  # of DVC, told to be quiet, where another one holds the file
    with pytest.raises(SystemExit) as ended:
        repro.status()
    assert len(started.commands) == 1
    assert ended.value.code == 255
    said = capsys.readouterr().err
    assert said.startswith("aecompanion: the fingerprints of the code were not taken") and said.count("\n") == 1


@pytest.mark.parametrize("cloned", [False, True])
def test_a_downloaded_archive_is_no_repository_and_dvc_is_told_so(checkout, started, cloned):
    if cloned:
        (checkout / ".git").touch()
    repro.call("dvc", "status")
    own = checkout / ".dvc" / "config.local"
    assert own.exists() != cloned
    assert cloned or "no_scm = true" in own.read_text()
