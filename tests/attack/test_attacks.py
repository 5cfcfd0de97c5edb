"""What holds of every attack of the table."""

import inspect
import warnings

import pytest
import torch
from torch import nn

from aecompanion.attack import adaptive, attacks
from aecompanion.attack.apgd import ascend
from aecompanion.attack.attacks import ATTACKS, crafted_names
from aecompanion.attack.gradient import gradient_signs, perturb
from aecompanion.explain.frank_wolfe import auto_frank_wolfe

EPS = 0.05
SHORT = {"ifgsm": {"steps": 3}, "pgd": {"steps": 3}, "apgd": {"steps": 4}, "cw": {"steps": 5, "searches": 2}}
every_attack = pytest.mark.parametrize("name", ATTACKS)
in_a_ball = pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if not attack.minimal])


def run(name, model, images, labels, *, eps=EPS, **options):
    return ATTACKS[name].function(model, images, labels, eps=eps, **SHORT.get(name, {}) | options)


def through(transform):
    """The attacks that know a defence, in the form of the others."""
    return {
        "bpda": lambda *given, **options: adaptive.bpda(*given, transform=transform, **options),
        "eot": lambda *given, **options: adaptive.eot(
            *given, transform=lambda images, draw: transform(images), draws=2, **options
        ),
    }


# ---- the table


def test_colours_and_markers_are_distinct_and_titles_too():
    for field in ("title", "colour", "marker"):
        assert len({getattr(attack, field) for attack in ATTACKS.values()}) == len(ATTACKS)


def test_sets_are_crafted_with_the_three_attacks_of_paper_4():
    assert crafted_names() == ["fgsm", "ifgsm", "pgd"]


def test_what_is_no_attack_is_its_own_title():
    assert [attacks.title_of(name) for name in ("pgd", "clean", "mine")] == ["PGD", "clean", "mine"]


@every_attack
def test_every_attack_has_the_same_first_arguments(name):
    parameters = inspect.signature(ATTACKS[name].function).parameters
    assert list(parameters)[:3] == ["model", "images", "labels"]
    assert parameters["eps"].kind is inspect.Parameter.KEYWORD_ONLY


@every_attack
def test_the_cost_is_what_the_attack_takes_at_most(network, images, labels, name):
    calls = {"forward": 0, "backward": 0}

    class Counted(nn.Module):
        def forward(self, given):
            calls["forward"] += 1
            if given.requires_grad:
                given.register_hook(lambda gradient: calls.__setitem__("backward", calls["backward"] + 1))
            return network(given)

    run(name, Counted(), images, labels)
    cost = ATTACKS[name].cost(**SHORT.get(name, {}))
    if ATTACKS[name].minimal:  # a search without progress ends early
        assert 0 < calls["forward"] <= cost[0]
        assert 0 < calls["backward"] <= cost[1]
    else:
        assert tuple(calls.values()) == cost


# ---- the answer


@every_attack
def test_the_answer_is_a_tensor_like_the_images_in_range(network, images, labels, name):
    kept = images.clone()
    found = run(name, network, images, labels)
    assert isinstance(found, torch.Tensor)
    assert (found.shape, found.dtype, found.device) == (images.shape, images.dtype, images.device)
    assert not found.requires_grad
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(images, kept)


@in_a_ball
@pytest.mark.parametrize("kind", [list, tuple])
def test_several_eps_give_one_answer_each_in_order(network, images, labels, name, kind):
    levels = kind([0.1, 0.02, 0.05])
    found = run(name, network, images, labels, eps=levels)
    assert isinstance(found, list)
    for eps, attacked in zip(levels, found, strict=True):
        assert torch.equal(attacked, run(name, network, images, labels, eps=eps))


@pytest.mark.parametrize("name", ["bpda", "eot"])
def test_attacks_that_know_a_defence_take_several_eps_as_well(linear, images, labels, name):
    attack = through(lambda images: images)[name]
    found = attack(linear, images, labels, eps=[0.1, 0.02], steps=2)
    assert torch.equal(found[1], attack(linear, images, labels, eps=0.02, steps=2))
    assert len(found) == 2


def test_carlini_wagner_keeps_the_changes_that_are_short_enough(linear, images, labels):
    found = run("cw", linear, images, labels, eps=None)
    lengths = (found - images).flatten(1).norm(dim=1)
    middle = lengths.median().item()
    short = run("cw", linear, images, labels, eps=middle)
    within = lengths <= middle
    assert 0 < within.sum() < len(images)
    assert torch.equal(short[within], found[within])
    assert torch.equal(short[~within], images[~within])


# ---- eps that cannot be meant

IN_GREY_LEVELS = r"^eps is 8, expected at most 1 in pixel units for linf \(divide grey levels by 255\)$"


@in_a_ball
def test_an_eps_in_grey_levels_is_refused(network, images, labels, name):
    with pytest.raises(ValueError, match=IN_GREY_LEVELS):
        run(name, network, images, labels, eps=8)
    with pytest.raises(ValueError, match=IN_GREY_LEVELS):
        run(name, network, images, labels, eps=[0.1, 8])


@pytest.mark.parametrize("name", ["bpda", "eot"])
def test_attacks_that_know_a_defence_refuse_it_as_well(linear, images, labels, name):
    with pytest.raises(ValueError, match=IN_GREY_LEVELS):
        through(lambda images: images)[name](linear, images, labels, eps=8, steps=2)


