"""Units of work whose results are files: in processes of this machine, or on a Dask cluster that is already there.

A job is a mapping of plain values (what JSON can hold: paths as text, keys, numbers), `function` is
"package.module:function" and is called with the job and a path of its own, at which it makes a file or a folder; that
is then renamed to the job's own name. A result that is there is not computed again, so whatever is killed continues,
and a job that runs twice because a worker was thought dead leaves the same bytes. Weights, images and maps go through
the file system that all workers share; nothing but jobs and paths is sent. Beside each result stand the passes that it
cost (`pipeline.passes`), so that their count does not depend on where a job ran either.

Where: without COMPANION_CLUSTER in the environment, spawned processes, one torch thread each; one that dies is replaced
and its job tried again. With it, a Dask scheduler's address ("tcp://host:8786") or its scheduler file: the scheduler
then queues, and gives the job of a lost worker to another one. A worker whose library, checkout, torch or code path of
the processor is not the caller's refuses, since its bits would differ (`world`). See docs/cluster.md.
"""

import contextlib
import functools
import hashlib
import importlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aecompanion.pipeline import cluster, parallel, passes, paths, processes

LIBRARY = Path(paths.__file__).resolve().parents[1]
_one = threading.Lock()  # a process has one counter of passes, so it does one job at a time


def run(
    function: str,
    jobs: list[dict[str, Any]],
    files: list[Path],
    *,
    workers: int = 2,
    tick: Callable[[int], object] = lambda done: None,
) -> None:
    """Compute every job that has no result yet, in this order as far as there are workers.

    Args:
        files: where the results go, one each (`files` names them).
        workers: processes here; on a cluster it has no meaning.
        tick: called with the number of results that are there, several times a second and at the end.

    The first exception of a job is raised, once, with the worker's traceback as a note, and ends the others. Raises
    ValueError for a job that is not plain values, for two jobs with one file and for no worker; RuntimeError if three
    processes died at one job, if a worker is of another world, if the cluster cannot be reached or goes away.
    """
    workers = parallel.capped(workers)
    for job in jobs:
        plain(job)
    if len(set(files)) < len(files):
        raise ValueError(f"two of {len(files)} jobs have one file, expected different ones")
    tasks = [(function, job, str(file), world()) for job, file in zip(jobs, files, strict=True) if not file.exists()]
    address, done = os.environ.get(cluster.VARIABLE), len(jobs) - len(tasks)
    tick(done)
    for ended in cluster.there(call, tasks, address) if address else processes.here(call, tasks, workers):
        done += ended
        tick(done)
    if passes.counter is not None:
        for file in files:
            passes.counter.take(json.loads(beside(file).read_text()))


def files(function: str, jobs: list[dict[str, Any]], suffix: str = "", *, inputs: tuple[Path, ...] = ()) -> list[Path]:
    """A name per job below `folder()`: a hash of function, job, the library's code and the content of `inputs`."""
    given = [function, world()["library"], *map(content, inputs)]
    keys = [hashlib.sha256(json.dumps([*given, job], sort_keys=True).encode()).hexdigest()[:24] for job in jobs]
    return [folder() / f"{key}{suffix}" for key in keys]


def folder() -> Path:
    """Where results wait until their stage has succeeded: outside declared outputs, which DVC deletes before a run."""
    return (paths.BUILD if paths.stage() else paths.BY_HAND) / "resume" / (paths.stage() or "jobs")


def forget() -> None:
    """Remove what waits, once the stage's outputs are in place."""
    paths.remove(folder())


def content(path: Path) -> str:
    """Hash of a file, or of the names and contents of all files of a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.relative_to(path).as_posix().encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def own(path: Path) -> Path:
    """A temporary name beside `path` that no other process on any machine uses."""
    return path.with_name(f".part.{socket.gethostname()}.{os.getpid()}.{path.name}")


def beside(file: Path) -> Path:
    """Where the passes of a result are kept."""
    return file.with_name(f"{file.name}.passes")


def plain(job: dict[str, Any]) -> None:
    """Raises ValueError unless a job survives JSON unchanged."""
    try:
        same = json.loads(json.dumps(job, allow_nan=False)) == job
    except (TypeError, ValueError) as error:
        raise ValueError(f"job {job!r:.200} is not plain values ({error}), expected what JSON can hold") from None
    if not same:
        raise ValueError(f"job {job!r:.200} is not plain values, expected lists for tuples and text for keys")


@functools.cache
def world() -> dict[str, str]:
    """What must be alike wherever the jobs of one run are computed."""
    import torch  # here: what reads names and folders needs no torch

    digest = hashlib.sha256()
    for file in sorted(file for kind in ("py", "yaml", "csv") for file in LIBRARY.rglob(f"*.{kind}")):
        digest.update(file.relative_to(LIBRARY).as_posix().encode() + hashlib.sha256(file.read_bytes()).digest())
    return {
        "library": digest.hexdigest()[:16],
        "checkout": str(paths.ROOT),
        "torch": torch.__version__,
        "code path of the processor": torch.backends.cpu.get_cpu_capability(),
    }


def call(function: str, job: dict[str, Any], file: str, expected: dict[str, str]) -> None:
    """Worker: one job, unless its result is there. Raises RuntimeError where this is not the caller's world."""
    import torch

    if differ := [name for name, value in expected.items() if world()[name] != value]:
        here, wanted = ({name: each[name] for name in differ} for each in (world(), expected))
        raise RuntimeError(f"a worker on {socket.gethostname()} has {here}, expected the caller's {wanted}")
    place = Path(file)
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    module, _, name = function.partition(":")
    with _one:
        if job.get("device", "cpu") == "cpu":
            torch.set_num_threads(1)  # of this thread, which on Dask is one of the worker's
        with passes.counted() as counter, placed(place) as part:
            getattr(importlib.import_module(module), name)(job, part)
            with placed(beside(place)) as count:
                count.write_text(json.dumps(counter.rows()))


@contextlib.contextmanager
def placed(path: Path) -> Iterator[Path]:
    """A name of its own, renamed to `path` at the end; nothing is left after an exception. Where another run has put a
    folder there meanwhile, that one stays.
    """
    part = own(path)
    paths.remove(part)
    try:
        yield part
        try:
            part.replace(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        paths.remove(part)
