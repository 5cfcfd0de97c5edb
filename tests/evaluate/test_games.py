import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.evaluate import games
from aecompanion.evaluate.games import energy, hottest_removed, random_maps, ranks, schedule
from aecompanion.pipeline.rng import generator


def pixel_weights(*weights):
    """A one-channel network of two classes: logit 0 is the weighted sum of the pixels times ln 2, logit 1 its negative.

    So a sum of k has the probabilities 2^k / (1 + 2^k) and 1 / (1 + 2^k).
    """
    model = nn.Sequential(nn.Flatten(), nn.Linear(len(weights), 2))
    row = torch.tensor(weights, dtype=torch.float32) * math.log(2)
    model[1].weight.data = torch.stack([row, -row])
    model[1].bias.data = torch.zeros(2)
    return model.eval()


def image_of(*values):
    side = math.isqrt(len(values))
    return torch.tensor(values, dtype=torch.float32).reshape(1, 1, side, side)


def exactly(values):
    return pytest.approx(values, abs=1e-6)


play = functools.partial(games.play, multi_label=True)  # the networks here have no card
FIRST, EXPLAINED = torch.tensor([0]), torch.tensor([0, 1, 2, 0, 1])
EVERY_PIXEL = range(5)  # of a 2×2 image

# the area under the curve, on paper


def test_a_deletion_of_2_by_2_pixels_of_known_order():
    """Weights 8, 4, 2, 1, taken in the order first, last, third, second: 15, 7, 6, 4 and 0 are left."""
    heat = image_of(0.9, 0.1, 0.3, 0.5)
    game = play(
        pixel_weights(8, 4, 2, 1), torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), heat, FIRST, steps=EVERY_PIXEL
    )
    expected = [32768 / 32769, 128 / 129, 64 / 65, 16 / 17, 1 / 2]
    assert game.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert game.scores[0].tolist() == exactly(expected)
    assert game.auc.tolist() == exactly([(sum(expected) - (expected[0] + expected[-1]) / 2) / 4])
    assert game.ties.tolist() == [0]


def test_the_other_class_of_the_same_game_has_the_other_probabilities():
    ends, heat = (torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)), image_of(4, 3, 2, 1)
    game = play(pixel_weights(1, 1, 1, 1), *ends, heat, torch.tensor([1]), steps=EVERY_PIXEL)
    assert game.scores[0].tolist() == exactly([1 / 17, 1 / 9, 1 / 5, 1 / 3, 1 / 2])


def test_the_better_of_two_orders_has_the_lower_deletion_and_the_higher_insertion():
    model, image, none = pixel_weights(4, 2, 1, 0), torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    maps, target = torch.cat([image_of(4, 3, 2, 1), image_of(1, 2, 3, 4)]), torch.tensor([0, 0])
    good, bad = play(model, image, none, maps, target, steps=EVERY_PIXEL).auc
    assert good < bad
    good, bad = play(model, none, image, maps, target, steps=EVERY_PIXEL).auc
    assert good > bad


def test_a_game_of_3_by_3_pixels_in_unequal_steps_is_the_trapezoid_of_numpy():
    """The pixels are inserted from the last to the first: after 1, 3 and 9 of them the sum is 8, 8 + 7 + 6 and 36."""
    weights, heat = [0, 1, 2, 3, 4, 5, 6, 7, 8], image_of(*range(9))
    nothing, image = torch.zeros(1, 1, 3, 3), torch.full((1, 1, 3, 3), 0.1)
    game = play(pixel_weights(*weights), nothing, image, heat, FIRST, steps=[0, 1, 3, 9])
    expected = [2**k / (1 + 2**k) for k in (0, 0.8, 2.1, 3.6)]
    assert game.scores[0].tolist() == exactly(expected)
    assert game.auc.tolist() == exactly([np.trapezoid(expected, [0, 1 / 9, 3 / 9, 1])])


