import pytest
import torch
from captum.attr import Occlusion
from torch import nn

from aecompanion.explain.occlusion import occlusion, window_of


class Bright(nn.Module):
    """p_0 (a sigmoid) is the logistic function of one pixel's logit, so it is known whether a window covers it."""

    card = {"multi_label": True}

    def forward(self, images):
        return images[:, :1, 2, 5] * 2 - 1


@pytest.mark.parametrize("fill", [0.25, "images"])
def test_a_window_counts_where_it_covers_the_pixel_that_is_read(fill):
    images = torch.full((2, 2, 8, 8), 0.5)
    images[0, 0, 2, 5] = 1.0
    filling = torch.full_like(images, 0.25) if fill == "images" else fill
    found = occlusion(Bright(), images, 0, windows=4, fill=filling)  # windows of 2 by 2, side by side
    expected = torch.zeros(2, 1, 8, 8)
    high, middle, low = torch.tensor([1.0, 0.0, -0.5]).sigmoid()
    expected[:, :, 2:4, 4:6] = torch.stack([high - low, middle - low])[:, None, None, None]
    assert torch.allclose(found, expected, atol=1e-6)


def test_what_is_put_in_may_speak_for_the_class():
    found = occlusion(Bright(), torch.zeros(1, 2, 8, 8), 0, windows=4, fill=1.0)
    assert found.min() < -0.4
    assert found.max() == 0


def test_agrees_with_captum(convolutional, images, labels):
    found = occlusion(
        convolutional, images, labels, windows=3, fill=0.3
    )  # windows of 2, steps of 3 leave gaps: 4 and 2
    explain = Occlusion(lambda x: convolutional(x).softmax(1))
    options = {"sliding_window_shapes": (2, 4, 4), "strides": (2, 2, 2), "baselines": 0.3}
    for row in range(len(images)):
        expected = explain.attribute(images[row : row + 1], target=int(labels[row]), **options)
        assert torch.allclose(found[row], expected[0, :1], atol=1e-6)


def test_images_that_are_not_square():
    images = torch.full((1, 2, 8, 12), 0.5)
    found = occlusion(Bright(), images, 0, windows=2, fill=0.0)
    assert found.shape == (1, 1, 8, 12)
    assert (found[0, 0, :4, :6] > 0).all()
    assert not found[0, 0, 4:].any()
    assert not found[0, 0, :, 6:].any()


@pytest.mark.parametrize("windows", [1, 2, 3, 7, 10])
def test_windows_cover_a_side_from_end_to_end_without_gaps(windows):
    for side in range(windows, 300):
        width, step = window_of(side, windows)
        assert step >= 1
        assert windows == 1 or width >= step
        assert width + step * (windows - 1) == side
    assert window_of(64, 7) == (16, 8)
    assert window_of(224, 7) == (56, 28)


def test_bad_settings_are_errors(convolutional, images):
    for windows in (0, 9):
        with pytest.raises(ValueError, match=f"windows is {windows}, expected 1 to 8"):
            occlusion(convolutional, images, 0, windows=windows)
    with pytest.raises(ValueError, match="the images to fill from are"):
        occlusion(convolutional, images, 0, fill=images[:2])
