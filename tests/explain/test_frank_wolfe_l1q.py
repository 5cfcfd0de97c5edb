import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from aecompanion.attack.lp_ball import lmo, norm
from aecompanion.explain.frank_wolfe import CLASSIC, auto_frank_wolfe
from aecompanion.explain.frank_wolfe_l1q import frank_wolfe_l1q, lmo_l1q
from aecompanion.pipeline.rng import generator, seeded


class Pixels(nn.Module):
    """Logits that are the pixels."""

    def forward(self, images):
        return images.flatten(1)


def problem(number: int, size: int = 5):
    """A direction and an image of `size` values; some of them lie at the box."""
    gen = generator(71, number)
    x = torch.rand(1, size, generator=gen)
    x[0, number % size] = float(number % 2)
    return torch.randn(1, size, generator=gen), x


@pytest.mark.parametrize("q", [1, 2, 3])
@pytest.mark.parametrize("eps", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("number", range(6))
def test_the_oracle_is_the_linear_programme_over_ball_cap_and_box(number, eps, q):
    w, x = problem(number)
    given, at = w[0].double().numpy(), x[0].double().numpy()
    bounds = [(0, min(eps / q, 1 - each)) for each in at] + [(0, min(eps / q, each)) for each in at]  # δ = u - v
    best = -linprog(-np.r_[given, -given], A_ub=np.ones((1, 10)), b_ub=[eps], bounds=bounds).fun
    found = lmo_l1q(w, x, eps, q)
    assert float((w * found).sum()) == pytest.approx(best, abs=1e-5)
    assert norm(found, 1).item() <= eps * (1 + 1e-5)
    assert found.abs().max() <= eps / q + 1e-6
    assert ((x + found) >= -1e-6).all()
    assert ((x + found) <= 1 + 1e-6).all()


@pytest.mark.parametrize("q", [1, 2, 3])
def test_without_a_box_in_the_way_the_vertex_is_the_best_of_all_choices_of_q_signed_values(q):
    w, eps = problem(3)[0], 0.2
    x = torch.full_like(w, 0.5)
    vertices = []
    for places in itertools.combinations(range(5), q):
        for signs in itertools.product((-1.0, 1.0), repeat=q):
            vertex = torch.zeros(5)
            vertex[list(places)] = torch.tensor(signs) * eps / q
            vertices.append(vertex)
    best = max(vertices, key=lambda vertex: float((w[0] * vertex).sum()))
    torch.testing.assert_close(lmo_l1q(w, x, eps, q)[0], best)


def test_where_the_box_stops_a_value_the_next_one_takes_what_is_left():
    w, x = torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.tensor([[0.9, 0.5, 0.5, 0.5]])
    torch.testing.assert_close(lmo_l1q(w, x, 0.6, 2), torch.tensor([[0.1, 0.3, 0.2, 0.0]]))


def test_q_of_one_is_the_oracle_of_the_l1_ball():
    w, x = problem(4)
    torch.testing.assert_close(lmo_l1q(w, x, 1.7, 1), lmo(w, x, 1.7, 1))


def test_every_image_has_its_own_radius():
    w, x = problem(5)
    both = lmo_l1q(w.repeat(2, 1), x.repeat(2, 1), torch.tensor([0.4, 1.0]), 2)
    for row, eps in zip(both, (0.4, 1.0), strict=True):
        torch.testing.assert_close(row, lmo_l1q(w, x, eps, 2)[0])


@pytest.mark.parametrize("q", [0, -1])
def test_q_is_at_least_one(q):
    with pytest.raises(ValueError, match=f"q is {q}, expected at least 1"):
        lmo_l1q(*problem(0), 1.0, q)


@pytest.fixture
def network():
    with seeded(71, 9):
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16), nn.ReLU(), nn.Linear(16, 4))


@pytest.fixture
def images():
    return 0.2 + 0.6 * torch.rand(3, 3, 8, 8, generator=generator(71, 10))


TARGET = torch.tensor([2, 0, 1])


def test_with_q_of_one_the_walk_is_the_plain_rule_on_the_l1_ball(network, images):
    options = {"eps": 6.0, "steps": 12, "keys": [5, 1, 9]}
    found = frank_wolfe_l1q(network, images, TARGET, q=1, **options)
    same = auto_frank_wolfe(network, images, TARGET, p=1.0, schedule=CLASSIC, **options)
    torch.testing.assert_close(found.images, same.images)
    torch.testing.assert_close(found.trace, same.trace)


def test_points_stay_in_ball_cap_and_box_and_the_best_is_returned(network, images):
    eps, q = 6.0, 24
    found = frank_wolfe_l1q(network, images, TARGET, eps=eps, q=q, steps=15)
    delta = found.images - images
    assert (norm(delta, 1) <= eps * (1 + 1e-5)).all()
    assert delta.abs().max() <= eps / q + 1e-6
    assert torch.equal(found.value, found.trace.amax(0))
    reached = network(found.images).log_softmax(1).gather(1, TARGET[:, None])[:, 0]
    torch.testing.assert_close(found.value, reached.detach())


def test_a_linear_objective_is_solved_by_the_vertex():
    images = torch.full((1, 1, 2, 2), 0.5)
    options = {"eps": 0.4, "q": 1, "steps": 60, "objective": lambda z, y: z.gather(1, y[:, None])[:, 0]}
    found = frank_wolfe_l1q(Pixels(), images, torch.tensor([1]), **options)
    torch.testing.assert_close(found.images, torch.tensor([[[[0.5, 0.9], [0.5, 0.5]]]]), atol=0.03, rtol=0)


def test_batches_do_not_change_the_answer(network, images):
    one, all_at_once = (
        frank_wolfe_l1q(network, images, TARGET, eps=4.0, q=4, steps=8, batch=batch).images for batch in (1, 64)
    )
    torch.testing.assert_close(one, all_at_once)
