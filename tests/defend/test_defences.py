import dataclasses
import functools

import nbformat
import pytest
import torch
from torch import nn

from aecompanion.defend.defences import KINDS, Defence, LowPassed, Restored, catalogue, transforms, unchanged
from aecompanion.defend.halftone import METHODS, halftone
from aecompanion.defend.inverse import InverseHalftone, low_pass
from aecompanion.defend.transforms import bit_depth, jpeg, median, total_variation
from aecompanion.papers.halftone import tables as halftone_tables
from aecompanion.pipeline.paths import ROOT
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.report import claims

NETWORKS = {"grey", "halftone", "hybrid", "hybrid_updates", "tv"}
NETWORKS |= {"grey_twice", "grey_shifts", "grey_noise", "halftone_shifts", "adversarial"}
CNN = "CNN inverse, grey network"


def trained():
    """An inverse network whose last layer is not zero any more."""
    with seeded(10, 1):
        network = InverseHalftone(width=4)
        nn.init.normal_(network.residual[-1].weight, std=0.1)
    return network.eval()


ALL = catalogue(transforms(), inverse=trained())
BY_NAME = {defence.name: defence for defence in ALL}
every_defence = pytest.mark.parametrize("defence", ALL, ids=lambda defence: defence.name)


@pytest.fixture(params=[1, 3], ids=["grey", "rgb"])
def pictures(request):
    """Images that are neither flat nor on a coarse grid of values."""
    ramp = torch.linspace(0, 0.7, 24)
    return ramp + 0.3 * torch.rand(2, request.param, 20, 24, generator=generator(10, 2))


# ---- the catalogue


@pytest.mark.parametrize("dots", METHODS)
def test_no_two_defences_have_the_same_name(dots):
    names = [defence.name for defence in catalogue(transforms(dots=dots), inverse=trained())]
    assert len(set(names)) == len(names)


def test_kinds_and_networks_are_the_known_ones_and_none_is_unused():
    assert {defence.kind for defence in ALL} == set(KINDS)
    assert {defence.network for defence in ALL} == NETWORKS


@pytest.mark.parametrize(
    ("kind", "networks"),
    [("none", {"grey"}), ("baseline", {"grey"}), ("inverse", {"grey"}), ("dither", {"hybrid"})],
)
def test_a_kind_stands_before_its_networks(kind, networks):
    assert {defence.network for defence in ALL if defence.kind == kind} == networks


def test_what_is_retrained_was_trained_on_its_own_transformation():
    retrained = [defence for defence in ALL if defence.kind == "retrained"]
    assert [defence.network for defence in retrained] == ["tv"]
    for defence in retrained:
        assert defence.name == f"{defence.network}, retrained"
        assert defence.transform is BY_NAME[defence.network].transform


def test_the_controls_transform_nothing_and_one_of_them_is_the_grey_network_of_the_next_seed():
    controls = {defence.name: (defence.network, defence.next_seed) for defence in ALL if defence.kind == "control"}
    assert controls == {
        "hybrid without halftoning": ("hybrid", False),
        "grey, other seed": ("grey", True),
        "grey, twice the updates": ("grey_twice", False),
        "grey, shifts": ("grey_shifts", False),
        "grey, noise": ("grey_noise", False),
    }
    assert all(BY_NAME[name].transform is unchanged for name in controls)
    assert [defence.name for defence in ALL if defence.next_seed] == ["grey, other seed"]


def test_the_adversarially_trained_network_stands_with_and_without_a_halftone():
    plain, halftoned = (defence for defence in ALL if defence.kind == "robust")
    assert plain.network == halftoned.network == "adversarial"
    assert plain.transform is unchanged
    assert halftoned.transform is BY_NAME["hybrid + halftone"].transform


def regimes(epochs):
    """What photos_train trains: the representations and epochs of each regime, from its cell."""
    cells = nbformat.read(ROOT / "notebooks" / "2_train" / "photos_train.ipynb", 4).cells
    (source,) = [cell.source for cell in cells if "regimes = {" in cell.source]
    scope = {"epochs": epochs, "robust_epochs": 2}
    exec(source, scope)
    return scope["regimes"]


def test_every_network_behind_a_defence_is_trained():
    assert set(regimes(10)) >= NETWORKS


def test_rivals_of_the_hybrid_network_make_as_many_updates():
    updates = {label: len(views) * epochs for label, (views, epochs) in regimes(10).items()}
    equal = {label for label, count in updates.items() if count == updates["hybrid"]}
    assert equal == {"hybrid", "tv", "grey_twice", "grey_shifts", "grey_noise", "halftone_shifts"}
    assert updates["hybrid_updates"] == updates["grey"] == updates["halftone"] == updates["hybrid"] / 2


def test_every_other_dither_stands_before_the_hybrid_network():
    found = [defence.name for defence in ALL if defence.kind == "dither"]
    assert found == ["hybrid + jarvis", "hybrid + stucki", "hybrid + atkinson", "hybrid + bayer"]


def test_the_inverse_network_appears_only_where_it_is_given():
    without, given = catalogue(transforms()), trained()
    assert CNN not in {defence.name for defence in without}
    both = catalogue(transforms(), inverse=given)
    assert [defence.name for defence in both if defence.name != CNN] == [defence.name for defence in without]
    (added,) = [defence for defence in both if defence.name == CNN]
    assert (added.kind, added.network) == ("inverse", "grey")
    assert added.transform.network is given


