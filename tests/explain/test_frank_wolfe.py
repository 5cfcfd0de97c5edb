import dataclasses
import math
import re

import pytest
import torch
from torch import nn

from aecompanion.attack import ascent
from aecompanion.attack.ascent import Progress
from aecompanion.attack.lp_ball import norm
from aecompanion.attack.objective import log_confidence
from aecompanion.explain import frank_wolfe
from aecompanion.explain.frank_wolfe import (
    CLASSIC,
    CONSTANT,
    MOMENTUM,
    PUBLISHED,
    RELEASED,
    SCHEDULES,
    Schedule,
    auto_frank_wolfe,
    gaussian,
)
from aecompanion.pipeline.rng import generator

RADII = {1: 3.0, 1.1: 2.5, 1.5: 1.0, 2: 0.5, 4: 0.2, math.inf: 0.1}  # of balls of about the same effect
HALF = dataclasses.replace(CONSTANT, size=0.5)
GOALS = 0.5 + torch.tensor([[0.1, 0.0, -0.1, 0.05], [0.0, 0.0, 0.0, 0.0], [-0.1, -0.05, 0.0, 0.1]]).double()
FIRST_VERTEX = ("AFW", "FW", "FW + momentum")  # their first step has γ = 1


class Pixels(nn.Module):
    """Logits that are the pixels."""

    def forward(self, images):
        return images.flatten(1)


def near(logits, goal):
    """Minus the squared distance of the first logit to a goal per image: what `target` means is the objective's."""
    return -((logits[:, 0] - goal) ** 2)


def imitate(logits, goal):
    """Minus the squared distance of the logits to goals, which may lie in the middle of what is reached."""
    return -(logits - goal).square().sum(1)


def rival(logits, target):
    """The target's logit minus the next class's: linear in the logits."""
    other = (target + 1) % logits.shape[1]
    return logits.gather(1, target[:, None])[:, 0] - logits.gather(1, other[:, None])[:, 0]


def watch(model):
    """All images that the network is shown, one entry per forward pass."""
    shown = []
    model.register_forward_pre_hook(lambda module, args: shown.append(args[0].detach().clone()))
    return shown


def grey(count, side=1, channels=1):
    return torch.full((count, channels, side, side), 0.5)


