import warnings
from functools import partial

import foolbox
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.attack.gradient import (
    direction,
    fgsm,
    gradient_attack,
    gradient_signs,
    ifgsm,
    perturb,
    pgd,
    random_start,
    shortened,
)

ULP = 2**-23  # float32 spacing just above 1: x + eps and (x + eps) - x each round to within half of it
EPS = 0.1


def l2_norm(delta):
    return delta.flatten(1).norm(dim=1)


def losses(model, images, labels):
    return F.cross_entropy(model(images), labels, reduction="none").detach()


@pytest.fixture
def two_pixels():
    """Logits (0, 3a - 2b) of the pixels a and b: for label 0 the loss grows along (3, -2), for label 1 against it."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    model[1].weight.data = torch.tensor([[0.0, 0.0], [3.0, -2.0]])
    return model


# ---- by hand


def test_fgsm_on_a_linear_model_is_the_image_plus_eps_times_the_sign_of_the_weights_clipped(two_pixels):
    images = torch.tensor([[0.5, 0.5], [0.875, 0.125]]).reshape(2, 1, 1, 2)
    expected = torch.tensor([[0.75, 0.25], [1.0, 0.0]]).reshape(2, 1, 1, 2)
    assert torch.equal(fgsm(two_pixels, images, torch.tensor([0, 0]), eps=0.25), expected)
    assert torch.equal(
        fgsm(two_pixels, images, torch.tensor([1, 1]), eps=0.25),
        torch.tensor([[0.25, 0.75], [0.625, 0.375]]).reshape(2, 1, 1, 2),
    )


def test_targeted_fgsm_on_a_linear_model_steps_the_other_way(two_pixels):
    image = torch.full((1, 1, 1, 2), 0.5)
    attacked = fgsm(two_pixels, image, torch.tensor([0]), eps=0.25, targeted=True)
    assert attacked.flatten().tolist() == [0.25, 0.75]


def test_l2_fgsm_on_a_linear_model_moves_along_the_normalised_weights(two_pixels):
    attacked = fgsm(two_pixels, torch.full((1, 1, 1, 2), 0.5), torch.tensor([0]), eps=0.2, norm="l2")
    expected = 0.5 + 0.2 * torch.tensor([3.0, -2.0]) / 13**0.5
    assert torch.allclose(attacked.flatten(), expected, rtol=0, atol=ULP)


@pytest.mark.parametrize(
    ("attack", "first", "last"),
    [(ifgsm, [0.5625, 0.4375], [0.75, 0.25]), (partial(pgd, seed=None), [0.65625, 0.34375], [0.75, 0.25])],
    ids=["ifgsm-eps-over-steps", "pgd-2.5-eps-over-steps"],
)
def test_the_step_size_follows_from_eps_and_steps(two_pixels, attack, first, last):
    seen = []
    two_pixels.register_forward_pre_hook(lambda module, args: seen.append(args[0].flatten().tolist()))
    attacked = attack(two_pixels, torch.full((1, 1, 1, 2), 0.5), torch.tensor([0]), eps=0.25, steps=4)
    assert len(seen) == 4
    assert seen[:2] == [[0.5, 0.5], first]
    assert attacked.flatten().tolist() == last


def test_the_iterate_is_projected_back_onto_the_ball_after_a_long_step(two_pixels):
    image = torch.full((1, 1, 1, 2), 0.5)
    attacked = ifgsm(two_pixels, image, torch.tensor([0]), eps=0.125, steps=3, step_size=10.0)
    assert attacked.flatten().tolist() == [0.625, 0.375]


def test_the_caller_chooses_the_objective(two_pixels):
    def first_pixel(logits, labels):
        return logits[:, 1] * labels

    attacked = fgsm(two_pixels, torch.full((1, 1, 1, 2), 0.5), torch.tensor([-1]), eps=0.25, objective=first_pixel)
    assert attacked.flatten().tolist() == [0.25, 0.75]


def test_shortening_keeps_what_is_inside_the_ball_and_shortens_what_is_outside():
    delta = torch.tensor([[0.3, -0.4], [3.0, -4.0]]).reshape(2, 1, 1, 2)
    inside, outside = shortened(delta, 1.0, "l2").flatten(1)
    assert inside.tolist() == delta[0].flatten().tolist()
    assert torch.allclose(outside, torch.tensor([0.6, -0.8]), rtol=0, atol=ULP)
    assert torch.equal(shortened(delta, 1.0, "linf").flatten(1)[1], torch.tensor([1.0, -1.0]))


def test_the_direction_of_a_zero_gradient_is_zero():
    zero = torch.zeros(2, 1, 2, 2)
    assert torch.equal(direction(zero, "linf"), zero)
    assert torch.equal(direction(zero, "l2"), zero)


# ---- against foolbox

STEPS, STEP = 7, 0.03
LONG = {"steps": STEPS, "step_size": STEP}
THEIRS = {"steps": STEPS, "abs_stepsize": STEP, "random_start": False}
FOOLBOX = {
    ("fgsm", "linf"): (fgsm, {}, foolbox.attacks.LinfFastGradientAttack(random_start=False)),
    ("ifgsm", "linf"): (ifgsm, LONG, foolbox.attacks.LinfBasicIterativeAttack(**THEIRS)),
    ("pgd", "linf"): (pgd, LONG | {"seed": None}, foolbox.attacks.LinfProjectedGradientDescentAttack(**THEIRS)),
    ("fgsm", "l2"): (fgsm, {}, foolbox.attacks.L2FastGradientAttack(random_start=False)),
    ("ifgsm", "l2"): (ifgsm, LONG, foolbox.attacks.L2BasicIterativeAttack(**THEIRS)),
    ("pgd", "l2"): (pgd, LONG | {"seed": None}, foolbox.attacks.L2ProjectedGradientDescentAttack(**THEIRS)),
}


@pytest.mark.parametrize("case", FOOLBOX, ids="-".join)
def test_the_attack_equals_foolbox(case, network, images, labels):
    attack, options, theirs = FOOLBOX[case]
    ours = attack(network, images, labels, eps=EPS, norm=case[1], **options)
    expected, _, _ = theirs(foolbox.PyTorchModel(network, bounds=(0, 1)), images, labels, epsilons=EPS)
    assert not torch.equal(ours, images)
    if case[1] == "linf":
        assert torch.equal(ours, expected)
    else:  # we divide by the gradient's norm, foolbox multiplies by its reciprocal: one more rounding per step
        assert torch.allclose(ours, expected, rtol=0, atol=1e-6)


# ---- constraints


def test_the_l2_fgsm_perturbation_has_norm_eps_where_nothing_is_clipped(network, labels):
    images = torch.full((5, 2, 8, 8), 0.5)
    delta = fgsm(network, images, labels, eps=EPS, norm="l2") - images
    # 128 pixels near 0.5, each rounded by at most ULP / 4: the norm is off by at most sqrt(128) ULP / 4 < 3 ULP
    assert torch.allclose(l2_norm(delta), torch.full((5,), EPS), rtol=0, atol=4 * ULP)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("eps", [0.0, 0.02, 0.7])
def test_linf_attacks_stay_in_the_ball_and_in_the_box(network, images, labels, eps, seed, targeted):
    attacked = pgd(network, images, labels, eps=eps, steps=4, seed=seed, targeted=targeted)
    assert (attacked - images).abs().max() <= eps + ULP
    assert attacked.min() >= 0
    assert attacked.max() <= 1


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("eps", [0.0, 0.2, 7.0])
def test_l2_attacks_stay_in_the_ball_and_in_the_box(network, images, labels, eps, seed, targeted):
    attacked = pgd(network, images, labels, eps=eps, norm="l2", steps=4, seed=seed, targeted=targeted)
    # the norm rounds relative to eps, each of the 128 pixels by at most ULP
    assert l2_norm(attacked - images).max() <= eps * (1 + 4 * ULP) + 128**0.5 * ULP
    assert attacked.min() >= 0
    assert attacked.max() <= 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_random_start_lies_in_the_ball_and_in_the_box(images, norm):
    start = random_start(images, eps=0.5, norm=norm, seed=0, indices=None)
    delta = start - images
    size = delta.abs().flatten(1).amax(1) if norm == "linf" else l2_norm(delta)
    assert size.max() <= 0.5 + 12 * ULP  # 128 pixels, each rounded by at most ULP: sqrt(128) ULP < 12 ULP
    assert size.min() > 0
    assert start.min() >= 0
    assert start.max() <= 1


def test_a_random_start_fills_the_ball_uniformly():
    images = torch.full((400, 1, 1, 2), 0.5, dtype=torch.float64)
    square = random_start(images, eps=0.25, norm="linf", seed=0, indices=None) - images
    disc = random_start(images, eps=0.25, norm="l2", seed=0, indices=None) - images
    # uniform: a quarter of a square or disc lies in the one half as wide; four binomial deviations are 0.087
    assert abs((square.flatten(1).abs().amax(1) < 0.125).double().mean() - 0.25) < 0.087
    assert abs((l2_norm(disc) < 0.125).double().mean() - 0.25) < 0.087
    # and its mean is the centre: the deviation of a coordinate's mean is at most 0.25 / sqrt(3 * 400) = 0.0072
    assert square.mean(0).abs().max() < 4 * 0.0072
    assert disc.mean(0).abs().max() < 4 * 0.0072


# ---- batches and seeds


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_image_gets_the_same_start_alone_as_in_a_batch(images, norm):
    options = {"eps": EPS, "norm": norm, "seed": 3}
    together = random_start(images, indices=[10, 11, 12, 13, 14], **options)
    alone = [random_start(images[i : i + 1], indices=[10 + i], **options) for i in range(5)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_gives_an_image_the_same_result_alone_as_in_a_batch(network, images, labels, norm):
    network, images = network.double(), images.double()  # a batch may sum in another order: 1e-16 instead of 1e-7
    together = pgd(network, images, labels, eps=EPS, norm=norm, steps=5, seed=3)
    for i in range(5):
        alone = pgd(network, images[i : i + 1], labels[i : i + 1], eps=EPS, norm=norm, steps=5, seed=3, indices=[i])
        assert torch.allclose(alone[0], together[i], rtol=0, atol=1e-12)


def test_indices_default_to_the_position_in_the_batch(network, images, labels):
    named = pgd(network, images, labels, eps=EPS, steps=2, indices=range(5))
    assert torch.equal(pgd(network, images, labels, eps=EPS, steps=2), named)


def test_pgd_depends_on_its_seed_and_repeats_for_the_same_one(network, images, labels):
    first, again, other = (pgd(network, images, labels, eps=EPS, steps=1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_attack_leaves_the_global_random_state_alone(network, images, labels):
    before = torch.get_rng_state()
    pgd(network, images, labels, eps=EPS, steps=2, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


# ---- direction of the loss


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [fgsm, ifgsm, pgd])
def test_untargeted_attacks_raise_the_loss_and_targeted_ones_lower_it(network, images, labels, attack, norm):
    before = losses(network, images, labels)
    raised = attack(network, images, labels, eps=EPS, norm=norm)
    lowered = attack(network, images, labels, eps=EPS, norm=norm, targeted=True)
    assert (losses(network, raised, labels) > before).all()
    assert (losses(network, lowered, labels) < before).all()


# ---- the caller's things


def test_a_model_in_training_mode_is_attacked_in_evaluation_mode(convolutional, images, labels):
    expected = ifgsm(convolutional.eval(), images, labels, eps=EPS, steps=3)
    assert torch.equal(ifgsm(convolutional.train(), images, labels, eps=EPS, steps=3), expected)


@pytest.mark.parametrize("attack", [fgsm, ifgsm, pgd])
def test_the_model_is_returned_as_it_was(convolutional, images, labels, condition, attack):
    convolutional.train().norm.eval()
    convolutional.conv1.weight.requires_grad_(False)
    before, state = condition(convolutional), {k: v.clone() for k, v in convolutional.state_dict().items()}
    attack(convolutional, images, labels, eps=EPS)
    assert condition(convolutional) == before
    assert all(torch.equal(value, state[key]) for key, value in convolutional.state_dict().items())


@pytest.mark.parametrize("n", [1, 3])
def test_the_model_is_returned_as_it_was_when_it_raises(convolutional, images, labels, condition, fail_on_call, n):
    fail_on_call(convolutional.train(), n).norm.eval()
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match=f"call {n}"):
        pgd(convolutional, images, labels, eps=EPS, steps=5)
    assert condition(convolutional) == before


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_callers_images_are_unchanged_and_the_result_is_detached(network, images, labels, norm, requires_grad):
    original = images.clone()
    attacked = pgd(network, images.requires_grad_(requires_grad), labels, eps=EPS, norm=norm, steps=3)
    assert torch.equal(images.detach(), original)
    assert images.requires_grad == requires_grad
    assert images.grad is None
    assert not attacked.requires_grad


def test_an_attack_works_under_no_grad(network, images, labels):
    expected = fgsm(network, images, labels, eps=EPS)
    with torch.no_grad():
        assert torch.equal(fgsm(network, images, labels, eps=EPS), expected)


# ---- bad input


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        ({"norm": "l1"}, "'l1'"),
        ({"eps": -0.25}, "-0.25"),
        ({"eps": float("nan")}, "nan"),
        ({"eps": float("inf")}, "inf"),
    ],
)
def test_a_bad_setting_is_an_error_that_names_it(network, images, labels, changed, value):
    with pytest.raises(ValueError, match=f"is {value}"):
        fgsm(network, images, labels, **({"eps": EPS} | changed))


@pytest.mark.parametrize("attack", [ifgsm, pgd, gradient_attack])
@pytest.mark.parametrize("steps", [0, -2])
def test_an_attack_of_no_step_is_an_error(network, images, labels, attack, steps):
    with pytest.raises(ValueError, match=f"steps is {steps}"):
        attack(
            network, images, labels, eps=EPS, steps=steps, **({"step_size": EPS} if attack is gradient_attack else {})
        )


@pytest.mark.parametrize(("pixel", "shown"), [(-0.5, r"\[-0.5, "), (1.5, r", 1.5\]")])
def test_images_outside_the_unit_interval_are_an_error_that_shows_their_range(network, images, labels, pixel, shown):
    images[3, 1, 2, 2] = pixel
    with pytest.raises(ValueError, match=shown):
        fgsm(network, images, labels, eps=EPS)


# ---- warnings


def test_a_zero_gradient_is_warned_of_with_the_number_of_images(two_pixels):
    model = nn.Sequential(nn.Threshold(0.5, 0.0), two_pixels)  # pixels up to 0.5 are ignored
    images = torch.tensor([[0.25, 0.25], [0.75, 0.75], [0.25, 0.5]]).reshape(3, 1, 1, 2)
    with pytest.warns(UserWarning, match="2 of 3 images have a zero gradient"):
        attacked = fgsm(model, images, torch.tensor([0, 0, 0]), eps=0.125)
    assert attacked.flatten(1).tolist() == [[0.25, 0.25], [0.875, 0.625], [0.25, 0.5]]


def test_a_gradient_everywhere_is_not_warned_of(network, images, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pgd(network, images, labels, eps=EPS, steps=2)


# ---- stored perturbations


def test_gradient_signs_are_the_signs_of_autograd(network, images, labels):
    variable = images.clone().requires_grad_()
    F.cross_entropy(network(variable), labels).backward()
    signs = gradient_signs(network, images, labels)
    assert signs.dtype == torch.int8
    assert torch.equal(signs, variable.grad.sign().to(torch.int8))


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_gradient_signs_do_not_depend_on_the_batch_size(network, images, labels, batch):
    network, images = network.double(), images.double()
    assert torch.equal(gradient_signs(network, images, labels, batch=batch), gradient_signs(network, images, labels))


def test_gradient_signs_return_the_model_as_it_was_when_it_raises(
    convolutional, images, labels, condition, fail_on_call
):
    before = condition(fail_on_call(convolutional.train(), 2))
    with pytest.raises(RuntimeError, match="call 2"):
        gradient_signs(convolutional, images, labels, batch=2)
    assert condition(convolutional) == before


def test_perturbing_by_the_stored_signs_without_rounding_is_fgsm(network, images, labels):
    signs = gradient_signs(network, images, labels)
    # fgsm also projects: (x + eps) - x back onto eps costs one rounding that perturb does not have
    expected = fgsm(network, images, labels, eps=EPS)
    assert torch.allclose(perturb(images, signs, EPS, bits=None), expected, rtol=0, atol=ULP)


def test_perturb_gives_exactly_the_levels_of_a_saved_image(images):
    signs = torch.ones_like(images, dtype=torch.int8)
    levels = torch.arange(256) / 255
    assert torch.isin(perturb(images, signs, EPS), levels).all()
    assert torch.isin(perturb(images, signs, EPS, bits=1), torch.tensor([0.0, 1.0])).all()


def test_perturb_by_hand():
    images, signs = torch.tensor([0.5, 0.5, 0.5, 0.9, 0.1]), torch.tensor([1, 0, -1, 1, -1], dtype=torch.int8)
    assert perturb(images, signs, 0.25, bits=None).tolist() == [0.75, 0.5, 0.25, 1.0, 0.0]
    expected = torch.tensor([191, 128, 64, 255, 0]) / 255  # 191.25, 127.5 (to even), 63.75, clipped, clipped
    assert torch.equal(perturb(images, signs, 0.25), expected)
