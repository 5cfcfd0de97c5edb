"""Regenerate everything, or say what is stale: `aecompanion repro`, `aecompanion status`.

DVC does the work; this spares a machine without make the Makefile: the raw files, `dvc repro`, and whether what
came out is a reproduction of what is published.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from aecompanion.data import sources
from aecompanion.pipeline.paths import ROOT, is_checkout
from aecompanion.report import verification

ENVIRONMENT = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive", "JUPYTER_PREFER_ENV_PATH": "1"}


def environment() -> dict[str, str]:
    """The variables of a pipeline: the caller's, with this interpreter first, because stages start `python`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), *filter(None, [os.environ.get("PATH")])])
    return ENVIRONMENT | os.environ | {"PATH": path}


def prepare() -> None:
    """Tell DVC where there is no git repository, as in a downloaded archive: it would stop for want of one."""
    own = ROOT / ".dvc" / "config.local"
    if not own.exists() and not any((each / ".git").exists() for each in (ROOT, *ROOT.parents)):
        own.parent.mkdir(exist_ok=True)
        own.write_text("[core]\n    no_scm = true\n")


def call(*command: str) -> None:
    """Run a module in the checkout with this interpreter; ends the process with its exit code if that is not 0."""
    if not is_checkout(ROOT):
        sys.exit(f"aecompanion: {ROOT} is no checkout of the project")
    if importlib.util.find_spec(command[0]) is None:
        sys.exit(f'aecompanion: {command[0]} is missing, install "adversarial-explanation-companion[pipeline]"')
    if command[0] == "dvc":
        prepare()
    code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment()).returncode
    if code:
        sys.exit(code)


def main() -> None:
    """Fill data/, reproduce the default size, say in one line how build/results/ compares with results/."""
    try:
        sources.fill()
        sources.check()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"aecompanion repro: {error}")
    call("dvc", "repro", *sys.argv[1:])
    try:
        found, _ = verification.verify()
    except (ValueError, FileNotFoundError) as error:  # a single stage was asked for, or nothing is published
        print(f"verify: {error}")
    else:
        print(f"{verification.summary(found)}; `aecompanion verify` says more")


def status() -> None:
    """What changed since the last run: the fingerprints first, then what DVC finds stale."""
    call("dvc", "repro", "--quiet", "code")
    call("dvc", "status")
