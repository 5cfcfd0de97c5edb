import warnings

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.attack.attacks import crafted_names
from aecompanion.attack.crafted import craft, level_of, load, save
from aecompanion.attack.gradient import fgsm, gradient_signs, ifgsm, perturb, pgd, quantise, random_start
from aecompanion.attack.objective import binary_cross_entropy
from aecompanion.pipeline.rng import generator, seeded

ATTACKS = crafted_names()
every_attack = pytest.mark.parametrize("attack", ATTACKS)


@pytest.fixture
def images():
    """Seven 8-bit images, the whole range of grey levels among them, and the first one twice."""
    pixels = torch.randint(0, 256, (7, 2, 8, 8), generator=generator(11, 1))
    pixels[2, 0], pixels[2, 1], pixels[3] = 0, 255, pixels[0]
    return pixels / 255


@pytest.fixture
def labels():
    return torch.tensor([0, 1, 0, 0, 1, 1, 0])


@pytest.fixture
def straight():
    """Two classes and logits linear in the pixels, so that every image has the same signs, but for its label's."""
    with seeded(11, 2):
        return nn.Sequential(nn.Flatten(), nn.Linear(2 * 8 * 8, 2)).eval()


@pytest.fixture
def bent():
    """A network in double precision, whose gradients hardly depend on the batch."""
    with seeded(11, 3):
        layers = nn.Conv2d(2, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2)
        return nn.Sequential(*layers).double().eval()


def grey_levels(images):
    return images.double() * 255


# ---- crafting


@pytest.mark.parametrize("level", [1, 8, 60])
def test_fgsm_is_the_perturbation_by_the_signs_of_the_gradient(bent, images, labels, level):
    images = images.double()
    found = craft(bent, images, labels, attack="fgsm", eps=level / 255)
    assert torch.equal(found, perturb(images, gradient_signs(bent, images, labels), level / 255))
    assert torch.equal(found, quantise(fgsm(bent, images, labels, eps=level / 255)))


@pytest.mark.parametrize("steps", [1, 5])
def test_ifgsm_takes_steps_of_eps_over_steps(bent, images, labels, steps):
    images = images.double()
    found = craft(bent, images, labels, attack="ifgsm", eps=8 / 255, steps=steps)
    assert torch.equal(
        found, quantise(ifgsm(bent, images, labels, eps=8 / 255, steps=steps, step_size=8 / 255 / steps))
    )


@pytest.mark.parametrize(("steps", "seed"), [(1, 0), (5, 3)])
def test_pgd_takes_steps_of_eps_over_4_from_a_random_start_of_each_image(bent, images, labels, steps, seed):
    images, options = images.double(), {"steps": steps, "seed": seed}
    found = craft(bent, images, labels, attack="pgd", eps=8 / 255, **options)
    expected = pgd(bent, images, labels, eps=8 / 255, step_size=2 / 255, indices=range(7), **options)
    assert torch.equal(found, quantise(expected))


@pytest.mark.parametrize("steps", [10, 16])
@pytest.mark.parametrize("level", [1, 8, 60])
def test_where_the_gradient_is_the_same_everywhere_all_attacks_reach_the_same_corner(
    straight, images, labels, level, steps
):
    # I-FGSM has gone eps in all, PGD eight or more steps of eps / 4 from wherever it started
    found = [craft(straight, images, labels, attack=attack, eps=level / 255, steps=steps) for attack in ATTACKS]
    signs = gradient_signs(straight, images, labels)
    expected = (grey_levels(images) + level * signs).clamp(0, 255).round()
    for attacked in found:
        assert torch.equal(grey_levels(attacked).round(), expected)


@every_attack
def test_the_iterated_attacks_take_ten_steps_unless_told_otherwise(bent, images, labels, attack):
    found, ten, nine = (
        craft(bent, images.double(), labels, attack=attack, eps=60 / 255, **options)
        for options in ({}, {"steps": 10}, {"steps": 9})
    )
    assert torch.equal(found, ten)
    assert torch.equal(found, nine) == (attack == "fgsm")


