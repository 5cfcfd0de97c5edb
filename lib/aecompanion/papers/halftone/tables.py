"""Tables and claims of Huang et al., ICPR 2020, from the tidy rows that the evaluations saved.

Everything starts from a cube: seeds × images × conditions of top-1 or top-5. Intervals are over seeds and images
(`evaluate.intervals`). Of the paper only three top-5 numbers, their attacks and "about +10" are known; which tables
it holds and every setting are reconstructed (`results/README.md` says so too).
"""

import numpy as np
import pandas as pd

from aecompanion.attack.attacks import crafted_names
from aecompanion.defend.defences import KINDS
from aecompanion.evaluate.defence import area
from aecompanion.evaluate.intervals import interval
from aecompanion.report import reported
from aecompanion.report.cubes import Condition, cube, mean_row

LEVEL = 8  # grey levels of 255: the eps of the tables
HYBRID = "hybrid + halftone"
WORST = "worst case"  # of `studies.worst_defences`: the union per image over a portfolio
BASELINES = ("jpeg", "bits", "tv", "median")
SPLITS = ("known", "held_out")
METRICS = ("top1", "top5")
SOURCES = ("grey", "hybrid")  # regimes of the networks that attacks were crafted on


def under(
    attack: str, *, defence: str = HYBRID, split: str = "known", level: int = LEVEL, source: str = "grey"
) -> Condition:
    """The condition of one defence under one attack ("clean" has level 0) that was crafted on another network: the
    grey one of the same seed, or the "hybrid" one of the next seed.
    """
    level = 0 if attack == "clean" else level
    return {"split": split, "defence": defence, "attack": attack, "level": level, "source": source}


def has(rows: pd.DataFrame, split: str) -> bool:
    """Whether the rows contain a split (a user's image folder has no held-out regions)."""
    return split in rows["split"].unique()


# tables


def representation_table(representations: pd.DataFrame, **options) -> pd.DataFrame:
    """T4.1: accuracy of every network, with the epochs of its training, on every representation of the clean test
    images.
    """
    keys = ["split", "network", "epochs", "view"]
    return pd.DataFrame(
        dict(zip(keys, key, strict=True))
        | mean_row(matrix(rows, "top1"), "top1", **options)
        | mean_row(matrix(rows, "top5"), "top5", **options)
        for key, rows in representations.groupby(keys, sort=False)
    )


def matrix(rows: pd.DataFrame, metric: str) -> np.ndarray:
    """seeds × images of rows that hold one condition."""
    return cube(rows.assign(only=0), metric, [{"only": 0}])[..., 0]


def attack_table(transfer: pd.DataFrame, defences: list[str], **options) -> pd.DataFrame:
    """T4.2 and T4.4: defences × (clean, every attack of the sets) at the level of the tables, both splits."""
    at_level = transfer[(transfer["level"].isin([0, LEVEL])) & transfer["defence"].isin(defences)]
    rows = []
    for split in (split for split in SPLITS if has(transfer, split)):
        for defence in defences:
            for attack in ("clean", *crafted_names()):
                row = {"split": split, "defence": defence, "attack": attack}
                for metric in ("top1", "top5"):
                    values = cube(at_level, metric, [under(attack, defence=defence, split=split)])[..., 0]
                    row |= mean_row(values, metric, **options)
                known = reported.value("T4.2", attack=attack) if split == "known" and defence == HYBRID else np.nan
                rows.append(row | {"paper_top5": None if np.isnan(known) else known})
    return pd.DataFrame(rows)


def comparison_table(transfer: pd.DataFrame, **options) -> pd.DataFrame:
    """T4.3: every defence, averaged over the attacks; how far the hybrid lies above it (same images)."""
    kinds = transfer.drop_duplicates("defence").set_index("defence")["kind"]
    shown = kinds[kinds.isin([name for name, kind in KINDS.items() if kind.compared])]
    rows = []
    for split in (split for split in SPLITS if has(transfer, split)):
        for defence, kind in shown.items():
            row = {"split": split, "defence": defence, "kind": kind}
            for metric in ("top1", "top5"):
                clean = cube(transfer, metric, [under("clean", defence=defence, split=split)]).mean()
                values = mean_over_attacks(transfer, metric, defence, split)
                hybrid = mean_over_attacks(transfer, metric, HYBRID, split)
                found = interval(np.mean, hybrid - values, **options)
                row |= {f"{metric}_clean": clean} | mean_row(values, metric, **options)
                row |= {f"hybrid_gain_{metric}": found.value, f"gain_{metric}_low": found.low}
                row |= {f"gain_{metric}_high": found.high}
            rows.append(row)
    return pd.DataFrame(rows)


