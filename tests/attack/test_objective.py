import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.attack.objective import (
    best_other,
    binary_cross_entropy,
    cross_entropy,
    finite,
    log_confidence,
    margin,
    towards,
    towards_rank,
    value,
    value_and_gradient,
)
from aecompanion.pipeline.rng import generator

LOGITS = torch.tensor([[0.0, math.log(3.0)], [math.log(3.0), 0.0]], dtype=torch.float64)  # probabilities 1/4 and 3/4
ONE = torch.tensor([1, 1])


@pytest.fixture
def logits():
    return torch.randn(6, 5, generator=generator(2, 1), dtype=torch.float64)


@pytest.fixture
def classes():
    return torch.tensor([0, 1, 2, 3, 4, 0])


# ---- by hand


def test_log_confidence_by_hand():
    assert log_confidence(LOGITS, ONE).tolist() == pytest.approx([math.log(3 / 4), math.log(1 / 4)], rel=1e-12)


def test_cross_entropy_by_hand():
    assert cross_entropy(LOGITS, ONE).tolist() == pytest.approx([math.log(4 / 3), math.log(4)], rel=1e-12)


def test_cross_entropy_is_that_of_torch_per_image(logits, classes):
    expected = F.cross_entropy(logits, classes, reduction="none")
    assert torch.allclose(cross_entropy(logits, classes), expected, rtol=1e-12, atol=0)


def test_a_temperature_divides_the_logits():
    # at temperature 1/2 the odds of 3 become 9, at temperature 2 they become the root of 3
    assert log_confidence(LOGITS, ONE, temperature=0.5)[0].item() == pytest.approx(math.log(9 / 10), rel=1e-12)
    root = 3**0.5
    assert log_confidence(LOGITS, ONE, temperature=2.0)[0].item() == pytest.approx(
        math.log(root / (1 + root)), rel=1e-12
    )


@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.0])
def test_towards_is_log_confidence_at_its_temperature(logits, classes, temperature):
    expected = (logits / temperature).softmax(1)[range(6), classes].log()
    assert torch.allclose(towards(temperature)(logits, classes), expected, rtol=1e-12, atol=0)


def test_log_confidence_of_a_hopeless_class_is_finite():
    found = log_confidence(torch.tensor([[0.0, -500.0]]), torch.tensor([1]))
    assert found.item() == -500.0


def test_margin_by_hand():
    logits = torch.tensor([[1.0, 4.0, 2.5], [1.0, 4.0, 2.5], [3.0, 3.0, 0.0]])
    assert margin(logits, torch.tensor([0, 1, 0])).tolist() == [3.0, -1.5, 0.0]


def test_the_margin_is_positive_exactly_where_the_decision_is_wrong(logits, classes):
    assert torch.equal(margin(logits, classes) > 0, logits.argmax(1) != classes)


def test_best_other_by_hand_leaves_the_logits_alone():
    logits = torch.tensor([[1.0, 4.0, 2.5], [-1.0, -4.0, -2.5]])
    assert best_other(logits, torch.tensor([1, 0])).tolist() == [2.5, -2.5]
    assert logits.tolist() == [[1.0, 4.0, 2.5], [-1.0, -4.0, -2.5]]


def test_towards_rank_by_hand():
    logits = torch.tensor([[8.0, 6.0, 3.0, 1.0, 0.0]])
    label, wanted = torch.tensor([0]), torch.tensor([2])
    # (3 - 8) / (8 - (3 + 1) / 2)
    assert towards_rank(logits, label, wanted=wanted).item() == pytest.approx(-5 / 6, rel=1e-6)
    assert towards_rank(logits, wanted, wanted=label).item() == pytest.approx(5 / 6, rel=1e-6)


def test_towards_rank_has_a_class_of_its_own_for_every_image():
    logits = torch.tensor([[8.0, 6.0, 3.0, 1.0, 0.0], [8.0, 6.0, 3.0, 1.0, 0.0]])
    found = towards_rank(logits, torch.tensor([0, 1]), wanted=torch.tensor([1, 4]))
    assert found.tolist() == pytest.approx([-2 / 6, -6 / 6], rel=1e-6)


def test_towards_rank_is_not_scaled_with_fewer_than_four_classes():
    logits = torch.tensor([[8.0, 6.0, 3.0]])
    assert towards_rank(logits, torch.tensor([0]), wanted=torch.tensor([1])).item() == -2.0


