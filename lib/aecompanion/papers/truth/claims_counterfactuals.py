"""Claims about counterfactuals beside the generator's own, with their estimators.

All compare counterfactuals that convince their network equally (radii are matched on validation images). Whether a
network that is more robust, or a ball that is sparser, brings a change nearer to the true one is asked of the same
pictures, targets and handwritings.
"""

import itertools

import numpy as np
from scipy.stats import rankdata

from aecompanion.evaluate.intervals import bounded, least
from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube, untestable

BALLS = ("l1", "l1.5", "l2", "FW-L1-q")
NETWORKS = ("plain", "l2", "multi")
COMPOSED = "the images are not composed here, so nobody can render the target in the place of the object"
FOUND = {"change": "counterfactual"}
MULTI, PLAIN = ({"network": network, "ball": "l1.5"} | FOUND for network in ("multi", "plain"))
NONE = {"network": "", "ball": ""}


def pair(values: np.ndarray) -> float:
    """The mean of the first condition minus the second."""
    return float(np.nanmean(values[..., 0] - values[..., 1]))


@claim("P6.50", "X6.8", "report", "> 0",
       "Multiple-norm robust network: the change in the {first} ball is better aligned with the true one than in the "
       "l2 ball (difference of cosines)", network="multi", column="aligned", second="l2",
       over=[{"first": first} for first in ("l1.5", "l1", "FW-L1-q")])
@claim("P6.53", "X6.8", "report", "> 0",
       "Plain network: the change in the {first} ball is better aligned with the true one than in the l2 ball "
       "(difference of cosines)", network="plain", column="aligned", second="l2",
       over=[{"first": first} for first in ("l1.5", "FW-L1-q")])
@claim("P6.55", "X6.8", "report", "> 0",
       "Multiple-norm robust network: the change in the l1.5 ball lies more where the true one does than in the l2 "
       "ball, colour and sign aside (difference of the correlations of sizes over pixels)", network="multi",
       column="placed", first="l1.5", second="l2")
def balls_differ(tables, *, column: str, network: str, first: str, second: str):
    """Mean over seeds and images of a column, one ball minus another, the same network."""
    rows = tables["counterfactuals"]
    if rows.empty:
        return untestable(COMPOSED)
    return cube(rows, column, [{"network": network, "ball": ball} | FOUND for ball in (first, second)]), pair


@claim("P6.56", "X6.8", "report", "> 0",
       "{ball} ball: the multiple-norm robust network's change is better aligned with the true one than the plain "
       "one's (difference of cosines)", column="aligned", over=[{"ball": "l1.5"}, {"ball": "l2"}])
@claim("P6.58", "X6.8", "report", "> 0",
       "l1.5 ball: the multiple-norm robust network's change lies more where the true one does than the plain one's, "
       "colour and sign aside (difference of the correlations of sizes over pixels)", column="placed", ball="l1.5")
def networks_differ(tables, *, column: str, ball: str):
    """Mean over seeds and images of a column, multiple-norm robust network minus the plain one, the same ball."""
    rows = tables["counterfactuals"]
    if rows.empty:
        return untestable(COMPOSED)
    return cube(rows, column, [{"network": network, "ball": ball} | FOUND for network in ("multi", "plain")]), pair


@claim("P6.59", "X6.8", "report", "> 0",
       "Robustness matters more than the ball: from the plain to the multiple-norm robust network {WHAT} gains more "
       "than between any two balls (gain minus the largest difference of two balls)",
       over=[
           {"column": "aligned", "WHAT": "the alignment"},
           {"column": "realism", "WHAT": "the confidence of the judge of another architecture"},
       ])
def robustness_before_ball(tables, *, column: str):
    """Gain from plain to multi, mean over balls, minus the difference of every two balls, mean over both networks; the
    least of all.
    """
    rows = tables["counterfactuals"]
    if rows.empty:
        return untestable(COMPOSED)
    settings = [{"network": network, "ball": ball} | FOUND for network in ("plain", "multi") for ball in BALLS]
    order = list(itertools.permutations(range(len(BALLS)), 2))

    def leads(values: np.ndarray) -> np.ndarray:
        plain, multi = np.nanmean(values, axis=(0, 1)).reshape(2, len(BALLS))
        ball = (plain + multi) / 2
        return np.array([(multi - plain).mean() - (ball[i] - ball[j]) for i, j in order])

    return cube(rows, column, settings), least(leads)


