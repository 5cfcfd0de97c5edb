"""Which masks of MP and RP a specification curve compares: every start × area weight that somebody could choose.

    start         0 or 1 for both, or each its published one (MP 1, RP 0)
    area weight   1 for both, each its tuned one, or each its published one (MP .01, RP 5)
    masks         16×16 cells and few steps as in the study, or each as published (resolution, steps, variation weight)

All but the masks as published are variants of `methods.METHODS` and of its grid (`methods.variants`).
"""

from aecompanion.explain.mask import PUBLISHED as SETTINGS
from aecompanion.explain.methods import grid_name

PUBLISHED, TUNED, OWN = "as published", "tuned", "as in the study"
STARTS = {"0": {"RP": 0.0, "MP": 0.0}, "1": {"RP": 1.0, "MP": 1.0}}
STARTS[PUBLISHED] = {name: SETTINGS[name].start for name in ("RP", "MP")}
WEIGHTS = (TUNED, PUBLISHED, "1")
MASKS = (OWN, PUBLISHED)


def variant(method: str, start: float, weight: str) -> str:
    """The name of MP's or RP's masks with this start and area weight."""
    if weight == TUNED:
        return f"{method} (start {start:g})" if start else method
    return grid_name(method, start, SETTINGS[method].area if weight == PUBLISHED else float(weight))


def compared(start: str, weight: str, masks: str) -> tuple[str, str] | None:
    """The names of RP's and of MP's masks; None where there are none: masks as published have the published start and
    weights.
    """
    if masks == PUBLISHED:
        return ("RP (published)", "MP (published)") if start == weight == PUBLISHED else None
    return variant("RP", STARTS[start]["RP"], weight), variant("MP", STARTS[start]["MP"], weight)


VARIANTS = tuple(
    dict.fromkeys(name for start in STARTS for weight in WEIGHTS for name in compared(start, weight, OWN) or ())
)
