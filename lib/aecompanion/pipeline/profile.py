"""Run the pipeline at another size in a side tree: `aecompanion profile NAME` (`make repro PROFILE=NAME`).

`profiles/NAME.yaml` is laid over params.yaml. The side tree build/profiles/NAME/ holds a copy of the project's tracked
and new files, the composed params.yaml, a dvc.lock of its own and a link to public/, where a reader's data sets are; it
shares the cache. Its results stay there, in build/results/, from where `aecompanion publish NAME` publishes them as
results/NAME/, and its lock comes back as profiles/NAME.lock. Otherwise the checkout stays clean, and dvc.lock keeps
describing the default.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

from aecompanion.data import public
from aecompanion.pipeline import parameters, record, repro
from aecompanion.pipeline.notebooks import EXECUTED, page, sources
from aecompanion.pipeline.paths import BUILD, ROOT, remove

STARTS = re.compile(r"aecompanion\.networks\.published:(\w+)")  # networks that start from published weights
KEPT = {"build", "data", "dvc.lock", ".dvc"}  # what a side tree keeps between runs


def side_tree(name: str) -> Path:
    """Where the profile runs."""
    return BUILD / "profiles" / name


def prepare(name: str) -> Path:
    """Bring the profile's side tree in step with the checkout and return it.

    Raises FileNotFoundError for an unknown profile, for data that it names and that are not there, and for published
    weights that cannot be fetched, ValueError for a profile that breaks a type or a condition, RuntimeError for a
    download that fails.
    """
    params = parameters.composed(name)
    files = params.pop("files", {})
    if params.pop("download", False):
        public.download(params)
    public.check(params, files)
    fetch_published(params)
    side = side_tree(name)
    lay_out(side, params)
    lock = ROOT / "profiles" / f"{name}.lock"
    if lock.exists():
        shutil.copy2(lock, side / "dvc.lock")
    return side


def fetch_published(params: dict) -> None:
    """See that published weights from which networks start (`networks.published`) are in the cache, before anything
    runs. Raises FileNotFoundError in one sentence.
    """
    if names := sorted(set(STARTS.findall(yaml.safe_dump(params)))):
        from aecompanion.networks import published  # torch, which profiles without such networks do not need here

        for name in names:
            published.fetch(name)


def lay_out(side: Path, params: dict) -> None:
    """Bring the project's files in `side` in step with the checkout, with these parameters as its params.yaml."""
    side.mkdir(parents=True, exist_ok=True)
    for path in side.iterdir():
        if path.name not in KEPT:
            remove(path)
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for file in filter(None, listing.stdout.split("\0")):
        if Path(file).parts[0] == "results" or file == "dvc.lock" or not (ROOT / file).is_file():
            continue
        target = side / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, target)
    (side / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (side / ".dvc").mkdir(exist_ok=True)
    (side / ".dvc" / "config.local").write_text(
        f"[core]\n    no_scm = true\n[cache]\n    dir = {ROOT / '.dvc' / 'cache'}\n"
    )
    remove(side / public.FOLDER)
    if (ROOT / public.FOLDER).exists():
        (side / public.FOLDER).symlink_to((ROOT / public.FOLDER).resolve())


def run(name: str) -> None:
    """Reproduce the profile and bring its lock back. Raises RuntimeError if the pipeline fails."""
    side = prepare(name)
    environment = repro.environment() | {"PYTHONPATH": str(side / "lib"), record.COMMIT_VARIABLE: record.commit() or ""}
    if subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=side, env=environment).returncode:
        raise RuntimeError(f"profile {name} stopped in `dvc repro` (see above)")
    shutil.copy2(side / "dvc.lock", ROOT / "profiles" / f"{name}.lock")


def refresh_notebooks() -> None:
    """Store the outputs of the tutorial-size pipeline, which injects nothing, in the notebooks."""
    executed = side_tree("tutorial") / EXECUTED.relative_to(ROOT)
    for source in sources():
        nbformat.write(page(source, executed), source)


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion profile", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a file of profiles/, without .yaml")
    parser.add_argument("--refresh-notebooks", action="store_true", help="also copy the outputs back into notebooks/")
    arguments = parser.parse_args()
    try:
        run(arguments.name)
    except subprocess.CalledProcessError as error:
        sys.exit(f"aecompanion profile: a profile needs a git checkout ({error.stderr.strip()})")
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        sys.exit(f"aecompanion profile: {error}")
    print(f"its results: {(side_tree(arguments.name) / 'build' / 'results').relative_to(ROOT)}/README.md")
    if arguments.refresh_notebooks:
        refresh_notebooks()


if __name__ == "__main__":
    main()
