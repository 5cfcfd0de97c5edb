import pytest
import torch
from torch import nn

from aecompanion.attack import crafted
from aecompanion.attack.detector_aware import evade, is_fooled, without
from aecompanion.attack.objective import binary_cross_entropy
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator

EPS = 8 / 255


class Plane(nn.Module):
    """Two logits of two pixels: z = scale · (x_1 - 1/2, x_2 - 1/2)."""

    def __init__(self, scale=10.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, images):
        return self.scale * (images.flatten(1) - 0.5)


POINT = torch.tensor([[[[123 / 255, 123 / 255]]]])  # no decision is positive, either changes within 5 grey levels
NONE = torch.zeros(1, 2, dtype=torch.long)


def pixel(number):
    return lambda images: images.flatten(1)[:, number]


@pytest.mark.parametrize("watched", [0, 1])
def test_the_attack_takes_the_way_that_nobody_watches(watched):
    found = evade(Plane(), POINT, NONE, score=pixel(watched), eps=EPS, steps=12)
    assert is_fooled(Plane()(found), NONE).all()
    assert found.flatten()[watched] <= POINT.flatten()[watched]
    assert found.flatten()[1 - watched] > 0.5


def test_from_a_start_that_gives_itself_away_it_walks_back():
    start = POINT + EPS
    found = evade(Plane(), POINT, NONE, score=pixel(0), eps=EPS, steps=12, starts=[start])
    assert is_fooled(Plane()(found), NONE).all()
    assert found.flatten()[0] <= POINT.flatten()[0] < start.flatten()[0]


def test_where_every_way_is_watched_the_best_start_is_kept():
    """The score is the larger pixel: no fooled point is below 1/2."""
    start = POINT + EPS
    found = evade(Plane(), POINT, NONE, score=lambda x: x.flatten(1).amax(1), eps=EPS, steps=12, starts=[start])
    assert is_fooled(Plane()(found), NONE).all()
    assert 0.5 < found.max() < start.max()


def test_what_cannot_be_fooled_comes_back_with_the_largest_loss():
    found = evade(Plane(), POINT, NONE, score=pixel(0), eps=1 / 255, steps=4)
    assert not is_fooled(Plane()(found), NONE).any()
    assert binary_cross_entropy(Plane()(found), NONE) > binary_cross_entropy(Plane()(POINT), NONE)


def test_the_answer_is_a_file_within_the_ball_and_at_least_as_good_as_its_start():
    model = create("compact/gap", classes=4, channels=1, size=48, seed=1).eval()
    images = (torch.rand(5, 1, 48, 48, generator=generator(4, 1)) * 255).round() / 255
    with torch.no_grad():
        decisions = (model(images) > 0).long()
    plain = crafted.craft(model, images, decisions, attack="pgd", eps=EPS, steps=3, objective=binary_cross_entropy)

    def score(x):
        return model(x.clone()).sigmoid().sum(1)

    found = evade(model, images, decisions, score=score, eps=EPS, steps=6, starts=[plain])
    assert torch.allclose(found * 255, (found * 255).round(), atol=1e-3)
    assert ((found - images).abs() <= EPS + 1e-6).all()
    with torch.no_grad():
        before, after = is_fooled(model(plain), decisions), is_fooled(model(found), decisions)
        assert (after >= before).all()
        over = [(score(each) - score(images)).clamp_min(0) for each in (plain, found)]
    assert (over[1][before] <= over[0][before] + 1e-5).all()
    assert over[1].sum() < over[0].sum()


def test_a_start_outside_the_ball_is_an_error():
    with pytest.raises(ValueError, match="a start lies outside the ball"):
        evade(Plane(), POINT, NONE, score=pixel(0), eps=1 / 255, starts=[POINT + 3 / 255])


def test_without_leaves_what_is_orthogonal():
    gradient, other = torch.randn(2, 3, 1, 4, 4, generator=generator(4, 2)).unbind()
    left = without(gradient, other)
    assert torch.allclose((left * other).flatten(1).sum(1), torch.zeros(3), atol=1e-4)
    assert torch.equal(without(gradient, torch.zeros_like(other)), gradient)
