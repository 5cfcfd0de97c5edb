"""Regenerate everything, or say what is stale: `aecompanion repro`, `aecompanion status`.

DVC does the work; this spares a machine without make the Makefile: the raw files, `dvc repro`, and whether what
came out is a reproduction of what is published.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from aecompanion.data import sources
from aecompanion.pipeline import stages
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


def call(*command: str, sentence: str = "") -> None:
    """Run a module in the checkout with this interpreter; ends the process with its exit code if that is not 0, after
    the sentence, for a module that was told to be quiet.
    """
    if not is_checkout(ROOT):
        sys.exit(f"aecompanion: {ROOT} is no checkout of the project")
    if importlib.util.find_spec(command[0]) is None:
        sys.exit(f'aecompanion: {command[0]} is missing, install "adversarial-explanation-companion[pipeline]"')
    if command[0] == "dvc":
        prepare()
    code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment()).returncode
    if code:
        if sentence:
            print(sentence, file=sys.stderr)
        sys.exit(code)


def fingerprints() -> None:
    """Run the stage `code`: what it finds unchanged is not stale. DVC ends it where another one is at work."""
    again = "end or wait for another `dvc` that runs in this checkout, or see what `dvc repro code` says"
    call(
        "dvc", "repro", "--quiet", "code", sentence=f"aecompanion: the fingerprints of the code were not taken: {again}"
    )


def main() -> None:
    """Fill data/, reproduce the default size, say in one line how build/results/ compares with results/."""
    try:
        sources.fill()
        sources.check()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"aecompanion repro: {error}")
    parser = argparse.ArgumentParser(prog="aecompanion repro", description="Regenerate all, or the stages named.")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many stages run at once (1)")
    parser.epilog = "Everything else goes to `dvc repro`."
    arguments, others = parser.parse_known_args()
    if arguments.jobs != 1:
        at_once(others, arguments.jobs)
    call("dvc", "repro", *others)
    try:
        found, _ = verification.verify()
    except (ValueError, FileNotFoundError) as error:  # a single stage was asked for, or nothing is published
        print(f"verify: {error}")
    else:
        print(f"{verification.summary(found)}; `aecompanion verify` says more")


def at_once(targets: list[str], jobs: int) -> None:
    """Run the stages that are stale, several at once; any problem ends the process with one sentence."""
    if any(each.startswith("-") for each in targets):
        sys.exit("aecompanion repro: with --jobs only stages can be named, no options of DVC")
    fingerprints()
    try:
        needs, stale = stages.pipeline(ROOT, targets)
        stages.run(ROOT, needs, stale, jobs=jobs, environment=environment())
    except (ValueError, RuntimeError) as error:
        sys.exit(f"aecompanion repro: {error}")
    except KeyboardInterrupt:
        sys.exit("aecompanion repro: interrupted")


def status() -> None:
    """What changed since the last run: the fingerprints first, then what DVC finds stale."""
    fingerprints()
    call("dvc", "status")
