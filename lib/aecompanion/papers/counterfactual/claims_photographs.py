"""Claims of paper 2 on photographs and a plain ImageNet network: what is stated of small ones, once more (X2.14)."""

import numpy as np

from aecompanion.papers.counterfactual.photographs import changes, reached
from aecompanion.papers.counterfactual.tables import has, paired
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable
from aecompanion.studies.photograph_counterfactuals import SHUFFLED

FEW = (
    "some of the photographs that every compared network names right, those that reach the confidence; how many stands "
    "in the column n"
)
NONE = "no photograph reaches the confidence, or no other network is there"
BOTH = (("l1.5", "own"), ("l2", "own"))


@claim("P2.71", "X2.14", "report", "< 1",
       "ImageNet, plain network: at confidence .9 the smallest l1.5 change is smaller in l1 than the smallest l2 "
       "change (ratio of mean l1 norms)", column="l1", note=FEW, undefined=NONE)
@claim("P2.72", "X2.14", "report", "> 1",
       "ImageNet, plain network: and larger in l2 (ratio of mean l2 norms)", column="l2", note=FEW, undefined=NONE)
def photograph_norms(tables, *, column: str):
    """Mean norm of the change at the least radius, l1.5 over l2, of the photographs that reach both."""
    rows = tables["photographs"]
    if reached(rows).empty:
        return untestable()
    return changes(rows, column, BOTH), lambda v: float(v[..., 0].mean() / v[..., 1].mean())


@claim("P2.73", "X2.14", "report", "< 0",
       "ImageNet, plain network, each photograph's own least radius: visibly changed pixels, l1.5 below l2 "
       "(difference)",
       column="changed", note=FEW, undefined=NONE)
@claim("P2.74", "X2.14", "report", "> 0",
       "ImageNet, plain network, each photograph's own least radius: Gini index of the change, l1.5 above l2 "
       "(difference)", column="gini", note=FEW, undefined=NONE)
@claim("P2.75", "X2.14", "report", "> 0",
       "ImageNet, plain network, each photograph's own least radius: the other networks believe l1.5 more than l2 "
       "(difference of confidence)", column="realism", note=FEW, undefined=NONE)
def photograph_balls(tables, *, column: str):
    """Mean of a column over photographs that reach the confidence in both balls: l1.5 minus l2."""
    rows = tables["photographs"]
    if not has(reached(rows), column):
        return untestable()
    return changes(rows, column, BOTH), paired


@claim("P2.76", "X2.14", "report", "> 0",
       "ImageNet, plain network, l1.5: noise of the same size does not look like the target: realism, counterfactual "
       "minus its pixels in random order", column="realism", margin=0.02, note=FEW, undefined=NONE)
@claim("P2.77", "X2.14", "report", "> 0.5",
       "ImageNet, plain network, l1.5: the change is smooth, neighbouring pixels alike (correlation, minus that of its "
       "pixels in random order)", column="neighbours", note=FEW, undefined=NONE)
def photograph_noise(tables, *, column: str, ball: str = "l1.5"):
    """Mean of a column, the counterfactuals minus the same changes with shuffled pixels."""
    rows = tables["photographs"]
    if not has(reached(rows), column):
        return untestable()
    return changes(rows, column, [(ball, "own"), (ball, SHUFFLED)]), paired


@claim("P2.78", "X2.14", "report", "> 0",
       "ImageNet, plain network, l1.5: more of the change lies in Grad-CAM's region than the region has of the image "
       "(difference of shares)", against="area", note=FEW, undefined=NONE)
@claim("P2.79", "X2.14", "report", "> 0",
       "ImageNet, plain network, l1.5: more of the change lies in Grad-CAM's region than in a square of equal area in "
       "the centre (difference of shares)", against="centre", note=FEW, undefined=NONE)
@claim("P2.80", "X2.14", "report", "> 0.5",
       "ImageNet, plain network, l1.5: most of the change lies in Grad-CAM's region (share)", against="", note=FEW,
       undefined=NONE)
def photograph_place(tables, *, against: str, ball: str = "l1.5"):
    """Mean share of the change inside Grad-CAM's region, minus that of another place or the region's area, if named."""
    rows = tables["photographs"]
    if reached(rows).empty:
        return untestable()
    own = [(ball, "own")]
    inside = changes(rows, "inside", own)
    other = changes(rows, against, own) if against else np.zeros_like(inside)
    return np.concatenate([inside, other], axis=-1), paired
