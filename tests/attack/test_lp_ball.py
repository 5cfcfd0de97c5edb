import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.optimize import linprog, minimize

from aecompanion.attack import lp_ball
from aecompanion.attack.lp_ball import clipped_power, lmo, norm, project, sorted_power
from aecompanion.pipeline.rng import generator

INF = math.inf
ULP = 2**-23  # float32 spacing just above 1
CLOSE = 1e-5  # what the oracles promise, relative to the radius or to the optimum
POWERS = [1.1, 1.5, 2.0, 4.0]
NORMS = [1.0, *POWERS, INF]
ROUND = [1, 2, INF]  # with a closed projection
PROPERTY = settings(max_examples=50, deadline=None, derandomize=True)


def sample(seed, rows=3, d=3000):
    """Directions and images; a fifth of the pixels is at 0, a fifth at 1, a tenth of the directions is zero."""
    gen = generator(11, seed)
    w, x = torch.randn(rows, d, generator=gen), torch.rand(rows, d, generator=gen) * 5 / 3 - 1 / 3
    return w * (torch.rand(rows, d, generator=gen) > 0.1), x.clamp(0, 1)


def room_of(w, x):
    """How far every coordinate can go, float64."""
    x = x.double()
    return torch.where(w > 0, 1 - x, x) * (w != 0)


def length_of(delta, p):
    size = delta.double().flatten(1).abs()
    return size.amax(1) if p == INF else size.pow(p).sum(1) ** (1 / p)


def gain(w, delta):
    return (w.double() * delta.double()).flatten(1).sum(1)


def bisected(w, x, eps, p):
    """The optimum by 200 halvings of log s, float64: |δ_i| = min(γ_i, s |w_i|^(1/(p-1)))."""
    log_a, room = w.double().flatten(1).abs().log() / (p - 1), room_of(w, x).flatten(1)
    log_room, radius = room.log(), torch.as_tensor(eps, dtype=torch.float64).reshape(-1, 1)

    def lengths(log_s):
        return torch.where(room > 0, torch.minimum(log_room, log_s + log_a), -INF).exp()

    breaks = torch.where(room > 0, log_room - log_a, -INF)
    high = breaks.amax(1, keepdim=True).clamp_min(-1e6) + 1  # everything is clipped
    low = torch.minimum(high, radius.log() - log_a.amax(1, keepdim=True).clamp_min(-1e6)) - math.log(w.numel()) - 1
    for _ in range(200):
        middle = (low + high) / 2
        over = lengths(middle).pow(p).sum(1, keepdim=True) > radius**p
        low, high = torch.where(over, low, middle), torch.where(over, middle, high)
    fits = room.pow(p).sum(1, keepdim=True) <= radius**p
    return (w.double().sign().flatten(1) * torch.where(fits, room, lengths(low))).reshape(x.shape)


def filled(w, x, eps):
    """The l1 optimum, coordinate by coordinate."""
    delta = torch.zeros_like(x, dtype=torch.float64).flatten(1)
    for row, (size, room) in enumerate(zip(w.double().flatten(1).abs(), room_of(w, x).flatten(1), strict=True)):
        left = eps
        for i in sorted(range(len(size)), key=lambda i, size=size: -size[i]):
            delta[row, i] = min(float(room[i]), left)
            left -= float(delta[row, i])
    return w.double().sign() * delta.reshape(x.shape)


def optimum(w, x, eps, p):
    if p == 1:
        return filled(w, x, eps)
    if p == INF:
        return w.double().sign() * room_of(w, x).clamp_max(eps)
    return bisected(w, x, eps, p)


def assert_feasible(delta, x, eps, p):
    assert torch.isfinite(delta).all()
    assert (length_of(delta, p) <= torch.as_tensor(eps, dtype=torch.float64).flatten() * (1 + CLOSE)).all()
    moved = x.double() + delta.double()
    assert moved.min() >= -ULP
    assert moved.max() <= 1 + ULP


