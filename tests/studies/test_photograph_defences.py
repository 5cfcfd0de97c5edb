import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.attack.gradient import quantise
from aecompanion.defend.halftone import halftone
from aecompanion.papers.halftone import photographs
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies import photograph_defences as study

IMAGES = quantise(0.2 + 0.6 * torch.rand(5, 3, 8, 8, generator=generator(4, 1)))
KEYS = np.array([2, 3, 5, 7, 8])
EPS = 8 / 255


def network(seed):
    with seeded(seed, 1):
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 7)).eval()


ONE, OTHER = network(1), network(2)
LABELS = ONE(IMAGES).argmax(1)


@pytest.fixture(scope="module")
def rows():
    parts = []
    sets = {study.CLEAN: IMAGES, study.TRANSFER: (IMAGES + EPS).clamp(0, 1), study.OWN: (IMAGES - EPS).clamp(0, 1)}
    for name in ("none", "halftone", "4 levels, blur"):
        transform = study.transformations()[name]
        parts.append(study.judged(ONE, transform, sets, LABELS).assign(transform=name))
        options = {"keys": np.arange(5), "eps": EPS, "steps": 4, "queries": 4, "seed": 0}
        parts.append(study.worst(ONE, OTHER, transform, IMAGES, LABELS, **options).assign(transform=name))
    return study.united(pd.concat(parts, ignore_index=True).assign(network="linear"))


def test_every_transformation_gives_images_of_the_same_shape_and_range():
    found = study.transformations()
    assert list(found)[0] == "none" and set(study.HYBRID) <= set(found)
    for name, transform in found.items():
        seen = transform(IMAGES)
        assert seen.shape == IMAGES.shape, name
        assert seen.min() >= 0 and seen.max() <= 1, name
    assert torch.equal(found["none"](IMAGES), IMAGES)
    assert set(found["halftone"](IMAGES).unique().tolist()) == {0.0, 1.0}


def test_rows_are_what_the_network_says_behind_the_transformation(rows):
    part = rows[(rows["transform"] == "halftone") & (rows["condition"] == study.CLEAN)]
    assert part["prediction"].tolist() == ONE(halftone(IMAGES)).argmax(1).tolist()
    assert (part["top1"] == (part["prediction"] == part["label"])).all()


def test_the_worst_case_is_what_the_real_network_says_of_an_image_in_the_ball(rows):
    options = {"keys": KEYS, "eps": EPS, "steps": 4, "queries": 4, "seed": 0}
    found = study.worst(ONE, OTHER, study.transformations()["none"], IMAGES, LABELS, **options)
    assert found["image"].tolist() == KEYS.tolist()
    # of a linear network the largest margin in the ball has a closed form, and the images are away from 0 and 1
    weight, logits = ONE[1].weight, ONE(IMAGES)
    gaps = logits - logits.gather(1, LABELS[:, None])
    reach = EPS * (weight[None] - weight[LABELS][:, None]).abs().sum(2)
    breakable = ((gaps + reach) > 1e-4).scatter(1, LABELS[:, None], False).any(1)
    assert breakable.any()
    assert not found["top1"].to_numpy()[breakable.numpy()].any()
    assert found["top1"].to_numpy()[~breakable.numpy()].all()
    assert (found["by"] != "").tolist() == breakable.tolist()


def test_no_condition_leaves_less_than_the_worst_case(rows):
    left = rows.pivot(index=["transform", "image"], columns="condition", values="top1").astype(bool)
    assert (left[study.WORST] <= left.drop(columns=study.WORST).min(axis=1)).all()


def test_what_a_file_breaks_counts_as_broken():
    table = pd.DataFrame(
        {
            "network": "a",
            "transform": "none",
            "condition": [study.TRANSFER, study.WORST] * 2,
            "image": [0, 0, 1, 1],
            "top1": [False, True, True, True],
        }
    )
    assert study.united(table)["top1"].tolist() == [False, False, True, True]


def test_the_table_has_means_over_photographs_and_no_top5_of_the_worst_case(rows):
    found = photographs.table(rows, resamples=100, seed=0).set_index(["transform", "condition"])
    expected = rows.groupby(["transform", "condition"])["top1"].mean()
    np.testing.assert_allclose(found["top1"].loc[expected.index], expected)
    assert found["n"].eq(5).all()
    worst = found.xs(study.WORST, level="condition")
    assert worst["top5"].isna().all()
    assert found.drop(index=worst.index.map(lambda name: (name, study.WORST)))["top5"].notna().all()


@pytest.mark.parametrize(("right", "low", "high"), [(0, 0.0, 1 - 0.025**0.2), (5, 0.025**0.2, 1.0)])
def test_photographs_that_all_agree_have_an_interval(right, low, high):
    found = photographs.share(np.repeat(right == 5, 5), "top1", resamples=100, seed=0)
    assert found == pytest.approx({"top1": right / 5, "top1_low": low, "top1_high": high})


def test_the_figure_has_a_panel_per_network_and_a_bar_per_number(rows):
    both = pd.concat([rows, rows.assign(network="again")], ignore_index=True)
    found = photographs.table(both, resamples=100, seed=0)
    figure = photographs.panels(found)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["linear", "again"]
    heights = sorted(bar.get_height() for axes in figure.axes for bar in axes.patches)
    np.testing.assert_allclose(heights, sorted(found["top1"]))
