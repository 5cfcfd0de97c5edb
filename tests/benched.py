"""A picture of three squares, a network that reads them, and hand-made rows of the truth bench: a fixture of the tests
of its tables, figures and claims (a plugin, see conftest.py).
"""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from truth_rows import counterfactual_rows, metric_rows

from aecompanion.data.worlds import Part, Picture
from aecompanion.explain.methods import METHODS
from aecompanion.explain.neighbours import NEIGHBOURS
from aecompanion.studies.truth import CONTROLS
from aecompanion.studies.truth_methods import VARIANTS


def square(row, column, side=3):
    mask = np.zeros((12, 12), bool)
    mask[row : row + side, column : column + side] = True
    return mask


PLACES = [("0", 0, square(1, 1)), ("1", 1, square(1, 7)), ("marker", -1, square(8, 4, 2))]


def picture(name="a", levels=(200, 100, 255), fillings=1, ground=20):
    """Three parts of one grey each on a dark ground; without a part its place has the ground, or darker fillings."""
    parts = tuple(Part(*place) for place in PLACES)
    image = np.full((1, 12, 12), ground, np.uint8)
    for part, level in zip(parts, levels, strict=True):
        image[0, part.mask] = level
    without = np.repeat(np.repeat(image[None, None], len(parts), 0), fillings, 1)
    for i, part in enumerate(parts):
        for filling in range(fillings):
            without[i, filling, 0, part.mask] = ground - 10 * filling
    return Picture(name, image, parts, without)


class Places(nn.Module):
    """Logit k: a weighted sum of the mean grey levels of the places (weights K×3)."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("places", torch.from_numpy(np.stack([mask for *_, mask in PLACES])).float())
        self.register_buffer("weights", torch.tensor(weights))
        self.card = {"multi_label": True}

    def forward(self, images):
        means = torch.einsum("nhw,phw->np", images[:, 0], self.places) / self.places.sum((1, 2))
        return means @ self.weights.T


READS_ALL = [[4.0, -2.0, 1.0], [0.5, 3.0, 0.0]]

NETWORKS = {  # world, family: factor of the ranks
    ("mosaics", "EfficientNet-Lite"): 0.5,
    ("voc", "vgg"): 1.0,
    ("voc", "resnet"): 0.9,
    ("coco", "vgg"): 0.8,
    ("chest", "vgg"): -1.0,
    ("objects", "l2"): 0.7,
    ("objects", "marked"): 0.7,
}
RANKS = {
    "painted truth": 1.0,
    "uniform": 0.0,
    "random": 0.0,
    "parts": 0.1,
    "Shapley (parts)": 0.9,
    "RP": 0.6,
    "MP": 0.4,
}
OTHER = 0.5  # rank of a method that is not listed; a method further down the registries has 0.01 less
PASSES = {"occlusion": (101, 0), "Shapley (parts)": (16, 0), "RISE": (100, 0), "IG": (24, 24), "RP": (65, 64)}
ITEMS, DEAR, VARIED = 6, 4, 2  # of a network; with masks; with their variants
MARKED = {"l2": 0.1, "marked": 0.3}  # share on the watermark; phantoms: 0.2 of 0.4
MORE = {1: 0.02, 2: -0.02}  # of a seed


def rows_of_network(world: str, family: str, seed: int) -> list[dict]:
    """Every item is a pair; even items are a little above the mean and odd ones as much below."""
    masks = [name for name, row in METHODS.items() if row.family == "mask"]
    limits = dict.fromkeys(masks, DEAR) | dict.fromkeys(VARIANTS, VARIED)
    made = []
    for k, method in enumerate([*CONTROLS, *METHODS, *NEIGHBOURS, *(VARIANTS if world != "mosaics" else ())]):
        mean = RANKS.get(method, OTHER - k / 100) * (1 if method in CONTROLS else NETWORKS[world, family])
        for item in range(limits.get(method, ITEMS)):
            exact = method in ("painted truth", "uniform")
            rank = mean + (0 if exact else MORE[seed] + 0.01 * (-1) ** item)
            row = {"world": world, "family": family, "seed": seed, "item": f"{world} {item}", "pair": item}
            row |= {"picture": f"{world} {item}", "target": item % 3, "method": method, "parts": 3}
            row |= {"rank": rank, "density": 0.5 - rank if world == "chest" else rank, "size": rank, "share": 0.8}
            row |= {"error": 0.1, "sign": 0.9 if method == "occlusion" else None, "pointing": 1.0}
            has = world in ("chest", "objects") and item % 2 == 0
            share = MARKED.get(family, 0.2) + MORE[seed] / 10
            row |= {"marked": share if has else None, "marked_true": 0.4 if has else None}
            forward, backward = PASSES.get(method, (0, 0) if method in CONTROLS else (1, 1))
            made.append(row | {"forward": forward, "backward": backward})
    return made


@pytest.fixture(scope="session")
def paper6_tables():
    """The truth bench's tables by name."""
    rows = [row for network in NETWORKS for seed in (1, 2) for row in rows_of_network(*network, seed)]
    numbers = ["rank", "density", "size", "share", "error", "sign", "pointing", "marked", "marked_true"]
    methods = pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))
    return {"methods": methods, "counterfactuals": counterfactual_rows(), "metrics": metric_rows(seeds=(1, 2))}
