import copy

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.evaluate.dissimilarity import ssim
from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.read import predict
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.sanity.likeness import rise, smoothed, spearman
from aecompanion.sanity.randomization import RETRAINED, SPREAD, randomized, study

SIZE, SEED = 16, 3
LAYERS = ["body.5", "body.2", "body.0"]  # from the output to the input; body.1 normalises the output of body.0


@pytest.fixture(scope="module")
def network():
    with seeded(7, 1):
        layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.ReLU()]
        body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(5 * 8 * 8, 3))
        body[1].weight.data.uniform_(0.5, 1.5)
    return create(body, classes=3, channels=1, size=SIZE, cam_layers=["2"]).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 1, SIZE, SIZE, generator=generator(7, 2))


@pytest.fixture(scope="module")
def rows(network, images):
    return study(network, images, size=SIZE, seed=SEED)


def maps_of(model, images, target):
    return heatmap(gradcam(model, images, target, layer=model.cam_layer()), SIZE)


@pytest.fixture(scope="module")
def intact(network, images):
    return maps_of(network, images, predict(network, images).argmax(1))


def test_every_way_layer_and_image_has_one_row(rows):
    assert list(rows.columns) == ["way", "layer", "depth", "position", "spearman", "ssim", "rise"]
    ways = [("other image", "")] + [(way, layer) for way in ("cascading", "independent") for layer in LAYERS]
    expected = [(way, layer, position) for way, layer in ways for position in range(4)]
    assert list(rows[["way", "layer", "position"]].itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize("way", ["cascading", "independent"])
def test_the_depth_is_the_share_of_the_layers_from_the_output_up_to_this_one(rows, way):
    depths = rows[rows["way"] == way].drop_duplicates("layer").set_index("layer")["depth"].to_dict()
    assert depths == {"body.5": 1 / 3, "body.2": 2 / 3, "body.0": 1.0}


@pytest.mark.parametrize("way", ["cascading", "independent"])
def test_similarity_is_to_the_intact_map_of_the_class_that_the_intact_network_predicts(
    rows, network, images, intact, way
):
    target = predict(network, images).argmax(1)
    for name, changed in randomized(network, seed=SEED, cascading=way == "cascading"):
        found, maps = rows[(rows["way"] == way) & (rows["layer"] == name)], maps_of(changed, images, target)
        assert not torch.equal(maps, intact)
        assert np.array_equal(found["spearman"], spearman(intact, maps), equal_nan=True)
        assert np.array_equal(found["ssim"], ssim(intact, maps))


def test_the_first_layer_of_both_ways_is_the_same_change(rows):
    first = rows[rows["layer"] == "body.5"]
    cascading, independent = (first.loc[first["way"] == way, "ssim"].tolist() for way in ("cascading", "independent"))
    assert cascading == independent


def test_other_image_compares_the_intact_maps_of_each_image_and_the_next(rows, intact):
    found = rows[rows["way"] == "other image"]
    following = intact[[1, 2, 3, 0]]
    assert found["ssim"].tolist() == ssim(intact, following).tolist()
    assert found["spearman"].tolist() == spearman(intact, following).tolist()


def test_the_network_is_untouched(network, images, condition):
    network.train()
    before, state = condition(network), copy.deepcopy(network.state_dict())
    study(network, images, size=SIZE, seed=SEED)
    assert condition(network) == before
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    network.eval()


def test_the_study_repeats_for_the_same_seed_and_not_for_another(rows, network, images):
    again, other = (study(network, images, size=SIZE, seed=seed) for seed in (SEED, SEED + 1))
    assert again.equals(rows)
    assert not other.equals(rows)


def test_the_rise_is_that_of_the_maps_complexity(rows, network, images, intact):
    target = predict(network, images).argmax(1)
    for name, changed in randomized(network, seed=SEED):
        found = rows[(rows["way"] == "cascading") & (rows["layer"] == name)]
        assert found["rise"].to_numpy() == pytest.approx(rise(intact, maps_of(changed, images, target)).numpy())


def test_peers_are_compared_for_the_class_that_the_network_predicts(network, images, intact):
    peer = next(changed for _, changed in randomized(network, seed=99))
    found = study(network, images, size=SIZE, seed=SEED, peers={"seed 2": network, "seed 3": peer})
    found = found[found["way"] == RETRAINED].set_index("layer")
    assert found.loc["seed 2", "ssim"].tolist() == pytest.approx([1.0] * 4)
    other = maps_of(peer, images, predict(network, images).argmax(1))
    assert found.loc["seed 3", "ssim"].tolist() == ssim(intact, other).tolist()


def test_with_copies_the_smoothed_maps_are_compared_too(network, images):
    found = study(network, images, size=SIZE, seed=SEED, copies=2)
    target = predict(network, images).argmax(1)
    changed = next(changed for _, changed in randomized(network, seed=SEED))
    both = [
        smoothed(lambda x, model=model: maps_of(model, x, target), images, copies=2, spread=SPREAD, seed=SEED)
        for model in (network, changed)
    ]
    here = (found["way"] == "cascading") & (found["layer"] == "body.5")
    assert np.array_equal(found.loc[here, "smooth"], spearman(*both), equal_nan=True)
