import sys
from pathlib import Path

import pytest
import yaml

from aecompanion.data import sources
from aecompanion.pipeline import paths
from aecompanion.pipeline.paths import ROOT

PACKAGE = sources.metadata.version("foolbox")
# an installed package's own files; the hashes are computed when the manifest is written
FILES = {"photos/a.jpg": "foolbox/data/imagenet_00_243.jpg", "photos/deep/b.jpg": "foolbox/data/imagenet_01_559.jpg"}
FIRST, SECOND = FILES


def installed(path):
    return Path(str(sources.metadata.distribution("foolbox").locate_file(FILES[path])))


@pytest.fixture
def write_manifest(tmp_path, monkeypatch):
    """Write a manifest of the two files above; `changed` replaces entries of the group or of its first file."""

    def write(**changed):
        files = [{"path": path, "file": FILES[path], "sha256": sources.sha256(installed(path))} for path in FILES]
        files = [file | {"what": "a photograph"} for file in files]
        group = {"package": "foolbox", "version": PACKAGE, "licence": "MIT", "files": files}
        for key, value in changed.items():
            (group if key in group else files[0])[key] = value
        (tmp_path / "manifest.yaml").write_text(yaml.safe_dump([group]))
        monkeypatch.setattr(sources, "MANIFEST", tmp_path / "manifest.yaml")

    return write


@pytest.fixture
def data(tmp_path, write_manifest):
    """A filled folder."""
    write_manifest()
    sources.fill(tmp_path / "data")
    return tmp_path / "data"


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change_one_byte(file):
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)


# ---- filling


def test_filling_copies_every_file_of_the_manifest_byte_for_byte(data):
    assert files(data) == {path: installed(path).read_bytes() for path in FILES}
    sources.check(data)


def test_filling_again_writes_nothing(data):
    before = {path: (data / path).stat().st_mtime_ns for path in FILES}
    sources.fill(data)
    assert {path: (data / path).stat().st_mtime_ns for path in FILES} == before


def test_filling_restores_a_changed_byte_and_a_missing_file(data):
    change_one_byte(data / FIRST)
    (data / SECOND).unlink()
    sources.fill(data)
    assert files(data) == {path: installed(path).read_bytes() for path in FILES}