def test_only_the_replaced_pixels_come_from_the_substrate():
    """Start and end differ everywhere; the hottest pixel (weight 1) becomes 0.25, the others stay 0.75 until then."""
    start, end = torch.full((1, 1, 2, 2), 0.75), torch.full((1, 1, 2, 2), 0.25)
    game = play(pixel_weights(0, 1, 0, 0), start, end, image_of(0, 1, -1, -2), FIRST, steps=EVERY_PIXEL)
    low, high = 2**0.25 / (1 + 2**0.25), 2**0.75 / (1 + 2**0.75)
    assert game.scores[0].tolist() == exactly([high, low, low, low, low])


def test_the_scores_of_a_softmax_are_shares_of_all_classes():
    """Logits k ln 2 and -k ln 2: the softmax is 4^k / (1 + 4^k)."""
    game = play(
        pixel_weights(1, 1, 1, 1),
        torch.ones(1, 1, 2, 2),
        torch.zeros(1, 1, 2, 2),
        image_of(4, 3, 2, 1),
        FIRST,
        steps=EVERY_PIXEL,
        multi_label=False,
    )
    assert game.scores[0].tolist() == exactly([256 / 257, 64 / 65, 16 / 17, 4 / 5, 1 / 2])


# invariants, and the same game one image at a time


@pytest.fixture
def maps():
    return torch.rand(5, 1, 8, 8, generator=generator(1, 4))


@pytest.fixture
def substrate():
    return torch.rand(5, 2, 8, 8, generator=generator(1, 5))


def one_by_one(model, start, end, heat, target, steps, squash):
    """The scores of one map by the definition, with an image made anew for every step."""
    order, found = np.argsort(-heat.numpy().ravel(), kind="stable"), []
    for step in steps:
        image = start.clone()
        for pixel in order[:step]:
            image[:, pixel // 8, pixel % 8] = end[:, pixel // 8, pixel % 8]
        found.append(squash(model(image[None])[0])[target].item())
    return found


@pytest.mark.parametrize(
    ("multi_label", "squash"),
    [(True, torch.sigmoid), (False, lambda logits: logits.softmax(0))],
    ids=["sigmoid", "softmax"],
)
@pytest.mark.parametrize("inserting", [False, True])
def test_a_game_is_the_loop_over_maps_and_steps(network, images, substrate, maps, multi_label, squash, inserting):
    steps = [0, 1, 5, 20, 33, 64]
    ends = (substrate, images) if inserting else (images, substrate)
    game = play(network, *ends, maps, EXPLAINED, steps=steps, multi_label=multi_label)
    expected = [one_by_one(network, *pair, steps, squash) for pair in zip(*ends, maps, EXPLAINED.tolist(), strict=True)]
    assert torch.allclose(game.scores, torch.tensor(expected), rtol=0, atol=1e-6)
    assert torch.allclose(game.auc, torch.tensor(np.trapezoid(expected, np.array(steps) / 64)).float(), atol=1e-6)


def test_inserting_from_the_coldest_pixel_is_the_deletion_backwards(network, images, substrate, maps):
    deleted = play(network, images, substrate, maps, EXPLAINED, steps=range(65))
    inserted = play(network, substrate, images, -maps, EXPLAINED, steps=range(65))
    assert torch.allclose(deleted.scores, inserted.scores.flip(1), atol=1e-6)
    assert torch.allclose(deleted.auc, inserted.auc, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 7, 128])
