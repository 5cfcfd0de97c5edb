"""Counts of one run as those of another size: n' = n q(p', d') / q(p, d), with parameters p and data d.

q is an expression of scales.yaml, per stage and kind of pass (learn, attack, look: `pipeline.passes`); a kind that a
rule
leaves out has its `times`. A row that several rules fit (one network on two data sets) is theirs in the proportion of
their q. Networks that a parameter names are swapped with it; size, channels and classes come from the data set. Exact
where a count is proportional; terms that scale differently, last batches and attacks that end early make it rough.
"""

import re
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from aecompanion.data.sizes import Images
from aecompanion.networks.facts import ALIASES, network_facts
from aecompanion.pipeline.plan.cost import Passes
from aecompanion.pipeline.plan.data import data_sets

FILE = Path(__file__).with_name("scales.yaml")
SCALES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())


def upto(*numbers: float | None) -> float:
    """The smallest; None stands for no limit."""
    return min(number for number in numbers if number is not None)


class Size:
    """Parameters and data sets of one run, for the expressions."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values, self.sets = values, data_sets(values)
        sections = {name: SimpleNamespace(**own) for name, own in values.items() if isinstance(own, dict)}
        built_in = {"__builtins__": {}, "upto": upto, "len": len, "max": max, "min": min, "sum": sum}
        self.names = sections | self.sets | built_in

    def quantity(self, stage: str, expression: Any, **more: Any) -> Any:
        """The value of an expression; a stage's own parameters go by their bare names. Raises ValueError."""
        names = self.names | self.values.get(stage, {}) | more
        try:
            for name, meaning in SCALES.get(stage, {}).get("let", {}).items():
                names[name] = eval(meaning, names)  # of our own file
            return eval(str(expression), names)
        except Exception as error:
            raise ValueError(f"{FILE.name}: {stage}: {expression!r} cannot be worked out ({error})") from None

    def networks(self, stage: str, name: str) -> list[str]:
        """The networks of a rule: `a:{parameter}` stands for a: and what the parameter names."""
        before, reference = re.fullmatch(r"([^{]*)(?:\{(.+)\})?", name).groups()
        found = self.quantity(stage, reference) if reference else ""
        return [before + each for each in (found if isinstance(found, list) else [found])]

    def data(self, stage: str, rule: dict[str, Any]) -> Images:
        """The images of a rule."""
        side = 0 if "data" in rule else self.quantity(stage, rule.get("size", 224))
        return self.sets[rule["data"]] if "data" in rule else Images(0, 0, 0, 1000, 3, side)

    def times(self, stage: str, rule: dict[str, Any], kind: str, network: str) -> float:
        """q of a rule for one network."""
        expression, data = str(rule.get(kind, rule.get("times", 0))), self.data(stage, rule)
        if "layers" not in expression:
            return self.quantity(stage, expression)
        facts = network_facts(network, data.classes, data.channels, data.size)
        return self.quantity(stage, expression, layers=facts.layers)

    def needs(self, stage: str) -> tuple[int, float, float]:
        """Images that a stage looks at, bytes that it holds in main memory, bytes that it writes."""
        own = SCALES.get(stage, {})
        disk = self.quantity(stage, own.get("disk", 0))
        images, held = (self.quantity(stage, own.get(name, 0), disk=disk) for name in ("images", "held"))
        for rule in own.get("passes", ()):
            data, saved = self.data(stage, rule), self.quantity(stage, rule.get("saved", 0))
            shape = (data.classes, data.channels, data.size)
            for name in self.networks(stage, rule["network"]) if saved else ():
                disk += 4 * saved * network_facts(name, *shape).parameters
        return images, held, disk


def scaled(stage: str, rows: list[dict[str, Any]], base: Size, new: Size) -> tuple[list[Passes], int]:
    """The recorded rows at the size `new`, and how many forward passes no rule fits: these stay as they are, without
    a price if the network is a class that no name of the zoo leads to (what a notebook shows of a network in a cell).
    """
    rules, unknown = SCALES.get(stage, {}).get("passes", []), 0
    total: dict[tuple, list[float]] = defaultdict(lambda: [0, 0, 0])

    def add(share: float, row: dict[str, Any], batch: int, *key: Any) -> None:
        forward, backward, largest = total[key]
        total[key] = [forward + share * row["forward"], backward + share * row["backward"], max(largest, batch)]

    for row in rows:
        network, kind, batch = row["network"], row["kind"], row["batch"]
        same = [rule for rule in rules if network in base.networks(stage, rule["network"])]
        same = [rule for rule in same if base.data(stage, rule).channels == row["channels"]]
        there = sum(base.times(stage, rule, kind, network) for rule in same)
        if not there:
            unknown += row["forward"] if rules else 0
            if "/" in network or ":" in network or network in ALIASES:  # no price for a class that no name leads to
                add(1, row, batch, network, row["classes"], row["channels"], row["size"], kind, False)
            continue
        if kind == "learn" and "batch" in base.values[stage]:
            batch = round(batch * new.values[stage]["batch"] / base.values[stage]["batch"])
        for rule in same:
            before, after = base.data(stage, rule), new.data(stage, rule)
            shape = [row["classes"], row["channels"]] if after == before else [after.classes, after.channels]
            shape += [round(row["size"] * after.size / before.size), kind]
            read = new.quantity(stage, rule.get("reads", 0)) if after.lazy and kind != "attack" else 0
            old, now = (size.networks(stage, rule["network"]) for size in (base, new))
            for name in (each for each in now if each == network or each not in old):  # a new one: the mean of the old
                share = new.times(stage, rule, kind, name) / there / (1 if name == network else len(old))
                for part, reads in ((read, True), (1 - read, False)):
                    if part:
                        add(share * part, row, batch, name, *shape, reads)
    found = [Passes(*key[:5], round(each[0]), round(each[1]), each[2], key[5]) for key, each in total.items()]
    return found, unknown