def test_the_defences_that_displays_and_claims_name_are_there():
    named = {halftone_tables.HYBRID, *halftone_tables.BASELINES, "no defence", "halftone, grey network"}
    for claim in claims.register():
        if claim.paper == 4:
            arguments = claim.arguments
            named |= set(arguments.get("defences", []))
            named |= {f"{arguments['inverse']} inverse, grey network"} if "inverse" in arguments else set()
            assert arguments.get("kind", "none") in KINDS
    assert named <= set(BY_NAME)


def test_a_defence_is_no_transformation_and_the_attacked_seed_unless_told_otherwise():
    defence = Defence("a", "none", "grey")
    assert defence.transform is unchanged
    assert not defence.next_seed
    with pytest.raises(dataclasses.FrozenInstanceError):
        defence.name = "b"


# ---- the transformations

REACHED = [
    ("jpeg", {"quality": 5}, functools.partial(jpeg, quality=5)),
    ("bits", {"bits": 1}, functools.partial(bit_depth, bits=1)),
    ("tv", {"tv_weight": 0.7}, functools.partial(total_variation, weight=0.7)),
    ("halftone", {"dots": "bayer"}, functools.partial(halftone, method="bayer")),
]
STANDARD = [("grey", unchanged), ("jpeg", jpeg), ("bits", bit_depth), ("tv", total_variation), ("median", median)]


def test_the_transformations_are_six():
    assert list(transforms()) == ["grey", "jpeg", "bits", "tv", "median", "halftone"]


@pytest.mark.parametrize(("name", "expected"), [*STANDARD, ("halftone", halftone)])
def test_without_options_the_transformations_have_their_own_defaults(pictures, name, expected):
    assert torch.equal(transforms()[name](pictures), expected(pictures))


@pytest.mark.parametrize(("name", "options", "expected"), REACHED)
def test_an_option_reaches_its_transformation_and_no_other(pictures, name, options, expected):
    found = transforms(**options)
    assert torch.equal(found[name](pictures), expected(pictures))
    assert not torch.equal(found[name](pictures), transforms()[name](pictures))
    for other in set(found) - {name}:
        assert torch.equal(found[other](pictures), transforms()[other](pictures))


@pytest.mark.parametrize(("name", "options", "expected"), REACHED)
def test_the_defences_use_the_transformations_that_were_given(pictures, name, options, expected):
    by_name = transforms(**options)
    users = [defence for defence in catalogue(by_name) if defence.transform is by_name[name]]
    assert users
    for defence in users:
        assert torch.equal(defence.transform(pictures), expected(pictures))


def test_the_dithers_do_not_depend_on_the_dots_of_the_halftone(pictures):
    for defence in catalogue(transforms(dots="atkinson")):
        if defence.kind == "dither":
            expected = halftone(pictures, method=defence.name.removeprefix("hybrid + "))
            assert torch.equal(defence.transform(pictures), expected)


@every_defence
def test_a_defence_keeps_shape_dtype_and_range_and_leaves_its_input_alone(defence, pictures):
    before = pictures.clone()
    found = defence.transform(pictures)
    assert found.shape == pictures.shape
    assert found.dtype == pictures.dtype
    assert found.min() >= 0
    assert found.max() <= 1
    assert not found.requires_grad
    assert torch.equal(pictures, before)


@every_defence
def test_a_defence_changes_the_image_unless_it_has_no_transformation(defence, pictures):
    changed = not torch.equal(defence.transform(pictures), pictures)
    assert changed == (defence.transform is not unchanged)


def test_dots_are_black_and_white_and_restored_images_are_not(pictures):
    dots = {"halftone", "dither"}
    for defence in ALL:
        if defence.kind in dots or defence.name == "halftone, grey network":
            assert defence.transform(pictures).unique().tolist() == [0, 1]
    for name in ("low-pass inverse, grey network", CNN):
        assert len(BY_NAME[name].transform(pictures).unique()) > 2


# ---- there and back


def dots_of(images):
    return (images > 0.5).to(images)


@pytest.mark.parametrize("sigma", [0.6, 1.2])
def test_low_passed_is_the_low_pass_of_the_halftone(pictures, sigma):
    assert torch.equal(LowPassed(dots_of, sigma)(pictures), low_pass(dots_of(pictures), sigma=sigma))


def test_restored_is_the_network_on_the_halftone_without_a_gradient(pictures):
    network = trained()
    found = Restored(dots_of, network)(pictures.requires_grad_())
    assert torch.equal(found, network(dots_of(pictures)))
    assert not torch.allclose(found, low_pass(dots_of(pictures)), rtol=0, atol=1e-3)
    assert not found.requires_grad


@pytest.mark.parametrize(("options", "sigma"), [({}, 1.2), ({"sigma": 0.6}, 0.6)])
def test_sigma_reaches_the_low_pass_inverse(pictures, options, sigma):
    by_name = transforms() | {"halftone": dots_of}
    found = {defence.name: defence.transform for defence in catalogue(by_name, **options)}
    expected = low_pass(dots_of(pictures), sigma=sigma)
    assert torch.equal(found["low-pass inverse, grey network"](pictures), expected)


def test_the_inverses_stand_behind_the_halftone_that_was_given(pictures):
    network = trained()
    by_name = transforms() | {"halftone": dots_of}
    found = {defence.name: defence.transform for defence in catalogue(by_name, inverse=network)}
    with torch.no_grad():
        assert torch.equal(found[CNN](pictures), network(dots_of(pictures)))
