"""Claims of Yang et al., ICIP 2019, about attacks on the network, and the estimators that test them."""

import numpy as np

from aecompanion.evaluate.detectors import DETECTORS
from aecompanion.papers.causal.attacked import (
    attacked_cube,
    common_images,
    first_success,
    given_cube,
    mean_auroc,
    mean_correlation_given,
)
from aecompanion.papers.causal.evaded import evaded_cube
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable

LEVELS = (1, 2, 4, 8)
NO_SUCCESS = "no level changes a decision on 80 % of the images"
EVADED = [  # every detector under the attack that knows it, at two sizes
    {"detector": name, "TITLE": row.title[0].upper() + row.title[1:], "level": level}
    for level in (2, 8)
    for name, row in DETECTORS.items()
]


@claim("P1.38", "F1.7", "expected", ">= 0",
       "FGSM, first level that changes a decision on 80 % of the images: the mean effect moves more than five times "
       "as much as under noise (surplus)", attack="fgsm", undefined=NO_SUCCESS)
@claim("P1.39", "F1.7", "report", ">= 0", "FGSM at {level}/255: the same", attack="fgsm",
       over=[{"level": 4}, {"level": 8}])
@claim("P1.41", "F1.7", "expected", ">= 0",
       "PGD, first level that changes a decision on 80 % of the images: the mean effect moves more than five times "
       "as much as under noise (surplus)", attack="pgd", undefined=NO_SUCCESS)
@claim("P1.42", "F1.7", "report", ">= 0", "PGD at {level}/255: the same", attack="pgd",
       over=[{"level": 4}, {"level": 8}])
@claim("P1.44", "F1.7", "report", ">= 0", "Carlini-Wagner against l2 noise of equal length: the same", attack="cw",
       undefined=NO_SUCCESS)
def shift_surplus(tables, *, attack: str, level: int | None = None):
    """|mean change of e| under attack minus five times that under noise of equal size; e = ECE_j - ECE0.

    `level` None: the first level at which the attack succeeds (see `FLIPPED`).
    """
    adversarial = tables["adversarial"]
    level = first_success(adversarial, attack) if level is None else level
    if level is None or level not in set(adversarial.loc[adversarial["attack"] == attack, "level"]):
        return untestable()
    noise = "l2 noise" if attack == "cw" else "noise"
    rows = common_images(adversarial, attack)
    values = attacked_cube(rows, "signed_effect", [("clean", 0), (attack, level), (noise, level)])

    def surplus(v: np.ndarray) -> float:
        clean, attacked, noisy = v.mean((0, 1))
        return float(abs(attacked - clean) - 5 * abs(noisy - clean))

    return values, surplus


@claim("P1.45", "F1.8", "report", "> 0.5",
       "The effect of one channel detects {ATTACK} at {level}/255 (AUROC above 1/2)", score="effect",
       over=[{"attack": "fgsm", "level": 1, "ATTACK": "FGSM"}, {"attack": "fgsm", "level": 2, "ATTACK": "FGSM"},
             {"attack": "fgsm", "level": 4, "ATTACK": "FGSM"},
             {"attack": "fgsm", "level": 8, "ATTACK": "FGSM", "strength": "expected"},
             {"attack": "pgd", "level": 1, "ATTACK": "PGD"}, {"attack": "pgd", "level": 2, "ATTACK": "PGD"},
             {"attack": "pgd", "level": 4, "ATTACK": "PGD"},
             {"attack": "pgd", "level": 8, "ATTACK": "PGD", "strength": "expected"}])
@claim("P1.53", "F1.8", "report", "> 0.5", "The effect of one channel detects Carlini-Wagner (AUROC above 1/2)",
       score="effect", attack="cw", level=0)
@claim("P1.56", "F1.8", "report", "> 0.5", "NISSIM of Grad-CAM detects PGD at 2/255 (AUROC above 1/2)", score="heatmap",
       attack="pgd", level=2)
@claim("P1.58", "F1.8", "report", "< 0.6", "Noise of 8/255 does not raise the alarm of the effect (AUROC below 0.6)",
       score="effect", attack="noise", level=8)
def detection(tables, *, score: str, attack: str, level: int):
    """AUROC of a score, attacked against clean images, averaged over seeds."""
    adversarial = tables["adversarial"]
    rows = common_images(adversarial, attack)
    if level not in set(rows.loc[rows["attack"] == attack, "level"]):
        return untestable()
    return attacked_cube(rows, score, [("clean", 0), (attack, level)]), mean_auroc


