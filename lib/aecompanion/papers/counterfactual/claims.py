"""Claims of Boreiko et al., GCPR 2022, about balls, networks and spurious features, with their estimators."""

import numpy as np

from aecompanion.evaluate.intervals import largest, least
from aecompanion.papers.counterfactual.tables import KINDS, NORMS, has, paired
from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube, untestable

NO_MASKS = "these images have no object masks"


@claim("P2.02", "F2.2", "expected", "< 0",
       "Background share of the change: l1 below l1.5 at equal confidence (difference)", column="background",
       kinds=["l1", "l1.5"], undefined=NO_MASKS)
@claim("P2.03", "F2.2", "must", "< 0", "Background share of the change: l1.5 below l2 (difference)",
       column="background", kinds=["l1.5", "l2"], undefined=NO_MASKS)
@claim("P2.05", "F2.2", "expected", "> 0", "Largest change of a value: l1 above l1.5 (difference)", column="largest",
       kinds=["l1", "l1.5"])
@claim("P2.06", "F2.2", "must", "> 0", "Largest change of a value: l1.5 above l2 (difference)", column="largest",
       kinds=["l1.5", "l2"])
@claim("P2.07", "F2.2", "expected", "> 0", "Gini index of the change: l1 above l1.5 (difference)", column="gini",
       kinds=["l1", "l1.5"])
@claim("P2.08", "F2.2", "must", "> 0", "Gini index of the change: l1.5 above l2 (difference)", column="gini",
       kinds=["l1.5", "l2"])
@claim("P2.09", "F2.2", "expected", "< 0", "Visibly changed pixels outside the object: l1.5 below l2 (difference)",
       column="outside", kinds=["l1.5", "l2"], undefined=NO_MASKS)
@claim("P2.10", "F2.2", "report", "< 0", "The same order of background shares on the plain network (l1.5 minus l2)",
       column="background", kinds=["l1.5", "l2"], network="plain", undefined=NO_MASKS)
@claim("P2.11", "T2.2", "report", "> 0",
       "Realism: the independent network believes l1.5 at least as much as l2 (difference of confidence)",
       column="realism", kinds=["l1.5", "l2"])
@claim("P2.12", "T2.2", "report", "> 0", "Realism: it believes l1.5 at least as much as l1 (difference of confidence)",
       column="realism", kinds=["l1.5", "l1"])
def kinds_differ(tables, *, column: str, kinds: list[str], network: str = "multi"):
    """Mean of a column, first kind of ball minus second, the same images."""
    counterfactuals = tables["counterfactuals"]
    if not has(counterfactuals, column):
        return untestable()
    conditions = [{"network": network, "kind": kind} for kind in kinds]
    return cube(counterfactuals, column, conditions), paired


@claim("P2.04", "F2.2", "expected", "> 0",
       "The same in every one of the four image sets (least favourable difference, l2 minus l1.5)", column="background",
       kinds=["l2", "l1.5"], undefined=NO_MASKS)
def kinds_differ_in_every_set(tables, *, column: str, kinds: list[str], network: str = "multi"):
    """The least difference over the disjoint image sets."""
    counterfactuals = tables["counterfactuals"]
    if not has(counterfactuals, column):
        return untestable()
    conditions = [{"network": network, "kind": kind} for kind in kinds]
    values = cube(counterfactuals, column, conditions)
    sets = cube(counterfactuals, "set", conditions[:1])  # a set's number travels with its image
    joined = np.concatenate([values, np.broadcast_to(sets, (*values.shape[:2], 1))], axis=-1)

    numbers = np.unique(sets)
    return joined, least(lambda v: [paired(v[v[..., 2] == number]) for number in numbers])


@claim("P2.26", "F2.7", "expected", "> 0",
       "Realism at equal confidence: the l2-robust network above the plain one, l1.5 (difference)", column="realism",
       networks=["l2", "plain"], kind="l1.5")
