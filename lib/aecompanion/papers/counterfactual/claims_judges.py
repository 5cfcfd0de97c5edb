"""Claims of Boreiko et al., GCPR 2022, read by several judges, at radii of each image's own, in the l1-ball, and under
every reasonable choice, with their estimators.
"""

import numpy as np

from aecompanion.evaluate.intervals import bounded
from aecompanion.papers.counterfactual.claims_optimisers import NATS
from aecompanion.papers.counterfactual.judges import asked, balls, reaching
from aecompanion.papers.counterfactual.specifications import MEASURES, STATISTICS, STEPS, settings
from aecompanion.papers.counterfactual.tables import has, paired, paired_median
from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube, untestable

NOBODY = "one training seed: every other network descends from the one that made the counterfactuals"
NO_MASKS = "these images have no object masks"


@claim("P2.54", "X2.9", "expected", "> 0",
       "A {JUDGE} network of another seed believes the multiple-norm network's l1.5-counterfactuals more than the "
       "plain one's (difference of confidence)",
       over=[{"column": "realism_plain", "JUDGE": "plain"}, {"column": "realism_multi", "JUDGE": "robust"}],
       first={"network": "multi", "kind": "l1.5"}, second={"network": "plain", "kind": "l1.5"}, undefined=NOBODY)
@claim("P2.56", "X2.9", "report", "> 0",
       "A {JUDGE} network of another seed believes l1.5 more than {SECOND} (multiple-norm network, difference of "
       "confidence)",
       over=[
           {"column": "realism_multi", "second": {"network": "multi", "kind": "l2"}, "JUDGE": "robust", "SECOND": "l2"},
           {"column": "realism_plain", "second": {"network": "multi", "kind": "l2"}, "JUDGE": "plain", "SECOND": "l2"},
           {"column": "realism_multi", "second": {"network": "multi", "kind": "l1"}, "JUDGE": "robust", "SECOND": "l1"},
       ], first={"network": "multi", "kind": "l1.5"}, undefined=NOBODY)
@claim("P2.59", "X2.9", "report", "< 0",
       "An l1.5-counterfactual is nearer to its image than {SECOND} (LPIPS-like distance, multiple-norm network, "
       "difference)",
       over=[
           {"second": {"network": "multi", "kind": "l2"}, "SECOND": "one of l2"},
           {"second": {"network": "multi", "kind": "l1"}, "SECOND": "one of l1"},
       ], column="perceptual", first={"network": "multi", "kind": "l1.5"})
def judged_differently(tables, *, column: str, first: dict, second: dict):
    """Mean of a column of the counterfactuals, one network and ball minus another, the same images."""
    rows = tables["counterfactuals"]
    if column not in rows or not has(rows, column):
        return untestable()
    return cube(rows, column, [first, second]), paired


@claim("P2.61", "X2.10", "expected", "< 0",
       "At each image's own least radius: background share of the change, l1.5 below l2 (difference)",
       column="background", level=0.9, undefined=NO_MASKS)
@claim("P2.62", "X2.10", "expected", "< 0",
       "At each image's own least radius: visibly changed pixels, l1.5 below l2 (difference)", column="changed",
       level=0.9)
@claim("P2.63", "X2.10", "report", "> 0",
       "At each image's own least radius: the independent network believes l1.5 more than l2 (difference of "
       "confidence)", column="realism", level=0.9)
def own_radii(tables, *, column: str, level: float):
    """Mean over images that reach the confidence in every ball: l1.5 minus l2."""
    rows = reaching(tables["least"], level)
    if not len(rows) or not has(rows, column):
        return untestable()
    return balls(rows, column), paired


@claim("P2.64", "X2.11", "report", "> 0",
       "p = 1: Auto-Frank-Wolfe reaches a higher objective than {second} (median of paired differences, nats)",
       over=[{"second": "FW"}, {"second": "APGD"}, {"second": "FW-L1-q, q = d/64"}], first="AFW", column="value",
       margin=NATS)
@claim("P2.67", "X2.11", "report", "< 0",
       "p = 1: FW-L1-q with q = d/64 changes fewer pixels visibly than Auto-Frank-Wolfe (median of paired differences)",
       first="FW-L1-q, q = d/64", second="AFW", column="changed")
def sparse_methods_differ(tables, *, column: str, first: str, second: str):
    """Median over seeds and images of a column in the l1-ball, first method minus second."""
    return cube(tables["sparse"], column, [{"method": first}, {"method": second}]), paired_median


@bounded(0, 1)
def share_above(v: np.ndarray) -> float:
    """Share of specifications above zero; seeds × images × differences, each read by three statistics."""
    return float(np.mean([statistic(each) > 0 for each in np.moveaxis(v, -1, 0) for statistic in STATISTICS.values()]))


@claim("P2.68", "X2.12", "report", "> 0.5",
       "In most specifications the l1.5-ball changes less of the picture than the l2-ball (share over measures, "
       "networks and statistics)")
def mostly_sparser(tables):
    """Share over measures × plain, l2-robust and multiple-norm network × statistics, one radius for all images."""
    rows = tables["counterfactuals"]
    parts = []
    for _, part in rows.groupby("network", sort=False):
        for column, (_title, sign) in MEASURES.items():
            if has(part, column):
                values = sign * balls(part, column)
                parts.append(values[..., 1] - values[..., 0])
    return np.stack(parts, -1), share_above


@claim("P2.69", "X2.12", "report", "> 0.5",
       "In most specifications judges believe the l1.5-ball more than the l2-ball (share over judges, networks and "
       "statistics)")
def mostly_believed(tables):
    """Share over judges × networks × statistics, one radius for all images."""
    rows = tables["counterfactuals"]
    parts = [balls(part, column) for _, part in rows.groupby("network", sort=False) for column in asked(rows)]
    return np.stack([each[..., 0] - each[..., 1] for each in parts], -1), share_above


@claim("P2.70", "X2.12", "report", "> 0.5",
       "In most specifications Auto-Frank-Wolfe reaches a higher objective than the rule 2/(k+2) (share over balls, "
       "radii, steps and statistics)")
def mostly_ahead(tables):
    """Share over p × radius × step × statistics of the published schedule."""
    found = settings(tables["trajectories"])
    pair = [{"method": "AFW"}, {"method": "FW"}]
    parts = [cube(rows, "value", pair) for (_, _, share), rows in found.items() if share in STEPS.values()]
    return np.stack([each[..., 0] - each[..., 1] for each in parts], -1), share_above
