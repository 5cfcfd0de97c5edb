import math
import re

import pytest
import torch
from scipy.optimize import brentq
from torch import nn

from aecompanion.attack.apgd import ascend
from aecompanion.attack.lp_ball import lmo, norm
from aecompanion.attack.objective import log_confidence, towards
from aecompanion.explain import counterfactual as module
from aecompanion.explain.counterfactual import METHODS, counterfactual, matched_radius, min_norm
from aecompanion.explain.frank_wolfe import SCHEDULES, auto_frank_wolfe

ULP = 2**-23
WEIGHTS = torch.tensor([30.0, -20.0, 10.0, -40.0])
LENGTH = {1: 40.0, 1.5: 100_000 ** (1 / 3), 2: 3000**0.5, math.inf: 100.0}  # of the weights in the dual norm of p
NORMED = [("AFW", 1.5), ("AFW", 2), ("FW", math.inf), ("AFW", 1), ("APGD", 1), ("APGD", 2), ("APGD", math.inf)]
PGD_TOO = [*NORMED, ("PGD", 2), ("PGD", math.inf)]
DIM = [-2.0, -1.0, 0.0, 1.5]  # the logits of `images` of `two_classes`


def logit(confidence):
    return math.log(confidence / (1 - confidence))


def confidence_of(model, images, target):
    return model(images).softmax(1).gather(1, target[:, None])[:, 0].detach()


def watch(model):
    """How many images the network is shown, one entry per forward pass."""
    shown = []
    model.register_forward_pre_hook(lambda module, args: shown.append(len(args[0])))
    return shown


def above(radius, largest, searches):
    """The least of the radii that halving can return that is not below this one."""
    grid = largest / 2**searches
    assert abs(radius / grid - round(radius / grid)) > 1e-3  # rounding does not decide
    return max(math.ceil(radius / grid), 1) * grid


