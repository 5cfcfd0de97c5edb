"""Notebook files: their code, copies without outputs that are executed, executed copies without anything volatile, and
the page that people read, today's prose with the outputs of the last run.

Opening or re-running a notebook changes its outputs, its metadata and its execution counts, rewording it its prose;
none of these makes a stage stale (`pipeline.fingerprint`). `aecompanion pages` writes the pages to build/pages/.
"""

import ast
import base64
import io
import sys
from pathlib import Path

import nbformat
from PIL import Image

from aecompanion.pipeline.paths import BUILD, ROOT

SOURCES = ROOT / "notebooks"
JPEG = 0.8  # of the size of a PNG: a smaller JPEG is taken
EXECUTED, PAGES = BUILD / "executed", BUILD / "pages"
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
    on stderr, widget state, where a stream was cut in two), keep the outputs; in place.
    """
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({"tags": tags} if (tags := cell.metadata.get("tags")) else {})
        if cell.cell_type == "code":
            cell.outputs = joined([lighter(output) for output in cell.outputs if not volatile(output)])
    return notebook


def joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """The outputs with neighbouring pieces of one stream as one: where a kernel cuts it depends on its speed."""
    found = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream" and output.name == found[-1].name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def lighter(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The output with its picture in fewer bytes, in place: a PNG of 256 colours, or a JPEG where that takes less than
    `JPEG` of it (photographs; lines and letters would take more). One that would not shrink stays as it is.
    """
    drawn = output.get("data", {}).get("image/png")
    if drawn is None:
        return output
    picture = Image.open(io.BytesIO(base64.b64decode(drawn)))
    output["data"].pop("image/jpeg", None)  # Pillow's pictures show themselves in both forms
    if picture.mode == "P":
        return output
    encoded = {}
    for kind, as_drawn, options in (
        ("png", picture.convert("RGB").quantize(256), {"optimize": True}),
        ("jpeg", picture.convert("RGB"), {"quality": 80}),
    ):
        file = io.BytesIO()
        as_drawn.save(file, format=kind, **options)
        encoded[kind] = base64.b64encode(file.getvalue()).decode()
    kind = "jpeg" if len(encoded["jpeg"]) < JPEG * len(encoded["png"]) else "png"
    if len(encoded[kind]) < len(drawn):
        del output["data"]["image/png"]
        output["data"][f"image/{kind}"] = encoded[kind]
    return output


def code_of(notebook: nbformat.NotebookNode) -> str:
    """The source of all code cells."""
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def page(source: Path, executed: Path = EXECUTED) -> nbformat.NotebookNode:
    """The notebook as it reads now with the outputs of its executed copy in the folder `executed`.

    Raises FileNotFoundError without such a copy, ValueError if its code cells are not those of the notebook.
    """
    copy = executed / source.name
    if not copy.exists():
        raise FileNotFoundError(f"{copy.relative_to(ROOT)} is missing: run the stage {source.stem}")
    notebook = clean(nbformat.read(source, as_version=4))
    ran = [cell for cell in nbformat.read(copy, as_version=4).cells if cell.cell_type == "code" and not injected(cell)]
    mine = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [same(cell.source) for cell in ran] != [same(cell.source) for cell in mine]:
        raise ValueError(f"{copy.relative_to(ROOT)} is not of today's code: run the stage {source.stem} again")
    for cell, done in zip(mine, ran, strict=True):
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    return notebook


def same(code: str) -> str:
    """Code without comments and layout, to compare what was executed with what stands there now."""
    return ast.unparse(ast.parse(code))


def injected(cell: nbformat.NotebookNode) -> bool:
    """The cell of parameters that papermill puts behind the notebook's own."""
    return "injected-parameters" in cell.metadata.get("tags", [])


def volatile(output: nbformat.NotebookNode) -> bool:
    """Progress bars and warnings (stderr) and widgets."""
    return output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def main() -> None:
    """Write every notebook with the outputs of the last run to build/pages/."""
    PAGES.mkdir(parents=True, exist_ok=True)
    try:
        for source in sources():
            nbformat.write(page(source), PAGES / source.name)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"aecompanion pages: {error}")


if __name__ == "__main__":
    main()
