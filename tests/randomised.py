"""Similarities of the maps of randomised networks, known by construction: fixtures of the tests of their figures and
tables (a plugin, see conftest.py).
"""

import pandas as pd
import pytest

from aecompanion.explain.methods import METHODS
from aecompanion.sanity.map_randomization import OTHER, RECALIBRATED, WAYS

LAYERS = ["body.head.score", "body.stage1.0", "body.stem.1.0"]  # from the output to the input


def value(way, depth, method):
    """The mean of a similarity over pairs, by construction."""
    return 0.1 * [*METHODS].index(method) + 0.01 * (*WAYS, RECALIBRATED, OTHER).index(way) - depth / 20


def similarity_rows(methods=METHODS, ways=(*WAYS, RECALIBRATED)):
    """Two pairs. MP is constant for one pair with one layer gone, for both with all."""
    rows = []
    places = [(way, layer, (i + 1) / 3) for way in ways for i, layer in enumerate(LAYERS)]
    for way, layer, depth in [(OTHER, "", 0.0), *places]:
        for method in methods:
            for position, away in ((0, 0.02), (1, -0.02)):
                mean = value(way, depth, method)
                facts = {"way": way, "layer": layer, "depth": depth, "position": position, "method": method}
                measures = {"spearman": mean + away, "ssim": mean / 2 + away, "hog": mean / 3 + away}
                empty = method == "MP" and depth > 0 and (position == 1 or depth == 1)
                rows.append(facts | measures | {"undefined": empty})
    return pd.DataFrame(rows)


@pytest.fixture
def similarity():
    return similarity_rows().sample(frac=1, random_state=1)
