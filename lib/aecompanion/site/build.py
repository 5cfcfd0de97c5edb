"""`aecompanion site`: the whole companion as one site, build/site/index.html, readable without a network.

A tree of Markdown and notebooks is written to build/site_pages (`site.tree`) and rendered by Sphinx with MyST-NB.
Notebooks are shown with their stored outputs, or with `--executed` with those of the last run. Any warning, such as a
link that leads nowhere, ends the build.
"""

import argparse
import logging
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.console import nocolor
from sphinx.util.docutils import docutils_namespace, patch_docutils

from aecompanion.pipeline.paths import BUILD, ROOT
from aecompanion.site.files import add_files, dead, lighten, shrink
from aecompanion.site.links import Links
from aecompanion.site.tree import write_pages

STATIC = Path(__file__).parent / "static"
LARGEST = 25_000_000  # bytes of the site with the stored outputs
OPTIONS = {
    "project": "Companion to five papers on adversarial examples and visual explanation",
    "html_title": "Adversarial examples and visual explanation",
    "language": "en",
    "author": "the contributors of the companion",
    "html_show_copyright": False,
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
    "suppress_warnings": ["myst.header", "mystnb.unknown_mime_type", "misc.highlighting_failure"],
    "exclude_patterns": ["**/.ipynb_checkpoints"],
}


def render(folder: Path, out: Path, links: Links, files: dict[str, str]) -> None:
    """Run Sphinx. Raises RuntimeError with the warnings, if there were any."""
    shutil.rmtree(out, ignore_errors=True)
    options = OPTIONS | {"companion_links": links, "companion_files": files}
    doctrees, noted = folder.with_name(f"{folder.name}_doctrees"), Notes()
    shutil.rmtree(doctrees, ignore_errors=True)
    nocolor()
    enable_loggers()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            folder, None, out, doctrees, "html", confoverrides=options, status=None, warning=noted, freshenv=True
        )
        app.build(force_all=True)
    shutil.rmtree(doctrees, ignore_errors=True)
    if noted.lines:
        raise RuntimeError(f"{len(noted.lines)} warnings:\n" + "\n".join(noted.lines[:20]))


def enable_loggers() -> None:
    """Let Sphinx's loggers speak, should another library of this process have silenced all loggers there were."""
    logging.disable(logging.NOTSET)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "sphinx" and isinstance(logger, logging.Logger):
            logger.disabled = False


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


def build(out: Path, chosen: Collection[str] = (), *, executed: bool = False) -> None:
    """Make the whole site in `out`.

    Raises RuntimeError for warnings, dead links and, where the stored outputs are shown, more than LARGEST bytes.
    """
    folder = out.with_name(f"{out.name}_pages")
    links, files = write_pages(folder, chosen, executed=executed)
    render(folder, out, links, files)
    shutil.rmtree(folder)
    shrink(out)
    add_files(out)
    lighten(out)
    if wrong := dead(out):
        raise RuntimeError(f"{len(wrong)} dead links:\n" + "\n".join(wrong[:20]))
    if not executed and size(out) > LARGEST:
        raise RuntimeError(f"the site has {size(out) / 1e6:.1f} MB, expected {LARGEST / 1e6:.0f} at most")


def size(out: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in out.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion site", description=__doc__.splitlines()[0])
    parser.add_argument("--executed", action="store_true", help="show the outputs of the last run, not the stored ones")
    options = parser.parse_args()
    out = BUILD / "site"
    try:
        build(out, executed=options.executed)
    except (RuntimeError, ValueError, FileNotFoundError) as error:
        sys.exit(f"aecompanion site: {error}")
    print(f"{(out / 'index.html').relative_to(ROOT)}: {len(list(out.rglob('*.html')))} pages, {size(out) / 1e6:.1f} MB")
