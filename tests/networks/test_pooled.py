import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.networks import checkpoint
from aecompanion.networks.compact import Basic, InceptionBlock
from aecompanion.networks.pooled import LogMeanExp, Pooled, googlenet, resnet, vgg
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator

FAMILIES = {"vgg": vgg, "googlenet": googlenet, "resnet": resnet}
every_family = pytest.mark.parametrize("name", FAMILIES)


def network(name, *, classes=7, channels=3, size=64, seed=0):
    return create(
        f"aecompanion.networks.pooled:{name}", classes=classes, channels=channels, size=size, seed=seed
    ).eval()


def head(channels, classes):
    """A pooling head whose score of class k is the k-th feature."""
    pooling = LogMeanExp(channels, classes)
    pooling.score.weight.data = torch.eye(classes, channels)[..., None, None]
    nn.init.zeros_(pooling.score.bias)
    return pooling.requires_grad_(False)


@pytest.fixture
def images():
    return torch.rand(4, 3, 64, 64, generator=generator(4, 1))


# the pooling


def test_the_pooled_score_of_two_places_is_the_one_on_paper():
    """Scores ln 1 and ln 3: the mean of the exponentials is 2."""
    scores = torch.tensor([0, math.log(3)]).reshape(1, 1, 1, 2)
    assert head(1, 1)(scores).item() == pytest.approx(math.log(2))


