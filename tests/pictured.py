"""Hand-made rows of papers 1 and 2 on photographs: means by construction, deviations that cancel over photographs."""

import numpy as np
import pandas as pd

from aecompanion.explain.fills import FILLS
from aecompanion.studies.photograph_counterfactuals import BALLS, SHUFFLED
from aecompanion.studies.photograph_detectors import SCORES

OFF = (-0.02, -0.01, 0.01, 0.02)  # of four photographs
SIZES = {"map": 0.4, "gradcam": 0.3, "moved": 0.1, "centre": 0.2}  # |CE| under mean fill, first network
MORE = {fill: 0.01 * place for place, fill in enumerate(FILLS)}  # of every region under a fill
FACTOR = {"lite0": 1.0, "lite1": 0.5}  # of the network
CHANNELS = (0.6, 0.1, -0.05, 0.01)  # e of four channels at zero


def region_rows() -> pd.DataFrame:
    """|CE| = (SIZES + MORE + OFF) · FACTOR; odd photographs lose probability, even ones gain some."""
    return pd.DataFrame(
        {"network": network, "image": 10 + k, "region": region, "fill": fill, "p": 0.9}
        | {"effect": (1 if k % 2 else -1) * (size + MORE[fill] + off) * factor}
        for network, factor in FACTOR.items()
        for region, size in SIZES.items()
        for fill in FILLS
        for k, off in enumerate(OFF)
    )


def channel_rows() -> pd.DataFrame:
    """e = CHANNELS · FACTOR + OFF / 10; at the mean code a quarter of CHANNELS · FACTOR."""
    return pd.DataFrame(
        {"network": network, "image": 10 + k, "label": k, "channel": channel, "half": k % 2, "same": True}
        | {"baseline": 0.0, "expected": e * factor + off / 10, "usual": e * factor / 4, "effect": e * factor}
        for network, factor in FACTOR.items()
        for channel, e in enumerate(CHANNELS)
        for k, off in enumerate(OFF)
    )


def attack_rows() -> pd.DataFrame:
    """Every score of a clean photograph k is k; noise leaves it, FGSM adds .5 at 2/255 and 10 at 8/255 (none of it to
    the second network's heatmap score).
    """
    sets = {("clean", 0): 0, ("fgsm", 2): 0.5, ("fgsm", 8): 10, ("noise", 2): 0, ("noise", 8): 0}
    rows = []
    for network in FACTOR:
        for (attack, level), more in sets.items():
            for k in range(4):
                facts = {"network": network, "image": 10 + k, "attack": attack, "level": level, "flipped": more > 1}
                scores = dict.fromkeys(SCORES, k + more)
                scores["heatmap"] = k + more * (network == "lite0")
                rows.append(facts | scores)
    return pd.DataFrame(rows)


def evasion_rows() -> pd.DataFrame:
    """FGSM lifts the score of every photograph over those of all clean ones; the attack that knows it does not."""
    return pd.DataFrame(
        {"seed": 0, "image": 10 + k, "level": 8, "detector": detector, "clean": k, "plain": k + 10, "adaptive": k}
        | {"changed_plain": 1, "changed_adaptive": int(k > 0)}
        for detector in SCORES
        for k in range(4)
    )


def plain_rows() -> pd.DataFrame:
    """Four photographs, of which the last one reaches the confidence in no l2-ball."""
    own = {  # radius, l1, l2, changed, gini, inside, neighbours, realism
        ("l1.5", "own"): (1.0, 20.0, 0.4, 0.01, 0.7, 0.3, 0.2, 0.12),
        ("l1.5", SHUFFLED): (1.0, 20.0, 0.4, 0.01, 0.7, 0.1, 0.0, 0.1),
        ("l2", "own"): (0.2, 40.0, 0.2, 0.0, 0.4, 0.2, 0.3, 0.11),
        ("l2", SHUFFLED): (0.2, 40.0, 0.2, 0.0, 0.4, 0.1, 0.0, 0.1),
    }
    names = ("radius", "l1", "l2", "changed", "gini", "inside", "neighbours", "realism")
    rows = []
    for (ball, change), means in own.items():
        for k in range(4):
            values = dict(zip(names, np.array(means) * (1 + 0.1 * (k - 1)), strict=True))
            values["radius"] = np.inf if (ball, k) == ("l2", 3) else values["radius"]
            facts = {"image": 10 + k, "ball": ball, "change": change, "target": 1, "confidence": 0.91}
            facts |= {"l15": 1.0, "largest": 0.05, "moved": 0.1, "centre": 0.15, "area": 0.1, "clean_realism": 0.1}
            rows.append(facts | values)
    assert {row["ball"] for row in rows} == set(BALLS)
    return pd.DataFrame(rows)