def test_stored_signs_are_not_scaled_by_grey_levels(images):
    signs = torch.ones_like(images, dtype=torch.int8)
    with pytest.raises(ValueError, match=IN_GREY_LEVELS):
        perturb(images, signs, 8)
    assert torch.equal(perturb(images, signs, 1), torch.ones_like(images))


def test_one_radius_of_many_in_grey_levels_is_refused(network, images, labels):
    radii = torch.tensor([0.1, 0.1, 0.1, 0.1, 8.0])
    with pytest.raises(ValueError, match="at most 1 in pixel units for linf"):
        ascend(network, images, labels, norm="linf", eps=radii, steps=2)
    with pytest.raises(ValueError, match="at most 1 in pixel units for linf"):
        auto_frank_wolfe(network, images, labels, eps=radii, p=torch.inf, steps=2)


@pytest.mark.parametrize("name", ["fgsm", "ifgsm", "pgd", "apgd"])
def test_an_l2_radius_may_be_longer_than_1(network, images, labels, name):
    moved = run(name, network, images, labels, eps=2.0, norm="l2") - images
    assert moved.flatten(1).norm(dim=1).max() > 1


# ---- gradients that are not finite


class Rooted(nn.Module):
    """Adds the root of 0 times some pixels: its gradient is infinity times 0, which is NaN, for the images `which`."""

    def __init__(self, network, pixels, which):
        super().__init__()
        self.network, self.pixels, self.which = network, pixels, which

    def forward(self, images):
        zero = (images[self.which][:, :, : self.pixels] * 0).flatten(1).sum(1)
        roots = torch.zeros(len(images), dtype=images.dtype).index_put((self.which,), zero.sqrt())
        return self.network(images) + roots[:, None]


SOME = torch.tensor([True, False, True, False, False])


def warned(call):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = call()
    return found, [str(each.message) for each in said]


@every_attack
@pytest.mark.parametrize("pixels", [2, 8], ids=["some values", "all values"])
def test_gradients_that_are_not_finite_leave_no_nan_and_are_warned_of(linear, images, labels, name, pixels):
    eps = None if ATTACKS[name].minimal else EPS
    found, said = warned(lambda: run(name, Rooted(linear, pixels, SOME), images, labels, eps=eps))
    assert said == ["2 of 5 images have a gradient that is not finite: their robustness is no evidence"]
    assert not found.isnan().any()
    expected = run(name, linear, images, labels, eps=eps)
    assert torch.equal(found[~SOME], expected[~SOME])
    if pixels == 2 and eps:  # the other values have moved
        assert (found[SOME] != images[SOME])[:, :, 2:].any()


@pytest.mark.parametrize("name", ["fgsm", "ifgsm", "pgd", "apgd"])
def test_in_l2_as_well(linear, images, labels, name):
    found, said = warned(lambda: run(name, Rooted(linear, 2, SOME), images, labels, norm="l2"))
    assert len(said) == 1
    assert not found.isnan().any()


@pytest.mark.parametrize("name", ["bpda", "eot"])
def test_attacks_that_know_a_defence_warn_as_well(linear, images, labels, name):
    attack = through(lambda images: images)[name]
    found, said = warned(lambda: attack(Rooted(linear, 2, SOME), images, labels, eps=EPS, steps=2))
    assert said == ["2 of 5 images have a gradient that is not finite: their robustness is no evidence"]
    assert not found.isnan().any()


def test_stored_signs_are_0_there(linear, images, labels):
    found, said = warned(lambda: gradient_signs(Rooted(linear, 2, SOME), images, labels))
    assert len(said) == 1
    assert not found[SOME][:, :, :2].any()
    assert torch.equal(found[~SOME], gradient_signs(linear, images, labels)[~SOME])


@pytest.mark.parametrize("restarts", [1, 2])
def test_frank_wolfe_counts_an_image_once(linear, images, labels, restarts):
    options = {"eps": 1.0, "steps": 3, "restarts": restarts}
    found, said = warned(lambda: auto_frank_wolfe(Rooted(linear, 2, SOME), images, labels, **options))
    assert said == ["2 of 5 images have a gradient that is not finite: their robustness is no evidence"]
    assert not found.images.isnan().any()


# ---- networks that write into their input


class InPlace(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images.sub_(0.5).div_(0.25))


class OutOfPlace(InPlace):
    def forward(self, images):
        return self.network((images - 0.5) / 0.25)


@every_attack
def test_a_network_that_writes_into_its_input_is_attacked_as_any_other(network, images, labels, name):
    kept = images.clone()
    found = run(name, InPlace(network), images, labels)
    assert torch.equal(images, kept)
    assert torch.equal(found, run(name, OutOfPlace(network), images, labels))


@pytest.mark.parametrize("name", ["bpda", "eot"])
def test_behind_a_defence_as_well(network, images, labels, name):
    attack, kept = through(lambda images: images.round())[name], images.clone()
    found = attack(InPlace(network), images, labels, eps=EPS, steps=2)
    assert torch.equal(images, kept)
    assert torch.equal(found, attack(OutOfPlace(network), images, labels, eps=EPS, steps=2))


def test_frank_wolfe_as_well(network, images, labels):
    options = {"eps": 1.0, "steps": 3}
    found, expected = (
        auto_frank_wolfe(kind(network), images, labels, **options).images for kind in (InPlace, OutOfPlace)
    )
    assert torch.equal(found, expected)
