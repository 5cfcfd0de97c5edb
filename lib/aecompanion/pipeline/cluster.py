"""Tasks on a Dask cluster; `aecompanion cluster N` starts a small one on this machine's loopback.

The cluster queues, starts the task of a lost worker on another one, and takes workers that come later. Here is only the
client. Whoever reaches the scheduler's port runs code as its user: see docs/cluster.md.
"""

import argparse
import asyncio
import concurrent.futures
import importlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aecompanion.pipeline import paths

VARIABLE = "COMPANION_CLUSTER"  # a scheduler's address, or its scheduler file
FILE = paths.BUILD / "cluster.json"
PAUSE = 0.2  # seconds between two signs of life
TIMEOUT = "30s"  # until a scheduler answers
LOOPBACK = "127.0.0.1"


def dask() -> Any:
    """The package `distributed`. Raises RuntimeError where it is not installed."""
    try:
        return importlib.import_module("distributed")  # by name: no result depends on it, so no stage on its version
    except ModuleNotFoundError:
        raise RuntimeError("Dask is not installed: pip install --require-hashes -r requirements-cluster.txt") from None


def there(call: Callable[..., None], tasks: list[tuple], address: str) -> Iterator[int]:
    """`processes.here` on the cluster at `address`: a scheduler's address or its file.

    Raises RuntimeError where Dask is not installed, nobody answers, the cluster goes away, or too many workers died at
    one task (as many as the scheduler's `allowed-failures` and one more).
    """
    if not tasks:
        return
    distributed, where = dask(), f"{VARIABLE}={address}"
    again = "start it and run the same command, which keeps the results that are there"
    try:
        client = distributed.Client(
            **({"scheduler_file": address} if Path(address).is_file() else {"address": address}),
            set_as_default=False,
            timeout=TIMEOUT,
        )
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise RuntimeError(f"no cluster answers at {where} ({type(error).__name__}): {again}") from None
    pending: set[concurrent.futures.Future] = set()
    with client:
        submit = client.get_executor(pure=False, retries=0).submit
        try:
            pending = {submit(call, *task) for task in tasks}
            while pending:
                done, pending = concurrent.futures.wait(pending, PAUSE, concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    future.result()
                yield len(done)
        except (concurrent.futures.CancelledError, asyncio.CancelledError, distributed.comm.CommClosedError):
            raise RuntimeError(f"the cluster at {where} went away: {again}") from None
        except distributed.KilledWorker as error:
            raise RuntimeError(f"too many workers died at one job, {error.task}") from None
        finally:
            for future in pending:
                future.cancel()


def start(workers: int, file: Path) -> None:
    """A scheduler and its workers, one thread each, on loopback, until SIGINT or SIGTERM; the address is in `file`.

    A worker that dies is replaced. Raises ValueError for no worker.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers, expected at least 1")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ports = {"dashboard_address": f"{LOOPBACK}:0", "worker_dashboard_address": f"{LOOPBACK}:0"}
    own = {"n_workers": workers, "threads_per_worker": 1, "processes": True, "memory_limit": None}
    with dask().LocalCluster(host=LOOPBACK, **ports, **own) as running:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".part.{file.name}")
        part.write_text(json.dumps({"address": running.scheduler_address}) + "\n")
        part.replace(file)
        print(f"{workers} workers; in another terminal: export {VARIABLE}={file}", flush=True)
        try:
            ended.wait()
        finally:
            file.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion cluster", description="A Dask cluster on loopback.")
    parser.add_argument("workers", type=int, nargs="?", default=2, help="how many processes, one thread each")
    parser.add_argument("--file", type=Path, default=FILE, help="where its address is written")
    arguments = parser.parse_args()
    try:
        start(arguments.workers, arguments.file.absolute())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"aecompanion cluster: {error}")
