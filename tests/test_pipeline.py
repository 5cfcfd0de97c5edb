"""The wiring agrees with itself: notebooks, params.yaml, dvc.yaml, displays and imports."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml
from importlinter.cli import lint_imports

from aecompanion.pipeline import parameters
from aecompanion.pipeline.fingerprint import SAVED
from aecompanion.pipeline.notebooks import sources
from aecompanion.pipeline.paths import ROOT
from aecompanion.report import displays, publish

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in sources()}
SECTIONS = parameters.sections()


def code(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def paths_of(entries: list) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def test_every_notebook_is_a_stage_and_a_section():
    assert set(NOTEBOOKS) == set(STAGES) - {"raw", "code"} == set(SECTIONS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_that_loads_or_trains_a_network_takes_a_device(name):
    calls = (
        r"checkpoint\.(load|networks)\(|ensemble\.train|efficientnet_lite0\(|pretrained\.ready\(|bring\(|calibrated\("
        r"|\.(trained|published)\("
    )
    networks = re.search(calls, code(NOTEBOOKS[name])) is not None
    assert ("device" in SECTIONS[name]) is networks
    assert ("device" in STAGES[name].get("params", [])) is networks


def test_the_device_of_every_notebooks_own_values_is_the_cpu():
    devices = {known["device"].value for known in SECTIONS.values() if "device" in known}
    assert devices == {"cpu"}  # aecompanion.pipeline.run relies on it


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
    assert {f"build/executed/{name}.ipynb", f"build/passes/{name}.json"} <= set(outs)


def test_a_stage_runs_its_notebook_and_nothing_else():
    for name in NOTEBOOKS:
        assert STAGES[name]["cmd"] == f"python -m aecompanion run {name}"


def test_the_raw_data_are_what_the_first_stage_copies_from_packages():
    pinned = yaml.safe_load((ROOT / "data.dvc").read_text())
    (made,), (data,) = pinned["deps"], pinned["outs"]
    assert (made["path"], data["path"]) == (*STAGES["raw"]["outs"], "data")
    assert made["md5"] == data["md5"]


def test_no_costly_stage_has_an_output_that_switches_off_its_run_cache():
    uncached = {name for name, stage in STAGES.items() if any(isinstance(out, dict) for out in stage["outs"])}
    assert uncached == {"code"}


@pytest.mark.parametrize("display", displays.register())
def test_a_display_is_made_by_the_notebook_that_the_register_names(display):
    assert display in SAVED.findall(code(NOTEBOOKS[displays.entry(display)["notebook"]]))


def test_every_display_a_notebook_saves_is_registered():
    for notebook in NOTEBOOKS.values():
        for display in SAVED.findall(code(notebook)):
            assert display in displays.register()


@pytest.mark.parametrize("display", displays.register())
def test_results_hold_every_display_with_its_card(display):
    suffix = displays.suffix(display)
    assert (ROOT / "results" / publish.KINDS[suffix] / f"{displays.stem(display)}{suffix}").exists()
    assert (ROOT / "results" / "cards" / f"{displays.stem(display)}.json").exists()


def test_rooms_import_only_from_rooms_below():
    """The contracts of pyproject.toml, by import-linter."""
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=None) == 0


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
