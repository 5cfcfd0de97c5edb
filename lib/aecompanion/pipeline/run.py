"""Execute one notebook: `aecompanion run NOTEBOOK [-p name=value ...]`.

Without -p this is a pipeline stage: parameters come from the notebook's section in params.yaml (`device`, where the
section has none, from the top of the file), the raw files that the stage declares are compared with the manifest,
outputs go to the pipeline's places, the executed copy to build/executed/. With -p it is an experiment by hand: the
given parameters are laid over that section, relative paths in them are the caller's, everything is written below
build/by_hand/, and the files are listed at the end.

Any problem ends in one sentence on stderr and a non-zero exit; a notebook that fails is kept as far as it came in
build/failed/.
"""

import argparse
import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import nbformat
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from aecompanion.data import sources
from aecompanion.pipeline import arithmetic, conditions, kernels, parameters, passes, record
from aecompanion.pipeline.notebooks import clean, injected, locate, strip
from aecompanion.pipeline.paths import BUILD, BY_HAND, NOTEBOOK_VARIABLE, ROOT, SAVED_VARIABLE, STAGE_VARIABLE, remove

BAR = re.compile(r"\d+%\||\d+it \[|it/s|s/it")  # a progress bar of tqdm
KEEP = {  # glibc keeps the memory of large arrays that are freed, instead of asking for new pages in every pass
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
}


def run(name: str, overrides: dict[str, Any] | None = None) -> Path:
    """Execute the notebook and return the path of its executed copy.

    Raises ValueError (a parameter, a raw file that changed), FileNotFoundError (no such notebook, a raw file that is
    missing) or RuntimeError (another run of the same stage, a failing cell), each with one sentence.
    """
    source = locate(name)
    name = source.stem
    params = parameters.composed()
    values = dict(params.get(name) or {})
    declared = parameters.declared(source)
    if overrides:
        values |= parameters.check_section(name, overrides, declared, "-p")
        own = {each: parameter.value for each, parameter in declared.items()}
        conditions.check({name: own | values}, "-p")  # of this notebook alone: others may have run by hand, too
    if "device" in declared and params.get("device", "cpu") != "cpu":  # which is every notebook's own
        values = {"device": params["device"]} | values
    if not overrides:
        sources.check(below=raw_files(name))

    place, started, spent = BY_HAND if overrides else BUILD, time.time(), record.spent()
    stripped, executed, failed = (place / folder / source.name for folder in ("stripped", "executed", "failed"))
    part, saved = failed.with_name(f".part.{source.name}"), place / "saved" / name
    for path in (stripped, executed, part, saved):
        path.parent.mkdir(parents=True, exist_ok=True)

    environment = {
        "OMP_NUM_THREADS": str(params.get("threads", 2)),  # other thread counts change the last digits
        "OMP_WAIT_POLICY": "passive",
        **KEEP,
        **arithmetic.environment(),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "lib"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        SAVED_VARIABLE: str(saved),
        NOTEBOOK_VARIABLE: str(source),
    }
    if params.get("precision", "float32") != "float32":
        environment["COMPANION_PRECISION"] = params["precision"]  # read by aecompanion.train.ensemble
    if not overrides:
        environment[STAGE_VARIABLE] = name
    counted = passes.recorded(place / "passes" / f"{name}.json")
    with locked(name, place), variables(environment), counted, kernels.channels() as config:
        remove(saved)
        nbformat.write(strip(nbformat.read(source, as_version=4)), stripped)
        try:
            papermill.execute_notebook(
                stripped,
                part,
                values,
                progress_bar={"desc": name},
                cwd=ROOT,
                stderr_file=sys.stderr,  # so that a notebook's own progress bars show in the terminal
                extra_arguments=["--IPKernelApp.log_level=50"],
                config=config,
            )
        except (OSError, KeyboardInterrupt):  # a full disk, or somebody's patience
            if part.exists():
                part.replace(failed)
            raise
        except PapermillExecutionError as error:
            kept = nbformat.read(part, as_version=4)
            before = sum(injected(cell) for cell in kept.cells)
            part.replace(failed)
            first = next((line for line in error.source.splitlines() if line.strip()), "").strip()
            raise RuntimeError(
                f"{source.relative_to(ROOT)}, cell {error.cell_index - before} ({first!r}): "
                f"{error.ename}: {error.evalue} [kept as far as it came: {failed.relative_to(ROOT)}]"
            ) from None
    notebook = nbformat.read(part, as_version=4)
    note_complaints(notebook, place / "stderr" / f"{name}.txt")
    nbformat.write(clean(notebook), part)
    part.replace(executed)
    remove(failed)
    if not overrides:
        record.write(name, started, spent)
    return executed


