import math
import re

import pytest
import torch
from torch import nn

from aecompanion.evaluate.robustness import calibration_error, fitted_temperature, robust
from aecompanion.pipeline.rng import generator

DUAL = {"linf": 1, "l2": 2, "l1": math.inf}  # the exponents of the norms that are dual to them
every_norm = pytest.mark.parametrize("norm", DUAL)
every_count = pytest.mark.parametrize("classes", [2, 3, 5])
RADIUS = {"linf": 0.02, "l2": 0.1, "l1": 0.1}


def linear_network(weight: torch.Tensor, scale: float = 1.0) -> nn.Sequential:
    """Logits scale · W (x - 1/2)."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(weight.shape[1], len(weight)))
    network[1].weight.data = scale * weight
    network[1].bias.data = -scale * weight.sum(1) / 2
    return network


@pytest.fixture
def weight(classes):
    """Of 32 pixels."""
    return torch.randn(classes, 32, generator=generator(20, classes))


def at_distance(weight: torch.Tensor, distances: list[float], norm: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images 2×4×4 at these distances from the nearest border, far from the edge of the box, and their labels.

    The distance from the border between classes y and k is the gap of their logits / ‖w_y - w_k‖ in the dual norm.
    """
    drawn = torch.randn(200, weight.shape[1], generator=generator(7, 1))
    logits = drawn @ weight.T
    labels = logits.argmax(1)
    border = torch.linalg.vector_norm(weight[labels][:, None] - weight, DUAL[norm], dim=2)
    gaps = (logits.gather(1, labels[:, None]) - logits) / border
    own = gaps.scatter(1, labels[:, None], torch.inf).amin(1)
    best = (own / drawn.abs().amax(1)).argsort(descending=True)[: len(distances)]
    images = 0.5 + drawn[best] * (torch.tensor(distances) / own[best])[:, None]
    assert 0.2 < images.min() < images.max() < 0.8
    return images.reshape(-1, 2, 4, 4), labels[best]


# robust accuracy of a linear network


@every_norm
@every_count
@pytest.mark.parametrize(("factor", "expected"), [(0.98, True), (1.02, False)])
def test_an_image_is_robust_just_inside_its_radius_and_not_just_outside(weight, norm, factor, expected):
    images, labels = at_distance(weight, [RADIUS[norm]] * 8, norm)
    found = robust(linear_network(weight), images, labels, norm=norm, eps=factor * RADIUS[norm])
    assert found.tolist() == [expected] * 8


@every_norm
@pytest.mark.parametrize("classes", [3])
def test_every_image_has_its_own_radius(weight, norm):
    factors = [0.5, 1.02, 0.8, 1.5, 1.02, 0.98]
    images, labels = at_distance(weight, [factor * RADIUS[norm] for factor in factors], norm)
    found = robust(linear_network(weight), images, labels, norm=norm, eps=RADIUS[norm])
    assert found.tolist() == [factor > 1 for factor in factors]


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.1), ("l2", math.sqrt(2) * 0.1), ("l1", 0.2)])
@pytest.mark.parametrize(("more", "expected"), [(-0.002, True), (0.002, False)])
def test_the_larger_of_two_pixels_decides(norm, radius, more, expected):
    """0.6 and 0.4: the border is 0.1 away in each of them."""
    image = torch.tensor([0.6, 0.4]).reshape(1, 1, 1, 2)
    found = robust(linear_network(torch.eye(2)), image, torch.tensor([0]), norm=norm, eps=radius + more)
    assert found.tolist() == [expected]


