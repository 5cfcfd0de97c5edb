import math
import re

import foolbox
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.attack.apgd import NORMS, Sparse, ascend, random_point, sparse_unit, unit
from aecompanion.attack.ascent import Progress
from aecompanion.attack.lp_ball import lmo, project
from aecompanion.attack.objective import cross_entropy, margin, value
from aecompanion.pipeline.rng import generator, seeded

ULP = 2**-23
EPS = {"linf": 0.05, "l2": 0.5, "l1": 3.0}
TINY = {"linf": 1e-5, "l2": 1e-4, "l1": 1e-3}
HUGE = {"linf": 1.0, "l2": 30.0, "l1": 500.0}  # the whole box, of which 128 pixels have at most length 128 in l1
EVERY = pytest.mark.parametrize("norm", list(NORMS))


def length(delta, norm):
    return torch.linalg.vector_norm(delta.double().flatten(1), NORMS[norm], dim=1)


def assert_feasible(x, images, radius, norm):
    slack = {"linf": 1, "l2": 12, "l1": 128}[norm] * ULP  # 128 pixels, each rounded by at most ULP / 2, twice
    if images.dtype == torch.float64:
        slack = 1e-12
    assert (length(x - images, norm) <= torch.as_tensor(radius).double() * (1 + 1e-5) + slack).all()
    assert x.min() >= 0
    assert x.max() <= 1