def test_a_package_whose_file_differs_is_an_error_that_names_it_and_nothing_is_copied(tmp_path, write_manifest):
    write_manifest(sha256="0" * 64, version="9.9.9")
    expected = (
        f"^{FILES[FIRST]} of foolbox {PACKAGE} is not the file of 9.9.9 that the manifest names: install the pinned"
    )
    with pytest.raises(ValueError, match=expected):
        sources.fill(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_package_that_is_not_installed_is_an_error_that_names_it_with_its_version(tmp_path, write_manifest):
    write_manifest(package="no-such-package", version="1.2.3")
    with pytest.raises(FileNotFoundError, match="^package no-such-package==1.2.3 is not installed: `make setup`$"):
        sources.fill(tmp_path / "data")


def test_a_package_without_the_file_is_an_error_that_names_both(tmp_path, write_manifest):
    write_manifest(file="foolbox/data/nothing.jpg")
    with pytest.raises(FileNotFoundError, match=f"^foolbox {PACKAGE} ships no foolbox/data/nothing.jpg$"):
        sources.fill(tmp_path / "data")


@pytest.mark.parametrize(("below", "copied"), [([FIRST], {FIRST}), (["photos/deep"], {SECOND}), (["photo"], set())])
def test_only_the_files_and_folders_that_are_named_are_copied(tmp_path, write_manifest, below, copied):
    write_manifest()
    sources.fill(tmp_path / "data", below=below)
    assert set(files(tmp_path / "data")) == copied


def test_fetching_copies_one_file_into_data(tmp_path, write_manifest, monkeypatch):
    write_manifest()
    monkeypatch.setattr(sources.fill, "__defaults__", (tmp_path / "data",))
    sources.fetch(SECOND)
    assert files(tmp_path / "data") == {SECOND: installed(SECOND).read_bytes()}
    assert paths.fetch is sources.fetch


# ---- checking


def test_a_changed_byte_is_one_sentence_that_names_file_and_package(data):
    change_one_byte(data / SECOND)
    expected = f"^data/{SECOND} has changed since it was shipped with foolbox: `make data` restores it$"
    with pytest.raises(ValueError, match=expected):
        sources.check(data)


def test_a_missing_file_is_one_sentence_that_names_file_and_package(data):
    (data / FIRST).unlink()
    with pytest.raises(FileNotFoundError, match=f"^data/{FIRST} is missing: `make data` copies it from foolbox$"):
        sources.check(data)


def test_a_file_that_the_manifest_does_not_list_is_one_sentence_that_names_it(data):
    (data / "photos" / "mine.jpg").touch()
    with pytest.raises(
        ValueError, match=r"^data/photos/mine\.jpg is not in lib/aecompanion/data/manifest\.yaml: move it out of data/$"
    ):
        sources.check(data)


@pytest.mark.parametrize("name", [".DS_Store", "photos/._a.jpg", "photos/.ipynb_checkpoints/a-checkpoint.png"])
def test_what_finder_and_jupyter_leave_is_passed_over(data, name):
    (data / name).parent.mkdir(exist_ok=True)
    (data / name).touch()
    sources.check(data)


def test_dvc_passes_it_over_too():
    named = (ROOT / ".dvcignore").read_text().splitlines()
    assert {".DS_Store", "._*", ".ipynb_checkpoints"} <= set(named)


def test_checking_changes_nothing(data):
    change_one_byte(data / FIRST)
    before = files(data)
    with pytest.raises(ValueError, match="has changed"):
        sources.check(data)
    assert files(data) == before


# ---- the command line


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run the command with these arguments on the folder of the test instead of data/."""

    def run(*arguments):
        for function in (sources.fill, sources.check):
            monkeypatch.setattr(function, "__defaults__", (tmp_path / "data",))
        monkeypatch.setattr(sys, "argv", ["aecompanion.data.sources", *arguments])
        sources.main()

    return run


def test_the_command_fills_data_or_the_folder_that_it_is_given(tmp_path, write_manifest, command):
    write_manifest()
    command("--to", str(tmp_path / "raw"))
    assert set(files(tmp_path / "raw")) == set(FILES)
    assert not (tmp_path / "data").exists()
    command()
    assert set(files(tmp_path / "data")) == set(FILES)


def test_the_command_restores_a_changed_file_and_refuses_an_unknown_one(data, command):
    change_one_byte(data / FIRST)
    command()
    assert (data / FIRST).read_bytes() == installed(FIRST).read_bytes()
    (data / "photos" / "mine.jpg").touch()
    with pytest.raises(SystemExit) as caught:
        command()
    message = caught.value.code  # a text as exit code: printed on stderr, and the process ends with 1
    assert (
        message
        == "aecompanion data: data/photos/mine.jpg is not in lib/aecompanion/data/manifest.yaml: move it out of data/"
    )


@pytest.mark.parametrize(
    ("below", "error"),
    [
        (None, "has changed"),
        (["photos"], "has changed"),
        (["photos/a.jpg"], "has changed"),
        (["photos/deep"], None),
        (["photo"], None),
        ([], None),
    ],
)
def test_only_the_files_and_folders_that_are_named_are_compared(data, below, error):
    change_one_byte(data / FIRST)
    if error is None:
        sources.check(data, below=below)
        return
    with pytest.raises(ValueError, match=error):
        sources.check(data, below=below)


def test_the_command_ends_with_one_sentence_when_it_cannot_fill(write_manifest, command):
    write_manifest(package="no-such-package", version="1.2.3")
    with pytest.raises(SystemExit) as caught:
        command()
    assert caught.value.code == "aecompanion data: package no-such-package==1.2.3 is not installed: `make setup`"


# ---- the project's own manifest


def test_the_installed_packages_ship_every_file_of_the_manifest():
    listed = sources.manifest()
    assert {Path(source.path).parts[0] for source in listed} == {"chest", "digits", "faces", "photos", "weights"}
    assert len({source.path for source in listed}) == len(listed)
    for source in listed:
        assert sources.sha256(source.installed()) == source.sha256
        assert source.licence
        assert source.what


def test_the_manifest_names_the_pinned_versions():
    pinned = (ROOT / "requirements.txt").read_text()
    for source in sources.manifest():
        assert f"{source.package}=={source.version}" in pinned


def test_the_hash_is_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sources.sha256(tmp_path / "abc") == expected
