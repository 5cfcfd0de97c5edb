"""Claims about methods, by true effects. All are ours, and `report` unless they hold by construction.

Statements, directions and margins were fixed before anything of the reported size was computed, on twelve validation
scenes and a VGG of seed 0, on twelve phantoms of another seed and a network of another architecture.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from aecompanion.evaluate.intervals import bounded, largest, least
from aecompanion.explain.methods import METHODS
from aecompanion.explain.neighbours import NEIGHBOURS
from aecompanion.papers.truth.tables import TOLD, cost, difference, known, pooled, values
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable
from aecompanion.studies.truth import PAINTED

Tables = Mapping[str, pd.DataFrame]
NOT_RUN = "the methods did not run in this world"
MARGIN = 0.05  # of rank correlations and shares: too small to prefer a method for
VOC, COCO, CHEST = ({"world": name, "family": "vgg"} for name in ("voc", "coco", "chest"))
OBJECTS = {"world": "objects", "family": "marked"}
COMPOSED = [VOC, COCO, CHEST, OBJECTS]
WORLDS = [
    {"WORLD": "VOC-like scenes"} | VOC,
    {"WORLD": "COCO-like scenes"} | COCO,
    {"WORLD": "Phantoms"} | CHEST,
    {"WORLD": "Objects with mark"} | OBJECTS,
    {"WORLD": "Mosaics, ImageNet networks", "world": "mosaics", "family": "EfficientNet-Lite"},
]
UNMASKED = [name for name, row in (METHODS | NEIGHBOURS).items() if row.family != "mask"]


def at(rows: pd.DataFrame, *, world: str, family: str) -> pd.DataFrame:
    return rows[(rows["world"] == world) & (rows["family"] == family)]


def each_mean(v: np.ndarray) -> np.ndarray:
    """The mean of every condition over seeds and items."""
    return np.nanmean(v, (0, 1))


@claim("P6.01", "X6.2", "report", "> 0",
       "{WORLD}: Shapley values, which are told the parts, rank them better than every method that is not (least "
       "difference of mean rank correlations; no masks)", undefined=NOT_RUN, over=WORLDS)
def told_lead(tables: Tables, *, world: str, family: str):
    """Mean rank of Shapley (parts) minus that of each method that finds the parts itself: the least."""
    rows = tables["methods"]
    others = [name for name in known(UNMASKED, rows, world=world, family=family) if name not in TOLD]
    if known(TOLD, rows, world=world, family=family) != list(TOLD) or not others:
        return untestable()
    v = values(rows, "rank", [*TOLD, *others], world=world, family=family)
    return v, least(lambda each: each_mean(each)[0] - each_mean(each)[1:])


@claim("P6.06", "X6.3", "report", "<= 0",
       "{WORLD}: no method that needs at most occlusion's passes and is not told the parts ranks them better than "
       "occlusion (largest difference of mean rank correlations; no masks)", undefined=NOT_RUN, over=WORLDS)
def ahead_of_occlusion(tables: Tables, *, world: str, family: str):
    """Mean rank of each method with at most occlusion's passes minus occlusion's: the largest."""
    rows = tables["methods"]
    here = known(UNMASKED, rows, world=world, family=family)
    if "occlusion" not in here:
        return untestable()
    spent = cost(at(rows, world=world, family=family))
    others = [each for each in here if each not in (*TOLD, "occlusion") and spent[each] <= spent["occlusion"]]
    if not others:
        return untestable()
    v = values(rows, "rank", ["occlusion", *others], world=world, family=family)
    return v, largest(lambda each: each_mean(each)[1:] - each_mean(each)[0])


@claim("P6.11", "X6.2", "report", "<= 0",
       "All composed worlds: guided {NAME} ranks parts no better than {PLAIN} (difference of mean rank correlations)",
       column="rank", margin=MARGIN, undefined=NOT_RUN,
       over=[{"NAME": "BP", "PLAIN": "BP", "methods": ["guided BP", "BP"]},
             {"NAME": "Grad-CAM", "PLAIN": "Grad-CAM", "methods": ["guided Grad-CAM", "Grad-CAM"]}])
@claim("P6.25", "X6.4", "report", "> 0",
       "All composed worlds: RP ranks parts by true effects better than MP, {HOW} (difference of mean rank "
       "correlations)", column="rank", margin=MARGIN, undefined=NOT_RUN,
       over=[{"HOW": "from equal starts with own weights", "methods": ["RP", "MP"]},
             {"HOW": "each as published", "methods": ["RP (published)", "MP (published)"]},
             {"HOW": "both started at 1", "methods": ["RP (start 1)", "MP (start 1)"]}])
@claim("P6.28", "X6.4", "report", "> 0",
       "All composed worlds: from equal starts RP puts more of its attribution on parts with effect than MP "
       "(difference of mean shares)", column="share", methods=["RP", "MP"], margin=MARGIN, undefined=NOT_RUN)
def pooled_difference(tables: Tables, *, column: str, methods: Sequence[str]):
    """Mean of the column for the first method minus that for the second, over the pictures of all composed worlds."""
    rows = tables["methods"]
    ran = [each for each in COMPOSED if known(methods, rows, **each) == list(methods)]
    if not ran:
        return untestable()
    return pooled(rows, column, methods, ran), difference


@claim("P6.13", "X6.2", "report", ">= 0.5",
       "Phantoms: {METHOD} gives the marker that the network reads at least half of the share that it has among the "
       "effects (mean share of the attribution over mean share of the effects)",
       undefined="no marker has an effect",
       over=[{"METHOD": name, "method": name} for name in ("Grad-CAM", "RISE", "MP", "RP")])
def marker_seen(tables: Tables, *, method: str):
    """Mean share of |a| on the marker over that of |e|, on pairs in which the marker has an effect; a map that gives
    nothing to any part (no share) gives nothing to the marker.
    """
    rows = at(tables["methods"], **CHEST)
    rows = rows[rows["method"] == method]
    idle = rows[["marked", "marked_true"]].fillna({"marked": 0.0}).where(rows["marked_true"] > 0)
    read = rows.assign(**idle)[rows["item"].isin(rows.loc[idle["marked"].notna(), "item"])]
    if read.empty:
        return untestable()
    v = np.stack([values(read, column, [method], **CHEST)[..., 0] for column in ("marked", "marked_true")], -1)
    return v, lambda each: float(np.nanmean(each[..., 0]) / np.nanmean(each[..., 1]))


@claim("P6.17", "X6.2", "check", ">= 1", "VOC-like scenes: the painted truth ranks parts perfectly (mean)",
       undefined=NOT_RUN)
def painted_rank(tables: Tables):
    """Mean rank of the map that spreads every effect over its part."""
    if not known([PAINTED], tables["methods"], **VOC):
        return untestable()
    return values(tables["methods"], "rank", [PAINTED], **VOC)[..., 0], lambda v: round(float(np.nanmean(v)), 9)


@claim("P6.18", "X6.2", "report", "> 0",
       "Objects: every method puts more of its attribution on the watermark where the network was trained with it "
       "(least rise of the mean share; no masks)", undefined="one of the two networks did not run")
def mark_rise(tables: Tables, *, without: str = "l2"):
    """Mean share on the mark with the marked network minus that with the one trained without it: the least."""
    rows = tables["methods"]
    families = [without, OBJECTS["family"]]
    shared = [known(UNMASKED, rows, world="objects", family=family) for family in families]
    methods = [name for name in shared[0] if name in shared[1]]
    objects = rows[rows["world"] == "objects"]
    carried = objects[objects["item"].isin(objects.loc[objects["marked_true"].notna(), "item"])]
    carried = carried.assign(marked=carried["marked"].fillna(0))  # a map of nothing puts nothing on the mark
    if not methods or carried.empty:
        return untestable()
    v = np.stack([values(carried, "marked", methods, world="objects", family=family) for family in families], -1)
    return v, least(lambda each: each_mean(each)[:, 1] - each_mean(each)[:, 0])


@claim("P6.19", "X6.2", "report", "< 0.5",
       "Phantoms: reading maps by their means over a part instead of their sums gives another order of methods "
       "(Kendall's tau of the two orders; no masks)", undefined=NOT_RUN)
def order_of_readings(tables: Tables):
    """τ of the methods' mean rank and mean density."""
    rows = tables["methods"]
    methods = known(UNMASKED, rows, **CHEST)
    if not methods:
        return untestable()
    v = np.stack([values(rows, column, methods, **CHEST) for column in ("rank", "density")], -1)
    return v, tau


