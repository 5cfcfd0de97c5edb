import pytest
import torch
from torch import nn

from aecompanion.attack.gradient import fgsm
from aecompanion.explain.gradcam import gradcam
from aecompanion.networks.folding import folded
from aecompanion.networks.recogniser import Cosine, Recogniser, placed
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator
from aecompanion.sanity.randomization import layers


class Tiny(nn.Module):
    """Normalised N×3×112×96 to N×3: one 1×1 convolution and the mean of every channel, made three numbers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.linear = nn.Linear(4, 3, bias=False)

    def forward(self, images):
        assert images.shape[1:] == (3, 112, 96)
        return self.linear(self.conv(images).relu().mean((2, 3)))


def tiny(*, classes, channels, size):
    return Recogniser(Tiny(), 3, classes)


@pytest.fixture
def network():
    return create(tiny, classes=5, channels=1, size=64, cam_layers=["net.conv"]).eval()


# ---- placing


@pytest.mark.parametrize("shape", [(64, 64), (112, 92), (224, 224), (56, 24), (300, 60), (2, 2)])
def test_the_halves_of_an_image_become_the_halves_of_what_the_network_sees(shape):
    """Bright above: so in every column of 112×96, whatever the size."""
    images = torch.zeros(1, 1, *shape)
    images[..., : shape[0] // 2, :] = 1
    found = placed(images)
    assert found.shape == (1, 1, 112, 96)
    assert torch.allclose(found, found[..., :1].expand_as(found), atol=1e-6)
    rows = found[0, 0, :, 0]
    assert torch.allclose(rows + rows.flip(0), torch.ones(112), atol=1e-5)
    assert torch.allclose(rows[[0, -1]], torch.tensor([1.0, 0.0]), atol=1e-6)


def test_an_image_of_the_training_size_stays_as_it_is():
    images = torch.rand(2, 3, 112, 96)
    assert torch.equal(placed(images), images)


# ---- logits


def test_the_logits_are_scaled_cosines():
    head = Cosine(2, 3)
    head.centroids.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-0.6, 0.8]])
    head.scale.fill_(10)
    found = head(torch.tensor([[3.0, 4.0], [-2.0, 0.0]]))
    assert torch.allclose(found, torch.tensor([[6.0, 8.0, 2.8], [-10.0, 0.0, 6.0]]), atol=1e-5)


def test_fresh_centroids_are_of_length_one():
    head = Cosine(8, 20)
    assert torch.allclose(head.centroids.norm(dim=1), torch.ones(20))


def test_the_network_sees_what_its_training_saw():
    """(x - 127.5) / 128 of 0..255 pixels, by way of the zoo's own normalisation, and grey three times."""
    network, seen = create(tiny, classes=2, channels=1, size=64, cam_layers=["net.conv"]), []
    network.body.net.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    network(torch.stack([torch.zeros(1, 64, 64), torch.ones(1, 64, 64)]))
    expected = torch.tensor([-127.5 / 128, 127.5 / 128])
    assert torch.allclose(seen[0].mean((2, 3)), expected[:, None].expand(2, 3), atol=1e-6)


# ---- what the pipeline asks of any network


def test_attack_map_and_folding_take_it_as_any_network(network):
    images = 0.1 + 0.8 * torch.rand(3, 1, 64, 64, generator=generator(0))
    labels = torch.tensor([0, 1, 2])
    attacked = fgsm(network, images, labels, eps=0.05)
    assert ((attacked - images).abs() > 0.03).float().mean() > 0.9  # 8 bits; gradients reach every pixel
    assert gradcam(network, images, labels, layer=network.cam_layer()).shape == (3, 1, 112, 96)
    assert torch.allclose(folded(network)(images), network(images), atol=1e-5)


def test_an_image_alone_has_the_logits_that_it_has_in_a_batch(network):
    images = torch.rand(4, 1, 64, 64)
    assert torch.allclose(network(images)[2:3], network(images[2:3]), atol=1e-6)


def test_colour_is_taken_and_two_channels_are_one_sentence():
    network = create(tiny, classes=2, channels=3, size=64, cam_layers=["net.conv"])
    assert network(torch.rand(1, 3, 48, 80)).shape == (1, 2)
    with pytest.raises(ValueError, match=r"^images have 2 channels, expected 3"):
        network(torch.rand(1, 2, 64, 64))


def test_randomisation_begins_with_the_centroids(network):
    assert layers(network)[-1] == ["body.head"]
