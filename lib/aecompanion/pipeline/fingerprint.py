"""What each notebook's code is: one small JSON per notebook, the only thing about code that its stage depends on.

`aecompanion code` is the pipeline's first stage. For every notebook it writes `build/code/NAME.json`:

    notebook   hash of the syntax of its code cells
    modules    every module of the library that they reach, transitively, with the hash of its syntax; also through
               "package.module:function" strings, in code and in the notebook's section of params.yaml
    files      data that these modules read from beside themselves, by content
    displays   the displays that it saves, with their file names
    packages   the pinned version of every package that these modules import

A hash of syntax leaves out docstrings, comments and layout. So prose and formatting make no stage stale, and where code
changed the file says which module it was; the same is printed when it is written. For a notebook that reaches no
drawing module (DRAWING) it leaves out colours, lines and markers in the tables of methods, too.
"""

import ast
import functools
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grimp
import nbformat
import yaml

from aecompanion.pipeline.notebooks import code_of, sources
from aecompanion.pipeline.paths import BUILD, ROOT
from aecompanion.pipeline.syntax import digest, syntax
from aecompanion.report import displays

CODE = BUILD / "code"
PACKAGE = "aecompanion"
PINS = ROOT / "requirements.txt"
NAMED = re.compile(r"^(aecompanion(?:\.\w+)+):\w+$")  # "package.module:function"
SAVED = re.compile(r"""(?:figures|tables|displays)\.save\(\s*["']([A-Z][\w.]*)["']""")
DRAWING = "aecompanion.report.figures"  # what every module that draws imports
LOADED = {  # modules that import others by name: what their users reach through them
    "aecompanion.report.claims": r"aecompanion\.papers\.\w+\.claims\w*",
    "aecompanion.report.pages": r"aecompanion\.papers\.\w+\.tables",
}
HARMLESS = {"aecompanion.report.claims.claim"}  # who takes no more than this from such a module loads nothing
DISTRIBUTIONS = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml"}


# ---- what some source reaches


