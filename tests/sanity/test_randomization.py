import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from aecompanion.evaluate.dissimilarity import spearman
from aecompanion.pipeline.rng import generator
from aecompanion.sanity.randomization import randomized, resettable

LAYERS = ["fc", "conv2", "conv1"]  # from the output to the input; conv1 takes its normalisation with it
PARTS = [["fc"], ["conv2"], ["norm", "conv1"]]


def changed(model, other):
    """Names of the layers in which two networks differ, in the order of the network."""
    theirs = other.state_dict()
    return list(dict.fromkeys(key.split(".")[0] for key, v in model.state_dict().items() if not v.equal(theirs[key])))


@pytest.mark.parametrize("cascading", [True, False])
def test_every_layer_with_parameters_is_visited_once_from_the_output_to_the_input(convolutional, cascading):
    assert [name for name, _ in randomized(convolutional, seed=0, cascading=cascading)] == LAYERS


def test_a_layer_in_a_nested_module_is_visited_under_its_full_name():
    model = nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 1)), nn.BatchNorm2d(1, affine=False), nn.Linear(1, 1))
    assert [name for name, _ in randomized(model, seed=0)] == ["2", "0.0"]


@pytest.mark.parametrize("cascading", [True, False])
def test_the_callers_model_is_untouched(convolutional, condition, cascading):
    before, state = condition(convolutional), copy.deepcopy(convolutional.state_dict())
    for _, current in randomized(convolutional, seed=0, cascading=cascading):
        current.train()
    assert condition(convolutional) == before
    assert all(torch.equal(value, state[key]) for key, value in convolutional.state_dict().items())


def test_independent_randomisation_changes_exactly_the_named_layer(convolutional):
    for (_, current), parts in zip(randomized(convolutional, seed=0, cascading=False), PARTS, strict=True):
        assert changed(convolutional, current)[::-1] == parts


def test_cascading_randomisation_accumulates_from_the_output_to_the_input(convolutional):
    found = [changed(convolutional, current)[::-1] for _, current in randomized(convolutional, seed=0)]
    assert found == [sum(PARTS[: count + 1], []) for count in range(3)]


def test_a_layer_gets_the_same_new_values_in_both_modes(convolutional):
    independent = dict(randomized(convolutional, seed=0, cascading=False))
    for name, current in randomized(convolutional, seed=0):
        assert changed(current.get_submodule(name), independent[name].get_submodule(name)) == []


def test_batch_normalisation_forgets_its_statistics_too(convolutional):
    reset = dict(randomized(convolutional, seed=0, cascading=False))["conv1"].norm
    assert torch.equal(reset.running_var, torch.ones(4))
    assert torch.equal(reset.weight, torch.ones(4))


@pytest.mark.parametrize("cascading", [True, False])
def test_the_same_seed_gives_the_same_networks_and_another_seed_others(convolutional, cascading):
    def last(seed):
        return [copy.deepcopy(current) for _, current in randomized(convolutional, seed=seed, cascading=cascading)][-1]

    assert changed(last(0), last(0)) == []
    assert "conv1" in changed(last(0), last(1))


def test_the_global_random_state_is_left_alone(convolutional):
    before = torch.get_rng_state()
    list(randomized(convolutional, seed=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_only_modules_that_own_parameters_and_initialise_them_are_resettable():
    assert resettable(nn.Linear(1, 1))
    assert not resettable(nn.Sequential(nn.Linear(1, 1)))
    assert not resettable(nn.BatchNorm2d(1, affine=False))
    assert not resettable(nn.ReLU())


def test_a_container_that_can_reset_its_layers_is_not_itself_a_layer():
    class Block(nn.Sequential):
        def reset_parameters(self):
            self[0].reset_parameters()

    assert not resettable(Block(nn.Linear(1, 1)))


# ---- rank correlation


@pytest.mark.parametrize("levels", [None, 4], ids=["distinct", "tied"])
def test_spearman_equals_scipy_pair_by_pair(levels):
    a, b = torch.rand(2, 6, 1, 5, 7, generator=generator(3, 1))
    if levels:
        a, b = (a * levels).floor(), (b * levels).floor()
    b[0] = a[0] ** 2
    expected = [stats.spearmanr(x.flatten(), y.flatten()).statistic for x, y in zip(a, b, strict=True)]
    assert spearman(a, b).numpy() == pytest.approx(np.array(expected), abs=1e-6)  # the result is a float32


def test_spearman_of_a_monotone_map_is_1_and_of_its_inverse_minus_1():
    maps = torch.rand(3, 1, 4, 4, generator=generator(3, 2))
    assert spearman(maps, maps.exp()).tolist() == pytest.approx([1, 1, 1], abs=1e-6)
    assert spearman(maps, -maps).tolist() == pytest.approx([-1, -1, -1], abs=1e-6)


def test_spearman_is_nan_where_either_map_is_constant_and_only_there():
    maps = torch.rand(3, 1, 4, 4, generator=generator(3, 3))
    a, b = maps.clone(), maps.clone()
    a[0], b[1] = 0.1, 0.0
    assert spearman(a, b).isnan().tolist() == [True, True, False]
