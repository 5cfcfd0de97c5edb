"""Claims of paper 1 on photographs and real ImageNet networks: the statements of phantoms and digits, once more.

There is no finding whose box could be drawn; in its place stands the region of the causal-effect map. The map is made
with mean fill, so that no claim asks for its lead under that fill.
"""

import numpy as np

from aecompanion.evaluate.detection import auroc
from aecompanion.evaluate.detectors import DETECTORS
from aecompanion.evaluate.intervals import largest, least
from aecompanion.explain.fills import FILLS
from aecompanion.papers.causal.attacked import mean_auroc
from aecompanion.papers.causal.evaded import evaded_cube
from aecompanion.papers.causal.photographs import blocked, ranked, ratio, score_cube
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable
from aecompanion.studies.photograph_detectors import SCORES

FEW = "photographs that every compared network names right; how many stands in the column n"
OTHER_HALF = f"{FEW}; channels ordered on the other half of them"
ONE = "some of the photographs, the first network; how many stands in the column n"
EVERY_FILL = [{"fill": fill} for fill in FILLS]
EVERY_SCORE = [{"detector": name, "TITLE": DETECTORS[name].title} for name in SCORES]


@claim("P1.174", "X1.27", "report", "> 0",
       "ImageNet, fill {fill}: the region of the causal-effect map matters more than Grad-CAM's of equal area (least "
       "difference of mean |CE| over networks)", regions=["map", "gradcam"], note=FEW,
       over=[each for each in EVERY_FILL if each["fill"] != "mean"])
@claim("P1.179", "X1.27", "report", "> 0",
       "ImageNet, fill {fill}: Grad-CAM's region matters more than one of its form elsewhere (least difference of mean "
       "|CE| over networks)", regions=["gradcam", "moved"], note=FEW, over=EVERY_FILL)
@claim("P1.185", "X1.27", "report", "> 0",
       "ImageNet, fill {fill}: Grad-CAM's region matters more than a square of equal area in the centre (least "
       "difference of mean |CE| over networks)", regions=["gradcam", "centre"], note=FEW, over=EVERY_FILL)
def photograph_regions(tables, *, fill: str, regions: list[str]):
    """Mean |CE| of the label for one region minus that for another, same photographs, the least over networks."""
    pairs = [{"fill": fill, "region": each} for each in regions]
    values = np.abs(blocked(tables["photograph_regions"], "effect", pairs))
    return values, least(lambda v: (v[..., 0] - v[..., 1]).mean((0, 1)))


@claim("P1.191", "X1.27", "report", "> 0",
       "ImageNet, missingness bias: a {fill} region elsewhere does more than a mean-filled one (least difference of "
       "mean |CE| over networks)", note=FEW, over=[{"fill": "black"}, {"fill": "white"}])
def photograph_missingness(tables, *, fill: str):
    """Mean |CE| of the moved region under one fill minus that under mean fill, the least over networks."""
    pairs = [{"fill": each, "region": "moved"} for each in (fill, "mean")]
    values = np.abs(blocked(tables["photograph_regions"], "effect", pairs))
    return values, least(lambda v: (v[..., 0] - v[..., 1]).mean((0, 1)))


@claim("P1.193", "X1.27", "report", "< 0.05",
       "ImageNet, fill {fill}: a region elsewhere does little (mean |CE| below 0.05, largest over networks)", note=FEW,
       over=[{"fill": "mean"}, {"fill": "inpaint"}])
def photograph_elsewhere(tables, *, fill: str):
    """Mean |CE| of the moved region, the largest over networks."""
    values = np.abs(blocked(tables["photograph_regions"], "effect", [{"fill": fill, "region": "moved"}]))
    return values, largest(lambda v: v[..., 0].mean((0, 1)))


@claim("P1.195", "X1.29", "report", "> 5",
       "ImageNet: channels differ: the most influential one does more than five times what the median one does (least "
       "ratio over networks)", note=OTHER_HALF)
def photograph_channels(tables):
    """Mean |ECE_j - ECE0| of the most influential channel over that of the median one, the least over networks."""
    return ranked(tables["photograph_channels"]), least(ratio)


@claim("P1.196", "X1.29", "report", "< 0.02",
       "ImageNet: some channel is not needed (mean |ECE_j - ECE0| of the weakest below 0.02, largest over networks)",
       note=OTHER_HALF)
