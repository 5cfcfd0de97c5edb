"""Claims of Kim et al., IEEE TIP 2022, and the estimators that test them; those of the randomisation check follow in
`claims_sanity`.
"""

import functools

import numpy as np

from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable
from aecompanion.report.masks.tables import paired, values

OTHER_WEIGHT = "at an area weight of neither's published setting"
STUCK_START = "see the share of stuck masks; MP's start with 100 times its published area weight"
HEAVY_START = "MP's start with 100 times its published area weight"


def where_explained(estimator):
    """The estimator, untestable where no pair of its `data` was explained (radiographs have few boxes)."""

    @functools.wraps(estimator)
    def checked(tables, *, data: str, **arguments):
        explained = (tables["scores"]["data"] == data).any()
        return estimator(tables, data=data, **arguments) if explained else untestable()

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
@claim("P3.38", "T3.6", "expected", "<= 0.05",
       "VOC-like: RP does not excite the others in the reverse image more than T alone (mean p, difference at most "
       "0.05)", data="voc", column="level", methods=["RP", "T"])
@claim("P3.39", "T3.6", "expected", "< 0", "VOC-like: deletion AUC falls from T to L_M (difference)", data="voc",
       column="deletion", methods=["L_M", "T"], note="the trials before already contradicted it")
@claim("P3.40", "T3.6", "expected", "< 0", "VOC-like: deletion AUC falls from L_M to RP (difference)", data="voc",
       column="deletion", methods=["RP", "L_M"], note="the trials before already contradicted it")
@claim("P3.41", "T3.4", "expected", ">= 0", "{DATA}: RP inserts at least as well as MP (difference of insertion AUCs)",
       column="insertion", methods=["RP", "MP"],
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
@where_explained
def difference(tables, *, data: str, column: str, methods: list[str]):
    """Mean over pairs and seeds of the column, first method minus second."""
    scores = tables["scores"]
    return values(scores, methods, column, data=data), paired


@claim("P3.04", "T3.2", "report", "< 1",
       "{DATA}: RP deletes better than MP with the same start (ratio of deletion AUCs)", column="deletion",
       methods=["RP", "MP"], note=OTHER_WEIGHT,
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.07", "T3.2", "report", "< 1",
       "{DATA}: RP deletes better than MP from its published start, 1 (ratio of deletion AUCs)", column="deletion",
       methods=["RP", "MP (start 1)"], note=STUCK_START,
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.10", "T3.2", "expected", "< 1", "{DATA}: RP deletes better than EP (ratio of deletion AUCs)",
       column="deletion", methods=["RP", "EP"], note=OTHER_WEIGHT,
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.13", "T3.2", "report", "< 1", "{DATA}: RP deletes better than RISE (ratio of deletion AUCs)",
       column="deletion", methods=["RP", "RISE"],
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@claim("P3.19", "X3.2", "report", "< 1",
       "VOC-like, masks at full resolution: RP deletes better than MP (ratio of deletion AUCs)", data="voc",
       column="deletion", methods=["RP (full)", "MP (full)"],
       note="one training seed; at an area weight of neither's published setting")
@claim("P3.20", "X3.2", "report", "< 1",
       "VOC-like, both from start 1: RP deletes better than MP (ratio of deletion AUCs)", data="voc", column="deletion",
       methods=["RP (start 1)", "MP (start 1)"],
       note="one training seed; at an area weight of neither's published setting")
@where_explained
def ratio(tables, *, data: str, column: str, methods: list[str]):
    """Mean of the column for the first method over that for the second."""
    scores = tables["scores"]
    return values(scores, methods, column, data=data), lambda v: float(v[..., 0].mean() / v[..., 1].mean())


@claim("P3.37", "T3.6", "must", "> 0",
       "VOC-like: the full loss has the highest p of the class in the reverse image (lead over T, L_M, MP)", data="voc",
       column="p_reverse", method="RP", others=["T", "L_M", "MP"])
@where_explained
def lead(tables, *, data: str, column: str, method: str, others: list[str]):
    """Mean of the column for one method minus the largest mean among the others."""
    scores = tables["scores"]

    def ahead(v: np.ndarray) -> float:
        means = v.mean((0, 1))
        return float(means[0] - means[1:].max())

    return values(scores, [method, *others], column, data=data), ahead


@claim("P3.16", "T3.2", "report", "> 0", "{DATA}: a share of MP's masks never leaves its published start",
       column="stuck", method="MP (start 1)", note=HEAVY_START,
       over=[{"data": "voc", "DATA": "VOC-like"}, {"data": "coco", "DATA": "COCO-like"},
             {"data": "chest", "DATA": "chest phantoms"}])
@where_explained
def share(tables, *, data: str, column: str, method: str):
    """Mean of a column of one method (a share of pairs for booleans)."""
    scores = tables["scores"]
    return values(scores, [method], column, data=data), lambda v: float(v.mean())


@claim("P3.47", "F3.6", "expected", "> 0",
       "VOC-like: for some pairs L_M's mask raises a non-target by more than 0.1 in the reverse image and RP's does "
       "not (share of pairs)", data="voc", least=0.1, note="slides: one example, NT 1.11 to 64.69 %")
def cured(tables, *, data: str, least: float):
    """Share of pairs in whose reverse image some non-target rises by more than `least` with L_M's mask and none does
    with RP's.
    """
    scores = tables["scores"]
    worst = values(scores, ["L_M", "RP"], "worst", data=data)
    return worst, lambda v: float(((v[..., 0] > least) & (v[..., 1] <= least)).mean())
