"""What the papers claim, tested on the saved tables: effect, 95 % interval over seeds and images, verdict.

A claim stands above the estimator that measures it, in `HANDLE/claims*.py` of its paper:

    @claim("P3.04", "T3.2", "report", "< 1", "RP deletes better than MP (ratio of deletion AUCs)", data="voc", ...)
    def ratio(tables, *, data, column, methods):

The estimator gets the paper's tables (name → tidy rows) and the claim's own arguments; it returns a cube of values,
seeds × images × ..., and a statistic of it. The verdict follows from the interval of that statistic alone:

    reproduced       the whole interval satisfies the relation (of a reported number: lies within its tolerance)
    not reproduced   no part of the interval does
    no difference    the whole interval lies within the claim's margin of the bound (an equivalence test)
    undecided        the interval holds both sides
    not testable here   the estimate is undefined on these data (the reason says why)

strength: "must" follows from definitions or is what the paper shows beyond doubt; "expected" is what it states;
"report" is told whatever comes out; "check" holds by construction and tests the machinery, so it counts apart and is no
finding. What the paper itself reports stands in its `reported.yaml` (`report.reported`).

Many claims are tested: `p` is the one-sided p-value of the relation, `p_holm` Holm's, which keeps the chance of a
single false "reproduced" among a paper's claims of one strength ("must", "expected") below its value.
"""

import dataclasses
import importlib
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from aecompanion.evaluate.intervals import Interval, interval
from aecompanion.report import displays, reported
from aecompanion.report.papers import ROOM, number_of, papers

COLUMNS = [
    "id", "paper", "display", "statement", "strength", "reported", "ours", "ci_low", "ci_high", "p", "p_holm", "n",
    "seeds", "verdict", "reason", "command",
]  # fmt: skip
RELATIONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
STRENGTHS = ("must", "expected", "report", "check")
TESTED = ("must", "expected")  # the families of Holm's correction
REPORTED = "as reported"  # the relation of a claim about the reported number itself

Tables = Mapping[str, pd.DataFrame]
Estimator = Callable[..., tuple[np.ndarray, Callable[[np.ndarray], float]]]
_claims: dict[str, "Claim"] = {}


@dataclasses.dataclass(frozen=True, eq=False)
class Claim:
    """relation: "> 0", or "as reported": within the tolerance of the number in the register. note: said with every
    verdict; undefined: why the estimate may not exist; stage: what makes the rows, by default the display's notebook;
    margin: a distance from the bound too small to matter.
    """

    id: str
    display: str
    strength: str
    relation: str
    statement: str
    estimator: Estimator
    arguments: dict[str, Any]
    note: str = ""
    undefined: str = "the estimate is undefined on these data"
    stage: str = ""
    margin: float | None = None

    @property
    def paper(self) -> int:
        """The number of its paper."""
        return number_of(self.display)

    @property
    def order(self) -> tuple[int, int]:
        """Its place in the table: P3.04 is (3, 4)."""
        return self.paper, int(self.id.partition(".")[2])


def claim(
    id: str,
    display: str,
    strength: str,
    relation: str,
    statement: str,
    *,
    over: Iterable[Mapping[str, Any]] = (),
    note: str = "",
    undefined: str = "",
    stage: str = "",
    margin: float | None = None,
    **arguments: Any,
) -> Callable[[Estimator], Estimator]:
    """Attach a claim to the estimator below, or a family of claims that share all but a few values.

    Args:
        over: one mapping per claim of the family: values for the estimator, for the `{...}` of the statement (where a
            name in capitals is for the statement only) and, if it differs, `strength`. Their ids count up from `id`.
        arguments: of the estimator, shared by the family.

    Raises ValueError for an unknown strength, relation or display, and for an id that is taken.
    """
    families = [dict(each) for each in over] or [{}]

    def attach(estimator: Estimator) -> Estimator:
        for k, own in enumerate(families):
            text = statement.format(**own) if over else statement
            here = own.pop("strength", strength)
            own = {name: value for name, value in own.items() if not name.isupper()}
            extra = {"note": own.pop("note", note), "stage": stage, "margin": margin}
            extra |= {"undefined": undefined} if undefined else {}
            add(Claim(counted(id, k), display, here, relation, text, estimator, arguments | own, **extra))
        return estimator

    return attach


def counted(id: str, k: int) -> str:
    """The id k further on: P1.08, 2 → P1.10."""
    paper, _, number = id.partition(".")
    return f"{paper}.{int(number) + k:0{len(number)}d}"


def add(new: Claim) -> None:
    """Take a claim into the register, see `claim`."""
    displays.entry(new.display)
    if not new.id.startswith(f"P{new.paper}."):
        raise ValueError(f"claim {new.id} is of display {new.display}, expected an id such as P{new.paper}.01")
    if new.strength not in STRENGTHS:
        raise ValueError(f"claim {new.id} has strength {new.strength!r}, expected one of {STRENGTHS}")
    if new.relation != REPORTED and new.relation.split()[0] not in RELATIONS:
        raise ValueError(f"claim {new.id} has relation {new.relation!r}, expected {list(RELATIONS)} or {REPORTED!r}")
    known = _claims.get(new.id)
    if known and known.estimator.__qualname__ != new.estimator.__qualname__:
        raise ValueError(f"claim {new.id} stands above {known.estimator.__name__} and above {new.estimator.__name__}")
    _claims[new.id] = new


