"""What a run made, without computing it: `aecompanion pull [WHAT ...] --from FOLDER-OR-ZIP`.

The source is a bundle (`aecompanion bundle`), the folder that one was unpacked to, another checkout, or DVC's cache.
The hash of everything that is needed is compared before anything is written; then DVC's cache is filled (raw files from
the installed packages) and the outputs are checked out, so that `dvc repro` finds them up to date. Without --from it is
`dvc pull` from the default remote, where one is configured.

WHAT is "networks" (all that trainings make), a stage, or an output of dvc.yaml; without it, everything.
"""

import argparse
import contextlib
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.exceptions import ConfirmRemoveError, DvcException
from dvc.repo import Repo

from aecompanion.data import sources
from aecompanion.pipeline import bundle, repro
from aecompanion.pipeline.paths import ROOT

OBJECT = re.compile(r"files/md5/[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?")
NETWORKS = ("networks", "bottlenecks", "inverse.safetensors")  # last parts of the paths of what trainings make
NONE = (
    "no source is configured: name a bundle (`aecompanion pull --from bundle.zip`, `make pull FROM=bundle.zip`), "
    "or compute with `make repro`"
)


@contextlib.contextmanager
def opened(source: Path) -> Iterator[bundle.Reader]:
    """Read the objects of a bundle, of the folder it was unpacked to, of a checkout or of a cache.

    Raises FileNotFoundError for what is none of them, ValueError for an archive that is damaged, or has an entry that
    is no object or would leave the folder.
    """
    if source.is_dir():
        for folder in (source, source / ".dvc" / "cache"):
            if (folder / "files" / "md5").is_dir():
                yield bundle.in_folder(folder)
                return
        raise FileNotFoundError(f"{source} holds no files/md5/, expected a bundle, a checkout or DVC's cache")
    if not source.is_file():
        raise FileNotFoundError(f"{source} is missing")
    try:
        with zipfile.ZipFile(source) as archive:
            names = set(archive.namelist())
            for name in sorted(names):
                if name not in bundle.BESIDE and not OBJECT.fullmatch(name):
                    path = PurePosixPath(name.replace("\\", "/"))
                    leaves = path.is_absolute() or ".." in path.parts
                    what = "leaves the folder" if leaves else "is no file of a bundle"
                    raise ValueError(f"{source.name} has the entry {name}, which {what}")
            yield lambda hash: archive.read(bundle.place(hash)) if bundle.place(hash) in names else None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"{source.name} is damaged: {error}") from None


def chosen(what: Sequence[str]) -> list[dict[str, Any]]:
    """The outputs that WHAT names. Raises ValueError for a name that is no stage and no output."""
    outs = bundle.outputs()
    found = {}
    for each in what:
        own = [out for out in outs if each in (out["stage"], out["path"])]
        if each == "networks":
            own = [out for out in outs if PurePosixPath(out["path"]).name in NETWORKS]
        if not own:
            raise ValueError(f"{each!r} is neither a stage nor an output of dvc.yaml, nor `networks`")
        found |= {out["path"]: out for out in own}
    return list(found.values()) if what else outs


def pull(source: Path, what: Sequence[str] = ()) -> tuple[int, int, list[str]]:
    """Fill the cache from a source and check out. Returns how many outputs there are now, how many files were new, and
    the outputs of which the source has not everything.

    Raises as `opened` and `chosen`, and FileNotFoundError if the source has none of the outputs.
    """
    outs, store = chosen(what), bundle.cache()
    kept = bundle.in_folder(store)
    with opened(source) as there:

        def read(hash: str) -> bytes | None:
            content = kept(hash)
            if content is None:
                content = there(hash)
            return bundle.in_packages()(hash) if content is None else content

        whole, lacking, wanted = [], [], {}
        for out in outs:
            objects, missing = bundle.needed([out["md5"]], read)
            (lacking if missing else whole).append(out["path"])
            wanted |= {} if missing else dict.fromkeys(objects)
        if not whole:
            raise FileNotFoundError(f"{source} has no output of this dvc.lock: it is of another version")
        new = [hash for hash in wanted if not (store / bundle.place(hash)).is_file()]
        for hash in new:
            put(store / bundle.place(hash), read(hash))
    return len(whole), len(new), checked_out(whole, lacking)


def put(file: Path, content: bytes) -> None:
    """Write an object of the cache at once, read-only as DVC does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".part.{file.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.chmod(0o444)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def checked_out(whole: list[str], lacking: list[str]) -> list[str]:
    """Check out the outputs that are complete, data/ besides where all are, and return the others.

    Not by `dvc checkout`, which takes minutes for two hundred targets. Raises ValueError where files are in the way
    that DVC's cache does not hold.
    """
    if not lacking and "build/raw" in whole and (ROOT / "data.dvc").is_file():
        sources.fill(ROOT / "data")
    wanted = {*whole}
    try:
        with Repo(str(ROOT)) as repo, repo.lock:
            for out in repo.index.outs:
                if out.def_path in wanted:
                    out.checkout()
    except ConfirmRemoveError as error:
        what = str(error).partition(" without")[0]
        raise ValueError(f"{what}, whose content is in no cache: move it away and pull again") from None
    except DvcException as error:
        raise ValueError(str(error)) from None
    return lacking


def remote() -> str | None:
    """The default remote of this checkout."""
    repro.prepare()
    with Repo(str(ROOT)) as repo:
        return repo.config["core"].get("remote")


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion pull", description="Take what a run made; nothing is computed.")
    parser.add_argument("what", nargs="*", metavar="WHAT", help="networks, a stage or an output; else everything")
    parser.add_argument("--from", dest="source", type=Path, help="a bundle, its folder, a checkout or DVC's cache")
    given = parser.parse_args()
    try:
        if given.source is None:
            if remote() is None:
                sys.exit(f"aecompanion pull: {NONE}")
            repro.call("dvc", "pull", *(out["path"] for out in (chosen(given.what) if given.what else [])))
            return
        count, new, lacking = pull(given.source.expanduser(), given.what)
    except (FileNotFoundError, ValueError, OSError) as error:
        sys.exit(f"aecompanion pull: {error}")
    print(f"{count} outputs are there, {new} files of them new")
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        print(f"not in {given.source}, so left to `make repro`: {', '.join(lacking[:3])}{more}")
