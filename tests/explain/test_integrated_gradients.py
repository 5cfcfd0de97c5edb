import pytest
import torch
from torch import nn

from aecompanion.explain.integrated_gradients import integrated_gradients
from aecompanion.pipeline.rng import generator


class Squares(nn.Module):
    """z_0 = Σ x², z_1 = Σ 3x; the integral of either is known."""

    def forward(self, x):
        flat = x.flatten(1)
        return torch.stack([flat.square().sum(1), 3 * flat.sum(1)], 1)


@pytest.fixture
def pair():
    return torch.rand(2, 2, 4, 4, generator=generator(1, 1)), torch.rand(2, 2, 4, 4, generator=generator(1, 2))


def test_the_integral_of_a_quadratic_is_the_difference_of_the_squares_per_pixel(pair):
    images, references = pair
    found = integrated_gradients(Squares(), images, torch.tensor([0, 1]), references, steps=4, signed=True)
    assert found.shape == (2, 1, 4, 4)
    assert torch.allclose(found[0], (images[0].square() - references[0].square()).sum(0, keepdim=True), atol=1e-5)
    assert torch.allclose(found[1], 3 * (images[1] - references[1]).sum(0, keepdim=True), atol=1e-5)
    absolute = integrated_gradients(Squares(), images, torch.tensor([0, 1]), references, steps=4)
    assert torch.equal(absolute, found.abs())


def test_all_pixels_together_are_the_difference_of_the_logits(pair):
    images, references = pair
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 3)).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator(2, parameter.numel())) / 2
    target = torch.tensor([2, 0])
    found = integrated_gradients(model, images, target, references, signed=True).sum((1, 2, 3))
    with torch.no_grad():
        difference = (model(images) - model(references)).gather(1, target[:, None])[:, 0]
    assert difference.abs().min() > 0.1
    assert torch.allclose(found, difference, atol=1e-3)


def test_the_line_from_a_reference_to_itself_has_no_length(pair):
    assert not integrated_gradients(Squares(), pair[0], 0, pair[0].clone()).any()


def test_references_of_another_shape_and_no_steps_are_errors(pair):
    with pytest.raises(ValueError, match="references are"):
        integrated_gradients(Squares(), pair[0], 0, pair[1][:1])
    with pytest.raises(ValueError, match="steps 0: expected at least 1"):
        integrated_gradients(Squares(), *[pair[0], 0, pair[1]], steps=0)
    with pytest.raises(ValueError, match="expected class indices from 0 to 1"):
        integrated_gradients(Squares(), pair[0], 2, pair[1])
