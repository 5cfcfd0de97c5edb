"""Table of the randomisation check of paper 3, the order of its methods, and the pair that stands for the others."""

from collections.abc import Sequence

import pandas as pd

from aecompanion.explain.methods import METHODS
from aecompanion.report import randomization
from aecompanion.sanity.randomization import OTHER, RETRAINED

MEASURES = {"spearman": "rank correlation", "ssim": "SSIM", "hog": "HOG correlation"}
UNDEFINED = {"undefined": "share constant"}


def methods_of(names: Sequence[str]) -> list[str]:
    """In the order of `METHODS`, others last."""
    given = list(dict.fromkeys(names))
    return [name for name in METHODS if name in given] + [name for name in given if name not in METHODS]


def typical_pair(similarity: pd.DataFrame, measure: str = "spearman") -> int:
    """Position of the pair that stands for the others, whatever they show: the one whose values of a measure, one per
    method, way and depth, are nearest to the medians over the pairs (mean absolute distance).

    The yardsticks do not count. Raises ValueError without rows.
    """
    rows = similarity[~similarity["way"].isin((OTHER, RETRAINED))]
    if rows.empty:
        raise ValueError("no rows of a re-initialised network, expected one per pair, method, way and depth")
    values = rows.pivot_table(index=["method", "way", "depth"], columns="position", values=measure)
    return int(values.sub(values.median(axis=1), axis=0).abs().mean().idxmin())


def summary(similarity: pd.DataFrame, **options) -> pd.DataFrame:
    """X3.5, see `report.randomization.summary`; smooth and rise are sMPRT and eMPRT (`sanity.likeness`)."""
    order, measures = methods_of(similarity["method"]), [*MEASURES, "smooth", "rise"]
    return randomization.summary(similarity, "method", order, measures, item="position", **options)