@every_attack
@pytest.mark.parametrize("level", [1, 2, 8, 16, 255])
def test_the_attacked_images_lie_on_the_8_bit_grid_inside_the_ball(straight, images, labels, attack, level):
    found = craft(straight, images, labels, attack=attack, eps=level / 255, steps=4)
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    pixels, clean = (values.mul(255).round() for values in (found, images))
    assert torch.equal(found, pixels / 255)
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert (pixels - clean).abs().max() <= level


@every_attack
def test_an_eps_of_0_leaves_the_images_alone(straight, images, labels, attack):
    assert torch.equal(craft(straight, images, labels, attack=attack, eps=0), images)


@every_attack
@pytest.mark.parametrize("batch", [1, 3, 7, 120])
def test_an_image_is_attacked_alone_as_in_any_batch(bent, images, labels, attack, batch):
    # two steps, after which PGD is not yet at the border and still shows where it started
    images, options = images.double(), {"attack": attack, "eps": 8 / 255, "seed": 5, "steps": 2}
    expected = craft(bent, images, labels, **options)
    assert torch.equal(craft(bent, images, labels, batch=batch, **options), expected)
    assert torch.equal(craft(bent, images[:2], labels[:2], **options), expected[:2])


def test_the_start_of_pgd_depends_on_the_seed_and_on_the_position_of_the_image(straight, images, labels):
    options = {"attack": "pgd", "eps": 60 / 255, "steps": 1}
    found = craft(straight, images, labels, seed=5, **options)
    assert torch.equal(images[0], images[3])
    assert labels[0] == labels[3]
    assert not torch.equal(found[0], found[3])
    assert torch.equal(craft(straight, images, labels, seed=5, **options), found)
    assert not torch.equal(craft(straight, images, labels, seed=6, **options), found)
    eps = 60 / 255
    start = random_start(images, eps=eps, norm="linf", seed=5, indices=range(7))
    moved = start + eps / 4 * gradient_signs(straight, images, labels)
    assert torch.equal(found, quantise((images + (moved - images).clamp(-eps, eps)).clamp(0, 1)))


@pytest.mark.parametrize("attack", ["fgsm", "ifgsm"])
def test_the_other_attacks_have_no_random_start(bent, images, labels, attack):
    found = [craft(bent, images.double(), labels, attack=attack, eps=8 / 255, seed=seed) for seed in (0, 1)]
    assert torch.equal(*found)


@every_attack
def test_the_loss_grows(bent, images, labels, attack):
    images = images.double()
    attacked = craft(bent, images, labels, attack=attack, eps=16 / 255)
    with torch.no_grad():
        before, after = (
            nn.functional.cross_entropy(bent(given), labels, reduction="none") for given in (images, attacked)
        )
    assert (after > before).all()


@every_attack
def test_the_network_and_the_images_are_left_as_they_were(convolutional, images, labels, attack, condition):
    before, kept = condition(convolutional.train()), images.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a zero gradient is no matter here
        found = craft(convolutional, images, labels, attack=attack, eps=8 / 255, steps=2)
    assert condition(convolutional) == before
    assert torch.equal(images, kept)
    assert not found.requires_grad


@pytest.mark.parametrize("attack", ["cw", "FGSM", "clean", ""])
def test_an_unknown_attack_is_an_error_that_lists_the_known_ones(straight, images, labels, attack):
    with pytest.raises(ValueError, match=f"^attack '{attack}' is unknown, expected one of fgsm, ifgsm, pgd$"):
        craft(straight, images, labels, attack=attack, eps=8 / 255)


@pytest.mark.parametrize("level", range(256))
def test_an_eps_is_the_level_it_was_made_of_and_back_the_same_float(level):
    assert level_of(level / 255) == level
    assert level_of(level / 255) / 255 == level / 255


@pytest.mark.parametrize("eps", [0.01, 0.5 / 255, 1.25 / 255])
def test_an_eps_between_two_grey_levels_has_no_level(eps):
    with pytest.raises(ValueError, match=f"^eps is {eps}, expected a whole number of grey levels, k/255$"):
        level_of(eps)


# ---- several labels


@pytest.fixture
def several():
    """Zeros and ones for two labels: both, either, none."""
    return torch.tensor([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0], [0, 0], [1, 1]])