def photograph_weakest(tables):
    """Mean |ECE_j - ECE0| of the channel that does least on the other half, the largest over networks."""
    return ranked(tables["photograph_channels"])[..., -1], largest(lambda v: np.abs(v).mean((0, 1)))


@claim("P1.197", "X1.29", "report", "> 0",
       "ImageNet: less than half of the effect is left when the channel is set to the mean code of other images "
       "instead of zero (|e| at zero minus twice |e| at the mean code, least over networks)", note=OTHER_HALF)
def photograph_flatness(tables):
    """|mean e| under do(c_j = 0) minus twice |mean e| under do(c_j = mean code), the least over networks."""
    both = [ranked(tables["photograph_channels"], column)[..., 0] for column in ("expected", "usual")]

    def left(v: np.ndarray) -> np.ndarray:
        zero, usual = np.abs(v.mean((0, 1))).T
        return zero - 2 * usual

    return np.stack(both, axis=-1), least(left)


@claim("P1.198", "X1.30", "report", "> 0.5",
       "ImageNet: the effect of one channel detects FGSM at {level}/255 (AUROC above 1/2, least over networks)",
       score="effect", note=FEW, over=[{"level": 2}, {"level": 8}])
@claim("P1.200", "X1.30", "report", "> 0.5",
       "ImageNet: NISSIM of Grad-CAM detects FGSM at {level}/255 (AUROC above 1/2, least over networks)",
       score="heatmap", note=FEW, over=[{"level": 2}, {"level": 8}])
@claim("P1.202", "X1.30", "report", "> 0.5",
       "ImageNet: feature squeezing detects FGSM at {level}/255 (AUROC above 1/2, least over networks)",
       score="squeezing", note=FEW, over=[{"level": 2}, {"level": 8}])
def photograph_detection(tables, *, score: str, level: int):
    """AUROC of a score under FGSM, the least over networks."""
    return score_cube(tables["photograph_attacks"], score, "fgsm", level), least(aurocs)


@claim("P1.204", "X1.30", "report", "< 0.6",
       "ImageNet: noise of 8/255 does not raise the alarm of the effect (AUROC below 0.6, largest over networks)",
       score="effect", level=8, note=FEW)
def photograph_alarm(tables, *, score: str, level: int):
    """AUROC of a score under random signs, the largest over networks."""
    return score_cube(tables["photograph_attacks"], score, "noise", level), largest(aurocs)


@claim("P1.205", "X1.30", "report", "> 0",
       "ImageNet: a small effect beats low confidence under FGSM at {level}/255 (least difference of AUROC over "
       "networks, both one-sided)", scores=["small_effect", "confidence"], note=FEW,
       over=[{"level": 2}, {"level": 8}])
def photograph_lead(tables, *, scores: list[str], level: int):
    """AUROC of one score minus that of another under FGSM, the least over networks."""
    both = [score_cube(tables["photograph_attacks"], score, "fgsm", level) for score in scores]
    return np.concatenate(both, axis=-1), least(lambda v: aurocs(v[..., :2]) - aurocs(v[..., 2:]))


def aurocs(values: np.ndarray) -> np.ndarray:
    """Per network the AUROC of condition 1 against condition 0."""
    return np.array([auroc(each[..., 0], each[..., 1]) for each in np.moveaxis(values, 2, 0)])


@claim("P1.207", "X1.31", "report", "< 0.6",
       "ImageNet, {TITLE}: an attack of 8/255 that knows it stays unseen (AUROC below 0.6)", level=8, note=ONE,
       over=EVERY_SCORE)
def photograph_evaded(tables, *, detector: str, level: int):
    """AUROC of a score under the attack that knows it; photographs that it does not fool count, too."""
    rows = tables["photograph_evasion"]
    if level not in set(rows["level"]):
        return untestable()
    return evaded_cube(rows, detector, level, ("clean", "adaptive")), mean_auroc


@claim("P1.213", "X1.31", "report", "< 0",
       "ImageNet, {TITLE}: its AUROC at 8/255 falls once the attack knows it (difference to FGSM)", level=8, note=ONE,
       over=EVERY_SCORE)
def photograph_evasion(tables, *, detector: str, level: int):
    """AUROC under the attack that knows the score minus that under FGSM, same photographs and ε."""
    rows = tables["photograph_evasion"]
    if level not in set(rows["level"]):
        return untestable()
    values = evaded_cube(rows, detector, level, ("clean", "plain", "adaptive"))
    return values, lambda v: mean_auroc(v[..., [0, 2]]) - mean_auroc(v[..., [0, 1]])