def assert_optimal(w, x, eps, p, delta):
    assert_feasible(delta, x, eps, p)
    assert torch.allclose(gain(w, delta), gain(w, optimum(w, x, eps, p)), rtol=CLOSE, atol=0)


def radius_for(w, x, p, share):
    """That share of the length that takes every coordinate to its end of the box, one for all rows."""
    return float(share * length_of(room_of(w, x), p).mean())


# ---- lmo by hand


@pytest.mark.parametrize(
    ("p", "w", "x", "eps", "expected"),
    [
        (2, [3.0, -4.0], [0.5, 0.5], 0.25, [0.15, -0.2]),
        (2, [3.0, -4.0], [1.0, 0.5], 0.25, [0.0, -0.25]),  # only one has room
        (1.1, [0.0, -4.0, 0.0], [0.5, 0.5, 0.5], 0.25, [0.0, -0.25, 0.0]),  # only one has a direction
        (2, [1.0, 1.0], [0.9, 0.5], 0.26, [0.1, 0.24]),  # .1² + .24² = .26²
        (1.5, [1.0, 2.0], [0.25, 0.25], 0.25, [0.25 / 9 ** (2 / 3), 1 / 9 ** (2 / 3)]),  # a = w²: s^1.5 (1 + 8)
        (4, [1.0, -8.0], [0.5, 0.5], 0.25, [0.25 / 17**0.25, -0.5 / 17**0.25]),  # a = w^(1/3): s^4 (1 + 16)
        (1, [1.0, -3.0, 2.0], [0.5, 0.25, 0.5], 0.5, [0.0, -0.25, 0.25]),
        (1, [1.0, -3.0, 2.0], [0.5, 0.25, 0.5], 0.125, [0.0, -0.125, 0.0]),
        (INF, [1.0, -3.0, 0.0, 2.0], [0.5, 0.125, 0.5, 1.0], 0.25, [0.25, -0.125, 0.0, 0.0]),
    ],
)
def test_lmo_by_hand(p, w, x, eps, expected):
    delta = lmo(torch.tensor([w]), torch.tensor([x]), eps, p)
    assert torch.allclose(delta, torch.tensor([expected]), rtol=0, atol=2 * ULP)


def test_the_l2_optimum_is_eps_times_the_normalised_direction_where_the_box_is_far():
    w = sample(0)[0]
    delta = lmo(w, torch.full_like(w, 0.5), 0.3, 2)
    expected = 0.3 * w.double() / w.double().norm(dim=1, keepdim=True)
    assert torch.allclose(delta.double(), expected, rtol=4 * ULP, atol=1e-12)


@pytest.mark.parametrize("p", POWERS)
def test_the_optimum_is_what_hoelders_inequality_allows_where_the_box_is_far(p):
    w = sample(1)[0]
    q = p / (p - 1)
    delta = lmo(w, torch.full_like(w, 0.5), 0.1, p)
    assert torch.allclose(gain(w, delta), 0.1 * length_of(w, q), rtol=CLOSE, atol=0)


# ---- lmo against bisection and scipy


