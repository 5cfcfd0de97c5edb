import pytest
import torch
from scipy import stats
from torch import nn

from aecompanion.defend.smoothing import bound, certify, within_linf


@pytest.fixture
def bright():
    """Class 1 where the mean of 16 pixels is above .5: distance to the boundary |mean - .5| · 4 in l2."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    model[1].weight.data = torch.stack([torch.zeros(16), torch.ones(16) / 16])
    model[1].bias.data = torch.tensor([0.0, -0.5])
    return model


def flat(*values):
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()


def test_the_radius_of_a_linear_classifier_is_at_most_its_distance_and_near_it(bright):
    classes, radii = certify(bright, flat(0.55, 0.45, 0.53), sigma=0.2, draws=4000)
    assert classes.tolist() == [1, 0, 1]
    exact = torch.tensor([0.2, 0.2, 0.12])  # the vote of a linear classifier has the classifier's own boundary
    assert (radii < exact).all()
    assert radii[:2].tolist() == pytest.approx([0.2, 0.2], abs=0.03)


def test_on_the_boundary_it_abstains(bright):
    assert certify(bright, flat(0.5), sigma=0.2)[1].item() == 0


def test_the_bound_by_hand():
    assert bound(10, 10, 0.05) == pytest.approx(0.05**0.1)  # p^n = α
    assert bound(0, 10, 0.05) == 0
    assert bound(7, 10, 0.05) == pytest.approx(stats.binomtest(7, 10).proportion_ci(0.90, "exact").low)


def test_no_radius_is_larger_than_the_draws_allow(bright):
    radius = certify(bright, flat(1.0), sigma=0.1, draws=50, alpha=0.01)[1].item()
    assert radius == pytest.approx(0.1 * stats.norm.ppf(0.01 ** (1 / 50)))


def test_the_linf_ball_inside(bright):
    assert within_linf(torch.tensor([0.4]), flat(0.1)).item() == pytest.approx(0.1)


@pytest.mark.parametrize("change", [{"sigma": 0}, {"draws": 0}, {"alpha": 1}])
def test_bad_inputs_are_refused(bright, change):
    with pytest.raises(ValueError, match="expected σ > 0"):
        certify(bright, flat(0.1), **{"sigma": 0.1} | change)