@pytest.mark.parametrize("score_class", ["explained", "argmax"])
def test_the_scores_do_not_depend_on_the_batch_size(network, images, substrate, maps, batch, score_class):
    expected = play(network, images, substrate, maps, EXPLAINED, score_class=score_class, batch=15)
    game = play(network, images, substrate, maps, EXPLAINED, score_class=score_class, batch=batch)
    assert torch.allclose(game.scores, expected.scores, atol=1e-6)
    assert torch.allclose(game.auc, expected.auc, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_ends_that_are_known_are_not_played_again(network, images, substrate, maps, batch):
    target = torch.arange(len(maps)) % 2
    options = {"steps": [0, 1, 3, maps[0].numel()], "multi_label": True, "batch": batch}
    whole = play(network, images, substrate, maps, target, **options)
    ends = whole.scores[:, 0], whole.scores[:, -1]
    seen = []
    hook = network.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    again = play(network, images, substrate, maps, target, ends=ends, **options)
    hook.remove()
    assert sum(seen) == 2 * len(maps)
    assert torch.allclose(again.scores, whole.scores, atol=1e-6)
    assert torch.equal(again.scores[:, [0, -1]], whole.scores[:, [0, -1]])
    short = play(network, images, substrate, maps, target, steps=[0, maps[0].numel()], multi_label=True, ends=ends)
    assert torch.equal(short.scores, whole.scores[:, [0, -1]])


def test_a_map_alone_with_its_key_plays_the_game_that_it_plays_among_others(network, images, substrate):
    flat = torch.zeros(5, 1, 8, 8)
    every = play(network, images, substrate, flat, EXPLAINED, seed=3, keys=[4, 8, 15, 16, 23])
    alone = play(network, images[3:4], substrate[3:4], flat[:1], EXPLAINED[3:4], seed=3, keys=[16])
    assert torch.allclose(every.scores[3:4], alone.scores, atol=1e-6)


def test_only_the_order_of_a_map_counts(network, images, substrate, maps):
    game = play(network, images, substrate, maps, EXPLAINED)
    assert torch.equal(play(network, images, substrate, 5 * maps - 3, EXPLAINED).scores, game.scores)
    assert torch.equal(play(network, images, substrate, maps.exp(), EXPLAINED).scores, game.scores)


def test_a_game_costs_one_more_than_its_steps_per_map(linear, images, substrate, maps):
    seen = []
    linear.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    play(linear, images, substrate, maps, EXPLAINED, steps=[0, 10, 20, 64], batch=8)
    assert seen == [8, 8, 4]


def test_without_steps_the_schedule_of_the_image_is_played(linear, images, substrate, maps):
    game = play(linear, images, substrate, maps, EXPLAINED)
    assert (game.share * 64).tolist() == [0, 16, 32, 48, 64]
    assert game.scores.shape == (5, 5)


def test_the_class_may_be_the_most_likely_one_of_the_start(network, images, substrate, maps):
    likely = network(images).argmax(1)
    other = (likely + 1) % 3
    game = play(network, images, substrate, maps, other, score_class="argmax")
    expected = play(network, images, substrate, maps, likely)
    assert torch.allclose(game.scores, expected.scores, atol=1e-6)
    assert not torch.allclose(play(network, images, substrate, maps, other).scores, expected.scores, atol=1e-3)


@pytest.mark.parametrize(("start", "likely"), [(1.0, 0), (-1.0, 1)])
def test_the_most_likely_class_is_that_of_the_start_and_not_of_the_end(start, likely):
    ends = [torch.full((1, 1, 2, 2), value) for value in (start, -start)]
    options = {"steps": EVERY_PIXEL, "score_class": "argmax"}
    game = play(pixel_weights(1, 1, 1, 1), *ends, image_of(4, 3, 2, 1), torch.tensor([1 - likely]), **options)
    assert game.scores[0].tolist() == exactly([16 / 17, 4 / 5, 1 / 2, 1 / 5, 1 / 17])


# what comes back, what is left as it was


def test_the_network_is_asked_in_evaluation_mode_and_returned_as_it_was(
    convolutional, images, substrate, maps, condition, fail_on_call
):
    expected = play(convolutional, images, substrate, maps, EXPLAINED)
    before = condition(convolutional.train())
    found = play(convolutional, images, substrate, maps, EXPLAINED)
    assert torch.equal(found.scores, expected.scores)
    assert not found.scores.requires_grad
    assert condition(convolutional) == before
    fail_on_call(convolutional, 3)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match="call 3"):
        play(convolutional, images, substrate, maps, EXPLAINED, batch=2)
    assert condition(convolutional) == before


