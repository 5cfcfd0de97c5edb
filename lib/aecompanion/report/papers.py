"""The papers: a folder each in the room `papers`, found by its `paper.yaml`; nothing else lists them.

    HANDLE/paper.yaml     number, title, authors, venue, links, question, first notebook, tables, notes, displays
    HANDLE/reported.yaml  the numbers that the paper reports (`report.reported`)
    HANDLE/tables.py, figures.py, claims.py   what makes its tables and figures, and what its claims are tested by
    HANDLE/page.py        a page of docs/ made of its published tables, where there is one (`report.pages`)

The folder's name is the paper's handle. A paper more is a folder more, with its notebooks and stages.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from aecompanion.pipeline import paths

ROOM = Path(__file__).parents[1] / "papers"
KEYS = (
    "number",
    "title",
    "authors",
    "venue",
    "about",
    "links",
    "question",
    "answer",
    "first",
    "tables",
    "notes",
    "displays",
)


@dataclasses.dataclass(frozen=True)
class Paper:
    """One paper. tables: files below build/ by the names that its estimators use; displays: by id; about: its subject
    in a few words; answer: what came out, in one sentence without numbers; first: the notebook to begin with; links:
    name → address.
    """

    handle: str
    number: int
    title: str
    authors: str
    venue: str
    about: str
    links: dict[str, str]
    question: str
    answer: str
    first: str
    tables: dict[str, str]
    notes: str
    displays: dict[str, dict[str, Any]]

    @property
    def name(self) -> str:
        """ "Yang et al., ICIP 2019: causal effect of a network's features"."""
        first, *others = self.authors.replace(" and ", ", ").split(", ")
        return f"{first}{' et al.' if len(others) > 1 else ''}, {self.venue}: {self.about}"

    @property
    def link(self) -> str:
        """The address to read it at."""
        return next(iter(self.links.values()))


@functools.cache
def papers() -> tuple[Paper, ...]:
    """All papers by number. Raises ValueError for a description that lacks a key, has an unknown one, or holds a
    display of another paper's number.
    """
    found = []
    for file in sorted(ROOM.glob("*/paper.yaml")):
        where, facts = f"{file.parent.name}/paper.yaml", yaml.safe_load(file.read_text())
        if set(facts) != set(KEYS):
            raise ValueError(f"{where}: keys {sorted(set(facts) ^ set(KEYS))} are missing or unknown, expected {KEYS}")
        paper = Paper(file.parent.name, **facts)
        for display in paper.displays:
            if number_of(display) != paper.number:
                raise ValueError(f"{where}: display {display!r} is not of paper {paper.number}")
        found.append(paper)
    return tuple(sorted(found, key=lambda paper: paper.number))


def number_of(display: str) -> int:
    """The number of the paper that a display belongs to: F5.4, T5.1 and X5.2 are of paper 5. Raises ValueError for an
    id of another form.
    """
    number, dot, _ = display[1:].partition(".")
    if display[:1] not in "FTX" or not number.isdigit() or not dot:
        raise ValueError(f"display {display!r} has no paper, expected F, T or X and two numbers such as F5.4")
    return int(number)


def paper(number: int) -> Paper:
    """The paper with this number. Raises ValueError where no folder describes one."""
    for each in papers():
        if each.number == number:
            return each
    raise ValueError(f"no paper {number}, expected one of {[each.number for each in papers()]}")


class Tables(Mapping[str, pd.DataFrame]):
    """A paper's saved tidy tables by name, each read when it is first asked for."""

    def __init__(self, paper: Paper):
        self.files = paper.tables
        self.read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self.read:
            self.read[name] = pd.read_parquet(paths.find(self.files[name]))
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)