def source_table(transfer: pd.DataFrame, **options) -> pd.DataFrame:
    """X4.12: every defence of T4.3 by the network that the attack was crafted on, mean over the attacks, known part;
    and how much more of it the attack from a hybrid network takes away (same images).
    """
    known = transfer[transfer["split"] == "known"]
    there = set(known.loc[known["source"] == "hybrid", "defence"])
    rows = []
    for defence in (name for name in dict.fromkeys(known["defence"]) if name in there):
        row = {"defence": defence}
        for metric in METRICS:
            values = [mean_over_attacks(known, metric, defence, "known", source=each) for each in SOURCES]
            for source, each in zip(SOURCES, values, strict=True):
                row |= mean_row(each, f"{metric}_{source}", **options)
            found = interval(np.mean, values[0] - values[1], **options)
            row |= {f"cost_{metric}": found.value, f"cost_{metric}_low": found.low, f"cost_{metric}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)


def mean_over_attacks(
    transfer: pd.DataFrame, metric: str, defence: str, split: str, *, source: str = "grey"
) -> np.ndarray:
    """seeds × images: the mean over the attacks."""
    conditions = [under(attack, defence=defence, split=split, source=source) for attack in crafted_names()]
    return cube(transfer, metric, conditions).mean(-1)


def adaptive_table(adaptive: pd.DataFrame, **options) -> pd.DataFrame:
    """T4.5: clean, transferred PGD and every adaptive attack on the same images, per defence, at the tables' level."""
    rows = []
    chosen = adaptive[adaptive["level"].isin([0, LEVEL])]
    for key, part in chosen.groupby(["defence", "adversary", "steps"], sort=False):
        row = dict(zip(["defence", "adversary", "steps"], key, strict=True))
        rows.append(row | mean_row(matrix(part, "top1"), "top1", **options))
        rows[-1] |= mean_row(matrix(part, "top5"), "top5", **options)
    return pd.DataFrame(rows)


def transfer_beside_adaptive(table: pd.DataFrame) -> pd.DataFrame:
    """T4.5 in short, for the README: accuracy of each defence clean, under transferred PGD and in the worst case of
    attacks that know it, top-1 and top-5, as text with 95 % intervals; "" where there is none.
    """
    rows = []
    for defence, part in table.groupby("defence", sort=False):
        found = part.drop_duplicates("adversary").set_index("adversary")
        row = {"defence": defence}
        for metric in METRICS:
            for name, adversary in (("clean", "none"), ("transferred PGD", "transfer"), ("worst case", WORST)):
                numbers = found.reindex([adversary])[[metric, f"{metric}_low", f"{metric}_high"]].iloc[0]
                text = "{:.2f} [{:.2f}, {:.2f}]".format(*numbers) if numbers.notna().all() else ""
                row[f"{name}, {metric[:3]}-{metric[3]}"] = text
        rows.append(row)
    return pd.DataFrame(rows)


def flag_table(found: pd.DataFrame) -> pd.DataFrame:
    """X4.9: the largest value of each flag over the seeds, "raised" beside it where it is above its limit; from rows
    of defence, seed, k, flag, value and limit.
    """
    rows = []
    for (defence, k), part in found.groupby(["defence", "k"], sort=False):
        row = {"defence": defence, "measure": f"top-{k}"}
        for flag, values in part.groupby("flag", sort=False):
            largest, limit = values["value"].max(), values["limit"].max()
            row[flag] = f"{largest:.3f}{' raised' if largest > limit else ''}"
        rows.append(row | {"raised": sum("raised" in str(text) for text in row.values())})
    return pd.DataFrame(rows)


def area_table(curves: pd.DataFrame, **options) -> pd.DataFrame:
    """X4.3: area under the accuracy-perturbation curve (mean accuracy over eps) per defence and arm."""
    rows = []
    for (defence, arm), part in curves.groupby(["defence", "arm"], sort=False):
        levels = sorted(part["level"].unique())
        row = {"defence": defence, "arm": arm}
        for metric in METRICS:
            values = cube(part, metric, [{"level": level} for level in levels])
            found = interval(lambda block, levels=levels: area(levels, block.mean((0, 1))), values, **options)
            row |= {f"area_{metric}": found.value, f"{metric}_low": found.low, f"{metric}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)


def side_by_side(adaptive: pd.DataFrame) -> pd.DataFrame:
    """Rows of the accuracy-perturbation curves: each defence under transferred PGD and under the attack that knows it,
    on the same images; the clean rows (level 0) stand in both arms.
    """
    curve = adaptive[adaptive["curve"]]
    clean = curve[curve["level"] == 0]
    return pd.concat([clean.assign(arm="transfer"), clean.assign(arm="adaptive"), curve[curve["level"] > 0]])


# claims: each takes the tables and returns a cube and a statistic of it


def first(attack: str) -> list[str]:
    """The attacks, this one before the others."""
    return [attack, *(name for name in crafted_names() if name != attack)]


def drops(values: np.ndarray) -> list[float]:
    """Accuracy of condition 0 minus that of each other condition."""
    means = values.mean((0, 1))
    return (means[0] - means[1:]).tolist()


def first_drop(values: np.ndarray) -> float:
    """Accuracy of the first condition minus that of the second."""
    return drops(values)[0]


IN_SHORT = {"adaptive": (transfer_beside_adaptive, ("T4.5",))}  # for docs/findings.md: mark, function, published tables
