"""What `pip install` gets: declared dependencies, a wheel with one package in it, and that it works beside others."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from packaging.requirements import Requirement

from aecompanion.__main__ import COMMANDS, DISTRIBUTION
from aecompanion.pipeline.fingerprint import normal
from aecompanion.pipeline.notebooks import code_of
from aecompanion.pipeline.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
GROUPS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
LIBRARY = ROOT / "lib" / "aecompanion"
KNOWN = metadata.packages_distributions()  # what is imported: what is installed for it
EXTRAS = {"pipeline": "pipeline", "site": "site"}  # what a whole room needs
OF_REPORT = (
    "carried",
    "data_page",
    "gallery",
    "headers",
    "networks_page",
    "pages",
    "publication",
    "publish",
    "source",
    "verification",
)
OF_COMMANDS = {  # outside pipeline/, what only `public` and `report` use: it reads parameters and notebooks
    f"aecompanion.{name}" for name in ("data.public", *(f"report.{each}" for each in OF_REPORT))
}
PIN = r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)"
PINNED = re.findall(PIN, (ROOT / "requirements.txt").read_text())
OF_CLUSTER = re.findall(PIN, (ROOT / "requirements-cluster.txt").read_text())
EXAMPLE = """
import json, lib, aecompanion
from aecompanion.attack.gradient import fgsm
from aecompanion.data.photos import photograph
from aecompanion.networks.efficientnet_lite import efficientnet_lite0, imagenet_classes
from aecompanion.networks.read import predict
from aecompanion.pipeline.paths import raw

