import pytest
import torch
from captum.attr import KernelShap, ShapleyValues
from torch import nn

from aecompanion.explain.shapley import passes_of, players_of, shapley, spread
from aecompanion.pipeline.rng import generator


class Game(nn.Module):
    """z_0 = function of the four pixels of a 2×2 image, z_1 = 0; sigmoids."""

    card = {"multi_label": True}

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        first = self.function(*images.flatten(1).T)
        return torch.stack([first, torch.zeros_like(first)], 1)


def pixels(*numbers):
    """Parts of a 2×2 image, one pixel each."""
    parts = torch.zeros(len(numbers), 2, 2, dtype=torch.bool)
    for row, number in enumerate(numbers):
        parts.view(len(numbers), 4)[row, number] = True
    return parts


ONES, ZEROS = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)


def test_the_glove_game():
    """Two right gloves and a left one, worth 1 as a pair: 1/6, 1/6 and 4/6. The fourth player, the background, has no
    glove. The textbook's numbers.
    """
    model = Game(lambda a, b, c, d: ((a + b > 0) & (c > 0)).float())
    (found,) = shapley(model, ONES, 0, ZEROS, [pixels(0, 1, 2)])
    assert torch.allclose(found, torch.tensor([1.0, 1.0, 4.0, 0.0]) / 6)
    assert not shapley(model, ONES, 1, ZEROS, [pixels(0, 1, 2)])[0].any()


def test_parts_that_fill_the_image_leave_no_background():
    model = Game(lambda a, b, c, d: a + 2 * b - 3 * c + 4 * d)
    (found,) = shapley(model, ONES, 0, ZEROS, [pixels(0, 1, 2, 3)])
    assert torch.allclose(found, torch.tensor([1.0, 2.0, -3.0, 4.0]))
    (found,) = shapley(model, ONES, 0, ZEROS, [pixels(1)])
    assert torch.allclose(found, torch.tensor([2.0, 2.0]))  # the other three together


def test_a_pixel_of_two_parts_goes_with_either():
    model = Game(lambda a, b, c, d: 6 * b)
    parts = torch.stack([pixels(0, 1).any(0), pixels(1, 2).any(0)])
    (found,) = shapley(model, ONES, 0, ZEROS, [parts])
    assert torch.allclose(found, torch.tensor([3.0, 3.0, 0.0]))


def test_a_softmax_is_explained_by_its_log_odds():
    class Softmax(Game):
        card = {"multi_label": False}

    model = Softmax(lambda a, b, c, d: a + 2 * b)  # two classes, the other logit is 0: log-odds are the first logit
    (found,) = shapley(model, ONES, 0, ZEROS, [pixels(0, 1)])
    assert torch.allclose(found, torch.tensor([1.0, 2.0, 0.0]))
    (found,) = shapley(model, ONES, 1, ZEROS, [pixels(0, 1)])
    assert torch.allclose(found, torch.tensor([-1.0, -2.0, 0.0]))


@pytest.fixture
def regions():
    """Three parts of 8×8 images, other ones for each of five, that leave a background."""
    parts = torch.zeros(5, 3, 8, 8, dtype=torch.bool)
    for row in range(5):
        parts[row, 0, : 2 + row % 2, :4] = parts[row, 1, 4:, row % 3 : 4] = parts[row, 2, 3:7, 5:] = True
    return list(parts)


def logits_apart(convolutional):
    """Captum explains an output: that of the class minus log-sum-exp of the others."""

    def worth(images):
        z = convolutional(images)
        others = [torch.cat([z[:, :k], z[:, k + 1 :]], 1).logsumexp(1) for k in range(3)]
        return z - torch.stack(others, 1)

    return worth


def test_agrees_with_captum(convolutional, images, labels, regions):
    references = images.mean((2, 3), keepdim=True).expand_as(images)
    found = shapley(convolutional, images, labels, references, regions)
    explain = ShapleyValues(logits_apart(convolutional))  # all 4! orders of the players
    for row, parts in enumerate(regions):
        number = players_of(parts).int().argmax(0)[None, None]
        expected = explain.attribute(
            images[row : row + 1],
            baselines=references[row : row + 1],
            target=int(labels[row]),
            feature_mask=number,
            perturbations_per_eval=8,
        )
        values = torch.stack([expected[0, 0][each][0] for each in players_of(parts)])
        assert values.abs().max() > 0.01
        assert torch.allclose(found[row], values, atol=1e-5)


