"""What Python code is apart from how it is worded: a hash of its syntax without docstrings, comments and layout."""

import ast
import hashlib
import json
from typing import Any

LOOKS = ("colour", "line", "marker")  # arguments that only drawing reads


def syntax(source: str, *, looks: bool = True) -> str:
    """Hash of Python source without docstrings, comments and layout; the same on every version of Python."""
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and not looks:
            node.keywords = [each for each in node.keywords if each.arg not in LOOKS]
    return digest(json.dumps(tree(module), ensure_ascii=False).encode())


def tree(node: Any) -> Any:
    """A syntax tree as nested lists. Empty fields are left out: later versions of Python have more of them."""
    if isinstance(node, list):
        return [tree(each) for each in node]
    if isinstance(node, ast.Constant):
        return ["Constant", repr(node.value)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if name != "ctx" and value not in (None, [])}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = without_docstring(node.body)
    return [type(node).__name__, *([name, tree(value)] for name, value in fields.items())]


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    prose = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if prose else body


def digest(content: bytes) -> str:
    """Sixteen hexadecimal digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]
