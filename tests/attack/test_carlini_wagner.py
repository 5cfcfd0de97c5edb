import pytest
import torch
from torch import nn

from aecompanion.attack.carlini_wagner import Decision, search
from aecompanion.pipeline.rng import generator, seeded

PATIENT = {"steps": 200, "searches": 6}


def l2(delta):
    return delta.flatten(1).norm(dim=1)


class Line(nn.Module):
    """Logits (0, w·x + b)."""

    def __init__(self, weights, bias):
        super().__init__()
        self.weights, self.bias = nn.Parameter(weights), bias

    def forward(self, images):
        score = (images * self.weights).flatten(1).sum(1, keepdim=True) + self.bias
        return torch.cat([torch.zeros_like(score), score], dim=1)

    def score(self, images):
        return self(images)[:, 1].detach()


@pytest.fixture
def grey():
    """Six images near the middle of the range, so that the nearest point across the line is inside it."""
    return torch.rand(6, 1, 4, 4, generator=generator(8, 1)) * 0.2 + 0.4


@pytest.fixture
def line(grey):
    """A line among the images: some on either side."""
    weights = torch.randn(1, 4, 4, generator=generator(8, 2))
    return Line(weights, -(grey * weights).flatten(1).sum(1).median().item() - 0.1)


# ---- one decision of several labels


def test_a_decision_has_the_logits_zero_and_that_of_the_label(linear, images, labels):
    found = Decision(linear, labels)(images)
    assert found.shape == (5, 2)
    assert found[:, 0].tolist() == [0] * 5
    logits = linear(images)
    assert found[:, 1].tolist() == [logits[n, k].item() for n, k in enumerate(labels)]


def test_a_decision_is_for_the_label_where_its_probability_exceeds_one_half(linear, images, labels):
    chosen = linear(images).sigmoid().gather(1, labels[:, None])[:, 0] > 0.5
    assert Decision(linear, labels)(images).argmax(1).bool().tolist() == chosen.tolist()


def test_the_gradient_of_a_decision_is_that_of_the_label(linear, images, labels):
    variable = images.clone().requires_grad_()
    found = torch.autograd.grad(Decision(linear, labels)(variable)[:, 1].sum(), variable)[0]
    assert torch.allclose(found.flatten(1), linear[1].weight[labels], rtol=0, atol=1e-7)


# ---- the attack


def test_the_decision_is_flipped_and_the_image_stays_in_range(line, grey):
    before = line(grey).argmax(1)
    assert before.unique().tolist() == [0, 1]
    attacked, success = search(line, grey, before)
    assert success.tolist() == [True] * 6
    assert (line(attacked).argmax(1) == 1 - before).all()
    assert (attacked.shape, attacked.dtype) == (grey.shape, grey.dtype)
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert not attacked.requires_grad


def test_on_a_linear_network_the_perturbation_is_the_distance_to_the_line(line, grey):
    """|w·x + b| / ‖w‖, along w."""
    attacked, success = search(line, grey, line(grey).argmax(1), **PATIENT)
    assert success.all()
    delta, weights = attacked - grey, line.weights.detach()
    distance = line.score(grey).abs() / weights.norm()
    ratio = l2(delta) / distance
    assert (ratio >= 1 - 1e-4).all()
    assert (ratio < 1.1).all()
    cosine = (delta * weights).flatten(1).sum(1) / (l2(delta) * weights.norm())
    assert (cosine * -line.score(grey).sign() > 0.95).all()


def test_of_three_classes_the_nearest_other_one_is_reached():
    """Logits are the pixels; from (0.7, 0.6, 0.1) to the tie of the first two it is 0.1 / √2."""
    image = torch.tensor([0.7, 0.6, 0.1]).reshape(1, 1, 1, 3)
    attacked, success = search(nn.Flatten(), image, torch.tensor([0]), **PATIENT)
    assert success.tolist() == [True]
    assert attacked.flatten().argmax() == 1
    assert l2(attacked - image).item() == pytest.approx(0.1 / 2**0.5, rel=0.1)


