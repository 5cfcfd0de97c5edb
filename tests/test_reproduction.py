"""results/ is what the tree makes: dvc.lock is in step with notebooks, modules, parameters, data and results."""

import subprocess
import sys

import pytest
import yaml
from dvc.repo import Repo

from aecompanion.pipeline.paths import ROOT

MISSING = {"deleted", "not in cache"}  # build/ and the cache are not in git
SIDE_TREE = ROOT.parent.name == "profiles"


@pytest.fixture(scope="module")
def lock():
    return yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]


@pytest.mark.skipif(SIDE_TREE, reason="a side tree has a lock of its own size")
def test_nothing_changed_since_the_published_run():
    subprocess.run([sys.executable, "-m", "aecompanion", "code"], cwd=ROOT, check=True, capture_output=True)
    with Repo(str(ROOT)) as repo:
        status = repo.status()
    changed = []
    for stage, entries in status.items():
        for entry in entries:
            if isinstance(entry, str):  # "changed command"
                changed.append(f"{stage}: {entry}")
                continue
            for kind, files in entry.items():
                for file, state in files.items():
                    # the first stage reads all code with its prose; what it makes of it is compared by its output
                    if stage == "code" and kind == "changed deps":
                        continue
                    if not isinstance(state, str) or state not in MISSING:  # parameters come as a table
                        changed.append(f"{stage}: {file} {state}")
    assert not changed, "run `dvc repro` and commit dvc.lock and results/"


def test_every_dependency_is_the_output_it_was_made_from(lock):
    outputs = {out["path"]: out["md5"] for stage in lock.values() for out in stage.get("outs", [])}
    for name, stage in lock.items():
        for dep in stage.get("deps", []):
            if dep["path"] in outputs:
                assert dep["md5"] == outputs[dep["path"]], f"{name}: {dep['path']}"


def test_the_raw_data_of_the_lock_are_those_of_the_manifest():
    from aecompanion.data import sources

    sources.check()