@pytest.mark.parametrize("share", [1e-3, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("p", POWERS)
def test_lmo_agrees_with_bisection(p, share):
    w, x = sample(2)
    eps = radius_for(w, x, p, share)
    assert_optimal(w, x, eps, p, lmo(w, x, eps, p))


@pytest.mark.parametrize("share", [1e-3, 0.3, 0.9])
@pytest.mark.parametrize("p", [1, INF])
def test_lmo_agrees_with_the_plain_rule_at_the_ends(p, share):
    w, x = sample(3, d=500)
    eps = radius_for(w, x, p, share)
    assert_optimal(w, x, eps, p, lmo(w, x, eps, p))


@pytest.mark.parametrize("p", POWERS)
def test_the_optimum_itself_agrees_with_bisection_where_it_is_unique(p):
    w, x = sample(4, d=300)
    eps = radius_for(w, x, p, 0.5)
    assert torch.allclose(lmo(w, x, eps, p).double(), bisected(w, x, eps, p), rtol=0, atol=CLOSE)


def by_scipy(w, x, eps, p):
    """The largest <w, δ> for one image: a linear programme for p = 1 and inf, sequential quadratic programming else."""
    w, x = w[0].double().numpy(), x[0].double().numpy()
    if p == INF:
        return -linprog(-w, bounds=[(max(-eps, -b), min(eps, 1 - b)) for b in x]).fun
    if p == 1:  # δ = u - v
        bounds = [(0, 1 - b) for b in x] + [(0, b) for b in x]
        return -linprog(-np.r_[w, -w], A_ub=np.ones((1, 2 * len(w))), b_ub=[eps], bounds=bounds).fun
    ball = {
        "type": "ineq",
        "fun": lambda delta: 1 - (np.abs(delta / eps) ** p).sum(),
        "jac": lambda delta: -p * np.sign(delta) * np.abs(delta / eps) ** (p - 1) / eps,
    }
    start = np.sign(w) * np.minimum(np.where(w > 0, 1 - x, x), eps / len(w))
    found = minimize(
        lambda delta: -w @ delta,
        start,
        jac=lambda delta: -w,
        method="SLSQP",
        bounds=list(zip(-x, 1 - x, strict=True)),
        constraints=ball,
        options={"maxiter": 500, "ftol": 1e-10},
    )
    assert found.success
    return -found.fun


@pytest.mark.parametrize("eps", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("d", [2, 5, 8])
@pytest.mark.parametrize("p", [1, 1.5, 2, 4, INF])
def test_lmo_agrees_with_scipy(p, d, eps):
    w, x = sample(d, rows=1, d=d)
    assert gain(w, lmo(w, x, eps, p)).item() == pytest.approx(by_scipy(w, x, eps, p), rel=2e-5, abs=1e-9)


# ---- lmo: scales and ranges of the directions


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**-50, 2.0**50, 2.0**100])
@pytest.mark.parametrize("p", NORMS)
def test_a_power_of_two_times_the_directions_gives_the_same_optimum_bit_for_bit(p, scale):
    w, x = sample(5, d=500)
    assert torch.equal(lmo(w * scale, x, 3.0, p), lmo(w, x, 3.0, p))


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15, 1e30])
@pytest.mark.parametrize("p", NORMS)
def test_the_scale_of_the_directions_does_not_matter_over_sixty_orders_of_magnitude(p, scale):
    w, x = sample(5, d=500)
    eps = radius_for(w, x, p, 0.4)
    assert torch.allclose(lmo(w * scale, x, eps, p), lmo(w, x, eps, p), rtol=0, atol=CLOSE)


def spread_out(rows=3, d=2000, decades=30):
    """Directions over many orders of magnitude, the largest of them where there is little room."""
    gen = generator(11, 99)
    w = 10 ** (-decades * torch.rand(rows, d, generator=gen)) * torch.randn(rows, d, generator=gen).sign()
    return w, 0.1 + 0.8 * torch.rand(rows, d, generator=gen)


@pytest.fixture
def sorted_rows(monkeypatch):
    """How many rows every call of `sorted_power` was given."""
    rows, original = [], lp_ball.sorted_power

    def spy(size, room, radius, p):
        rows.append(len(size))
        return original(size, room, radius, p)

    monkeypatch.setattr(lp_ball, "sorted_power", spy)
    return rows


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("p", [1.05, 1.1])
def test_directions_over_many_orders_of_magnitude_are_sorted_and_agree_with_bisection(sorted_rows, p, share):
    w, x = spread_out()
    eps = share * length_of(room_of(w, x), p).float()
    delta = lmo(w, x, eps, p)
    assert sorted_rows == [3]
    assert_optimal(w, x, eps, p, delta)
    # the largest few make up the value, but all of them make up the length
    assert torch.allclose(length_of(delta, p), eps.double(), rtol=CLOSE, atol=0)
    assert torch.allclose(length_of(delta, p), length_of(bisected(w, x, eps, p), p), rtol=CLOSE, atol=0)