def test_more_steps_and_searches_find_shorter_perturbations(line, grey):
    before = line(grey).argmax(1)
    short, long = (search(line, grey, before, **options)[0] for options in (PATIENT, {"searches": 1}))
    assert l2(short - grey).mean() < l2(long - grey).mean()


@pytest.mark.parametrize(("steps", "searches"), [(5, 1), (5, 3), (20, 2)])
def test_the_cost_is_at_most_a_pass_per_step_and_search_and_one_to_judge_the_result(line, grey, steps, searches):
    classes, calls = line(grey).argmax(1), []
    line.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    search(line, grey, classes, steps=steps, searches=searches)
    assert searches < len(calls) <= steps * searches + 1  # a search without progress ends early


@pytest.mark.parametrize("initial", [0.1, 1.0, 10.0])
def test_a_label_is_made_to_appear_or_vanish(images, labels, initial):
    with seeded(8, 3):
        model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 8 * 8, 3))
    decision = Decision(model, labels)
    before = decision(images).argmax(1)
    attacked, success = search(decision, images, before, initial=initial, searches=4)
    assert success.all()
    old, new = (model(each).gather(1, labels[:, None])[:, 0] > 0 for each in (images, attacked))
    assert (old != new).all()


def test_an_image_of_another_class_already_is_left_almost_alone(line, grey):
    wrong = 1 - line(grey).argmax(1)
    attacked, success = search(line, grey, wrong)
    assert success.all()
    assert l2(attacked - grey).max() < 1e-3


# ---- images that resist


class Stubborn(nn.Module):
    """Dark images (mean below one half) are class 0 whatever happens to them; bright ones are decided by the mean."""

    def forward(self, images):
        mean = images.flatten(1).mean(1, keepdim=True)
        score = torch.where(mean < 0.5, -1 + 0 * mean, mean - 0.7)
        return torch.cat([-score, score], dim=1)


def test_images_that_resist_come_back_as_they_were(grey):
    images = torch.cat([grey * 0.5, grey + 0.25])  # means near 0.25 and 0.75
    classes = Stubborn()(images).argmax(1)
    assert classes.tolist() == [0] * 6 + [1] * 6
    attacked, success = search(Stubborn(), images, classes)
    assert success.tolist() == [False] * 6 + [True] * 6
    assert torch.equal(attacked[:6], images[:6])
    assert (attacked[6:] != images[6:]).flatten(1).any(1).all()


def test_a_constant_network_resists(grey):
    constant = Line(torch.zeros(1, 4, 4), 1.0)
    attacked, success = search(constant, grey, torch.ones(6, dtype=torch.long))
    assert not success.any()
    assert torch.equal(attacked, grey)


def test_an_image_that_resists_is_not_replaced_by_a_black_one(grey):
    """The steps are far too short to cross; a black image would be of the other class."""
    bright = Line(torch.ones(1, 4, 4), -4.0)
    classes = bright(grey).argmax(1)
    assert classes.tolist() == [1] * 6
    attacked, success = search(bright, grey, classes, steps=2, searches=1, step_size=1e-6)
    assert not success.any()
    assert torch.equal(attacked, grey)


# ---- the caller's things


def test_the_network_and_the_images_are_left_as_they_were(convolutional, images, labels, condition):
    expected = search(convolutional, images, labels, steps=5, searches=2)
    before, kept = condition(convolutional.train()), images.clone()
    found = search(convolutional, images, labels, steps=5, searches=2)
    assert condition(convolutional) == before
    assert torch.equal(images, kept)
    for pair in zip(found, expected, strict=True):
        assert torch.equal(*pair)  # in evaluation mode either way, and without random numbers


def test_a_network_that_fails_is_returned_as_it_was(convolutional, images, labels, condition, fail_on_call):
    decision = Decision(fail_on_call(convolutional.train(), 3), labels)
    before = condition(decision)
    with pytest.raises(RuntimeError, match="call 3"):
        search(decision, images, torch.zeros(5, dtype=torch.long), steps=5, searches=1)
    assert condition(decision) == before
