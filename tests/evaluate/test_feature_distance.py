import pytest
import torch
from torch import nn

from aecompanion.evaluate.feature_distance import feature_distance, stage_ends, unit_features
from aecompanion.networks.efficientnet_lite import EfficientNetLite0
from aecompanion.pipeline.rng import generator


class Two(nn.Module):
    """Two layers whose maps are the image, and the image times -3."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Identity()

    def forward(self, images):
        return self.second(-3 * self.first(images)).flatten(1)


def pair(*values):
    """1×3×1×1 images."""
    return [torch.tensor(each).reshape(1, 3, 1, 1) for each in values]


def distance(network, first, second, layers, size=1):
    return feature_distance(*(unit_features(network, each, layers, size=size) for each in (first, second)))


def test_orthogonal_channels_are_two_apart_and_scale_does_not_matter():
    network = Two()
    first, second = pair([1.0, 0.0, 0.0], [0.0, 0.5, 0.0])
    assert distance(network, first, second, [network.first]).tolist() == pytest.approx([2])
    assert distance(network, first, first / 4, [network.first, network.second]).tolist() == pytest.approx(
        [0], abs=1e-12
    )


def test_layers_and_places_are_averaged_without_weights():
    features = [
        torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1).repeat(1, 1, 1, 4),
        torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1),
    ]
    moved = [each.clone() for each in features]
    moved[0][0, :, 0, 0] = torch.tensor([0.0, 1.0])  # one place of four, 2 apart
    moved[1][0, :, 0, 0] = torch.tensor([-1.0, 0.0])  # 4 apart
    assert feature_distance(features, moved).tolist() == pytest.approx([(2 / 4 + 4) / 2])


def test_it_is_symmetric_zero_for_the_same_image_and_larger_for_a_larger_change():
    network, gen = EfficientNetLite0().eval(), generator(72, 1)
    layers = stage_ends(network)
    images = torch.rand(2, 3, 32, 32, generator=gen)
    noise = torch.randn(2, 3, 32, 32, generator=gen)
    near, far = ((images + size * noise).clamp(0, 1) for size in (0.02, 0.3))
    assert distance(network, images, images, layers, 64).tolist() == [0, 0]
    there, back = distance(network, images, near, layers, 64), distance(network, near, images, layers, 64)
    torch.testing.assert_close(there, back)
    assert (distance(network, images, far, layers, 64) > there).all()
    assert (there > 0).all()


def test_layers_are_the_last_blocks_of_every_resolution():
    network = EfficientNetLite0().eval()
    found = unit_features(network, torch.rand(1, 3, 32, 32, generator=generator(72, 2)), stage_ends(network), size=64)
    assert [tuple(each.shape[1:]) for each in found] == [
        (16, 32, 32),
        (24, 16, 16),
        (40, 8, 8),
        (112, 4, 4),
        (320, 2, 2),
    ]
    for each in found:
        torch.testing.assert_close(each.square().sum(1), torch.ones(1, *each.shape[2:]))


def test_the_network_has_no_hooks_left():
    network = Two()
    unit_features(network, torch.rand(1, 3, 2, 2), [network.first], size=2)
    assert not network.first._forward_hooks


def test_no_layer_and_unlike_shapes_are_refused():
    with pytest.raises(ValueError, match="no layer"):
        unit_features(Two(), torch.rand(1, 3, 2, 2), [], size=2)
    with pytest.raises(ValueError, match="same shapes"):
        feature_distance([torch.ones(1, 2, 1, 1)], [torch.ones(1, 2, 2, 1)])
