import pytest
import torch
from torch import nn

from aecompanion.attack.adaptive import Defended, Expected, Together
from aecompanion.attack.gradient import quantise
from aecompanion.attack.margin import margins
from aecompanion.defend.defences import unchanged
from aecompanion.defend.halftone import halftone
from aecompanion.defend.levels import Levels
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies.worst_defences import TOPS, Case, attacked, portfolio, rows

IMAGES = quantise(0.2 + 0.6 * torch.rand(6, 1, 8, 8, generator=generator(4, 1)))
LABELS = torch.arange(6)


def network(seed):
    with seeded(seed, 1):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8)).eval()


@pytest.fixture(params=["none", "halftone", "random"])
def case(request):
    transform = {"none": unchanged, "halftone": halftone, "random": halftone}[request.param]
    draw = (lambda images, k: halftone(images, threshold=0.4 + 0.1 * (k % 3))) if request.param == "random" else None
    return Case(network(1), network(2), transform, draw)


def test_rows_are_what_the_real_defence_says_of_the_images_found(case):
    found = attacked(case, IMAGES, LABELS, eps=[4 / 255, 32 / 255], steps=3, queries=4, seed=0)
    table = rows(found, case.network, case.transform, LABELS)
    assert table["level"].tolist() == [4] * 6 + [32] * 6
    assert table["image"].tolist() == [*range(6), *range(6)]
    for e, level in enumerate((4, 32)):
        part = table[table["level"] == level]
        for t, k in enumerate(TOPS):
            with torch.no_grad():
                left = margins(case.network(case.transform(found.images[e, t])), LABELS, [k])[:, 0] > 0
            assert part[f"top{k}"].tolist() == (~left).tolist()
            if case.draw is None:
                assert torch.equal(left, found.broken(found.eps[e], k))
    assert (table["passes1"] <= table["passes5"]).all()


def test_the_views_are_the_real_network_with_its_own_gradient_added(case):
    view = case.mixed(case.network)
    kind = {0: Defended, 1: Together}[int(case.transform is not unchanged)]
    assert isinstance(view, kind)
    if case.draw is not None:
        assert isinstance(view.views[0], Expected)
    elif kind is Together:
        assert torch.equal(view(IMAGES)[:6], case.network(halftone(IMAGES)))
        assert torch.equal(view(IMAGES)[6:], case.network(IMAGES))


def test_a_transformation_may_bring_its_surrogate():
    blurred = Case(network(1), network(2), Levels(4, sigma=1.0))
    assert blurred.real(blurred.network).surrogate == blurred.transform.surrogate


def test_gradients_come_before_transfer_and_search():
    kinds = [attack.kind for attack in portfolio(Case(network(1), network(2)), steps=4, queries=2)]
    assert kinds == ["gradient"] * 6 + ["transfer", "search", "refinement"]
