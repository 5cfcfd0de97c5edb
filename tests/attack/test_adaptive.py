import warnings
from functools import partial

import pytest
import torch
from torch import nn

from aecompanion.attack.adaptive import Defended, Expected, bpda, eot, identity, self_check
from aecompanion.attack.gradient import gradient_attack, input_gradient, pgd, quantise
from aecompanion.attack.objective import cross_entropy
from aecompanion.defend.halftone import halftone, random_threshold
from aecompanion.defend.inverse import InverseHalftone, low_pass
from aecompanion.defend.transforms import median

EPS, FAR = 0.1, 0.2
ULP = 2**-23
one_bit = partial(quantise, bits=1)
TRANSFORMS = [halftone, one_bit, median, partial(halftone, method="bayer")]
every_transform = pytest.mark.parametrize("transform", TRANSFORMS, ids=["halftone", "one-bit", "median", "bayer"])


def gradient_at(network, images, labels):
    """∇ of the loss at the images themselves, by autograd alone."""
    variable = images.detach().clone().requires_grad_()
    cross_entropy(network(variable), labels).sum().backward()
    return variable.grad


def random_dots(images, draw, *, seed=0):
    thresholds = random_threshold(images.shape, noise=0.2, seed=seed, indices=range(len(images)), draw=draw)
    return halftone(images, threshold=thresholds)


class Layer(nn.Module):
    """A transformation as the first layer of a network, with its own gradient."""

    def __init__(self, transform):
        super().__init__()
        self.transform = transform

    def forward(self, images):
        return self.transform(images)


def counter(transform, seen):
    """The transform; `seen` gets what it was called with."""

    def counted(images, *draw):
        seen.append((images, *draw))
        return transform(images)

    return counted


# ---- a network behind a transformation


@every_transform
@pytest.mark.parametrize("surrogate", [identity, low_pass, partial(low_pass, sigma=0.5)], ids=["id", "low", "low0.5"])
def test_the_value_is_exactly_that_of_the_network_behind_the_transformation(network, images, transform, surrogate):
    expected = network(transform(images))
    assert torch.equal(Defended(network, transform, surrogate).eval()(images), expected)


def test_the_value_has_no_rounding_from_a_surrogate_far_from_the_transformation(images):
    defended = Defended(nn.Identity(), median, lambda x: 1000 * x)
    assert torch.equal(defended(images.requires_grad_()), median(images))


@every_transform
def test_the_gradient_passes_the_transformation_unchanged(network, images, labels, transform):
    found = input_gradient(Defended(network, transform).eval(), images, labels)
    assert found.abs().max() > 0
    assert torch.equal(found, gradient_at(network, transform(images), labels))


@every_transform
def test_the_gradient_of_a_surrogate_is_its_own_after_the_networks_at_the_transformed_image(
    network, images, labels, transform
):
    found = input_gradient(Defended(network, transform, low_pass).eval(), images, labels)
    variable = images.clone().requires_grad_()
    after = gradient_at(network, transform(images), labels)
    expected = torch.autograd.grad(low_pass(variable), variable, after)[0]
    assert torch.equal(found, expected)


def test_a_transformation_that_is_its_surrogate_has_the_true_gradient(network, images, labels):
    found = input_gradient(Defended(network, low_pass, low_pass).eval(), images, labels)
    expected = gradient_at(nn.Sequential(Layer(low_pass), network), images, labels)
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)


def test_the_transformation_sees_images_without_a_gradient_and_leaves_the_callers_alone(linear, images):
    seen, before = [], images.clone()
    Defended(linear, counter(halftone, seen))(images.requires_grad_())
    assert not seen[0][0].requires_grad
    assert torch.equal(images, before)


# ---- what BPDA is for: a decision that only it can change


