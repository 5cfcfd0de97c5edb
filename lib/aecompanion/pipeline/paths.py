"""Where everything lives, and the only two ways to touch it: `find` to read, `save` to write.

A notebook that `aecompanion run` executes as a stage writes to the pipeline's places (`build/`, `results/`); the same
notebook run by hand writes below `build/by_hand/`, so experiments never change the published state.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "data"
BUILD = ROOT / "build"
BY_HAND = BUILD / "by_hand"
STAGE_VARIABLE = "COMPANION_STAGE"  # set by aecompanion.pipeline.run for the kernel of a pipeline stage
SAVED_VARIABLE = "COMPANION_SAVED"  # set by aecompanion run: the file in which `save` notes what it wrote


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

    Raises FileNotFoundError that names the stages which write it.
    """
    for place in (pipeline_place(name), BY_HAND / name):
        if place.exists():
            return place
    writers = writers_of(name)
    advice = "no stage writes it"
    if writers:
        stages = f"stage{'s' if len(writers) > 1 else ''} {', '.join(writers)}"
        advice = f"run the {stages} first (`dvc repro {' '.join(writers)}`, or by hand in a notebook)"
    raise FileNotFoundError(f"{pipeline_place(name).relative_to(ROOT)} is missing: {advice}")


def raw(name: str) -> Path:
    """A raw file below `data/`. Raises FileNotFoundError that says how to fill the folder."""
    if not (DATA / name).exists():
        raise FileNotFoundError(f"data/{name} is missing: `make data` copies it from the installed packages")
    return DATA / name


def writers_of(name: str) -> list[str]:
    """The stages of dvc.yaml that write `name`: the one whose output it is or lies in, else all that write into it."""
    wanted = pipeline_place(name).relative_to(ROOT)
    whole, parts = [], []
    for writer, body in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
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
