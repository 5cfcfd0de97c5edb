"""Claims of Kim et al., IEEE TIP 2022, and the estimators that test them; those of the randomisation check follow in
`claims_sanity`.
"""

import functools

import numpy as np

from aecompanion.evaluate.intervals import least
from aecompanion.explain.methods import GRID_WEIGHTS, grid_name
from aecompanion.papers.masks.gates import gated
from aecompanion.papers.masks.tables import paired, present, quotient, values
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable

TUNED = "each with its tuned weights, one start, resolution and number of steps"
ODD_START = "MP's published start with the weight tuned for another; P3.57 has the published settings"
PUBLISHED = "each at its published start, weights and resolution"
FIRST_PAIRS = "a subset of the pairs"
EQUAL_RATIO = 0.2  # margins of "no difference": a fifth of a deletion AUC,
EQUAL_INSERTION = 0.02  # two points of an insertion AUC, whose range ends at 1,
EQUAL_DELETION = 0.005  # and, within one loss, less than a tenth of the oracle's deletion AUC on the VOC-like scenes


def where_explained(estimator):
    """The estimator, untestable where no pair of its `data` was explained (radiographs have few boxes), one of its
    methods did not run (the oracle needs exact masks), or a gate fails.
    """

    tested = gated(estimator)

    @functools.wraps(estimator)
    def checked(tables, *, data: str, **arguments):
        wanted = arguments.get("methods", [])
        explained = (tables["scores"]["data"] == data).any()
        explained &= present(tables["scores"], wanted, data=data) == wanted
        return tested(tables, data=data, **arguments) if explained else untestable()

    return checked


@claim("P3.01", "T3.2", "must", "< -0.05", "{DATA}: RP's deletion AUC is far below that of random maps (difference)",
       column="deletion", methods=["RP", "random"],
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.21", "T3.1", "expected", "> 0",
       "{DATA}: RP has the higher class distortion score than MP, absolute form, same start (difference)",
       column="cds_absolute", methods=["RP", "MP"],
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.24", "T3.1", "report", "> 0",
       "{DATA}: RP has the higher class distortion score than EP, absolute form (difference)", column="cds_absolute",
       methods=["RP", "EP"],
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.27", "T3.1", "report", "> 0", "VOC-like: the same against MP in the slides' signed form (difference)",
       data="voc", column="cds_signed", methods=["RP", "MP"])
@claim("P3.28", "T3.1", "report", "> 0",
       "VOC-like: the same against MP in the released script's ratio form (difference)", data="voc", column="cds_ratio",
       methods=["RP", "MP"])
@claim("P3.29", "T3.1", "expected", "< 0",
       "{DATA}: RP changes the other classes less than MP (mean |Δp| in the masked image, difference)", column="change",
       methods=["RP", "MP"],
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.32", "T3.6", "must", "< 0",
       "VOC-like: keeping the non-targets works: L_M changes them less than T alone (mean |Δp|, difference)",
       data="voc", column="change", methods=["L_M", "T"])
@claim("P3.33", "T3.6", "must", "> 0.2",
       "VOC-like: the reverse image gives the class back with RP, not with L_M (p of the class, difference)",
       data="voc", column="p_reverse", methods=["RP", "L_M"])
@claim("P3.34", "T3.1", "must", "> 0.2",
       "{DATA}: the reverse image gives the class back with RP, not with MP (p of the class, difference)",
       column="p_reverse", methods=["RP", "MP"],
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.83", "T3.1", "report", "> 0",
       "{DATA}: cut to RP's area, RP's map shows more of the class in the reverse image than MP's (p, difference)",
       column="p_reverse_cut", methods=["RP", "MP"],
       note="the hottest pixels of either map, as many on each pair as RP's mask removes",
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.38", "T3.6", "expected", "<= 0.05",
       "VOC-like: RP does not excite the others in the reverse image more than T alone (mean p, difference at most "
       "0.05)", data="voc", column="level", methods=["RP", "T"])
@claim("P3.39", "T3.6", "expected", "< 0", "VOC-like: deletion AUC falls from T to L_M (difference)", data="voc",
       margin=EQUAL_DELETION, column="deletion", methods=["L_M", "T"], note="trials before already contradicted it")
@claim("P3.40", "T3.6", "expected", "< 0", "VOC-like: deletion AUC falls from L_M to RP (difference)", data="voc",
       margin=EQUAL_DELETION, column="deletion", methods=["RP", "L_M"], note="trials before already contradicted it")
