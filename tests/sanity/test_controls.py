from functools import partial

import pytest
import torch

from aecompanion.pipeline.rng import generator
from aecompanion.sanity.controls import l2_noise, sign_noise

EPS = 8 / 255
INDICES = [3, 0, 11, 7]


@pytest.fixture
def images():
    """Far enough from 0 and 1 that nothing is clipped."""
    return torch.rand(4, 2, 8, 8, generator=generator(9, 1)) * 0.4 + 0.3


@pytest.fixture(params=["sign", "l2"])
def noise(request):
    """Either control; the second one as long as the first is."""

    def l2(images, **options):
        return l2_noise(images, norms=torch.full((len(images),), EPS * 128**0.5), **options)

    return partial(sign_noise, eps=EPS) if request.param == "sign" else l2


def lengths(delta):
    return delta.flatten(1).norm(dim=1)


# ---- both


def test_the_noise_of_an_image_depends_on_its_index_and_not_on_its_batch(noise, images):
    found = noise(images, seed=5, indices=INDICES)
    for n, index in enumerate(INDICES):
        assert torch.equal(noise(images[n : n + 1], seed=5, indices=[index])[0], found[n])
    order = [2, 0, 3, 1]
    assert torch.equal(noise(images[order], seed=5, indices=[INDICES[n] for n in order]), found[order])


def test_the_noise_of_another_image_or_seed_is_another(noise, images):
    same = images[:1].expand(4, -1, -1, -1)
    found = noise(same, seed=5, indices=INDICES)
    assert len(found.flatten(1).unique(dim=0)) == 4
    assert torch.equal(noise(same, seed=5, indices=torch.tensor(INDICES)), found)
    other = noise(same, seed=6, indices=INDICES)
    assert not any(torch.equal(*pair) for pair in zip(found, other, strict=True))


def test_noise_stays_in_the_range_and_keeps_shape_type_and_images(noise, images):
    extreme = torch.stack([torch.zeros(2, 8, 8), torch.ones(2, 8, 8), *images[2:]]).double()
    kept = extreme.clone()
    found = noise(extreme, seed=5, indices=INDICES)
    assert (found.shape, found.dtype) == (extreme.shape, torch.float64)
    assert found.aminmax() == (0, 1)
    assert torch.equal(extreme, kept)


def test_the_global_random_state_is_left_alone(noise, images):
    before = torch.get_rng_state()
    noise(images, seed=5, indices=INDICES)
    assert torch.equal(torch.get_rng_state(), before)


# ---- signs


@pytest.mark.parametrize("eps", [1 / 255, EPS, 0.25])
def test_sign_noise_moves_every_pixel_by_eps(images, eps):
    delta = sign_noise(images.double(), eps=eps, seed=5, indices=INDICES) - images.double()
    assert torch.allclose(delta.abs(), torch.full_like(delta, eps), rtol=0, atol=1e-12)


def test_both_signs_are_equally_likely_and_neighbours_independent(images):
    signs = (sign_noise(images[:1].expand(100, -1, -1, -1), eps=EPS, seed=5, indices=range(100)) - images[:1]).sign()
    count = signs.numel()
    assert abs(signs.mean()) < 4 / count**0.5
    assert abs((signs[..., 1:] * signs[..., :-1]).mean()) < 4 / count**0.5
    assert abs((signs[1:] * signs[:-1]).mean()) < 4 / count**0.5


def test_sign_noise_is_clipped_like_an_attack():
    images = torch.tensor([0.0, 0.125, 0.5, 0.875, 1.0]).repeat(40).reshape(1, 1, 1, 200)
    found = sign_noise(images, eps=0.25, seed=5, indices=[0]).reshape(40, 5)
    assert [sorted(values.unique().tolist()) for values in found.T] == [
        [0, 0.25],
        [0, 0.375],
        [0.25, 0.75],
        [0.625, 1],
        [0.75, 1],
    ]


def test_without_eps_there_is_no_sign_noise(images):
    assert torch.equal(sign_noise(images, eps=0.0, seed=5, indices=INDICES), images)


@pytest.mark.parametrize("control", [sign_noise, l2_noise])
def test_fewer_indices_than_images_are_an_error(images, control):
    size = {"eps": EPS} if control is sign_noise else {"norms": torch.ones(4)}
    with pytest.raises(ValueError, match="indices"):
        control(images, seed=5, indices=[0], **size)


# ---- length


def test_l2_noise_is_as_long_as_asked_for_each_image(images):
    norms = torch.tensor([0.0, 0.5, 1.0, 0.25]).double()
    found = l2_noise(images.double(), norms=norms, seed=5, indices=INDICES)
    assert torch.equal(found[0], images[0].double())
    assert lengths(found - images.double()).tolist() == pytest.approx(norms.tolist(), abs=1e-6)  # drawn in float32


def test_the_direction_does_not_depend_on_the_length(images):
    one, two = (
        l2_noise(images.double(), norms=torch.full((4,), norm), seed=5, indices=INDICES) - images for norm in (0.5, 1)
    )
    assert torch.allclose(2 * one, two, rtol=0, atol=1e-6)


def test_directions_are_random_and_without_preference(images):
    many = images[:1].expand(200, -1, -1, -1)
    delta = (l2_noise(many, norms=torch.ones(200), seed=5, indices=range(200)) - many).flatten(1)
    cosines = (delta @ delta.T)[~torch.eye(200, dtype=torch.bool)]
    assert cosines.abs().max() < 0.6  # of 128 dimensions: standard deviation 0.09
    assert delta.mean(0).norm() < 2 / 200**0.5
    assert (delta.square().mean(0) * 128 - 1).abs().max() < 0.6  # no pixel gets more than its share


def test_l2_noise_that_leaves_the_range_is_clipped_and_shorter():
    images = torch.ones(2, 1, 8, 8)
    found = l2_noise(images, norms=torch.tensor([1.0, 9.0]), seed=5, indices=[0, 1])
    assert found.max() == 1
    assert found.min() >= 0
    assert (lengths(found - images) < torch.tensor([1.0, 9.0])).all()
