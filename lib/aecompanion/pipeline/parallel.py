"""Several small jobs at once: one Python thread per core, one torch thread each.

Compact networks do not fill two torch threads: two jobs side by side took 0.31 ms per image and attack step, one job
with two threads 0.47 (measured). torch releases the interpreter lock, so threads suffice, and since every job runs
single-threaded its bits do not depend on the number of cores. Jobs must not share a network: `networks.borrow`
changes and restores it.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Job, Result = TypeVar("Job"), TypeVar("Result")


def over(function: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int = 2) -> Iterator[Result]:
    """function(job) for every job, in the order of the jobs, `workers` at a time; an exception ends the rest.

    torch's number of threads in the calling thread stays what it was. Raises ValueError for no worker.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected at least 1")
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(function, jobs)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