@pytest.mark.parametrize("scale", [1e-6, 0.5, 3.0, 1e6])
def test_towards_rank_does_not_change_when_logits_are_scaled_or_shifted(logits, classes, scale):
    wanted = (classes + 1) % 5
    expected = towards_rank(logits, classes, wanted=wanted)
    assert torch.allclose(towards_rank(scale * logits, classes, wanted=wanted), expected, rtol=1e-9, atol=0)
    assert torch.allclose(towards_rank(scale * (logits + 2), classes, wanted=wanted), expected, rtol=1e-9, atol=0)
    assert not torch.allclose(margin(scale * (logits + 2), classes), expected, rtol=1e-3, atol=0)


def test_towards_rank_of_equal_logits_is_finite():
    assert towards_rank(torch.ones(1, 5), torch.tensor([0]), wanted=torch.tensor([1])).item() == 0.0


def rank_two(logits, labels):
    return towards_rank(logits, labels, wanted=(labels + 2) % logits.shape[1])


OBJECTIVES = [cross_entropy, margin, towards(3.0), rank_two]
IDS = ["cross-entropy", "margin", "towards", "towards-rank"]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=IDS)
def test_an_image_has_the_same_objective_alone_as_in_a_batch(logits, classes, objective):
    together = objective(logits, classes)
    assert together.shape == (6,)
    alone = [objective(logits[i : i + 1], classes[i : i + 1]) for i in range(6)]
    assert torch.allclose(together, torch.cat(alone), rtol=1e-12, atol=0)


# ---- with a network


def test_value_and_gradient_of_a_linear_network_by_hand():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False))
    model[1].weight.data = torch.tensor([[1.0, 2.0], [3.0, -2.0], [0.0, 1.0]])
    images = torch.tensor([[0.5, 0.25], [0.25, 0.5]]).reshape(2, 1, 1, 2)
    # logits (1, 1, .25) and (1.25, -.25, .5)
    values, gradient = value_and_gradient(model, images, torch.tensor([2, 0]), margin)
    assert values.tolist() == [0.75, -0.75]
    # of the second image's others the third is largest; of the first image's two equal ones torch takes both by half
    assert gradient[1].flatten().tolist() == [-1.0, -1.0]
    assert gradient[0].flatten().tolist() == [2.0, -1.0]


def test_the_gradient_of_log_confidence_is_the_weight_less_its_mean_over_the_temperature(linear, images, labels):
    linear, images = linear.double(), images.double()
    values, gradient = value_and_gradient(linear, images, labels, towards(2.0))
    p = (linear(images) / 2).softmax(1)
    weight = linear[1].weight
    expected = (weight[labels] - p @ weight) / 2
    assert torch.allclose(gradient.flatten(1), expected, rtol=1e-9, atol=1e-12)
    assert torch.allclose(values, p[range(5), labels].log(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=IDS)
def test_value_and_gradient_are_those_of_autograd(network, images, labels, objective):
    variable = images.clone().requires_grad_()
    expected = objective(network(variable), labels)
    expected.sum().backward()
    values, gradient = value_and_gradient(network, images, labels, objective)
    assert torch.equal(values, expected.detach())
    assert torch.equal(gradient, variable.grad)
    assert gradient.flatten(1).abs().amax(1).min() > 0


@pytest.mark.parametrize("objective", OBJECTIVES, ids=IDS)
def test_the_gradient_agrees_with_finite_differences(network, images, labels, objective):
    network, images = network.double(), images.double()
    direction = torch.randn(images.shape, generator=generator(2, 2), dtype=torch.float64)
    gradient = value_and_gradient(network, images, labels, objective)[1]
    ahead, behind = (value(network, images + h * direction, labels, objective) for h in (1e-6, -1e-6))
    slope = (gradient * direction).flatten(1).sum(1)
    assert torch.allclose((ahead - behind) / 2e-6, slope, rtol=1e-5, atol=1e-7)


def test_value_is_the_objective_of_the_logits(network, images, labels):
    assert torch.equal(value(network, images, labels, margin), margin(network(images), labels).detach())


def test_values_and_gradient_have_no_graph(network, images, labels):
    values, gradient = value_and_gradient(network, images, labels, margin)
    assert not values.requires_grad
    assert not gradient.requires_grad
    assert not value(network, images, labels, margin).requires_grad
    assert not value(network, images.requires_grad_(), labels, margin).requires_grad


@pytest.mark.parametrize("requires_grad", [False, True])
def test_the_callers_images_and_parameters_get_no_gradient(network, images, labels, requires_grad):
    images.requires_grad_(requires_grad)
    value_and_gradient(network, images, labels, margin)
    assert images.requires_grad == requires_grad
    assert images.grad is None
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_gradient_is_found_under_no_grad(network, images, labels):
    expected = value_and_gradient(network, images, labels, margin)[1]
    with torch.no_grad():
        assert torch.equal(value_and_gradient(network, images, labels, margin)[1], expected)


def test_one_forward_pass_is_made_for_the_value_and_one_for_value_and_gradient(network, images, labels):
    calls = []
    network.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    value(network, images, labels, margin)
    assert calls == [5]
    value_and_gradient(network, images, labels, margin)
    assert calls == [5, 5]


# ---- several labels


@pytest.mark.parametrize("dtype", [torch.float32, torch.long, torch.bool])
def test_binary_cross_entropy_is_the_sum_over_the_labels_of_every_image(dtype):
    logits = torch.tensor([[0.0, 2.0, -1.0], [-3.0, 0.5, 0.0]]).double()
    labels = torch.tensor([[1, 1, 0], [0, 1, 0]])
    p = logits.sigmoid()
    expected = -torch.where(labels.bool(), p.log(), (1 - p).log()).sum(1)
    assert binary_cross_entropy(logits, labels.to(dtype)).tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_the_gradient_of_binary_cross_entropy_is_what_the_probabilities_lack():
    logits = torch.tensor([[0.0, 2.0, -90.0], [-3.0, 90.0, 0.0]]).double().requires_grad_()
    labels = torch.tensor([[1, 1, 1], [0, 0, 0]])
    found = torch.autograd.grad(binary_cross_entropy(logits, labels).sum(), logits)[0]
    assert torch.allclose(found, logits.detach().sigmoid() - labels, rtol=0, atol=1e-12)


# ---- gradients


def gradient_of(loss, logits):
    variable = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(variable), variable)[0]


