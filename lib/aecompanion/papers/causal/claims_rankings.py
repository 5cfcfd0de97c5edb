"""Claims of Yang et al., ICIP 2019, about how well estimates rank true effects, with their estimators."""

from aecompanion.papers.causal.rankings import PROBABILITY, READINGS, TRUTH, best_fill, estimate_cube
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable

NO_TRUTH = "needs counterfactual images, which only phantoms have"
HALVES = "the fill chosen on images of even number, reported on those of odd number"


@claim("P1.32", "X1.6", "report", "> 0.3", "The released formula ranks cases by their true effect (rank correlation)",
       method="released formula", undefined=NO_TRUTH)
@claim("P1.82", "X1.6", "report", "> 0",
       "Beyond the probability: box · {fill} ranks true effects among cases of equal p (partial rank correlation)",
       reading="given p", undefined=NO_TRUTH,
       over=[{"fill": "ring"}, {"fill": "mean"}, {"fill": "inpaint"}, {"fill": "black"}, {"fill": "white"}])
def truth_correlation(tables, *, method: str = "", fill: str = "", reading: str = "pooled"):
    """Rank correlation of one estimate ("box · FILL" for a fill) with the true effect, in one of the READINGS."""
    estimates = tables["estimates"]
    if TRUTH not in set(estimates["method"]):
        return untestable()
    return estimate_cube(estimates, [method or f"box · {fill}"]), READINGS[reading]


@claim("P1.28", "X1.6", "expected", "> 0",
       "Rank correlation with the true effect: mean fill of the box beats the share of CAM in the box (difference)",
       methods=["box · mean", "CAM share"], undefined=NO_TRUTH)
@claim("P1.29", "X1.6", "expected", "> 0",
       "Mean fill of the box beats the released formula (difference of rank correlations)",
       methods=["box · mean", "released formula"], undefined=NO_TRUTH)
@claim("P1.30", "X1.6", "expected", "> 0", "Mean fill of the box beats white fill (difference of rank correlations)",
       methods=["box · mean", "box · white"], undefined=NO_TRUTH)
@claim("P1.31", "X1.6", "report", "> 0", "Ring-mean fill of the box beats mean fill (difference of rank correlations)",
       methods=["box · ring", "box · mean"], undefined=NO_TRUTH)
@claim("P1.87", "X1.6", "report", "> 0",
       "Without an intervention: CAM in the box, in logits, beats mean fill of the box (difference, within findings)",
       methods=["CAM evidence", "box · mean"], reading="within findings", undefined=NO_TRUTH)
@claim("P1.88", "X1.6", "report", "> 0",
       "No region at all: the network's probability beats mean fill of the box (difference, within findings)",
       methods=[PROBABILITY, "box · mean"], reading="within findings", undefined=NO_TRUTH)
def correlation_lead(tables, *, methods: list[str], reading: str = "pooled"):
    """Rank correlation with the true effect, one estimate minus another."""
    estimates = tables["estimates"]
    if TRUTH not in set(estimates["method"]):
        return untestable()
    return lead(estimate_cube(estimates, methods), reading)


@claim("P1.80", "X1.6", "report", "> 0",
       "The best fill of the box ranks true effects better than the network's probability alone (difference of rank "
       "correlations, within findings)", reading="within findings", undefined=NO_TRUTH, note=HALVES)
@claim("P1.81", "X1.6", "report", "> 0",
       "The same over all cases, findings pooled", reading="pooled", undefined=NO_TRUTH, note=HALVES)
def best_fill_lead(tables, *, reading: str, against: str = PROBABILITY):
    """Rank correlation with the true effect of the best "box · FILL" minus that of `against`: the fill is chosen on
    cases of images of even number, the difference is that of the others.
    """
    estimates = tables["estimates"]
    if TRUTH not in set(estimates["method"]):
        return untestable()
    odd = estimates["image"] % 2 == 1
    if odd.all() or not odd.any():
        return untestable()
    return lead(estimate_cube(estimates[odd], [best_fill(estimates[~odd], reading), against]), reading)


def lead(values, reading: str):
    """A cube of two estimates, the truth, p and findings with the difference of the two readings."""
    statistic = READINGS[reading]
    return values, lambda v: statistic(v[..., [0, 2, 3, 4]]) - statistic(v[..., [1, 2, 3, 4]])
