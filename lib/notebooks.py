"""Notebook files: output-free copies that stages depend on, and executed copies without anything volatile.

`python -m lib.notebooks` is the pipeline's first stage, `strip`: opening or re-running a notebook changes its outputs,
its metadata and its execution counts, and none of these must make a stage stale.
"""

import ast
import shutil
from pathlib import Path

import nbformat

from lib.paths import BUILD, ROOT

SOURCES = ROOT / "notebooks"
STRIPPED = BUILD / "notebooks"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def sources() -> list[Path]:
    """The notebooks of the project in pipeline order."""
    return sorted(path for path in SOURCES.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def locate(name: str) -> Path:
    """The notebook with this stem (or path). Raises FileNotFoundError listing the ones there are."""
    for path in sources():
        if name in (path.stem, path.name) or Path(name).resolve() == path:
            return path
    stems = ", ".join(path.stem for path in sources())
    raise FileNotFoundError(f"no notebook {name!r} below notebooks/, expected one of: {stems}")


def strip(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Keep sources and tags, drop outputs and counts, number the cell ids; in place."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({"tags": tags} if (tags := cell.metadata.get("tags")) else {})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove what differs between two runs of the same code (timestamps, the injected cell's random id, progress bars
    on stderr, widget state), keep the outputs; in place.
    """
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({"tags": tags} if (tags := cell.metadata.get("tags")) else {})
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not volatile(output)]
    return notebook


def parameters(notebook: nbformat.NotebookNode) -> list[str]:
    """Names assigned in the cell tagged "parameters" (papermill's own inspection stumbles over `=` in comments)."""
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    statements = [statement for cell in cells for statement in ast.parse(cell.source).body]
    targets = [target for statement in statements if isinstance(statement, ast.Assign) for target in statement.targets]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def volatile(output: nbformat.NotebookNode) -> bool:
    """Progress bars and warnings (stderr) and widgets."""
    return output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def main() -> None:
    """Write the stripped copy of every notebook to build/notebooks/."""
    if STRIPPED.exists():
        shutil.rmtree(STRIPPED)
    for path in sources():
        target = STRIPPED / path.relative_to(SOURCES)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(strip(nbformat.read(path, as_version=4)), target)


if __name__ == "__main__":
    main()
