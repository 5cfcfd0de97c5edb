"""Images that pass through networks, counted while a stage runs, so that a plan can scale what a run did.

    forward: images of every call of a `networks.zoo.Network`; backward: images of every gradient through its output

`pipeline.run` opens `recorded`; each process that imports the networks (the kernel, the workers that it spawns, their
threads included) then counts into a file of its own, and `recorded` adds the files up. A row per network (name and
classes of its card, channels and side of the images) and kind of call: "learn", with gradients of the parameters;
"attack", with gradients of the input or a layer (explanations, too); "look", without. It has the images forward and
backward and the largest batch. The counts do not depend on the machine or the order of threads; a training that
continued after a kill counts only what the last run did. Counting changes no number.

`collect` keeps the rows of a whole run, and the parameters it had, in results/passes.json, which is committed.
"""

import atexit
import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aecompanion.pipeline.paths import BUILD, ROOT, remove

VARIABLE = "COMPANION_PASSES"  # a folder, set by `recorded`
RECORD = ROOT / "results" / "passes.json"
KEY = ("network", "classes", "channels", "size", "kind")
COUNTS = ("forward", "backward", "batch")


class Counter:
    """Counts of one process, from any number of threads."""

    def __init__(self) -> None:
        self.counts: dict[tuple, list[int]] = {}
        self.lock = threading.Lock()

    def add(self, key: tuple, way: str, images: int) -> None:
        with self.lock:
            counts = self.counts.setdefault(key, [0, 0, 0])
            counts[COUNTS.index(way)] += images
            counts[2] = max(counts[2], images)

    def see(self, network: Any, images: Any, output: Any) -> None:
        """One call: `images` N×C×H×W went into `network` (with a card) and came out as `output`; where gradients are
        taken of the output, each backward pass through it counts as well.
        """
        graded = getattr(output, "requires_grad", False)
        first = next(network.parameters(), None) if graded else None
        kind = "learn" if first is not None and first.requires_grad else "attack" if graded else "look"
        card, (number, channels, *sides) = network.card, images.shape
        key = (card["name"], card["classes"], channels, max(sides), kind)
        self.add(key, "forward", number)
        if graded:
            output.register_hook(lambda _: self.add(key, "backward", number))

    def take(self, rows: list[dict[str, Any]]) -> None:
        """Add what another counter has seen."""
        with self.lock:
            for row in rows:
                key = tuple(row[name] for name in KEY)
                forward, backward, batch = self.counts.get(key, [0, 0, 0])
                self.counts[key] = [forward + row["forward"], backward + row["backward"], max(batch, row["batch"])]

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per network, sorted."""
        with self.lock:
            return [dict(zip(KEY + COUNTS, (*key, *self.counts[key]), strict=True)) for key in sorted(self.counts)]


counter: Counter | None = None  # of this process, None where nobody counts


def start(folder: Path) -> Counter:
    """Count from now on into a new file of `folder`: at the end of the process, in a notebook after every cell (its
    kernel may be killed).
    """
    global counter
    counter = current = Counter()
    handle, name = tempfile.mkstemp(suffix=".json", dir=folder)  # empty until written
    os.close(handle)

    def write(*_: Any) -> None:
        if folder.exists():
            Path(name).write_text(json.dumps(current.rows()))

    atexit.register(write)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.events.register("post_run_cell", write)
    return current


@contextlib.contextmanager
def counted() -> Iterator[Counter]:
    """A counter of its own for what this process does inside."""
    global counter
    before, counter = counter, Counter()
    try:
        yield counter
    finally:
        counter = before


def merged(parts: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of several processes as one list, sorted: images added up, the largest batch."""
    total = Counter()
    for part in parts:
        total.take(part)
    return total.rows()


def written(rows: list[dict[str, Any]], margin: str = "") -> str:
    """Rows as JSON, one a line."""
    return "[" + ",".join(f"\n{margin} {json.dumps(row)}" for row in rows) + (f"\n{margin}]" if rows else "]")


@contextlib.contextmanager
def recorded(file: Path) -> Iterator[None]:
    """Count in all processes that are started inside; at the end write the sum to `file`, after an exception nothing.

    Raises RuntimeError if a process ended without writing its counts.
    """
    folder, before = file.with_suffix(".part"), os.environ.get(VARIABLE)
    remove(folder)
    remove(file)
    folder.mkdir(parents=True)
    os.environ[VARIABLE] = str(folder)
    try:
        yield
        texts = [part.read_text() for part in folder.glob("*.json")]
        if not all(texts):
            raise RuntimeError(f"{file.stem}: a process ended without writing its passes, expected none to be killed")
        file.write_text(written(merged(json.loads(text) for text in texts)) + "\n")
    finally:
        remove(folder)
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def load(file: Path = RECORD) -> dict[str, dict[str, Any]]:
    """{stage: {"source", "parameters", "passes"}}; source: "counted", or "formula" for rows that were worked out by
    hand before a run had counted. Raises FileNotFoundError, or ValueError for a file that does not hold this.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file.name} is missing, expected what `aecompanion plan --collect` writes")
    try:
        found = json.loads(file.read_text())
        for entry in found.values():
            entry["source"], entry["parameters"], merged([entry["passes"]])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file.name}: expected source, parameters and passes per stage ({error!r})") from None
    return found


def collect(parameters: dict[str, Any], folder: Path = BUILD / "passes", file: Path = RECORD) -> list[str]:
    """Take the counts in `folder` of a run with `parameters` (per stage) into `file`; returns the stages that have any.
    The others keep what they have. Raises FileNotFoundError if none has.
    """
    found = [stage for stage in parameters if (folder / f"{stage}.json").is_file()]
    if not found:
        raise FileNotFoundError(f"{folder} holds no counts, expected STAGE.json of a run of the pipeline")
    record = load(file) if file.is_file() else {}
    for stage in found:
        rows = json.loads((folder / f"{stage}.json").read_text())
        record[stage] = {"source": "counted", "parameters": parameters[stage], "passes": rows}
    save({stage: record[stage] for stage in parameters if stage in record}, file)
    return found


def save(record: dict[str, dict[str, Any]], file: Path = RECORD) -> None:
    """Write the record, a line per row."""
    texts = []
    for stage, entry in record.items():
        lines = (f"  {json.dumps(key)}: {json.dumps(entry[key])}" for key in ("source", "parameters"))
        rows = f'  "passes": {written(entry["passes"], "  ")}'
        texts.append(f" {json.dumps(stage)}: {{\n" + ",\n".join([*lines, rows]) + "\n }")
    file.write_text("{\n" + ",\n".join(texts) + "\n}\n")


if VARIABLE in os.environ:
    start(Path(os.environ[VARIABLE]))
