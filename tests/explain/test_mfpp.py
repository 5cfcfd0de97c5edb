import pytest
import torch
from torch import nn

from aecompanion.explain.mfpp import fragment_masks, mfpp, superpixels
from aecompanion.pipeline.rng import generator


def halves(size=16):
    """An image whose left half is dark and whose right half is bright."""
    image = torch.full((2, size, size), 0.1)
    image[:, :, size // 2 :] = 0.9
    return image


class Half(nn.Module):
    """z_0 = 4 where the left half is as dark as it was, less where it is replaced; z_1 = 0; sigmoids."""

    card = {"multi_label": True}

    def forward(self, images):
        shown = ((images[:, 0, :, :8] - 0.1).abs() < 1e-6).float().mean((1, 2))
        return torch.stack([8 * shown - 4, 0 * shown], 1)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_superpixels_follow_edges(channels):
    found = superpixels(halves()[:1].expand(channels, -1, -1), 6)  # a grid alone would put some across the edge
    assert found.min() == 0
    left, right = set(found[:, :8].flatten().tolist()), set(found[:, 8:].flatten().tolist())
    assert left.isdisjoint(right)
    assert len(left | right) > 2


def test_masks_keep_whole_segments_of_each_scale_in_turn():
    image = torch.rand(2, 16, 16, generator=generator(2, 1))
    masks = fragment_masks(image, 40, segments=(4, 16), keep=0.5, seed=1, key=3)
    assert masks.shape == (40, 1, 16, 16)
    for number, mask in enumerate(masks):
        fragments = superpixels(image, (4, 16)[number % 2])
        for fragment in fragments.unique():
            assert mask[0][fragments == fragment].unique().numel() == 1
    assert 0.35 < masks.float().mean() < 0.65
    few = fragment_masks(image, 400, segments=(16,), keep=0.2, seed=1, key=3)
    assert few.float().mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("several", [True, False])
def test_the_map_is_the_mean_score_of_the_masks_that_show_a_pixel(convolutional, images, labels, several):
    found = mfpp(convolutional, images, labels, masks=45, segments=(4, 9), multi_label=several, fill=0.2, seed=7)
    for row, image in enumerate(images):
        masks = fragment_masks(image, 45, segments=(4, 9), keep=0.5, seed=7, key=row).float()
        with torch.no_grad():
            logits = convolutional(masks * image + (1 - masks) * 0.2)
        scores = (logits.sigmoid() if several else logits.softmax(1))[:, labels[row]]
        expected = (scores[:, None, None] * masks[:, 0]).sum(0) / masks[:, 0].sum(0)
        assert torch.allclose(found[row, 0], expected, atol=1e-6)


def test_evidence_is_found_where_it_is():
    found = mfpp(Half(), halves()[None], 0, masks=200, segments=(4, 8, 16))
    assert found[..., :8].min() > found[..., 8:].max()


def test_a_network_that_says_the_same_of_everything_has_a_flat_map():
    found = mfpp(Half(), halves()[None], 1, masks=60, segments=(4, 8))
    assert torch.allclose(found, torch.tensor(0.5))


def test_a_pixel_that_no_mask_shows_gets_nothing():
    found = mfpp(Half(), halves()[None], 1, masks=1, segments=(8,), keep=0.3)
    assert set(found.unique().tolist()) == {0.0, 0.5}


def test_masks_depend_on_seed_and_key_alone(convolutional, images, labels):
    run = {"masks": 10, "segments": (4, 9), "seed": 2}
    together = mfpp(convolutional, images, labels, **run, keys=[4, 5, 6, 7, 8])
    assert torch.equal(mfpp(convolutional, images[2:3], labels[2:3], **run, keys=[6]), together[2:3])
    assert not torch.equal(mfpp(convolutional, images[2:3], labels[2:3], **run, keys=[7]), together[2:3])


@pytest.mark.parametrize("change", [{"masks": 0}, {"segments": ()}, {"segments": (5, 0)}, {"keep": 1.0}])
def test_bad_settings_are_errors(convolutional, images, change):
    with pytest.raises(ValueError, match="expected at least 1, at least 1 each, inside"):
        mfpp(convolutional, images, 0, **change)