@pytest.fixture
def two_classes():
    """Logits (0, w·x + b) of four pixels, 0 at a grey image."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    model[1].weight.data = torch.stack([torch.zeros(4), WEIGHTS])
    model[1].bias.data = torch.tensor([0.0, -0.5 * WEIGHTS.sum()])
    return model


@pytest.fixture
def steep(convolutional):
    """The convolutional network, surer of itself."""
    convolutional.fc.weight.data *= 5
    return convolutional


@pytest.fixture
def greys():
    """Nearly grey images whose logits of class 1 are `DIM`; no radius in the tests reaches the border of the box."""
    return (0.5 + torch.tensor(DIM)[:, None] * WEIGHTS / 3000).reshape(4, 1, 2, 2)


@pytest.fixture
def ones():
    return torch.ones(4, dtype=torch.long)


# ---- one call for every method


def allowed(method):
    return {"APGD": [1, 2, math.inf], "PGD": [2, math.inf]}.get(method, [1, 1.5, 2, math.inf])


RUNS = [(method, p) for method in METHODS for p in allowed(method)]
RADII = {1: 4.0, 1.5: 1.5, 2: 0.8, math.inf: 0.1}


def test_the_methods_are_the_schedules_of_frank_wolfe_and_two_with_projections():
    assert METHODS == ("AFW", "AFW (released)", "FW", "FW + momentum", "FW, constant step", "APGD", "PGD")


@pytest.mark.parametrize(("method", "p"), RUNS)
def test_every_method_raises_the_confidence_within_the_ball_and_the_box(steep, images, labels, method, p):
    images[0], images[1, 1, 4:] = images[0].round(), 1.0  # no room in one direction
    found = counterfactual(method, steep, images, labels, eps=RADII[p], p=p, steps=12)
    before, after = (confidence_of(steep, x, labels) for x in (images, found.images))
    assert (after > before + 0.03).all()
    assert norm(found.images - images, p).max() <= RADII[p] * (1 + 1e-5)
    assert norm(found.images - images, p)[2:].min() >= RADII[p] * 0.8  # where there is room
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert torch.allclose(found.value, after.log(), rtol=0, atol=1e-5)
    assert torch.equal(found.trace[-1], found.value)


@pytest.mark.parametrize("method", SCHEDULES)
def test_a_frank_wolfe_method_is_auto_frank_wolfe_with_its_schedule(steep, images, labels, method):
    options = {"eps": 1.5, "p": 1.5, "steps": 5, "seed": 3, "keys": [9, 8, 7, 6, 5], "objective": towards(2.0)}
    found = counterfactual(method, steep, images, labels, batch=2, **options)
    expected = auto_frank_wolfe(steep, images, labels, schedule=SCHEDULES[method], batch=2, **options)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.trace, expected.trace)


@pytest.mark.parametrize(("p", "name"), [(1, "l1"), (2, "l2"), (math.inf, "linf")])
def test_apgd_is_apgd_towards_the_target(steep, images, labels, p, name):
    options, names = {"eps": RADII[p], "steps": 5, "seed": 3, "batch": 2}, [9, 8, 7, 6, 5]
    found = counterfactual("APGD", steep, images, labels, p=p, keys=names, **options)
    expected = ascend(steep, images, labels, norm=name, objective=log_confidence, indices=names, **options)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.trace, expected.trace)


@pytest.mark.parametrize(("steps", "share"), [(1, 0.1), (3, 0.3), (15, 1.0)])
@pytest.mark.parametrize("p", [2, math.inf])
def test_pgd_goes_a_tenth_of_the_radius_at_a_time_from_the_image_to_the_edge(two_classes, greys, ones, p, steps, share):
    """Against the weights for class 0."""
    unit = (WEIGHTS.sign() if p == math.inf else WEIGHTS / LENGTH[2]).reshape(1, 2, 2)
    target = torch.tensor([1, 0, 1, 0])
    found = counterfactual("PGD", two_classes, greys, target, eps=0.02, p=p, steps=steps, batch=3)
    sign = torch.tensor([1, -1, 1, -1]).reshape(4, 1, 1, 1)
    assert torch.allclose(found.images, greys + share * 0.02 * sign * unit, rtol=0, atol=1e-6)
    reached = [s * (z + s * share * 0.02 * LENGTH[p]) for z, s in zip(DIM, [1, -1, 1, -1], strict=True)]
    assert found.value.tolist() == pytest.approx([-math.log1p(math.exp(-z)) for z in reached], abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_every_image_may_have_its_own_radius(steep, images, labels, method):
    radii = torch.tensor([0.125, 0.25, 0.5, 0.75, 1.0])
    found = counterfactual(method, steep, images, labels, eps=radii, p=2, steps=12)
    assert norm(found.images - images, 2).tolist() == pytest.approx(radii.tolist(), rel=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_the_result_does_not_depend_on_the_batch_size(steep, images, labels, method):
    network, images = steep.double(), images.double()
    options = {"eps": 0.8, "p": 2, "steps": 6, "seed": 4}
    expected = counterfactual(method, network, images, labels, **options)
    found = counterfactual(method, network, images, labels, batch=2, **options)
    assert torch.allclose(found.images, expected.images, rtol=0, atol=1e-9)
    assert torch.allclose(found.value, expected.value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_any_objective_will_do(two_classes, greys, ones, method):
    def darkness(logits, _):
        return -logits[:, 1]

    found = counterfactual(method, two_classes, greys, ones, eps=0.02, p=2, steps=30, objective=darkness)
    assert found.value.tolist() == pytest.approx([0.02 * LENGTH[2] - z for z in DIM], abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 7])  # the seventh is the last pass, after six steps
def test_the_model_is_returned_as_it_was_when_it_raises(steep, images, labels, condition, fail_on_call, method, n):
    fail_on_call(steep.train(), n).norm.eval()
    before = condition(steep)
    with pytest.raises(RuntimeError, match=f"^call {n}$"):
        counterfactual(method, steep, images, labels, eps=0.8, p=2, steps=6)
    assert condition(steep) == before


@pytest.mark.parametrize(
    ("method", "p"),
    [("afw", 1.5), ("", 2), ("APGD", 1.5), ("APGD", 4), ("PGD", 1), ("PGD", 1.5), ("PGD", math.nan), ("APGD", "l2")],
)
def test_a_method_that_is_unknown_or_cannot_do_this_p_is_an_error(steep, images, labels, method, p):
    known = "AFW, AFW (released), FW, FW + momentum, FW, constant step, APGD, PGD"
    message = f"'{method}' with p = {p} is unknown, expected one of {known} (APGD: p of 1, 2, inf; PGD: 2, inf)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        counterfactual(method, steep, images, labels, eps=0.5, p=p)


@pytest.mark.parametrize("method", METHODS)
def test_no_step_is_an_error_of_every_method(steep, images, labels, method):
    with pytest.raises(ValueError, match="^steps is 0, expected at least 1"):
        counterfactual(method, steep, images, labels, eps=0.5, p=2, steps=0)


# ---- the radius of every image


@pytest.mark.parametrize(("method", "p"), NORMED)
@pytest.mark.parametrize(("confidence", "temperature"), [(0.9, 1.0), (0.75, 2.0), (0.3, 1.0)])
def test_the_least_radius_is_the_distance_to_the_level_of_the_confidence(
    two_classes, greys, ones, method, p, confidence, temperature
):
    """w·x + b = T log(c / (1 - c)), at the distance (T log(c / (1 - c)) - w·x_0 - b) / ‖w‖_q with 1/p + 1/q = 1."""
    largest = 6 / LENGTH[p]
    options = {"confidence": confidence, "temperature": temperature, "method": method, "p": p}
    options["steps"] = 20 if (method, p) == ("APGD", 2) else 3
    found, radii = min_norm(two_classes, greys, ones, largest=largest, searches=9, **options)
    distance = [(temperature * logit(confidence) - z) / LENGTH[p] for z in DIM]
    assert radii.tolist() == pytest.approx([above(d, largest, 9) for d in distance], rel=1e-6)
    sizes = norm(found.images - greys, p)
    assert sizes.tolist() == pytest.approx(radii.tolist(), rel=1e-3)
    logits = [z + LENGTH[p] * radius for z, radius in zip(DIM, radii.tolist(), strict=True)]
    expected = [1 / (1 + math.exp(-z / temperature)) for z in logits]
    assert found.value.tolist() == pytest.approx(expected, abs=1e-5)
    reached = (two_classes(found.images) / temperature).softmax(1)[:, 1]
    assert reached.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("searches", [0, 1, 5, 10])
def test_every_halving_halves_what_is_not_known_and_costs_a_run(two_classes, greys, ones, searches):
    shown = watch(two_classes)
    found, radii = min_norm(
        two_classes, greys, ones, confidence=0.9, largest=0.125, searches=searches, p=2, steps=3, batch=4
    )
    distance = [max((logit(0.9) - z) / LENGTH[2], 0) for z in DIM]
    assert all(d <= r <= d + 0.125 / 2**searches for d, r in zip(distance, radii.tolist(), strict=True))
    assert len(shown) == (searches + 1) * 4
    assert (found.value >= 0.9).all()


def test_a_radius_is_infinite_where_the_largest_does_not_suffice_and_the_image_is_then_the_most_confident(
    two_classes, greys, ones
):
    """From logits of -2 and -1 a radius of .05 leads up to .74 and 1.74, that of .9 is 2.2."""
    found, radii = min_norm(two_classes, greys, ones, confidence=0.9, largest=0.05, p=2, steps=4)
    assert torch.isinf(radii).tolist() == [True, True, False, False]
    most = [1 / (1 + math.exp(-z - 0.05 * LENGTH[2])) for z in DIM[:2]]
    assert found.value[:2].tolist() == pytest.approx(most, abs=1e-5)
    assert norm(found.images - greys, 2)[:2].tolist() == pytest.approx([0.05, 0.05], abs=1e-5)
    assert (found.value[:2] < 0.9).all()
    assert (found.value[2:] >= 0.9).all()


@pytest.mark.parametrize(("method", "p"), [("AFW", 1.5), ("AFW", 1), ("FW", 2), ("APGD", 2)])
def test_the_returned_images_have_the_confidence_within_their_radius(steep, images, labels, method, p):
    shared, largest = {"method": method, "p": p, "steps": 12}, 8 * RADII[p]
    found, radii = min_norm(steep, images, labels, confidence=0.85, largest=largest, searches=6, **shared)
    assert torch.isfinite(radii).all()
    reached = confidence_of(steep, found.images, labels)
    assert torch.allclose(reached, found.value, rtol=0, atol=1e-5)
    assert (reached >= 0.85 - 1e-6).all()
    assert (norm(found.images - images, p) <= radii * (1 + 1e-5)).all()
    assert torch.allclose(found.trace[-1], found.value)
    assert len(radii.unique()) >= 3  # an image's own
    smaller = counterfactual(model=steep, images=images, target=labels, eps=radii - largest / 2**6, **shared)
    assert (smaller.value.exp() < 0.85).all()


def test_the_least_radius_grows_with_the_confidence(steep, images, labels):
    options = {"largest": 10.0, "searches": 6, "steps": 6}
    radii = torch.stack([min_norm(steep, images, labels, confidence=c, **options)[1] for c in (0.82, 0.86, 0.9)])
    assert torch.isfinite(radii).all()
    assert (radii.diff(dim=0) > 0).all()


def test_the_search_of_an_image_does_not_depend_on_the_others(steep, images, labels):
    network, images = steep.double(), images.double()
    options = {"confidence": 0.85, "largest": 10.0, "searches": 4, "steps": 4, "seed": 2}
    together, radii = min_norm(network, images, labels, **options)
    for i in range(5):
        alone, radius = min_norm(network, images[i : i + 1], labels[i : i + 1], keys=[i], **options)
        assert radius[0] == radii[i]
        assert torch.allclose(alone.images[0], together.images[i], rtol=0, atol=1e-9)


# ---- one radius for all


def mean_confidence(radius, length, temperature=1.0):
    return sum(1 / (1 + math.exp(-(z + length * radius) / temperature)) for z in DIM) / len(DIM)


@pytest.mark.parametrize(("method", "p"), PGD_TOO)
@pytest.mark.parametrize(("confidence", "temperature"), [(0.9, 1.0), (0.7, 2.0)])
def test_the_matched_radius_is_the_root_of_the_mean_confidence(
    two_classes, greys, ones, method, p, confidence, temperature
):
    largest = 6 / LENGTH[p]
    options = {"confidence": confidence, "temperature": temperature, "method": method, "p": p, "steps": 12}
    found = matched_radius(two_classes, greys, ones, largest=largest, tolerance=1e-4, searches=20, **options)
    root = brentq(lambda r: mean_confidence(r, LENGTH[p], temperature) - confidence, 0, largest)
    assert found == pytest.approx(root, rel=2e-3)


@pytest.mark.parametrize("searches", [1, 2, 3])
def test_the_matched_radius_takes_no_more_runs_than_asked_for(two_classes, greys, ones, searches):
    shown = watch(two_classes)
    options = {"confidence": 0.9, "largest": 1.0, "tolerance": 1e-9, "searches": searches, "p": 2, "steps": 3}
    matched_radius(two_classes, greys, ones, **options)
    assert len(shown) == 1 + (searches + 1) * 4  # the images, the largest radius, every search


def test_the_matched_radius_takes_fewer_runs_than_halving(two_classes, greys, ones):
    shown = watch(two_classes)
    options = {"confidence": 0.9, "largest": 0.25, "p": 2, "steps": 3}
    found = matched_radius(two_classes, greys, ones, **options)
    assert abs(mean_confidence(found, LENGTH[2]) - 0.9) <= 0.006
    assert len(shown) <= 1 + 6 * 4


def test_at_the_matched_radius_the_images_have_the_confidence_on_average(steep, images, labels):
    options = {"confidence": 0.6, "largest": 8.0, "tolerance": 0.01, "searches": 20, "steps": 10}
    radius = matched_radius(steep, images, labels, **options)
    found = counterfactual("AFW", steep, images, labels, eps=radius, steps=10)
    assert confidence_of(steep, found.images, labels).mean().item() == pytest.approx(0.6, abs=0.0101)


def test_images_that_convince_as_they_are_need_no_radius(two_classes, greys, ones):
    options = {"largest": 1.0, "p": 2, "steps": 3}
    least = mean_confidence(0, LENGTH[2])
    assert matched_radius(two_classes, greys, ones, confidence=least - 1e-4, **options) == 0
    assert matched_radius(two_classes, greys, ones, confidence=least + 0.05, **options) > 0


def test_the_matched_radius_grows_with_the_confidence(steep, images, labels):
    options = {"largest": 10.0, "searches": 6, "steps": 6}
    low, middle, high = (matched_radius(steep, images, labels, confidence=c, **options) for c in (0.4, 0.6, 0.8))
    assert 0 < low < middle < high < math.inf


def test_the_matched_radius_is_infinite_where_the_largest_does_not_suffice(two_classes, greys, ones):
    most = mean_confidence(0.05, LENGTH[2])
    options = {"largest": 0.05, "p": 2, "steps": 4}
    assert matched_radius(two_classes, greys, ones, confidence=most + 1e-4, **options) == math.inf
    found = matched_radius(two_classes, greys, ones, confidence=most - 1e-4, tolerance=1e-6, searches=30, **options)
    assert found == pytest.approx(0.05, rel=1e-2)


# ---- bad input


@pytest.mark.parametrize("search", [min_norm, matched_radius])
@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"confidence": 0.0}, "confidence 0.0, largest 1.0"),
        ({"confidence": 1.0}, "confidence 1.0, largest 1.0"),
        ({"confidence": -0.5}, "confidence -0.5, largest 1.0"),
        ({"confidence": math.nan}, "confidence nan, largest 1.0"),
        ({"largest": 0.0}, "confidence 0.9, largest 0.0"),
        ({"largest": -1.0}, "confidence 0.9, largest -1.0"),
        ({"largest": math.nan}, "confidence 0.9, largest nan"),
    ],
)
def test_a_bad_search_is_an_error_that_names_it(two_classes, greys, ones, search, changed, shown):
    message = f"^{re.escape(shown)}: {re.escape('expected (0, 1) and a positive radius')}$"
    with pytest.raises(ValueError, match=message):
        search(two_classes, greys, ones, **({"confidence": 0.9, "largest": 1.0} | changed))


@pytest.mark.parametrize("search", [min_norm, matched_radius])
def test_a_search_by_an_unknown_method_is_an_error(two_classes, greys, ones, search):
    with pytest.raises(ValueError, match="^'afw' with p = 1.5 is unknown"):
        search(two_classes, greys, ones, confidence=0.9, largest=1.0, method="afw")


def test_the_oracle_is_offered_here_too():
    assert module.lmo is lmo


@pytest.mark.parametrize("p", [2, math.inf])
def test_pgd_returns_its_best_point_not_its_last(two_classes, greys, ones, p):
    """Logits rise by a tenth of the radius times the dual length per step; the peak lies 2.6 steps up, so that the
    walk ends by going to and fro between the second and the third point."""
    rise = 0.02 * LENGTH[p] / 10

    def peak(logits, _):
        return -(logits[:, 1] - torch.tensor(DIM) - 2.6 * rise).square()

    for steps in (3, 4, 5):
        found = counterfactual("PGD", two_classes, greys, ones, eps=0.02, p=p, steps=steps, objective=peak)
        assert found.value.tolist() == pytest.approx([-((0.4 * rise) ** 2)] * 4, rel=0.01)
        assert found.trace.shape == (steps + 1, 4)
        assert norm(found.images - greys, p).tolist() == pytest.approx([0.3 * 0.02] * 4, rel=1e-3)
