"""What Sphinx leaves to be done: source pages, copies of linked files, smaller pictures and pages, and a look at every
link.
"""

import io
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image

from aecompanion.pipeline.paths import ROOT
from aecompanion.site import reference, source_pages
from aecompanion.site.tree import put

UNUSED = ["*.map", "*macros.html"]  # what themes leave for those who develop them
HEAVY = 8_000  # bytes from which a picture is written as WebP
ICONS = "_static/scripts/fontawesome.js"  # of the theme: two thousand, of which pages show a dozen
ICON = re.compile(  # name, size, other names, code point, path
    r'(?:"([\w-]+)"|([a-zA-Z]\w*)):\[\d+,\d+,\[((?:"?[\w-]+"?,?)*)\],"[0-9a-f]+",(?:"[^"]*"|\["[^"]*","[^"]*"\])\],?'
)
BLACK = re.compile(r'<span class="(?:n|nn|p|w)">([^<]*)</span>')  # names, punctuation and blanks of highlighted code
VERBATIM = re.compile(r"(<pre\b.*?</pre>|<script\b.*?</script>|<textarea\b.*?</textarea>)", re.DOTALL)
LOSSY = 0.85  # of the size without loss: what a WebP with loss may have at most (photographs do, drawings do not)


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


def lighten(out: Path) -> None:
    """Leave out what no reader sees: icons and languages of the theme that no page uses, colours of code that are the
    text's, and the indentation of HTML.
    """
    shutil.rmtree(out / "_static" / "locales", ignore_errors=True)
    scripts = [file for file in (out / "_static").rglob("*.js") if file != out / ICONS]
    shown = set()
    for file in [*out.rglob("*.html"), *scripts]:
        text = file.read_text()
        shown |= set(re.findall(r"\bfa-([a-z0-9-]+)", text))
        if file.suffix == ".html":
            parts = VERBATIM.split(BLACK.sub(r"\1", text))
            file.write_text("".join(part if at % 2 else re.sub(r"\n\s+", "\n", part) for at, part in enumerate(parts)))
    if (icons := out / ICONS).exists():
        icons.write_text(ICON.sub(lambda icon: icon[0] if shown & names(icon) else "", icons.read_text()))


def names(icon: re.Match) -> set[str]:
    """Under which an icon of the theme's script is known."""
    return {icon[1] or icon[2], *re.findall(r"[\w-]+", icon[3])}


def smaller(picture: Image.Image, *, exact: bool) -> bytes:
    """A picture as WebP; `exact`: without loss, unless loss saves enough."""
    lossy, lossless = io.BytesIO(), io.BytesIO()
    picture.save(lossy, "webp", quality=75, method=4)
    if exact:
        picture.save(lossless, "webp", lossless=True, method=4, quality=80)
    saved = not exact or lossy.tell() < LOSSY * lossless.tell()
    return (lossy if saved else lossless).getvalue()


def shrink(out: Path) -> None:
    """Write heavy pictures as WebP, PNGs without loss unless that saves much, and name them so in the pages."""
    renamed = {}
    for file in sorted([*(out / "_images").glob("*.png"), *(out / "_images").glob("*.jpg")]):
        if file.stat().st_size < HEAVY:
            continue
        written = smaller(Image.open(file).convert("RGB"), exact=file.suffix == ".png")
        if len(written) < file.stat().st_size:
            renamed[file.name] = f"{file.stem}.webp"
            file.with_suffix(".webp").write_bytes(written)
            file.unlink()
    known = re.compile(f"_images/({'|'.join(map(re.escape, renamed))})")
    for page in out.rglob("*.html") if renamed else ():
        text = page.read_text()
        if "_images/" in text:
            page.write_text(known.sub(lambda found: f"_images/{renamed[found[1]]}", text))


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