def test_only_the_rows_that_need_it_are_sorted(sorted_rows):
    hard, x = spread_out(rows=1)
    easy = torch.randn(2, 2000, generator=generator(11, 98))
    w, x = torch.cat([easy[:1], hard, easy[1:]]), x.expand(3, -1)
    eps = radius_for(hard, x[:1], 1.1, 0.9)
    delta = lmo(w, x, eps, 1.1)
    assert sorted_rows == [1]
    assert_optimal(w, x, eps, 1.1, delta)


def test_what_underflows_against_the_largest_direction_still_gets_the_rest_of_the_radius():
    w, x = torch.tensor([[1e10, 1e-40]]), torch.tensor([[0.9, 0.5]])
    assert torch.allclose(lmo(w, x, 0.26, 2), torch.tensor([[0.1, 0.24]]), rtol=0, atol=2 * ULP)


@pytest.mark.parametrize("share", [1e-3, 0.3, 0.9])
@pytest.mark.parametrize("p", POWERS)
def test_sorting_and_growing_the_clipped_set_give_the_same(p, share):
    w, x = sample(6)
    size, room = w.abs() / w.abs().amax(1, keepdim=True), room_of(w, x).float()
    radius = (share * length_of(room, p)).float()[:, None]
    grown, by_sorting = clipped_power(size, room, radius, p), sorted_power(size, room, radius, p)
    assert (length_of(grown - by_sorting, p) <= 2 * CLOSE * radius[:, 0]).all()
    assert torch.allclose(gain(size, grown), gain(size, by_sorting), rtol=CLOSE, atol=0)
    assert torch.allclose(length_of(by_sorting, p), radius[:, 0].double(), rtol=CLOSE, atol=0)


# ---- lmo: special directions, radii and rooms


@pytest.mark.parametrize("p", NORMS)
def test_where_the_direction_is_zero_nothing_moves(p):
    w, x = sample(7)
    delta = lmo(w, x, radius_for(w, x, p, 0.5), p)
    assert (w == 0).any()
    assert (delta[w == 0] == 0).all()
    assert (delta.sign() * w.sign() >= 0).all()


@pytest.mark.parametrize("p", NORMS)
def test_an_image_without_any_direction_stays_and_does_not_disturb_the_others(p):
    w, x = sample(7, d=200)
    w[1] = 0
    delta = lmo(w, x, 0.5, p)
    assert (delta[1] == 0).all()
    assert_optimal(w[[0, 2]], x[[0, 2]], 0.5, p, delta[[0, 2]])


@pytest.mark.parametrize("p", POWERS)
def test_equal_directions_share_the_radius_equally(p):
    w = torch.full((1, 50), 3.0) * torch.tensor([1.0, -1.0]).repeat(25)
    expected = w.sign() * 0.2 * 50 ** (-1 / p)
    assert torch.allclose(lmo(w, torch.full_like(w, 0.5), 0.2, p), expected, rtol=CLOSE, atol=0)


@pytest.mark.parametrize("p", NORMS)
def test_equal_directions_with_different_rooms_reach_the_optimum(p):
    w = torch.full((3, 60), -7.0)
    x = sample(8, d=60)[1]
    eps = radius_for(w, x, p, 0.6)
    assert_optimal(w, x, eps, p, lmo(w, x, eps, p))


@pytest.mark.parametrize("eps", [1e3, 1e6])
@pytest.mark.parametrize("p", NORMS)
def test_a_radius_larger_than_the_box_gives_every_coordinate_its_room(p, eps):
    w, x = sample(9, d=500)
    assert torch.equal(lmo(w, x, eps, p), w.sign() * torch.where(w > 0, 1 - x, x) * (w != 0))