@every_norm
def test_the_box_protects_an_image_at_its_edge(norm):
    """Class 1 wins where x_1 + x_2 < 0: outside the box."""
    network = linear_network(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    network[1].bias.data = torch.tensor([1e-3, 0.0])
    assert robust(network, torch.zeros(1, 1, 1, 2), torch.tensor([0]), norm=norm, eps=0.5).tolist() == [True]


def test_ten_steps_in_l1_overstate_what_a_hundred_find():
    """3072 values: the nearest border is reached by moving the few of largest weight, which takes many checks."""
    weight = torch.randn(3, 3072, generator=generator(20, 3072))
    drawn = torch.randn(12, 3072, generator=generator(7, 2))
    logits = drawn @ weight.T
    labels = logits.argmax(1)
    gaps = logits.gather(1, labels[:, None]) - logits
    border = (weight[labels][:, None] - weight).abs().amax(2)
    near = (gaps / border).scatter(1, labels[:, None], torch.inf).amin(1)
    images = (0.5 + drawn / near[:, None] * 0.1).reshape(-1, 3, 32, 32)  # the border is .1 away
    assert 0.2 < images.min() < images.max() < 0.8
    few, many = (
        robust(linear_network(weight), images, labels, norm="l1", eps=0.11, steps=steps, targets=2).sum()
        for steps in (10, 100)
    )
    assert many <= 1
    assert few >= 6


@pytest.mark.parametrize("norm", DUAL)
def test_a_short_ascent_before_changes_no_answer_and_saves_passes(norm):
    weight = torch.randn(3, 32, generator=generator(20, 3))
    eps = RADIUS[norm]
    images, labels = at_distance(weight, [eps * each for each in (0.2, 0.5, 0.8, 0.98, 1.05, 1.5)], norm)
    network = linear_network(weight)
    seen = counting(network)
    found, passes = [], []
    for first in ((), (10,)):
        seen.clear()
        found.append(robust(network, images, labels, norm=norm, eps=eps, steps=60, first=first).tolist())
        passes.append(sum(seen))
    assert found == [[False, False, False, False, True, True]] * 2
    assert passes[1] < passes[0]


@every_norm
@every_count
def test_a_wrong_decision_is_never_robust(weight, norm, classes):
    images, labels = at_distance(weight, [RADIUS[norm]] * 6, norm)
    labels[::2] = (labels[::2] + 1) % classes
    found = robust(linear_network(weight), images, labels, norm=norm, eps=1e-6, steps=3)
    assert found.tolist() == [False, True] * 3


@every_norm
@pytest.mark.parametrize("classes", [3])
def test_at_radius_zero_robust_is_right(weight, norm):
    images, labels = at_distance(weight, [RADIUS[norm]] * 6, norm)
    labels[:2] = (labels[:2] + 1) % 3
    found = robust(linear_network(weight), images, labels, norm=norm, eps=0, steps=5)
    assert found.tolist() == [False] * 2 + [True] * 4


# the attacks


def counting(network: nn.Module) -> list[int]:
    """The sizes of the batches that the network is asked about from now on."""
    seen: list[int] = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    return seen


@pytest.mark.parametrize("classes", [3])
def test_where_every_decision_is_wrong_nothing_is_attacked(weight):
    images, labels = at_distance(weight, [0.1] * 4, "l2")
    network = linear_network(weight)
    seen = counting(network)
    assert not robust(network, images, (labels + 1) % 3, norm="l2", eps=0.1).any()
    assert seen == [4]


@pytest.mark.parametrize("classes", [3])
@pytest.mark.parametrize("targets", [0, 1, 2, 9])
def test_there_is_one_attack_and_one_for_each_other_class(weight, targets):
    images, labels = at_distance(weight, [0.1] * 4, "l2")
    network = linear_network(weight)
    seen = counting(network)
    assert robust(network, images, labels, norm="l2", eps=1e-6, steps=10, targets=targets).all()
    attacks = 1 + min(targets, 2)  # there are two other classes
    assert seen == [4] * (1 + attacks * 12)  # clean; start, ten steps and the decision of every attack


def test_only_images_that_are_still_right_are_attacked_again():
    network = linear_network(torch.eye(2))
    seen = counting(network)
    images = torch.tensor([[0.9, 0.1], [0.51, 0.49], [0.52, 0.48]]).reshape(3, 1, 1, 2)
    found = robust(network, images, torch.tensor([0, 0, 0]), norm="linf", eps=0.1, steps=3)
    assert found.tolist() == [True, False, False]
    assert seen == [3] * 6 + [1] * 5


@every_norm
@pytest.mark.parametrize("classes", [3, 5])
def test_large_logits_hide_nothing_from_the_targeted_attacks(weight, norm):
    """The cross-entropy has no gradient there, so that the first attack finds nothing."""
    images, labels = at_distance(weight, [RADIUS[norm]] * 6, norm)
    network = linear_network(weight, scale=1e6)
    options = {"norm": norm, "eps": 1.02 * RADIUS[norm]}
    assert robust(network, images, labels, **options, targets=0).all()
    assert not robust(network, images, labels, **options, targets=4).any()


def test_the_classes_are_tried_from_the_most_likely_on():
    """Logits 1, 0.9 and 0.2 + x: the second class is the most likely other one but can never win."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 3))
    network[1].weight.data = 1e4 * torch.tensor([[0.0], [0.0], [1.0]])
    network[1].bias.data = 1e4 * torch.tensor([1.0, 0.9, 0.2])
    image, label = torch.full((1, 1, 1, 1), 0.5), torch.tensor([0])
    found = [robust(network, image, label, norm="linf", eps=0.31, targets=targets).item() for targets in (0, 1, 2)]
    assert found == [True, True, False]


def curved() -> nn.Sequential:
    """A network with a bend, in which what few steps find depends on the start."""
    one, two = (torch.randn(3, size, generator=generator(7, size)) for size in (32, 3))
    return nn.Sequential(*linear_network(one), nn.Tanh(), *linear_network(two)[1:])


@every_norm
@pytest.mark.parametrize("batch", [1, 5, 64])
def test_an_image_does_not_see_the_others_of_its_batch(norm, batch):
    network, images = curved(), 0.5 + 0.05 * torch.randn(12, 2, 4, 4, generator=generator(7, 5))
    options = {"norm": norm, "eps": {"linf": 0.01, "l2": 0.05, "l1": 0.12}[norm], "steps": 4}
    labels = network(images).argmax(1)
    whole = robust(network, images, labels, **options, batch=12)
    assert torch.equal(robust(network, images, labels, **options, batch=batch), whole)
    assert 3 <= whole.sum() <= 9


def test_the_network_and_the_images_come_back_as_they_were(convolutional, images, condition):
    labels = convolutional(images).argmax(1)
    options = {"norm": "l2", "eps": 0.3, "steps": 5}
    expected = robust(convolutional, images, labels, **options)
    weights = {name: value.clone() for name, value in convolutional.state_dict().items()}
    before, copies = condition(convolutional.train()), (images.clone(), labels.clone())
    assert torch.equal(robust(convolutional, images, labels, **options), expected)
    assert condition(convolutional) == before
    assert all(torch.equal(value, weights[name]) for name, value in convolutional.state_dict().items())
    assert torch.equal(images, copies[0])
    assert torch.equal(labels, copies[1])


def test_an_unknown_norm_is_an_error(linear, images):
    with pytest.raises(ValueError, match="^norm is 'l3', expected one of linf, l2, l1$"):
        robust(linear, images, linear(images).argmax(1), norm="l3", eps=0.1)


@pytest.mark.parametrize("steps", [0, -1])
def test_no_step_is_an_error(linear, images, steps):
    with pytest.raises(ValueError, match=f"^steps is {steps}, expected at least 1$"):
        robust(linear, images, linear(images).argmax(1), norm="l2", eps=0.1, steps=steps)


# calibration


def of_confidence(*confidences) -> torch.Tensor:
    """Logits of two classes; the first has these confidences."""
    return torch.tensor([[c, 1 - c] for c in confidences], dtype=torch.float64).log()


def test_one_bin_has_the_gap_between_accuracy_and_mean_confidence():
    logits, labels = of_confidence(0.6, 0.7, 0.8, 0.9), torch.tensor([0, 0, 0, 1])
    assert calibration_error(logits, labels, bins=1) == pytest.approx(abs(0.75 - 0.75), abs=1e-12)
    assert calibration_error(logits, torch.tensor([0, 1, 1, 1]), bins=1) == pytest.approx(0.5)


def test_the_gaps_of_the_bins_are_weighted_by_their_images():
    """Bins of a quarter: 0.6 and 0.7, of which one is right, and 0.8, 0.85 and 0.9, all right."""
    logits, labels = of_confidence(0.6, 0.8, 0.7, 0.9, 0.85), torch.tensor([0, 0, 1, 0, 0])
    expected = 2 / 5 * abs(0.5 - 0.65) + 3 / 5 * abs(1 - 0.85)
    assert calibration_error(logits, labels, bins=4) == pytest.approx(expected)


def test_gaps_of_one_bin_cancel_and_those_of_two_do_not():
    """Confidence 0.6, right, and 0.8, wrong: gaps of 0.4 and -0.8."""
    logits, labels = of_confidence(0.6, 0.8), torch.tensor([0, 1])
    assert calibration_error(logits, labels, bins=1) == pytest.approx(0.2)
    assert calibration_error(logits, labels, bins=20) == pytest.approx(0.6)


def test_there_are_twenty_bins_unless_told_otherwise():
    logits, labels = of_confidence(0.71, 0.74, 0.76), torch.tensor([0, 1, 1])
    assert calibration_error(logits, labels) == pytest.approx((abs(1 - 0.71 - 0.74) + 0.76) / 3)


@pytest.mark.parametrize(("label", "expected"), [(0, 0.0), (1, 1.0)])
def test_certainty_is_in_the_last_bin(label, expected):
    assert calibration_error(torch.tensor([[1e4, 0.0]]), torch.tensor([label])) == expected


def test_the_confidence_is_that_of_the_decision_whatever_the_label():
    logits = torch.tensor([[0.1, 0.7, 0.2], [0.1, 0.7, 0.2]]).log()
    assert calibration_error(logits, torch.tensor([1, 2])) == pytest.approx(0.2)


def test_the_temperature_divides_the_logits():
    logits, labels = torch.randn(30, 4, generator=generator(7, 3)), torch.arange(30) % 4
    assert calibration_error(logits, labels, temperature=2.5) == calibration_error(logits.double() / 2.5, labels)
    assert calibration_error(logits, labels, temperature=2.5) != calibration_error(logits, labels)


def test_at_a_high_temperature_all_classes_are_alike():
    """Then the error is the accuracy less 1/4."""
    logits, labels = torch.eye(4).repeat(5, 1), torch.arange(20) % 4
    assert calibration_error(logits, labels, temperature=1e9) == pytest.approx(0.75)


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_a_temperature_that_is_not_positive_is_an_error(temperature):
    expected = re.escape(f"2 images, temperature {temperature}: expected at least one, and above 0")
    with pytest.raises(ValueError, match=f"^{expected}$"):
        calibration_error(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64), temperature=temperature)


@pytest.mark.parametrize("function", [calibration_error, fitted_temperature])
def test_no_image_is_an_error(function):
    with pytest.raises(ValueError, match=r"^0 images, temperature 1\.0: expected at least one, and above 0$"):
        function(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


# the temperature


def calibrated():
    """Of ten images at each confidence of 0.6, 0.7, 0.8 and 0.9 that share is right."""
    logits = of_confidence(*(c / 10 for c in (6, 7, 8, 9) for _ in range(10)))
    return logits, torch.tensor([int(i >= c) for c in (6, 7, 8, 9) for i in range(10)])


def test_the_calibrated_logits_are():
    assert calibration_error(*calibrated()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("power", [-2, -0.37, 0, 0.5, 1.5])
def test_the_temperature_of_scaled_logits_is_found(power):
    logits, labels = calibrated()
    scale = math.exp(power)
    assert fitted_temperature(scale * logits, labels) == pytest.approx(scale, rel=1e-9)


def test_a_temperature_beside_the_grid_is_found_to_one_percent():
    logits, labels = calibrated()
    assert fitted_temperature(3 * logits, labels) == pytest.approx(3, rel=0.006)


@pytest.mark.parametrize("bins", [1, 3, 20])
def test_the_bins_are_those_of_the_error(bins):
    logits, labels = torch.randn(40, 3, generator=generator(7, 4)), torch.arange(40) % 3
    found = fitted_temperature(logits, labels, bins=bins)
    least = calibration_error(logits, labels, temperature=found, bins=bins)
    others = [calibration_error(logits, labels, temperature=math.exp(t / 10), bins=bins) for t in range(-30, 31)]
    assert least <= min(others) + 1e-12


@pytest.mark.parametrize(
    "logits", [[[0.0, 0.0], [0.0, 0.0]], [[1e4, 0.0], [1e4, 0.0]]], ids=["undecided", "as-certain-at-any"]
)
def test_where_all_temperatures_are_as_good_it_is_1(logits):
    assert fitted_temperature(torch.tensor(logits), torch.tensor([0, 0])) == 1


def test_of_several_best_temperatures_it_is_the_one_nearest_to_1():
    """1 / (1 + exp(-20/T)) is 1 in double precision up to T = 0.544."""
    found = fitted_temperature(torch.tensor([[20.0, 0.0]]), torch.tensor([0]))
    assert found == pytest.approx(math.exp(-0.61))
