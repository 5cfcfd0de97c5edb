import pytest
import torch
from support import flat

from aecompanion.defend.halftone import halftone
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train import fit as plain, noisy

IMAGES = 0.1 + 0.8 * torch.rand(20, 1, 16, 16, generator=generator(6, 1))


def test_the_size_by_hand():
    images = torch.tensor([[[[0.5, 0.5]]]])
    assert noisy.size(images, images + torch.tensor([0.3, -0.4])) == pytest.approx((0.25 / 2) ** 0.5)


def test_noise_stays_within_grey_levels_and_is_new_for_every_image():
    with seeded(6, 2):
        changed = noisy.noisy(IMAGES[:1].expand(4, 1, 16, 16), sigma=0.5)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert len(torch.unique(changed.flatten(1), dim=0)) == 4


def test_small_noise_has_its_own_size():
    """Far from black and white nothing is clipped."""
    middle = torch.full((20, 1, 16, 16), 0.5)
    assert noisy.matched(middle, target=0.05) == pytest.approx(0.05, rel=0.03)


def test_the_noise_is_as_large_as_the_dots_of_other_images_and_another_draw():
    target = noisy.size(IMAGES[:10], halftone(IMAGES[:10]))
    sigma = noisy.matched(IMAGES[:10], target=target)
    with seeded(6, 3):
        found = noisy.size(IMAGES[10:], noisy.noisy(IMAGES[10:], sigma=sigma))
    assert found == pytest.approx(noisy.size(IMAGES[10:], halftone(IMAGES[10:])), rel=0.05)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a_size_that_no_noise_has_is_an_error(target):
    with pytest.raises(ValueError, match=f"size is {target:.3f}, expected above 0 and below"):
        noisy.matched(IMAGES, target=target)


def trained(fit, noise, **options):
    network = create(flat, classes=2, channels=1, size=12, seed=0, cam_layers=["0"])
    return network, fit(network, [noise, noise], epochs=6, batch=16, lr=0.05, seed=0, **options)


def test_the_first_half_of_a_batch_is_plain_and_the_second_noisy(noise, monkeypatch):
    seen = []
    whole = noisy.noisy

    def watched(images, *, sigma):
        seen.append((images.clone(), sigma))
        return whole(images, sigma=sigma)

    monkeypatch.setattr(noisy, "noisy", watched)
    _, history = trained(noisy.fit, noise, sigma=0.4)
    assert len(history) == 6
    assert {(len(images), sigma) for images, sigma in seen} == {(8, 0.4)}
    grid = torch.cat([images for images, _ in seen]) * 255
    assert torch.allclose(grid, grid.round(), atol=1e-3)  # the stored images: noise comes after


def test_without_noise_it_is_training_on_the_same_images_twice(noise):
    (first, _), (second, _) = trained(plain.fit, noise), trained(noisy.fit, noise, sigma=0.0)
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_training_with_noise_repeats_bit_for_bit_and_hangs_on_its_size(noise):
    (first, _), (second, _), (other, _) = (trained(noisy.fit, noise, sigma=sigma) for sigma in (0.4, 0.4, 0.2))
    pairs = list(zip(*(each.state_dict().values() for each in (first, second, other)), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


@pytest.mark.parametrize("count", [1, 3])
def test_other_than_two_representations_are_an_error(noise, count):
    network = create(flat, classes=2, channels=1, size=12, seed=0, cam_layers=["0"])
    with pytest.raises(ValueError, match="expected a list of two"):
        noisy.fit(network, [noise] * count, sigma=0.1, epochs=1)
