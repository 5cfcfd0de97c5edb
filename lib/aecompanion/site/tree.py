"""The tree of Markdown and notebooks that Sphinx renders: documents stand where they stand in the checkout, pages of
papers, replications and the library's reference are written beside them.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

import nbformat
import pandas as pd

from aecompanion.pipeline import notebooks
from aecompanion.pipeline.paths import ROOT
from aecompanion.report import headers, replications
from aecompanion.report.papers import papers
from aecompanion.site import papers as papers_, reference
from aecompanion.site.links import REPLICATIONS, Links, relative

DOCUMENTS = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
CARDS = ["results/DATA.md", "results/NETWORKS.md"]
FOLDERS = {
    "1_data": "Data",
    "2_train": "Training",
    "3_attack": "Attacks",
    "4_explain": "Explanations",
    "5_evaluate": "Evaluation",
    "6_sanity": "Sanity checks",
    "7_report": "Report",
    "8_your_own": "Your own",
}


def write_pages(folder: Path, chosen: Collection[str] = (), *, executed: bool = False) -> tuple[Links, dict[str, str]]:
    """Write the tree that Sphinx renders, and return its links and the files of the checkout behind its pages.

    Args:
        folder: emptied first.
        chosen: the notebooks to show, by name; empty: all.
        executed: outputs of the last run instead of the stored ones.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shown = [file for file in notebooks.sources() if not chosen or file.stem in chosen]
    documents = [*DOCUMENTS, *sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "docs").rglob("*.md"))]
    documents += [file for file in CARDS if (ROOT / file).is_file()]
    files = documents + [file.relative_to(ROOT).as_posix() for file in shown]
    pages = {file: file.rpartition(".")[0] for file in files}
    made = {f"results/{paper.handle}.md": f"results/{paper.handle}" for paper in papers()}
    links = Links(pages | made | {f"{REPLICATIONS}.md": REPLICATIONS})
    kept = {file.stem: pages[file.relative_to(ROOT).as_posix()] for file in shown}
    for file in documents:
        put(folder / file, (ROOT / file).read_text())
    for file in shown:
        notebook = notebooks.page(file) if executed else nbformat.read(file, as_version=4)
        put(folder / file.relative_to(ROOT), nbformat.writes(notebook))
    results, chain = ROOT / "results", headers.current()
    claims, others = pd.read_csv(results / "claims.csv"), replications.replications(results)
    shutil.copytree(results / "figures", folder / "results" / "figures")
    before = {name: chain.before(name) for name in chain.notebooks}
    for paper in papers():
        put(folder / "results" / f"{paper.handle}.md", papers_.page(paper, results, chain, before, kept))
    if others:
        text = "\n".join(replications.section(claims, others)).replace("## ", "# ", 1)
        put(folder / f"{REPLICATIONS}.md", text)
    for room, modules in reference.rooms().items():
        page = f"reference/{room}"
        put(
            folder / f"{page}.md", reference.page(room, modules, lambda file, line, page=page: source(file, line, page))
        )
    put(folder / "index.md", papers_.start(claims, bool(others)) + contents(documents, shown, bool(others)))
    return links, {page: file for file, page in pages.items()}


def put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def source(file: Path, line: int, page: str) -> str:
    """Where a line of the library stands, as seen from a page."""
    return relative(f"source/{file.relative_to(ROOT).as_posix()}.html", page) + f"#L{line}"


def contents(documents: list[str], shown: list[Path], replicated: bool) -> str:
    """The tables of contents behind sidebar, previous and next: papers, notebooks by folder, documents, reference."""
    found = {"Papers": [name for each in papers() for name in (f"results/{each.handle}", f"docs/papers/{each.handle}")]}
    found["Papers"] += [REPLICATIONS] if replicated else []
    found["Documents"] = [file[:-3] for file in documents if not file.startswith("docs/papers/")]
    found["Notebooks"] = [f"notebooks/{file.stem}" for file in shown if file.parent.name == "notebooks"]
    for folder, title in FOLDERS.items():
        found[title] = [f"notebooks/{folder}/{file.stem}" for file in shown if file.parent.name == folder]
    found["Reference"] = [f"reference/{room}" for room in reference.rooms()]
    blocks = [
        "\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```"])
        for title, pages in found.items()
        if pages
    ]
    return "\n".join(blocks) + "\n"