@every_attack
@pytest.mark.parametrize("level", [2, 16])
def test_several_labels_are_attacked_on_the_8_bit_grid_inside_the_ball(bent, images, several, attack, level):
    images = images.double()
    attacked = craft(bent, images, several, attack=attack, eps=level / 255, objective=binary_cross_entropy)
    with torch.no_grad():
        before, after = (
            nn.functional.binary_cross_entropy_with_logits(bent(given), several.double(), reduction="none").sum(1)
            for given in (images, attacked)
        )
    assert (after > before).all()
    pixels, clean = (values.mul(255).round() for values in (attacked, images))
    assert torch.equal(attacked, pixels / 255)
    assert (pixels - clean).abs().max() == level
    assert ((pixels >= 0) & (pixels <= 255)).all()


def test_on_a_linear_network_fgsm_follows_the_evidence_weighted_by_what_the_probabilities_lack(straight, images):
    labels = torch.tensor([[1, 0]]).expand(7, -1)
    weights = straight[1].weight.detach()
    p = straight(images).detach().sigmoid()
    signs = ((p - labels) @ weights).sign().reshape(images.shape)
    found = craft(straight, images, labels, attack="fgsm", eps=8 / 255, objective=binary_cross_entropy)
    assert torch.equal(grey_levels(found).round(), (grey_levels(images) + 8 * signs).clamp(0, 255).round())


@every_attack
@pytest.mark.parametrize("batch", [1, 3])
def test_an_image_of_several_labels_is_attacked_alone_as_in_any_batch(bent, images, several, attack, batch):
    images = images.double()
    options = {"attack": attack, "eps": 8 / 255, "seed": 5, "steps": 2, "objective": binary_cross_entropy}
    expected = craft(bent, images, several, **options)
    assert torch.equal(craft(bent, images, several, batch=batch, **options), expected)


@every_attack
def test_the_objective_makes_the_attack(bent, images, labels, attack):
    """With one label per image, the two objectives see different gradients."""
    images, one_hot = images.double(), torch.eye(2, dtype=torch.long)[labels]
    one = craft(bent, images, labels, attack=attack, eps=8 / 255)
    assert not torch.equal(
        craft(bent, images, one_hot, attack=attack, eps=8 / 255, objective=binary_cross_entropy), one
    )
    soft = craft(
        bent, images, one_hot, attack=attack, eps=8 / 255, objective=lambda z, y: -(z.log_softmax(1) * y).sum(1)
    )
    assert torch.equal(soft, one)


# ---- files


def test_every_grey_level_survives_saving_and_loading(tmp_path):
    every = torch.arange(256).reshape(1, 1, 16, 16) / 255
    save(tmp_path / "sets.npz", {("fgsm", 8): every})
    assert torch.equal(load(tmp_path / "sets.npz")["fgsm", 8], every)


def test_a_value_between_two_grey_levels_is_saved_as_the_nearest(tmp_path):
    save(tmp_path / "sets.npz", {("fgsm", 8): torch.tensor([0.4, 0.6, 100.7, 254.4]).reshape(1, 1, 2, 2) / 255})
    found = load(tmp_path / "sets.npz")["fgsm", 8]
    assert (found * 255).flatten().tolist() == pytest.approx([0, 1, 101, 254], abs=1e-4)


def test_crafted_sets_come_back_exactly_under_their_attack_and_level(tmp_path, straight, images, labels):
    sets = {
        (attack, level): craft(straight, images, labels, attack=attack, eps=level / 255)
        for attack in ATTACKS
        for level in (16, 2)
    }
    save(tmp_path / "sets.npz", sets)
    found = load(tmp_path / "sets.npz")
    assert list(found) == list(sets)
    for key, expected in sets.items():
        assert found[key].dtype == torch.float32
        assert torch.equal(found[key], expected)


def test_the_file_holds_8_bits_per_pixel_under_exactly_the_given_name(tmp_path, images):
    save(tmp_path / ".part.sets", {("pgd", 8): images})
    assert [file.name for file in tmp_path.iterdir()] == [".part.sets"]
    with np.load(tmp_path / ".part.sets", allow_pickle=False) as arrays:
        assert {name: arrays[name].dtype for name in arrays.files} == {"pgd/8": np.uint8}
