"""A module of small jobs for the tests of `pipeline.jobs`, written where the workers find it."""

from pathlib import Path

NAME = "toy_jobs"
SOURCE = '''
import json, os, signal, time
from pathlib import Path

import torch


def note(job):
    with Path(job["log"]).open("a") as log:
        log.write(f"{job['number']}\\n")


def write(job, path):
    """Its number and torch's threads; waits for the file `until`, if it is given one."""
    note(job)
    while "until" in job and not Path(job["until"]).exists():
        time.sleep(0.02)
    path.write_text(f"{job['number']} {torch.get_num_threads()}")


def folder(job, path):
    path.mkdir()
    (path / "number").write_text(str(job["number"]))


def fail(job, path):
    note(job)
    path.write_text("half")
    raise ValueError(f"no {job['number']}")


class Own(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def unpicklable(job, path):
    raise Own("one", "two")


def die(job, path):
    """Kills its process in the middle, `deaths` times."""
    note(job)
    path.write_text("half")
    if Path(job["log"]).read_text().split().count(str(job["number"])) <= job["deaths"]:
        os.kill(os.getpid(), signal.SIGKILL)
    path.write_text("whole")


def look(job, path):
    """Shows images to a network, killed once on the way."""
    from aecompanion.networks import zoo

    network = zoo.create("compact/digits", classes=10, channels=1, size=28, seed=0)
    with torch.no_grad():
        network(torch.zeros(job["number"], 1, 28, 28))
    die(job, path)
'''


def module(folder: Path) -> str:
    """Write the module into a folder and return the prefix of its functions' names."""
    (folder / f"{NAME}.py").write_text(SOURCE)
    return f"{NAME}:"
