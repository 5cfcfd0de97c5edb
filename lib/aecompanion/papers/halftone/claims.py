"""Claims of Huang et al., ICPR 2020, and the estimators that test them."""

import numpy as np

from aecompanion.attack.attacks import crafted_names
from aecompanion.evaluate.intervals import largest, least
from aecompanion.papers.halftone.tables import (
    HYBRID,
    SOURCES,
    drops,
    first,
    first_drop,
    has,
    mean_over_attacks,
    under,
)
from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube, untestable

CHANCE = "chance is 5 / classes: .17 with the default's thirty, .025 with the paper's 200"


@claim("P4.01", "T4.1", "must", "> 0.3",
       "The grey network falls strongly on halftones: by more than 30 points of top-1", first=["grey", "grey"],
       second=["grey", "halftone"])
@claim("P4.02", "T4.1", "expected", ">= -0.05",
       "The hybrid network (equal epochs) is within 5 points of the grey specialist on grey (top-1 difference)",
       first=["hybrid", "grey"], second=["grey", "grey"])
@claim("P4.03", "T4.1", "expected", ">= -0.05",
       "The hybrid network is within 5 points of the best halftone specialist, of as many updates, on halftones (top-1 "
       "difference)", first=["hybrid", "halftone"], second=["halftone_shifts", "halftone"],
       note="the specialist sees its dots shifted at random; without that it learns them by heart (P4.62)")
@claim("P4.04", "T4.1", "report", ">= -0.05",
       "The hybrid network at equal updates is within 5 points of the grey specialist on grey (top-1 difference)",
       first=["hybrid_updates", "grey"], second=["grey", "grey"])
@claim("P4.05", "T4.1", "expected", "> 0",
       "Halftoning costs information: a specialist on halftones is below one on grey, both with twice the epochs and "
       "shifted images (top-1 difference)", first=["grey_shifts", "grey"], second=["halftone_shifts", "halftone"],
       margin=0.05)
@claim("P4.60", "T4.1", "report", "> 0",
       "Halftoning costs information: the hybrid network reads halftones less well than grey images (top-1 "
       "difference)", first=["hybrid", "grey"], second=["hybrid", "halftone"], margin=0.05)
@claim("P4.62", "T4.1", "report", "> 0",
       "Shifted images, and twice the epochs, help a specialist on halftones, which learns its dots by heart without "
       "them (gain in top-1)", first=["halftone_shifts", "halftone"], second=["halftone", "halftone"],
       note="what twice the epochs alone do for a specialist: P4.63, on grey images")
@claim("P4.63", "T4.1", "report", "> 0", "Twice the epochs help the grey network (gain in top-1)",
       first=["grey_twice", "grey"], second=["grey", "grey"], margin=0.05)
def view_difference(tables, *, first, second, metric: str = "top1"):
    """Accuracy of one (network, representation) on clean images minus that of another."""
    representations = tables["representations"]
    conditions = [{"split": "known", "network": network, "view": view} for network, view in (first, second)]
    return cube(representations, metric, conditions), first_drop


@claim("P4.06", "T4.2", "must", "<= 0.1",
       "Under transferred attacks hybrid + halftone keeps top-5 within 10 points of clean (largest drop)")
@claim("P4.07", "T4.2", "report", "<= 0.1", "The same on held-out regions of the photographs (largest drop of top-5)",
       split="held_out")
def largest_drop(tables, *, split: str = "known", metric: str = "top5"):
    """Clean minus attacked accuracy of hybrid + halftone, the largest over the attacks."""
    transfer = tables["transfer"]
    if not has(transfer, split):
        return untestable()
    values = cube(transfer, metric, [under(attack, split=split) for attack in ("clean", *crafted_names())])
    return values, largest(drops)


@claim("P4.09", "T4.2", "must", "<= 0",
       "Undefended, I-FGSM and PGD leave no more top-5 than FGSM (larger of the two minus FGSM)")
