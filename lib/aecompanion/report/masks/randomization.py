"""Table of the randomisation check of paper 3, the order of its methods, and the pair that has something to show."""

from collections.abc import Sequence

import pandas as pd

from aecompanion.explain.methods import METHODS
from aecompanion.sanity.map_randomization import OTHER, RECALIBRATED, WAYS

MEASURES = {"spearman": "rank correlation", "ssim": "SSIM", "hog": "HOG correlation"}
UNDEFINED = {"undefined": "share of constant maps"}


def methods_of(names: Sequence[str]) -> list[str]:
    """In the order of `METHODS`, others last."""
    given = list(dict.fromkeys(names))
    return [name for name in METHODS if name in given] + [name for name in given if name not in METHODS]


def telling_pair(similarity: pd.DataFrame, method: str = "RP") -> int:
    """Position of the pair that has something to show: whose map of `method` is constant least often."""
    return int(similarity[similarity["method"] == method].groupby("position")["undefined"].mean().idxmin())


def summary(similarity: pd.DataFrame) -> pd.DataFrame:
    """X3.5: per method the mean similarity and the share of undefined rows after the top layer alone, after all layers
    (also recalibrated, where that was studied), and between different images.
    """
    rows = []
    for method in methods_of(similarity["method"]):
        group = similarity[similarity["method"] == method]
        cascade, again, other = (group[group["way"] == way] for way in (WAYS[0], RECALIBRATED, OTHER))
        chosen = {
            "top layer": cascade[cascade["depth"] == cascade["depth"].min()],
            "all layers": cascade[cascade["depth"] == cascade["depth"].max()],
            "all layers, recalibrated": again[again["depth"] == again["depth"].max()],
            "none, other image": other,
        }
        for what, part in chosen.items():
            if len(part):
                facts = {"method": method, "re-initialised": what, "pairs": len(part)}
                rows.append(facts | {name: part[name].mean() for name in (*MEASURES, *UNDEFINED)})
    return pd.DataFrame(rows)