def test_the_score_of_a_place_is_a_weighted_sum_of_its_features_and_the_bias():
    """Class 0: 2·a - b + 0.5; class 1: b. At the places (a, b) = (0, 1) and (1, 0): -0.5 and 2.5; 1 and 0."""
    pooling = LogMeanExp(2, 2)
    pooling.score.weight.data = torch.tensor([[2.0, -1.0], [0.0, 1.0]])[..., None, None]
    pooling.score.bias.data = torch.tensor([0.5, 0.0])
    features = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).reshape(1, 2, 1, 2)
    expected = [math.log((math.exp(-0.5) + math.exp(2.5)) / 2), math.log((math.e + 1) / 2)]
    assert pooling(features)[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("scale", [0.01, 1, 10])
def test_the_pooled_score_lies_between_the_mean_and_the_maximum(scale):
    scores = scale * torch.randn(5, 3, 8, 8, generator=generator(4, 2))
    pooled = head(3, 3)(scores)
    assert (pooled > scores.mean((2, 3))).all()
    assert (pooled < scores.amax((2, 3))).all()
    assert (pooled >= scores.amax((2, 3)) - math.log(64) - 1e-5).all()  # as if all other places said nothing


def test_a_score_that_is_the_same_everywhere_is_the_pooled_score():
    assert torch.allclose(
        head(2, 2)(torch.tensor([3.0, -70.0]).reshape(1, 2, 1, 1).expand(1, 2, 8, 8)), torch.tensor([3.0, -70.0])
    )


def test_where_the_score_is_high_does_not_matter():
    scores = torch.randn(2, 3, 8, 8, generator=generator(4, 3))
    moved = scores.flatten(2)[..., torch.randperm(64, generator=generator(4, 4))].reshape(scores.shape)
    assert torch.allclose(head(3, 3)(moved), head(3, 3)(scores), rtol=0, atol=1e-5)


def test_large_scores_do_not_overflow():
    scores = torch.tensor([[1000.0, 0.0], [-1000.0, -1001.0]]).reshape(1, 2, 1, 2)
    expected = [1000 - math.log(2), -1000 + math.log((1 + math.exp(-1)) / 2)]
    assert head(2, 2)(scores)[0].tolist() == pytest.approx(expected)


def test_every_place_takes_part_in_the_gradient_the_most_likely_one_most():
    scores = torch.randn(1, 1, 8, 8, generator=generator(4, 5)).requires_grad_()
    head(1, 1)(scores).sum().backward()
    assert torch.allclose(scores.grad.flatten(), scores.detach().flatten().softmax(0))


# the families


@every_family
@pytest.mark.parametrize(("size", "channels"), [(48, 3), (64, 1), (64, 3), (100, 3)])
def test_an_image_becomes_one_logit_per_class(name, size, channels):
    body = FAMILIES[name](classes=7, channels=channels, size=size)
    assert isinstance(body, Pooled)
    assert body.eval()(torch.rand(2, channels, size, size)).shape == (2, 7)


@every_family
@torch.no_grad()
def test_the_last_map_of_a_64_px_image_is_8_by_8_and_is_the_fourth_stage(name, images):
    net, maps = network(name), []
    assert net.cam_layers == ("stage1", "stage2", "stage3", "stage4")
    assert net.cam_layer() is net.body.stage4
    net.cam_layer().register_forward_hook(lambda module, args, output: maps.append(output))
    logits = net(images)
    assert maps[0].shape[2:] == (8, 8)
    assert torch.equal(net.body.head(maps[0]), logits)


@every_family
@torch.no_grad()
def test_the_logits_are_log_mean_exp_of_the_class_scores_of_the_last_map(name, images):
    net, maps = network(name), []
    net.cam_layer().register_forward_hook(lambda module, args, output: maps.append(output))
    logits, score = net(images), net.body.head.score
    places = torch.einsum("kc,nchw->nkhw", score.weight[..., 0, 0], maps[0]) + score.bias.reshape(-1, 1, 1)
    assert torch.allclose(places.exp().mean((2, 3)).log(), logits, rtol=0, atol=1e-4)


@every_family
@torch.no_grad()
def test_the_maps_shrink_from_stage_to_stage(name, images):
    net, sides = network(name), []
    for stage in net.cam_layers:
        net.cam_layer(stage).register_forward_hook(lambda module, args, output: sides.append(output.shape[-1]))
    net(images)
    assert sides == [16, 16, 8, 8]


@pytest.mark.parametrize(("name", "inceptions", "residuals"), [("vgg", 0, 0), ("googlenet", 3, 0), ("resnet", 0, 4)])
def test_a_family_has_the_block_that_names_it(name, inceptions, residuals):
    modules = list(network(name).modules())
    assert sum(isinstance(module, InceptionBlock) for module in modules) == inceptions
    assert sum(isinstance(module, Basic) for module in modules) == residuals


@every_family
def test_every_parameter_takes_part_in_training(name, images):
    net = network(name).train()
    net(images).square().sum().backward()
    assert [key for key, parameter in net.named_parameters() if not parameter.grad.any()] == []


@every_family
@torch.no_grad()
def test_an_image_does_not_see_the_others_of_its_batch(name, images):
    net = network(name)
    torch.testing.assert_close(net(images)[1:2], net(images[1:2]), rtol=1e-4, atol=1e-5)


@every_family
@torch.no_grad()
def test_the_initial_weights_depend_on_the_seed_only(name, images):
    state = torch.get_rng_state()
    first, second, other = (network(name, seed=seed)(images) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.allclose(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def steps(name, count=8):
    """The losses of training steps on 16 images: a bright square in the corner is class 0, at the right class 1."""
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]).repeat(4, 1)
    images = 0.3 * torch.rand(16, 3, 64, 64, generator=generator(4, 6))
    images[labels[:, 0] == 1, :, 4:20, 4:20] += 0.6
    images[labels[:, 1] == 1, 0, 30:46, 44:60] += 0.6
    net = network(name, classes=2, seed=1).train()
    optimiser, losses = torch.optim.Adam(net.parameters(), lr=0.01), []
    for _ in range(count):
        loss = F.binary_cross_entropy_with_logits(net(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@every_family
def test_a_few_steps_fit_a_tiny_batch_of_two_classes(name):
    losses = steps(name)
    assert losses[-1] < 0.5 * losses[0]


def test_training_steps_repeat():
    assert steps("resnet", 3) == steps("resnet", 3)


@every_family
@torch.no_grad()
def test_a_checkpoint_gives_the_same_logits_and_card(name, tmp_path, images):
    net = network(name, seed=5).to(memory_format=torch.channels_last)
    net.train()(images)  # so that the running statistics are not the initial ones
    net.eval()
    checkpoint.save(net, tmp_path / "a.safetensors", accuracy={"test": 0.5})
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert torch.equal(loaded(images), net(images))
    assert loaded.card == net.card
    assert loaded.card["name"] == f"aecompanion.networks.pooled:{name}"
    assert loaded.cam_layer() is loaded.body.stage4


def test_a_checkpoint_of_another_family_is_refused(tmp_path):
    checkpoint.save(network("vgg"), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors: weights do not fit aecompanion\.networks\.pooled:vgg"):
        checkpoint.load(tmp_path / "a.safetensors", source="aecompanion.networks.pooled:resnet")


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="network 'aecompanion.networks.pooled:alexnet' cannot be imported"):
        network("alexnet")