@pytest.mark.parametrize("scale", [1.0, 10.0, 60.0])
@pytest.mark.parametrize("shape", [(1, 2), (5, 3), (64, 10), (120, 30), (7, 1000)])
def test_the_gradient_of_summed_objectives_is_that_of_the_fused_losses_bit_for_bit(shape, scale):
    logits = scale * torch.randn(shape, generator=generator(2, 2))
    labels = torch.randint(shape[1], shape[:1], generator=generator(2, 3))
    several = torch.randint(2, shape, generator=generator(2, 4))
    ours = gradient_of(lambda z: cross_entropy(z, labels).sum(), logits)
    assert torch.equal(ours, gradient_of(lambda z: F.cross_entropy(z, labels, reduction="sum"), logits))
    ours = gradient_of(lambda z: binary_cross_entropy(z, several).sum(), logits)
    fused = gradient_of(lambda z: F.binary_cross_entropy_with_logits(z, several.float(), reduction="sum"), logits)
    assert torch.equal(ours, fused)


def test_a_finite_gradient_is_handed_on_as_it_is():
    gradient = torch.randn(3, 1, 2, 2, generator=generator(2, 5))
    found, broken = finite(gradient)
    assert found is gradient
    assert broken.tolist() == [False] * 3


def test_values_that_are_not_finite_become_0_and_their_images_are_named():
    gradient = torch.tensor([[1.0, torch.nan], [2.0, 3.0], [torch.inf, -torch.inf]])
    found, broken = finite(gradient)
    assert found.tolist() == [[1.0, 0.0], [2.0, 3.0], [0.0, 0.0]]
    assert broken.tolist() == [True, False, True]


class InPlace(nn.Module):
    """Normalises its input in place, as torchvision's `Normalize(inplace=True)` does."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images.sub_(0.5).div_(0.25))


class OutOfPlace(InPlace):
    def forward(self, images):
        return self.network((images - 0.5) / 0.25)


def test_a_network_that_writes_into_its_input_gets_a_copy(network, images, labels):
    kept = images.clone()
    found = value_and_gradient(InPlace(network), images, labels, cross_entropy)
    expected = value_and_gradient(OutOfPlace(network), images, labels, cross_entropy)
    assert torch.equal(images, kept)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    assert torch.equal(value(InPlace(network), images, labels, cross_entropy), expected[0])
    assert torch.equal(images, kept)
