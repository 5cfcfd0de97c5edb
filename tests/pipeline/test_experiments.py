"""The commands of docs/verify.md's sections on DVC, on a toy pipeline."""

import csv
import io
import shutil
import subprocess
import sys

import pytest
import yaml

from aecompanion.pipeline import repro
from aecompanion.pipeline.paths import ROOT

MAKE = """
import json
import yaml
from pathlib import Path
noise = yaml.safe_load(Path("params.yaml").read_text())["toy_gallery"]["noise"]
folder = Path("build/results/metrics")
folder.mkdir(parents=True)
(folder / "toy.json").write_text(json.dumps({"reproduced": 3, "lead over random": noise / 10}))
(folder.parent / "distances.csv").write_text("claim,paper,strength,distance,verdict\\nP1.01,1,must,2,reproduced\\n")
"""
PIPELINE = {
    "stages": {
        "toy_gallery": {
            "cmd": "python make.py",
            "deps": ["make.py"],
            "params": ["toy_gallery"],
            "outs": ["build/results"],
        }
    },
    "metrics": ["build/results/metrics"],
    "plots": [{"claims": {"template": "claims", "x": "distance", "y": {"build/results/distances.csv": "claim"}}}],
}


def call(root, *command):
    done = subprocess.run(command, cwd=root, env=repro.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def dvc(root, *arguments):
    return call(root, sys.executable, "-m", "dvc", *arguments)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A repository whose pipeline ran once, with the project's templates."""
    root = tmp_path_factory.mktemp("toy")
    (root / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (root / "make.py").write_text(MAKE)
    (root / "params.yaml").write_text("toy_gallery: {noise: 2, other: 1}\n")
    (root / ".gitignore").write_text("/build/\n/dvc_plots/\n")
    call(root, "git", "init", "-q")
    for key in ("user.name", "user.email"):
        call(root, "git", "config", key, "a@b")
    dvc(root, "init", "-q")
    shutil.copytree(ROOT / ".dvc" / "plots", root / ".dvc" / "plots", dirs_exist_ok=True)
    dvc(root, "repro", "-q")
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "first")
    return root


def test_an_experiment_is_run_shown_and_compared(toy):
    dvc(toy, "exp", "run", "-q", "-n", "more-noise", "-S", "toy_gallery.noise=4", "toy_gallery")
    text = dvc(toy, "exp", "show", "--only-changed", "--csv")
    (row,) = (row for row in csv.DictReader(io.StringIO(text)) if row["Experiment"] == "more-noise")
    assert (row["toy_gallery.noise"], row["lead over random"]) == ("4", "0.4")
    assert not {"toy_gallery.other", "reproduced"} & set(row), "they are the same in all experiments"
    said = dvc(toy, "exp", "diff", "HEAD", "more-noise")
    assert "lead over random" in said
    assert "toy_gallery.noise" in said
    call(toy, "git", "checkout", "params.yaml", "dvc.lock")
    dvc(toy, "checkout", "-q")
    assert "up to date" in dvc(toy, "status")


def test_plots_use_the_projects_template_without_a_warning(toy):
    said = dvc(toy, "plots", "show")
    assert "WARNING" not in said
    assert "half-intervals beyond the bound" in (toy / "dvc_plots" / "index.html").read_text()


def test_every_template_that_the_pipeline_names_is_there():
    plots = [
        next(iter(each.values()))
        for each in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
        if isinstance(each, dict)
    ]
    assert len(plots) > 3
    for plot in plots:
        assert (ROOT / ".dvc" / "plots" / f"{plot['template']}.json").is_file()
