"""Every data set prepared at tutorial size by the notebooks' own code, and the hashes of what they write.

tests/data/hashes.yaml records them; after a change that is meant, `python tests/prepared.py` writes it anew (with
lib/ on PYTHONPATH). What is hashed is content, not files: arrays by dtype, shape and bytes, since the compressed bytes
of an npz file depend on the zlib at hand; text by its bytes.
"""

import hashlib
import sys
import tempfile
import time
import warnings
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import yaml

from aecompanion.pipeline import paths

RECORD = Path(__file__).parent / "data" / "hashes.yaml"
HEAD = (
    "# sha256 of what the notebooks of 1_data write at tutorial size; "
    "`PYTHONPATH=lib python tests/prepared.py` renews it\n"
)
NOTEBOOKS = paths.ROOT / "notebooks" / "1_data"
STAGES = ("faces_data", "photos_data", "digits_data", "chest_data", "scenes_data", "objects_data")


def prepare(stage: str, folder: Path) -> None:
    """Run the code of a notebook with the values of its own parameters cell; what it saves lies below `folder`."""
    import matplotlib
    from matplotlib import pyplot

    matplotlib.use("Agg")
    code = [cell.source for cell in nbformat.read(NOTEBOOKS / f"{stage}.ipynb", 4).cells if cell.cell_type == "code"]
    names = {"__name__": stage}
    with (
        mock.patch.object(paths, "BY_HAND", folder),
        mock.patch.object(paths, "stage", lambda: None),
        pyplot.rc_context(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)  # figures that nobody sees
        for cell in code:
            exec(compile(cell, f"{stage}.ipynb", "exec"), names)
            pyplot.close("all")


def digest(file: Path) -> str:
    """Hash of the content of one file."""
    found = hashlib.sha256()
    if file.suffix not in (".npy", ".npz"):
        found.update(file.read_bytes())
        return found.hexdigest()
    loaded = np.load(file, allow_pickle=False)
    arrays = {"": loaded} if file.suffix == ".npy" else {name: loaded[name] for name in sorted(loaded.files)}
    for name, array in arrays.items():
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """Hash of every file below `folder` but pictures and tables for the eye, by its path."""
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    return {name: digest(file) for name, file in files.items() if not name.startswith("displays/")}


def main() -> None:
    found = {}
    for stage in STAGES:
        start = time.time()
        with tempfile.TemporaryDirectory() as folder:
            prepare(stage, Path(folder))
            found[stage] = hashes(Path(folder))
        print(f"{stage}: {time.time() - start:.1f} s", file=sys.stderr)
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else RECORD
    where.write_text(HEAD + yaml.safe_dump(found, sort_keys=False))


if __name__ == "__main__":
    main()
