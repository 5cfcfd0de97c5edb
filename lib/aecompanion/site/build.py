"""`aecompanion site`: the whole companion as one site, build/site/index.html, readable without a network.

A tree of Markdown and notebooks is written to build/site_pages, in which documents stand where they stand in the
checkout, and rendered by Sphinx with MyST-NB. Notebooks are shown with their stored outputs, or with `--executed` with
those of the last run. Any warning, such as a link that leads nowhere, ends the build.
"""

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Collection
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
from sphinx.application import Sphinx
from sphinx.util.console import nocolor
from sphinx.util.docutils import docutils_namespace, patch_docutils

from aecompanion.pipeline import notebooks
from aecompanion.pipeline.paths import BUILD, ROOT
from aecompanion.report import headers, replications
from aecompanion.report.papers import papers
from aecompanion.site import papers as papers_, reference, source_pages
from aecompanion.site.links import REPLICATIONS, Links, relative

STATIC = Path(__file__).parent / "static"
DOCUMENTS = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
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
UNUSED = ["*.map", "*macros.html"]  # what themes leave for those who develop them
OPTIONS = {
    "project": "Companion to five papers on adversarial examples and visual explanation",
    "html_title": "Adversarial examples and visual explanation",
    "language": "en",
    "extensions": ["myst_nb", "aecompanion.site.extension"],
    "html_theme": "sphinx_book_theme",
    "html_theme_options": {
        "use_download_button": False,
        "use_fullscreen_button": False,
        "show_navbar_depth": 1,
        "show_toc_level": 2,
        "pygments_light_style": "a11y-high-contrast-light",
        "pygments_dark_style": "a11y-high-contrast-dark",
    },
    "html_math_renderer": "mathml",
    "html_static_path": [str(STATIC)],
    "html_css_files": ["site.css"],
    "html_js_files": ["site.js"],
    "html_copy_source": False,
    "html_show_sphinx": False,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "myst_enable_extensions": ["dollarmath", "amsmath"],
    "myst_all_links_external": True,
    "suppress_warnings": ["myst.header", "mystnb.unknown_mime_type"],
    "exclude_patterns": ["**/.ipynb_checkpoints"],
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
        put(folder / f"{page}.md", reference.page(room, modules, lambda file, line, page=page: source(file, line, page)))
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


def render(folder: Path, out: Path, links: Links, files: dict[str, str], *, quiet: bool = False) -> None:
    """Run Sphinx. Raises RuntimeError with the warnings, if there were any."""
    shutil.rmtree(out, ignore_errors=True)
    options = OPTIONS | {"companion_links": links, "companion_files": files}
    doctrees, noted = folder.with_name(f"{folder.name}_doctrees"), Notes()
    shutil.rmtree(doctrees, ignore_errors=True)
    nocolor()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            folder, None, out, doctrees, "html", confoverrides=options, status=None, warning=noted, freshenv=True
        )
        app.build(force_all=True)
    shutil.rmtree(doctrees, ignore_errors=True)
    if noted.lines:
        raise RuntimeError(f"{len(noted.lines)} warnings:\n" + "\n".join(noted.lines[:20]))


class Notes:
    """A stream that keeps what is written to it."""

    def __init__(self):
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines += filter(None, map(str.strip, text.splitlines()))

    def flush(self) -> None:
        """Nothing waits."""

    def isatty(self) -> bool:
        return False


class Targets(HTMLParser):
    """href, src and id of one page."""

    def __init__(self):
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [value for name in ("href", "src") if (value := found.get(name))]
        self.ids |= {value for name in ("id", "name") if (value := found.get(name))}


def targets(file: Path) -> Targets:
    """What a page links and what can be linked on it."""
    found = Targets()
    found.feed(file.read_text())
    return found


def local(link: str, file: Path) -> tuple[Path, str] | None:
    """File and anchor that a page's link leads to; None for another site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = os.path.normpath(file.parent / unquote(parts.path)) if parts.path else file
    return Path(path), unquote(parts.fragment)


def add_files(out: Path) -> None:
    """Write the source pages and copy the files that pages link, and the sources of the library."""
    for pattern in UNUSED:
        for file in (out / "_static").rglob(pattern):
            file.unlink()
    put(out / source_pages.SHEET, source_pages.sheet())
    linked = {
        path.relative_to(out).as_posix()
        for file in out.rglob("*.html")
        for link in targets(file).links
        if (found := local(link, file)) and (path := found[0]).is_relative_to(out)
    }
    library = {f"source/{file.relative_to(ROOT).as_posix()}.html" for file in reference.PACKAGE.rglob("*.py")}
    for name in sorted(linked | library):
        kind, _, path = name.partition("/")
        if kind == "files" and not (out / name).exists():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, out / name)
        elif kind == "source":
            path = path.removesuffix(".html")
            ours = path.startswith("lib/") and path.endswith(".py")
            put(out / name, source_pages.page(path, reference.place(reference.dotted(ROOT / path)) if ours else ""))


def dead(out: Path) -> list[str]:
    """Local links of the site that lead to no file or to no place in it."""
    pages = {file: targets(file) for file in sorted(out.rglob("*.html"))}
    wrong = []
    for file, found in pages.items():
        for link in dict.fromkeys(found.links):
            if (aim := local(link, file)) is None:
                continue
            path, place = aim
            missing = place and path in pages and place not in pages[path].ids
            if not path.is_relative_to(out) or not path.exists() or missing:
                wrong.append(f"{file.relative_to(out)}: {link}")
    return wrong


def build(out: Path, chosen: Collection[str] = (), *, executed: bool = False) -> None:
    """Make the whole site in `out`. Raises RuntimeError for warnings and dead links."""
    folder = out.with_name(f"{out.name}_pages")
    links, files = write_pages(folder, chosen, executed=executed)
    render(folder, out, links, files)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    add_files(out)
    if wrong := dead(out):
        raise RuntimeError(f"{len(wrong)} dead links:\n" + "\n".join(wrong[:20]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion site", description=__doc__.splitlines()[0])
    parser.add_argument("--executed", action="store_true", help="show the outputs of the last run, not the stored ones")
    options = parser.parse_args()
    out = BUILD / "site"
    try:
        build(out, executed=options.executed)
    except (RuntimeError, ValueError, FileNotFoundError) as error:
        sys.exit(f"aecompanion site: {error}")
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{(out / 'index.html').relative_to(ROOT)}: {len(list(out.rglob('*.html')))} pages, {size / 1e6:.1f} MB")