@claim("P3.41", "T3.4", "expected", ">= 0", "{DATA}: RP inserts at least as well as MP (difference of insertion AUCs)",
       column="insertion", methods=["RP", "MP"], margin=EQUAL_INSERTION,
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.44", "T3.3", "expected", "> 0",
       "VOC-like: more of MP's map lies in the object's box than of a random map (difference)", data="voc",
       column="energy", methods=["MP", "random"])
@claim("P3.45", "T3.3", "expected", "> 0",
       "VOC-like: more of EP's map lies in the object's box than of a random map (difference)", data="voc",
       column="energy", methods=["EP", "random"])
@claim("P3.46", "T3.3", "expected", "> 0",
       "VOC-like: more of RP's map lies in the object's box than of a random map (difference)", data="voc",
       column="energy", methods=["RP", "random"])
@claim("P3.67", "X3.9", "report", "> 0",
       "VOC-like, MP from m = 1: more masks are stuck with area weight 1 than with the published one (difference of "
       "shares)", data="voc", column="stuck", methods=[grid_name("MP", 1, 1), grid_name("MP", 1, 0.01)],
       note=FIRST_PAIRS)
@claim("P3.69", "T3.2", "report", "< 0",
       "VOC-like: {METHOD}'s masks score a lower deletion AUC than removing exactly the object's pixels (difference)",
       data="voc", column="deletion", note="below the oracle a mask destroys rather than explains",
       over=[{"METHOD": "MP", "methods": ["MP", "oracle"]}, {"METHOD": "RP", "methods": ["RP", "oracle"]}])
@where_explained
def difference(tables, *, data: str, column: str, methods: list[str]):
    """Mean over pairs and seeds of the column, first method minus second."""
    scores = tables["scores"]
    return values(scores, methods, column, data=data), paired


@claim("P3.04", "T3.2", "report", "< 1",
       "{DATA}: RP deletes better than MP with the same start (ratio of deletion AUCs)", column="deletion",
       methods=["RP", "MP"], note=TUNED,
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.07", "T3.2", "report", "< 1",
       "{DATA}: RP deletes better than MP started at 1 with its tuned weight (ratio of deletion AUCs)",
       column="deletion", methods=["RP", "MP (start 1)"], note=ODD_START,
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.10", "T3.2", "expected", "< 1", "{DATA}: RP deletes better than EP (ratio of deletion AUCs)",
       column="deletion", methods=["RP", "EP"], note=TUNED,
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.13", "T3.2", "report", "< 1", "{DATA}: RP deletes better than RISE (ratio of deletion AUCs)",
       column="deletion", methods=["RP", "RISE"], margin=EQUAL_RATIO,
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.19", "X3.2", "report", "< 1",
       "VOC-like, masks at full resolution: RP deletes better than MP (ratio of deletion AUCs)", data="voc",
       column="deletion", methods=["RP (full)", "MP (full)"],
       note="one training seed; tuned weights")
@claim("P3.20", "X3.2", "report", "< 1",
       "VOC-like, both from start 1: RP deletes better than MP (ratio of deletion AUCs)", data="voc", column="deletion",
       methods=["RP (start 1)", "MP (start 1)"],
       note=f"{FIRST_PAIRS}; tuned weights")
@claim("P3.57", "T3.2", "expected", "< 1",
       "VOC-like, published settings: RP deletes better than MP (ratio of deletion AUCs)", column="deletion",
       data="voc", methods=["RP (published)", "MP (published)"], note=PUBLISHED, margin=EQUAL_RATIO)
@claim("P3.58", "T3.4", "expected", "> 1",
       "VOC-like, published settings: RP inserts better than MP (ratio of insertion AUCs)", column="insertion",
       data="voc", methods=["RP (published)", "MP (published)"], note=PUBLISHED)
@claim("P3.59", "T3.1", "report", "< 1",
       "VOC-like, published settings: RP's masks are smaller than MP's (ratio of the shares removed)", column="area",
       data="voc", methods=["RP (published)", "MP (published)"],
       note=f"{PUBLISHED}; RP's area weight is 500 times MP's")
@claim("P3.60", "T3.1", "expected", "> 1",
       "VOC-like, published settings: RP's reverse image shows more of the class than MP's (ratio of p)",
       column="p_reverse", data="voc", methods=["RP (published)", "MP (published)"], note=PUBLISHED)
@claim("P3.61", "T3.1", "expected", "< 1",
       "VOC-like, published settings: RP changes the other classes less than MP (ratio of mean |Δp|)", column="change",
       data="voc", methods=["RP (published)", "MP (published)"], note=PUBLISHED)
