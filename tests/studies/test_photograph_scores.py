import numpy as np
import pandas as pd
import pytest
import torch

from aecompanion.explain import methods
from aecompanion.networks.zoo import create
from aecompanion.papers.masks import claims_photographs
from aecompanion.pipeline.rng import generator
from aecompanion.report.claims import evaluate, register
from aecompanion.studies import photograph_scores
from aecompanion.studies.photograph_scores import COMPARED, scored


@pytest.fixture(scope="module")
def rows():
    images = torch.rand(3, 3, 48, 48, generator=generator(0))
    target, references = torch.tensor([0, 1, 2]), images.mean((2, 3), keepdim=True).expand_as(images)
    settings = {
        name: methods.rescaled(
            name.split()[0], side=6, steps=2, area=1.0, variation=0.0, noise=0.0, start=float("start" in name)
        )
        for name in ("RP", "MP", "MP (start 1)")
    }
    run = {"settings": settings, "rise_masks": 4, "rivals": 2, "keys": [4, 7, 9]}
    parts = []
    for name in ("vgg", "resnet"):
        network = create(f"compact/{name}", classes=4, channels=3, size=48, seed=1).eval()
        parts.append(scored(network, images, target, references, **run).assign(network=name))
    return pd.concat(parts, ignore_index=True)


def test_there_is_a_row_per_network_method_and_photograph(rows):
    assert rows.groupby(["network", "method"])["image"].agg(list).tolist() == [[4, 7, 9]] * 2 * len(COMPARED)
    for column in ("deletion", "insertion", "p_clean", "p_masked", "p_reverse", "area"):
        assert rows[column].between(0, 1).all()
    passes = rows.groupby("method")[["forward", "backward"]].first()
    assert passes.loc["RP"].tolist() == [1 + 2 * 2, 2 * 2]  # two perturbed images per step, one clean pass
    assert passes.loc["MP (start 1)"].tolist() == [1 + 2, 2]
    assert passes.loc["RISE"].tolist() == [4, 0]


def test_photographs_are_scored_a_batch_at_a_time(monkeypatch):
    images = torch.rand(3, 3, 48, 48, generator=generator(0), dtype=torch.float64)
    settings = {
        name: methods.rescaled(name.split()[0], side=4, steps=2, area=1.0, variation=0.0, noise=0.1)
        for name in ("RP", "MP", "MP (start 1)")
    }
    network = create("compact/vgg", classes=4, channels=3, size=48, seed=1).eval().double()
    run = {"settings": settings, "rise_masks": 4, "rivals": 2, "keys": np.array([4, 7, 9])}
    given = (network, images, torch.tensor([0, 1, 2]), images.mean((2, 3), keepdim=True).expand_as(images))
    whole = scored(*given, **run).set_index(["method", "image"]).drop(columns="seconds")
    monkeypatch.setattr(photograph_scores, "BATCH", 2)
    parts = scored(*given, **run).set_index(["method", "image"]).drop(columns="seconds")
    pd.testing.assert_frame_equal(parts.loc[whole.index], whole, rtol=1e-5, atol=1e-6)


def test_maps_without_a_mask_remove_as_much_as_rp(rows):
    area = rows.pivot(index=["network", "image"], columns="method", values="area")
    np.testing.assert_allclose(area["Grad-CAM"], area["RP"], atol=1 / 48**2)


def test_the_table_has_means_over_photographs(rows):
    found = claims_photographs.table(rows, resamples=100, seed=0).set_index(["network", "method"])
    expected = rows.groupby(["network", "method"])["cds"].mean()
    np.testing.assert_allclose(found["cds"].loc[expected.index], expected, atol=1e-9)


def test_claims_are_about_the_network_that_fits_worst(rows):
    mine = [each for each in register() if each.estimator.__module__ == claims_photographs.__name__]
    found = {each.id: evaluate(each, {"photographs": rows}, resamples=100, seed=0) for each in mine}
    assert sorted(found) == [f"P3.{number}" for number in range(75, 82)]
    mean = rows.groupby(["method", "network"])[["deletion", "insertion"]].mean()
    ratio = mean.loc["RP", "deletion"] / mean.loc["RISE", "deletion"]
    assert found["P3.77"]["ours"] == pytest.approx(ratio.max())
    gap = mean.loc["RP", "insertion"] - mean.loc["MP", "insertion"]
    assert found["P3.80"]["ours"] == pytest.approx(gap.min())
    assert {row["n"] for row in found.values()} == {3}
