"""When, where and with what a stage ran: build/runs/NAME.json, which no stage depends on and the cards of its displays
quote. A stage that DVC restored from its cache did not run here and has no record.
"""

import json
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

from aecompanion.pipeline import paths

RUNS = paths.BUILD / "runs"
COMMIT_VARIABLE = "COMPANION_COMMIT"  # set for side trees, which are no checkouts
NAMED = ("torch", "torchvision", "numpy", "scipy", "matplotlib")  # versions in a card; the rest is in requirements.txt


def commit() -> str | None:
    """The commit of the checkout, with "+" if files that git tracks differ from it; None without git."""
    if known := os.environ.get(COMMIT_VARIABLE):
        return known
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def machine() -> str:
    """Processor, how many cores this process may use, system and Python; before the cores also the code path,
    where PyTorch's (ATEN_CPU_CAPABILITY) is not left to the processor.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    path = f" on {asked.upper()} code" if (asked := os.environ.get("ATEN_CPU_CAPABILITY")) else ""
    return f"{processor()}{path}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def processor() -> str:
    """What the system calls it, on Linux the model's name."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def spent() -> float:
    """CPU seconds of this process and of all its children that have ended, kernels and their workers among them."""
    return sum(os.times()[:4])


def write(stage: str, started: float, spent_before: float) -> None:
    """Record a run that ends now; `time.time()` and `spent()` at its start. What else the machine did meanwhile
    lengthens its seconds, but hardly its CPU seconds.
    """
    RUNS.mkdir(parents=True, exist_ok=True)
    facts = {
        "commit": commit(),
        "machine": machine(),
        "versions": {name: metadata.version(name) for name in NAMED},
        "finished": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": round(time.time() - started, 1),
        "cpu_seconds": round(spent() - spent_before, 1),
    }
    (RUNS / f"{stage}.json").write_text(json.dumps(facts, indent=1) + "\n")


def read(stage: str) -> dict:
    """The record of the stage's last run here, {} without one."""
    file = RUNS / f"{stage}.json"
    return json.loads(file.read_text()) if file.is_file() else {}