@pytest.mark.parametrize("score_class", ["explained", "argmax"])
def test_nothing_handed_over_is_changed(linear, images, substrate, maps, score_class):
    target = EXPLAINED.clone()
    handed = (images, substrate, maps, target)
    copies, state = [each.clone() for each in handed], torch.get_rng_state()
    play(linear, *handed, score_class=score_class)
    assert all(torch.equal(each, copy) for each, copy in zip(handed, copies, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


# errors


@pytest.mark.parametrize(
    ("start", "end", "heat"),
    [
        ((2, 1, 4, 4), (2, 1, 4, 5), (2, 1, 4, 4)),
        ((2, 1, 4, 4), (2, 3, 4, 4), (2, 1, 4, 4)),
        ((2, 1, 4, 4), (2, 1, 4, 4), (2, 1, 2, 2)),
        ((2, 3, 4, 4), (2, 3, 4, 4), (2, 3, 4, 4)),
        ((2, 1, 4, 4), (2, 1, 4, 4), (2, 4, 4)),
        ((3, 1, 4, 4), (3, 1, 4, 4), (2, 1, 4, 4)),
    ],
)
def test_shapes_that_do_not_fit_are_an_error(start, end, heat):
    with pytest.raises(ValueError, match=r"^start \(.*\), end \(.*\), maps \(.*\): expected n×C×H×W twice and n×1×H×W"):
        play(nn.Flatten(), torch.rand(start), torch.rand(end), torch.rand(heat), torch.tensor([0, 0]))


def one_pixel(**options):
    target = options.pop("target", FIRST)
    return play(nn.Flatten(), torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), image_of(1, 2, 3, 4), target, **options)


@pytest.mark.parametrize("steps", [[1, 4], [0, 3], [0, 2, 2, 4], [0, 3, 1, 4], [0, 5], [4], [0]])
def test_steps_that_do_not_rise_from_0_to_all_pixels_are_an_error(steps):
    expected = f"^steps run from {steps[0]} to {steps[-1]}, expected rising numbers from 0 to 4$"
    with pytest.raises(ValueError, match=expected):
        one_pixel(steps=steps)


def test_no_steps_are_an_error_that_names_them():
    with pytest.raises(ValueError, match="steps"):
        one_pixel(steps=[])


def test_an_unknown_score_class_is_an_error():
    with pytest.raises(ValueError, match="^score_class is 'likely', expected 'explained' or 'argmax'$"):
        one_pixel(score_class="likely")


@pytest.mark.parametrize("count", [0, 2])
def test_a_target_of_another_length_than_the_maps_is_an_error(count):
    with pytest.raises(ValueError, match="target"):
        one_pixel(target=torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_map_that_is_not_finite_is_named(value):
    heat = torch.rand(3, 1, 2, 2)
    heat[1, 0, 1, 0] = value
    with pytest.raises(ValueError, match="^map 1 holds values that are not finite, expected numbers$"):
        ranks(heat, seed=0, keys=range(3))
    with pytest.raises(ValueError, match="^map 1 holds"):
        play(nn.Flatten(), torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2), heat, torch.zeros(3, dtype=torch.int64))


# numbers of changed pixels


def test_the_schedule_of_the_64_px_images_is_fine_first():
    steps = schedule(4096)
    assert steps[:3] == [0, 16, 32]
    assert steps[64:67] == [1024, 1152, 1280]
    assert steps[-2:] == [3968, 4096]
    assert len(steps) == 1 + 64 + 24


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        (1, {}, [0, 1]),
        (16, {}, [0, 16]),
        (20, {}, [0, 16, 20]),
        (10, {"first": 3, "fine": 6, "then": 2}, [0, 3, 6, 8, 10]),
        (10, {"first": 3, "fine": 7, "then": 2}, [0, 3, 6, 7, 9, 10]),
        (9, {"first": 1, "fine": 100}, list(range(10))),
        (9, {"fine": 0, "then": 4}, [0, 4, 8, 9]),
    ],
)
def test_the_schedule_rises_from_0_to_all_pixels(pixels, options, expected):
    assert schedule(pixels, **options) == expected


