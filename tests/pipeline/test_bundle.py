"""Bundles of a toy pipeline: written, pulled into a fresh clone, damaged, of another version."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml

from aecompanion.pipeline import bundle, crate, paths, pull, record, repro

STAGES = {
    "toy_train": {
        "cmd": "python make.py networks",
        "deps": ["make.py"],
        "outs": ["build/toy/networks", {"build/toy/history.csv": {"cache": False}}],
    },
    "toy_maps": {
        "cmd": "python make.py maps",
        "deps": ["make.py", "build/toy/networks"],
        "outs": ["build/toy/maps.csv"],
    },
}
MAKE = """
import sys
from pathlib import Path
folder = Path("build/toy")
folder.mkdir(parents=True, exist_ok=True)
if sys.argv[1] == "networks":
    (folder / "networks").mkdir()
    for seed in "12":
        (folder / "networks" / f"net_{seed}.safetensors").write_text("weights " * 500 + seed)
    (folder / "history.csv").write_text("epoch,loss\\n")
else:
    (folder / "maps.csv").write_text("map\\n1\\n")
"""
PROJECT = '[project]\nname = "toy"\nversion = "1.0"\ndescription = "A toy"\nlicense = "MIT"\n'
IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@b"]


def at(root, monkeypatch):
    """Work on the checkout in this folder."""
    for module in (bundle, pull, repro, paths):
        monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setattr(record, "RUNS", root / "build" / "runs")


def dvc(root, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=repro.environment(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def files(root):
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A checkout whose pipeline ran, committed with its lock."""
    root = tmp_path_factory.mktemp("ran")
    (root / "lib" / "aecompanion").mkdir(parents=True)
    (root / "lib" / "aecompanion" / "a.py").touch()
    for name, text in {
        "dvc.yaml": yaml.safe_dump({"stages": STAGES}, sort_keys=False),
        "make.py": MAKE,
        "pyproject.toml": PROJECT,
        ".gitignore": "/build/\n",
    }.items():
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    dvc(root, "init", "-q")
    dvc(root, "repro", "-q")
    (root / "build" / "runs").mkdir()
    facts = {"commit": "c", "machine": "m", "finished": "2031-01-01 00:00 UTC", "seconds": 1.0}
    (root / "build" / "runs" / "toy_maps.json").write_text(json.dumps(facts))
    for command in (["add", "-A"], [*IDENTITY, "commit", "-qm", "ran"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.fixture
def made(ran, monkeypatch, tmp_path):
    """Its bundle."""
    at(ran, monkeypatch)
    assert bundle.bundle(tmp_path / "bundle.zip")[0] == 4  # a list of two, two networks, a table
    return tmp_path / "bundle.zip"


@pytest.fixture
def clone(ran, made, tmp_path, monkeypatch):
    """A fresh clone, to work on."""
    root = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ran, root], check=True)
    at(root, monkeypatch)
    return root


def rewritten(file, changes=(), extra=()):
    """The archive with some contents replaced, some entries added."""
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**contents, **dict(changes), **dict(extra)}.items():
            archive.writestr(name, content)
    return file


def objects(file):
    with zipfile.ZipFile(file) as archive:
        return [name for name in archive.namelist() if name.startswith("files/")]


# ---- the archive


def test_every_object_of_a_bundle_has_the_hash_of_its_name_and_of_the_list(made):
    with zipfile.ZipFile(made) as archive:
        listed = dict(reversed(line.split("  ")) for line in archive.read("hashes.md5").decode().splitlines())
        assert set(listed) == set(objects(made))
        for name, hash in listed.items():
            assert hashlib.md5(archive.read(name)).hexdigest() == hash
            assert name.removesuffix(".dir") == f"files/md5/{hash[:2]}/{hash[2:]}"