def register() -> list[Claim]:
    """All claims by paper and number, from the modules `claims*` of every paper's folder."""
    for paper in papers():
        for file in sorted((ROOM / paper.handle).glob("claims*.py")):
            importlib.import_module(f"aecompanion.report.{paper.handle}.{file.stem}")
    return sorted(_claims.values(), key=lambda each: each.order)


def judge(found: Interval, claim: Claim) -> tuple[str, str]:
    """Verdict and reason: by the relation, or by the tolerance of the reported number where the register has one."""
    if not np.isfinite(found.value):
        return "not testable here", claim.undefined
    near = tolerated(claim)
    if near is None and claim.relation == REPORTED:
        return "not testable here", "the paper's number has not been typed in yet: `aecompanion missing`"
    if near is not None:
        low, high = near
        needed = f"needed within [{low:.3g}, {high:.3g}]"
        inside, outside = low <= found.low and found.high <= high, found.high < low or high < found.low
    else:
        sign, bound = claim.relation.split()
        needed = f"needed {claim.relation}"
        held = [RELATIONS[sign](end, float(bound)) for end in (found.low, found.high)]
        inside, outside = all(held), not any(held)
        if not inside and claim.margin is not None and close(found, float(bound), claim.margin):
            return "no difference", sentence(f"{needed}, the interval lies within {claim.margin:g} of it", claim.note)
    if inside:
        return "reproduced", sentence(needed, claim.note)
    if outside:
        return "not reproduced", sentence(needed, claim.note)
    return "undecided", sentence(f"{needed}, the interval holds both sides", claim.note)


def tolerated(claim: Claim) -> tuple[float, float] | None:
    """The range within the tolerance of what the paper reports, None where no such number is registered."""
    number = reported.of_claim(claim.id)
    if number is None or number.tolerance is None:
        return None
    return number.value - number.tolerance, number.value + number.tolerance


def close(found: Interval, bound: float, margin: float) -> bool:
    """Whether the whole interval is at most `margin` away from the bound."""
    return bound - margin <= found.low and found.high <= bound + margin


def p_value(found: Interval, claim: Claim) -> float:
    """One-sided p-value of the relation; of a reported number the larger of the two one-sided ones (TOST)."""
    near = tolerated(claim)
    if near is not None:
        return max(found.p(near[0], above=True), found.p(near[1], above=False))
    if claim.relation == REPORTED:
        return np.nan
    sign, bound = claim.relation.split()
    if found.low == found.high:
        return float(not RELATIONS[sign](found.value, float(bound)))
    return found.p(float(bound), above=sign.startswith(">"))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down p-values: the k-th least of n times n - k + 1, never falling, at most 1; NaN stays NaN."""
    adjusted = np.full(len(p), np.nan)
    order = [k for k in np.argsort(p) if np.isfinite(p[k])]
    if order:
        steps = np.asarray(p)[order] * np.arange(len(order), 0, -1)
        adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def sentence(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def evaluate(claim: Claim, tables: Tables, *, resamples: int, seed: int) -> dict[str, Any]:
    """One row of claims.csv; `tables` are those of the claim's paper."""
    values, statistic = claim.estimator(tables, **claim.arguments)
    found = interval(statistic, values, resamples=resamples, seed=seed)
    verdict, reason = judge(found, claim)
    reason = getattr(statistic, "why", "") or reason
    number = reported.of_claim(claim.id)
    return {
        "id": claim.id,
        "paper": claim.paper,
        "display": claim.display,
        "statement": claim.statement,
        "strength": claim.strength,
        "reported": number.value if number else None,
        "ours": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "p": p_value(found, claim),
        "p_holm": np.nan,  # of all claims together, see `evaluate_all`
        "n": values.shape[1],
        "seeds": values.shape[0],
        "verdict": verdict,
        "reason": reason,
        "command": f"dvc repro {claim.stage or displays.entry(claim.display)['notebook']}",
    }


def evaluate_all(tables: Mapping[int, Tables], *, progress=iter, **options) -> pd.DataFrame:
    """The whole of claims.csv: one row per claim, columns `COLUMNS`; `tables` holds those of each paper, by number."""
    found = pd.DataFrame(evaluate(claim, tables[claim.paper], **options) for claim in progress(register()))
    for (_, strength), part in found.groupby(["paper", "strength"]):
        if strength in TESTED:
            found.loc[part.index, "p_holm"] = holm(part["p"].to_numpy(float))
    return found[COLUMNS]


def stable(claims: pd.DataFrame, others: Iterable[pd.DataFrame]) -> pd.Series:
    """By id whether every other run that tested the claim came to the same verdict: "yes", "no", "" where none did."""
    known = [other.set_index("id")["verdict"] for other in others]
    words = {}
    for id, verdict in zip(claims["id"], claims["verdict"], strict=True):
        elsewhere = {other[id] for other in known if id in other}
        words[id] = "" if not elsewhere else "yes" if elsewhere == {verdict} else "no"
    return pd.Series(words, dtype=object)


def metrics(tested: pd.DataFrame) -> dict[str, Any]:
    """Counts for `dvc metrics diff`: verdicts per strength, and every claim's estimate rounded to four digits."""
    counts = tested.groupby(["strength", "verdict"]).size()
    verdicts = {strength: counts[strength].to_dict() for strength in STRENGTHS if strength in counts}
    return {
        "verdicts": verdicts,
        "ours": {row.id: float(f"{row.ours:.4g}") if np.isfinite(row.ours) else None for row in tested.itertuples()},
    }