@pytest.mark.parametrize(("pixels", "first", "then"), [(0, 16, 128), (9, 0, 128), (9, 16, 0), (9, -1, 2)])
def test_a_schedule_of_steps_below_one_is_an_error(pixels, first, then):
    with pytest.raises(ValueError, match=f"^steps {first} and {then} of {pixels} pixels, expected at least 1 each$"):
        schedule(pixels, first=first, then=then)


# the order of the pixels and its ties


def test_the_ranks_are_places_in_falling_order():
    rank, ties = ranks(image_of(0.5, -1, 3, 2), seed=0, keys=[0])
    assert rank.tolist() == [[2, 3, 0, 1]]
    assert ties.tolist() == [0]


@pytest.mark.parametrize(
    ("values", "share"),
    [
        ((0, 1, 1, 0), 1),
        ((7, 7, 7, 7), 1),
        ((1, 2, 3, 4), 0),
        ((1, 2, 2, 3), 0.5),
        ((1, 2, 2, 2), 0.75),
        ((-0.0, 0, 1, 2), 0.5),
    ],
)
def test_the_share_of_ties_counts_every_pixel_that_has_an_equal(values, share):
    assert ranks(image_of(*values), seed=0, keys=[0])[1].tolist() == [share]


def test_one_hot_pixel_among_zeros_is_no_tie():
    heat = torch.zeros(1, 1, 4, 4)
    heat[0, 0, 2, 1] = 1
    rank, ties = ranks(heat, seed=0, keys=[5])
    assert rank[0, 9] == 0
    assert ties.tolist() == [15 / 16]


def test_ties_are_broken_by_the_seed_and_the_key_and_nothing_else():
    flat = torch.zeros(3, 1, 8, 8)
    rank, _ = ranks(flat, seed=1, keys=[2, 3, 2])
    assert torch.equal(rank[0], rank[2])
    assert not torch.equal(rank[0], rank[1])
    assert torch.equal(ranks(flat[:1], seed=1, keys=[3])[0][0], rank[1])
    assert torch.equal(ranks(flat[:1] + 9, seed=1, keys=[3])[0][0], rank[1])  # whatever the tied value
    assert not torch.equal(ranks(flat[:1], seed=2, keys=[3])[0][0], rank[1])


@pytest.mark.parametrize("seed", range(3))
def test_the_ranks_are_a_permutation_in_which_no_pixel_precedes_a_hotter_one(seed):
    heat = torch.randint(0, 4, (6, 1, 5, 7), generator=generator(seed, 2)).float()
    rank, _ = ranks(heat, seed=seed, keys=range(6))
    assert torch.equal(rank.sort(1).values, torch.arange(35).expand(6, -1))
    ordered = heat.flatten(1).gather(1, rank.argsort(1))
    assert (ordered.diff(dim=1) <= 0).all()


def test_every_pixel_of_a_tie_comes_first_as_often():
    rank, _ = ranks(torch.zeros(2000, 1, 2, 2), seed=0, keys=range(2000))
    first = (rank == 0).sum(0)
    assert ((first - 500).abs() < 4.5 * math.sqrt(2000 * 0.25 * 0.75)).all()


# energy


