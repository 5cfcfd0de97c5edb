"""The numbers that the papers themselves report: one register per paper, `HANDLE/reported.yaml`, typed in by people.

An entry names what it is of (`claim: P4.12`, or `display: T3.2` with the `cell` that readers see and the `keys` by
which a table finds it), the `value` and its `unit`, `where` it stands (page, table or figure), the `source` that was
read, who `read_by`, and how `exact` it is: printed, digitised ± something, from an abstract, from slides. `tolerance`
says how far a reproduction may lie; with it the number decides the claim's verdict. An entry without a place or a
source is refused.

`aecompanion missing` lists the displays and claims that wait for a number, and where to look.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import yaml

from aecompanion.report import displays
from aecompanion.report.papers import ROOM, number_of, papers

# numbers that enter tables, for the fingerprint
REGISTERS = sorted(Path(__file__).parents[1].glob("papers/*/reported.yaml"))

NEEDED = ("value", "unit", "where", "source", "read_by", "exact")
OTHERS = ("claim", "display", "cell", "keys", "tolerance")


@dataclasses.dataclass(frozen=True)
class Reported:
    """One number of a paper, see above."""

    value: float
    unit: str
    where: str
    source: str
    read_by: str
    exact: str
    claim: str = ""
    display: str = ""
    cell: str = ""
    keys: dict[str, Any] = dataclasses.field(default_factory=dict)
    tolerance: float | None = None

    def __str__(self) -> str:
        """As a caption quotes it."""
        what = f"{self.cell}: " if self.cell else ""
        unit = f" {self.unit}" if self.unit else ""
        return f"{what}{self.value:g}{unit} ({self.source}, {self.where}; {self.exact})"


@functools.cache
def numbers() -> tuple[Reported, ...]:
    """All entries, paper by paper. Raises ValueError for one that lacks something or is of no display or claim id."""
    found = []
    for paper in papers():
        file = ROOM / paper.handle / "reported.yaml"
        for entry in yaml.safe_load(file.read_text()) or [] if file.is_file() else []:
            found.append(checked(entry, f"{paper.handle}/reported.yaml", paper.number))
    return tuple(found)


def checked(entry: dict[str, Any], where: str, paper: int) -> Reported:
    """An entry of a register, or a ValueError that names it and what it lacks."""
    target = entry.get("claim") or entry.get("display")
    if not target or ("claim" in entry) == ("display" in entry):
        raise ValueError(f"{where}: {entry} needs either a `claim` or a `display`")
    for key in NEEDED:
        if key != "unit" and entry.get(key) in (None, ""):
            raise ValueError(f"{where}: the number of {target} has no `{key}`, expected one")
    if unknown := set(entry) - {*NEEDED, *OTHERS}:
        raise ValueError(f"{where}: the number of {target} has unknown keys {sorted(unknown)}")
    if not isinstance(entry["value"], int | float) or isinstance(entry["value"], bool):
        raise ValueError(f"{where}: the value of {target} is {entry['value']!r}, expected a number")
    if entry.get("display"):
        displays.entry(entry["display"])
    elif not str(target).startswith(f"P{paper}."):
        raise ValueError(f"{where}: {target} is no claim of paper {paper}, expected an id such as P{paper}.01")
    if entry.get("display") and number_of(entry["display"]) != paper:
        raise ValueError(f"{where}: {target} is no display of paper {paper}")
    return Reported(**({"unit": ""} | entry))


def of_claim(id: str) -> Reported | None:
    """The number that decides or accompanies a claim, None where none is known."""
    return next((each for each in numbers() if each.claim == id), None)


def of_display(display: str) -> list[Reported]:
    """The numbers of a display that are known."""
    return [each for each in numbers() if each.display == display]


def value(display: str, **keys: Any) -> float:
    """The value of one cell of a display, NaN where none is known."""
    found = [each.value for each in of_display(display) if each.keys == keys]
    return found[0] if found else float("nan")
