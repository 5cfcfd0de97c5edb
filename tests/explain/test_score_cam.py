import pytest
import torch
from torch import nn
from torchcam.methods import ScoreCAM

from aecompanion.explain.score_cam import score_cam


class Corners(nn.Module):
    """Features: the image in place, and upside down; z: the pixel in the upper left and that in the lower left."""

    def __init__(self):
        super().__init__()
        self.features = nn.Identity()

    def forward(self, images):
        features = self.features(torch.cat([images, images.flip(2)], 1))
        return features[:, 0, :, 0]


def test_score_cam_by_hand():
    """The channel in place leaves the bright pixel to the network, the other one takes it away."""
    images = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    found = score_cam(Corners(), images, 0, layer="features", fill=0.0)
    first, second = torch.tensor([1.0, 0.0]).softmax(0)  # z_0 of what the two channels show
    assert torch.allclose(found[0, 0], torch.tensor([[first, 0.0], [second, 0.0]]))


@pytest.mark.parametrize("layer", ["norm", "relu"])  # of the image's size: torchcam scales before it enlarges
def test_agrees_with_torchcam(convolutional, images, labels, layer):
    found = score_cam(convolutional, images, labels, layer=layer, channels=None, fill=0.0)
    for row in range(len(images)):
        with ScoreCAM(convolutional, layer, input_shape=(2, 8, 8)) as extractor, torch.no_grad():
            convolutional(images[row : row + 1])
            (expected,) = extractor(int(labels[row]), normalized=False)
        assert expected.amax() > 0
        assert torch.allclose(found[row], expected.relu(), atol=1e-4)


def test_few_channels_are_those_that_vary_most(convolutional, images):
    def silenced(module, given, output):
        return output * torch.tensor([0.0, 3.0, 0.0, 2.0])[:, None, None]

    convolutional.relu.register_forward_hook(silenced)
    everything = score_cam(convolutional, images, 1, layer="relu", channels=None)
    assert torch.equal(score_cam(convolutional, images, 1, layer="relu", channels=4), everything)
    two = score_cam(convolutional, images, 1, layer="relu", channels=2)
    # the flat channels add nothing but a share of the softmax, which is one factor for the whole map
    shares = (two / everything.where(everything > 0, 1)).flatten(1)
    for share, seen in zip(shares, (everything > 1e-6).flatten(1), strict=True):
        assert share[seen].max() - share[seen].min() < 1e-4
        assert share[seen].min() > 1.1
    assert not torch.allclose(score_cam(convolutional, images, 1, layer="relu", channels=1), two)


def test_a_channel_of_one_value_shows_nothing_of_the_image():
    images = torch.full((1, 1, 2, 2), 0.8)
    found = score_cam(Corners(), images, 0, layer="features")
    assert found.isfinite().all()
    assert torch.allclose(found, torch.tensor(0.8))  # (1/2 + 1/2) · 0.8


def test_no_channel_and_no_map_are_errors(convolutional, images):
    with pytest.raises(ValueError, match="channels 0: expected at least 1, or None"):
        score_cam(convolutional, images, 0, layer="relu", channels=0)
    with pytest.raises(ValueError, match="the layer returns 2-dimensional features"):
        score_cam(convolutional, images, 0, layer="fc")