@claim("P6.61", "X6.8", "report", "> 0",
       "{NETWORK} network, l1.5 ball: of the true changes to all other digits the change resembles the target's most, "
       "more often than erasing the digit does, which knows no target (difference of shares)",
       column="named", second=NONE | {"change": "erased"},
       over=[{"first": MULTI, "NETWORK": "Multiple-norm robust"}, {"first": PLAIN, "NETWORK": "Plain"}])
@claim("P6.63", "X6.8", "report", "< 0",
       "The multiple-norm robust network's change (l1.5) is less aligned with the truth than {CONTROL} (difference of "
       "cosines)", column="aligned", first=MULTI,
       over=[
           {"second": NONE | {"change": "another digit"},
            "CONTROL": "the true change to another handwriting of the target"},
           {"second": NONE | {"change": "erased"}, "CONTROL": "taking the digit away and drawing none"},
       ])
@claim("P6.65", "X6.8", "report", "> 0",
       "The multiple-norm robust network's change (l1.5) is better aligned with the truth than the difference of the "
       "two classes' mean images (difference of cosines)", column="aligned", first=MULTI,
       second=NONE | {"change": "mean difference"})
@claim("P6.66", "X6.8", "report", "> 0",
       "The plain network's change (l1.5) is better aligned with the truth than noise in the same ball (difference of "
       "cosines)", column="aligned", first=PLAIN, second=PLAIN | {"change": "noise"})
@claim("P6.67", "X6.8", "report", "> 0",
       "The multiple-norm robust network's counterfactual (l1.5) is farther from the true one than the image itself "
       "(difference of distances, in lengths of the true change)", column="distance", first=MULTI,
       second=NONE | {"change": "image"})
def against_control(tables, *, column: str, first: dict, second: dict):
    """Mean over seeds and images of a column, counterfactual minus a control."""
    rows = tables["counterfactuals"]
    if rows.empty:
        return untestable(COMPOSED)
    return cube(rows, column, [first, second]), pair


@claim("P6.68", "X6.8", "report", "> 0",
       "The multiple-norm robust network erases the old digit more than it draws the new one (l1.5; share of the true "
       "change made where only the old digit is, minus where only the new one is)")
def erases_more(tables):
    """Mean over seeds and images of erased minus painted."""
    rows = tables["counterfactuals"]
    if rows.empty:
        return untestable(COMPOSED)
    return np.concatenate([cube(rows, column, [MULTI]) for column in ("erased", "painted")], -1), pair


@bounded(-1, 1)
def mean_rank_correlation(values: np.ndarray) -> float:
    """Spearman's correlation over conditions of two quantities, seeds × images × conditions × 2, mean over the rest."""
    ranks = rankdata(values, axis=2)
    ranks -= ranks.mean(2, keepdims=True)
    norms = np.sqrt((ranks**2).sum(2).prod(-1))
    products = ranks.prod(-1).sum(-1)
    return float(np.nanmean(np.where(norms > 0, products / np.where(norms > 0, norms, 1), np.nan)))


@claim("P6.69", "X6.8", "report", "> 0.5",
       "What a judge believes follows the truth: the confidence of the network of another architecture in the target "
       "ranks an image's counterfactuals of all networks and balls as their alignment with the true change does "
       "(Spearman's correlation, mean over images)", column="realism")
def judge_follows_truth(tables, *, column: str):
    """Rank correlation over networks × balls of a judge's confidence with the alignment, mean over seeds and images."""
    rows = tables["counterfactuals"]
    if rows.empty:
        return untestable(COMPOSED)
    settings = [{"network": network, "ball": ball} | FOUND for network in NETWORKS for ball in BALLS]
    return np.stack([cube(rows, each, settings) for each in (column, "aligned")], -1), mean_rank_correlation
