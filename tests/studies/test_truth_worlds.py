import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.data.mosaics import Mosaics
from aecompanion.data.stored_worlds import StoredWorld
from aecompanion.data.worlds import Part, Picture
from aecompanion.evaluate.intervals import interval
from aecompanion.networks import checkpoint
from aecompanion.networks.zoo import create
from aecompanion.studies import truth_worlds as study


class Sums(nn.Module):
    """Logit k is the sum of channel k, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.factor * images.sum((2, 3))


def drawn() -> StoredWorld:
    """Two pictures 2×2 of two channels: a part that shows class 0, one that shows 1, and a marker in channel 0."""
    masks = np.zeros((3, 2, 2), bool)
    masks[[0, 1, 2], [0, 0, 1], [0, 1, 0]] = True
    parts = tuple(Part(name, label, mask) for name, label, mask in zip("abm", (0, 1, -1), masks, strict=True))
    image = np.zeros((2, 2, 2), np.uint8)
    image[0, 0, 0], image[1, 0, 1], image[0, 1, 0] = 255, 51, 102
    without = np.where(masks[:, None], 0, image).astype(np.uint8)[:, None]
    chosen = [0, 2]
    second = Picture("two", image, tuple(parts[i] for i in chosen), without[chosen])
    return StoredWorld("drawn", ["x", "y"], 2, 2, True, (Picture("one", image, parts, without), second))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    asked = [
        study.Asked("drawn", "sum", seed, lambda factor=factor: Sums(factor)) for seed, factor in ((1, 1.0), (2, 3.0))
    ]
    return study.all_effects({"drawn": drawn()}, asked, also={"drawn": 1}, workers=1)


def test_effects_worked_by_hand(rows):
    first = rows[(rows["seed"] == 1) & (rows["picture"] == "one")]
    effect = first.set_index(["part_name", "target"])["effect"].round(6).to_dict()
    assert effect == {("a", 0): 1.0, ("b", 0): 0.0, ("m", 0): 0.4, ("a", 1): 0.0, ("b", 1): 0.2, ("m", 1): 0.0}
    assert np.allclose(rows[rows["seed"] == 2]["effect"], 3 * rows[rows["seed"] == 1]["effect"])
    assert list(rows)[:3] == ["world", "family", "seed"]
    assert len(rows) == 2 * (3 * 2 + 2 * 2)  # the second picture is asked for the planted class, too


def test_the_summary_of_effects_worked_by_hand(rows):
    (found,) = study.summary(rows, also={"drawn": 0}, least=0.3).to_dict("records")
    assert (found["networks"], found["pictures"], found["parts"]) == (2, 2, 2.5)
    assert found["own"] == pytest.approx(2 * (1.0 + 1.0 + 0.2) / 3)
    assert found["other"] == pytest.approx(0)
    assert found["none"] == pytest.approx(2 * 0.4)
    assert found["largest"] == 1
    assert found["moving"] == pytest.approx((2 + 2 + 2 + 2 + 1) / 20)  # a and m of either network, b of the second
    assert np.isnan(found["fillings"])
    assert found["seeds"] > 0


def test_a_marker_is_told_apart_by_whether_the_picture_shows_its_class(rows):
    found = study.marked(rows, 1)
    assert found.groupby("picture")["shown"].first().to_dict() == {"one": True, "two": False}
    assert np.allclose(found["effect"], 0)
    assert np.allclose(study.marked(rows[rows["seed"] == 1], 0)["effect"], 0.4)


def test_networks_of_a_folder_are_taken_by_seed_and_family(tmp_path):
    for name in ("vgg_0", "vgg_1", "resnet_1"):
        model = create("compact/digits", classes=2, channels=1, size=16, multi_label=True)
        checkpoint.save(model, tmp_path / f"{name}.safetensors")
    found = study.trained("voc", tmp_path, seeds=[1, 2])
    assert sorted((each.family, each.seed) for each in found) == [("resnet", 1), ("vgg", 1)]
    (one,) = study.trained("voc", tmp_path, seeds=[0, 1], families=["resnet"])
    assert one.load()(torch.zeros(1, 1, 16, 16)).shape == (1, 2)
    with pytest.raises(ValueError, match=r"has no network with a training seed of \[3\] among vgg"):
        study.trained("voc", tmp_path, seeds=[3], families=["vgg"])


def mosaics(count: int) -> Mosaics:
    return Mosaics(np.zeros((9, 3, 2, 2), np.uint8), np.arange(9), list("abcdefghi"), seed=2, count=count)


def own_rows(world: Mosaics, effect) -> pd.DataFrame:
    """Rows of two networks in which cell p of mosaic i has `effect(photograph, i)` on its own class, the second network
    twice that.
    """
    made = []
    for index in range(len(world)):
        for part, photograph in enumerate(world.members(index)):
            facts = {
                "pair": 4 * index + part,
                "picture": world.picture(index).name,
                "part": part,
                "part_name": str(part),
            }
            facts |= {"part_label": int(photograph), "target": int(photograph), "filling": 0}
            made += [
                {"world": world.name, "family": "f", "seed": seed, "effect": (1 + seed) * effect(photograph, index)}
                | facts
                for seed in (0, 1)
            ]
    return pd.DataFrame(made)


def test_effects_are_averaged_by_photograph():
    world = mosaics(60)
    own = study.own_effects(own_rows(world, lambda photograph, index: photograph), world)
    assert np.allclose(study.by_photograph(own), [np.arange(9), 2 * np.arange(9)])


def test_standard_errors_know_what_mosaics_share():
    """Where the effect is the photograph's alone, more mosaics make the naive error small and the others not."""
    found = {}
    for count in (40, 160):
        world = mosaics(count)
        own = study.own_effects(own_rows(world, lambda photograph, index: photograph), world)
        found[count] = study.photograph_errors(own, world)
    few, many = found.values()
    assert many["cells"] == pytest.approx(few["cells"] / 2, rel=0.1)
    assert many["photographs"] == pytest.approx(1.5 * np.arange(9).std(ddof=1) / 3)
    assert few["photographs"] == pytest.approx(many["photographs"])
    assert many["everywhere"] > 2 * many["cells"]