@claim("P2.27", "F2.7", "expected", "> 0",
       "Realism at equal confidence: the multiple-norm robust network above the plain one, l1.5 (difference)",
       column="realism", networks=["multi", "plain"], kind="l1.5")
@claim("P2.28", "F2.7", "report", "> 0",
       "Realism at equal confidence: multiple-norm above l2-robust, l1.5 (difference)", column="realism",
       networks=["multi", "l2"], kind="l1.5")
@claim("P2.29", "F2.7", "report", "< 0",
       "Sparser, too: the multiple-norm network's l1.5 change has a smaller background share than the plain one's "
       "(difference)", column="background", networks=["multi", "plain"], kind="l1.5", undefined=NO_MASKS)
@claim("P2.30", "F2.7", "expected", "< 0",
       "The plain network is convinced by smaller changes: radius of l1.5, plain minus multiple-norm", column="eps",
       networks=["plain", "multi"], kind="l1.5")
@claim("P2.37", "T2.10", "must", "> 0", "Adversarial training in l2 raises robust accuracy in l2 (l2 minus plain)",
       column="l2", table="quality", networks=["l2", "plain"])
@claim("P2.38", "T2.10", "expected", "> 0",
       "Fine-tuning to several norms raises robust accuracy in l1 (multiple-norm minus l2)",
       column="l1", table="quality",
       networks=["multi", "l2"])
@claim("P2.33", "F2.11", "report", "> 0",
       "Towards the marked class the network trained with the letters puts more of its change on their place, although "
       "they do not fit into the ball (difference of shares)", column="on_mark", table="spurious",
       networks=["marked", "control"])
@claim("P2.45", "X2.6", "must", "> 0",
       "Noise of the same size does not look like the target: realism, multiple-norm minus noise",
       column="realism", table="controls",
       networks=["multi", "noise"])
@claim("P2.46", "X2.6", "must", "> 0",
       "Nor does an untrained network's counterfactual: realism, multiple-norm minus untrained",
       column="realism", table="controls",
       networks=["multi", "untrained"])
@claim("P2.47", "X2.6", "expected", "> 0",
       "In one ball for all the multiple-norm network's counterfactuals are believed more than the plain one's "
       "(realism)", column="realism", table="controls", networks=["multi", "plain"])
def networks_differ(tables, *, column: str, networks: list[str], table: str = "counterfactuals", kind: str = ""):
    """Mean of a column of a table, first network minus second, the same images and, where a kind of ball is given, it.
    """
    fixed = {"kind": kind} if kind else {}
    return cube(tables[table], column, [{"network": network} | fixed for network in networks]), paired


@claim("P2.01", "T2.2", "must", "< 0.07",
       "Radii are matched: every ball's mean confidence on fresh images is within .07 of .9 (largest distance)",
       confidence=0.9)
def matched(tables, *, confidence: float, network: str = "multi"):
    """Largest distance of a kind's mean confidence from the one that radii were matched at."""
    counterfactuals = tables["counterfactuals"]
    values = cube(counterfactuals, "confidence", [{"network": network, "kind": kind} for kind in KINDS])
    return values, largest(lambda v: np.abs(v.mean((0, 1)) - confidence))


@claim("P2.39", "T2.10", "expected", "> 0",
       "It raises the least of the three robust accuracies (multiple-norm minus l2)", networks=["multi", "l2"])
def least_robust_gain(tables, *, networks: list[str]):
    """The smallest robust accuracy over the three norms, first network minus second."""
    quality = tables["quality"]
    values = np.stack([cube(quality, norm, [{"network": network} for network in networks]) for norm in NORMS], -1)

    def gain(v: np.ndarray) -> float:
        least = v.mean((0, 1)).min(-1)
        return float(least[0] - least[1])

    return values.astype(float), gain


@claim("P2.40", "T2.11", "check", "> 0",
       "The least {kind} radius grows with the confidence asked for (least mean of the differences on the same image)",
       over=[{"kind": "l1"}, {"kind": "l1.5"}, {"kind": "l2"}])