@pytest.fixture
def weighted():
    """Ten pixels; for class 0 the margin is half the sum of ±1, ±2, ..., ±10 times the pixels, in mixed order."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(10, 2, bias=False))
    w = torch.tensor([3.0, -7.0, 1.0, 10.0, -2.0, 8.0, -4.0, 5.0, -9.0, 6.0])
    model[1].weight.data = torch.stack([-w, w]) / 4
    return model, w.reshape(1, 1, 2, 5)


@pytest.fixture
def pixels():
    """The logits are the pixels themselves."""
    return nn.Flatten()


def near(logits, target):
    """Minus the squared distance to the row `target` of POINTS: concave, the best point is a projection."""
    return -(logits - POINTS[target]).square().sum(1)


POINTS = 1.5 * torch.randn(3, 20, generator=generator(4, 1)) + 0.5


# ---- by hand


def parabola(logits, target):
    return -(logits[:, 0] - 0.6).square()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # checkpoints after 1, 2 and 3 steps; first α = .5
        # 1: z = x = .75, which is worse than .5: x = .5, α = .25
        # 2: z = .75, x = .5 + .1875 (better)
        # 3: z = .4375, x = .6875 - .1875 + .046875 (better)
        # 4: z = .75, x = .546875 + .15234375 - .03515625
        (4, [0.75, 0.6875, 0.546875, 0.6640625]),
        # checkpoints after 2, 3, 4, ... steps
        # 1: z = x = .75 (worse)
        # 2: z = .25, x = .75 - .375 + .0625 (worse): x = .5, α = .25
        # 3: z = .75, x = .5 + .1875 - .0625 (better)
        # 4: z = .375, x = .625 - .1875 + .03125 (worse): x = .625, α = .125
        # 5: z = .5, x = .625 - .09375
        (10, [0.75, 0.4375, 0.625, 0.46875, 0.53125]),
    ],
)
def test_the_iterates_of_one_pixel_by_hand(pixels, steps, expected):
    seen = []
    options = {"norm": "linf", "eps": 0.25, "steps": steps, "objective": parabola, "on_step": seen.append}
    found = ascend(pixels, torch.full((1, 1, 1, 1), 0.5), torch.tensor([0]), **options)
    assert [x.item() for x in seen[: len(expected)]] == expected
    best = max([0.5, *(x.item() for x in seen)], key=lambda x: -abs(x - 0.6))
    assert found.images.item() == best
    assert found.value.item() == pytest.approx(-((best - 0.6) ** 2), rel=1e-4)


def test_the_first_l1_steps_by_hand(weighted):
    model, _ = weighted
    seen = []
    options = {"norm": "l1", "eps": 0.25, "steps": 25, "objective": margin, "sparsity": 0.2, "on_step": seen.append}
    ascend(model, torch.full((1, 1, 2, 5), 0.5), torch.tensor([0]), **options)
    first, second = ((x - 0.5).flatten().tolist() for x in seen[:2])
    # two of ten pixels share the radius: the largest weights are 10 and -9
    assert first == pytest.approx([0, 0, 0, 0.125, 0, 0, 0, 0, -0.125, 0], abs=1e-6)
    # judged after every step: two changed values make t = 2 / 15, one pixel; (.375, -.125) is projected
    assert second == pytest.approx([0, 0, 0, 0.25, 0, 0, 0, 0, 0, 0], abs=1e-6)


def test_the_sparse_direction_by_hand():
    gradient = torch.tensor([[1.0, -4.0, 2.0, 0.5, 3.0], [1.0, -4.0, 2.0, 0.5, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    found = sparse_unit(gradient, torch.tensor([[0.4], [0.6], [0.4]]))
    expected = [[0, -1 / 2, 0, 0, 1 / 2], [0, -1 / 3, 1 / 3, 0, 1 / 3], [0, 0, 0, 0, 0]]
    assert torch.allclose(found, torch.tensor(expected), rtol=ULP, atol=0)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.19])
def test_the_sparse_direction_has_at_least_one_value(share):
    found = sparse_unit(torch.tensor([[1.0, -4.0, 2.0, 0.5, 3.0]]), torch.tensor([[share]]))
    assert found.tolist() == [[0.0, -1.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1.0, 1e20, 1e36])
def test_the_unit_direction_does_not_depend_on_the_scale_of_the_gradient(scale):
    gradient = scale * torch.tensor([3.0, 0.0, -4.0, 0.0]).reshape(1, 1, 2, 2)
    assert unit(gradient, "l2").flatten().tolist() == pytest.approx([0.6, 0.0, -0.8, 0.0], rel=1e-6)
    assert unit(gradient, "linf").flatten().tolist() == [1.0, 0.0, -1.0, 0.0]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_unit_direction_of_no_gradient_is_zero(norm):
    assert torch.equal(unit(torch.zeros(1, 1, 2, 2), norm), torch.zeros(1, 1, 2, 2))


# ---- optima known on paper


def test_the_linf_optimum_of_a_linear_model_is_reached(weighted):
    model, w = weighted
    images = torch.rand(4, 1, 2, 5, generator=generator(4, 2))
    found = ascend(model, images, torch.zeros(4, dtype=torch.long), norm="linf", eps=0.2, steps=20, objective=margin)
    assert torch.allclose(found.images, (images + 0.2 * w.sign()).clamp(0, 1), rtol=0, atol=ULP)


def test_the_l2_optimum_of_a_linear_model_is_reached(weighted):
    model, w = weighted
    image = torch.full((1, 1, 2, 5), 0.5)
    found = ascend(model, image, torch.tensor([0]), norm="l2", eps=0.2, steps=20, objective=margin)
    assert torch.allclose(found.images, image + 0.2 * w / w.norm(), rtol=0, atol=1e-6)
    assert found.value.item() == pytest.approx(margin(model(image), torch.tensor([0])).item() + 0.1 * w.norm().item())


@pytest.mark.parametrize(("eps", "expected"), [(0.25, {3: 0.25}), (0.5, {3: 0.5}), (0.75, {3: 0.5, 8: -0.25})])
def test_the_l1_optimum_of_a_linear_model_is_reached(weighted, eps, expected):
    model, _ = weighted
    found = ascend(
        model, torch.full((1, 1, 2, 5), 0.5), torch.tensor([0]), norm="l1", eps=eps, steps=75, objective=margin
    )
    delta = (found.images - 0.5).flatten().tolist()
    assert delta == pytest.approx([expected.get(i, 0.0) for i in range(10)], abs=1e-3)


@pytest.mark.parametrize("seed", [None, 3])
@EVERY
def test_the_optimum_of_a_linear_model_in_the_box_is_reached(linear, images, labels, norm, seed):
    wanted = (labels + 1) % 3

    def gap(logits, classes):
        return (logits.gather(1, (classes[:, None] + 1) % 3) - logits.gather(1, classes[:, None]))[:, 0]

    w = (linear[1].weight[wanted] - linear[1].weight[labels]).detach().reshape(images.shape)
    delta = lmo(w, images, EPS[norm], NORMS[norm])
    found = ascend(linear, images, labels, norm=norm, eps=EPS[norm], steps=100, objective=gap, seed=seed)
    best = value(linear, images + delta, labels, gap)
    reached = (found.value - value(linear, images, labels, gap)) / (w * delta).flatten(1).sum(1)
    assert (found.value <= best + 1e-5).all()
    assert reached.min() > (0.98 if norm == "l1" else 0.9999)  # l1 gives most steps to a few pixels


@EVERY
def test_the_best_point_of_a_concave_objective_is_the_projection_of_its_peak(pixels, norm):
    images = torch.rand(3, 1, 4, 5, generator=generator(4, 3))
    eps = {"linf": 0.2, "l2": 0.8, "l1": 1.5}[norm]
    found = ascend(pixels, images, torch.arange(3), norm=norm, eps=eps, steps=200, objective=near)
    delta = project(POINTS.reshape(images.shape) - images, images, eps, NORMS[norm])
    best = near((images + delta).flatten(1), torch.arange(3))
    worst = near(images.flatten(1), torch.arange(3))
    assert (found.value <= best + 1e-4).all()
    assert ((found.value - worst) / (best - worst)).min() > 0.99


# ---- ball and box


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("radii", [TINY, EPS, HUGE], ids=["tiny", "usual", "huge"])
@EVERY
def test_every_iterate_lies_in_ball_and_box(convolutional, images, labels, norm, radii, seed):
    images[:, 0, :4] = images[:, 0, :4].round()  # corners of the box
    seen = []
    options = {"norm": norm, "eps": radii[norm], "steps": 12, "seed": seed, "on_step": seen.append}
    found = ascend(convolutional, images, labels, **options)
    assert len(seen) == 12
    for x in [*seen, found.images]:
        assert_feasible(x, images, radii[norm], norm)


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("radii", [TINY, EPS, HUGE], ids=["tiny", "usual", "huge"])
@EVERY
def test_every_iterate_lies_in_ball_and_box_without_the_rounding_of_pixels(
    convolutional, images, labels, norm, radii, seed
):
    seen = []
    options = {"norm": norm, "eps": radii[norm], "steps": 12, "seed": seed, "on_step": seen.append}
    ascend(convolutional.double(), images.double(), labels, **options)
    for x in seen:
        assert_feasible(x, images.double(), radii[norm], norm)


@EVERY
def test_no_radius_changes_nothing(convolutional, images, labels, norm):
    found = ascend(convolutional, images, labels, norm=norm, eps=0.0, steps=3, seed=0)
    assert torch.equal(found.images, images)


@EVERY
def test_a_random_start_lies_in_ball_and_box_and_not_at_the_image(images, norm):
    radius = torch.full((5, 1), EPS[norm])
    start = random_point(images, radius, norm, seed=0, indices=range(5))
    assert_feasible(start, images, EPS[norm], norm)
    assert length(start - images, norm).min() > 0.5 * EPS[norm]


# ---- values


@pytest.mark.parametrize("seed", [None, 0])
@EVERY
def test_the_trace_rises_from_the_start_to_the_value_of_the_images_found(network, images, labels, norm, seed):
    found = ascend(network, images, labels, norm=norm, eps=EPS[norm], steps=15, seed=seed)
    assert found.trace.shape == (16, 5)
    assert (found.trace.diff(dim=0) >= 0).all()
    assert torch.equal(found.trace[-1], found.value)
    # a batch of one and a batch of five may be summed in another order
    assert torch.allclose(value(network, found.images, labels, cross_entropy), found.value, rtol=0, atol=1e-5)
    assert (found.value > value(network, images, labels, cross_entropy)).all()


@EVERY
def test_without_a_seed_the_ascent_starts_at_the_images_and_with_one_elsewhere(network, images, labels, norm):
    clean = value(network, images, labels, margin)
    options = {"norm": norm, "eps": EPS[norm], "steps": 1, "objective": margin}
    assert torch.allclose(ascend(network, images, labels, **options).trace[0], clean, rtol=0, atol=1e-6)
    assert not torch.allclose(ascend(network, images, labels, seed=0, **options).trace[0], clean, rtol=0, atol=1e-4)


@EVERY
def test_the_caller_chooses_the_objective(network, images, labels, norm):
    def first(logits, target):
        return -logits[:, 0]

    found = ascend(network, images, labels, norm=norm, eps=EPS[norm], steps=10, objective=first)
    assert torch.allclose(found.value, -network(found.images)[:, 0], rtol=0, atol=1e-5)
    assert (found.value > -network(images)[:, 0]).all()


@EVERY
def test_the_target_is_handed_to_the_objective(network, images, labels, norm):
    options = {"norm": norm, "eps": EPS[norm], "steps": 10}
    away = ascend(network, images, labels, **options)
    other = ascend(network, images, (labels + 1) % 3, **options)
    assert not torch.allclose(away.images, other.images, rtol=0, atol=1e-3)


@EVERY
def test_more_radius_finds_more(network, images, labels, norm):
    small, large = (
        ascend(network, images, labels, norm=norm, eps=factor * EPS[norm], steps=20).value for factor in (0.5, 1.0)
    )
    assert (large > small).all()


@EVERY
def test_one_pass_more_than_steps_is_made(network, images, labels, norm):
    calls = []
    network.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    ascend(network, images, labels, norm=norm, eps=EPS[norm], steps=7, batch=3)
    assert calls == [3] * 8 + [2] * 8


@pytest.mark.parametrize("steps", [1, 2])
@EVERY
def test_a_few_steps_are_enough_to_rise(network, images, labels, norm, steps):
    found = ascend(network, images, labels, norm=norm, eps=0.1 * EPS[norm], steps=steps)
    assert found.trace.shape == (steps + 1, 5)
    assert (found.value > found.trace[0]).all()


# ---- against foolbox

THEIRS = {
    "linf": foolbox.attacks.LinfProjectedGradientDescentAttack,
    "l2": foolbox.attacks.L2ProjectedGradientDescentAttack,
    "l1": foolbox.attacks.L1ProjectedGradientDescentAttack,
}


@pytest.fixture
def deep():
    with seeded(4, 4):
        layers = [nn.Conv2d(2, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2), nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 9, 10)).eval()


@pytest.mark.parametrize("factor", [1, 4])
@EVERY
def test_on_average_the_loss_is_not_below_that_of_projected_gradient_descent(deep, norm, factor):
    images = torch.rand(24, 2, 8, 8, generator=generator(4, 5))
    with torch.no_grad():
        labels = deep(images).argmax(1)
    eps = factor * EPS[norm]
    theirs = THEIRS[norm](steps=30, rel_stepsize=2.5 / 30, random_start=False)
    attacked, clipped, _ = theirs(foolbox.PyTorchModel(deep, bounds=(0, 1)), images, labels, epsilons=eps)
    assert_feasible(clipped, images, eps, norm)
    expected = F.cross_entropy(deep(clipped), labels)
    clean = F.cross_entropy(deep(images), labels)
    found = ascend(deep, images, labels, norm=norm, eps=eps, steps=30)
    assert found.value.mean() - clean >= 0.999 * (expected - clean)


# ---- against a second reading of the released l1 rule


def nearest_in_l1(point, clean, eps):
    """The nearest point of ball and box for one image in double precision, by halving the threshold that is taken off
    every change."""
    move = point - clean

    def shrunk(threshold):
        return (clean + move.sign() * (move.abs() - threshold).clamp_min(0)).clamp(0, 1)

    low, high = 0.0, move.abs().max().item()
    if (shrunk(0.0) - clean).abs().sum() <= eps:
        return shrunk(0.0)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (shrunk(middle) - clean).abs().sum() > eps else (low, middle)
    return shrunk(high)


def sparse_ascent(model, image, label, eps, steps):
    """The cross-entropy that one image reaches from itself, written from the published rule one number at a time."""

    def look(x):
        x = x.clone().requires_grad_()
        loss = F.cross_entropy(model(x[None]), label[None])
        return loss.item(), torch.autograd.grad(loss, x)[0]

    x, d, step, share, before = image.clone(), image.numel(), eps, 0.2, image.numel()
    loss, gradient = look(x)
    best, best_x, best_gradient = loss, x.clone(), gradient
    for k in range(1, steps + 1):
        count = max(int(share * d), 1)
        least = gradient.abs().flatten().sort(descending=True).values[count - 1]
        signs = gradient.sign() * (gradient.abs() >= least)
        x = nearest_in_l1(x + step * signs / signs.abs().sum(), image, eps)
        loss, gradient = look(x)
        if loss > best:
            best, best_x, best_gradient = loss, x.clone(), gradient
        if k % max(int(0.04 * steps), 1) == 0:
            changed = int(((best_x - image).abs() > 1e-8).sum())
            if changed < 0.95 * before:
                step, x, gradient = eps, best_x.clone(), best_gradient
            else:
                step = max(step / 1.5, eps / 10)
            share, before = changed / d / 1.5, changed
    return best


@pytest.mark.parametrize("eps", [3.0, 8.0])
def test_the_l1_ascent_reaches_what_the_released_rule_reaches(deep, eps):
    images = torch.rand(16, 2, 8, 8, generator=generator(4, 6)).double()
    network = nn.Sequential(deep, Scaled(20.0)).double()
    with torch.no_grad():
        labels = network(images).argmax(1)
    found = ascend(network, images, labels, norm="l1", eps=eps, steps=50).value
    expected = torch.tensor([sparse_ascent(network, *each, eps, 50) for each in zip(images, labels, strict=True)])
    assert expected.mean() > 1  # a task that is not trivial
    assert (found - expected).abs().max() < 0.02


class Scaled(nn.Module):
    """Larger logits: a network that is sure of itself."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, logits):
        return self.factor * logits


