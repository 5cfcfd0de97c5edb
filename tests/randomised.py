"""Hand-made rows of the randomisation check of paper 3, with means by construction (a plugin, see conftest.py)."""

import pandas as pd
import pytest

from aecompanion.explain.methods import METHODS
from aecompanion.sanity.randomization import OTHER, RECALIBRATED, RETRAINED, WAYS

LAYERS = ["body.head.score", "body.stage1.0", "body.stem.1.0"]  # from the output to the input
NAMES = ["head.score", "stage1", "stem"]
ALL = (*WAYS, RECALIBRATED, OTHER, RETRAINED)


def value(way, depth, method):
    """The mean of a similarity over pairs."""
    return 0.1 * [*METHODS].index(method) + 0.01 * ALL.index(way) - depth / 20 + 0.5 * (way == RETRAINED)


def similarity_rows(methods=METHODS, ways=(*WAYS, RECALIBRATED)):
    """Two pairs, one seed, two peers. MP is constant for one pair with one layer gone, for both with all."""
    rows = []
    places = [(way, layer, (i + 1) / 3) for way in ways for i, layer in enumerate(LAYERS)]
    for way, layer, depth in [(OTHER, "", 0.0), (RETRAINED, "seed 2", 0.0), (RETRAINED, "seed 3", 0.0), *places]:
        for method in methods:
            for position, away in ((0, 0.02), (1, -0.02)):
                mean = value(way, depth, method)
                facts = {"way": way, "layer": layer, "depth": depth, "position": position, "method": method, "seed": 1}
                measures = {"spearman": mean + away, "ssim": mean / 2 + away, "hog": mean / 3 + away, "rise": 7 * mean}
                measures["smooth"] = mean + 0.05 if method == "BP" else float("nan")
                empty = method == "MP" and depth > 0 and (position == 1 or depth == 1)
                rows.append(facts | measures | {"undefined": empty})
    return pd.DataFrame(rows)


@pytest.fixture
def similarity():
    return similarity_rows().sample(frac=1, random_state=1)
