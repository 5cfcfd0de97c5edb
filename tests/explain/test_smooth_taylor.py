import torch
from torch import nn

from aecompanion.explain.smooth_taylor import smooth_taylor, taylor_term
from aecompanion.pipeline.rng import generator


class Squares(nn.Module):
    """z = Σ x², whose gradient is 2x."""

    def forward(self, x):
        return x.square().flatten(1).sum(1, keepdim=True)


def noise_of(image, samples, share, seed, key):
    drawn = torch.randn(samples, *image.shape, generator=generator(seed, key))
    return share * (image.max() - image.min()) * drawn


def test_the_taylor_term_of_a_square_per_pixel(images):
    found = taylor_term(Squares(), images, 0, samples=6, noise=0.2, seed=4, keys=range(5, 10))
    for row, image in enumerate(images):
        away = noise_of(image, 6, 0.2, 4, 5 + row)  # (x - r) 2r, with r = x + away
        expected = (-away * 2 * (image + away)).mean(0).sum(0, keepdim=True)
        assert torch.allclose(found[row], expected, atol=1e-5)
    assert found.min() < 0 < found.max()
    size = smooth_taylor(Squares(), images, 0, samples=6, noise=0.2, seed=4, keys=range(5, 10))
    assert torch.equal(size, found.abs())


def test_all_pixels_together_are_the_mean_fall_of_a_linear_networks_logit(linear, images, labels):
    found = taylor_term(linear, images, labels, samples=9, noise=0.5, seed=3, keys=None).sum((1, 2, 3))
    with torch.no_grad():
        for row, image in enumerate(images):
            roots = image + noise_of(image, 9, 0.5, 3, row)
            falls = linear(image[None])[0] - linear(roots).mean(0)
            assert torch.allclose(found[row], falls[labels[row]], atol=1e-5)
            assert falls[labels[row]].abs() > 0.005


def test_without_noise_the_root_is_the_image_and_nothing_is_left(convolutional, images):
    assert not smooth_taylor(convolutional, images, 1, noise=0.0, samples=2).any()


def test_a_key_and_not_the_place_in_the_batch_decides_the_noise(convolutional, images, labels):
    together = smooth_taylor(convolutional, images, labels, samples=3, keys=[7, 8, 9, 10, 11])
    alone = smooth_taylor(convolutional, images[2:3], labels[2:3], samples=3, keys=[9])
    assert torch.equal(alone, together[2:3])


def test_the_sign_of_a_linear_network_is_that_of_the_noise(linear, images):
    """So that it is no sign for or against the class: it changes with the seed."""
    run = {"samples": 24, "noise": 0.15, "keys": None}
    one, other = (taylor_term(linear, images, 1, seed=seed, **run).sign() for seed in (1, 2))
    assert 0.4 < (one == other).float().mean() < 0.6
