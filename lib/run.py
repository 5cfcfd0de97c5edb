"""Execute one notebook: `python -m lib.run NOTEBOOK [-p name=value ...]`.

Without -p this is a pipeline stage: parameters come from the notebook's section in params.yaml (`device`, where the
section has none, from the top of the file), outputs go to the pipeline's places, the executed copy to build/executed/.
With -p it is an experiment by hand: the given parameters are laid over that section and everything is written below
build/by_hand/.

Any problem ends in one sentence on stderr and a non-zero exit; a notebook that fails is kept as far as it came in
build/failed/.
"""

import argparse
import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from lib import config
from lib.notebooks import SOURCES, STRIPPED, clean, locate, parameters, strip
from lib.paths import BUILD, BY_HAND, ROOT, STAGE_VARIABLE, remove


def run(name: str, overrides: dict[str, Any] | None = None) -> Path:
    """Execute the notebook and return the path of its executed copy.

    Raises ValueError (a parameter), FileNotFoundError (no such notebook) or RuntimeError (another run of the same
    stage, a failing cell), each with one sentence.
    """
    source = locate(name)
    name = source.stem
    params = config.load()
    values = dict(params.get(name) or {})
    if overrides:
        config.check_section(name, overrides, "-p")
        values |= overrides
    declared = parameters(nbformat.read(source, as_version=4))
    if "device" in declared and params.get("device", "cpu") != "cpu":  # which is every notebook's own
        values = {"device": params["device"]} | values
    check_names(source, declared, values)

    place = BY_HAND if overrides else BUILD
    stripped = STRIPPED / source.relative_to(SOURCES)
    if overrides or not stripped.exists():  # a stage executes the very copy it depends on
        stripped = place / "stripped" / source.name
        stripped.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(strip(nbformat.read(source, as_version=4)), stripped)
    executed = place / "executed" / source.name
    failed = place / "failed" / source.name
    part = failed.with_name(f".part.{source.name}")
    for path in (executed, part):
        path.parent.mkdir(parents=True, exist_ok=True)

    environment = {
        "OMP_NUM_THREADS": str(params.get("threads", 2)),  # other thread counts change the last digits
        "OMP_WAIT_POLICY": "passive",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    if params.get("precision", "float32") != "float32":
        environment["COMPANION_PRECISION"] = params["precision"]  # read by lib.train.ensemble
    if not overrides:
        environment[STAGE_VARIABLE] = name
    with locked(name, place), variables(environment):
        try:
            papermill.execute_notebook(
                stripped,
                part,
                values,
                progress_bar={"desc": name},
                cwd=ROOT,
                stderr_file=sys.stderr,  # so that a notebook's own progress bars show in the terminal
                extra_arguments=["--IPKernelApp.log_level=50"],
            )
        except PapermillExecutionError as error:
            kept = nbformat.read(part, as_version=4)
            injected = sum("injected-parameters" in cell.metadata.get("tags", []) for cell in kept.cells)
            part.replace(failed)
            first = next((line for line in error.source.splitlines() if line.strip()), "").strip()
            raise RuntimeError(
                f"{source.relative_to(ROOT)}, cell {error.cell_index - injected} ({first!r}): "
                f"{error.ename}: {error.evalue} [kept as far as it came: {failed.relative_to(ROOT)}]"
            ) from None
    notebook = clean(nbformat.read(part, as_version=4))
    nbformat.write(notebook, part)
    part.replace(executed)
    remove(failed)
    return executed


def check_names(source: Path, declared: list[str], values: dict[str, Any]) -> None:
    """Every value must have its name in the notebook's parameters cell (papermill itself only warns)."""
    for name in values:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise ValueError(f"{source.relative_to(ROOT)} has no parameter {name!r}, expected one of: {known}")


@contextlib.contextmanager
def locked(name: str, place: Path) -> Iterator[None]:
    """Hold the advisory lock of one stage. Raises RuntimeError if another process holds it."""
    file = place / "locks" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise RuntimeError(
                f"{name} is already running (process {handle.read() or 'unknown'}): wait or end it"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


@contextlib.contextmanager
def variables(values: dict[str, str]) -> Iterator[None]:
    """Environment variables that the kernel inherits, put back afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def parse(argument: str) -> tuple[str, Any]:
    """`name=value` with the value read as YAML: `eps=0.01`, `seeds=[1, 2]`, `root=~/faces`."""
    name, equals, value = argument.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{argument!r} is not of the form name=value")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"the value of {argument!r} is not valid YAML") from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lib.run", description="Execute one notebook.")
    parser.add_argument("notebook", help="its name, with or without .ipynb")
    parser.add_argument("-p", dest="overrides", metavar="name=value", type=parse, action="append", default=[])
    arguments = parser.parse_args()
    try:
        run(arguments.notebook, dict(arguments.overrides))
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        sys.exit(f"lib.run: {error}")


if __name__ == "__main__":
    main()
