"""Files decoded ahead of the network that waits for them."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aecompanion.data.dataset import Dataset

Job, Result = TypeVar("Job"), TypeVar("Result")
READERS = 8  # threads that decode files, as many batches ahead


def readers(views: Iterable[Dataset]) -> int:
    """How many threads read ahead: none for packed images, which are in memory."""
    return READERS if any(view.images is None for view in views) else 0


def ahead(function: Callable[[Job], Result], jobs: Iterable[Job], *, threads: int) -> Iterator[Result]:
    """function(job) of every job in order, computed up to `threads` jobs ahead; without threads one after another."""
    if not threads:
        yield from map(function, jobs)
        return
    pool, pending = ThreadPoolExecutor(threads), collections.deque()
    try:
        for job in jobs:
            pending.append(pool.submit(function, job))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