def test_all_players_together_are_the_fall_of_the_log_odds(convolutional, images, labels, regions):
    references = torch.zeros_like(images)
    found = shapley(convolutional, images, labels, references, regions)
    with torch.no_grad():
        worth = logits_apart(convolutional)
        fall = (worth(images) - worth(references)).gather(1, labels[:, None])[:, 0]
    assert torch.allclose(torch.stack(found).sum(1), fall, atol=1e-5)


# ---- more parts than are enumerated


def cells(per_side=4):
    number = torch.arange(8) * per_side // 8
    return (number[:, None] * per_side + number)[None] == torch.arange(per_side**2)[:, None, None]


def test_kernel_shap_of_a_sum_is_exact(linear, images, labels):
    linear.card = {"multi_label": True}  # so that the log-odds are the logit
    parts, references = [cells()] * 5, torch.zeros_like(images)
    found = shapley(linear, images, labels, references, parts, coalitions=128)
    weights = linear[1].weight.reshape(3, 2, 8, 8)[labels]
    expected = torch.einsum("nchw,phw->np", weights * images, cells().float())
    assert torch.allclose(torch.stack(found), expected, atol=1e-3)


def test_drawn_coalitions_depend_on_seed_and_key_alone(convolutional, images, labels):
    parts, references = [cells(3)] * 5, torch.zeros_like(images)
    before = torch.get_rng_state()
    run = {"coalitions": 64, "seed": 3}
    together = shapley(convolutional, images, labels, references, parts, **run, keys=[4, 5, 6, 7, 8])
    some = (images[2:3], labels[2:3], references[2:3], parts[2:3])
    assert torch.equal(shapley(convolutional, *some, **run, keys=[6])[0], together[2])
    assert not torch.equal(shapley(convolutional, *some, **run, keys=[7])[0], together[2])
    assert torch.equal(torch.get_rng_state(), before)
    exact = shapley(convolutional, *some, coalitions=512)[0]
    many = shapley(convolutional, *some, coalitions=500, keys=[6])[0]
    assert (many - exact).abs().max() < 0.2 * exact.abs().max()


def test_a_pair_takes_as_many_passes_as_it_says(images, labels, regions):
    class Counting(Game):
        shown = 0

        def forward(self, given):
            Counting.shown += len(given)
            return given.flatten(1)[:, :3] * 1.0

    references = torch.zeros_like(images)
    for parts, coalitions in ((regions[0], 128), (cells(3), 64), (cells(3), 600)):
        Counting.shown = 0
        shapley(Counting(None), images[:1], labels[:1], references[:1], [parts], coalitions=coalitions)
        assert Counting.shown == passes_of(parts, coalitions)
    assert passes_of(regions[0], 128) == 16
    assert passes_of(cells(3), 64) == 64
    assert passes_of(cells(3), 600) == 512


def test_kernel_shap_is_captums(convolutional, images):
    assert KernelShap.__module__.startswith("captum")
    with pytest.raises(ValueError, match="coalitions is 4, expected at least 8"):
        shapley(convolutional, images, 0, images, [cells()] * 5, coalitions=4)


# ---- maps


def test_the_sum_of_a_map_over_a_part_is_its_value(regions):
    values = [torch.rand(4, generator=generator(8, row)) - 0.5 for row in range(5)]
    maps = spread(values, regions)
    assert maps.shape == (5, 1, 8, 8)
    for row in range(5):
        sums = (maps[row] * players_of(regions[row])).sum((1, 2))
        assert torch.allclose(sums, values[row], atol=1e-6)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([cells()] * 2, "there are parts of 2 images, expected those of 5"),
        ([cells().float()] * 5, r"the parts of image 0 are torch.float32 \(16, 8, 8\), expected torch.bool, P×8×8"),
        ([cells()[0]] * 5, r"the parts of image 0 are torch.bool \(8, 8\), expected"),
        ([cells()] * 4 + [cells()[:0]], r"the parts of image 4 are torch.bool \(0, 8, 8\), expected"),
        ([cells()] * 4 + [cells() & False], "a part of image 4 is empty, expected at least one pixel"),
    ],
)
def test_bad_parts_are_errors(convolutional, images, parts, sentence):
    with pytest.raises(ValueError, match=sentence):
        shapley(convolutional, images, 0, images, parts)


def test_references_of_another_shape_are_an_error(convolutional, images):
    with pytest.raises(ValueError, match="references are"):
        shapley(convolutional, images, 0, images[:2], [cells()] * 5)
