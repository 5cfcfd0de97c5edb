"""The wiring agrees with itself: notebooks, params.yaml, dvc.yaml, displays and imports."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from lib import parameters
from lib.notebooks import sources
from lib.paths import ROOT
from lib.report import claims, displays, gallery

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in sources()}
SECTIONS = parameters.sections()
ROOMS = ["data", "networks", "attack", "defend", "train", "explain", "evaluate", "sanity", "report"]
SHARED = {"parameters", "paths", "rng", "parallel"}  # any room may use these
DATA_FILES = {  # what a module reads beside itself, and the module
    "lib/report/claims.py": "lib/report/claims.yaml",
    "lib/report/paper1_schematics.py": "lib/report/paper1_released.csv",
}
CLAIMS_MODULES = {f"lib.report.paper{claim['paper']}" for claim in claims.register()}  # imported by name


def code(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def registers(name: str) -> set[str]:
    """The registers of displays that a notebook looks into: those of the papers it makes displays for."""
    known = displays.register()
    all_of_them = name == "claims_report"
    papers = {displays.paper_of(each) for each in known if all_of_them or known[each]["notebook"] == name}
    return {f"lib/report/paper{paper}_displays.yaml" for paper in papers}


def lib_imports(source: str) -> set[str]:
    """Dotted names below lib that some Python source imports, `from lib.a import b` as lib.a and lib.a.b, and those of
    factories that it names ("lib.a:make").
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"^(lib(?:\.\w+)+):\w*$", node.value))
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("lib.")}


def reached(names: set[str]) -> set[str]:
    """Files of the modules with these names and of everything of lib that they import."""
    files, todo = set(), list(names)
    while todo:
        file = Path(todo.pop().replace(".", "/")).with_suffix(".py")
        if (ROOT / file).exists() and str(file) not in files:
            files.add(str(file))
            todo += lib_imports((ROOT / file).read_text())
    return files


def paths_of(entries: list) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def test_every_notebook_is_a_stage_and_a_section():
    assert set(NOTEBOOKS) == set(STAGES) - {"strip"} == set(SECTIONS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_that_loads_or_trains_a_network_takes_a_device(name):
    calls = r"checkpoint\.(load|networks)\(|ensemble\.train|efficientnet_lite0\(|bring\("
    networks = re.search(calls, code(NOTEBOOKS[name])) is not None
    assert ("device" in SECTIONS[name]) is networks
    assert ("device" in STAGES[name].get("params", [])) is networks


def test_the_device_of_every_notebooks_own_values_is_the_cpu():
    devices = {known["device"].value for known in SECTIONS.values() if "device" in known}
    assert devices == {"cpu"}  # lib.run relies on it


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_stage_depends_on_the_modules_its_notebook_reaches(name):
    names = lib_imports(code(NOTEBOOKS[name]))
    files = reached(names)
    if "lib/report/claims.py" in files:
        files |= reached(CLAIMS_MODULES)
    files |= {data for module, data in DATA_FILES.items() if module in files} | registers(name)
    assert {dep for dep in STAGES[name]["deps"] if dep.startswith("lib/")} == files


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_stage_depends_on_every_file_its_notebook_finds(name):
    found = set(re.findall(r"""find\(f?["']([^"'{]+)""", code(NOTEBOOKS[name])))
    deps = [Path(dep) for dep in STAGES[name]["deps"]]
    own = [Path(out) for out in paths_of(STAGES[name]["outs"])]
    for place in (Path(file) if file.startswith("results/") else Path("build", file) for file in found):
        known = [*deps, *own]
        assert any(place == path or path in place.parents or place in path.parents for path in known), place


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_stage_declares_every_file_its_notebook_saves(name):
    saved = set(re.findall(r"""paths\.save\(\s*["']([^"']+)["']""", code(NOTEBOOKS[name])))
    outs = paths_of(STAGES[name]["outs"])
    for file in saved:
        assert (file if file.startswith("results/") else f"build/{file}") in outs
    assert f"build/executed/{name}.ipynb" in outs


def test_a_stage_that_reads_raw_data_checks_it_first():
    for name, stage in STAGES.items():
        if any(dep == "data" or dep.startswith("data/") for dep in stage["deps"]):
            assert stage["cmd"][0] == "python -m lib.data.sources --check", name


def test_no_costly_stage_has_an_output_that_switches_off_its_run_cache():
    uncached = {name for name, stage in STAGES.items() if any(isinstance(out, dict) for out in stage["outs"])}
    assert uncached == {"claims_report"}


@pytest.mark.parametrize("display", displays.register())
def test_a_display_is_made_by_the_notebook_that_the_register_names(display):
    assert f'save("{display}"' in code(NOTEBOOKS[displays.entry(display)["notebook"]])


def test_every_display_a_notebook_saves_is_registered():
    for notebook in NOTEBOOKS.values():
        for display in re.findall(r"""(?:figures|tables)\.save\(["']([^"']+)""", code(notebook)):
            assert display in displays.register()


@pytest.mark.parametrize("display", displays.register())
def test_results_hold_every_display_with_its_card(display):
    kind = gallery.KINDS[gallery.suffix(display)]
    for ending in (gallery.suffix(display), ".json"):
        assert (ROOT / "results" / kind / f"{displays.stem(display)}{ending}").exists()


def test_a_module_imports_only_from_rooms_before_its_own():
    for file in sorted((ROOT / "lib").rglob("*.py")):
        parts = file.relative_to(ROOT / "lib").parts
        if parts[0] not in ROOMS:
            continue
        for name in lib_imports(file.read_text()):
            room = name.split(".")[1]
            assert room in SHARED or ROOMS.index(room) <= ROOMS.index(parts[0]), f"{file} imports {name}"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_reads_as_a_tutorial(name):
    cells = NOTEBOOKS[name].cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    assert "**What you will learn**" in cells[0].source
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "## The idea" in prose
    assert "$" in prose
    assert "to try" in prose.splitlines()[-1] or "## What" in prose
    assert all(len(cell.source.splitlines()) <= 30 for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_committed_with_outputs_and_without_errors(name):
    outputs = [output for cell in NOTEBOOKS[name].cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs
    assert all(output.output_type != "error" for output in outputs)


def test_links_between_notebooks_lead_somewhere():
    for path in sources():
        for cell in NOTEBOOKS[path.stem].cells:
            if cell.cell_type == "markdown":
                for target in re.findall(r"\]\(([^)]+\.(?:ipynb|md))\)", cell.source):
                    assert (path.parent / target).exists(), f"{path.name} links to {target}"