def test_at_a_check_in_l1_images_that_have_become_sparser_go_back_to_their_best_point():
    """Of ten values the best points change two, nine and ten; before it was ten each."""
    clean = torch.full((3, 1, 2, 5), 0.5)
    mover = Sparse(clean, torch.full((3, 1), 3.0), 50, 0.2)
    best = clean + 0.1 * (torch.arange(10).reshape(1, 1, 2, 5) < torch.tensor([2, 9, 10]).reshape(3, 1, 1, 1))
    progress = Progress(best, torch.ones(3), torch.ones_like(best))
    mover.size = torch.full((3, 1), 1.0)
    x, gradient = mover.judge(progress, clean + 0.2, torch.zeros_like(best))
    assert torch.equal(x[:2], best[:2])
    assert torch.equal(x[2], clean[2] + 0.2)
    assert gradient.flatten(1).mean(1).tolist() == [1, 1, 0]
    assert mover.size[:, 0].tolist() == pytest.approx([3, 3, 1 / 1.5])
    assert mover.share[:, 0].tolist() == pytest.approx([2 / 15, 9 / 15, 10 / 15])
    mover.judge(progress, x, gradient)  # nothing has changed since
    assert mover.size[:, 0].tolist() == pytest.approx([2, 2, 1 / 1.5**2])


