"""From a display to its line of code: the notebook, the cell that saves it and the function that draws or tabulates it.

Read from the notebook's syntax: in the cell that calls `save("F3.6", figure, ...)` the second argument is followed back
to the call of a function of this library that made it. A display that its notebook draws by itself has no function.
"""

import ast
import dataclasses
import functools
import re
from collections.abc import Iterator

import nbformat

from aecompanion.pipeline.notebooks import locate
from aecompanion.pipeline.paths import ROOT
from aecompanion.report import displays

PACKAGE = "aecompanion"
COMMON = re.compile(rf"{PACKAGE}\.(pipeline\.|report\.(figures|displays|tables|cubes)\.)")  # make none alone


@dataclasses.dataclass(frozen=True)
class Made:
    """notebook: its path in the tree; cell: its place among all cells, counted from 0; function: dotted name ("" where
    the cell itself draws); file and line: where that function stands.
    """

    notebook: str
    cell: int
    function: str = ""
    file: str = ""
    line: int = 0


@functools.cache
def cells(stem: str) -> tuple[str, list[tuple[int, ast.Module]]]:
    """A notebook's path, and the place and syntax of its code cells."""
    path = locate(stem)
    parsed = [
        (place, ast.parse(cell.source))
        for place, cell in enumerate(nbformat.read(path, as_version=4).cells)
        if cell.cell_type == "code"
    ]
    return path.relative_to(ROOT).as_posix(), parsed


@functools.cache
def made(display: str) -> Made:
    """Where a display comes from. Raises ValueError if its notebook has no cell that names it."""
    notebook, parsed = cells(displays.entry(display)["notebook"])
    names = dict(imports([tree for _, tree in parsed]))
    for place, tree in parsed:
        for call in calls(tree):
            if saves(call, display):
                function = maker(call, place, parsed, names)
                return Made(notebook, place, *(where(function) if function else ()))
    raise ValueError(f"{notebook} has no cell that saves {display}")


def imports(trees: list[ast.Module]) -> Iterator[tuple[str, str]]:
    """Name in the notebook → dotted name in the library."""
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """All calls, outer ones first."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def saves(call: ast.Call, display: str) -> bool:
    """Whether a call is `something.save("F3.6", ...)` of this display."""
    named = isinstance(call.func, ast.Attribute) and call.func.attr == "save"
    first = call.args[0] if call.args else None
    return named and isinstance(first, ast.Constant) and first.value == display


def maker(save: ast.Call, place: int, parsed: list, names: dict[str, str]) -> str:
    """The dotted name of the library's function that made the second argument of `save`, "" if none did."""
    wanted: list[ast.AST] = list(save.args[1:])
    seen: set[str] = set()
    while wanted:
        node = wanted.pop(0)
        for call in calls(node):
            name = dotted(call.func, names)
            if name.startswith((f"{PACKAGE}.papers.", f"{PACKAGE}.report.")) and not COMMON.match(name):
                return name
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each.id not in names and each.id not in seen:
                seen.add(each.id)
                wanted += assigned(each.id, place, parsed)
    return ""


def assigned(name: str, place: int, parsed: list) -> list[ast.AST]:
    """What a name was given, in this cell or else in the last one before that does."""
    for at, tree in reversed(parsed):
        if at > place:
            continue
        found = [value for node in ast.walk(tree) if (value := given(node, name)) is not None]
        if found:
            return found
    return []


def given(node: ast.AST, name: str) -> ast.AST | None:
    """The value that an assignment, a loop or a `with` gives to a name, or the body of the function of that name."""
    if isinstance(node, ast.FunctionDef) and node.name == name:
        return node
    pairs: list[tuple[ast.AST, ast.AST]] = []
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, ast.For):
        pairs = [(node.target, node.iter)]
    elif isinstance(node, ast.With):
        pairs = [(item.optional_vars, node) for item in node.items if item.optional_vars]
    for target, value in pairs:
        if any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(target)):
            return value
    return None


def dotted(function: ast.AST, names: dict[str, str]) -> str:
    """The dotted name behind `draw.reverse` or `reverse`, "" for what the notebook does not import."""
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.insert(0, function.attr)
        function = function.value
    if not isinstance(function, ast.Name) or function.id not in names:
        return ""
    return ".".join([names[function.id], *parts])


@functools.cache
def where(function: str) -> tuple[str, str, int]:
    """Dotted name without the package, file in the tree, and line of a function. Raises ValueError without one."""
    module, _, name = function.rpartition(".")
    file = ROOT / "lib" / f"{module.replace('.', '/')}.py"
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return function.removeprefix(f"{PACKAGE}."), file.relative_to(ROOT).as_posix(), node.lineno
    raise ValueError(f"{file.relative_to(ROOT)} has no function {name}")
