"""What `dvc metrics` and `dvc plots` show of the claims: a few numbers per paper, and how far each claim is from its
bound. Everything else is in claims.csv.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from aecompanion.report import claims as claims_
from aecompanion.report.papers import Paper, papers
from aecompanion.report.verdicts import RELATIONS

NAMED = Path(__file__).with_name("headlines.yaml")
COUNTED = ("must", "expected")
MOST = 10  # numbers per paper
FARTHEST = 5.0  # half-intervals beyond which a distance is drawn at the edge


def headlines(tested: pd.DataFrame, paper: Paper, named: dict[str, str]) -> dict[str, Any]:
    """At most ten numbers of one paper by name: counts of verdicts over all claims but checks, must and expected claims
    that are reproduced, then estimates (four digits, None where undefined) of the claims that `named` names and that
    were tested.
    """
    own = tested[tested["paper"] == paper.number]
    rows = own[own["strength"] != "check"]
    counts = rows["verdict"].value_counts()
    found: dict[str, Any] = {
        each: int(counts.get(each, 0)) for each in ("reproduced", "no difference", "undecided", "not reproduced")
    }
    for strength in COUNTED:
        kept = (rows["strength"] == strength) & (rows["verdict"] == "reproduced")
        found[f"{strength} reproduced"] = int(kept.sum())
    values = own.set_index("id")["ours"]
    for name, claim in named.items():
        if claim in values.index:
            found[name] = float(f"{values[claim]:.4g}") if np.isfinite(values[claim]) else None
    return found


def write(folder: Path, tested: pd.DataFrame, described: Iterable[Paper] | None = None) -> None:
    """A JSON per paper that has a claim in `tested`, named by its handle: a row each of `dvc metrics show`."""
    folder.mkdir()
    named = yaml.safe_load(NAMED.read_text())
    for paper in papers() if described is None else described:
        if (tested["paper"] == paper.number).any():
            numbers = headlines(tested, paper, named.get(paper.handle, {}))
            (folder / f"{paper.handle}.json").write_text(json.dumps(numbers, indent=1) + "\n")


def distances(tested: pd.DataFrame, relations: dict[str, str] | None = None) -> pd.DataFrame:
    """How far every claim of strength must or expected is on the right side of its bound, in half-intervals:

        distance = s (ours - bound) / |ours - end|,   s = 1 for > and >=, -1 for < and <=,

    where `end` is the end of the interval on the side of the bound. Above 1 the whole interval satisfies the relation,
    below -1 none of it does. Cut at ±5. Claims without a finite estimate, or about a reported number, have no row.

    Args:
        relations: claim → its relation, such as "> 0"; by default those of the register.
    """
    known = {each.id: each.relation for each in claims_.register()} if relations is None else relations
    rows = []
    for row in tested[tested["strength"].isin(COUNTED)].itertuples():
        sign, _, bound = known.get(row.id, "").partition(" ")
        if sign not in RELATIONS or not np.isfinite(row.ours):
            continue
        ahead = (row.ours - float(bound)) * (1 if sign.startswith(">") else -1)
        end = row.ci_low if row.ours > float(bound) else row.ci_high
        half = abs(row.ours - end)
        if half > 0:
            distance = ahead / half
        elif row.ci_low < row.ci_high and not ahead:  # the estimate is the bound and an end of its interval
            distance = 0.0
        else:
            distance = FARTHEST if RELATIONS[sign](row.ours, float(bound)) else -FARTHEST
        rows.append((row.id, row.paper, row.strength, np.clip(distance, -FARTHEST, FARTHEST), row.verdict))
    return pd.DataFrame(rows, columns=["claim", "paper", "strength", "distance", "verdict"])
