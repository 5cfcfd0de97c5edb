"""Tasks in processes of this machine: one that dies is replaced, and its task alone is tried again.

Not concurrent.futures: its pool ends every process when one has died. The processes are spawned: a fork of a notebook's
kernel would copy the locks of its threads.
"""

import collections
import contextlib
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import connection

from aecompanion.pipeline import parallel, passes

TRIES = 3  # deaths of a process after which its task is given up
PAUSE = 0.2  # seconds between two signs of life


def here(call: Callable[..., None], tasks: list[tuple], workers: int) -> Iterator[int]:
    """call(*task) for every task; yields how many ended, several times a second until all have.

    An exception of one is raised and ends the others. Raises RuntimeError where TRIES processes died at one task.
    """
    waiting, died, finished = collections.deque(enumerate(tasks)), collections.Counter(), False
    staff: dict[connection.Connection, multiprocessing.process.BaseProcess] = {}
    busy: dict[connection.Connection, tuple[int, tuple]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                pipe = next((pipe for pipe in staff if pipe not in busy), None) or employed(call, staff)
                busy[pipe] = waiting.popleft()
                with contextlib.suppress(OSError):  # it has just died, which is read below
                    pipe.send(busy[pipe][1])
            ended = 0
            for pipe in connection.wait(list(busy), PAUSE):
                number, task = busy.pop(pipe)
                try:
                    answer = pipe.recv()
                except (EOFError, OSError):
                    staff.pop(pipe).join()
                    pipe.close()
                    died[number] += 1
                    if died[number] == TRIES:
                        raise RuntimeError(f"{TRIES} processes died at one job, {task!r:.300}") from None
                    waiting.appendleft((number, task))
                    continue
                if answer is not None:
                    raise answer
                ended += 1
            yield ended
        finished = True
    finally:
        for pipe, process in staff.items():
            pipe.close()  # which ends an idle one
            if not finished:
                process.terminate()
        for process in staff.values():
            process.join()


def employed(call: Callable[..., None], staff: dict) -> connection.Connection:
    """The pipe to a new process, which is entered in `staff`. It keeps no counts of passes of its own: its tasks do,
    and a process may be killed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, call, os.getpid()))
    folder = os.environ.pop(passes.VARIABLE, None)
    try:
        process.start()
    finally:
        if folder is not None:
            os.environ[passes.VARIABLE] = folder
    theirs.close()  # so that a process that ends is the end of its pipe
    staff[ours] = process
    return ours


def serve(pipe: connection.Connection, call: Callable[..., None], parent: int) -> None:
    """Process: one task after another, until the caller closes the pipe or has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller's to answer
    parallel.end_with(parent)
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            call(*task)
            answer = None
        except Exception as error:
            answer = portable(error)
        with contextlib.suppress(OSError):  # the caller has gone
            pipe.send(answer)


def portable(error: Exception) -> Exception:
    """The exception with its traceback as a note; one that cannot be sent as a RuntimeError of its words."""
    note = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"\nIn a worker:\n{note}")
    return error
