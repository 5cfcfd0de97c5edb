"""Several stages of a DVC pipeline at once: `aecompanion repro --jobs 2`.

`dvc repro` runs stages one after another, and two of them side by side stop each other ("busy"). The one form that runs
at once is `dvc --wait-for-lock repro --single-item STAGE`, which touches its own stage only, so somebody has to know
the order: here a stage starts when all that it needs has ended, first the one with the longest path of seconds before
the pipeline's end. A plain `dvc repro` afterwards finds nothing to do and proves it. On one host only: DVC's locks name
processes, not hosts.

Cores are shared: a stage beside others has cores // jobs workers (`parallel.capped`), one that is alone has all.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

from aecompanion.pipeline import parallel, record

UNKNOWN = 10.0  # seconds of a stage that never ran here
PATIENCE = 10  # seconds between an interrupt, a termination and a kill
SENTENCE = "aecompanion"  # what a stage's own sentence about its failure begins with


def pipeline(root: Path, targets: Iterable[str] = ()) -> tuple[dict[str, set[str]], set[str]]:
    """Every stage of the targets (none: of all) with the stages that it needs, and those that are stale as they stand.

    Raises ValueError for a stage that does not exist.
    """
    from dvc.repo import Repo  # here: slow to import

    with Repo(str(root)) as repo:
        graph = repo.index.graph
        name = {stage: getattr(stage, "name", "") or os.path.relpath(stage.path, root) for stage in graph}
        needs = {name[stage]: {name[each] for each in graph.successors(stage)} for stage in graph}
        status = repo.status()
        stale = {name[stage] for stage in graph if stage.addressing in status}
    wanted, chosen = list(targets) or list(needs), set()
    while wanted:
        stage = wanted.pop()
        if stage not in needs:
            raise ValueError(f"no stage {stage!r}, expected one of {', '.join(sorted(needs))}")
        if stage not in chosen:
            chosen.add(stage)
            wanted += needs[stage]
    return {stage: needs[stage] for stage in needs if stage in chosen}, stale & chosen


def seconds(stage: str) -> float:
    """How long the stage took when it last ran here."""
    return float(record.read(stage).get("seconds", UNKNOWN))


def paths_of(needs: Mapping[str, set[str]], seconds: Callable[[str], float]) -> dict[str, float]:
    """Seconds from each stage's start to the end along the longest chain of stages that need one another."""
    found: dict[str, float] = {}

    def length(stage: str) -> float:
        if stage not in found:
            later = [length(other) for other in needs if stage in needs[other]]
            found[stage] = seconds(stage) + max(later, default=0.0)
        return found[stage]

    for stage in needs:
        length(stage)
    return found


def run(
    root: Path,
    needs: Mapping[str, set[str]],
    stale: set[str],
    *,
    jobs: int,
    environment: Mapping[str, str],
    seconds: Callable[[str], float] = seconds,
    say: Callable[[str], None] = print,
) -> None:
    """Run what is stale, and what needs a stage that ran, `jobs` at once.

    After a failure nothing is started and what runs is waited for; an interrupt ends it, with all its processes.
    Raises ValueError for no job, RuntimeError with the sentence of the stage that failed first.
    """
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}, expected at least 1")
    length, waiting, ended, ran = paths_of(needs, seconds), set(needs), set(), set()
    running: dict[str, tuple[subprocess.Popen, IO[str], float]] = {}
    failed = ""
    try:
        while running or (waiting and not failed):
            ready = sorted((s for s in waiting if needs[s] <= ended), key=lambda s: (-length[s], s))
            for stage in ready if not failed else ():
                if stage not in stale and not needs[stage] & ran:
                    waiting.remove(stage)
                    ended.add(stage)
            ready = [stage for stage in ready if stage in waiting and not failed][: jobs - len(running)]
            for stage in ready:
                alone = len(ready) + len(running) == 1
                workers = parallel.cores() if alone else max(1, parallel.cores() // jobs)
                waiting.remove(stage)
                running[stage] = *start(root, stage, environment | {parallel.VARIABLE: str(workers)}), time.monotonic()
                say(f"{stage}: started")
            for stage, (process, output, since) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[stage]
                with output:
                    if process.returncode:
                        failed = failed or f"{stage} failed: {sentence(output)}"
                        say(f"{stage}: failed")
                        continue
                ended.add(stage)
                ran.add(stage)
                say(f"{stage}: done in {time.monotonic() - since:.0f} s, {len(waiting)} to go")
            if running:
                time.sleep(0.05)
    finally:
        stop([process for process, _, _ in running.values()])
    if failed:
        raise RuntimeError(failed)


def start(root: Path, stage: str, environment: Mapping[str, str]) -> tuple[subprocess.Popen, IO[str]]:
    """One stage by DVC, in a process group of its own, and the file that takes what it prints."""
    output = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed when the stage has ended)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT, "start_new_session": True}
    return subprocess.Popen(command, cwd=root, env=dict(environment), **options), output


def sentence(output: IO[str]) -> str:
    """What the stage said of its failure, else the last lines."""
    output.seek(0)
    lines = [line.strip() for line in output.read().splitlines() if line.strip()]
    own = [line for line in lines if line.startswith(SENTENCE)]
    return own[-1] if own else " / ".join(lines[-3:])


def stop(processes: list[subprocess.Popen]) -> None:
    """End process groups: interrupt, then terminate, then kill."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        until = time.monotonic() + PATIENCE
        while any(process.poll() is None for process in processes) and time.monotonic() < until:
            time.sleep(0.05)
        processes = [process for process in processes if process.poll() is None]