def test_the_energy_inside_a_region_is_its_share_of_the_map_above_its_minimum():
    """Above the minimum 1 the map is 0, 1, 2, 5."""
    heat = image_of(1, 2, 3, 6)
    for inside, expected in {(0, 0, 0, 1): 5 / 8, (0, 1, 1, 0): 3 / 8, (1, 0, 0, 0): 0, (1, 1, 1, 1): 1}.items():
        assert energy(heat, image_of(*inside).bool()).tolist() == exactly([expected])


def test_the_energy_does_not_change_with_the_scale_of_the_map():
    heat, inside = image_of(1, 2, 3, 6), image_of(0, 1, 0, 1).bool()
    assert torch.allclose(energy(7 * heat - 20, inside), energy(heat, inside))


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_the_energy_of_a_constant_map_is_nan_and_no_other_is(value):
    heat = torch.cat([torch.full((1, 1, 2, 2), value), image_of(0, 0, 0, 1)])
    assert energy(heat, torch.ones(2, 1, 2, 2, dtype=torch.bool)).isnan().tolist() == [True, False]


def test_energy_of_other_shapes_is_an_error():
    expected = r"^maps \(2, 1, 2, 2\) and regions \(2, 2, 2\), expected the same shape$"
    with pytest.raises(ValueError, match=expected):
        energy(torch.rand(2, 1, 2, 2), torch.ones(2, 2, 2, dtype=torch.bool))


# controls


def test_random_maps_depend_on_the_seed_and_their_key():
    maps = random_maps(3, (4, 6), seed=1, keys=[7, 8, 7])
    assert maps.shape == (3, 1, 4, 6)
    assert 0 <= maps.min() < maps.max() < 1
    assert torch.equal(maps[0], maps[2])
    assert not torch.equal(maps[0], maps[1])
    assert torch.equal(random_maps(1, (4, 6), seed=1, keys=[8])[0], maps[1])
    assert not torch.equal(random_maps(1, (4, 6), seed=2, keys=[8])[0], maps[1])
    assert torch.equal(random_maps(2, (4, 6), seed=1), random_maps(2, (4, 6), seed=1, keys=[0, 1]))


@pytest.mark.parametrize(
    ("area", "removed"), [(0, []), (0.25, [2]), (0.3, [2]), (0.5, [2, 3]), (0.8, [0, 2, 3]), (1, [0, 1, 2, 3])]
)
def test_the_hottest_pixels_are_removed(area, removed):
    mask = hottest_removed(image_of(0.5, -1, 3, 2), np.array([area]), seed=0, keys=[0])
    assert mask.shape == (1, 1, 2, 2)
    assert (mask.flatten() == 0).nonzero()[:, 0].tolist() == removed


@pytest.mark.parametrize("values", ["distinct", "tied", "constant"])
def test_exactly_the_rounded_number_of_pixels_is_removed_from_every_map(values):
    areas = torch.linspace(0, 1, 40)
    maps = torch.rand(40, 1, 7, 9, generator=generator(0, 1))
    maps = {"distinct": maps, "tied": (maps * 3).floor(), "constant": maps * 0}[values]
    mask = hottest_removed(maps, areas, seed=0, keys=range(40))
    assert set(mask.unique().tolist()) == {0, 1}
    assert (mask == 0).flatten(1).sum(1).tolist() == [round(63 * area) for area in areas.tolist()]
    for heat, kept in zip(maps, mask.bool(), strict=True):
        assert kept.all() or not kept.any() or heat[~kept].min() >= heat[kept].max()


def test_what_is_removed_of_a_tie_depends_on_the_key_only():
    flat, areas = torch.zeros(3, 1, 8, 8), np.array([0.5, 0.5, 0.5])
    mask = hottest_removed(flat, areas, seed=0, keys=[1, 2, 1])
    assert torch.equal(mask[0], mask[2])
    assert not torch.equal(mask[0], mask[1])
    assert torch.equal(hottest_removed(flat[:1], areas[:1], seed=0, keys=[2])[0], mask[1])