@pytest.mark.parametrize("p", NORMS)
def test_no_radius_moves_nothing(p):
    w, x = sample(10, d=500)
    assert lmo(w, x, 0.0, p).abs().max() <= 1e-30  # adding this to a pixel does not change it


@pytest.mark.parametrize("p", NORMS)
def test_the_only_coordinate_with_a_direction_gets_the_whole_radius_or_its_room(p):
    w = torch.zeros(2, 100)
    w[:, 7] = torch.tensor([2.0, -2.0])
    delta = lmo(w, torch.full_like(w, 0.25), 0.5, p)
    assert delta[:, 7].tolist() == pytest.approx([0.5, -0.25], rel=2 * ULP)
    assert delta.count_nonzero() == 2


@pytest.mark.parametrize("p", NORMS)
def test_an_image_in_the_corner_that_the_direction_points_to_stays_there(p):
    w = sample(10, d=50)[0]
    assert (lmo(w, (w > 0).float(), 0.5, p) == 0).all()


@pytest.mark.parametrize("eps", [1e-6, 1e-2, 1.0, 10.0, 60.0])
@pytest.mark.parametrize("p", [*NORMS, 1.01, 20.0])
def test_the_optimum_never_leaves_ball_or_box(p, eps):
    w, x = sample(11)
    assert_feasible(lmo(w, x, eps, p), x, eps, p)


@pytest.mark.parametrize("p", NORMS)
def test_the_optimum_spends_the_radius_where_there_is_room(p):
    w, x = sample(12)
    eps = radius_for(w, x, p, 0.7)
    if p == INF:
        assert lmo(w, x, eps, p).abs().max() == torch.tensor(eps)
    else:
        assert torch.allclose(length_of(lmo(w, x, eps, p), p), torch.tensor(eps).double(), rtol=CLOSE, atol=0)


# ---- batches, shapes and types


CASES = [(lmo, p) for p in NORMS] + [(project, p) for p in ROUND]


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize(("solve", "p"), CASES)
def test_a_radius_per_image_equals_separate_calls(solve, p, shape):
    w, x = (each.double() for each in sample(13, d=400))
    radii = [0.01, 0.5, 3.0]
    together = solve(w, x, torch.tensor(radii, dtype=torch.float64).reshape(shape), p)
    alone = [solve(w[i : i + 1], x[i : i + 1], radius, p) for i, radius in enumerate(radii)]
    assert torch.allclose(together, torch.cat(alone), rtol=0, atol=1e-12)
    assert not torch.allclose(together[:1], solve(w[:1], x[:1], 0.5, p), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("solve", "p"), CASES)
def test_a_row_alone_gets_what_it_gets_in_the_batch(solve, p):
    w, x = (each.double() for each in sample(14, rows=5))  # a batch may sum in another order: 1e-16 instead of 1e-7
    w[3] = spread_out(rows=1, d=3000)[0]  # takes longer than its neighbours
    eps = radius_for(w[3:4], x[3:4], p, 0.3)
    together = solve(w, x, eps, p)
    for i in range(5):
        assert torch.allclose(solve(w[i : i + 1], x[i : i + 1], eps, p)[0], together[i], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("solve", "p"), CASES)
def test_the_answer_has_the_shape_and_type_of_the_images_and_changes_neither_input(solve, p):
    w, x = (each.double().reshape(3, 2, 5, 10) for each in sample(15, d=100))
    before = w.clone(), x.clone()
    delta = solve(w, x, 0.5, p)
    assert (delta.shape, delta.dtype) == (x.shape, torch.float64)
    assert torch.equal(delta.flatten(1), solve(w.flatten(1), x.flatten(1), 0.5, p))
    assert torch.equal(w, before[0])
    assert torch.equal(x, before[1])


# ---- properties of random problems


