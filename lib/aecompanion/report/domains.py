"""The seven domains of images in words that no file says: data/cards/DOMAIN.yaml, a file per domain.

title, summary        its name, and what its images are
kind                  read, composed, generated or drawn (KINDS)
sets                  prepared sets below build/ → in which form they hold the images ("" for the only one)
raw                   patterns of the raw files in data/manifest.yaml that it is made of
captions              regular expression of the source line of its embedded data → patterns of the raw files behind
                      it (null: those of `raw`); `{name}` there is the expression's group of that name
attribution           whom to name, as far as packages say
use, limits           what the data are for, and what they cannot bear
networks              folder (or file) of weights below build/ → name of a network → what it was trained on
                      ("*": every name)
network_use, network_limits   the same of the networks that are trained on it, or read on it
"""

import dataclasses
import functools
import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import yaml

from aecompanion.data.sources import Source, manifest

FILES = sorted(Path(__file__).parents[1].glob("data/cards/*.yaml"))
KINDS = {
    "read": "**Read** as shipped: nothing is composed or generated.",
    "composed": "**Composed** here from the raw files below.",
    "generated": "**Generated** here from the raw files below.",
    "drawn": "**Drawn** by code; only outlines and tables are real.",
}
MAY_BE_EMPTY = ("networks",)


@dataclasses.dataclass(frozen=True)
class Domain:
    """One domain; its fields are the keys above, `name` the file's."""

    name: str
    title: str
    kind: str
    summary: str
    sets: dict[str, str]
    raw: list[str]
    captions: dict[str, list[str] | None]
    attribution: str
    use: str
    limits: str
    networks: dict[str, dict[str, str]]
    network_use: str
    network_limits: str

    def files(self, line: str | None = None) -> list[Source]:
        """The raw files behind it, or behind a source line of its embedded data; [] for a line that is not of them."""
        if line is None:
            return matching(self.raw)
        for pattern, named in self.captions.items():
            if found := re.search(pattern, line):
                return matching(self.raw if named is None else [each.format(**found.groupdict()) for each in named])
        return []

    def regime(self, place: str, network: str) -> str:
        """What a network of a folder of weights was trained on, "" where nobody said so."""
        words = self.networks.get(place, {})
        return words.get(network, words.get("*", ""))


def matching(patterns: Sequence[str]) -> list[Source]:
    """The raw files that one of the patterns names. Raises ValueError for a pattern that names none."""
    found = []
    for pattern in patterns:
        these = [source for source in manifest() if fnmatch(source.path, pattern)]
        if not these:
            raise ValueError(f"{pattern!r} names no file of data/manifest.yaml")
        found += [source for source in these if source not in found]
    return found


def terms(source: Source) -> str:
    """The terms of one raw file: of its package's "a, b: CC0; c: public domain" the part that names it, else all."""
    for part in source.licence.split("; "):
        names, colon, said = part.partition(": ")
        if colon and Path(source.path).stem in names.split(", "):
            return said
    return source.licence


def read(file: Path) -> Domain:
    """One file. Raises ValueError for a missing, unknown or empty key, and for an unknown kind."""
    facts = yaml.safe_load(file.read_text())
    keys = {field.name for field in dataclasses.fields(Domain)} - {"name"}
    if odd := sorted(set(facts) ^ keys):
        raise ValueError(f"{file.name}: {', '.join(odd)} is missing or unknown, expected {', '.join(sorted(keys))}")
    if empty := sorted(key for key, value in facts.items() if not value and key not in MAY_BE_EMPTY):
        raise ValueError(f"{file.name}: {', '.join(empty)} says nothing")
    if facts["kind"] not in KINDS:
        raise ValueError(f"{file.name}: kind is {facts['kind']!r}, expected one of {', '.join(KINDS)}")
    return Domain(file.stem, **facts)


@functools.cache
def domains() -> tuple[Domain, ...]:
    """All domains, those first of which others are composed."""
    order = ["digits", "photos", "objects", "scenes", "faces", "chest", "imagenet"]
    found = [read(file) for file in FILES]
    return tuple(sorted(found, key=lambda each: (order.index(each.name) if each.name in order else 99, each.name)))