def test_the_same_run_is_the_same_archive(made, tmp_path):
    bundle.bundle(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == made.read_bytes()


def test_the_crate_is_valid_and_names_outputs_and_runs(made):
    with zipfile.ZipFile(made) as archive:
        described = json.loads(archive.read("ro-crate-metadata.json"))
    assert crate.problems(described) == []
    graph = {each["@id"]: each for each in described["@graph"]}
    assert graph["./"]["license"] == "https://spdx.org/licenses/MIT"
    assert graph["#build/toy/networks"]["contentSize"] == "8002"
    assert graph["#run of toy_maps"]["result"] == [{"@id": "#build/toy/maps.csv"}]
    assert "#run of toy_train" not in graph, "it has no record"


@pytest.mark.parametrize(
    ("entity", "field", "problem"),
    [
        ("./", "license", "./ has no license"),
        ("./", "datePublished", "./ has no datePublished"),
        ("dvc.lock", "@type", "dvc.lock has no @type"),
        ("ro-crate-metadata.json", "about", "the descriptor is not about ./ or names no profile"),
        ("#dvc", "@id", "#dvc is linked and not described"),
    ],
)
def test_a_crate_that_lacks_something_is_not_valid(entity, field, problem):
    about = dict.fromkeys(("name", "description", "license", "version", "date", "commit"), "x")
    described = crate.described(about, [{"path": "build/a", "stage": "a", "md5": "0", "size": 1}], {})
    assert crate.problems(described) == []
    (found,) = (each for each in described["@graph"] if each["@id"] == entity)
    del found[field]
    assert problem in crate.problems(described)


def test_raw_files_of_packages_are_left_out_and_come_back_from_them(clone, made, ran, monkeypatch, tmp_path):
    maps = (ran / "build" / "toy" / "maps.csv").read_bytes()
    monkeypatch.setattr(bundle, "in_packages", lambda: {hashlib.md5(maps).hexdigest(): maps}.get)
    at(ran, monkeypatch)
    assert bundle.bundle(tmp_path / "less.zip")[0] == 3
    at(clone, monkeypatch)
    assert pull.pull(tmp_path / "less.zip") == (2, 4, [])
    assert (clone / "build" / "toy" / "maps.csv").read_bytes() == maps


def test_without_a_whole_cache_there_is_no_bundle(ran, tmp_path, monkeypatch):
    root = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", ran, root], check=True)
    at(root, monkeypatch)
    with pytest.raises(FileNotFoundError, match=r"^2 files of the outputs are not in DVC's cache: run `make repro`"):
        bundle.bundle(tmp_path / "none.zip")
    (root / "dvc.lock").unlink()
    with pytest.raises(FileNotFoundError, match=r"^dvc\.lock does not know build/toy/networks: `make repro` makes it"):
        bundle.bundle(tmp_path / "none.zip")
    assert not list(tmp_path.glob("*none.zip"))


# ---- pulling


def source(kind, made, ran, tmp_path):
    """The same objects as an archive, as the folder it was unpacked to, as a checkout."""
    if kind == "folder":
        with zipfile.ZipFile(made) as archive:
            archive.extractall(tmp_path / "unpacked")
        return tmp_path / "unpacked"
    return {"archive": made, "checkout": ran}[kind]


@pytest.mark.parametrize("kind", ["archive", "folder", "checkout"])
def test_a_fresh_clone_is_up_to_date_after_a_pull(clone, made, ran, tmp_path, kind):
    assert pull.pull(source(kind, made, ran, tmp_path)) == (2, 4, [])
    for name in ("build/toy/networks/net_1.safetensors", "build/toy/networks/net_2.safetensors", "build/toy/maps.csv"):
        assert (clone / name).read_bytes() == (ran / name).read_bytes()
    shutil.copy(ran / "build" / "toy" / "history.csv", clone / "build" / "toy")  # in git, were this no toy
    assert "up to date" in dvc(clone, "status")
    assert pull.pull(made) == (2, 0, []), "a second pull finds everything there"


@pytest.mark.parametrize("what", ["networks", "toy_train", "build/toy/networks"])
def test_a_part_alone_is_pulled(clone, made, what):
    assert pull.pull(made, [what]) == (1, 3, [])
    assert set(files(clone / "build")) == {"toy/networks/net_1.safetensors", "toy/networks/net_2.safetensors"}


def test_a_file_of_ones_own_is_not_overwritten(clone, made):
    (clone / "build" / "toy").mkdir(parents=True)
    (clone / "build" / "toy" / "maps.csv").write_text("mine")
    with pytest.raises(
        ValueError, match=r"^unable to remove '.*maps\.csv', whose content is in no cache: move it away"
    ):
        pull.pull(made, ["toy_maps"])
    assert (clone / "build" / "toy" / "maps.csv").read_text() == "mine"


def test_what_is_no_part_is_refused(clone, made):
    with pytest.raises(ValueError, match="^'nets' is neither a stage nor an output of dvc.yaml, nor `networks`$"):
        pull.pull(made, ["nets"])


def test_a_bundle_of_another_version_gives_what_it_has(clone, made):
    text = (clone / "dvc.lock").read_text()
    (maps,) = (out["md5"] for out in bundle.outputs() if out["path"].endswith("maps.csv"))
    (clone / "dvc.lock").write_text(text.replace(maps, "a" * 32))
    assert pull.pull(made) == (1, 3, ["build/toy/maps.csv"])
    with pytest.raises(FileNotFoundError, match="has no output of this dvc.lock: it is of another version$"):
        pull.pull(made, ["toy_maps"])


def damaged(kind, made):
    """A bundle with something wrong, and what is said of it."""
    data = made.read_bytes()
    first = next(name for name in objects(made) if not name.endswith(".dir"))
    if kind == "hash":
        return rewritten(made, {first: b"other"}), r"is damaged: its content has another hash$"
    if kind == "up":
        return rewritten(made, extra={"../evil.py": b""}), r"has the entry \.\./evil\.py, which leaves the folder$"
    if kind == "absolute":
        return rewritten(made, extra={"/tmp/evil.py": b""}), r"which leaves the folder$"
    if kind == "stranger":
        return rewritten(made, extra={"lib/evil.py": b""}), r"lib/evil\.py, which is no file of a bundle$"
    made.write_bytes({"cut": data[: len(data) // 2], "text": b"not a zip", "bits": flipped(data)}[kind])
    return made, r"is damaged: "


def flipped(data):
    """With bytes changed in the middle of the compressed content."""
    middle = data.index(b"files/md5/") + 60
    return data[:middle] + bytes(255 - each for each in data[middle : middle + 8]) + data[middle + 8 :]


@pytest.mark.parametrize("kind", ["hash", "up", "absolute", "stranger", "cut", "text", "bits"])
def test_a_damaged_archive_is_refused_and_nothing_is_written(clone, made, kind):
    archive, problem = damaged(kind, made)
    before = files(clone)
    with pytest.raises(ValueError, match=problem):
        pull.pull(archive)
    after = files(clone)
    assert {name for name in after if "files/md5" in name or name.startswith("build/")} == set()
    assert before.items() <= after.items()
    assert not (clone.parent / "evil.py").exists()


def test_a_list_of_files_that_leave_the_folder_is_refused():
    content = json.dumps([{"relpath": "../evil.py", "md5": "0" * 32}]).encode()
    with pytest.raises(ValueError, match=r"names \.\./evil\.py, which leaves the folder$"):
        bundle.members(content, "1" * 32 + ".dir")


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["aecompanion pull", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        pull.main()
    return ended.value.code


def test_without_a_source_there_is_one_sentence(clone, monkeypatch):
    assert command(monkeypatch) == f"aecompanion pull: {pull.NONE}"
    assert "\n" not in pull.NONE


@pytest.mark.parametrize(("name", "problem"), [("gone.zip", "is missing"), ("empty", "holds no files/md5/, expected")])
def test_a_source_that_is_none_is_one_sentence(clone, tmp_path, monkeypatch, name, problem):
    (tmp_path / "empty").mkdir()
    assert problem in command(monkeypatch, "--from", tmp_path / name)


def test_from_a_default_remote_it_is_dvc_pull(clone, ran, tmp_path, monkeypatch, capsys):
    for root in (ran, clone):
        dvc(root, "remote", "add", "--local", "-d", "-f", "here", str(tmp_path / "remote"))
    dvc(ran, "push")
    monkeypatch.setattr(sys, "argv", ["aecompanion pull", "networks"])
    pull.main()
    assert set(files(clone / "build")) == {"toy/networks/net_1.safetensors", "toy/networks/net_2.safetensors"}
    (ran / ".dvc" / "config.local").unlink()
