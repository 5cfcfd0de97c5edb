"""From images to the rows of paper 5, on two small networks."""

import numpy as np
import pytest
import torch

from aecompanion.attack import transfer
from aecompanion.attack.gradient import gradient_signs, perturb
from aecompanion.evaluate.dissimilarity import nissim
from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.read import predict
from aecompanion.networks.zoo import create
from aecompanion.papers.shift import photographs
from aecompanion.pipeline.rng import generator
from aecompanion.report.claims import evaluate
from aecompanion.studies.shifts import compared

EPS = [0.01, 0.05, 0.075, 0.1]


@pytest.fixture(scope="module")
def networks():
    kinds = {"vgg": "compact/vgg", "resnet": "compact/resnet"}
    return {name: create(kind, classes=3, channels=1, size=48, seed=1).eval() for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def given():
    images = (torch.rand(5, 1, 48, 48, generator=generator(0)) * 255).round() / 255
    return images, torch.tensor([0, 1, 2, 0, 1])


@pytest.fixture(scope="module")
def rows(networks, given):
    return compared(networks, *given, indices=[3, 5, 8, 9, 11], eps=EPS, batch=2)


def test_there_is_a_row_per_network_arm_level_and_image(rows):
    counts = rows.groupby(["network", "arm", "eps"])["image"].agg(list)
    assert set(map(tuple, counts)) == {(3, 5, 8, 9, 11)}
    assert len(counts) == 2 * (3 * 5 + 1)


@pytest.mark.parametrize(("arm", "source"), [("white", "vgg"), ("black", "resnet")])
def test_a_row_is_what_the_parts_give(rows, networks, given, arm, source):
    images, labels = given
    signs = gradient_signs(networks[source], images, labels)
    shown = perturb(images, signs, 0.05)
    said = predict(networks["vgg"], shown).argmax(1)
    chosen = rows[(rows["network"] == "vgg") & (rows["arm"] == arm) & (rows["eps"] == 0.05)]
    assert chosen["prediction"].tolist() == said.tolist()
    layer = networks["vgg"].cam_layer()
    first = predict(networks["vgg"], images).argmax(1)
    before = heatmap(gradcam(networks["vgg"], images, first, layer=layer), 48)
    after = heatmap(gradcam(networks["vgg"], shown, said, layer=layer), 48)
    np.testing.assert_allclose(chosen["nissim"], nissim(before, after), atol=1e-4)


def test_noise_does_not_depend_on_the_batch(rows, networks, given):
    again = compared(networks, *given, indices=[3, 5, 8, 9, 11], eps=[0.05], batch=5)
    for arm in ("noise", "other"):
        pair = [each[(each["arm"] == arm) & each["eps"].isin([0.05, 0.0])] for each in (rows, again)]
        keys = ["network", "eps", "image"]
        left, right = (each.sort_values(keys)["nissim"].to_numpy() for each in pair)
        np.testing.assert_allclose(left, right, atol=1e-4)
    assert transfer.random_signs((1, 2, 2), seed=0, indices=[3]).shape == (1, 1, 2, 2)


def test_the_other_map_is_of_another_label(networks, given):
    images, labels = given
    with pytest.raises(ValueError, match="all 5 images have one label"):
        compared(networks, images, labels * 0, indices=range(5), eps=EPS)


def test_the_table_has_a_row_per_network_arm_and_level(rows):
    found = photographs.table(rows.assign(correct0=True), resamples=100, seed=0)
    assert len(found) == 2 * 3 * 4
    one = found[(found["network"] == "vgg") & (found["arm"] == "white")]
    chosen = rows[(rows["network"] == "vgg") & (rows["arm"] == "white") & (rows["eps"] > 0)]
    np.testing.assert_allclose(one["mod"], chosen.groupby("eps")["nissim"].mean(), atol=1e-9)
    np.testing.assert_allclose(one["accuracy"], chosen.groupby("eps")["correct"].mean(), atol=1e-9)
    np.testing.assert_allclose(one["vid"], np.std(one["mod"]), atol=1e-9)
    photographs.panels(found)


def test_every_claim_is_tested_on_them(rows):
    from aecompanion.papers.shift import claims_photographs
    from aecompanion.report.claims import register

    mine = [each for each in register() if each.estimator.__module__ == claims_photographs.__name__]
    mine = [each for each in mine if each.display == "X5.20"]  # X5.23 reads other rows (`studies.rendered`)
    found = [evaluate(each, {"photographs": rows.assign(correct0=True)}, resamples=100, seed=0) for each in mine]
    assert len(found) == 14
    assert {row["n"] for row in found} == {5}
    white = {row["id"]: row["ours"] for row in found}
    levels = rows[rows["eps"] > 0].groupby(["arm", "network", "eps"])["nissim"].mean()
    expected = (levels["white"] - levels["noise"]).groupby("eps").min()
    assert white["P5.120"] == pytest.approx(expected[0.01], abs=1e-6)