def undefended_order(tables, *, metric: str = "top5"):
    """Accuracy of the undefended network under the other attacks (the largest) minus that under FGSM."""
    transfer = tables["transfer"]
    values = cube(transfer, metric, [under(attack, defence="no defence") for attack in first("fgsm")])
    return values, largest(lambda v: -np.array(drops(v)))


@claim("P4.08", "T4.2", "must", "> 0.3",
       "The undefended network collapses under PGD: top-5 falls by more than 30 points")
def undefended_drop(tables, *, attack: str = "pgd", metric: str = "top5"):
    """Clean minus attacked accuracy of the undefended network."""
    transfer = tables["transfer"]
    values = cube(transfer, metric, [under(name, defence="no defence") for name in ("clean", attack)])
    return values, first_drop


@claim("P4.10", "T4.2", "expected", "< 0.05",
       "The three attacks leave hybrid + halftone within 5 points of each other (spread of top-5)")
def attack_spread(tables, *, metric: str = "top5"):
    """Largest minus smallest accuracy of hybrid + halftone over the attacks."""
    transfer = tables["transfer"]
    return cube(transfer, metric, [under(attack) for attack in crafted_names()]), lambda v: float(
        np.ptp(v.mean((0, 1)))
    )


@claim("P4.15", "T4.3", "must", "> 0",
       "Transfer: hybrid + halftone beats each transformation before the attacked grey network (least margin, mean "
       "top-5)", kind="baseline")
@claim("P4.16", "T4.3", "report", "> 0", "The same on held-out regions (least margin, mean top-5)", kind="baseline",
       split="held_out")
@claim("P4.29", "X4.5", "report", "> 0",
       "The hybrid network prefers the dots it was trained on: Floyd-Steinberg beats every other dither (least "
       "margin, top-1)", kind="dither", metric="top1")
def least_margin(tables,
    *,
    kind: str,
    split: str = "known",
    metric: str = "top5",
    defence: str = HYBRID,
):
    """Mean over attacks of a defence (hybrid + halftone) minus that of each of a kind, the least over these."""
    transfer = tables["transfer"]
    if not has(transfer, split):
        return untestable()
    rivals = list(dict.fromkeys(transfer.loc[transfer["kind"] == kind, "defence"]))
    values = np.stack([mean_over_attacks(transfer, metric, name, split) for name in (defence, *rivals)], axis=-1)
    return values, least(drops)


@claim("P4.17", "T4.3", "report", "as reported",
       "Transfer: hybrid + halftone is about 10 points of top-5 above existing transformations (JPEG, bits, TV, "
       "median)", defences=["jpeg", "bits", "tv", "median"],
       note="points or relative per cent is not said there; read as points")
@claim("P4.18", "T4.3", "report", "> 0", "Control: halftoning adds top-5 to the same hybrid network without it (gain)",
       defences=["hybrid without halftoning"])
@claim("P4.19", "T4.3", "report", "> 0", "Control: the same in top-1 (gain)", defences=["hybrid without halftoning"],
       metric="top1")
@claim("P4.20", "T4.3", "report", "> 0",
       "Control: hybrid + halftone beats an undefended grey network of another seed (gain in top-5)",
       defences=["grey, other seed"])
@claim("P4.64", "T4.3", "report", "> 0",
       "Hybrid + halftone beats {RIVAL}, at equal updates (gain in {METRIC})", margin=0.05,
       over=[{"RIVAL": rival, "METRIC": f"top-{k}", "defences": [name], "metric": f"top{k}"}
             for rival, name in (("total variation with a network retrained on it", "tv, retrained"),
                                 ("a plain grey network", "grey, twice the updates"),
                                 ("a grey network trained on shifted images", "grey, shifts"))
             for k in (5, 1)])
@claim("P4.70", "T4.3", "report", "> 0",
       "Hybrid + halftone beats the hybrid network trained further on attacked images, without a halftone (gain in "
       "{METRIC})", margin=0.05, defences=["adversarial training"],
       over=[{"METRIC": f"top-{k}", "metric": f"top{k}"} for k in (5, 1)])
