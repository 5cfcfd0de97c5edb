import copy
import types
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.evaluate.dissimilarity import spearman
from aecompanion.explain.mask import Settings
from aecompanion.explain.methods import METHODS, explain
from aecompanion.networks.stem import attributed
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.sanity import map_randomization as module, randomization as networks_module
from aecompanion.sanity.likeness import similarity, smoothed
from aecompanion.sanity.map_randomization import cascade_maps, places, study
from aecompanion.sanity.randomization import (
    OTHER,
    RECALIBRATED,
    RETRAINED,
    SPREAD,
    WAYS,
    all_networks,
    randomized,
    recalibrate,
    reinitialised,
)

SIZE, SEED = 16, 3
LAYERS = ["body.5", "body.2", "body.0"]  # from the output to the input; body.1 normalises the output of body.0
SHORT = {"side": 4, "start": 0.5, "steps": 3, "area": 0.05, "variation": 0.0}
SETTINGS = {
    "MP": Settings("meaningful", **SHORT),
    "EP": Settings("extremal", **SHORT | {"area": 3.0}, areas=(0.1, 0.2)),
    "RP": Settings("robust", **SHORT),
}
OPTIONS = {"settings": SETTINGS, "rise_masks": 8, "seed": SEED, "keys": [5, 6, 7]}
MEASURES = ["spearman", "ssim", "hog"]


class Blind(nn.Module):
    """Scores of two classes that do not depend on the parameters: differences of two halves of the image."""

    def __init__(self):
        super().__init__()
        self.look, self.unused = nn.Identity(), nn.Linear(1, 2)
        weights = torch.rand(2, 1, SIZE, SIZE, generator=generator(7, 5)) - 0.5
        self.register_buffer("fixed", weights)

    def forward(self, images):
        seen = self.look(images)
        return (seen[:, None] * self.fixed).sum((2, 3, 4)) + 0 * self.unused(images.mean((2, 3)))


class Fading(nn.Linear):
    """Re-initialisation makes all of it zero."""

    def reset_parameters(self):
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


