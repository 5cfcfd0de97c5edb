"""Claims about attacks that know the defence (ours, none is the paper's), and the estimators that test them."""

import numpy as np

from aecompanion.papers.halftone import specifications
from aecompanion.papers.halftone.doublings import beyond, efforts
from aecompanion.papers.halftone.tables import HYBRID, LEVEL, METRICS, WORST, first_drop
from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube, untestable

CONTROL = "hybrid without halftoning"
TOP_1_AND_5 = [{"METRIC": f"top-{k}", "metric": f"top{k}"} for k in (1, 5)]
UNION = "per image the best iterate of a portfolio, judged by the real defended network"


@claim("P4.25", "T4.5", "must", "> 0.3",
       "BPDA breaks hybrid + halftone: its top-1 is more than 30 points below that under transferred PGD (drop)",
       adversary="bpda identity")
@claim("P4.26", "T4.5", "must", "> 0.2",
       "So does an attack on the hybrid network's own grey-input gradient, without knowing the halftone: more than "
       "20 points (drop)", adversary="own gradient")
def adaptive_loss(tables, *, adversary: str, metric: str = "top1"):
    """Accuracy of hybrid + halftone under transferred PGD minus that under an adaptive attack, same images and level;
    the strongest setting (most steps) of that adversary.
    """
    adaptive = tables["adaptive"]
    rows = adaptive[(adaptive["defence"] == HYBRID) & (adaptive["level"] == LEVEL)]
    steps = int(rows.loc[rows["adversary"] == adversary, "steps"].max())
    return cube(rows, metric, [{"adversary": "transfer"}, {"adversary": adversary, "steps": steps}]), first_drop


@claim("P4.27", "T4.5", "report", "<= 0.2", "Top-1 of hybrid + halftone under BPDA is at most 20 %",
       adversary="bpda identity", note="the last iterate of one attack; P4.40 has the worst case")
def adaptive_accuracy(tables, *, adversary: str, metric: str = "top1"):
    """Accuracy of hybrid + halftone under an adaptive attack (most steps)."""
    values, _ = adaptive_loss(tables, adversary=adversary, metric=metric)
    return values[..., 1], lambda v: float(v.mean())


@claim("P4.28", "T4.5", "report", "> 0",
       "Against a randomised halftone EOT does more than BPDA without it (top-1 difference)")
def eot_gain(tables, *, metric: str = "top1"):
    """Accuracy of the randomised halftone under BPDA without EOT minus that with it; positive: EOT is stronger."""
    adaptive = tables["adaptive"]
    rows = adaptive[(adaptive["defence"] == "hybrid + randomised halftone") & (adaptive["level"] == LEVEL)]
    conditions = [{"adversary": name} for name in ("bpda identity", "bpda + eot")]
    return cube(rows, metric, conditions), first_drop


@claim("P4.40", "T4.5", "report", "<= 0.1", "Worst case of hybrid + halftone at 8/255: top-1 is at most 10 %",
       note=UNION)
@claim("P4.41", "T4.5", "report", "<= 0.5", "Worst case of hybrid + halftone at 8/255: top-5 is at most 50 %",
       metric="top5", note=UNION)
def worst_accuracy(tables, *, metric: str = "top1", defence: str = HYBRID, level: int = LEVEL):
    """Accuracy of a defence in the worst case of the portfolio."""
    rows = tables["adaptive"]
    return cube(rows, metric, [worst(defence, level)]), lambda v: float(v.mean())


@claim("P4.42", "T4.5", "report", "> 0.5",
       "In the paper's measure, too: the worst case is more than 50 points of top-5 below transferred PGD (drop)",
       metric="top5")
def below_transfer(tables, *, metric: str):
    """Accuracy of hybrid + halftone under transferred PGD minus that in the worst case, same images, at 8/255."""
    rows = tables["adaptive"]
    conditions = [{"defence": HYBRID, "level": LEVEL, "adversary": "transfer"}, worst(HYBRID, LEVEL)]
    return cube(rows, metric, conditions), first_drop


@claim("P4.43", "X4.3", "report", "<= 0", "Halftoning adds nothing to the hybrid network in the worst case (mean over "
       "2, 4 and 8/255 of top-1 with halftone minus without)", margin=0.05)
@claim("P4.44", "X4.3", "report", "<= 0", "Nor in the paper's measure (mean over 2, 4 and 8/255 of top-5 with halftone "
       "minus without)", margin=0.05, metric="top5")
@claim("P4.45", "X4.3", "report", "<= 0", "Four grey levels with a blur after them add nothing to it either (mean over "
       "2, 4 and 8/255 of top-1 with them minus without)", margin=0.05, defence="hybrid + 4 levels, blur")
@claim("P4.46", "X4.3", "report", "> 0", "Adversarial training, without a halftone, keeps more than hybrid + halftone "
       "in the worst case (gain in {METRIC}, mean over 2, 4 and 8/255)", margin=0.05, defence="adversarial training",
       control=HYBRID, over=TOP_1_AND_5, note="trained further on attacked images, from the same hybrid network")
