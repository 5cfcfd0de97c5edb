import pytest
import torch
from torch import nn
from torchcam.methods import LayerCAM

from aecompanion.explain.cam_variants import gradcam_plus_plus, layercam
from aecompanion.pipeline.rng import generator

METHODS = {"Grad-CAM++": gradcam_plus_plus, "LayerCAM": layercam}


class Weighted(nn.Module):
    """z_c = Σ W_c ⊙ features, the features being the image: gradients are the weights."""

    def __init__(self, weights):
        super().__init__()
        self.features, self.weights = nn.Identity(), weights

    def forward(self, images):
        return torch.einsum("nkhw,ckhw->nc", self.features(images), self.weights)


def test_grad_cam_plus_plus_by_hand():
    """Two channels of 1×2. First: A = (1, 2), g = (1, 1), so α = 1 / (2 + 3) = .2 and w = .4. Second: A = (4, 0),
    g = (1, -1), so α = 1 / (2 + 4) and 1 / (2 - 4), of which the ReLU takes the first, w = 1/6.
    """
    model = Weighted(torch.tensor([[[[1.0, 1.0]], [[1.0, -1.0]]], [[[-1.0, -1.0]], [[0.0, 0.0]]]]))
    images = torch.tensor([[[[1.0, 2.0]], [[4.0, 0.0]]]]).expand(2, -1, -1, -1)
    found = gradcam_plus_plus(model, images, torch.tensor([0, 1]), layer="features")
    assert torch.allclose(found[0, 0, 0], torch.tensor([0.4 + 4 / 6, 0.8]))
    assert not found[1].any()  # no positive gradient


def test_layer_cam_by_hand():
    model = Weighted(torch.tensor([[[[1.0, -1.0]], [[2.0, 3.0]]]]))
    images = torch.tensor([[[[5.0, 7.0]], [[1.0, -2.0]]]])
    assert layercam(model, images, 0, layer="features").flatten().tolist() == [7.0, 0.0]  # 5 + 2·1, ReLU(0 - 6)


@pytest.mark.parametrize("layer", ["norm", "relu", "conv2"])
def test_layer_cam_agrees_with_torchcam(convolutional, images, labels, layer):
    found = layercam(convolutional, images, labels, layer=layer)
    with LayerCAM(convolutional, layer, input_shape=(2, 8, 8)) as extractor:
        scores = convolutional(images.clone().requires_grad_())
        (expected,) = extractor(labels.tolist(), scores, normalized=False)
    assert expected.amax() > 0
    assert torch.allclose(found[:, 0], expected.relu(), rtol=1e-4, atol=1e-6)


def test_grad_cam_plus_plus_agrees_with_derivatives_of_the_exponential():
    """The published α has the second and the third derivative of Y = exp(z) by every activation: taken one by one.
    (torchcam 0.5 is no oracle: it divides a copy, so that its α is the square of the gradient.)
    """
    gen = generator(6, 1)
    weights, images = (
        torch.randn(1, 3, 2, 3, generator=gen).double() / 4,
        torch.rand(1, 3, 2, 3, generator=gen).double(),
    )
    model = Weighted(weights)

    def moved(step, place):
        return model((images.flatten() + step * place).reshape(images.shape))[0, 0].exp()

    places, zero = torch.eye(18).double(), torch.zeros(()).double()
    first = torch.func.grad(moved)
    second = torch.func.grad(first)
    third = torch.func.grad(second)
    d1, d2, d3 = (
        torch.func.vmap(each, in_dims=(None, 0))(zero, places).reshape(images.shape) for each in (first, second, third)
    )
    alpha = d2 / (2 * d2 + d3 * images.sum((2, 3), keepdim=True))
    expected = ((alpha * d1.relu()).sum((2, 3), keepdim=True) * images).sum(1, keepdim=True).relu()
    found = gradcam_plus_plus(model, images, 0, layer="features")
    assert torch.allclose(found * model(images).exp(), expected, rtol=1e-9)  # the factor that we leave out
    assert found.amin() > 0


def test_small_gradients_are_not_rounded_away(convolutional, images):
    before = gradcam_plus_plus(convolutional, images, 1, layer="relu")
    with torch.no_grad():
        for parameter in convolutional.fc.parameters():
            parameter.mul_(1e-20)
    after = gradcam_plus_plus(convolutional, images, 1, layer="relu")
    assert before.amax() > 0
    assert after.amax() > 0


@pytest.mark.parametrize("name", METHODS)
def test_a_layer_that_writes_over_the_explained_one_changes_nothing(convolutional, images, labels, name):
    function = METHODS[name]
    expected = function(convolutional, images, labels, layer="norm")
    convolutional.relu.inplace = True
    assert torch.equal(function(convolutional, images, labels, layer="norm"), expected)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.unused = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
        self.pair = nn.Identity()

    def forward(self, images):
        both = self.pair((images, images))
        return self.layer(self.layer(both[0])).flatten(1)


@pytest.mark.parametrize("name", METHODS)
def test_layers_without_a_map_are_errors(convolutional, images, name):
    function = METHODS[name]
    with pytest.raises(ValueError, match="the layer returns 2-dimensional features, expected N×K×h×w"):
        function(convolutional, images, 0, layer="flatten")
    with pytest.raises(ValueError, match="layer 'layer' runs 2 times per pass, expected once"):
        function(Twice(), torch.rand(1, 1, 2, 2), 0, layer="layer")
    with pytest.raises(ValueError, match="layer 'unused' runs 0 times per pass, expected once"):
        function(Twice(), torch.rand(1, 1, 2, 2), 0, layer="unused")
    with pytest.raises(ValueError, match="the layer returns tuple, expected N×K×h×w"):
        function(Twice(), torch.rand(1, 1, 2, 2), 0, layer="pair")
    with pytest.raises(ValueError, match="layer 'stage9' does not exist"):
        function(convolutional, images, 0, layer="stage9")
