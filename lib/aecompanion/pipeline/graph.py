"""The pipeline as mermaid graphs, one per paper: `aecompanion dag [PAPER ...]`.

A paper's graph has the stages that make its displays and everything they read, transitively, by the outputs and
dependencies in dvc.yaml; stages that make a display of the paper are drawn rounded. `dvc dag --mermaid` draws the whole
pipeline at once.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from aecompanion.pipeline.paths import ROOT
from aecompanion.report import displays
from aecompanion.report.papers import papers

LEFT_OUT = ("raw", "code", "claims_report")  # before or after every stage: they would hide the rest


def edges(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Stage → the stages whose outputs it reads, in the order of `stages`."""

    def places(stage: str, kind: str) -> list[PurePosixPath]:
        entries = stages[stage].get(kind, [])
        return [PurePosixPath(each if isinstance(each, str) else next(iter(each))) for each in entries]

    made = {path: stage for stage in stages for path in places(stage, "outs")}
    found = {}
    for stage in stages:
        above = {made.get(path) for dep in places(stage, "deps") for path in (dep, *dep.parents)}
        found[stage] = [each for each in stages if each in above and each != stage]
    return found


def mermaid(names: Iterable[str], before: Mapping[str, list[str]]) -> str:
    """The graph of these stages and all that they read."""
    ends, kept = set(names), set()
    queue = list(ends)
    while queue:
        stage = queue.pop()
        if stage not in kept and stage not in LEFT_OUT:
            kept.add(stage)
            queue += before[stage]
    order = [stage for stage in before if stage in kept]
    lines = [f"    {stage}({stage})" if stage in ends else f"    {stage}[{stage}]" for stage in order]
    lines += [f"    {each} --> {stage}" for stage in order for each in before[stage] if each in kept]
    return "\n".join(["flowchart LR", *lines])


def graphs(numbers: Iterable[int] = ()) -> str:
    """Headings and fenced mermaid blocks of these papers, by default all. Raises ValueError for an unknown one."""
    wanted, known = list(numbers), [paper.number for paper in papers()]
    if unknown := sorted(set(wanted) - set(known)):
        raise ValueError(f"no paper {unknown[0]}, expected some of {', '.join(map(str, known))}")
    before = edges(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    blocks = []
    for paper in papers():
        if not wanted or paper.number in wanted:
            makers = {displays.entry(display)["notebook"] for display in paper.displays}
            blocks.append(f"## Paper {paper.number} · {paper.name}\n\n```mermaid\n{mermaid(makers, before)}\n```")
    return "\n\n".join(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion dag", description="The pipeline per paper as mermaid graphs.")
    parser.add_argument("paper", nargs="*", type=int, help="its number; by default all")
    try:
        print(graphs(parser.parse_args().paper))
    except ValueError as error:
        sys.exit(f"aecompanion dag: {error}")
