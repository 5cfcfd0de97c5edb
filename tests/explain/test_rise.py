import functools
import math

import pytest
import torch
from skimage.transform import resize
from torch import nn

from aecompanion.explain import rise as module
from aecompanion.explain.rise import CHUNK, random_masks
from aecompanion.pipeline.rng import generator

CLASSES = torch.tensor([0, 1, 2, 0, 1])
rise = functools.partial(module.rise, multi_label=True)  # the networks here have no card


def all_masks(count, size=(8, 8), *, cells=7, keep=0.5, seed=0):
    """The masks of a run: whole chunks, then what is left."""
    chunks = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    return torch.cat(
        [random_masks(n, size, cells=cells, keep=keep, gen=generator(seed, chunk)) for chunk, n in enumerate(chunks)]
    )


def by_the_formula(model, image, masks, *, keep, fill, squash):
    """A of one image, K×H×W, one mask at a time in double precision."""
    total = 0
    for mask in masks:
        scores = squash(model((mask * image + (1 - mask) * fill)[None])[0])
        total = total + scores.double()[:, None, None] * mask.double()
    return total / (len(masks) * keep)


# the map


@pytest.mark.parametrize(
    "options",
    [{}, {"keep": 0.2, "fill": 0.0}, {"cells": 3, "seed": 7}, {"keep": 0.8, "fill": 1.0, "cells": 8}],
    ids=str,
)
@pytest.mark.parametrize(
    ("multi_label", "squash"),
    [(True, torch.sigmoid), (False, lambda logits: logits.softmax(0))],
    ids=["sigmoid", "softmax"],
)
def test_the_map_is_the_formula_over_the_drawn_masks(network, images, options, multi_label, squash):
    maps = rise(network, images[:2], masks=70, multi_label=multi_label, **options)
    keep, fill = options.pop("keep", 0.5), options.pop("fill", 0.5)
    drawn = all_masks(70, keep=keep, **options)
    for image, found in zip(images, maps, strict=False):
        expected = by_the_formula(network, image, drawn, keep=keep, fill=fill, squash=squash)
        assert torch.allclose(found.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("masks", [1, 63, 64, 65, 128, 130])
def test_a_run_uses_its_masks_across_chunks_and_no_others(linear, images, masks):
    found = rise(linear, images[:1], CLASSES[:1], masks=masks)
    expected = by_the_formula(linear, images[0], all_masks(masks), keep=0.5, fill=0.5, squash=torch.sigmoid)
    assert torch.allclose(found[0].double(), expected[:1], rtol=0, atol=1e-5)


def test_the_network_is_asked_once_per_image_and_mask_whatever_the_classes(linear, images):
    seen = []
    linear.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    rise(linear, images[:2], masks=65)
    assert seen == [32, 32, 32, 32, 1, 1]


def test_the_map_of_a_class_is_that_one_of_all_classes(network, images):
    every = rise(network, images, masks=20)
    chosen = rise(network, images, CLASSES, masks=20)
    assert (every.shape, chosen.shape) == ((5, 3, 8, 8), (5, 1, 8, 8))
    assert torch.allclose(chosen[:, 0], every[torch.arange(5), CLASSES], rtol=0, atol=1e-6)


def test_an_image_alone_has_the_map_that_it_has_in_a_batch(network, images):
    every = rise(network, images[:3], CLASSES[:3], masks=70)
    alone = torch.cat([rise(network, images[i : i + 1], CLASSES[i : i + 1], masks=70) for i in range(3)])
    assert torch.allclose(alone, every, rtol=0, atol=1e-6)


def test_a_network_without_preference_gives_the_mean_mask(linear, images):
    """Logits of 0 have the sigmoid 1/2, so A = mean(m) / (2p)."""
    nn.init.zeros_(linear[1].weight)
    nn.init.zeros_(linear[1].bias)
    maps = rise(linear, images, masks=100, keep=0.4)
    assert torch.allclose(maps, (all_masks(100, keep=0.4).mean(0) / (2 * 0.4)).expand(5, 3, 8, 8), rtol=0, atol=1e-5)


@pytest.mark.parametrize("masks", [20, 70])
def test_once_the_coverage_is_divided_out_a_network_without_preference_gives_a_constant_map(linear, images, masks):
    nn.init.zeros_(linear[1].weight)
    linear[1].bias.data = torch.tensor([0.0, 2.0, -1.0])
    maps = rise(linear, images, masks=masks, keep=0.4, even=True)
    expected = torch.tensor([0.0, 2.0, -1.0]).sigmoid()[None, :, None, None].expand(5, 3, 8, 8)
    assert torch.allclose(maps, expected, rtol=0, atol=1e-5)
    assert rise(linear, images, masks=masks, keep=0.4)[0, 0].std() > 0.01


def test_dividing_the_coverage_out_is_dividing_by_the_mean_mask(network, images):
    plain, even = (rise(network, images, CLASSES, masks=70, even=each) for each in (False, True))
    assert torch.allclose(even, plain * 0.5 / all_masks(70).mean(0), rtol=1e-4, atol=1e-6)


def test_a_pixel_that_no_mask_shows_has_no_attribution(linear, images):
    found = rise(linear, images[:1], CLASSES[:1], masks=1, keep=0.05, even=True)
    bare = all_masks(1, keep=0.05)[0] == 0
    assert bare.any()
    assert (found[0][bare] == 0).all()


def looks_at(row, column, side=32):
    """Two classes: the logit of the first is 20·(x - 0.75) of one pixel, that of the second 0."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(side * side, 2))
    weights = torch.zeros(2, side, side)
    weights[0, row, column] = 20
    model[1].weight.data, model[1].bias.data = weights.flatten(1), torch.tensor([-15.0, 0])
    return model.eval()


@pytest.mark.parametrize("pixel", [(16, 16), (5, 25), (0, 0), (31, 10)])
def test_the_hottest_place_is_near_the_only_pixel_that_counts(pixel):
    heat = rise(looks_at(*pixel), torch.ones(1, 1, 32, 32), torch.tensor([0]), masks=1500)
    row, column = divmod(heat.argmax().item(), 32)
    cell = math.ceil(32 / 7)
    assert math.dist((row, column), pixel) <= cell
    far = heat[0, 0, (pixel[0] + 16) % 32, (pixel[1] + 16) % 32]
    assert heat.amax() > 1.3 * far


def test_softmax_scores_of_two_classes_are_complementary_and_sigmoid_scores_are_not():
    """Logits z and 0: the softmax is sigmoid(z) and its complement, the sigmoids are sigmoid(z) and 1/2."""
    model, image = looks_at(8, 8, 16), torch.rand(1, 1, 16, 16, generator=generator(0, 1))
    sigmoid, softmax = (rise(model, image, masks=70, multi_label=each)[0] for each in (True, False))
    mean = all_masks(70, (16, 16)).mean(0)[0] / 0.5
    assert torch.allclose(softmax[0], sigmoid[0], rtol=0, atol=1e-5)
    assert torch.allclose(softmax.sum(0), mean, rtol=0, atol=1e-5)
    assert torch.allclose(sigmoid[1], mean / 2, rtol=0, atol=1e-5)


def test_an_image_of_the_fill_value_is_not_changed_by_any_mask(linear):
    image = torch.full((1, 2, 8, 8), 0.3)
    expected = linear(image).sigmoid()[0, :, None, None] * all_masks(10).mean(0) / 0.5
    assert torch.allclose(rise(linear, image, masks=10, fill=0.3)[0], expected, rtol=0, atol=1e-5)


def test_the_map_depends_on_the_seed_only(linear, images):
    state = torch.get_rng_state()
    first, second, other = (rise(linear, images, masks=10, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.allclose(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_progress_sees_every_chunk_once(linear, images):
    seen = []
    rise(linear, images, masks=130, progress=lambda items: seen.extend(items) or items)
    assert seen == [0, 1, 2, 3, 4]


def test_the_network_is_asked_in_evaluation_mode_and_returned_as_it_was(convolutional, images, condition, fail_on_call):
    expected = rise(convolutional, images, CLASSES, masks=10)
    before, copy = condition(convolutional.train()), images.clone()
    found = rise(convolutional, images, CLASSES, masks=10)
    assert torch.equal(found, expected)
    assert not found.requires_grad
    assert torch.equal(images, copy)
    assert condition(convolutional) == before
    fail_on_call(convolutional, 3)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match="call 3"):
        rise(convolutional, images, CLASSES, masks=10)
    assert condition(convolutional) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("masks", 0), ("masks", -1), ("cells", 0), ("keep", 0), ("keep", 1), ("keep", -0.5), ("keep", 1.5)],
)
def test_a_number_out_of_its_range_is_an_error(linear, images, name, value):
    expected = rf"{name} {value}\b.*: expected at least 1, at least 1, inside \(0, 1\)$"
    with pytest.raises(ValueError, match=expected):
        rise(linear, images, **{name: value})


# the masks


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (9, 20), (5, 5)])
@pytest.mark.parametrize("cells", [1, 3, 7])
def test_masks_have_the_image_s_size_and_values_from_0_to_1(size, cells):
    masks = random_masks(20, size, cells=cells, keep=0.5, gen=generator(0, 1))
    assert (masks.shape, masks.dtype) == ((20, 1, *size), torch.float32)
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6  # weights of an interpolation that add up to 1 but for rounding


@pytest.mark.parametrize(("size", "cells"), [((16, 16), 4), ((12, 20), 5)])
def test_a_mask_is_a_grid_enlarged_and_shifted_as_scikit_image_enlarges_it(size, cells):
    found = random_masks(6, size, cells=cells, keep=0.5, gen=generator(3, 1))[:, 0]
    gen = generator(3, 1)
    grids = (torch.rand(6, 1, cells, cells, generator=gen) < 0.5).double().numpy()[:, 0]
    cell = [math.ceil(side / cells) for side in size]
    shifts = [torch.randint(side, (6,), generator=gen).tolist() for side in cell]
    for mask, grid, top, left in zip(found, grids, *shifts, strict=True):
        large = resize(grid, [(cells + 1) * side for side in cell], order=1, mode="edge", anti_aliasing=False)
        expected = torch.from_numpy(large[top : top + size[0], left : left + size[1]]).float()
        assert torch.allclose(mask, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.8])
def test_the_expected_value_of_every_pixel_is_the_chance_that_a_cell_stays(keep):
    masks = random_masks(4000, (12, 12), cells=4, keep=keep, gen=generator(0, 2))
    error = math.sqrt(keep * (1 - keep) / 4000)  # of a pixel that takes part in one cell; others vary less
    assert ((masks.mean(0) - keep).abs() < 5 * error).all()


def test_a_single_cell_stays_or_goes_as_a_whole():
    masks = random_masks(50, (16, 16), cells=1, keep=0.5, gen=generator(0, 3)).flatten(1)
    assert set(masks.round().mean(1).tolist()) == {0, 1}
    assert (masks.amax(1) - masks.amin(1)).max() < 1e-6


def test_masks_are_shifted_by_every_part_of_a_cell():
    """A border between two cells of 8 px is enlarged to column 12 and moved to the left by 0 to 7."""
    masks = random_masks(600, (16, 16), cells=2, keep=0.5, gen=generator(0, 3))[:, 0]
    split = masks[((masks[:, :, 0] < 0.25) & (masks[:, :, -1] > 0.75)).all(1)]
    borders = (split[:, 0] > 0.5).long().argmax(1)
    assert set(borders.tolist()) == set(range(5, 13))
