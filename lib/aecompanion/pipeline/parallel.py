"""Several small jobs at once: Python threads for what torch computes, processes for what Python itself does.

`over`: one thread per core, one torch thread each. Compact networks do not fill two torch threads: two jobs side by
side took 0.31 ms per image and attack step, one job with two threads 0.47 (measured). torch releases the interpreter
lock, so threads suffice, and since every job runs single-threaded its bits do not depend on the number of cores. Jobs
must not share a network: `networks.borrow` changes and restores it.

`apart`: processes, for jobs in Python and NumPy. They are spawned: a fork of a notebook's kernel would copy the locks
of its threads, and a server that forks is no child whose CPU seconds `pipeline.record` could count.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, TypeVar

VARIABLE = "COMPANION_WORKERS"  # the most workers that a process may have; set where several stages run at once
Job, Result = TypeVar("Job"), TypeVar("Result")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over(function: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int = 2) -> Iterator[Result]:
    """function(job) for every job, in the order of the jobs, `workers` at a time; an exception ends the rest.

    torch's number of threads in the calling thread stays what it was. Raises ValueError for no worker.
    """
    import torch  # here: what `apart` serves needs no torch

    workers = capped(workers)
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(function, jobs)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def apart(function: Callable[..., Result], jobs: Iterable[Job], shared: Any, *, workers: int) -> Iterator[Result]:
    """function(shared, job) for every job, in the order of the jobs, in `workers` processes; one worker: in this one.

    `shared` is sent to each process once; `function` is a module's. Workers end with the caller. Raises ValueError for
    no worker.
    """
    workers = capped(workers)
    if workers == 1:
        yield from (function(shared, job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=start, initargs=(shared, os.getpid()))
    try:
        yield from pool.map(call, ((function, job) for job in jobs))
    finally:
        pool.shutdown(cancel_futures=True)


_shared: Any = None  # in a worker of `apart`


def start(shared: Any, parent: int) -> None:
    """Worker: keep what all jobs share, and end when the caller's process has gone."""
    global _shared
    _shared = shared
    end_with(parent)


def end_with(parent: int) -> None:
    """Worker: end when the process that started it has gone, also while computing."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def call(job: tuple[Callable[..., Result], Any]) -> Result:
    """Worker: one job."""
    return job[0](_shared, job[1])


def capped(workers: int) -> int:
    """So many workers, or fewer where this process has but a share of the cores. Raises ValueError for no worker."""
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected at least 1")
    return min(workers, max(1, int(os.environ.get(VARIABLE) or workers)))
