"""The lines below each notebook's title: its papers, what it reads, what reads it, where its displays are shown, and of
which size its stored outputs are.

`aecompanion headers` writes them into the first cell of every notebook, with `--check` it names those out of date. All
follows from dvc.yaml (a stage comes before another that reads what it writes) and from the papers' folders (a stage
serves the papers whose displays it, or one after it, makes). Prose is in no fingerprint, so no stage becomes stale.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import nbformat
import yaml

from aecompanion.pipeline.notebooks import sources
from aecompanion.pipeline.paths import ROOT
from aecompanion.report import displays
from aecompanion.report.gallery import anchor
from aecompanion.report.pages import insert, replace
from aecompanion.report.papers import number_of, paper

MARKS = "<!-- header: written by `aecompanion headers`, do not edit -->", "<!-- end of header -->"
START, RESULTS = "00_start_here", ROOT / "results" / "README.md"
MANY = 12  # notebooks from which they are counted, not listed


class Chain:
    """Who reads what of whom.

    Args:
        stages: those of dvc.yaml, name → deps and outs.
        notebooks: the stages that have one, name → file, in the order in which they are named.
        made: display → the notebook that makes it.
    """

    def __init__(self, stages: Mapping[str, dict], notebooks: Mapping[str, Path], made: Mapping[str, str]):
        self.notebooks, self.made = notebooks, made
        self.reads = {name: names(stages[name].get("deps", [])) for name in notebooks}
        self.writes = {name: names(stages[name].get("outs", [])) for name in notebooks}

    def before(self, name: str) -> list[str]:
        """The stages that write what it reads."""
        return [each for each in self.notebooks if each != name and meet(self.reads[name], self.writes[each])]

    def after(self, name: str) -> list[str]:
        """The stages that read what it writes."""
        return [each for each in self.notebooks if each != name and meet(self.reads[each], self.writes[name])]

    def displays(self, name: str) -> list[str]:
        """The displays that it makes."""
        return [display for display, notebook in self.made.items() if notebook == name]

    def papers(self, name: str) -> list[int]:
        """The papers that it serves: whose displays it or a stage after it makes, or else whose displays it reads."""
        onward = [name]
        for each in onward:  # grows
            onward += [stage for stage in self.after(each) if stage not in onward]
        return self.numbers(onward) or self.numbers(self.before(name))

    def numbers(self, stages: list[str]) -> list[int]:
        """The papers of the displays that these stages make."""
        return sorted({number_of(display) for each in stages for display in self.displays(each)})


def names(entries: list) -> list[str]:
    """Paths of deps or outs, which dvc.yaml writes with or without options."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def meet(read: list[str], written: list[str]) -> bool:
    """Whether one of these paths is one of those, or lies in it."""
    pairs = ((PurePosixPath(a), PurePosixPath(b)) for a in read for b in written)
    return any(a == b or a in b.parents or b in a.parents for a, b in pairs)


def header(name: str, chain: Chain) -> str:
    """The three lines of a notebook, as a list in markdown; the last says of which size outputs and findings are."""
    here = chain.notebooks[name].parent

    def link(text: str, file: Path, place: str = "") -> str:
        return f"[{text}]({Path(os.path.relpath(file, here)).as_posix()}{place})"

    def listed(stages: list[str]) -> str:
        links = ", ".join(link(each, chain.notebooks[each]) for each in stages)
        return links if len(stages) < MANY else f"{len(stages)} notebooks"

    served = [paper(number) for number in chain.papers(name)]
    about = [
        f"Paper {each.number}: {f'[{each.name}]({each.link})' if each.links else each.name}"
        f" ({link('what is known of it', ROOT / 'docs' / 'papers' / f'{each.handle}.md')})"
        for each in served
    ]
    before = [listed(chain.before(name)), *(f"`{file}`" for file in chain.reads[name] if file.startswith("data/"))]
    after = listed(chain.after(name))
    places = [f"Reads: {', '.join(filter(None, before))}", *([f"Read by: {after}"] if after else [])]
    for each in served:
        if count := sum(number_of(display) == each.number for display in chain.displays(name)):
            shown = f"{count} display{'' if count == 1 else 's'} of paper {each.number}"
            places.append(f"Makes: {link(shown, RESULTS, '#' + anchor(f'Paper {each.number} · {each.name}'))}")
    if any(file == "build/results" for file in chain.writes[name]):
        places.append(f"Makes: {link('all results', RESULTS)}")
    if name != START:
        places.append(link("start page", chain.notebooks[START]))
    size = (
        "Outputs stored here are of the small tutorial size; numbers in the text that are told as findings are of the "
        f"default size, whose tables are in {link('results', RESULTS)}"
    )
    return f"* {'; '.join(about) or 'Of no single paper'}\n* {' · '.join(places)}\n* {size}"


def headed(text: str, block: str, name: str) -> str:
    """The first cell with this header below its title. Raises ValueError without a title, for marks out of order."""
    title, _, rest = text.partition("\n")
    if not title.startswith("# "):
        raise ValueError(f"{name}: the first cell does not begin with a title, `# ...`")
    if MARKS[0] not in rest and MARKS[1] not in rest:
        text = f"{title}\n\n{MARKS[0]}\n{MARKS[1]}\n\n{rest.lstrip()}"
    return insert(text, block, "header", name)


def current() -> Chain:
    """The chain of this project."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    made = {display: entry["notebook"] for display, entry in displays.register().items()}
    return Chain(stages, {file.stem: file for file in sources()}, made)


def write(chain: Chain, *, check: bool = False) -> list[str]:
    """Bring the headers in step and return the notebooks that were not; `check` only looks."""
    stale = []
    for name, file in chain.notebooks.items():
        notebook = nbformat.read(file, as_version=4)
        text = headed(notebook.cells[0].source, header(name, chain), file.name)
        if text != notebook.cells[0].source:
            stale.append(name)
            notebook.cells[0].source = text
            if not check:
                replace(file, nbformat.writes(notebook) + "\n")
    return stale


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the header of every notebook below notebooks/.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if one is out of date")
    options = parser.parse_args()
    try:
        stale = write(current(), check=options.check)
    except (ValueError, KeyError) as error:
        sys.exit(f"aecompanion headers: {error}")
    if options.check and stale:
        sys.exit(f"aecompanion headers: out of date in {', '.join(stale)}; run `aecompanion headers`")
    print(f"{len(stale)} headers {'out of date' if options.check else 'written'}")
