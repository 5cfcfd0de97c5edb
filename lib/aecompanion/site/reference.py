"""The library's reference, a page per room: every module's functions and classes with signature and docstring, read
from the source without importing it.
"""

import ast
import textwrap
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

from aecompanion.pipeline.paths import ROOT

PACKAGE = ROOT / "lib" / "aecompanion"
Definition = ast.FunctionDef | ast.ClassDef


def rooms() -> dict[str, list[Path]]:
    """The modules of every room by its name, and those of the package itself under `aecompanion`."""
    found = {"aecompanion": sorted(PACKAGE.glob("*.py"))}
    for folder in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        found[folder.name] = sorted(folder.rglob("*.py"))
    return found


def dotted(file: Path) -> str:
    """The dotted name of a module."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place(function: str) -> str:
    """Page and anchor of a function or class by its dotted name."""
    parts = function.split(".")
    room = parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else "aecompanion"
    return f"reference/{room}.html#{function}"


def signature(node: Definition, inside: str = "") -> str:
    """`name(arguments) -> result`, without the body."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(map(ast.unparse, node.bases))
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{inside}{node.name}({ast.unparse(node.args)}){result}"


def documented(tree: ast.Module) -> Iterator[tuple[Definition, list[ast.FunctionDef]]]:
    """What other modules may use: definitions without a leading underscore, each with its own public methods."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            body = node.body if isinstance(node, ast.ClassDef) else []
            yield node, [each for each in body if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")]


def prose(text: str | None) -> str:
    """A docstring as it is laid out: paragraphs as text, indented parts (formulas, lists, arguments) line by line."""
    blocks = []
    for block in (text or "").split("\n\n"):
        lines = block.splitlines()
        loose = len(lines) < 2 or all(line and not line.startswith((" ", "*", "-")) for line in lines)
        if loose and not block.startswith(" "):
            blocks.append(f"<p>{escape(' '.join(lines))}</p>")
        else:
            blocks.append(f"<pre>{escape(textwrap.dedent(block))}</pre>")
    return "\n".join(blocks)


def page(room: str, files: list[Path], link: Callable[[Path, int], str]) -> str:
    """The page of one room in Markdown.

    Args:
        link: file and line → address of its source.
    """
    lines = [f"# {room}", ""]
    for file in files:
        tree, name = ast.parse(file.read_text()), dotted(file)
        lines += ["```{raw} html", f'<span id="{name}" class="place"></span>', "```", "", f"## {name}", ""]
        lines += ["```{raw} html", f'<p><a href="{link(file, 1)}">source</a></p>', prose(ast.get_docstring(tree))]
        for node, methods in documented(tree):
            lines.append(definition(node, name, link(file, node.lineno)))
            lines += [definition(each, f"{name}.{node.name}", link(file, each.lineno), ".") for each in methods]
        lines += ["```", ""]
    return "\n".join(lines)


def definition(node: Definition, owner: str, address: str, inside: str = "") -> str:
    """Signature, link to the source and docstring of one function, class or method."""
    kind = "method" if inside else "definition"
    text = escape(signature(node, inside))
    said = prose(ast.get_docstring(node))
    return (
        f'<div class="{kind}" id="{owner}.{node.name}"><p class="signature"><code>{text}</code> '
        f'<a href="{address}" aria-label="source of {node.name}">source</a></p>\n{said}</div>'
    )
