"""Hand-made rows of the truth bench whose orders are known: metrics, and counterfactuals beside the generator's."""

import itertools

import numpy as np
import pandas as pd

from aecompanion.evaluate.faithfulness import METRICS
from aecompanion.papers.truth.claims_counterfactuals import BALLS
from aecompanion.studies.counterparts import COLUMNS, CONTROLS
from aecompanion.studies.truth_metrics import CEILING, DEGRADED, LEVELS

METHODS = ("BP", "IG", "RISE", "Grad-CAM")


def metric_rows(worlds=("voc", "chest"), seeds=(1, 2, 3), pictures=8):
    """Deletion is right everywhere, insertion the wrong way round, the others are noise; in "chest" deletion is noise
    too. Methods have true ranks of 0.2, 0.4, 0.6, 0.8.
    """
    rng, rows = np.random.default_rng(0), []
    maps = [(name, np.nan, 0.2 * (place + 1)) for place, name in enumerate(METHODS)]
    maps += [(DEGRADED, level, 1 - level) for level in LEVELS]
    for world in worlds:
        for seed in seeds:
            for pair in range(pictures):
                for method, noise, rank in maps:
                    facts = {"world": world, "family": "vgg", "seed": seed, "pair": pair, "picture": f"p{pair}"}
                    facts |= {"method": method, "noise": noise, "rank": rank + 0.01 * rng.standard_normal()}
                    for metric in (*METRICS, CEILING):
                        right = {"deletion": world == "voc", "insertion": -1, CEILING: 1}.get(metric, 0)
                        value = right * rank + 0.01 * rng.standard_normal() if right else rng.random()
                        value = 0.0 if metric == "constant" else value
                        if metric != "max-sensitivity" or method != DEGRADED:
                            rows.append(facts | {"metric": metric, "better": value})
    return pd.DataFrame(rows)


SEEDS, IMAGES = (1, 2), range(4)
ALIGNED = {"plain": 0.1, "l2": 0.2, "multi": 0.5}
CONTROLS_OF_NONE = {"another digit": 0.6, "erased": 0.45, "mean difference": 0.1, "truth": 1.0, "image": 0.0}
BY_BALL = {"l1": 0.0, "l1.5": 0.05, "l2": 0.02, "FW-L1-q": 0.01}


def row(seed, network, ball, change, image, **values):
    own = {"seed": seed, "network": network, "ball": ball, "change": change, "image": image}
    return dict.fromkeys(COLUMNS, 0.5) | own | values


def counterfactual_rows() -> pd.DataFrame:
    """Alignments are those of ALIGNED plus BY_BALL plus a thousandth per image; the judge believes the square."""
    found = []
    for seed, number, (network, base), ball in itertools.product(SEEDS, IMAGES, ALIGNED.items(), BALLS):
        aligned = base + BY_BALL[ball] + number / 1000
        values = {"aligned": aligned, "realism": aligned**2, "realism_robust": -aligned, "erased": 0.6, "painted": 0.2}
        values["named"] = float(network == "multi" and number < 3)
        found.append(row(seed, network, ball, "counterfactual", number, **values))
        found += [row(seed, network, ball, control, number, aligned=0.02) for control in CONTROLS]
    for seed, number in itertools.product(SEEDS, IMAGES):
        for change, aligned in CONTROLS_OF_NONE.items():
            found.append(row(seed, "", "", change, number, aligned=aligned))
    return pd.DataFrame(found)