def test_equal_effects_have_no_error():
    world = mosaics(20)
    own = study.own_effects(own_rows(world, lambda photograph, index: 2.0), world)
    errors = study.photograph_errors(own, world)
    assert errors.pop("mean") == pytest.approx(3)
    assert np.allclose(list(errors.values()), 0)


def covered(draw, *, simulations: int = 150) -> float:
    """How often the interval of a mean score holds the truth, 0, where the score of a pair is what its photographs add,
    half as much by the neighbours and a third by the fillings as by the target, and noise. draw: from photographs'
    parts N and a generator to the scores, items.
    """
    held = []
    for number in range(simulations):
        rng = np.random.default_rng(number)
        scores = draw(rng.normal(size=17), rng)
        networks = scores + 0.3 * rng.normal(size=(3, len(scores)))
        each = interval(np.mean, networks, resamples=60)
        held.append(each.low <= 0 <= each.high)
    return float(np.mean(held))


def test_intervals_of_a_round_hold_the_truth_and_those_of_many_mosaics_do_not():
    """A round of seventeen photographs, item the mosaic, against as many pairs as before, item the target."""
    world = Mosaics(np.zeros((17, 3, 2, 2), np.uint8), np.arange(17), [str(k) for k in range(17)], seed=5, count=400)

    def score(index, cell, own, rng):
        members, fillings = world.drawn(index)
        beside = np.delete(own[members], cell)
        return own[members[cell]] + beside.sum() / 2 + own[fillings[cell]].mean() / 3 + 0.3 * rng.normal()

    def of_a_round(own, rng):
        first = world.apart * int(rng.integers(50))
        places = range(first, first + world.apart)
        return np.array([np.mean([score(place, cell, own, rng) for cell in (0, 1)]) for place in places])

    def of_any(own, rng):
        return np.array([score(4 * int(place), 0, own, rng) for place in rng.choice(100, 8, replace=False)])

    assert world.apart == 4
    apart, shared = covered(of_a_round), covered(of_any)
    assert apart > 0.91
    assert shared < apart - 0.05
