import pytest
import torch
from captum.attr import NoiseTunnel, Saliency
from torch import nn

from aecompanion.explain.saliency import saliency
from aecompanion.explain.smoothgrad import smoothgrad
from aecompanion.pipeline.rng import generator, seeded


class Squares(nn.Module):
    """z_0 = Σ x², whose gradient is 2x; z_1 = -3 Σ x."""

    def forward(self, x):
        flat = x.flatten(1)
        return torch.stack([flat.square().sum(1), -3 * flat.sum(1)], 1)


def test_the_mean_gradient_of_a_square_is_that_of_the_mean_copy(images):
    found = smoothgrad(
        Squares(), images, torch.tensor([0, 0, 1, 0, 1]), samples=6, noise=0.2, seed=4, keys=range(5, 10)
    )
    assert torch.allclose(found[[2, 4]], torch.tensor(3.0))
    for row in (0, 1, 3):
        image = images[row]
        drawn = torch.randn(6, 2, 8, 8, generator=generator(4, 5 + row)) * 0.2 * (image.max() - image.min())
        expected = 2 * (image + drawn.mean(0)).abs().amax(0, keepdim=True)
        assert torch.allclose(found[row], expected, atol=1e-5)


def test_agrees_with_captum_at_equal_noise(convolutional, images, labels):
    found = smoothgrad(convolutional, images, labels, samples=7, noise=3.0, seed=2, keys=[3, 1, 4, 15, 9])
    for row, key in enumerate([3, 1, 4, 15, 9]):
        image = images[row : row + 1]
        options = {"nt_type": "smoothgrad", "nt_samples": 7, "abs": False}
        with seeded(2, key):  # captum draws its noise from torch's own generator
            sigma = 3 * (image.max() - image.min()).item()
            tunnel = NoiseTunnel(Saliency(convolutional))
            expected = tunnel.attribute(image, target=int(labels[row]), stdevs=sigma, **options)
        assert not torch.allclose(
            found[row], saliency(convolutional, image, int(labels[row]))[0]
        )  # ReLUs open and close
        assert torch.allclose(found[row], expected[0].abs().amax(0, keepdim=True), atol=1e-6)


def test_without_noise_it_is_the_gradient(convolutional, images, labels):
    assert torch.allclose(
        smoothgrad(convolutional, images, labels, samples=2, noise=0.0), saliency(convolutional, images, labels)
    )


def test_an_image_of_one_colour_has_no_range_and_so_no_noise(convolutional):
    image = torch.full((1, 2, 8, 8), 0.4)
    assert torch.allclose(smoothgrad(convolutional, image, 1), saliency(convolutional, image, 1))


def test_a_key_and_not_the_place_in_the_batch_decides_the_noise(convolutional, images, labels):
    together = smoothgrad(convolutional, images, labels, noise=3.0, samples=3, keys=[7, 8, 9, 10, 11])
    alone = smoothgrad(convolutional, images[2:3], labels[2:3], noise=3.0, samples=3, keys=[9])
    assert torch.equal(alone, together[2:3])
    assert not torch.equal(alone, smoothgrad(convolutional, images[2:3], labels[2:3], noise=3.0, samples=3, keys=[8]))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"samples": 0}, "samples 0, noise 0.15: expected at least 1 and at least 0"),
        ({"noise": -0.1}, "samples 24, noise -0.1: expected at least 1 and at least 0"),
        ({"keys": [1, 2]}, "there are 2 keys, expected one for each of 5 images"),
    ],
)
def test_bad_settings_are_errors(convolutional, images, labels, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        smoothgrad(convolutional, images, labels, **change)