@pytest.fixture(autouse=True)
def one_thread():
    """As in the study's jobs: two threads may swap the ranks of nearly equal pixels."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network():
    with seeded(7, 1):
        layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.ReLU()]
        body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(5 * 8 * 8, 3))
        body[1].weight.data.uniform_(0.5, 1.5)
    return create(body, classes=3, channels=1, size=SIZE, cam_layers=["2"]).eval()


@pytest.fixture(scope="module")
def given():
    """Images, classes and references of three pairs."""
    images = torch.rand(3, 1, SIZE, SIZE, generator=generator(7, 2))
    return images, torch.tensor([0, 2, 1]), images.mean((2, 3), keepdim=True).expand_as(images)


@pytest.fixture(scope="module")
def calibration():
    return torch.rand(6, 1, SIZE, SIZE, generator=generator(7, 3))


@pytest.fixture(scope="module")
def rows(network, given, calibration):
    return study(network, *given, calibration=calibration, **OPTIONS)


def maps_of(model, given, method):
    images, target, references = given
    return explain(method, attributed(model), images, target, references=references, **OPTIONS).maps


# ---- the study


def test_every_way_layer_method_and_pair_has_one_row(rows):
    columns = ["way", "layer", "depth", "position", "method", *MEASURES, "rise", "smooth", "undefined"]
    assert list(rows.columns) == columns
    assert rows["smooth"].isna().all()  # no copies were asked for
    ways = [(OTHER, "")] + [(way, layer) for way in (*WAYS, RECALIBRATED) for layer in LAYERS]
    expected = [(way, layer, method, position) for way, layer in ways for method in METHODS for position in range(3)]
    assert list(rows[["way", "layer", "method", "position"]].itertuples(index=False, name=None)) == expected
    assert rows["undefined"].dtype == bool
    assert rows[MEASURES].notna().all().all()


@pytest.mark.parametrize("way", [*WAYS, RECALIBRATED])
def test_the_depth_is_the_share_of_the_layers_from_the_output_up_to_this_one(rows, way):
    depths = rows[rows["way"] == way].drop_duplicates("layer").set_index("layer")["depth"].to_dict()
    assert depths == {"body.5": 1 / 3, "body.2": 2 / 3, "body.0": 1.0}
    assert set(rows.loc[rows["way"] == OTHER, "depth"]) == {0.0}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_compared_with_itself_under_the_same_noise_and_masks(network, given, rows, method):
    intact = maps_of(network, given, method)
    for way in WAYS:
        for layer, changed in randomized(network, seed=SEED, cascading=way == "cascading"):
            expected = similarity(intact, maps_of(changed, given, method), range(3))
            here = (rows["way"] == way) & (rows["layer"] == layer) & (rows["method"] == method)
            assert rows.loc[here, MEASURES].to_numpy() == pytest.approx(expected[MEASURES].to_numpy(), abs=1e-6)


def test_another_image_is_that_of_the_next_pair_under_the_intact_network(network, given, rows):
    intact = maps_of(network, given, "BP")
    expected = similarity(intact, intact.roll(-1, 0), range(3))
    found = rows[(rows["way"] == OTHER) & (rows["method"] == "BP")]
    assert found[MEASURES].to_numpy() == pytest.approx(
        expected[MEASURES].to_numpy(),
        abs=1e-4,  # folding rounds, and near ties of ranks turn round
    )


def test_maps_that_do_not_depend_on_the_weights_stay_as_they_are(given):
    model = create(Blind(), classes=2, channels=1, size=SIZE, cam_layers=["look"]).eval()
    images, _, references = given
    found = study(model, images, torch.tensor([0, 1, 1]), references, **OPTIONS)
    found = found[found["way"].isin(WAYS)]
    assert len(found) == 2 * len(METHODS) * 3
    assert not found["undefined"].any()
    assert found[MEASURES].to_numpy() == pytest.approx(1.0, abs=1e-6)


def test_constant_maps_are_marked_and_their_correlations_are_0(given):
    with seeded(7, 4):
        layer = Fading(SIZE * SIZE, 2)
        nn.init.normal_(layer.weight)
    body = nn.Sequential(nn.Flatten(), layer)
    model = create(body, classes=2, channels=1, size=SIZE, cam_layers=["0"]).eval()
    images, _, references = given
    found = study(model, images, torch.tensor([0, 1, 1]), references, methods=["BP", "MP", "RISE"], **OPTIONS)
    found = found[found["way"] == "cascading"].set_index("method")
    assert found["undefined"].all()  # MP's is the same everywhere, if not 0: the area term moved all of it alike
    assert (found[["spearman", "hog"]] == 0).all().all()


def test_without_images_to_recalibrate_with_there_are_two_ways(network, given, rows):
    found = study(network, *given, **OPTIONS)
    assert set(found["way"]) == {OTHER, *WAYS}
    assert found.equals(rows[rows["way"] != RECALIBRATED])  # and the same numbers


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(network, given, calibration, rows, workers):
    assert study(network, *given, calibration=calibration, workers=workers, **OPTIONS).equals(rows)


def test_a_pair_does_not_depend_on_its_batch(network, given, rows):
    alone = study(network, *(each[1:2] for each in given), **OPTIONS | {"keys": [6]})
    assert set(alone["way"]) == set(WAYS)  # there is no other image
    same = rows[rows["way"].isin(WAYS) & (rows["position"] == 1)]
    assert alone[MEASURES].to_numpy() == pytest.approx(same[MEASURES].to_numpy(), abs=1e-3)
    assert alone["undefined"].tolist() == same["undefined"].tolist()


def test_another_seed_gives_other_numbers(network, given, rows):
    other = study(network, *given, **OPTIONS | {"seed": SEED + 1})
    assert not np.allclose(other[MEASURES], rows.loc[rows["way"] != RECALIBRATED, MEASURES])


def test_the_callers_model_and_the_global_random_state_are_left_alone(network, given, calibration, condition):
    before, state, drawn = condition(network), copy.deepcopy(network.state_dict()), torch.get_rng_state()
    study(network, *given, methods=["BP", "MP"], calibration=calibration, **OPTIONS)
    assert condition(network) == before
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)


def test_progress_is_told_of_every_network(network, given):
    told = []
    study(network, *given, methods=["BP"], progress=told.append, **OPTIONS)
    assert told == ["", *LAYERS, *LAYERS]


def test_the_stages_of_a_figure_are_the_maps_that_are_compared(network, given, calibration, rows):
    options = {**OPTIONS, "calibration": calibration}
    for way in (*WAYS, RECALIBRATED):
        stages = cascade_maps(network, *given, methods=["BP", "RP"], way=way, **options)
        assert list(stages) == ["BP", "RP"]
        for method, ((name, intact), *changed) in stages.items():
            assert name == ""
            assert [layer for layer, _ in changed] == LAYERS
            for layer, maps in changed:
                here = (rows["way"] == way) & (rows["layer"] == layer) & (rows["method"] == method)
                expected = similarity(intact, maps, range(3))[MEASURES].to_numpy()
                assert rows.loc[here, MEASURES].to_numpy() == pytest.approx(expected, abs=1e-6)


def test_thin_methods_are_explained_after_the_first_the_middle_and_the_last_layer(network, given, monkeypatch):
    assert [sorted(places(count)) for count in (1, 2, 3, 6, 13)] == [[1], [1, 2], [1, 2, 3], [1, 3, 6], [1, 7, 13]]
    monkeypatch.setattr(module, "places", lambda count: {1, count})
    found = study(network, *given, methods=["BP", "MP"], thin=["MP"], **OPTIONS)
    seen = found.groupby(["method", "way"])["layer"].unique().map(list).to_dict()
    for way in WAYS:
        assert seen["BP", way] == LAYERS
        assert seen["MP", way] == [LAYERS[0], LAYERS[2]]


def test_the_network_of_the_first_layer_is_explained_once_unless_recalibration_changes_it(network, given, monkeypatch):
    asked = []

    def explained(method, model, *_, **__):
        asked.append(method)
        return types.SimpleNamespace(maps=torch.zeros(3, 1, 16, 16))

    monkeypatch.setattr(module, "explain", explained)
    images = torch.zeros(2, 1, SIZE, SIZE)
    study(network, *given, settings={}, methods=["BP"], calibration=images, workers=1)
    assert len(asked) == 1 + 3 * 3 - 2
    asked.clear()
    body = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 3), nn.BatchNorm1d(3))
    model = create(body, classes=3, channels=1, size=SIZE, cam_layers=["1"]).eval()
    study(model, *given, settings={}, methods=["BP"], calibration=images, workers=1)
    assert len(asked) == 1 + 3 - 1  # one layer: independent is cascading, recalibrated is not


def test_a_retrained_network_is_the_yardstick_above(network, given):
    peer = next(changed for _, changed in randomized(network, seed=99))
    found = study(network, *given, methods=["BP", "MP"], peers={"seed 2": network, "seed 3": peer}, **OPTIONS)
    found = found[found["way"] == RETRAINED].set_index(["layer", "method"])
    assert found.index.unique().tolist() == [(name, each) for name in ("seed 2", "seed 3") for each in ("BP", "MP")]
    assert (found["depth"] == 0).all()
    assert found.loc["seed 2", MEASURES].to_numpy() == pytest.approx(1.0, abs=1e-5)  # the same network again
    for method in ("BP", "MP"):
        expected = similarity(maps_of(network, given, method), maps_of(peer, given, method), range(3))[MEASURES]
        assert found.loc[("seed 3", method), MEASURES].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)


def test_smoothed_maps_of_gradients_are_compared_beside(network, given):
    images, target, references = given
    found = study(network, *given, methods=["BP", "MP"], copies=2, **OPTIONS)
    assert found.loc[found["method"] == "MP", "smooth"].isna().all()
    changed = next(changed for _, changed in randomized(network, seed=SEED))
    noise = {"copies": 2, "spread": SPREAD, "seed": SEED, "keys": OPTIONS["keys"]}
    both = [
        smoothed(lambda noisy, model=model: explain("BP", model, noisy, target).maps, images, **noise)
        for model in (network, changed)
    ]
    here = (found["way"] == "cascading") & (found["layer"] == LAYERS[0]) & (found["method"] == "BP")
    assert found.loc[here, "smooth"].to_numpy() == pytest.approx(spearman(*both).numpy(), abs=1e-6)
    assert not np.allclose(found.loc[here, "smooth"], found.loc[here, "spearman"])


# ---- networks


def test_the_networks_are_the_intact_one_its_peers_and_those_of_the_ways(network):
    peer = copy.deepcopy(network)
    found = list(all_networks(network, WAYS, {"seed 2": peer}, seed=SEED))
    assert [each[:2] for each in found[:2]] == [("", ""), (RETRAINED, "seed 2")]
    assert [each[1] for each in found[2:]] == 2 * LAYERS
    assert len({id(each[3]) for each in found} | {id(network), id(peer)}) == len(found) + 2


def test_recalibration_gives_the_re_initialised_normalisations_the_statistics_of_the_images(network, calibration):
    networks = {
        layer: found for _, layer, _, found in reinitialised(network, RECALIBRATED, seed=SEED, calibration=calibration)
    }
    for layer in LAYERS[:2]:  # the normalisation has not been reached
        assert torch.equal(networks[layer].body[1].running_var, network.body[1].running_var)
    last = networks[LAYERS[2]].body
    with torch.no_grad():
        features = last[0]((calibration - 0.5) / 0.25)
    assert last[1].running_mean.tolist() == pytest.approx(features.mean((0, 2, 3)).tolist(), abs=1e-5)
    assert last[1].running_var.tolist() == pytest.approx(features.var((0, 2, 3)).tolist(), rel=1e-4)
    assert last[1].momentum == network.body[1].momentum
    assert not any(module.training for module in last.modules())


def test_recalibration_changes_the_named_modules_only(network, calibration):
    model = copy.deepcopy(network)
    recalibrate(model, ["body.0", "body.2"], calibration)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in model.state_dict().items())


def test_the_networks_of_a_way_are_those_of_randomized_each_on_its_own(network):
    for way in WAYS:
        found = list(reinitialised(network, way, seed=SEED))
        assert len({id(each) for *_, each in found}) == 3
        for (_, _, _, mine), (_, theirs) in zip(
            found, randomized(network, seed=SEED, cascading=way == "cascading"), strict=True
        ):
            assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in mine.state_dict().items())


def test_no_more_networks_exist_at_a_time_than_workers(network, given, monkeypatch):
    made, largest = weakref.WeakSet(), []

    def copied(model):
        own = copy.deepcopy(model)
        made.add(own)
        return own

    def explained(method, model, *_, **__):
        largest.append(len(made))
        return types.SimpleNamespace(maps=torch.zeros(3, 1, 16, 16))

    monkeypatch.setattr(networks_module, "copy", types.SimpleNamespace(deepcopy=copied))
    monkeypatch.setattr(module, "explain", explained)
    study(network, *given, settings={}, methods=["BP"], workers=1)
    assert len(largest) == 6  # intact, three layers two ways, of which the first is the same
    assert max(largest) <= 4  # explained, the one before while it is replaced, and the two that `randomized` works on


@pytest.mark.parametrize("way", ["backwards", RECALIBRATED])
def test_an_unknown_way_or_missing_images_are_refused(network, way):
    with pytest.raises(ValueError, match=f"way is '{way}', expected one of cascading, independent"):
        next(reinitialised(network, way, seed=SEED))
