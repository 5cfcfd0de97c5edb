"""What a run made as one archive: `aecompanion bundle`. `aecompanion pull` takes it back (`pipeline.pull`).

A bundle is a zip file of DVC's cache for the outputs in dvc.lock: files/md5/ab/cdef... by hash, dvc.yaml and dvc.lock,
hashes.md5 (for `md5sum -c`) and ro-crate-metadata.json (`pipeline.crate`). The raw files that pip packages ship are
left out: `pull` takes them from the installed packages. The same run gives the same bytes but for the metadata.
"""

import argparse
import functools
import hashlib
import json
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from dvc.repo import Repo

from aecompanion.data import sources
from aecompanion.pipeline import crate, record, repro
from aecompanion.pipeline.paths import BUILD, ROOT

BESIDE = ("dvc.yaml", "dvc.lock", "hashes.md5", "ro-crate-metadata.json")
LEVEL = 6  # of deflate
EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of every entry, so that the same content is the same archive

Reader = Callable[[str], bytes | None]  # the content of an object by its hash, None where there is none


# ---- objects of DVC's cache


def outputs() -> list[dict[str, Any]]:
    """Path, stage, md5 and size of every cached output of a stage of dvc.yaml, from dvc.lock.

    Raises FileNotFoundError for an output that the lock does not know.
    """
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"] if (ROOT / "dvc.lock").is_file() else {}
    found = []
    for stage, body in stages.items():
        known = {out["path"]: out for out in lock.get(stage, {}).get("outs", [])}
        for out in body.get("outs", []):
            name, options = (out, {}) if isinstance(out, str) else next(iter(out.items()))
            if not options.get("cache", True):
                continue
            if name not in known:
                raise FileNotFoundError(f"dvc.lock does not know {name}: `make repro` makes it (stage {stage})")
            found.append({"path": name, "stage": stage, "md5": known[name]["md5"], "size": known[name].get("size", 0)})
    return found


def place(hash: str) -> str:
    """Where DVC keeps an object, relative to its cache."""
    return f"files/md5/{hash[:2]}/{hash[2:]}"


def cache() -> Path:
    """DVC's cache of this checkout, the folder that holds files/md5/."""
    repro.prepare()
    with Repo(str(ROOT)) as repo:
        return Path(repo.cache.local.path).parents[1]


def members(content: bytes, hash: str) -> list[str]:
    """The hashes of the files of a folder, from its object. Raises ValueError for one that is none, or whose paths
    leave it.
    """
    try:
        entries = [(PurePosixPath(each["relpath"]), each["md5"]) for each in json.loads(content)]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{place(hash)} is no list of files") from None
    for path, _ in entries:
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{place(hash)} names {path}, which leaves the folder")
    return [md5 for _, md5 in entries]


def needed(hashes: Iterable[str], read: Reader) -> tuple[list[str], list[str]]:
    """These objects with the files of the folders among them, each once: those that `read` has, and those it has not.
    Every content is compared with its hash. Raises ValueError for one that differs.
    """
    there, missing, queue = {}, {}, list(hashes)
    while queue:
        hash = queue.pop(0)
        if hash in there or hash in missing:
            continue
        content = read(hash)
        if content is None:
            missing[hash] = True
            continue
        if hashlib.md5(content).hexdigest() != hash.removesuffix(".dir"):
            raise ValueError(f"{place(hash)} is damaged: its content has another hash")
        there[hash] = True
        if hash.endswith(".dir"):
            queue += members(content, hash)
    return list(there), list(missing)


def in_folder(folder: Path) -> Reader:
    """Read the objects of a cache."""

    def read(hash: str) -> bytes | None:
        file = folder / place(hash)
        return file.read_bytes() if file.is_file() else None

    return read


@functools.cache
def in_packages() -> Reader:
    """Read the raw files of the manifest from the installed packages; nothing else."""
    files = {}
    for source in sources.manifest():
        content = source.installed().read_bytes()
        files[hashlib.md5(content).hexdigest()] = content
    return files.get


# ---- bundle


def bundle(target: Path) -> tuple[int, int]:
    """Write the archive and return how many objects it has and their bytes before compression.

    Raises FileNotFoundError for what the cache lacks, ValueError for an object that is damaged.
    """
    outs, read = outputs(), in_folder(cache())
    objects, missing = needed((out["md5"] for out in outs), read)
    if missing:
        raise FileNotFoundError(f"{len(missing)} files of the outputs are not in DVC's cache: run `make repro` first")
    raw = in_packages()
    objects = sorted(hash for hash in objects if raw(hash) is None)
    target.parent.mkdir(parents=True, exist_ok=True)
    part, size = target.with_name(f".part.{target.name}"), 0
    hashes = "".join(f"{hash.removesuffix('.dir')}  {place(hash)}\n" for hash in objects)
    texts = {name: (ROOT / name).read_text() for name in BESIDE[:2]}
    about = json.dumps(crate.described(description(), outs, records(outs)), indent=1) + "\n"
    with zipfile.ZipFile(part, "w") as archive:
        for name, text in {**texts, BESIDE[2]: hashes, BESIDE[3]: about}.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), text, zipfile.ZIP_DEFLATED, 9)
        for hash in objects:
            content = read(hash)
            size += len(content)
            archive.writestr(zipfile.ZipInfo(place(hash), EPOCH), content, zipfile.ZIP_DEFLATED, LEVEL)
    part.replace(target)
    return len(objects), size


def description() -> dict[str, str]:
    """What the crate says of the whole, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "name": f"{project['name']}: what a run made",
        "description": f"{project['description']}. Outputs of its pipeline, for `aecompanion pull --from`.",
        "license": f"https://spdx.org/licenses/{project['license']}",
        "version": project["version"],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": record.commit() or "unknown",
    }


def records(outs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The records of the stages that ran here."""
    return {stage: facts for stage in dict.fromkeys(out["stage"] for out in outs) if (facts := record.read(stage))}


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion bundle", description="Write what the last run made to one file.")
    parser.add_argument(
        "--to", type=Path, default=BUILD / "bundle.zip", help="the archive, by default build/bundle.zip"
    )
    target = parser.parse_args().to.expanduser()
    try:
        count, size = bundle(target)
    except (FileNotFoundError, ValueError, OSError) as error:
        sys.exit(f"aecompanion bundle: {error}")
    print(f"wrote {target}: {count} objects, {size / 1e6:.0f} MB, {target.stat().st_size / 1e6:.0f} MB compressed")