# ---- batches, seeds and radii


@pytest.mark.parametrize("seed", [None, 3])
@EVERY
def test_an_image_gets_the_same_result_in_any_batch(network, images, labels, norm, seed):
    network, images = network.double(), images.double()
    options = {"norm": norm, "eps": EPS[norm], "steps": 12}
    indices = [10, 11, 12, 13, 14]
    together = ascend(network, images, labels, seed=seed, indices=indices, **options)
    in_twos = ascend(network, images, labels, seed=seed, indices=indices, batch=2, **options)
    alone = [
        ascend(network, images[i : i + 1], labels[i : i + 1], seed=seed, indices=[index], **options)
        for i, index in enumerate(indices)
    ]
    for images_found, values, trace in [
        (in_twos.images, in_twos.value, in_twos.trace),
        (
            torch.cat([one.images for one in alone]),
            torch.cat([one.value for one in alone]),
            torch.cat([one.trace for one in alone], dim=1),
        ),
    ]:
        assert torch.allclose(images_found, together.images, rtol=0, atol=1e-9)
        assert torch.allclose(values, together.value, rtol=0, atol=1e-9)
        assert torch.allclose(trace, together.trace, rtol=0, atol=1e-9)


@EVERY
def test_indices_default_to_the_position(network, images, labels, norm):
    options = {"norm": norm, "eps": EPS[norm], "steps": 2, "seed": 1}
    named = ascend(network, images, labels, indices=range(5), **options)
    assert torch.equal(ascend(network, images, labels, **options).images, named.images)
    assert not torch.equal(ascend(network, images, labels, indices=range(5, 10), **options).images, named.images)