@st.composite
def problems(draw):
    """Directions and images with hypothesis' favourite corner cases: zeros, ties, ones, subnormal numbers."""
    shape = draw(array_shapes(min_dims=2, max_dims=4, max_side=5))
    x = draw(arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    w = draw(arrays(np.float32, shape, elements=st.floats(-1, 1, width=32)))
    scale = np.float32(10.0 ** draw(st.integers(-30, 30)))
    return torch.from_numpy(w * scale), torch.from_numpy(x), 10 ** draw(st.floats(-4, 1))


@PROPERTY
@given(problems(), st.sampled_from(NORMS) | st.floats(1.05, 8))
def test_the_optimum_of_a_random_problem_is_feasible_and_optimal(problem, p):
    w, x, eps = problem
    assert_optimal(w, x, eps, p, lmo(w, x, eps, p))


@PROPERTY
@given(st.integers(0, 10**6), st.integers(1, 300), st.floats(1.05, 8), st.floats(1e-3, 1), st.floats(-30, 30))
def test_the_optimum_of_a_random_gaussian_problem_is_feasible_and_optimal(seed, d, p, share, scale):
    w, x = sample(seed, rows=2, d=d)
    w = w * 10**scale
    eps = radius_for(w, x, p, share)
    assert_optimal(w, x, eps, p, lmo(w, x, eps, p))


@PROPERTY
@given(problems(), st.floats(1.05, 8))
def test_no_other_point_of_ball_and_box_is_better_than_the_optimum(problem, p):
    w, x, eps = problem
    other = lmo(torch.randn(w.shape, generator=generator(11, 55)), x, eps, p)
    best = gain(w, lmo(w, x, eps, p))
    assert (gain(w, other) <= best * (1 + CLOSE) + 1e-300).all()


def assert_nearest(v, x, eps, p, delta):
    """Feasible, and <v - δ, z - δ> <= 0 for all feasible z: for the best z, which is the optimum for v - δ."""
    assert_feasible(delta, x, eps, p)
    rest = v.double() - delta.double()
    best = gain(rest, optimum(rest, x, eps, p))
    size = rest.flatten(1).norm(dim=1) * delta.double().flatten(1).norm(dim=1)
    assert (best - gain(rest, delta) <= 3 * CLOSE * best + 2 * ULP * size + 1e-12).all()


@PROPERTY
@given(problems(), st.sampled_from(ROUND))
def test_the_projection_of_a_random_point_is_the_nearest(problem, p):
    v, x, eps = problem
    v = v / v.abs().max().clamp_min(1e-30) * 3 * eps
    assert_nearest(v, x, eps, p, project(v, x, eps, p))


# ---- project


@pytest.mark.parametrize(
    ("p", "v", "x", "eps", "expected"),
    [
        (2, [3.0, -4.0], [0.5, 0.5], 0.25, [0.15, -0.2]),
        (2, [3.0, 3.0], [0.9, 0.5], 0.26, [0.1, 0.24]),
        (2, [3.0, 0.0], [0.5, 0.5], 0.25, [0.25, 0.0]),
        (2, [0.125, -0.125], [0.5, 0.5], 0.25, [0.125, -0.125]),
        (2, [0.5, -0.0625], [0.875, 0.5], 0.25, [0.125, -0.0625]),  # outside the ball, but the box is enough
        (1, [0.5, -0.3], [0.5, 0.5], 0.4, [0.3, -0.1]),  # threshold .2
        (1, [0.5, -0.1], [0.5, 0.5], 0.2, [0.2, 0.0]),  # threshold .3
        (1, [1.0, 0.3], [0.9, 0.5], 0.3, [0.1, 0.2]),  # the first is clipped, threshold .1
        (1, [1.0, 0.125], [0.875, 0.5], 0.5, [0.125, 0.125]),  # outside the ball, but the box is enough
        (INF, [1.0, -0.125, 0.5, -1.0], [0.5, 0.5, 0.875, 0.0], 0.25, [0.25, -0.125, 0.125, 0.0]),
    ],
)
def test_project_by_hand(p, v, x, eps, expected):
    delta = project(torch.tensor([v]), torch.tensor([x]), eps, p)
    assert torch.allclose(delta, torch.tensor([expected]), rtol=0, atol=5e-6)


@pytest.mark.parametrize("p", ROUND)
def test_a_point_inside_ball_and_box_is_its_own_projection(p):
    w, x = sample(16)
    inside = 0.999 * lmo(w, x, 2.0, 2 if p == INF else p).clamp(-1.9, 1.9)
    assert torch.equal(project(inside, x, 2.0, p), inside)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("p", ROUND)
def test_projecting_twice_is_projecting_once(p, share):
    v, x = sample(17)
    eps = radius_for(v, x, p, share)
    once = project(v, x, eps, p)
    assert_feasible(once, x, eps, p)
    assert torch.allclose(project(once, x, eps, p), once, rtol=0, atol=CLOSE * eps)


@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("p", ROUND)
def test_the_projection_is_the_nearest_point(p, share, size):
    v, x = sample(18, d=400)
    eps = radius_for(v, x, p, share)
    assert_nearest(size * v, x, eps, p, project(size * v, x, eps, p))


@pytest.mark.parametrize("p", ROUND)
def test_from_the_projection_the_point_lies_away_from_all_random_feasible_points(p):
    v, x = sample(19, d=400)
    eps = radius_for(v, x, p, 0.3)
    delta = project(v, x, eps, p).double()
    for seed in range(100):
        gen = generator(12, seed)
        other = lmo(torch.randn(v.shape, generator=gen), x, eps, p) * torch.rand(3, 1, generator=gen)
        assert (gain(v.double() - delta, other - delta) <= 1e-3).all()  # the products of random points reach -100


def nearest_by_scipy(v, x, eps, p):
    v, x = v[0].double().numpy(), x[0].double().numpy()
    if p == 1:  # δ = u - w, both >= 0: then the ball is linear
        d, bounds = len(v), [(0, 1 - b) for b in x] + [(0, b) for b in x]
        ball = {"type": "ineq", "fun": lambda uw: eps - uw.sum(), "jac": lambda uw: -np.ones_like(uw)}
    else:
        d, bounds = 0, list(zip(-x, 1 - x, strict=True))
        ball = {"type": "ineq", "fun": lambda delta: eps**2 - delta @ delta, "jac": lambda delta: -2 * delta}
    if p == INF:
        bounds, ball = [(max(low, -eps), min(high, eps)) for low, high in bounds], ()

    def whole(z):
        return z[:d] - z[d:] if p == 1 else z

    found = minimize(
        lambda z: ((whole(z) - v) ** 2).sum(),
        np.full(len(bounds), 1e-3),
        jac=lambda z: np.r_[2 * (whole(z) - v), -2 * (whole(z) - v)] if p == 1 else 2 * (z - v),
        method="SLSQP",
        bounds=bounds,
        constraints=ball,
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert found.success
    return torch.from_numpy(whole(found.x))


@pytest.mark.parametrize("eps", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("d", [2, 5, 8])
@pytest.mark.parametrize("p", ROUND)
def test_project_agrees_with_scipy(p, d, eps):
    v, x = sample(20 + d, rows=1, d=d)
    assert torch.allclose(project(v, x, eps, p)[0].double(), nearest_by_scipy(v, x, eps, p), rtol=0, atol=2e-5)


@pytest.mark.parametrize("eps", [1e-6, 1e-4, 1e-2, 1.0, 60.0, 1e4])
@pytest.mark.parametrize("p", ROUND)
def test_a_projection_never_leaves_ball_or_box(p, eps):
    v, x = sample(21)
    assert_feasible(project(v, x, eps, p), x, eps, p)


@pytest.mark.parametrize("size", [1e3, 1e6])
@pytest.mark.parametrize("p", ROUND)
def test_a_projection_from_far_away_never_leaves_ball_or_box(p, size):
    v, x = sample(21)
    assert_feasible(project(size * v, x, 5.0, p), x, 5.0, p)


@pytest.mark.parametrize("p", ROUND)
def test_projecting_onto_no_radius_moves_nothing(p):
    v, x = sample(22, d=500)
    assert project(v, x, 0.0, p).abs().max() <= 1e-30


@pytest.mark.parametrize("p", ROUND)
def test_a_radius_larger_than_the_box_projects_onto_the_box(p):
    v, x = sample(23)
    expected = (x.double() + v).clamp(0, 1) - x.double()
    assert torch.allclose(project(v, x, 1e4, p).double(), expected, rtol=0, atol=ULP)


# ---- norm


@pytest.mark.parametrize(
    ("p", "expected"), [(1, [7.0, 2.0]), (2, [5.0, 2.0]), (4, [337**0.25, 2.0]), (INF, [4.0, 2.0])]
)
def test_norm_by_hand(p, expected):
    delta = torch.tensor([[3.0, -4.0, 0.0, 0.0], [0.0, 0.0, -2.0, 0.0]]).reshape(2, 1, 2, 2)
    found = norm(delta, p)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(expected, rel=2 * ULP)


@pytest.mark.parametrize("p", [1, 1.5, 2, 4])
def test_the_norm_of_small_values_does_not_underflow(p):
    assert norm(torch.full((1, 16), 1e-20), p).item() == pytest.approx(1e-20 * 16 ** (1 / p), rel=1e-6)


# ---- bad input


@pytest.mark.parametrize("p", [0.5, 0, -1, math.nan])
def test_a_power_below_one_is_an_error(p):
    w, x = sample(0, d=4)
    with pytest.raises(ValueError, match=f"^p is {p}, expected a number from 1 to inf$"):
        lmo(w, x, 0.5, p)


@pytest.mark.parametrize("p", [1.5, 4, 0.5])
def test_projecting_onto_a_ball_without_closed_form_is_an_error(p):
    v, x = sample(0, d=4)
    message = f"p is {p}, expected 1, 2 or inf (other lp-balls have no closed projection: use lmo)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        project(v, x, 0.5, p)


@pytest.mark.parametrize("solve", [lmo, project])
@pytest.mark.parametrize(("shape", "other"), [((3, 4), (3, 5)), ((3, 4), (2, 4)), ((3, 4), (3, 2, 2)), ((4,), (4,))])
def test_other_shapes_are_an_error(solve, shape, other):
    message = f"directions {shape} and images {other}: expected the same N×... twice"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        solve(torch.ones(shape), torch.ones(other), 0.5, 2)


@pytest.mark.parametrize("solve", [lmo, project])
@pytest.mark.parametrize(
    "eps",
    [-0.25, math.nan, INF, torch.tensor([0.5, -0.25, 0.5]), torch.tensor([0.5, 0.5]), torch.ones(6), torch.ones(0)],
    ids=str,
)
def test_a_bad_radius_is_an_error(solve, eps):
    w, x = sample(0, d=4)
    message = f"eps is {eps}, expected a finite number >= 0 in pixel units, or one per image"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        solve(w, x, eps, 2)


@pytest.mark.parametrize("solve", [lmo, project])
@pytest.mark.parametrize("value", [math.nan, INF, -INF])
def test_directions_that_are_not_finite_are_an_error(solve, value):
    w, x = sample(0, d=4)
    w[2, 3] = value
    with pytest.raises(ValueError, match="^the directions hold values that are not finite$"):
        solve(w, x, 0.5, 2)


@pytest.mark.parametrize("p", [1.1, 1.5, 2, 4])
def test_at_the_size_of_imagenet_the_radius_is_spent_to_a_hundred_thousandth(p):
    gen = torch.Generator().manual_seed(0)
    w, x = torch.randn(2, 150_528, generator=gen), torch.rand(2, 150_528, generator=gen)
    radius = length_of(room_of(w, x), p) / 3
    spent = length_of(lmo(w, x, radius.float(), p), p)
    assert torch.allclose(spent, radius, rtol=CLOSE, atol=0)
