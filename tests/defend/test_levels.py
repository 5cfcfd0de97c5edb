import numpy as np
import pytest
import torch

from aecompanion.defend.halftone import halftone
from aecompanion.defend.inverse import low_pass
from aecompanion.defend.levels import Levels, diffuse
from aecompanion.pipeline.rng import generator

IMAGES = torch.rand(3, 2, 9, 11, generator=generator(1, 1))


@pytest.mark.parametrize("method", ["floyd_steinberg", "jarvis", "stucki", "atkinson"])
def test_two_levels_are_the_halftone_bit_for_bit(method):
    assert torch.equal(diffuse(IMAGES, levels=2, method=method), halftone(IMAGES, method=method))


def test_three_levels_by_hand():
    """.3 -> .5 (error -.2); .6 - .0875 = .5125 -> .5 (error .0125); .8 + .0055 -> 1."""
    image = torch.tensor([[[[0.3, 0.6, 0.8]]]])
    assert diffuse(image, levels=3).flatten().tolist() == [0.5, 0.5, 1.0]


@pytest.mark.parametrize("levels", [2, 3, 4, 8])
def test_values_are_levels_and_the_mean_stays(levels):
    image = torch.full((1, 1, 64, 64), 0.37)
    out = diffuse(image, levels=levels)
    assert np.allclose((out * (levels - 1)).round(), out * (levels - 1), atol=1e-6)
    assert len(out.unique()) == 2  # the two levels around .37
    assert out.mean().item() == pytest.approx(0.37, abs=0.01)


def test_more_levels_are_nearer_to_the_image_and_a_blur_follows():
    error = [(diffuse(IMAGES, levels=levels) - IMAGES).pow(2).mean().item() for levels in (2, 3, 4, 8)]
    assert error == sorted(error, reverse=True)
    assert torch.equal(Levels(4, sigma=1.0)(IMAGES), low_pass(diffuse(IMAGES, levels=4), sigma=1.0))
    assert torch.equal(Levels(4)(IMAGES), diffuse(IMAGES, levels=4))


@pytest.mark.parametrize("change", [{"levels": 1}, {"levels": 3, "method": "bayer"}])
def test_what_diffuses_nothing_is_refused(change):
    with pytest.raises(ValueError, match="expected at least 2 by one of floyd_steinberg"):
        diffuse(IMAGES, **change)


def test_images_outside_the_unit_interval_are_refused():
    with pytest.raises(ValueError, match="expected \\[0, 1\\]"):
        diffuse(IMAGES * 255, levels=3)
