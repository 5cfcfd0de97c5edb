"""Quantus 0.6 as an oracle for what it and this library both compute. It is pinned for the tests alone; an environment
that was made without it skips them.
"""

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.evaluate.dissimilarity import spearman
from aecompanion.evaluate.faithfulness import measure
from aecompanion.evaluate.games import energy
from aecompanion.evaluate.given import Given
from aecompanion.evaluate.sparsity import gini
from aecompanion.evaluate.truth import pointing
from aecompanion.explain.saliency import saliency
from aecompanion.pipeline.rng import generator, seeded

quantus = pytest.importorskip("quantus", reason="Quantus is not installed, expected the pinned environment")

COUNT, SIDE = 6, 8
QUIET = {"disable_warnings": True}


@pytest.fixture
def network():
    with seeded(2, 1):
        layers = nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
        return nn.Sequential(*layers).eval()


@pytest.fixture
def images():
    return torch.rand(COUNT, 3, SIDE, SIDE, generator=generator(2, 2))


@pytest.fixture
def maps():
    """The lowest value is 0, since `energy` counts from it."""
    found = torch.rand(COUNT, 1, SIDE, SIDE, generator=generator(2, 3)).square()
    return found - found.amin((1, 2, 3), keepdim=True)


@pytest.fixture
def inside():
    found = torch.zeros(COUNT, 1, SIDE, SIDE, dtype=torch.bool)
    for row in range(COUNT):
        found[row, 0, : 3 + row % 3, row % 4 :] = True
    return found


def asked(metric, network, images, **arrays):
    """What a metric of Quantus says of arrays."""
    given = {"model": network, "x_batch": images.numpy(), "y_batch": np.arange(COUNT) % 3}
    return metric(**given, **{name: each.numpy() for name, each in arrays.items()})


def test_relevance_mass_accuracy_is_energy_pointing(network, images, maps, inside):
    found = asked(quantus.RelevanceMassAccuracy(**QUIET), network, images, a_batch=maps, s_batch=inside)
    assert np.ptp(found) > 0.1
    assert energy(maps, inside).tolist() == pytest.approx(np.ravel(found).tolist(), abs=1e-6)


def test_the_pointing_game_is_pointing(network, images, maps, inside):
    found = asked(quantus.PointingGame(**QUIET), network, images, a_batch=maps, s_batch=inside)
    assert 0 < np.mean(found) < 1
    assert pointing(maps, inside).tolist() == np.ravel(found).astype(float).tolist()


def test_sparseness_is_the_gini_index(network, images, maps):
    found = asked(quantus.Sparseness(**QUIET), network, images, a_batch=maps)
    assert np.ptp(found) > 0.01
    assert gini(maps.flatten(1)).tolist() == pytest.approx(np.ravel(found).tolist(), abs=1e-6)


def test_mprt_is_spearmans_correlation_of_our_maps_layer_by_layer(network, images):
    """The layers that Quantus re-initialises, top down; the last of them is what the metric "randomisation" asks."""
    seen = []

    def explain(model, inputs, targets, **_):
        seen.append(saliency(model, torch.as_tensor(inputs), torch.as_tensor(targets)))
        return seen[-1].numpy()

    metric = quantus.MPRT(layer_order="top_down", seed=3, **QUIET)
    arrays = {"x_batch": images.numpy(), "y_batch": np.arange(COUNT) % 3, "a_batch": None}
    found = metric(model=network, **arrays, explain_func=explain)
    scores, maps = list(found.values()), seen[-len(found) :]
    assert len(scores) == 4  # the network itself and three layers
    for theirs, ours in zip(scores, maps, strict=True):
        assert spearman(maps[0], ours).tolist() == pytest.approx(theirs, abs=1e-6)
    assert scores[0] == pytest.approx([1] * COUNT) and max(scores[-1]) < 0.9
    given = Given(multi_label=False, other=maps[-1])
    ours = measure("randomisation", network, images, maps[0], torch.arange(COUNT) % 3, given)
    assert (1 - ours).tolist() == pytest.approx(scores[-1], abs=1e-6)


def test_max_sensitivity_of_the_same_neighbours(network, images):
    target, count, radius = torch.arange(COUNT) % 3, 3, 0.1
    drawn = [torch.rand(count, *images.shape[1:], generator=generator(0, key)) for key in range(COUNT)]
    versions = (images[:, None] + radius * (2 * torch.stack(drawn) - 1)).clamp(0, 1)
    steps = iter(versions.flatten(2).unbind(1))

    def explain(model, inputs, targets, **_):
        return saliency(model, torch.as_tensor(inputs).float(), torch.as_tensor(targets)).numpy()

    metric = quantus.MaxSensitivity(nr_samples=count, perturb_func=lambda arr, **_: next(steps).numpy(), **QUIET)
    maps = saliency(network, images, target)
    arrays = {"x_batch": images.numpy(), "y_batch": target.numpy(), "a_batch": maps.numpy()}
    found = metric(model=network, **arrays, explain_func=explain)
    own = {"explain": lambda shown, place: saliency(network, shown, target[[place] * len(shown)]), "radius": radius}
    ours = measure("max-sensitivity", network, images, maps, target, Given(multi_label=False, neighbours=count, **own))
    assert min(found) > 0.01
    assert ours.tolist() == pytest.approx(list(found), rel=1e-4)
