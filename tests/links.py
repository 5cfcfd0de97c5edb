"""Links of Markdown files and of the Markdown cells of notebooks, and which of them lead nowhere.

`links(file)` lists the targets, `broken(file)` those that do not resolve: a local target must exist inside the
checkout, an anchor must be a heading of its file, as GitHub names it. Web addresses are only looked at, not opened.
"""

import json
import re
import unicodedata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aecompanion.pipeline.paths import ROOT

FENCE = re.compile(r"^ {0,3}(```+|~~~+)[^\n]*\n.*?(^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
MATH = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$(?=\S)[^$\n]*?(?<=\S)\$", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
TARGET = re.compile(
    r"\]\(\s*(?:<([^>\n]*)>|((?:[^()\s]|\([^()\s]*\))*))(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"  # [text](target "title")
    r"|^ {0,3}\[[^\]\n]+\]:[ \t]*(\S+)"  # [text]: target
    r"|<(?:a|img|source)\b[^>]*?\s(?:href|src)=[\"']([^\"']*)[\"']"  # HTML
    r"|<(https?://[^>\s]*)>",  # <https://...>
    re.MULTILINE,
)
KEPT = {"L", "M", "Nd", "Nl", "Pc"}  # what GitHub keeps of a heading, beside hyphens and spaces


def prose(file: Path) -> str:
    """The Markdown of a file, or of a notebook's Markdown cells, without fenced code and comments."""
    text = file.read_text()
    if file.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return COMMENT.sub("", FENCE.sub("", text))


def headings(file: Path) -> list[str]:
    return HEADING.findall(prose(file))


def anchor(heading: str) -> str:
    """GitHub's name of a heading: small letters, no punctuation, hyphens for spaces."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)|<[^>]+>", r"\1", heading).strip()
    kept = (c for c in plain.lower() if c in "- " or {unicodedata.category(c), unicodedata.category(c)[0]} & KEPT)
    return "".join(kept).replace(" ", "-")


def anchors(file: Path) -> set[str]:
    """All anchors of a file: its headings, numbered where they repeat, and ids in its HTML. Notebooks keep capitals and
    punctuation and only replace spaces.
    """
    names, seen = set(), {}
    for heading in headings(file):
        name = heading.strip().replace(" ", "-") if file.suffix == ".ipynb" else anchor(heading)
        names.add(f"{name}-{seen[name]}" if name in seen else name)
        seen[name] = seen.get(name, 0) + 1
    return names | set(re.findall(r"<[a-z][^>]*?\s(?:id|name)=[\"']([^\"']+)[\"']", prose(file)))


def links(file: Path) -> list[str]:
    """The targets of all links and pictures of a file, in their order."""
    text = MATH.sub("", CODE.sub("", prose(file)))
    return [next((group for group in match.groups() if group is not None), "") for match in TARGET.finditer(text)]


def broken(file: Path, root: Path = ROOT) -> list[str]:
    """The targets of a file that do not resolve, each with the reason."""
    return [f"{link}: {why}" for link in links(file) if (why := _wrong(link, file, root))]


def _wrong(link: str, file: Path, root: Path) -> str | None:
    try:
        parts = urlsplit(link)
    except ValueError as error:
        return str(error)
    if parts.scheme == "mailto" and "@" in parts.path:
        return None
    if parts.scheme or parts.netloc:
        known = parts.scheme in ("http", "https") and "." in (parts.hostname or "").strip(".")
        return None if known else "no web address"
    if not link or parts.path.startswith("/"):
        return "neither a web address nor a relative path"
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file.resolve()
    if not target.is_relative_to(root.resolve()):
        return "outside of the checkout"
    if not target.exists():
        return "no such file"
    if parts.fragment:
        if target.suffix not in (".md", ".ipynb"):
            return "an anchor in what is no page"
        if unquote(parts.fragment) not in anchors(target):
            return "no such heading"
    return None
