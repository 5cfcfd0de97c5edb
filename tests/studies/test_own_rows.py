"""Rows of what is handed in beside the built-in ones: worked by hand, and alike for the same method twice."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.data.dataset import Dataset
from aecompanion.data.scenes import KINDS, Scenes, scene_set
from aecompanion.data.worlds import Part, Picture, exact
from aecompanion.evaluate.suspicion import Setting
from aecompanion.explain.methods import Explained
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies import own_rows, truth
from aecompanion.studies.worst_defences import Case

INTERVAL = {"resamples": 50, "seed": 0}


@pytest.fixture(scope="module")
def scenes():
    """Scenes of three kinds of drawn digits on noise."""
    kinds = np.repeat(np.arange(10), 9)
    drawn = np.random.default_rng(0).integers(0, 256, (90, 1, 28, 28), dtype=np.uint8)
    split = np.tile(["train", "validation", "test"], 30).astype(object)
    facts = {"classes": [str(kind) for kind in range(10)], "source": "noise", "channels": 1, "size": 28}
    ink = Dataset(images=drawn, labels=torch.from_numpy(kinds), split=split, **facts)
    parts = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    photographs = {name: [parts] for name in ("train", "validation", "test")}
    return Scenes(KINDS["voc"], ink, photographs, size=64, seed=3)


def test_pictures_are_the_images_of_the_set_taken_apart(scenes):
    dataset, _ = scene_set(scenes, {"train": 1, "test": 4})
    places = dataset.indices("test")[[2, 0, 2]]
    pictures = own_rows.pictures_of(dataset, scenes, places)
    assert all(exact(picture) for picture in pictures)
    assert pictures[0] is pictures[2]
    for picture, place in zip(pictures, places, strict=True):
        assert np.array_equal(picture.image, dataset.images[place])
        assert {part.label for part in picture.parts} == set(dataset.labels[place].nonzero()[:, 0].tolist())
    other = Scenes(scenes.kind, scenes.digits, scenes.parts, size=64, seed=4)
    with pytest.raises(ValueError, match="^image 1 is not scene 0 of seed 4, expected its own$"):
        own_rows.pictures_of(dataset, other, places[1:2])
    with pytest.raises(ValueError, match="^image 0 is not in the split 'test', expected one of its 4 images$"):
        own_rows.pictures_of(dataset, scenes, [0])


class Left(nn.Module):
    """One logit: how bright the left half is; the right half does nothing."""

    def forward(self, images):
        return 8 * images[..., :2].mean((1, 2, 3))[:, None] + torch.tensor([0.0, -99.0])


def test_a_map_that_knows_has_the_painted_truths_scores():
    image = np.full((1, 4, 4), 255, np.uint8)
    halves = np.zeros((2, 4, 4), bool)
    halves[0, :, :2], halves[1, :, 2:] = True, True
    parts = tuple(Part(name, i, half) for i, (name, half) in enumerate(zip(("left", "right"), halves, strict=True)))
    without = np.stack([np.where(half, 0, image)[None].astype(np.uint8) for half in halves])
    picture = Picture("one", image, parts, without)
    maps = {
        "mine": torch.from_numpy(halves[0]).float()[None, None],
        "wrong": torch.from_numpy(halves[1]).float()[None, None],
    }
    rows = own_rows.truths(Left(), [picture], maps, [0], signed=(), multi_label=True, seed=0).set_index("method")
    assert rows.loc[["mine", truth.PAINTED, "wrong"], "rank"].tolist() == pytest.approx([1, 1, -1])
    assert rows.loc[["mine", "wrong"], "share"].tolist() == [1, 0]
    assert set(rows.index) == {"mine", "wrong", *truth.CONTROLS}


def test_defences_are_judged_by_the_real_defence(linear_pair):
    images, labels, network, other = linear_pair
    cases = {
        "none": Case(network, other),
        "again": Case(network, other, lambda x: x),
        "black": Case(network, other, torch.zeros_like),
    }
    rows = own_rows.defences(cases, images, labels, eps=32 / 255, steps=3, queries=4, seed=0)
    table = rows.groupby("method", sort=False)[["clean", "worst"]].mean()
    assert table.loc["none", "clean"] == 1
    assert table.loc["none", "worst"] < 1
    assert table.loc["black", "clean"] == table.loc["black", "worst"] < 1  # nothing gets through, and nothing is seen
    assert (rows["worst"] <= rows["clean"]).all()


@pytest.fixture
def linear_pair():
    images = (255 * torch.rand(6, 1, 8, 8, generator=generator(4, 1))).round() / 255
    networks = []
    for seed in (1, 2):
        with seeded(seed, 1):
            networks.append(nn.Sequential(nn.Flatten(), nn.Linear(64, 8)).eval())
    with torch.no_grad():
        return images, networks[0](images).argmax(1), *networks


def test_detectors_are_scored_on_every_set_and_auroc_is_that_of_the_scores(linear_pair):
    images, labels, network, _ = linear_pair
    setting = Setting(network, "1", None, 0, False, "1", "1", images, images, labels)
    sets = {("same", 1): images, ("darker", 1): 0.7 * images}
    rows = own_rows.scores(setting, ["confidence"], images, sets)
    assert len(rows) == 12
    found = own_rows.detected(rows, **INTERVAL).set_index("attack")
    assert found.loc["same", "auroc"] == 0.5
    clean, darker = (1 - network(each).softmax(1).amax(1).detach() for each in (images, 0.7 * images))
    expected = (darker[:, None] > clean).float().mean().item()
    assert 0.5 < expected < 1
    assert found.loc["darker", "auroc"] == pytest.approx(expected)
    assert 0 <= found.loc["darker", "low"] < expected < found.loc["darker", "high"] <= 1


def test_games_remove_as_much_as_rps_mask_or_a_tenth(linear_pair):
    images, labels, network, _ = linear_pair
    network.card = {"multi_label": False}
    image = torch.rand(2, 1, 16, 16, generator=generator(1, 1))
    with seeded(1, 2):
        wide = nn.Sequential(nn.Flatten(), nn.Linear(256, 3)).eval()
    wide.card = {"multi_label": False}
    inside = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    run = {"keys": [0, 1], "seed": 0}
    found = {"mine": Explained(image)}
    rows = own_rows.games(wide, image, torch.tensor([0, 1]), 0 * image, inside, found, **run)
    assert rows["area"].tolist() == pytest.approx([26 / 256, 26 / 256])
    found["RP"] = Explained(image, 1 - image)
    rows = own_rows.games(wide, image, torch.tensor([0, 1]), 0 * image, inside, found, **run)
    own = rows.set_index("method").loc["mine", "area"]
    assert own.tolist() == pytest.approx(image.flatten(1).mean(1).tolist(), abs=1 / 256)


def test_summaries_are_means_over_what_is_defined():
    rows = pd.DataFrame(
        {"method": ["a", "a", "b"], "level": [1, 1, 1], "rank": [0.5, np.nan, 1.0], "sign": [0, 1, np.nan]}
    )
    found = own_rows.summary(rows, ["rank", "sign"], by=["method", "level"], **INTERVAL)
    assert found["measure"].tolist() == ["rank", "sign", "rank", "sign"]
    assert found["images"].tolist() == [1, 2, 1, 0]
    assert found["value"].tolist()[:3] == [0.5, 0.5, 1.0]
    assert np.isnan(found["value"].iloc[3])


def test_an_interval_stays_where_its_measure_can_be():
    rows = pd.DataFrame({"method": "a", "share": [1.0] * 8 + [0.7], "change": [1.0] * 8 + [0.7]})
    found = own_rows.summary(rows, ["share", "change"], **INTERVAL).set_index("measure")
    assert found.loc["share", "high"] <= 1 < found.loc["change", "high"]