def radius_grows(tables, *, kind: str):
    """The least mean difference of an image's radii from one confidence to the next, over images that reach both.

    No image's radius can fall: all confidences are searched for in the same runs.
    """
    reached = tables["least"]
    rows = reached[reached["kind"] == kind]
    values = cube(rows, "radius", [{"level": level} for level in sorted(rows["level"].unique())])

    def growth(v: np.ndarray) -> np.ndarray:
        both = np.isfinite(v[..., 1:]) & np.isfinite(v[..., :-1])
        differences = np.where(both, v[..., 1:], 0) - np.where(both, v[..., :-1], 0)
        counts = both.sum((0, 1))
        return np.where(counts > 0, differences.sum((0, 1)) / np.maximum(counts, 1), np.nan)

    return values, least(growth)


@claim("P2.43", "T2.11", "expected", "< 1",
       "At confidence .9 the smallest l1.5 change is smaller in l1 than the smallest l2 change (ratio of mean l1 "
       "norms)", column="l1", kinds=["l1.5", "l2"], level=0.9)
@claim("P2.44", "T2.11", "expected", "> 1", "and larger in l2 (ratio of mean l2 norms)", column="l2",
       kinds=["l1.5", "l2"], level=0.9)
def norms_differ(tables, *, column: str, kinds: list[str], level: float):
    """Mean norm of the change at the least radius, first kind over second, of the images that reach both."""
    reached = tables["least"]
    rows = reached[reached["level"] == level]
    rows = rows.assign(**{column: rows[column].where(np.isfinite(rows["radius"]))})
    values = cube(rows, column, [{"kind": kind} for kind in kinds])

    def ratio(v: np.ndarray) -> float:
        both = v[np.isfinite(v).all(-1)]
        return float(both[:, 0].mean() / both[:, 1].mean()) if len(both) else float("nan")

    return values, ratio


@claim("P2.52", "F2.11", "expected", "> 0",
       "A mark that fits into the ball: towards the marked class the network trained with the small mark puts more of "
       "its change on the mark's place than on the mirrored place (difference of shares)", network="small",
       places=["on_small", "on_mirror"])
def places_differ(tables, *, network: str, places: list[str]):
    """Mean share of the change on the first place minus that on the second, one network, the same images."""
    rows = tables["spurious"]
    return np.concatenate([cube(rows, place, [{"network": network}]) for place in places], axis=-1), paired


@claim("P2.34", "X2.4", "must", "> 0",
       "False positives grow with the mark's strength, network trained with it (strongest minus none)",
       network="marked", strengths=[0.0, 0.8])
@claim("P2.36", "X2.4", "expected", "< 0.1", "The control is hardly fooled (strongest minus none below .1)",
       network="control", strengths=[0.0, 0.8])
@claim("P2.53", "X2.4", "expected", "> 0",
       "The small mark, which fits into the ball, is learned as well (false positives, strongest minus none)",
       network="small", strengths=[0.0, 0.8], mark="small mark")
def fooled_by_mark(tables, *, network: str, strengths: list[float], mark: str = "letters"):
    """Share of images of other classes called the marked class, at the last strength minus the first."""
    fooled = tables["fooled"]
    fooled = fooled[fooled["mark"] == mark]
    values = cube(fooled, "marked_class", [{"network": network, "strength": each} for each in strengths])
    return values.astype(float), lambda v: float((v[..., -1] - v[..., 0]).mean())


@claim("P2.35", "X2.4", "expected", ">= 0", "They never fall from one strength to the next (least step)",
       network="marked")
def fooled_monotonically(tables, *, network: str, mark: str = "letters"):
    """The least step of the share of false positives as the mark gets stronger."""
    fooled = tables["fooled"]
    own = fooled[(fooled["network"] == network) & (fooled["mark"] == mark)]
    conditions = [{"strength": each} for each in sorted(own["strength"].unique())]
    values = cube(own, "marked_class", conditions).astype(float)
    return values, least(lambda v: np.diff(v.mean((0, 1))))
