"""The map moves, the answer stays; noise is called unnoticed only with a bound."""

import pytest
import torch
from scipy import stats
from torch import nn

from aecompanion.attack.gradient import quantise
from aecompanion.explain.gradcam import gradcam
from aecompanion.networks.read import predict
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import seeded
from aecompanion.sanity.map_attack import coarse_map, map_attack, study, unnoticed

SIZE, EPS = 48, 8 / 255


@pytest.fixture(scope="module")
def network():
    return create("compact/vgg", classes=5, channels=1, size=SIZE, seed=3).eval()


@pytest.fixture(scope="module")
def images():
    with seeded(7, 0):
        return torch.rand(6, 1, SIZE, SIZE)


@pytest.fixture(scope="module")
def said(network, images):
    return predict(network, quantise(images)).argmax(1)


@pytest.fixture(scope="module")
def attacked(network, images, said):
    return map_attack(network, images, said, layer=network.cam_layer(), eps=EPS, steps=4, seed=1, indices=range(6))


def test_the_map_that_is_attacked_is_that_of_grad_cam(network, images, said):
    found, confidence, first = coarse_map(network, images, said, network.cam_layer())
    assert torch.allclose(found, gradcam(network, images, said, layer=network.cam_layer()), atol=1e-6)
    assert torch.allclose(confidence, predict(network, images).softmax(1).gather(1, said[:, None])[:, 0], atol=1e-6)
    assert torch.equal(first, predict(network, images).argmax(1))


def test_the_images_stay_in_the_ball_and_on_the_grid(images, attacked):
    assert (attacked - quantise(images)).abs().max() <= 8.001 / 255
    assert torch.allclose(attacked, quantise(attacked))
    assert attacked.min() >= 0 and attacked.max() <= 1


def test_class_and_confidence_stay(network, images, said, attacked):
    before, after = (predict(network, each).softmax(1) for each in (quantise(images), attacked))
    assert torch.equal(after.argmax(1), said)
    assert (after - before).gather(1, said[:, None]).abs().max() <= 0.05


def test_the_map_moves_farther_than_in_fewer_steps_and_than_at_the_start(network, images, said, attacked):
    layer, options = network.cam_layer(), {"eps": EPS, "seed": 1, "indices": range(6)}

    def moved(shown):
        maps = [gradcam(network, each, said, layer=layer).flatten(1) for each in (quantise(images), shown)]
        return 1 - torch.cosine_similarity(*maps)

    start = map_attack(network, images, said, layer=layer, steps=0, **options)
    assert (moved(attacked) >= moved(start) - 1e-6).all()
    assert moved(attacked).mean() > 2 * moved(start).mean()


def test_without_tolerance_the_image_comes_back(network, images, said):
    options = {"layer": network.cam_layer(), "eps": EPS, "steps": 2, "tolerance": -1.0, "indices": range(6)}
    assert torch.equal(map_attack(network, images, said, **options), quantise(images))


def test_the_network_is_left_as_it_was(network, images, said, attacked):
    assert not network.cam_layer()._forward_hooks
    assert all(parameter.requires_grad for parameter in network.parameters())


class Constant(nn.Module):
    """Says class 1 whatever it sees."""

    def forward(self, images):
        return torch.tensor([[0.0, 1.0]]).expand(len(images), 2)


def test_the_bound_is_that_of_clopper_and_pearson():
    images = torch.rand(2, 1, 4, 4)
    found = unnoticed(Constant(), images, torch.tensor([1, 0]), eps=0.1, draws=30, seed=1, indices=[0, 1])
    assert found == pytest.approx([0.05 ** (1 / 30), 0])
    assert stats.binom.sf(29, 30, found[0]) == pytest.approx(0.05)


def test_a_study_has_a_row_per_level_and_image(network, images, said):
    options = {"eps": [0.01, 0.05], "steps": 1, "draws": 2, "window": 7, "seed": 1, "indices": range(6)}
    found = study(network, images, said, **options)
    assert list(found.columns) == ["image", "eps", "mapped", "bound"]
    assert found["image"].tolist() == [*range(6)] * 2
    assert found["mapped"].between(0, 1).all()