@claim("P3.62", "T3.2", "expected", "< 1",
       "VOC-like, published settings: RP deletes better than EP (ratio of deletion AUCs)", column="deletion",
       data="voc", methods=["RP (published)", "EP (published)"], note=FIRST_PAIRS)
@claim("P3.63", "X3.9", "report", "< 1",
       "VOC-like, both from m = {START:g}, area weight {AREA:g}: RP deletes better than MP (ratio of deletion AUCs)",
       column="deletion", data="voc", note=FIRST_PAIRS, margin=EQUAL_RATIO,
       over=[{"START": start, "AREA": area,
              "methods": [grid_name("RP", start, area), grid_name("MP", start, area)]}
             for start in (0, 1) for area in (1, 0.01)])
@claim("P3.71", "T3.2", "report", "< 1",
       "VOC-like: RP deletes better than integrated gradients (ratio of deletion AUCs)", column="deletion", data="voc",
       methods=["RP", "IG"], margin=EQUAL_RATIO)
@claim("P3.72", "T3.4", "report", "> 1",
       "VOC-like: RP inserts better than integrated gradients (ratio of insertion AUCs)", column="insertion",
       data="voc", methods=["RP", "IG"], note="both begin at the blurred reference")
@claim("P3.73", "X3.9", "report", "< 1",
       "VOC-like, RP as tuned, MP from m = 1 with area weight {AREA:g}: RP deletes better (ratio of deletion AUCs)",
       column="deletion", data="voc", note=FIRST_PAIRS, margin=EQUAL_RATIO,
       over=[{"AREA": area, "methods": ["RP", grid_name("MP", 1, area)]} for area in (1, 0.01)])
@where_explained
def ratio(tables, *, data: str, column: str, methods: list[str]):
    """Mean of the column for the first method over that for the second; the interval is formed on the logarithm."""
    scores = tables["scores"]
    return values(scores, methods, column, data=data), quotient


@claim("P3.37", "T3.6", "must", "> 0",
       "VOC-like: the full loss has the highest p of the class in the reverse image (lead over T, L_M, MP)", data="voc",
       column="p_reverse", method="RP", others=["T", "L_M", "MP"])
@where_explained
def lead(tables, *, data: str, column: str, method: str, others: list[str]):
    """Mean of the column for one method minus the largest mean among the others."""
    scores = tables["scores"]

    def leads(v: np.ndarray) -> np.ndarray:
        means = v.mean((0, 1))
        return means[0] - means[1:]

    return values(scores, [method, *others], column, data=data), least(leads)


@claim("P3.68", "X3.9", "report", "> 0",
       "VOC-like, MP from m = 1: the ratio of deletion AUCs RP/MP rises when MP's area weight falls from 1 to its "
       "published .01 (difference of ratios, RP as tuned)", data="voc", column="deletion", note=FIRST_PAIRS)
@where_explained
def weight_effect(tables, *, data: str, column: str):
    """RP/MP with MP's smallest area weight of the grid minus that with its largest, MP from start 1, RP as tuned."""
    names = [name for area in (GRID_WEIGHTS[-1], GRID_WEIGHTS[0]) for name in ("RP", grid_name("MP", 1, area))]

    def effect(v: np.ndarray) -> float:
        means = v.mean((0, 1))
        return float(means[0] / means[1] - means[2] / means[3])

    return values(tables["scores"], names, column, data=data), effect


@claim("P3.16", "T3.2", "check", "> 0", "{DATA}: a share of MP's masks never leaves the start 1 with its tuned weight",
       column="stuck", method="MP (start 1)", note=ODD_START,
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@where_explained
def share(tables, *, data: str, column: str, method: str):
    """Mean of a column of one method (a share of pairs for booleans)."""
    scores = tables["scores"]
    return values(scores, [method], column, data=data), lambda v: float(v.mean())


@claim("P3.47", "F3.6", "expected", "> 0",
       "VOC-like: L_M's masks raise a non-target by more than 0.1 in the reverse image of more pairs than RP's do "
       "(difference of shares)", data="voc", least=0.1, note="slides: one example, NT 1.11 to 64.69 %")
def cured(tables, *, data: str, least: float):
    """Share of pairs in whose reverse image some non-target rises by more than `least`, with L_M's mask minus with
    RP's. The share of pairs that RP's mask cures could not fall below 0, whatever the masks do.
    """
    scores = tables["scores"]
    worst = values(scores, ["L_M", "RP"], "worst", data=data)
    return worst, lambda v: float((v[..., 0] > least).mean() - (v[..., 1] > least).mean())
