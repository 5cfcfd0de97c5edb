"""A notebook that is opened by hand before any run says in one sentence which one command makes all that it reads."""

import re
import shutil

import nbformat
import pytest
import yaml

from aecompanion.pipeline import notebooks, paths

STAGES = yaml.safe_load((paths.ROOT / "dvc.yaml").read_text())["stages"]
NO_NOTEBOOKS = ("build/raw", "build/code/")  # of the two stages that run none
SIDE_TREE = paths.ROOT.parent.name == "profiles"
pytestmark = pytest.mark.skipif(SIDE_TREE, reason="the notebooks are the checkout's")


def reads(name):
    """What a stage reads of what other notebooks wrote."""
    read = (str(dep) for dep in STAGES[name].get("deps", []))
    return [dep for dep in read if dep.startswith("build/") and not dep.startswith(NO_NOTEBOOKS)]


def makes(name):
    """The outputs of a stage and of all that it depends on."""
    made, waiting = set(), [name]
    while waiting:
        stage = waiting.pop()
        for out in STAGES[stage].get("outs", []):
            made.add(out if isinstance(out, str) else next(iter(out)))
        for other, body in STAGES.items():
            outs = {out if isinstance(out, str) else next(iter(out)) for out in body.get("outs", [])}
            if outs & set(STAGES[stage].get("deps", [])) and not outs <= made:
                waiting.append(other)
    return made


ALL = [source for source in notebooks.sources() if source.stem in STAGES]
READERS = [source for source in ALL if reads(source.stem)]


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A checkout in which nothing has run."""
    shutil.copy(paths.ROOT / "dvc.yaml", tmp_path)
    for name, value in {"ROOT": tmp_path, "BUILD": tmp_path / "build", "BY_HAND": tmp_path / "build/by_hand"}.items():
        monkeypatch.setattr(paths, name, value)
    monkeypatch.delenv(paths.STAGE_VARIABLE, raising=False)
    return tmp_path


def test_most_notebooks_read_what_others_wrote():
    assert len(ALL) == len(notebooks.sources())
    assert len(READERS) > 0.7 * len(ALL)


@pytest.mark.parametrize("source", READERS, ids=lambda source: source.stem)
def test_a_notebook_opened_alone_names_one_command_that_makes_all_it_reads(empty, monkeypatch, source):
    monkeypatch.setenv(paths.NOTEBOOK_VARIABLE, f"notebooks/{source.parent.name}/{source.name}")
    code = notebooks.code_of(nbformat.read(source, as_version=4))
    with pytest.raises(FileNotFoundError) as missing:
        exec(compile(code, source.name, "exec"), {"__name__": "__main__"})
    said = str(missing.value)
    assert "\n" not in said
    assert re.findall("`(.+?)`", said) == [f"dvc repro {source.stem}"], said
    place = said.partition(" is missing: ")[0]
    made = makes(source.stem)
    assert any(place == out or place.startswith(f"{out}/") or out.startswith(f"{place}/") for out in made), place
    assert set(reads(source.stem)) <= made