@pytest.fixture
def two_pixels():
    """Logits (0, 3a - 2b) of the pixels a and b: the confidence of class 1 grows along (3, -2) at every image."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    model[1].weight.data = torch.tensor([[0.0, 0.0], [3.0, -2.0]])
    return model


@pytest.fixture
def double(convolutional, images):
    return convolutional.double(), images.double()


@pytest.fixture
def bright_start(monkeypatch):
    """Every run starts at the vertex of a direction of ones."""
    monkeypatch.setattr(frank_wolfe, "gaussian", lambda shape, seed, restart, keys: torch.ones(len(keys), *shape))


@pytest.fixture
def verdicts(monkeypatch):
    """Which images had stalled, one entry per checkpoint."""
    found = []

    class Recorded(Progress):
        def stalled(self):
            found.append(super().stalled().clone())
            return found[-1]

    monkeypatch.setattr(ascent, "Progress", Recorded)
    return found


def path(schedule, goal, steps=10, eps=0.25, **options):
    """The iterates of one grey pixel, every one exact in float32, and what is returned."""
    seen = []
    found = auto_frank_wolfe(
        Pixels(),
        grey(1),
        torch.tensor([goal]),
        eps=eps,
        p=math.inf,
        steps=steps,
        schedule=schedule,
        objective=near,
        on_step=lambda x: seen.append(x.item()),
        **options,
    )
    return seen, found


# ---- schedules


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (PUBLISHED, {0: 1.0, 1: 2 / 3, 4: 1 / 2, 9: 2 / 5, 64: 1 / 5}),
        (RELEASED, {0: 0.75, 1: 0.75, 74: 0.75}),
        (CONSTANT, {0: 0.75, 1: 0.75, 74: 0.75}),
        (CLASSIC, {0: 1.0, 1: 2 / 3, 2: 1 / 2, 8: 1 / 5}),
        (MOMENTUM, {0: 1.0, 1: 2 / 3, 2: 1 / 2, 8: 1 / 5}),
    ],
    ids=["published", "released", "constant", "classic", "momentum"],
)
def test_the_step_sizes_are_those_on_paper(schedule, expected):
    size = torch.tensor([[schedule.size], [schedule.size / 4]])
    for k, gamma in expected.items():
        assert schedule.step(k, size).flatten().tolist() == pytest.approx([gamma, gamma / 4])


def test_the_schedules_differ_in_what_their_names_say():
    assert (PUBLISHED.adaptive, PUBLISHED.factor) == (True, 0.75)
    assert (RELEASED.adaptive, RELEASED.factor) == (True, 0.5)
    assert not (CLASSIC.adaptive or CONSTANT.adaptive or MOMENTUM.adaptive)
    assert [schedule.momentum for schedule in (PUBLISHED, RELEASED, CLASSIC, CONSTANT, MOMENTUM)] == [0, 0, 0, 0, 0.9]
    assert list(SCHEDULES.values()) == [PUBLISHED, RELEASED, CLASSIC, MOMENTUM, CONSTANT]
    assert Schedule() == PUBLISHED


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rule": "cosine"}, "rule 'cosine' is unknown, expected one of root, constant, harmonic"),
        ({"size": 0.0}, "size 0.0, factor 0.75, momentum 0.0: expected (0, 2], (0, 1), [0, 1)"),
        ({"size": 2.5}, "size 2.5, factor 0.75, momentum 0.0: expected (0, 2], (0, 1), [0, 1)"),
        ({"size": math.nan}, "size nan, factor 0.75, momentum 0.0: expected (0, 2], (0, 1), [0, 1)"),
        ({"rule": "harmonic", "size": 2.5}, "size 2.5, factor 0.75, momentum 0.0: expected (0, 2], (0, 1), [0, 1)"),
        ({"rule": "constant"}, "size 2.0, factor 0.75, momentum 0.0: expected (0, 1], (0, 1), [0, 1)"),
        ({"factor": 0.0}, "size 2.0, factor 0.0, momentum 0.0: expected (0, 2], (0, 1), [0, 1)"),
        ({"factor": 1.0}, "size 2.0, factor 1.0, momentum 0.0: expected (0, 2], (0, 1), [0, 1)"),
        ({"momentum": -0.1}, "size 2.0, factor 0.75, momentum -0.1: expected (0, 2], (0, 1), [0, 1)"),
        ({"momentum": 1.0}, "size 2.0, factor 0.75, momentum 1.0: expected (0, 2], (0, 1), [0, 1)"),
    ],
)
def test_a_bad_schedule_is_an_error_that_names_it(changed, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Schedule(**changed)


@pytest.mark.parametrize("changed", [{"size": 2.0}, {"rule": "constant", "size": 1.0}, {"momentum": 0.0}])
def test_a_schedule_at_the_border_of_its_ranges_is_none(changed):
    assert dataclasses.asdict(Schedule(**changed)).items() >= changed.items()


# ---- by hand


@pytest.mark.parametrize("schedule", [PUBLISHED, CLASSIC, MOMENTUM], ids=["published", "classic", "momentum"])
@pytest.mark.parametrize("p", RADII)
def test_on_a_linear_network_one_step_reaches_the_optimum_and_further_steps_stay_there(two_pixels, p, schedule):
    """|δ_i| = ε |w_i|^(1/(p-1)) over its p-norm; p = 1: all in the largest weight, p = inf: ε everywhere."""
    images, seen = torch.full((2, 1, 1, 2), 0.5), []
    found = auto_frank_wolfe(
        two_pixels, images, torch.tensor([1, 0]), eps=0.2, p=p, steps=9, schedule=schedule, on_step=seen.append
    )
    if p == 1:
        best = torch.tensor([0.2, 0.0])
    elif p == math.inf:
        best = torch.tensor([0.2, -0.2])
    else:
        power = 1 / (p - 1)
        best = torch.tensor([3**power, -(2**power)]) * 0.2 / (3 ** (p * power) + 2 ** (p * power)) ** (1 / p)
    expected = 0.5 + torch.stack([best, -best]).reshape(2, 1, 1, 2)
    assert len(seen) == 9
    for iterate in seen:
        assert torch.allclose(iterate, expected, rtol=0, atol=1e-6)
    assert torch.allclose(found.images, expected, rtol=0, atol=1e-6)
    confidence = 1 / (1 + math.exp(-(0.5 + 3 * best[0] - 2 * best[1])))  # class 1 of the first image
    assert found.value[0].item() == pytest.approx(math.log(confidence), abs=1e-6)
    assert torch.allclose(found.trace[1:], found.value.expand(9, 2), rtol=0, atol=1e-6)


def test_what_the_box_does_not_leave_room_for_goes_to_the_other_pixel(two_pixels):
    image = torch.tensor([0.9, 0.7]).reshape(1, 1, 1, 2)
    found = auto_frank_wolfe(two_pixels, image, torch.tensor([1]), eps=0.5, p=2, steps=1)
    assert found.images.flatten().tolist() == pytest.approx([1.0, 0.7 - (0.25 - 0.01) ** 0.5], abs=1e-6)


def test_a_constant_step_shortens_the_way_to_the_vertex_by_three_quarters(bright_start):
    seen, _ = path(CONSTANT, goal=0.0, steps=4)  # from .75 to .25
    assert seen == [0.25 + 0.5 / 4**k for k in range(1, 5)]


def test_the_classic_path_is_that_on_paper_and_the_best_point_is_returned_not_the_last(bright_start):
    """The vertices are .25, .75, .75, .25, the steps 1, 2/3, 1/2, 2/5."""
    seen, found = path(CLASSIC, goal=0.6, steps=4)
    assert seen == pytest.approx([0.25, 7 / 12, 2 / 3, 1 / 2], abs=1e-6)
    assert found.images.item() == pytest.approx(7 / 12, abs=1e-6)
    assert found.value.item() == pytest.approx(-1 / 3600, abs=1e-7)
    assert found.trace.flatten().tolist() == pytest.approx([-0.0225, -0.0225] + [-1 / 3600] * 3, abs=1e-7)


def test_momentum_keeps_to_the_old_direction_until_the_average_turns(bright_start):
    """At .25 the derivative is .7, at the start it was -.3: the averages are -.3, -.2, -.11, -.029, .0439."""
    seen, _ = path(MOMENTUM, goal=0.6, steps=5)
    assert seen == pytest.approx([0.25, 0.25, 0.25, 0.25, 5 / 12], abs=1e-6)


ADAPTED = [3 / 8, 21 / 32, 129 / 256, 297 / 512, 5013 / 8192, 71313 / 131072]


@pytest.mark.parametrize(("factor", "length"), [(0.5, 6), (0.75, 3)])
def test_a_stalled_image_returns_to_its_best_point_with_a_smaller_step(bright_start, verdicts, factor, length):
    """Ten steps are judged after 2, 3, 4, ... steps.

    γ = 3/4: .75 → 3/8 → 21/32, one rise in two: stalled at its best point. γ = 3/8 (with factor 1/2): → 129/256, a
    fall: stalled, back to 21/32. γ = 3/16: → 297/512 → 5013/8192, two rises. → 71313/131072, a fall. With factor 3/4
    the third step is 9/16 long.
    """
    seen, _ = path(dataclasses.replace(RELEASED, factor=factor), goal=0.6)
    expected = ADAPTED if factor == 0.5 else [3 / 8, 21 / 32, 21 / 32 * 7 / 16 + 9 / 64]
    assert seen[:length] == expected[:length]
    if factor == 0.5:
        assert torch.cat(verdicts)[:5].tolist() == [True, True, False, False, True]


def test_without_adaptivity_nothing_is_judged(bright_start, verdicts):
    seen, _ = path(CONSTANT, goal=0.6)
    assert verdicts == []
    assert seen[:3] == [3 / 8, 21 / 32, 21 / 32 / 4 + 3 / 16]  # γ is still 3/4


# ---- constraints and the course of a run


@pytest.fixture
def extreme(images):
    """Some pixels have no room in one direction."""
    images[0, 0, :4], images[1, 1, 4:], images[2] = 0.0, 1.0, images[2].round()
    return images


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("p", RADII)
def test_every_iterate_lies_in_the_ball_and_in_the_box(convolutional, extreme, labels, p, schedule):
    shown, seen, eps = watch(convolutional), [], RADII[p]
    options = {"eps": eps, "p": p, "steps": 12, "schedule": SCHEDULES[schedule]}
    found = auto_frank_wolfe(convolutional, extreme, labels, on_step=seen.append, **options)
    for x in (*shown, *seen, found.images):
        assert norm(x - extreme, p).max() <= eps * (1 + 1e-5)
        assert x.min() >= 0
        assert x.max() <= 1
    if schedule in FIRST_VERTEX:  # and the ball is used: the start and the first vertex lie on its surface
        for x in (shown[0], seen[0]):
            assert torch.allclose(norm(x - extreme, p), torch.tensor(eps), rtol=1e-4, atol=0)


def test_the_iterates_are_what_the_network_is_shown_after_the_start(convolutional, images, labels):
    shown, seen = watch(convolutional), []
    auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=12, on_step=seen.append)
    assert torch.equal(torch.stack(shown[1:]), torch.stack(seen))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_trace_is_the_best_value_so_far_and_ends_with_that_of_the_images(convolutional, images, labels, schedule):
    shown = watch(convolutional)
    found = auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=15, schedule=SCHEDULES[schedule])
    values = torch.stack([log_confidence(convolutional(x), labels) for x in list(shown)]).detach()
    assert found.trace.shape == (16, 5)
    assert torch.allclose(found.trace, values.cummax(0).values, rtol=0, atol=1e-5)
    assert torch.equal(found.trace[-1], found.value)
    reached = log_confidence(convolutional(found.images), labels).detach()
    assert torch.allclose(found.value, reached, rtol=0, atol=1e-5)
    assert (found.value > log_confidence(convolutional(images), labels)).all()


@pytest.mark.parametrize("p", RADII)
def test_the_target_becomes_more_likely_the_larger_the_ball(convolutional, images, labels, p):
    values = [
        auto_frank_wolfe(convolutional, images, labels, eps=share * RADII[p], p=p, steps=15).value
        for share in (0.0, 0.25, 1.0)
    ]
    clean = log_confidence(convolutional(images), labels).detach()
    assert torch.allclose(values[0], clean, rtol=0, atol=1e-6)
    assert (values[1] > values[0] + 0.01).all()
    assert (values[2] > values[1] + 0.01).all()


@pytest.mark.parametrize("restarts", [1, 3])
@pytest.mark.parametrize("steps", [1, 7])
def test_a_restart_costs_one_forward_pass_more_than_it_has_steps(convolutional, images, labels, steps, restarts):
    shown = watch(convolutional)
    auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=steps, restarts=restarts)
    assert len(shown) == restarts * (steps + 1)


def test_any_differentiable_objective_will_do(convolutional, images):
    """Logits like those of an image in the ball, moved there by at most .05 in all."""
    goal = convolutional(images + 0.05 * (0.5 - images)).detach()
    options = {"eps": 1.0, "steps": 40, "objective": imitate}
    found = auto_frank_wolfe(convolutional, images, goal, **options)
    assert torch.allclose(found.value, imitate(convolutional(found.images), goal), rtol=1e-3, atol=1e-7)
    assert (found.value > found.trace[0] / 50).all()


@pytest.mark.parametrize("p", [1.5, 2])
def test_classic_frank_wolfe_has_its_guarantee(p):
    """f <= 0 is concave with curvature C <= 2 (2ε)², and f(x_k) >= -2C / (k + 2) (Jaggi, ICML 2013)."""
    options = {"eps": 0.25, "p": p, "steps": 100, "schedule": CLASSIC, "objective": imitate}
    found = auto_frank_wolfe(Pixels(), grey(3, side=2).double(), GOALS, **options)
    bound = -2 * 2 * 0.5**2 / (torch.arange(1, 101) + 2)
    assert (found.trace[0] < bound[-1]).sum() >= 2  # so that the bound says something
    assert (found.trace[1:] >= bound[:, None]).all()


@pytest.mark.parametrize("scale", [1e-12, 1e-30, 1e12])
@pytest.mark.parametrize("p", [1.1, 1.5, 2])
def test_the_size_of_the_gradient_does_not_matter_to_an_objective_linear_in_the_logits(
    convolutional, images, labels, p, scale
):
    options = {"eps": RADII[p], "p": p, "steps": 12, "objective": rival}
    expected = auto_frank_wolfe(convolutional, images, labels, **options)
    convolutional.fc.weight.data *= scale
    convolutional.fc.bias.data *= scale
    found = auto_frank_wolfe(convolutional, images, labels, **options)
    assert torch.allclose(found.images, expected.images, rtol=0, atol=1e-5)
    assert torch.allclose(found.value / scale, expected.value, rtol=1e-4, atol=0)
    assert torch.allclose(norm(found.images - images, p), torch.tensor(RADII[p]), rtol=0.1, atol=0)


def test_without_a_gradient_the_start_is_returned(convolutional, images, labels):
    convolutional.fc.weight.data.zero_()
    shown = watch(convolutional)
    found = auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=5)
    assert torch.equal(found.images, shown[0])
    assert torch.allclose(shown[1], images, rtol=0, atol=1e-6)  # no direction is better than to stay


# ---- batches, seeds and neighbours


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("p", RADII)
def test_the_result_does_not_depend_on_the_batch_size(double, p, batch):
    network, images = double
    goal = network(images + 0.05 * (0.5 - images)).detach()
    shared = {"eps": RADII[p], "p": p, "objective": imitate}
    options = shared | {"steps": 15, "restarts": 2, "seed": 3, "keys": [10, 11, 12, 13, 14]}
    expected = auto_frank_wolfe(network, images, goal, **options)
    found = auto_frank_wolfe(network, images, goal, batch=batch, **options)
    assert torch.allclose(found.images, expected.images, rtol=0, atol=1e-5)
    assert torch.allclose(found.value, expected.value, rtol=0, atol=1e-9)
    assert torch.allclose(found.trace, expected.trace, rtol=0, atol=1e-9)


def test_an_image_does_not_notice_that_its_neighbours_stall(double, verdicts):
    network, images = double
    share = torch.tensor([0.05, 2.0, 0.02, 0.1, 2.0]).double().reshape(5, 1, 1, 1)  # goals within and beyond the ball
    goal = network(images + share * (0.5 - images)).detach()
    options = {"eps": 1.0, "steps": 40, "seed": 1, "objective": imitate}
    together = auto_frank_wolfe(network, images, goal, **options)
    joint = torch.stack(verdicts)
    assert (joint.any(1) & ~joint.all(1)).sum() >= 3  # at so many checkpoints some stall and others do not
    for i in range(5):
        verdicts.clear()
        alone = auto_frank_wolfe(network, images[i : i + 1], goal[i : i + 1], keys=[i], **options)
        assert torch.cat(verdicts).tolist() == joint[:, i].tolist()
        assert torch.allclose(alone.images[0], together.images[i], rtol=0, atol=1e-9)
        assert torch.allclose(alone.trace[:, 0], together.trace[:, i], rtol=0, atol=1e-9)


def test_every_image_may_have_its_own_radius(double, labels):
    network, images = double
    radii = [0.0, 0.1, 0.5, 1.0, 2.0]
    together = auto_frank_wolfe(network, images, labels, eps=torch.tensor(radii), steps=8, batch=2)
    for i, eps in enumerate(radii):
        alone = auto_frank_wolfe(network, images[i : i + 1], labels[i : i + 1], eps=eps, steps=8, keys=[i])
        assert torch.allclose(together.images[i], alone.images[0], rtol=0, atol=1e-6)  # 0.1 is a float32 there
    assert norm(together.images - images, 1.5).tolist() == pytest.approx(radii, rel=0.1)


@pytest.mark.parametrize("restarts", [1, 2])
def test_the_same_seed_repeats_and_another_one_starts_elsewhere(convolutional, images, labels, restarts):
    shown = watch(convolutional)
    first, again, other = (
        auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=4, restarts=restarts, seed=seed)
        for seed in (0, 0, 1)
    )
    starts = shown[::5]
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.trace, again.trace)
    assert torch.equal(starts[0], starts[restarts])
    for start in starts[2 * restarts :]:
        assert ((start - starts[0]).flatten(1).abs().amax(1) > 0.01).all()


def test_the_start_belongs_to_the_key_which_is_the_position_by_default(convolutional, images, labels):
    shown = watch(convolutional)
    for keys in (None, range(5), [4, 3, 2, 1, 0]):
        auto_frank_wolfe(convolutional, images[:1].expand(5, -1, -1, -1), labels, eps=1.0, steps=1, keys=keys)
    default, named, reverse = shown[::2]
    assert torch.equal(default, named)
    assert torch.equal(reverse, default.flip(0))
    assert not torch.equal(default[0], default[1])


def test_the_start_is_the_vertex_of_a_gaussian_direction_of_seed_restart_and_key(convolutional, labels):
    shown, keys = watch(convolutional), [5, 6, 7, 8, 9]
    options = {"eps": 0.3, "p": 2, "steps": 1, "restarts": 2, "seed": 7, "keys": keys}
    auto_frank_wolfe(convolutional, grey(5, side=8, channels=2), labels, **options)
    assert len(shown) == 4
    for restart, start in enumerate(shown[::2]):
        for i, key in enumerate(keys):
            direction = torch.randn(2, 8, 8, generator=generator(7, restart, key))
            assert torch.allclose(start[i], 0.5 + 0.3 * direction / direction.norm(), rtol=0, atol=1e-6)


def test_two_restarts_are_the_better_one_of_two_runs_for_every_image(convolutional, images, labels, monkeypatch):
    options = {"eps": 2.0, "steps": 2, "schedule": CONSTANT, "seed": 2}  # too few steps to forget the start
    both = auto_frank_wolfe(convolutional, images, labels, restarts=2, **options)
    single = []
    for restart in (0, 1):
        monkeypatch.setattr(
            frank_wolfe, "gaussian", lambda shape, seed, _, keys, restart=restart: gaussian(shape, seed, restart, keys)
        )
        single.append(auto_frank_wolfe(convolutional, images, labels, **options))
    second = single[1].value > single[0].value
    assert second.unique().tolist() == [False, True]  # both runs win somewhere
    for i, which in enumerate(second.long().tolist()):
        assert torch.equal(both.images[i], single[which].images[i])
        assert torch.equal(both.trace[:, i], single[which].trace[:, i])
        assert both.value[i] == single[which].value[i]


def test_the_trace_is_that_of_the_better_run_although_the_other_began_better(monkeypatch):
    """Goal .6, γ = 3/4: from .75 to .375, from .25 to .625."""
    monkeypatch.setattr(
        frank_wolfe, "gaussian", lambda shape, seed, restart, keys: torch.full((len(keys), *shape), 1.0 - 2 * restart)
    )
    for restarts, trace in ((1, [-0.0225, -0.0225]), (2, [-0.1225, -0.000625])):
        _, found = path(CONSTANT, goal=0.6, steps=1, restarts=restarts)
        assert found.trace.flatten().tolist() == pytest.approx(trace, abs=1e-7)


def test_more_restarts_never_lower_the_value(convolutional, images, labels):
    values = torch.stack(
        [
            auto_frank_wolfe(convolutional, images, labels, eps=2.0, steps=2, schedule=CONSTANT, restarts=n).value
            for n in (1, 2, 3, 4)
        ]
    )
    assert (values.diff(dim=0) >= 0).all()
    assert (values[-1] > values[0]).any()


# ---- the Frank-Wolfe gap


@pytest.mark.parametrize("schedule", [PUBLISHED, CLASSIC], ids=["published", "classic"])
def test_at_the_optimum_of_a_linear_network_the_run_stops(two_pixels, schedule):
    shown, images = watch(two_pixels), torch.full((2, 1, 1, 2), 0.5)
    options = {"eps": 0.2, "steps": 20, "schedule": schedule}
    expected = auto_frank_wolfe(two_pixels, images, torch.tensor([1, 0]), **options)
    assert len(shown) == 21
    shown.clear()
    found = auto_frank_wolfe(two_pixels, images, torch.tensor([1, 0]), tolerance=1e-4, **options)
    assert len(shown) == 2  # the start, which is worse, and the vertex
    assert found.trace.shape == (21, 2)
    assert torch.allclose(found.trace, expected.trace, rtol=0, atol=1e-6)
    assert torch.allclose(found.images, expected.images, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("tolerance", "steps"), [(0.151, 0), (0.149, 1), (0.051, 1), (0.049, 2), (0.019, 2), (0.018, 4)]
)
def test_the_gap_is_the_derivative_times_the_way_to_the_vertex(bright_start, tolerance, steps):
    """With γ = 1/2 from .75: gap .3 · .5 = .15; at .5: .2 · .25 = .05; at .625: .05 · .375 = .01875; at .4375: .1."""
    seen, found = path(HALF, goal=0.6, steps=4, tolerance=tolerance)
    assert seen == [0.5, 0.625, 0.4375, 0.59375][:steps]
    reached = [0.75, *seen]
    best = min(reached, key=lambda x: abs(x - 0.6))
    assert found.images.item() == best
    assert found.trace.flatten().tolist() == pytest.approx(
        [-min((x - 0.6) ** 2 for x in reached[: k + 1]) for k in range(5)], abs=1e-7
    )


def test_an_image_goes_on_as_it_does_alone_while_the_others_are_done(bright_start):
    """The first goal is beyond the ball: done at its edge."""
    seen, options = [], {"eps": 0.25, "p": math.inf, "steps": 6, "schedule": CLASSIC, "objective": near}
    goals = torch.tensor([0.0, 0.6])
    auto_frank_wolfe(Pixels(), grey(2), goals, tolerance=0.001, on_step=seen.append, **options)
    done, going = torch.stack(seen).flatten(1).T.tolist()
    assert done == [0.25] * 6
    assert going == path(CLASSIC, goal=0.6, steps=6)[0]


def test_a_stopped_image_moves_no_further_while_the_others_do(bright_start):
    """Goals .7 and .6 from .75 with γ = 1/2: gaps .1 · .5 and .15; then, of the second at .5, .05."""
    seen, options = [], {"eps": 0.25, "p": math.inf, "steps": 3, "schedule": HALF, "objective": near}
    goals = torch.tensor([0.7, 0.6])
    found = auto_frank_wolfe(Pixels(), grey(2), goals, tolerance=0.1, on_step=seen.append, **options)
    assert [x.flatten().tolist() for x in seen] == [[0.75, 0.5]]
    assert found.images.flatten().tolist() == [0.75, 0.5]
    assert found.trace[:, 0].tolist() == pytest.approx([-0.0025] * 4, abs=1e-7)
    assert found.trace[:, 1].tolist() == pytest.approx([-0.0225] + [-0.01] * 3, abs=1e-7)


@pytest.mark.parametrize(
    ("schedule", "tolerance"),
    [(PUBLISHED, 1e-2), (CLASSIC, 1e-2), (CLASSIC, 1e-3)],
    ids=["published", "classic", "classic-exact"],
)
def test_where_a_concave_objective_stops_it_lacks_no_more_than_the_tolerance(schedule, tolerance):
    """The optimum is 0."""
    model, options = Pixels(), {"eps": 0.25, "p": 2, "steps": 300, "schedule": schedule, "objective": imitate}
    shown = watch(model)
    found = auto_frank_wolfe(model, grey(3, side=2).double(), GOALS, tolerance=tolerance, **options)
    assert 2 < len(shown) < 301
    assert (found.trace[0] < -tolerance).all()
    assert (found.value >= -tolerance).all()
    assert found.trace.shape == (301, len(GOALS))
    assert torch.equal(found.trace[-1], found.value)


# ---- the caller's things


def test_a_model_in_training_mode_is_used_in_evaluation_mode(convolutional, images, labels):
    expected = auto_frank_wolfe(convolutional.eval(), images, labels, eps=1.0, steps=3)
    found = auto_frank_wolfe(convolutional.train(), images, labels, eps=1.0, steps=3)
    assert torch.equal(found.images, expected.images)


def test_the_model_is_returned_as_it_was(convolutional, images, labels, condition):
    convolutional.train().norm.eval()
    convolutional.conv1.weight.requires_grad_(False)
    watch(convolutional)
    before, state = condition(convolutional), {k: v.clone() for k, v in convolutional.state_dict().items()}
    auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=3, restarts=2)
    assert condition(convolutional) == before
    assert all(torch.equal(value, state[key]) for key, value in convolutional.state_dict().items())


@pytest.mark.parametrize("n", [1, 3, 4, 7])  # the first, one within, the last of a run (no gradient), of the second run
def test_the_model_is_returned_as_it_was_when_it_raises(convolutional, images, labels, condition, fail_on_call, n):
    fail_on_call(convolutional.train(), n).norm.eval()
    convolutional.conv1.weight.requires_grad_(False)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match=f"^call {n}$"):
        auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=3, restarts=2)
    assert condition(convolutional) == before


def test_the_callers_images_are_unchanged_and_the_result_is_detached(convolutional, images, labels):
    original = images.clone()
    found = auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=3)
    assert torch.equal(images, original)
    assert not (found.images.requires_grad or found.value.requires_grad or found.trace.requires_grad)


def test_it_works_under_no_grad(convolutional, images, labels):
    expected = auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=3)
    with torch.no_grad():
        found = auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=3)
    assert torch.equal(found.images, expected.images)


def test_the_global_random_state_is_left_alone(convolutional, images, labels):
    before = torch.get_rng_state()
    auto_frank_wolfe(convolutional, images, labels, eps=1.0, steps=2, restarts=2)
    assert torch.equal(torch.get_rng_state(), before)


# ---- bad input


SIZE = "expected a finite number >= 0 in pixel units, or one per image"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"steps": -2}, "steps is -2, expected at least 1"),
        ({"restarts": 0}, "restarts is 0, expected at least 1"),
        ({"p": 0.5}, "p is 0.5, expected a number from 1 to inf"),
        ({"p": math.nan}, "p is nan, expected a number from 1 to inf"),
        ({"eps": -0.25}, f"eps is -0.25, {SIZE}"),
        ({"eps": math.nan}, f"eps is nan, {SIZE}"),
        ({"eps": math.inf}, f"eps is inf, {SIZE}"),
        ({"eps": torch.tensor([0.5, 0.25])}, f"eps is tensor([0.5000, 0.2500]), {SIZE}"),
        ({"keys": [0, 1, 2]}, "3 names for 5 images, expected one per image"),
        ({"keys": range(6)}, "6 names for 5 images, expected one per image"),
        (
            {"tolerance": 0.1, "schedule": MOMENTUM},
            "a tolerance needs the gap at the gradient, which momentum replaces: expected one of the two",
        ),
    ],
)
def test_a_bad_setting_is_an_error_that_names_it(convolutional, images, labels, condition, changed, message):
    before = condition(convolutional.train())
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        auto_frank_wolfe(convolutional, images, labels, **({"eps": 1.0, "steps": 2} | changed))
    assert condition(convolutional) == before


@pytest.mark.parametrize(
    ("pixel", "shown"), [(-0.5, r"\[-0.5, (1|0\.\d+)\]"), (1.5, r"\[.*, 1.5\]"), (math.nan, r"\[nan, nan\]")]
)
def test_images_outside_the_unit_interval_are_an_error_that_shows_their_range(
    convolutional, images, labels, pixel, shown
):
    images[3, 1, 2, 2] = pixel
    message = rf"^images span {shown}, expected \[0, 1\] \(normalisation belongs in the network\)$"
    with pytest.raises(ValueError, match=message):
        auto_frank_wolfe(convolutional, images, labels, eps=1.0)


@pytest.mark.parametrize(("images_used", "classes_used"), [(0, 0), (5, 4), (4, 5)])
def test_as_many_classes_as_images_are_needed_and_at_least_one(
    convolutional, images, labels, images_used, classes_used
):
    message = f"{images_used} images and {classes_used} classes, expected at least one and the same number"
    with pytest.raises(ValueError, match=f"^{message}$"):
        auto_frank_wolfe(convolutional, images[:images_used], labels[:classes_used], eps=1.0)
