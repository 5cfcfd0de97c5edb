"""From the interval of a claim's estimate to its verdict and its p-value.

reproduced       the whole interval satisfies the relation (of a reported number: lies within its tolerance)
not reproduced   no part of the interval does
no difference    the whole interval lies within the claim's margin of the bound (an equivalence test)
undecided        the interval holds both sides
not testable here   the estimate is undefined on these data (the reason says why)
"""

import operator
from typing import Protocol

import numpy as np

from aecompanion.evaluate.intervals import Interval
from aecompanion.report import reported

RELATIONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
REPORTED = "as reported"  # the relation of a claim about the reported number itself


class Tested(Protocol):
    """What of a claim decides: `report.claims.Claim`."""

    id: str
    relation: str
    note: str
    undefined: str
    margin: float | None


def judge(found: Interval, claim: Tested) -> tuple[str, str]:
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


def tolerated(claim: Tested) -> tuple[float, float] | None:
    """The range within the tolerance of what the paper reports, None where no such number is registered."""
    number = reported.of_claim(claim.id)
    if number is None or number.tolerance is None:
        return None
    return number.value - number.tolerance, number.value + number.tolerance


def close(found: Interval, bound: float, margin: float) -> bool:
    """Whether the whole interval is at most `margin` away from the bound."""
    return bound - margin <= found.low and found.high <= bound + margin


def p_value(found: Interval, claim: Tested) -> float:
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