@claim("P4.72", "T4.3", "report", "> 0", "Halftoning adds {METRIC} to the adversarially trained network (gain)",
       margin=0.05, defence="adversarial training + halftone", defences=["adversarial training"],
       over=[{"METRIC": f"top-{k}", "metric": f"top{k}"} for k in (5, 1)])
@claim("P4.76", "T4.3", "report", "> 0",
       "Hybrid + halftone beats a network trained on grey images and noisy copies, the noise as large as the dots, at "
       "equal updates (gain in {METRIC})", margin=0.05, defences=["grey, noise"],
       over=[{"METRIC": f"top-{k}", "metric": f"top{k}"} for k in (5, 1)])
def gain_over(
    tables, *, defences: list[str], split: str = "known", metric: str = "top5", defence: str = HYBRID
):
    """Mean over attacks of hybrid + halftone (or another) minus the mean of the given defences."""
    transfer = tables["transfer"]
    if not has(transfer, split):
        return untestable()
    values = np.stack([mean_over_attacks(transfer, metric, name, split) for name in (defence, *defences)], axis=-1)
    return values, lambda v: float(np.mean(drops(v)))


@claim("P4.74", "X4.12", "report", "> 0",
       "Crafted on a hybrid network of another seed, attacks take more from hybrid + halftone than crafted on the grey "
       "one (difference in {METRIC}, mean over attacks)",
       over=[{"METRIC": f"top-{k}", "metric": f"top{k}"} for k in (1, 5)])
def source_cost(tables, *, metric: str, defence: str = HYBRID):
    """Mean over attacks of a defence, crafted on the grey network, minus that crafted on a hybrid one."""
    transfer = tables["transfer"]
    values = [mean_over_attacks(transfer, metric, defence, "known", source=source) for source in SOURCES]
    return np.stack(values, axis=-1), first_drop


@claim("P4.12", "T4.2", "report", "as reported", "Top-5 of hybrid + halftone under {ATTACK}", note=CHANCE,
       over=[{"attack": "fgsm", "ATTACK": "FGSM"}, {"attack": "ifgsm", "ATTACK": "I-FGSM"},
             {"attack": "pgd", "ATTACK": "PGD"}])
def hybrid_accuracy(tables, *, attack: str, split: str = "known", metric: str = "top5"):
    """Accuracy of hybrid + halftone under one transferred attack."""
    transfer = tables["transfer"]
    return cube(transfer, metric, [under(attack, split=split)]), lambda v: float(v.mean())


@claim("P4.11", "T4.2", "report", "> 0",
       "PGD does hybrid + halftone the least harm of the three (its top-5 minus the larger of the others)")
def pgd_weakest(tables, *, metric: str = "top5"):
    """Accuracy of hybrid + halftone under PGD minus the largest under another attack; positive: PGD does least."""
    transfer = tables["transfer"]
    return cube(transfer, metric, [under(attack) for attack in first("pgd")]), lambda v: min(drops(v))


@claim("P4.22", "T4.4", "expected", "> 0",
       "Low-pass inverse halftoning raises the grey network's top-1 on clean halftones (gain)", inverse="low-pass")
@claim("P4.23", "T4.4", "expected", "> 0",
       "The inverse network raises the grey network's top-1 on clean halftones (gain)", inverse="CNN")
@claim("P4.24", "T4.4", "report", "> 0", "The inverse network raises it under transferred PGD as well (gain)",
       inverse="CNN", attack="pgd")
def inverse_gain(tables, *, inverse: str, attack: str = "clean", metric: str = "top1"):
    """Accuracy of the grey network on inverse halftones minus that on the halftones themselves."""
    transfer = tables["transfer"]
    names = (f"{inverse} inverse, grey network", "halftone, grey network")
    return cube(transfer, metric, [under(attack, defence=name) for name in names]), first_drop
