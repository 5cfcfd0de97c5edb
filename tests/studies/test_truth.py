import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.data.worlds import Part, Picture
from aecompanion.evaluate.truth import painted
from aecompanion.studies import truth as study


def square(row, column, side=3):
    mask = np.zeros((12, 12), bool)
    mask[row : row + side, column : column + side] = True
    return mask


PLACES = [("0", 0, square(1, 1)), ("1", 1, square(1, 7)), ("marker", -1, square(8, 4, 2))]


def picture(name="a", levels=(200, 100, 255), fillings=1, ground=20):
    """Three parts of one grey each on a dark ground; without a part its place has the ground, or darker fillings."""
    parts = tuple(Part(*place) for place in PLACES)
    image = np.full((1, 12, 12), ground, np.uint8)
    for part, level in zip(parts, levels, strict=True):
        image[0, part.mask] = level
    without = np.repeat(np.repeat(image[None, None], len(parts), 0), fillings, 1)
    for i, part in enumerate(parts):
        for filling in range(fillings):
            without[i, filling, 0, part.mask] = ground - 10 * filling
    return Picture(name, image, parts, without)


class Places(nn.Module):
    """Logit k: a weighted sum of the mean grey levels of the places (weights K×3)."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("places", torch.from_numpy(np.stack([mask for *_, mask in PLACES])).float())
        self.register_buffer("weights", torch.tensor(weights))
        self.card = {"multi_label": True}

    def forward(self, images):
        means = torch.einsum("nhw,phw->np", images[:, 0], self.places) / self.places.sum((1, 2))
        return means @ self.weights.T


READS_MARKER = [[0.0, 0.0, 4.0], [0.0, 0.0, -4.0]]  # class 0 is the marker and nothing else
READS_ALL = [[4.0, -2.0, 1.0], [0.5, 3.0, 0.0]]


def test_pairs_are_what_the_parts_show():
    first, second = picture("a"), picture("b")
    found = study.pairs([first, second])
    assert found == ([first, first, second, second], [0, 1, 0, 1])
    assert study.pairs([first], also=5) == ([first] * 3, [0, 1, 5])


def test_effects_by_hand():
    """Filling 0 is the ground, filling 1 ten levels darker."""
    rows = study.effects(Places(READS_ALL), [picture(fillings=2)], [0], multi_label=True)
    by_hand = [4 * 180 / 255, 4 * 190 / 255, -2 * 80 / 255, -2 * 90 / 255, 235 / 255, 245 / 255]
    np.testing.assert_allclose(rows["effect"], by_hand, rtol=1e-5)
    assert rows["filling"].tolist() == [0, 1] * 3 and rows["part"].tolist() == [0, 0, 1, 1, 2, 2]
    assert rows["part_name"].tolist()[::2] == ["0", "1", "marker"] and rows["part_label"].tolist()[::2] == [0, 1, -1]
    odds = 4 * 200 / 255 - 2 * 100 / 255 + 1
    np.testing.assert_allclose(rows["odds"], odds, rtol=1e-5)
    p = 1 / (1 + np.exp(-np.array([odds, odds - by_hand[0]])))
    assert rows["effect_p"].iloc[0] == pytest.approx(p[0] - p[1], abs=1e-6)
    (e,) = study.true_effects(rows)
    np.testing.assert_allclose(e, [(a + b) / 2 for a, b in zip(by_hand[::2], by_hand[1::2], strict=True)], rtol=1e-5)
    (e,) = study.true_effects(rows, least=0.8)
    assert e[1] == 0 and e[0] > 0 and e[2] > 0


def test_effects_of_a_softmax_are_log_odds():
    rows = study.effects(Places(READS_ALL), [picture()], [0], multi_label=False)
    zero, one = np.array([4 * 180 / 255, -2 * 80 / 255, 235 / 255]), np.array([0.5 * 180 / 255, 3 * 80 / 255, 0])
    np.testing.assert_allclose(rows["effect"], zero - one, rtol=1e-4)  # of two classes: the difference of logits


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_effects_do_not_depend_on_the_batch(batch):
    pictures, targets = study.pairs([picture("a", fillings=2), picture("b", (50, 60, 70)), picture("c", (9, 90, 255))])
    rows = study.effects(Places(READS_ALL), pictures, targets, multi_label=True, batch=batch)
    whole = study.effects(Places(READS_ALL), pictures, targets, multi_label=True, batch=7)
    assert rows.equals(whole)
    assert rows["picture"].drop_duplicates().tolist() == ["a", "b", "c"] and rows["pair"].nunique() == 6


def test_a_target_for_every_picture():
    with pytest.raises(ValueError, match="2 pictures and 1 targets"):
        study.effects(Places(READS_ALL), [picture(), picture()], [0], multi_label=True)


@pytest.fixture
def reads_marker():
    """The pair whose only cause is the marker: (picture, effects, gradient of the logit)."""
    shown, model = picture(), Places(READS_MARKER)
    rows = study.effects(model, [shown], [0], multi_label=True)
    image = study.images_of([shown]).requires_grad_()
    (gradient,) = torch.autograd.grad(model(image)[:, 0].sum(), image)
    return shown, study.true_effects(rows), gradient


def test_the_bench_tells_who_sees_the_marker(reads_marker):
    """A gradient sees what the network reads; a map of the digits does not."""
    shown, effect, gradient = reads_marker
    digits = torch.from_numpy(PLACES[0][2] + 0.5 * PLACES[1][2])[None, None].double()
    maps = {"gradient": gradient.abs(), "digits": digits}
    rows = study.scored(maps, [shown], [0], effect, signed=()).set_index("method")
    assert (rows["marked_true"] == 1).all()
    assert rows["marked"].to_dict() == {"gradient": 1, "digits": 0}
    assert rows["error"].to_dict() == {"gradient": 0, "digits": 1}
    assert rows["share"].to_dict() == {"gradient": 1, "digits": 0}
    assert rows["pointing"].to_dict() == {"gradient": 1, "digits": 0}
    assert rows.loc["gradient", "rank"] == pytest.approx(1) and rows.loc["digits", "rank"] < 0


def test_controls():
    shown = [picture("a"), picture("b", (30, 250, 120))]
    effect = study.true_effects(study.effects(Places(READS_ALL), shown, [0, 1], multi_label=True), least=study.LEAST)
    maps = study.controls(shown, effect, seed=0, keys=[4, 5])
    assert tuple(maps) == study.CONTROLS
    rows = study.scored(maps, shown, [0, 1], effect, signed=study.SIGNED).set_index("method")
    perfect = rows.loc[study.PAINTED]
    assert perfect[["rank", "density", "size", "share", "sign", "pointing"]].to_numpy() == pytest.approx(1)
    assert (perfect["error"].dropna() == 0).all()
    assert (perfect["marked"] - perfect["marked_true"]).abs().max() < 1e-12
    assert (rows.loc[study.UNIFORM, ["rank", "density", "size"]] == 0).all(axis=None)
    alone = study.controls(shown[1:], effect[1:], seed=0, keys=[5])
    assert torch.equal(alone[study.RANDOM], maps[study.RANDOM][1:])


def test_noise_ranks_nothing():
    """Also where the parts that matter are the large ones."""
    shown = [picture()] * 400
    effect = [np.array([2.0, 1.0, 0.3])] * 400
    maps = study.controls(shown, effect, seed=1, keys=range(400))
    rows = study.scored(maps, shown, [0] * 400, effect, signed=study.SIGNED)
    noise = rows[rows["method"] == study.RANDOM]["rank"]
    assert abs(noise.mean()) < 3 * noise.std() / 20


def test_maps_without_a_sign_count_from_their_lowest_value():
    shown, effect = picture(), np.array([3.0, 1.0, -1.0])
    raised = painted(effect, shown.masks) + 7
    rows = study.scored({"raised": raised}, [shown], [0], [effect], signed=())
    assert np.isnan(rows["sign"]).all()
    rows = study.scored({"raised": raised}, [shown], [0], [effect], signed=["raised"])
    assert rows["sign"].iloc[0] == pytest.approx(2 / 3)