network, (image, label) = efficientnet_lite0(raw("weights/efficientnet_lite0.pth")), photograph("chelsea")
said = predict(network, image).argmax(1)
attacked = predict(network, fgsm(network, image, said, eps=0.01)).argmax(1)
names = [imagenet_classes()[index] for index in (label, said, attacked)]
print(json.dumps({"names": names, "lib": lib.OWNER, "place": aecompanion.__file__}))
"""


def declared(*groups):
    """The distributions of these groups of dependencies, and of the extras that they name."""
    found = set()
    for requirement in (Requirement(text) for group in groups for text in GROUPS[group]):
        if requirement.name == DISTRIBUTION:
            found |= declared(*requirement.extras)
        else:
            found.add(normal(requirement.name))
    return found


def needed(code, *, lazy=True):
    """The distributions of the third-party packages that some source imports; `lazy`: in functions, too."""
    tree = ast.parse(code)
    found = set()
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    ours = {"aecompanion", "benchmarks", "tests"} | {path.stem for path in (ROOT / "tests").rglob("*.py")}
    return {normal(KNOWN.get(name, [name])[0]) for name in found - sys.stdlib_module_names - ours}


def module_of(file):
    """The dotted name of a source file."""
    return ".".join(file.relative_to(LIBRARY.parent).with_suffix("").parts)


# ---- what is declared


def test_every_range_contains_the_pin_that_is_tested():
    inputs = "".join((ROOT / name).read_text() for name in ("requirements.in", "requirements-cluster.in"))
    direct = {normal(line.partition("==")[0]) for line in inputs.splitlines()}
    pins = {}
    for name, version in PINNED + OF_CLUSTER:
        pins.setdefault(normal(name), []).append(version)
    for group, texts in GROUPS.items():
        for requirement in map(Requirement, texts):
            if requirement.name == DISTRIBUTION:
                assert requirement.extras <= set(GROUPS), group
                continue
            assert normal(requirement.name) in direct | set(pins), f"{requirement} of {group!r} is not pinned"
            assert all(requirement.specifier.contains(version) for version in pins[normal(requirement.name)])
            assert {each.operator for each in requirement.specifier} & {">=", "=="}, f"{requirement} has no lower bound"


@pytest.mark.parametrize("room", sorted(path.name for path in LIBRARY.iterdir() if (path / "__init__.py").exists()))
def test_what_the_library_imports_is_declared(room):
    for file in sorted((LIBRARY / room).rglob("*.py")):
        extra = EXTRAS.get(room, "pipeline" if module_of(file) in OF_COMMANDS else "")
        always = declared("", extra)
        assert needed(file.read_text(), lazy=False) <= always, file
        assert needed(file.read_text()) <= declared("", "data", "networks") | always, file


def test_what_notebooks_and_tests_import_is_declared():
    for file in (ROOT / "notebooks").rglob("[!.]*.ipynb"):
        code = code_of(nbformat.read(file, as_version=4))
        for extra in ("pipeline", "notebooks"):  # executed as stages, opened by a reader
            assert needed(code) <= declared("", extra) | {"ipython"}, (file, extra)  # which ipykernel brings
    for folder in ("tests", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            assert needed(file.read_text()) <= declared("", "all"), file


def test_the_extra_all_is_every_extra_but_the_cluster_s():
    assert declared("all") == declared(*(name for name in PROJECT["optional-dependencies"] if name != "cluster"))


def test_the_cluster_s_packages_move_no_pin():
    known = {}
    for name, version in PINNED:
        known.setdefault(name, set()).add(version)
    assert {name: version for name, version in OF_CLUSTER if version not in known.get(name, {version})} == {}


# ---- what is installed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built by pip from a copy, because setuptools writes into the tree that it builds."""
    pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".ipynb_checkpoints")
    shutil.copytree(ROOT / "lib", folder / "source" / "lib", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, folder / "source" / name)
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(folder / "source")], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def user(wheel, tmp_path_factory):
    """A virtual environment with the wheel (and today's other packages), a project folder with its own `lib`."""
    home = tmp_path_factory.mktemp("user")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "env")], check=True)
    python = next(path for path in (home / "env").glob("*/python*") if path.stem == "python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'), sysconfig.get_path('scripts'), sep='\\n')"
    shown = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout
    packages, scripts = map(Path, shown.splitlines())
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    own = sorted(path.name for path in packages.iterdir() if path.name != "__pycache__")
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "others.pth").write_text("\n".join(others))  # whose own .pth files, editable installs, are not read
    (home / "project" / "lib").mkdir(parents=True)
    (home / "project" / "data").mkdir()
    (home / "project" / "lib" / "__init__.py").write_text("OWNER = 'the user'\n")
    (home / "project" / "example.py").write_text(EXAMPLE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COMPANION_"))}
    environment = kept | {"COMPANION_DATA": str(home / "raw"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}

    def run(*command, **variables):
        options = {"cwd": home / "project", "env": environment | variables, "capture_output": True, "text": True}
        return subprocess.run([str(each) for each in command], **options)

    return SimpleNamespace(home=home, python=python, packages=packages, own=own, run=run, scripts=scripts)


def content(folder):
    """Every file but what Python and numba compile."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def test_the_wheel_holds_the_package_with_its_data_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {path.relative_to(ROOT / "lib").as_posix() for path in content(LIBRARY) if not path.name.startswith(".")}
    assert {"aecompanion/data/manifest.yaml", "aecompanion/papers/causal/released.csv"} <= wanted
    assert {name for name in names if ".dist-info/" not in name} == wanted


def test_nothing_but_the_package_and_its_metadata_lies_in_site_packages(user):
    version = PROJECT["version"]
    assert user.own == [f"{DISTRIBUTION.replace('-', '_')}-{version}.dist-info", "aecompanion"]


def test_an_example_runs_in_a_project_with_its_own_lib_and_writes_only_the_raw_files_that_it_asks_for(user):
    before = content(user.home / "env"), content(user.home / "project")
    run = user.run(user.python, "example.py")
    assert run.returncode == 0, run.stderr
    shown = json.loads(run.stdout)
    right, said, attacked = shown["names"]
    assert right == said == "Egyptian cat"
    assert attacked != said
    assert shown["lib"] == "the user"
    assert Path(shown["place"]).is_relative_to(user.packages)
    assert (content(user.home / "env"), content(user.home / "project")) == before
    found = {path.relative_to(user.home / "raw").as_posix() for path in content(user.home / "raw")}
    assert found == {"photos/chelsea.png", "weights/efficientnet_lite0.pth"}


def test_the_command_fills_the_users_cache_and_leaves_a_folder_data_of_the_project_alone(user):
    variables = {name: str(user.home / "cache") for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA")}
    run = user.run(user.scripts / "aecompanion", "data", COMPANION_DATA="", **variables)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert list((user.home / "cache").rglob("aecompanion/data/faces/lfw_subset.npy"))
    assert content(user.home / "project" / "data") == []


def test_the_installed_command_lists_the_commands_and_its_version(user):
    run = user.run(user.scripts / "aecompanion", "--help")
    assert (run.returncode, run.stderr) == (0, "")
    assert all(f"\n  {name} " in run.stdout for name in COMMANDS)
    assert user.run(user.scripts / "aecompanion", "--version").stdout == f"aecompanion {PROJECT['version']}\n"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("reprod", "aecompanion: no command 'reprod', expected one of "),
        ("repro", "aecompanion repro: needs a checkout"),
    ],
)
def test_a_command_that_cannot_run_is_one_sentence_and_exit_code_1(user, name, sentence):
    run = user.run(user.scripts / "aecompanion", name)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith(sentence)
    assert run.stderr.count("\n") == 1


def required(names):
    """These distributions and all that they need, extras aside."""
    found, todo = set(), list(names)
    while todo:
        name = normal(todo.pop())
        if name in found:
            continue
        found.add(name)
        try:
            requirements = [Requirement(text) for text in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:  # for another platform
            continue
        todo += [each.name for each in requirements if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


def test_the_library_imports_with_its_own_dependencies_alone(user):
    core = required(declared(""))
    absent = sorted(name for name, of in KNOWN.items() if not {normal(each) for each in of} & core)
    absent = [name for name in absent if name != "sphinx"]  # scipy asks sys.modules whether it is there
    assert {"papermill", "dvc", "nbformat", "grimp", "pydantic", "timm", "pytest"} <= set(absent)
    modules = {module_of(path) for path in content(LIBRARY) if path.suffix == ".py"} - OF_COMMANDS
    modules = sorted(name for name in modules if not name.startswith(("aecompanion.pipeline.", "aecompanion.site.")))
    code = "import importlib, json, sys; absent, modules = json.load(sys.stdin)\n"
    code += "sys.modules.update(dict.fromkeys(absent)); [importlib.import_module(name) for name in modules]"
    run = subprocess.run(
        [user.python, "-c", code],
        input=json.dumps([[name for name in absent if name != "aecompanion"], modules]),
        cwd=user.home,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