def complaints(notebook: nbformat.NotebookNode) -> list[str]:
    """The lines on stderr that are no progress bar, which Jupyter shows in a red box, each with its cell."""
    return [
        f"cell {number}: {line.strip()}"
        for number, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
        for line in re.split(r"[\r\n]", output.text)
        if line.strip() and not BAR.search(line)
    ]


def note_complaints(notebook: nbformat.NotebookNode, file: Path) -> None:
    """Keep the complaints of a run until the next one, since cleaning drops them from the executed copy."""
    remove(file)
    if said := complaints(notebook):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(said) + "\n")


def raw_files(stage: str) -> list[str]:
    """The raw files and folders that a stage declares, relative to data/."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    deps = [Path(dep) for dep in stages.get(stage, {}).get("deps", [])]
    return [Path(*dep.parts[1:]).as_posix() for dep in deps if dep.parts[0] == "data"]


def written(executed: Path) -> list[Path]:
    """What a run wrote, each file once, its executed copy last."""
    note = executed.parent.parent / "saved" / executed.stem
    lines = note.read_text().splitlines() if note.exists() else []
    return [*(Path(line) for line in dict.fromkeys(lines)), executed]


@contextlib.contextmanager
def locked(name: str, place: Path) -> Iterator[None]:
    """Hold the lock of one stage. Raises RuntimeError if another process holds it."""
    file = place / "locks" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(file, timeout=0):
            owner = file.with_suffix(".pid")
            owner.write_text(str(os.getpid()))
            yield
    except filelock.Timeout:
        owner = file.with_suffix(".pid")
        process = owner.read_text() if owner.exists() else "unknown"
        raise RuntimeError(f"{name} is already running (process {process}): wait or end it") from None


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


def parse(argument: str) -> tuple[str, str]:
    """`name=value`: `eps=0.01`, `seeds=[1, 2]`, `root=~/faces`; the notebook knows the type."""
    name, equals, value = argument.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{argument!r} is not of the form name=value")
    return name, value


def typed(text: str, parameter: parameters.Parameter | None) -> Any:
    """The value of `name=text`: read as YAML, but a name is kept as it was typed (`001` stays text), and a path is the
    caller's (relative to the current folder, `~` at home). Raises ValueError for text that is no YAML.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if parameter is None or value is None:
        return value
    facts = getattr(parameter.type, "__metadata__", ())
    if parameters.PATH in facts:  # unless it is one of the type's words
        return text if text in facts and text != parameters.PATH else str(Path(text).expanduser().absolute())
    return text if parameter.type in (str, str | None) else value


def check_paths(values: dict[str, Any], known: dict[str, parameters.Parameter]) -> None:
    """Files and folders of the reader's are there. Raises FileNotFoundError before a kernel starts."""
    for name, value in values.items():
        named = name in known and known[name].type == parameters.File and value is not None
        if named and not Path(value).exists():
            raise FileNotFoundError(f"-p: {name} is {value!r}: no such file or folder")


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion run", description="Execute one notebook.")
    parser.add_argument("notebook", help="its name, with or without .ipynb")
    parser.add_argument("-p", dest="overrides", metavar="name=value", type=parse, action="append", default=[])
    arguments = parser.parse_args()
    try:
        known = parameters.declared(locate(arguments.notebook))
        values = {name: typed(text, known.get(name)) for name, text in dict(arguments.overrides).items()}
        check_paths(values, known)
        executed = run(arguments.notebook, values)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"aecompanion run: {error}")
    except KeyboardInterrupt:
        sys.exit("aecompanion run: interrupted")
    if arguments.overrides:
        print(*(f"wrote {file.relative_to(ROOT)}" for file in written(executed)), sep="\n")


if __name__ == "__main__":
    main()
