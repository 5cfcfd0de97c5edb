import pytest
import torch
from torch import nn

from aecompanion.explain.saliency import saliency
from aecompanion.pipeline.rng import generator

CLASSES = torch.tensor([0, 1, 2, 0, 1])


def by_autograd(model, image, target):
    """The map of one image, written from the formula."""
    image = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(image[None])[0, target], image)
    return gradient.abs().amax(0)


def test_the_map_of_a_linear_network_is_the_largest_weight_of_each_pixel(linear, images):
    maps = saliency(linear, images, CLASSES)
    expected = linear[1].weight.detach().reshape(3, 2, 8, 8).abs().amax(1, keepdim=True)
    assert maps.shape == (5, 1, 8, 8)
    assert torch.equal(maps, expected[CLASSES])


def test_the_map_of_hand_made_weights_is_the_one_on_paper():
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    model[1].weight.data = torch.tensor([[1.0, -2, 3, 0, 0.5, 1, -4, 0], [0.0, 0, 0, 0, 0, 0, 0, -1]])
    maps = saliency(model, torch.rand(2, 2, 2, 2), torch.tensor([0, 1]))
    assert maps.tolist() == [[[[1, 2], [4, 0]]], [[[0, 0], [0, 1]]]]


def test_the_map_equals_the_gradient_written_with_autograd(convolutional, images):
    maps = saliency(convolutional, images, CLASSES)
    expected = torch.stack([by_autograd(convolutional, *pair) for pair in zip(images, CLASSES, strict=True)])
    assert expected.amax() > 0
    assert torch.allclose(maps[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_the_map_is_that_of_the_logit_and_not_of_a_probability():
    """z = 100·x saturates every sigmoid, its gradient does not."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False))
    model[1].weight.data.fill_(100)
    assert saliency(model, torch.ones(1, 1, 1, 1), torch.tensor([0])).item() == 100


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_the_map_does_not_depend_on_the_batch_size(convolutional, images, batch):
    convolutional, images = convolutional.double(), images.double()
    expected = saliency(convolutional, images, CLASSES)
    assert torch.allclose(saliency(convolutional, images, CLASSES, batch=batch), expected, rtol=0, atol=1e-12)


def test_the_map_is_found_where_gradients_are_switched_off(convolutional, images):
    expected = saliency(convolutional, images, CLASSES)
    with torch.no_grad():
        assert torch.equal(saliency(convolutional, images, CLASSES), expected)


def test_the_images_are_not_changed(convolutional):
    images = torch.rand(5, 2, 8, 8, generator=generator(1, 3)).requires_grad_()
    copy = images.detach().clone()
    saliency(convolutional, images, CLASSES)
    assert torch.equal(images, copy)
    assert images.requires_grad
    assert images.grad is None


def test_the_network_is_explained_in_evaluation_mode_and_returned_as_it_was(
    convolutional, images, condition, fail_on_call
):
    expected = saliency(convolutional, images, CLASSES)
    before = condition(convolutional.train())
    found = saliency(convolutional, images, CLASSES)
    assert torch.equal(found, expected)
    assert not found.requires_grad
    assert condition(convolutional) == before
    fail_on_call(convolutional, 2)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match="call 2"):
        saliency(convolutional, images, CLASSES, batch=2)
    assert condition(convolutional) == before