@claim("P1.54", "F1.8", "report", "> 0",
       "A small effect beats low confidence under PGD at {level}/255 (difference of AUROC, both one-sided)",
       scores=["small_effect", "confidence"], attack="pgd", over=[{"level": 2}, {"level": 8}],
       note="strong attacks raise confidence, whose AUROC then lies below 1/2: P1.94 and P1.95 take both sides")
@claim("P1.101", "F1.8", "report", "> 0",
       "A large sum of the probabilities beats a small effect under {ATTACK} at {level}/255 (difference of AUROC, both "
       "one-sided)", scores=["sum", "small_effect"],
       over=[{"attack": attack, "ATTACK": attack.upper(), "level": level} for attack in ("fgsm", "pgd")
             for level in LEVELS])
@claim("P1.109", "F1.8", "report", "> 0",
       "The sum of the probabilities beats the effect under PGD at {level}/255 (difference of AUROC, both two-sided)",
       scores=["sum_two", "effect"], attack="pgd", over=[{"level": 2}, {"level": 8}])
@claim("P1.94", "F1.8", "report", "> 0",
       "The effect beats confidence under PGD at {level}/255 (difference of AUROC, both two-sided)",
       scores=["effect", "confidence_two"], attack="pgd", over=[{"level": 2}, {"level": 8}])
@claim("P1.57", "F1.8", "report", "> 0",
       "NISSIM of Grad-CAM beats a small effect under PGD at 2/255 (difference of AUROC)",
       scores=["heatmap", "small_effect"], attack="pgd", level=2)
def detection_lead(tables, *, scores: list[str], attack: str, level: int):
    """AUROC of one score minus that of another."""
    adversarial = tables["adversarial"]
    rows = common_images(adversarial, attack)
    if level not in set(rows.loc[rows["attack"] == attack, "level"]):
        return untestable()
    values = [attacked_cube(rows, score, [("clean", 0), (attack, level)]) for score in scores]
    return np.concatenate(values, axis=-1), lambda v: mean_auroc(v[..., :2]) - mean_auroc(v[..., 2:])


@claim("P1.111", "X1.22", "report", "> 0",
       "{ATTACK} at {level}/255: a small effect tells attacked from clean images beyond the sum of the probabilities "
       "(partial rank correlation)", scores=["small_effect", "sum"],
       over=[{"attack": attack, "ATTACK": attack.upper(), "level": level} for attack in ("fgsm", "pgd")
             for level in LEVELS])
@claim("P1.119", "X1.22", "report", "> 0",
       "{ATTACK} at {level}/255: the sum of the probabilities tells attacked from clean images beyond a small effect "
       "(partial rank correlation)", scores=["sum", "small_effect"],
       over=[{"attack": attack, "ATTACK": attack.upper(), "level": level} for attack in ("fgsm", "pgd")
             for level in LEVELS])
def detection_given(tables, *, scores: list[str], attack: str, level: int):
    """Partial rank correlation of a score with being attacked, given another score; mean over seeds."""
    adversarial = tables["adversarial"]
    if level not in set(adversarial.loc[adversarial["attack"] == attack, "level"]):
        return untestable()
    return given_cube(adversarial, *scores, attack, level), mean_correlation_given


@claim("P1.131", "X1.20", "report", "< 0.6",
       "{TITLE}: an attack of {level}/255 that knows it stays unseen (AUROC below 0.6)",
       over=EVADED)
def evaded(tables, *, detector: str, level: int):
    """AUROC of a detector under the attack that knows it, mean over seeds; images that it does not fool count, too."""
    adaptive = tables["adaptive"]
    if adaptive[(adaptive["detector"] == detector) & (adaptive["level"] == level)].empty:
        return untestable()
    return evaded_cube(adaptive, detector, level, ("clean", "adaptive")), mean_auroc


@claim("P1.151", "X1.20", "report", "< 0",
       "{TITLE}: its AUROC at {level}/255 falls once the attack knows it (difference to PGD)",
       over=EVADED)
def evasion(tables, *, detector: str, level: int):
    """AUROC under the attack that knows the detector minus that under PGD, same images and ε."""
    adaptive = tables["adaptive"]
    if adaptive[(adaptive["detector"] == detector) & (adaptive["level"] == level)].empty:
        return untestable()
    values = evaded_cube(adaptive, detector, level, ("clean", "plain", "adaptive"))
    return values, lambda v: mean_auroc(v[..., [0, 2]]) - mean_auroc(v[..., [0, 1]])