@EVERY
def test_the_result_depends_on_the_seed_and_repeats_for_the_same_one(network, images, labels, norm):
    first, again, other = (
        ascend(network, images, labels, norm=norm, eps=EPS[norm], steps=2, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_the_global_random_state_is_left_alone(network, images, labels):
    before = torch.get_rng_state()
    ascend(network, images, labels, norm="linf", eps=0.05, steps=2, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
@pytest.mark.parametrize("seed", [None, 0])
@EVERY
def test_a_radius_per_image_equals_separate_calls(network, images, labels, norm, seed, shape):
    network, images = network.double(), images.double()
    radii = EPS[norm] * torch.tensor([0.125, 0.25, 0.5, 1.0, 2.0]).double()
    options = {"norm": norm, "steps": 8, "seed": seed}
    together = ascend(network, images, labels, eps=radii.reshape(shape), batch=2, **options)
    for i in range(5):
        one = slice(i, i + 1)
        alone = ascend(network, images[one], labels[one], eps=radii[i].item(), indices=[i], **options)
        assert torch.allclose(alone.images[0], together.images[i], rtol=0, atol=1e-9)
    assert_feasible(together.images, images, radii, norm)
    assert (length(together.images - images, norm) > 0.5 * radii).all()


# ---- the caller's things


@EVERY
def test_a_model_in_training_mode_is_attacked_in_evaluation_mode(convolutional, images, labels, norm):
    options = {"norm": norm, "eps": EPS[norm], "steps": 3}
    expected = ascend(convolutional.eval(), images, labels, **options)
    assert torch.equal(ascend(convolutional.train(), images, labels, **options).images, expected.images)


@EVERY
def test_the_model_is_returned_as_it_was(convolutional, images, labels, condition, norm):
    convolutional.train().norm.eval()
    convolutional.conv1.weight.requires_grad_(False)
    before, state = condition(convolutional), {k: v.clone() for k, v in convolutional.state_dict().items()}
    ascend(convolutional, images, labels, norm=norm, eps=EPS[norm], steps=3)
    assert condition(convolutional) == before
    assert all(torch.equal(entry, state[key]) for key, entry in convolutional.state_dict().items())


@pytest.mark.parametrize("n", [1, 3, 6])
@EVERY
def test_the_model_is_returned_as_it_was_when_it_raises(
    convolutional, images, labels, condition, fail_on_call, norm, n
):
    fail_on_call(convolutional.train(), n).norm.eval()
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match=f"^call {n}$"):
        ascend(convolutional, images, labels, norm=norm, eps=EPS[norm], steps=5)
    assert condition(convolutional) == before


@pytest.mark.parametrize("requires_grad", [False, True])
@EVERY
def test_the_callers_images_are_unchanged_and_the_result_is_detached(network, images, labels, norm, requires_grad):
    original = images.clone()
    found = ascend(network, images.requires_grad_(requires_grad), labels, norm=norm, eps=EPS[norm], steps=3)
    assert torch.equal(images.detach(), original)
    assert images.requires_grad == requires_grad
    assert images.grad is None
    assert not any(each.requires_grad for each in (found.images, found.value, found.trace))


def test_the_attack_works_under_no_grad(network, images, labels):
    expected = ascend(network, images, labels, norm="l2", eps=0.5, steps=3)
    with torch.no_grad():
        assert torch.equal(ascend(network, images, labels, norm="l2", eps=0.5, steps=3).images, expected.images)


@EVERY
def test_a_model_without_gradient_leaves_the_images_where_they_are(images, labels, norm):
    model = nn.Sequential(nn.Threshold(2.0, 0.0), nn.Flatten(), nn.Linear(128, 3))
    found = ascend(model, images, labels, norm=norm, eps=EPS[norm], steps=3)
    assert torch.equal(found.images, images)


# ---- bad input


BALL = "expected a finite number >= 0 in pixel units, or one per image"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"norm": "l3"}, "norm is 'l3', expected one of linf, l2, l1"),
        ({"norm": 2}, "norm is 2, expected one of linf, l2, l1"),
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"steps": -2}, "steps is -2, expected at least 1"),
        ({"indices": [0, 1]}, "2 names for 5 images, expected one per image"),
        ({"indices": [0]}, "1 names for 5 images, expected one per image"),
        ({"images": torch.zeros(4, 2, 8, 8)}, "4 images and 5 classes, expected at least one and the same number"),
        (
            {"images": torch.zeros(0, 2, 8, 8), "labels": torch.zeros(0, dtype=torch.long)},
            "0 images and 0 classes, expected at least one and the same number",
        ),
    ],
)
def test_a_bad_setting_is_an_error_that_names_it(linear, images, labels, changed, message):
    settings = {"images": images, "labels": labels, "norm": "linf", "eps": 0.05, "steps": 3, "seed": 0} | changed
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ascend(linear, **settings)


