"""Where everything lives, and the only two ways to touch it: `find` to read, `save` to write.

A notebook that `aecompanion run` executes as a stage writes to the pipeline's places (`build/`, `results/`); the same
notebook run by hand writes below `build/by_hand/`, so experiments never change the published state.

ROOT is the checkout that this file lies in. Where the package is installed without one, ROOT is the current folder, and
raw files are kept in the user's cache, never beside the installed code. COMPANION_DATA names another folder for them.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs
import yaml

DATA_VARIABLE = "COMPANION_DATA"


def is_checkout(folder: Path) -> bool:
    """Whether a folder is the top of the project (or a side tree of it), not somebody else's."""
    return (folder / "dvc.yaml").is_file() and (folder / "lib" / "aecompanion").is_dir()


def root_of(file: Path) -> Path:
    """The innermost checkout that a source file lies in, else the current folder."""
    return next(filter(is_checkout, file.resolve().parents), Path.cwd())


def data_of(root: Path) -> Path:
    """Where raw files are kept: $COMPANION_DATA, else a checkout's data/, else the user's cache."""
    if given := os.environ.get(DATA_VARIABLE):
        return Path(given).expanduser().absolute()
    return root / "data" if is_checkout(root) else platformdirs.user_cache_path("aecompanion") / "data"


ROOT = root_of(Path(__file__))
IN_CHECKOUT = is_checkout(ROOT)
DATA = data_of(ROOT)
BUILD = ROOT / "build"
BY_HAND = BUILD / "by_hand"
STAGE_VARIABLE = "COMPANION_STAGE"  # set by aecompanion.pipeline.run for the kernel of a pipeline stage
SAVED_VARIABLE = "COMPANION_SAVED"  # set by aecompanion run: the file in which `save` notes what it wrote
NOTEBOOK_VARIABLE = "JPY_SESSION_NAME"  # set by Jupyter's server, and by aecompanion run: the path of the notebook
fetch: Callable[[str], object] | None = None  # set by aecompanion.data.sources, which lies above: fills DATA


def stage() -> str | None:
    """Name of the pipeline stage that this process belongs to, None when a notebook is run by hand."""
    return os.environ.get(STAGE_VARIABLE)


def pipeline_place(name: str) -> Path:
    """`results/...` lives at the top of the tree, everything else below `build/`."""
    return ROOT / name if name.split("/")[0] == "results" else BUILD / name


def save(name: str, write: Callable[[Path], object]) -> Path:
    """Call `write(path)` with a temporary path beside the destination, then rename it there; returns the destination.

    `name` is a POSIX path such as "faces/signs.npz" or "results/claims.csv"; `write` may make a file or a folder. If
    it raises, the destination keeps its previous content and the temporary path is removed.
    """
    destination = pipeline_place(name) if stage() else BY_HAND / name
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f".part.{destination.name}")
    remove(part)
    try:
        write(part)
        if destination.is_dir():
            shutil.rmtree(destination)
        part.rename(destination)
    except BaseException:
        remove(part)
        raise
    if note := os.environ.get(SAVED_VARIABLE):
        with Path(note).open("a") as file:
            file.write(f"{destination}\n")
    return destination


def find(name: str) -> Path:
    """The file or folder `name`: the pipeline's if it exists, else the one written by hand.

    Raises FileNotFoundError that names one command: the one that makes all that the open notebook reads, where it is
    known and a stage, else the one that makes this file.
    """
    for place in (pipeline_place(name), BY_HAND / name):
        if place.exists():
            return place
    writers, reader = writers_of(name), open_notebook()
    advice = "no stage writes it"
    if writers and reader:
        advice = f"run `dvc repro {reader}` first, which makes all that {reader} reads"
    elif writers:
        stages = f"stage{'s' if len(writers) > 1 else ''} {', '.join(writers)}"
        advice = f"run the {stages} first (`dvc repro {' '.join(writers)}`, or by hand in a notebook)"
    raise FileNotFoundError(f"{pipeline_place(name).relative_to(ROOT)} is missing: {advice}")


def open_notebook() -> str | None:
    """The stage whose notebook this kernel runs by hand, as Jupyter's server or `aecompanion run` names its file."""
    file = Path(os.environ.get(NOTEBOOK_VARIABLE, ""))
    known = not stage() and file.suffix == ".ipynb" and (ROOT / "dvc.yaml").is_file()
    return file.stem if known and file.stem in stages_of_pipeline() else None


def stages_of_pipeline() -> dict[str, dict]:
    """The stages of dvc.yaml, by name."""
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def raw(name: str) -> Path:
    """A raw file or folder below DATA. Outside a checkout it is copied there first, if aecompanion.data was imported.

    Raises FileNotFoundError that says how to fill the folder.
    """
    if fetch and not IN_CHECKOUT:
        fetch(name)
    if not (DATA / name).exists():
        shown, command = (f"data/{name}", "make data") if IN_CHECKOUT else (DATA / name, "aecompanion data")
        raise FileNotFoundError(f"{shown} is missing: `{command}` copies it from the installed packages")
    return DATA / name


def writers_of(name: str) -> list[str]:
    """The stages of dvc.yaml that write `name`: the one whose output it is or lies in, else all that write into it."""
    if not (ROOT / "dvc.yaml").is_file():
        return []
    wanted = pipeline_place(name).relative_to(ROOT)
    whole, parts = [], []
    for writer, body in stages_of_pipeline().items():
        for out in body.get("outs", []):
            path = Path(out if isinstance(out, str) else next(iter(out)))
            if path == wanted or path in wanted.parents:
                whole.append(writer)
            elif wanted in path.parents and writer not in parts:
                parts.append(writer)
    return whole or parts


def remove(path: Path) -> None:
    """Delete a file or a folder tree if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