@claim("P6.20", "X6.4", "report", "> 0",
       "{WORLD}: RP ranks parts by true effects better than MP from equal starts with own weights (difference of mean "
       "rank correlations)", methods=["RP", "MP"], margin=MARGIN, undefined=NOT_RUN, over=WORLDS)
def rank_difference(tables: Tables, *, world: str, family: str, methods: Sequence[str]):
    """Mean rank of the first method minus that of the second, on the same pairs."""
    rows = tables["methods"]
    if known(methods, rows, world=world, family=family) != list(methods):
        return untestable()
    return values(rows, "rank", methods, world=world, family=family), difference


@claim("P6.29", "X6.2", "report", "< 0.5",
       "The order of methods on VOC-like scenes is not the order on phantoms (Kendall's tau of mean rank correlations; "
       "no masks)", undefined=NOT_RUN)
def order_of_worlds(tables: Tables):
    """τ of the methods' mean ranks in two worlds, whose items stand behind each other (NaN in the other world)."""
    rows = tables["methods"]
    methods = [name for name in known(UNMASKED, rows, **VOC) if name in known(UNMASKED, rows, **CHEST)]
    if not methods:
        return untestable()
    first, second = (values(rows, "rank", methods, **world) for world in (VOC, CHEST))
    v = np.full((len(first), first.shape[1] + second.shape[1], len(methods), 2), np.nan)
    v[:, : first.shape[1], :, 0], v[:, first.shape[1] :, :, 1] = first, second
    return v, tau


@bounded(-1, 1)
def tau(v: np.ndarray) -> float:
    """Kendall's τ between the methods' means in the two columns of the last axis."""
    return float(stats.kendalltau(*each_mean(v).T).statistic)