@pytest.fixture
def brightness():
    """Class 1 if more than 0.575 of the dots are white."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 2, bias=True))
    network[1].weight.data = torch.stack([torch.zeros(256), torch.full((256,), 4 / 256)])
    network[1].bias.data = torch.tensor([0.0, -2.3])
    return network


@pytest.fixture
def checks():
    """A source for transfer that looks at what brightness ignores: the difference of two fields of a chequerboard."""
    sign = 1 - 2 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 2, bias=False))
    network[1].weight.data = torch.stack([torch.zeros(256), sign.flatten() / 64])
    return network


@pytest.fixture
def dark():
    """An image of class 0 and its label; FAR above it lies class 1."""
    return torch.full((1, 1, 16, 16), 0.45), torch.tensor([0])


@pytest.mark.parametrize(
    "transform", [halftone, one_bit, partial(halftone, method="bayer")], ids=["halftone", "one-bit", "bayer"]
)
def test_bpda_changes_a_decision_that_a_transferred_attack_does_not(brightness, checks, dark, transform):
    image, label = dark
    decide = Defended(brightness, transform)
    transferred = pgd(checks, image, label, eps=FAR, seed=None)
    adaptive = bpda(brightness, image, label, transform=transform, eps=FAR, seed=None)
    assert (transferred - image).abs().max() == pytest.approx(FAR, abs=ULP)
    assert [decide(attacked).argmax().item() for attacked in (image, transferred, adaptive)] == [0, 0, 1]


def test_the_own_gradient_of_a_quantiser_moves_nothing_and_is_warned_of(brightness, dark):
    image, label = dark
    with pytest.warns(UserWarning, match="1 of 1 images have a zero gradient"):
        attacked = gradient_attack(
            nn.Sequential(Layer(one_bit), brightness), image, label, eps=FAR, steps=5, step_size=FAR
        )
    assert torch.equal(attacked, image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not torch.equal(bpda(brightness, image, label, transform=one_bit, eps=FAR, seed=None), image)


def test_eot_changes_a_decision_behind_random_thresholds(brightness, dark):
    image, label = dark
    attacked = eot(brightness, image, label, transform=random_dots, draws=2, eps=FAR, steps=5)
    for draw in range(5):  # the defender's seed
        assert brightness(random_dots(image, draw, seed=1)).argmax().item() == 0
        assert brightness(random_dots(attacked, draw, seed=1)).argmax().item() == 1


# ---- BPDA is PGD on the defended network


@pytest.mark.parametrize(
    "options",
    [{}, {"seed": None}, {"seed": 3, "indices": [4, 7, 1, 0, 9]}, {"step_size": 0.01}, {"norm": "l2"}],
    ids=str,
)
@pytest.mark.parametrize("surrogate", [identity, low_pass])
def test_bpda_is_pgd_with_the_surrogates_gradient(network, images, labels, surrogate, options):
    found = bpda(network, images, labels, transform=halftone, surrogate=surrogate, eps=EPS, steps=3, **options)
    expected = pgd(Defended(network, halftone, surrogate), images, labels, eps=EPS, steps=3, **options)
    assert torch.equal(found, expected)
    assert not found.requires_grad


def test_the_surrogate_is_the_identity_unless_told_otherwise(network, images, labels):
    found, told, other = (
        bpda(network, images, labels, transform=halftone, eps=EPS, steps=2, **options)
        for options in ({}, {"surrogate": identity}, {"surrogate": low_pass})
    )
    assert torch.equal(found, told)
    assert not torch.equal(found, other)


def test_bpda_of_one_step_by_hand(linear, images, labels):
    found = bpda(linear, images, labels, transform=halftone, eps=EPS, steps=1, step_size=0.05, seed=None)
    expected = (images + 0.05 * gradient_at(linear, halftone(images), labels).sign()).clamp(0, 1)
    assert torch.allclose(found, expected, rtol=0, atol=ULP)


def test_bpda_transforms_once_in_every_step(linear, images, labels):
    seen = []
    bpda(linear, images, labels, transform=counter(halftone, seen), eps=EPS, steps=4)
    assert len(seen) == 4
    assert not torch.equal(seen[0][0], seen[3][0])


# ---- EOT


@pytest.mark.parametrize("seed", [None, 0, 3])
def test_one_draw_of_a_transformation_without_chance_is_bpda(network, images, labels, seed):
    found = eot(network, images, labels, transform=lambda x, k: halftone(x), draws=1, eps=EPS, steps=4, seed=seed)
    assert torch.equal(found, bpda(network, images, labels, transform=halftone, eps=EPS, steps=4, seed=seed))


def test_eot_follows_the_mean_of_the_gradients_over_the_draws(network, images, labels):
    def fade(images, k):
        return (images * (k + 1) / 2).clamp(0, 1).round(decimals=1)

    network, images = network.double(), images.double()
    options = {"eps": 0.5, "steps": 1, "step_size": 0.2, "norm": "l2", "seed": None}
    found = eot(network, images, labels, transform=fade, draws=3, **options)
    gradients = torch.stack([gradient_at(network, fade(images, k), labels) for k in range(3)])

    def step(gradient):
        return (images + 0.2 * gradient / gradient.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)).clamp(0, 1)

    assert torch.allclose(found, step(gradients.mean(0)), rtol=0, atol=1e-12)
    for single in gradients:
        assert not torch.allclose(found, step(single), rtol=0, atol=1e-6)


def test_the_loss_of_the_expectation_is_the_mean_over_the_draws(network, images, labels):
    losses = []

    class Watched(Expected):
        def forward(self, images):
            logits = super().forward(images)
            losses.append((cross_entropy(logits, labels.repeat(3)).sum() / 3).item())
            return logits

    Watched(network, random_dots, 3)(images)
    expected = [cross_entropy(network(random_dots(images, k)), labels).sum().item() for k in range(3)]
    assert losses == pytest.approx([sum(expected) / 3], rel=1e-6)


def test_draws_are_counted_from_0_over_the_whole_attack_and_fresh_in_every_step(linear, images, labels):
    for _ in range(2):  # every attack counts by itself
        seen = []
        eot(linear, images, labels, transform=counter(halftone, seen), draws=3, eps=EPS, steps=4)
        assert [draw for _, draw in seen] == list(range(12))
        for step in range(4):  # the same images in the three draws of a step
            first, second, third = (images for images, _ in seen[3 * step : 3 * step + 3])
            assert torch.equal(first, second)
            assert torch.equal(first, third)
            assert not first.requires_grad


def test_eot_repeats_for_the_same_seed(network, images, labels):
    first, again, other = (
        eot(network, images, labels, transform=random_dots, draws=2, eps=EPS, steps=2, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("draws", [0, -1])
def test_no_draw_is_an_error(linear, images, labels, draws):
    with pytest.raises(ValueError, match=f"draws is {draws}, expected at least 1"):
        eot(linear, images, labels, transform=random_dots, draws=draws, eps=EPS)


# ---- what every adaptive attack keeps

ATTACKS = {
    "bpda": partial(bpda, transform=halftone),
    "bpda-low-pass": partial(bpda, transform=halftone, surrogate=low_pass),
    "eot": partial(eot, transform=random_dots, draws=2),
}
every_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


@every_attack
@pytest.mark.parametrize("eps", [0.0, 0.02, 0.7])
def test_attacked_images_stay_in_the_ball_and_in_the_box(network, images, labels, attack, eps):
    before = images.clone()
    attacked = attack(network, images, labels, eps=eps, steps=3)
    assert (attacked - images).abs().max() == pytest.approx(eps, abs=0.1 * eps + ULP)
    assert (attacked - images).abs().max() <= eps + ULP
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert torch.equal(images, before)


@every_attack
def test_the_network_is_returned_as_it_was(convolutional, images, labels, condition, attack):
    convolutional.train().norm.eval()
    convolutional.conv1.weight.requires_grad_(False)
    before, state = condition(convolutional), {k: v.clone() for k, v in convolutional.state_dict().items()}
    attack(convolutional, images, labels, eps=EPS, steps=2)
    assert condition(convolutional) == before
    assert all(torch.equal(value, state[key]) for key, value in convolutional.state_dict().items())


@every_attack
def test_a_network_in_training_mode_is_attacked_in_evaluation_mode(convolutional, images, labels, attack):
    expected = attack(convolutional.eval(), images, labels, eps=EPS, steps=2)
    assert torch.equal(attack(convolutional.train(), images, labels, eps=EPS, steps=2), expected)


@pytest.mark.parametrize("attack", [bpda, partial(eot, draws=2)], ids=["bpda", "eot"])
def test_the_network_is_returned_as_it_was_when_the_transformation_raises(
    convolutional, images, labels, condition, attack
):
    seen = []

    def break_down(images, *draw):
        seen.append(draw)
        if len(seen) == 3:
            raise RuntimeError("call 3")
        return halftone(images)

    before = condition(convolutional.train())
    with pytest.raises(RuntimeError, match="call 3"):
        attack(convolutional, images, labels, transform=break_down, eps=EPS, steps=4)
    assert condition(convolutional) == before


def test_a_surrogate_that_is_a_network_is_returned_as_it_was(linear, images, labels, condition):
    surrogate = InverseHalftone().train()
    before = condition(surrogate)
    bpda(linear, images, labels, transform=halftone, surrogate=surrogate, eps=EPS, steps=2)
    assert condition(surrogate) == before


@pytest.mark.parametrize(
    "attack",
    [
        partial(bpda, transform=lambda x: halftone(x).to(x)),
        partial(bpda, transform=lambda x: halftone(x).to(x), surrogate=low_pass),
        partial(eot, transform=lambda x, k: halftone(x * (1 - k / 100)).to(x), draws=2),
    ],
    ids=ATTACKS,
)
def test_an_image_is_attacked_alone_as_in_a_batch(network, images, labels, attack):
    network, images = network.double(), images.double()  # a batch may sum in another order: 1e-16 instead of 1e-7
    together = attack(network, images, labels, eps=EPS, steps=3, seed=3)
    for i in range(5):
        alone = attack(network, images[i : i + 1], labels[i : i + 1], eps=EPS, steps=3, seed=3, indices=[i])
        assert torch.allclose(alone[0], together[i], rtol=0, atol=1e-12)


@every_attack
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"eps": -0.1}, "eps is -0.1"),
        ({"eps": float("nan")}, "eps is nan"),
        ({"steps": 0}, "steps is 0"),
        ({"norm": "l1"}, "norm is 'l1'"),
        ({"indices": [0, 1]}, "indices name 2 images, expected 5"),
    ],
    ids=str,
)
def test_a_bad_setting_is_the_error_of_the_loop(linear, images, labels, attack, changed, message):
    with pytest.raises(ValueError, match=message):
        attack(linear, images, labels, **({"eps": EPS} | changed))


@every_attack
def test_images_outside_the_unit_interval_are_an_error(linear, images, labels, attack):
    with pytest.raises(ValueError, match="images span"):
        attack(linear, images * 255, labels, eps=EPS)


# ---- the self-check

ORDER = [("transfer", "bpda"), ("bpda", "eot")]
SILENT, BPDA, EOT = [], ["bpda"], ["eot"]  # which stronger attacks are found to be worse


@pytest.mark.parametrize(
    ("accuracies", "options", "found"),
    [
        ((0.9, 0.5, 0.25), {}, SILENT),
        ((0.5, 0.5, 0.5), {}, SILENT),
        ((0.5, 0.75, 0.25), {}, BPDA),
        ((0.9, 0.25, 0.5), {}, EOT),
        ((0.25, 0.5, 0.75), {}, BPDA + EOT),
        ((0.5, 0.51, 0.4), {}, SILENT),  # 0.02 is forgiven
        ((0.5, 0.53, 0.4), {}, BPDA),
        ((0.5, 0.625, 0.4), {"tolerance": 0.125}, SILENT),  # as much as the tolerance
        ((0.5, 0.6875, 0.4), {"tolerance": 0.125}, BPDA),
        ((0.5, 0.5 + 2**-20, 0.5), {"tolerance": 0.0}, BPDA),
        ((0.0, 0.125, 0.125), {}, BPDA),
        ((0.0, 0.125, 0.125), {"chance": 0.125}, SILENT),  # both no better than guessing
        ((0.0, 0.25, 0.25), {"chance": 0.125}, BPDA),
        ((0.0, 0.25, 0.0), {"chance": 0.125, "tolerance": 0.125}, SILENT),  # the floor counts, not the accuracy
        ((0.9, 0.05, 0.2), {"chance": 0.1}, EOT),
    ],
)
def test_the_self_check_finds_stronger_attacks_that_do_worse(accuracies, options, found):
    accuracy = dict(zip(("transfer", "bpda", "eot"), accuracies, strict=True))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        findings = self_check(accuracy, ORDER, **options)
    assert [finding.split()[0] for finding in findings] == found
    assert [str(warning.message) for warning in caught] == findings


def test_a_finding_names_both_attacks_and_their_accuracies():
    with pytest.warns(UserWarning, match="no evidence of robustness"):
        findings = self_check({"fgsm": 0.4, "pgd": 0.62, "noise": 0.9}, [("fgsm", "pgd"), ("noise", "fgsm")])
    assert len(findings) == 1
    assert findings[0].startswith("pgd leaves accuracy 0.62, the weaker fgsm 0.40: ")


def test_without_a_pair_nothing_is_found():
    assert self_check({"transfer": 0.0, "bpda": 1.0}, []) == []


def test_a_pair_without_an_accuracy_is_an_error():
    with pytest.raises(KeyError, match="eot"):
        self_check({"bpda": 0.1}, [("bpda", "eot")])
