import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from aecompanion import __main__ as command
from aecompanion.pipeline.paths import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture
def call(monkeypatch):
    """`aecompanion ARGUMENTS`; gives the sentence that it ended with, None where it came to its end."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["aecompanion", *arguments])
        try:
            command.main()
        except SystemExit as ended:
            return ended.code
        return None

    return run


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_lists_every_command_with_what_it_does(call, capsys, arguments):
    assert call(*arguments) is None
    shown = capsys.readouterr().out
    for name, (_, what) in command.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", shown, re.MULTILINE)


@pytest.mark.parametrize("name", command.COMMANDS)
def test_every_command_names_a_function_of_the_package(name):
    module, _, function = command.COMMANDS[name][0].partition(":")
    assert callable(getattr(importlib.import_module(f"aecompanion.{module}"), function))


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_the_projects(call, capsys, option):
    assert call(option) is None
    assert capsys.readouterr().out == f"aecompanion {VERSION}\n"


def test_the_citation_names_the_same_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == VERSION


def test_without_a_checkout_the_version_is_the_installed_packages(monkeypatch):
    monkeypatch.setattr(command, "IN_CHECKOUT", False)
    monkeypatch.setattr(command.metadata, "version", lambda name: f"that of {name}")
    assert command.version() == "that of adversarial-explanation-companion"


def test_an_unknown_command_is_one_sentence_and_exit_code_1():
    run = subprocess.run([sys.executable, "-m", "aecompanion", "reprod"], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert re.fullmatch(r"aecompanion: no command 'reprod', expected one of data, repro, [\w, -]+\n", run.stderr)


def test_a_reader_who_has_seen_enough_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "aecompanion", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()  # before the first line: as `head` does, only sooner
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), said) == (0, b"")


def test_a_command_gets_its_own_arguments(call, monkeypatch):
    seen = []
    monkeypatch.setitem(command.COMMANDS, "toy", ("pipeline.toy:start", "nothing"))
    toy = type(sys)("aecompanion.pipeline.toy")
    toy.start = lambda: seen.append(list(sys.argv))
    monkeypatch.setitem(sys.modules, "aecompanion.pipeline.toy", toy)
    assert call("toy", "--fast", "name") is None
    assert seen == [["aecompanion toy", "--fast", "name"]]


def test_a_missing_package_is_one_sentence_that_names_the_extra(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "papermill", None)  # what Python raises ModuleNotFoundError for
    monkeypatch.delitem(sys.modules, "aecompanion.pipeline.run", raising=False)
    expected = 'aecompanion run: papermill is missing, install "adversarial-explanation-companion[pipeline]"'
    assert call("run", "digits_data") == expected


def test_a_missing_module_of_our_own_is_no_advice_to_install_anything(call, monkeypatch):
    monkeypatch.setitem(command.COMMANDS, "toy", ("pipeline.no_such_module:main", "nothing"))
    with pytest.raises(ModuleNotFoundError, match=r"aecompanion\.pipeline\.no_such_module"):
        call("toy")


@pytest.mark.parametrize("name", sorted(set(command.COMMANDS) - command.ANYWHERE))
def test_outside_a_checkout_a_command_says_that_it_needs_one(call, monkeypatch, tmp_path, name):
    monkeypatch.setattr(command, "IN_CHECKOUT", False)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert call(name) == f"aecompanion {name}: needs a checkout of the project, {tmp_path} is none"


def test_the_commands_of_the_pipeline_and_of_make_exist():
    text = "".join((ROOT / name).read_text() for name in ("dvc.yaml", "Makefile"))
    used = set(re.findall(r"python -m aecompanion (\w+)", text))
    assert {"run", "data", "code"} <= used <= set(command.COMMANDS)


def test_help_imports_nothing_but_the_standard_library_and_what_the_paths_need():
    allowed = {*sys.stdlib_module_names, "aecompanion", "yaml", "platformdirs"}
    for module in ("__main__", "pipeline.paths", "data.sources", "data.files"):
        file = Path(command.__file__).parent / Path(*module.split(".")).with_suffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= allowed
