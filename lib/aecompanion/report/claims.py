"""What the papers claim, tested on the saved tables: effect, 95 % interval over seeds and images, verdict.

A claim stands above the estimator that measures it, in `HANDLE/claims*.py` of its paper:

    @claim("P3.04", "T3.2", "report", "< 1", "RP deletes better than MP (ratio of deletion AUCs)", data="voc", ...)
    def ratio(tables, *, data, column, methods):

The estimator gets the paper's tables (name → tidy rows) and the claim's own arguments; it returns a cube of values,
seeds × images × ..., and a statistic of it. The verdict follows from its interval alone (`report.verdicts`).

strength: "must" follows from definitions or is what the paper shows beyond doubt; "expected" is what it states;
"report" is told whatever comes out; "check" holds by construction and tests the machinery, so it counts apart and is no
finding. What the paper itself reports stands in its `reported.yaml` (`report.reported`).

Many claims are tested: `p` is the one-sided p-value of the relation, `p_holm` Holm's, which keeps the chance of a
single false "reproduced" among a paper's claims of one strength ("must", "expected") below its value.
"""

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from aecompanion.evaluate.intervals import interval
from aecompanion.pipeline.parallel import apart
from aecompanion.report import displays, reported
from aecompanion.report.papers import ROOM, number_of, papers
from aecompanion.report.verdicts import RELATIONS, REPORTED, holm, judge, p_value

COLUMNS = [
    "id", "paper", "display", "statement", "strength", "reported", "ours", "ci_low", "ci_high", "p", "p_holm", "n",
    "seeds", "verdict", "reason", "command",
]  # fmt: skip
STRENGTHS = ("must", "expected", "report", "check")
TESTED = ("must", "expected")  # the families of Holm's correction

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
            importlib.import_module(f"aecompanion.papers.{paper.handle}.{file.stem}")
    return sorted(_claims.values(), key=lambda each: each.order)


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


def evaluate_one(shared: tuple[Mapping[int, Tables], dict[str, Any]], id: str) -> dict[str, Any]:
    """`evaluate` of one claim by its id, in whatever process; `shared`: the tables by paper, and the options."""
    tables, options = shared
    if id not in _claims:
        register()
    claim = _claims[id]
    return evaluate(claim, tables[claim.paper], **options)


def evaluate_all(tables: Mapping[int, Tables], *, progress=iter, workers: int = 1, **options) -> pd.DataFrame:
    """The whole of claims.csv: one row per claim, columns `COLUMNS`; `tables` holds those of each paper, by number.

    workers: processes; every claim has resamples of its own seed, so their number changes no bit.
    """
    known = register()
    rows = apart(evaluate_one, [each.id for each in known], (tables, options), workers=workers)
    found = pd.DataFrame(row for _, row in zip(progress(known), rows, strict=True))
    for (_, strength), part in found.groupby(["paper", "strength"]):
        if strength in TESTED:
            found.loc[part.index, "p_holm"] = holm(part["p"].to_numpy(float))
    return found[COLUMNS]
