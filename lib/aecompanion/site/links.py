"""Where a link of a document leads on the site.

Documents link files of the checkout (`../lib/aecompanion/attack/gradient.py#L21`). On the site a page becomes its HTML,
source becomes a page with line numbers below `source/`, any other file a copy below `files/`, and a place in
results/README.md the page of its paper.
"""

import os
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from aecompanion.pipeline.paths import ROOT
from aecompanion.report import displays
from aecompanion.report.gallery import anchor
from aecompanion.report.papers import number_of, paper, papers

SOURCE = {".py", ".yaml", ".yml", ".toml", ".js", ".css", ".in", ".cff", ".dvc", ""}  # shown with line numbers
PAGES = {".md", ".ipynb"}
RESULTS = "results/README.md"
REPLICATIONS = "results/replications"


def places() -> dict[str, str]:
    """Anchor in results/README.md → page of the site, for papers and displays."""
    found = {anchor(f"Paper {each.number} · {each.name}"): f"results/{each.handle}" for each in papers()}
    for display, entry in displays.register().items():
        found[anchor(f"{display} · {entry['title']}")] = page_of(display)
    return found


def page_of(display: str) -> str:
    """The page that shows a display."""
    return f"results/{paper(number_of(display)).handle}"


def relative(target: str, page: str) -> str:
    """A path from the site's root as seen from a page."""
    return quote(os.path.relpath(target, PurePosixPath(page).parent))


class Links:
    """Targets on the site.

    Args:
        pages: pages by the file of the checkout that they show, e.g. docs/design.md → docs/design.
    """

    def __init__(self, pages: dict[str, str]):
        self.pages, self.results = pages, places()

    def resolve(self, link: str, file: str, page: str) -> str | None:
        """A link of `file` as it stands on `page`; None where the site has nothing to show (a folder).

        Raises ValueError for a file that does not exist.
        """
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or not parts.path:
            return link
        path = Path(os.path.normpath(Path(file).parent / unquote(parts.path))).as_posix()
        fragment = unquote(parts.fragment)
        place = f"#{parts.fragment}" if fragment else ""
        if path == RESULTS:
            other = REPLICATIONS if fragment.startswith("the-same-again") else "index"
            target = f"{self.results.get(fragment, other)}.html"
        elif path in self.pages:
            target = f"{self.pages[path]}.html"
        elif (ROOT / path).is_dir():
            return None
        elif not (ROOT / path).is_file():
            raise ValueError(f"{file}: {link} leads to no file")
        elif Path(path).suffix in SOURCE:
            target = f"source/{path}.html"
        else:  # a notebook or document that is not on the site, a table, a picture
            target = f"files/{path}"
        return relative(target, page) + place