@pytest.mark.parametrize("eps", [-0.25, math.nan, math.inf, torch.tensor([0.1, 0.1, -0.25, 0.1, 0.1])], ids=str)
@EVERY
def test_a_bad_radius_is_an_error_and_the_model_is_returned_as_it_was(
    convolutional, images, labels, condition, norm, eps
):
    before = condition(convolutional.train())
    with pytest.raises(ValueError, match=rf"^(?s:eps is .*), {re.escape(BALL)}$"):
        ascend(convolutional, images, labels, norm=norm, eps=eps, steps=3)
    assert condition(convolutional) == before


@pytest.mark.parametrize("count", [0, 2, 6])
@EVERY
def test_another_number_of_radii_than_images_is_an_error(linear, images, labels, norm, count):
    with pytest.raises(ValueError, match=rf"^(?s:eps is .*), {re.escape(BALL)}$"):
        ascend(linear, images, labels, norm=norm, eps=torch.full((count,), 0.5), steps=3)


@pytest.mark.parametrize(
    ("pixel", "shown"), [(-0.5, r"\[-0.5, [^\]]*\]"), (1.5, r"\[[^\]]*, 1.5\]"), (math.nan, r"\[nan, nan\]")]
)
def test_images_outside_the_unit_interval_are_an_error_that_shows_their_range(linear, images, labels, pixel, shown):
    images[3, 1, 2, 2] = pixel
    message = rf"^images span {shown}, expected \[0, 1\] \(normalisation belongs in the network\)$"
    with pytest.raises(ValueError, match=message):
        ascend(linear, images, labels, norm="linf", eps=0.05, steps=3)
