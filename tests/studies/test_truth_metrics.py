import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.data.worlds import Part, Picture
from aecompanion.evaluate.recovery import order_of_methods
from aecompanion.studies import truth_metrics as study
from aecompanion.studies.truth_metrics import CEILING, DEGRADED, LEVELS

SIDE = 32
METHODS = ("BP", "IG", "occlusion")


class Cells(nn.Module):
    """Three sigmoids: class k adds up the cell k of the upper row, with weights 3, -2 and 1."""

    def __init__(self, weights=(3.0, -2.0, 1.0)):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))
        self.card = {"name": "cells", "classes": 3, "multi_label": True}

    def forward(self, images):
        cells = torch.stack([images[:, 0, 4:12, 2 + 10 * k : 10 + 10 * k].mean((1, 2)) for k in range(3)], 1)
        total = (cells * self.weights).sum(1, keepdim=True)
        return torch.cat([total, -total, cells[:, :1]], 1)


def picture(name, seed=0):
    """Three bright cells, each with its class; without one, it is black."""
    rng = np.random.default_rng(seed)
    image, parts = np.zeros((1, SIDE, SIDE), np.uint8), []
    for k in range(3):
        mask = np.zeros((SIDE, SIDE), bool)
        mask[4:12, 2 + 10 * k : 10 + 10 * k] = True
        image[0, mask] = rng.integers(150, 255, mask.sum())
        parts.append(Part(str(k), k, mask))
    without = np.stack([np.where(part.mask, 0, image)[None] for part in parts]).astype(np.uint8)
    return Picture(name, image, tuple(parts), without)


@pytest.fixture(scope="module")
def rows():
    pictures, targets = study.chosen([picture(f"p{i}", i) for i in range(4)], 3)
    model, other = Cells(), Cells((0.1, 0.3, -0.2))
    found = study.measured(model, other, pictures, targets, multi_label=True, methods=METHODS, keys=[4, 5, 6])
    return found.assign(seed=1, world="cells")


def test_every_map_has_every_metric_once(rows):
    assert not rows.duplicated(["pair", "method", "noise", "metric"]).any()
    assert set(rows["method"]) == {*METHODS, DEGRADED}
    per_metric = rows.groupby("metric").size()
    assert per_metric["max-sensitivity"] == 3 * len(METHODS)  # only methods can be made again
    assert (per_metric.drop("max-sensitivity") == 3 * (len(METHODS) + len(LEVELS))).all()
    assert rows["value"].drop(rows.index[rows["metric"] == "max-sensitivity"]).notna().all()
    lower = rows[rows["metric"] == "deletion"]
    assert (lower["better"] == -lower["value"]).all()


def test_the_truth_scores_highest_and_degrades(rows):
    cosine = rows[(rows["metric"] == CEILING) & (rows["method"] == DEGRADED)].groupby("noise")["better"].mean()
    assert cosine[0.0] == pytest.approx(1) and (cosine.diff().dropna() < 0).all()
    start = rows[(rows["noise"] == 0) & (rows["metric"] == "random")]
    assert (start["rank"] == 1).all()
    assert study.degradation(rows, CEILING).tolist() == [[1.0, 1.0, 1.0]]
    assert (study.degradation(rows, "energy pointing")[:, :2] > 0).all()  # class 2 does not look at its own part
    assert (study.degradation(rows, "constant") == 0).all()
    assert np.isnan(study.degradation(rows, "max-sensitivity")).all()


def test_nothing_but_noise_is_unchanged_by_construction(rows):
    here = rows[(rows["metric"] == "randomisation") & (rows["noise"] == 1)]
    assert len(here) == 3 and here["value"].abs().max() < 1e-6


def test_a_picture_has_the_same_rows_alone(rows):
    pictures, targets = study.chosen([picture(f"p{i}", i) for i in range(4)], 3)
    alone = study.measured(
        Cells(), Cells((0.1, 0.3, -0.2)), pictures[1:2], targets[1:2], multi_label=True, methods=METHODS, keys=[5]
    )
    together = rows[rows["pair"] == 1].reset_index(drop=True)
    assert np.allclose(alone["value"], together["value"], rtol=1e-4, atol=1e-6, equal_nan=True)


def test_cubes_hold_metric_and_truth(rows):
    values = study.method_cube(rows, "deletion", METHODS)
    assert values.shape == (1, 3, 3, 2)
    here = rows[(rows["metric"] == "deletion") & (rows["method"] == "IG")].sort_values("pair")
    assert np.array_equal(values[0, :, 1], here[["better", "rank"]].to_numpy())
    assert -1 <= order_of_methods(values) <= 1
    with pytest.raises(ValueError, match="expected one per seed, pair and method"):
        study.method_cube(rows[rows["pair"] > 0], "deletion", (*METHODS, "RISE"))


def test_targets_are_spread_and_busy_pictures_come_first():
    two = picture("two")
    two = Picture("two", two.image, two.parts[:2], two.without[:2])
    pictures, targets = study.chosen([two, *(picture(f"p{i}", i) for i in range(3))], 4)
    assert [each.name for each in pictures] == ["p0", "p1", "p2", "two"] and targets == [0, 1, 2, 0]
    with pytest.raises(ValueError, match="1 of 1 pictures have 2 parts, expected 2"):
        study.chosen([two], 2)
    with pytest.raises(ValueError, match="'two' has no part of class 2"):
        study.footprints([two], [2])


def test_degraded_truth_is_worth_less_and_less_rank(rows):
    table = rows[(rows["metric"] == "random") & (rows["method"] == DEGRADED)]
    ranks = table.groupby("noise")["rank"].mean()
    assert isinstance(ranks, pd.Series) and ranks[0.0] == 1 and ranks[1.0] < 1
