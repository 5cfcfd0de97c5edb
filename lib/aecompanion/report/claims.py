"""What the papers claim, tested on the saved tables: effect, bootstrap interval over images and seeds, verdict.

`claims.yaml` lists the claims. Each names an estimator of its paper's module (ESTIMATORS), which returns a
cube of values and a statistic of it, and the relation that the statistic should satisfy. The verdict follows from the
interval alone:

    reproduced       the whole interval satisfies the relation (of a reported number: lies within its tolerance)
    same direction   the estimate does, the interval does not
    not reproduced   the estimate does not
    not testable here   the estimate is undefined on these data (the reason says why)
"""

import inspect
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from aecompanion.evaluate.bootstrap import Interval, interval
from aecompanion.report import paper1, paper2, paper3, paper4, paper5

ESTIMATORS = {1: paper1, 2: paper2, 3: paper3, 4: paper4, 5: paper5}  # the module of each paper's estimators
REGISTER = Path(__file__).with_name("claims.yaml")
COLUMNS = [
    "id", "paper", "display", "statement", "strength", "reported", "ours", "ci_low", "ci_high", "n", "seeds", "verdict",
    "reason", "command",
]  # fmt: skip
RELATIONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
STRENGTHS = ("must", "expected", "report")

Tables = Mapping[int, Mapping[str, pd.DataFrame]]  # paper: its tables, by the names of its estimators' arguments


def register() -> list[dict[str, Any]]:
    """All claims, in the order of claims.yaml. Raises ValueError for an unknown strength or relation."""
    claims = yaml.safe_load(REGISTER.read_text())
    for claim in claims:
        if claim["strength"] not in STRENGTHS:
            raise ValueError(f"claims.yaml: {claim['id']} has strength {claim['strength']!r}, expected {STRENGTHS}")
        if "relation" in claim and claim["relation"].split()[0] not in RELATIONS:
            raise ValueError(
                f"claims.yaml: {claim['id']} has relation {claim['relation']!r}, expected {list(RELATIONS)}"
            )
    return claims


def judge(found: Interval, claim: dict[str, Any]) -> tuple[str, str]:
    """Verdict and reason. A claim has a `relation` ("> 0") or a `tolerance` around its `reported` value."""
    if not np.isfinite(found.value):
        return "not testable here", claim.get("undefined", "the estimate is undefined on these data")
    note = claim.get("note", "")
    if "tolerance" in claim:
        low, high = claim["reported"] - claim["tolerance"], claim["reported"] + claim["tolerance"]
        if low <= found.low and found.high <= high:
            return "reproduced", sentence(f"needed within [{low:.3g}, {high:.3g}]", note)
        near = low <= found.value <= high
        reason = f"needed within [{low:.3g}, {high:.3g}]{', the interval leaves it' if near else ''}"
        return ("same direction" if near else "not reproduced"), sentence(reason, note)
    sign, bound = claim["relation"].split()
    holds = RELATIONS[sign]
    needed = f"needed {claim['relation']}"
    if holds(found.low, float(bound)) and holds(found.high, float(bound)):
        return "reproduced", sentence(needed, note)
    if holds(found.value, float(bound)):
        return "same direction", sentence(f"{needed}, the interval does not exclude the opposite", note)
    return "not reproduced", sentence(needed, note)


def sentence(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def evaluate(claim: dict[str, Any], tables: Tables, *, resamples: int, seed: int) -> dict[str, Any]:
    """One row of claims.csv. The claim's estimator gets those tables of its paper that it has arguments for."""
    estimator = getattr(ESTIMATORS[claim["paper"]], claim["estimate"])
    wanted = inspect.signature(estimator).parameters
    given = {name: table for name, table in tables[claim["paper"]].items() if name in wanted}
    values, statistic = estimator(**given, **claim.get("arguments", {}))
    found = interval(statistic, values, resamples=resamples, seed=seed)
    verdict, reason = judge(found, claim)
    row = {key: claim.get(key) for key in ("id", "paper", "display", "statement", "strength", "reported")}
    row |= {"ours": found.value, "ci_low": found.low, "ci_high": found.high, "n": values.shape[1]}
    return row | {"seeds": values.shape[0], "verdict": verdict, "reason": reason, "command": claim["command"]}


def evaluate_all(tables: Tables, *, progress=iter, **options) -> pd.DataFrame:
    """The whole of claims.csv: one row per claim, columns `COLUMNS`; `tables` holds each paper's saved tidy tables."""
    rows = [evaluate(claim, tables, **options) for claim in progress(register())]
    return pd.DataFrame(rows)[COLUMNS]


def metrics(tested: pd.DataFrame) -> dict[str, Any]:
    """Counts for `dvc metrics diff`: verdicts per strength, and every claim's estimate rounded to four digits."""
    counts = tested.groupby(["strength", "verdict"]).size()
    verdicts = {strength: counts[strength].to_dict() for strength in STRENGTHS if strength in counts}
    return {
        "verdicts": verdicts,
        "ours": {row.id: float(f"{row.ours:.4g}") if np.isfinite(row.ours) else None for row in tested.itertuples()},
    }
