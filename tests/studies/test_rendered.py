"""SSIM of maps on photographs in every rendering, against the parts it is made of."""

import pytest
import torch

from aecompanion.attack.gradient import gradient_signs, perturb
from aecompanion.evaluate.dissimilarity import ssim
from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.read import predict
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator
from aecompanion.studies.rendered import rendered

KINDS = {"vgg": "compact/vgg", "resnet": "compact/resnet"}


@pytest.fixture(scope="module")
def networks():
    return {name: create(kind, classes=3, channels=1, size=48, seed=1).eval() for name, kind in KINDS.items()}


@pytest.fixture(scope="module")
def given():
    images = (torch.rand(3, 1, 48, 48, generator=generator(0)) * 255).round() / 255
    return images, torch.tensor([0, 1, 2])


@pytest.fixture(scope="module")
def rows(networks, given):
    return rendered(networks, *given, indices=[3, 5, 8], batch=2)


def test_there_is_a_row_per_network_arm_rendering_and_image(rows):
    counts = rows.groupby(["network", "arm", "rendering"])["image"].agg(list)
    assert len(counts) == 2 * 3 * 4
    assert set(map(tuple, counts)) == {(3, 5, 8)}


def test_the_batch_changes_nothing(rows, networks, given):
    whole = rendered(networks, *given, indices=[3, 5, 8], batch=8)
    keys = ["network", "arm", "rendering", "image"]
    both = rows.merge(whole, on=keys, suffixes=("", "_whole"), validate="one_to_one")
    assert (both["ssim"] - both["ssim_whole"]).abs().max() < 1e-4


@pytest.mark.parametrize(("arm", "source"), [("white", "vgg"), ("black", "resnet")])
def test_a_row_is_what_the_parts_give(rows, networks, given, arm, source):
    images, labels = given
    shown = perturb(images, gradient_signs(networks[source], images, labels), 0.1)
    maps = []
    for each in (images, shown):
        said = predict(networks["vgg"], each).argmax(1)
        maps.append(heatmap(gradcam(networks["vgg"], each, said, layer=networks["vgg"].cam_layer()), 48))
    chosen = rows[(rows["network"] == "vgg") & (rows["arm"] == arm) & (rows["rendering"] == "scalar, input size")]
    assert chosen["ssim"].tolist() == pytest.approx(ssim(*maps).tolist(), abs=1e-4)
