"""Gates: what has to hold of networks and masks before a claim about explanations is tested on them at all.

    AUROC   the explained networks of the data (family "vgg", mean over classes and training seeds) reach `LEAST_AUROC`
    masks   at most `MOST_EMPTY` of the masks of every method of the claim are empty: they never left their start, or
            replace less than `EMPTY`, one cell of a 16×16 mask

A network that cannot read its classes has no evidence to point at, and an order of methods whose masks are empty is an
order of nothing. Where a gate fails the verdict is "not testable here". What the tables do not hold is not asked.
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from aecompanion.report.cubes import untestable

LEAST_AUROC = 0.85
MOST_EMPTY = 0.5
EMPTY = 1 / 256
RANDOMISED = "voc"  # the data on whose networks parameters are randomised


def gated(estimator: Callable) -> Callable:
    """The estimator of a claim, untestable where a gate fails; `failed` says why.

    The claim's arguments tell the gates where to look: `data` (without it, `RANDOMISED`), and `method`, `methods` and
    `others`. A claim about the column "stuck" counts such masks itself and passes the second gate.
    """

    @functools.wraps(estimator)
    def checked(tables, **arguments):
        why = failed(tables, **arguments)
        return untestable(why) if why else estimator(tables, **arguments)

    return checked


def failed(tables: Mapping[str, pd.DataFrame], **arguments) -> str:
    """Why a claim with these arguments cannot be tested on these tables, "" if every gate is passed."""
    data = arguments.get("data", RANDOMISED)
    auroc = read_auroc(tables["quality"], data) if "quality" in list(tables) else np.nan
    if auroc < LEAST_AUROC:
        return f"the networks read {data} with an AUROC of {auroc:.2f}, needed {LEAST_AUROC}"
    if "data" not in arguments or arguments.get("column") == "stuck":
        return ""
    named = [*arguments.get("methods", ()), *arguments.get("others", ())]
    for method in dict.fromkeys([*named, *filter(None, [arguments.get("method")])]):
        empty = share_empty(tables["scores"], data, method)
        if empty > MOST_EMPTY:
            return f"{empty:.0%} of the masks of {method} on {data} are empty, allowed {MOST_EMPTY:.0%}"
    return ""


def read_auroc(quality: pd.DataFrame, data: str, family: str = "vgg") -> float:
    """Mean AUROC over classes and training seeds; NaN without rows. quality: one row per data, family, seed, class."""
    return quality.loc[(quality["data"] == data) & (quality["family"] == family), "auroc"].mean()


def share_empty(scores: pd.DataFrame, data: str, method: str, family: str = "vgg") -> float:
    """Share of a method's pairs and seeds whose mask is empty; NaN without rows. Maps that are no masks have the area
    of RP's: where that is empty, they have nothing to be compared with.
    """
    rows = scores[(scores["data"] == data) & (scores["family"] == family) & (scores["method"] == method)]
    return ((rows["area"] < EMPTY) | (rows["stuck"] > 0)).mean()