def imported(source: str) -> Iterator[str]:
    """Dotted names that Python source imports; `from a import b` as a.b, and factories that it names ("....a:make")."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and NAMED.match(node.value):
            yield node.value.partition(":")[0]


@functools.cache
def graph() -> grimp.ImportGraph:
    """Who imports whom in the library, with the modules that are only named in strings."""
    found = grimp.build_graph(PACKAGE, cache_dir=None)
    for module in sorted(found.modules):
        for name in imports_of(module):
            inside = within(name, found)
            if inside and inside != module:
                found.add_import(importer=module, imported=inside)
    for module in sorted(found.modules):
        for name in loaded(imports_of(module), found) - {module}:
            found.add_import(importer=module, imported=name)
    return found


def loaded(names: Iterable[str], known: grimp.ImportGraph) -> set[str]:
    """The modules that a user of these dotted names may have imported by name (LOADED)."""
    used = {within(name, known) for name in set(names) - HARMLESS}
    return {each for loader in used & set(LOADED) for each in known.modules if re.fullmatch(LOADED[loader], each)}


def within(name: str, known: grimp.ImportGraph) -> str | None:
    """The module of the library that a dotted name means: itself, or what it is an attribute of; None for others."""
    while name and name not in known.modules:
        name = name.rpartition(".")[0]
    return name if name != PACKAGE else None


def file_of(module: str) -> Path:
    """Its source file."""
    path = ROOT / "lib" / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def imports_of(module: str) -> frozenset[str]:
    """The dotted names that it imports."""
    return frozenset(imported(file_of(module).read_text()))


@functools.cache
def syntax_of(module: str, *, looks: bool = True) -> str:
    """The hash of its syntax."""
    return syntax(file_of(module).read_text(), looks=looks)


@functools.cache
def upstream(module: str) -> frozenset[str]:
    """Everything in the library that it imports, transitively."""
    return frozenset(graph().find_upstream_modules(module))


def reached(names: set[str]) -> list[str]:
    """The modules of the library with these names, what they import, and packages whose own code runs on the way."""
    found = {module for name in names if (module := within(name, graph()))} | loaded(names, graph())
    found |= {module for each in found for module in upstream(each)}
    parents = {each.rpartition(".")[0] for each in found} - {PACKAGE}
    return sorted(found | {each for each in parents if syntax_of(each) != syntax("")})


def beside(module: str) -> Iterator[Path]:
    """Data files that a module reads from its own folder or one above: `Path(__file__).with_name(...)` or
    `.parents[n].glob(...)`.
    """
    file = file_of(module)
    for name in re.findall(r"""Path\(__file__\)\.with_name\(["']([^"']+)""", file.read_text()):
        yield file.with_name(name)
    for level, pattern in re.findall(r"""Path\(__file__\)\.parents\[(\d)\]\.glob\(["']([^"']+)""", file.read_text()):
        yield from sorted(file.parents[int(level)].glob(pattern))


@functools.cache
def content(file: Path) -> str:
    """Hash of what a data file says: YAML without comments and layout, and no paper's answer; others by their bytes."""
    if file.suffix in (".yaml", ".yml"):
        said = yaml.safe_load(file.read_text())
        if file.name == "paper.yaml":  # the answer is repeated by pages outside the pipeline only
            said.pop("answer", None)
        return digest(json.dumps(said, ensure_ascii=False, default=str).encode())
    return digest(file.read_bytes())


@functools.cache
def pins() -> dict[str, str]:
    """The pinned version of every package of requirements.txt (several, where it depends on the platform)."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)", PINS.read_text()):
        known = found.get(normal(name))
        found[normal(name)] = f"{known} or {version}" if known else version
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(names: set[str], where: str) -> dict[str, str]:
    """Pinned versions of the distributions behind imported names. Raises ValueError for one that is not pinned."""
    found = {}
    for name in sorted({each.partition(".")[0] for each in names} - {PACKAGE} - sys.stdlib_module_names):
        distribution = normal(DISTRIBUTIONS.get(name, name))
        if distribution not in pins():
            raise ValueError(f"{where} imports {name}, which requirements.txt does not pin: add it to requirements.in")
        found[distribution] = pins()[distribution]
    return dict(sorted(found.items()))


# ---- notebooks


def named_in(values: Any) -> Iterator[str]:
    """Modules that parameters name as "package.module:function"."""
    if isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from named_in(value)
    elif isinstance(values, str) and (match := NAMED.match(values)):
        yield match[1]


@functools.cache
def file_names() -> dict[str, str]:
    """The file name of every registered display, without its ending."""
    return {display: f"{display}_{entry['slug']}" for display, entry in displays.register().items()}


def fingerprint(notebook: Path, section: Any = None) -> dict[str, Any]:
    """What the code of one notebook is, see above; `section` holds its parameters in params.yaml."""
    code = without_types(code_of(nbformat.read(notebook, as_version=4)))
    names = {*imported(code), *named_in(section)}
    modules = reached(names)
    every = names.union(*map(imports_of, modules))
    files = sorted({file for module in modules for file in beside(module)})
    return {
        "notebook": syntax(code),
        "displays": {each: file_names().get(each) for each in sorted(set(SAVED.findall(code)))},
        "modules": {module: syntax_of(module, looks=DRAWING in modules) for module in modules},
        "files": {file.relative_to(ROOT).as_posix(): content(file) for file in files},
        "packages": packages(every, notebook.name),
    }


def without_types(code: str) -> str:
    """Code without the annotations of its top level: a parameter's bounds are no part of what it computes."""
    module = ast.parse(code)
    for place, node in enumerate(module.body):
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            module.body[place] = ast.Assign([node.target], node.value, lineno=node.lineno)
    return ast.unparse(module)


def changes(before: dict[str, dict], after: dict[str, dict]) -> dict[str, list[str]]:
    """What differs between two sets of fingerprints, and which stages that concerns."""
    found: dict[str, list[str]] = {}
    for stage in sorted(set(before) & set(after)):
        for kind, facts in after[stage].items():
            old = before[stage].get(kind, {})
            if kind == "notebook":
                facts, old = {f"{stage}.ipynb": facts}, {f"{stage}.ipynb": old}
            for name in sorted({*facts, *old}):
                if facts.get(name) != old.get(name):
                    found.setdefault(name, []).append(stage)
    return found


def write(folder: Path = CODE) -> dict[str, list[str]]:
    """Write the fingerprint of every notebook and return what changed since the last ones in this folder."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) or {}
    after = {notebook.stem: fingerprint(notebook, params.get(notebook.stem)) for notebook in sources()}
    before = {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for stage, facts in after.items():
        (folder / f"{stage}.json").write_text(json.dumps(facts, indent=1) + "\n")
    return changes(before, after)


def main() -> None:
    try:
        for name, stages in write().items():
            several = f"{', '.join(stages[:3])} and {len(stages) - 3} more" if len(stages) > 3 else ", ".join(stages)
            print(f"{name} changed: stale is what it makes in {several}")
    except (ValueError, SyntaxError) as error:
        sys.exit(f"aecompanion code: {error}")


if __name__ == "__main__":
    main()