@claim("P4.48", "X4.3", "report", "> 0", "A halftone before the adversarially trained network adds to its worst case "
       "(gain in {METRIC}, mean over 2, 4 and 8/255)", margin=0.05, defence="adversarial training + halftone",
       control="adversarial training", over=TOP_1_AND_5)
@claim("P4.50", "X4.3", "report", "> 0", "Halftones are more than noise: hybrid + halftone keeps more in the worst "
       "case than a network trained on grey images and noisy copies, noise as large as the dots, equal updates (gain "
       "in {METRIC}, mean over 2, 4 and 8/255)", margin=0.05, control="grey, noise", over=TOP_1_AND_5)
@claim("P4.54", "X4.13", "report", "<= 0", "Nor does halftoning add anything when what is left gets the largest budget "
       "(mean over 2, 4 and 8/255 of top-1 with halftone minus without)", margin=0.05, most=True, note="one seed")
def halftone_gain(
    tables, *, metric: str = "top1", defence: str = HYBRID, control: str = CONTROL,
    levels: tuple[int, ...] = (2, 4, 8), most: bool = False,
):
    """Worst-case accuracy of a defence minus that of a control, by default the same network without transformation, the
    mean over radii; most: what the largest budget leaves, where both had it.
    """
    rows = tables["adaptive"]
    if not {defence, control} <= set(rows["defence"]) or not set(levels) <= set(rows["level"]):
        return untestable()
    if most and len(efforts(rows)) == 1:
        return untestable()
    name_of = beyond(efforts(rows)[-1]) if most else WORST
    pairs = [worst(name, level) | {"adversary": name_of} for level in levels for name in (defence, control)]
    values = cube(rows, metric, pairs)
    return values, lambda v: float((v[..., 0::2] - v[..., 1::2]).mean())


@claim("P4.52", "X4.13", "report", "<= 0.02", "More work takes no more: the last doubling of the budget breaks at most "
       "2 of 100 images of hybrid + halftone (share of them, {METRIC}, {WHERE})", note="one seed",
       over=[{"METRIC": "top-1", "WHERE": "mean over 2, 4 and 8/255", "metric": "top1", "levels": (2, 4, 8)},
             {"METRIC": "top-5", "WHERE": "8/255", "metric": "top5", "levels": (8,)}])
def last_doubling(tables, *, metric: str, levels: tuple[int, ...], defence: str = HYBRID):
    """Accuracy of a defence before the last doubling minus that after it, the mean over radii."""
    rows = tables["adaptive"]
    known = efforts(rows)
    if len(known) == 1:
        return untestable()
    more = rows[rows["adversary"] == beyond(known[-1])]
    same = rows[rows["seed"].isin(more["seed"].unique())]  # the worst case has further seeds
    before = beyond(known[-2]) if len(known) > 2 else WORST
    names = (before, beyond(known[-1]))
    pairs = [worst(defence, level) | {"adversary": name} for level in levels for name in names]
    return cube(same, metric, pairs), lambda v: float((v[..., 0::2] - v[..., 1::2]).mean())


@claim("P4.80", "X4.11", "report", "> 0.5", "In most specifications halftoning leaves more accuracy in the worst case "
       "than none (share of them; every radius, both measures, every network and dither with all seeds)",
       note="mean accuracy on all images; X4.11 has stored attacks, subsets and single seeds besides")
def share_protected(tables):
    """The share of defences × radii × measures in which the worst case with halftoning lies above that without."""
    rows = tables["adaptive"]
    found = specifications.pairs(rows)
    return pair_cube(rows, found), share_above(0.0)


@claim("P4.81", "X4.11", "report", "> 0.5", "In most specifications the hybrid network is within 5 points of a network "
       "trained on one representation, or above it (share of them; both budgets, representations and measures, every "
       "rival, clean images)")
def share_kept(tables):
    """The share of budgets × representations × rivals × measures in which the hybrid network loses 5 points or less."""
    rows = tables["representations"]
    return pair_cube(rows, specifications.clean_pairs(rows)), share_above(-0.05)


def pair_cube(rows, found):
    """seeds × images × measures of pairs × 2."""
    flat = [each for pair in found for each in pair]
    cubes = [cube(rows, metric, flat) for metric in METRICS]
    return np.concatenate([each.reshape(*each.shape[:2], -1, 2) for each in cubes], axis=2)


def share_above(line: float):
    """The share of pairs whose mean difference lies above a line."""
    return lambda v: float(((v[..., 0] - v[..., 1]).mean((0, 1)) > line).mean())


def worst(defence: str, level: int) -> dict[str, str | int]:
    """The condition of a defence in the worst case at one radius."""
    return {"defence": defence, "level": level, "adversary": WORST}
