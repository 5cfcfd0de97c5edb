import math

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.defend.halftone import halftone
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train.distil import disagreement, self_distilled

IMAGES = torch.rand(12, 1, 16, 16, generator=generator(0))


@pytest.fixture(scope="module")
def network():
    return create("compact/digits", classes=4, channels=1, size=16, seed=1).eval()


def learned(network, **options):
    return self_distilled(network, IMAGES, halftone, **{"steps": 30, "batch": 6, "lr": 1e-3} | options)


def test_the_disagreement_is_the_mean_divergence_over_views():
    said = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.25, 0.75], [1 - 1e-9, 1e-9]]))
    views = [0.0, math.log(4), 0.5 * math.log(4 / 3), 0.0]
    assert disagreement(logits, said).item() == pytest.approx(np.mean(views), abs=1e-6)


def test_a_network_that_has_learned_says_of_dots_what_it_said_of_the_image(network):
    pupil = learned(network)
    with torch.no_grad():
        said = network(IMAGES).softmax(1)
        before, after = (disagreement(each(halftone(IMAGES)), said) for each in (network, pupil))
        kept = disagreement(pupil(IMAGES), said)
    assert after < before / 2
    assert kept < before / 2


def test_the_teacher_and_the_statistics_of_its_normalisations_stay(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pupil = learned(network, steps=3)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    changed = {name for name, value in pupil.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name, _ in network.named_parameters()}
    assert not pupil.training and not any(each.requires_grad for each in pupil.parameters())


def test_the_same_seed_gives_the_same_network(network):
    first, again, other = (learned(network, steps=2, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_view_that_changes_nothing_teaches_nothing():
    with seeded(0, 1):
        linear = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    pupil = self_distilled(linear, IMAGES, lambda x: x, steps=1, batch=4, lr=1e-3)
    # the gradient is zero but for rounding, which Adam scales up to a step of lr at most
    torch.testing.assert_close(pupil[1].weight, linear[1].weight, atol=1.1e-3, rtol=0)


@pytest.mark.parametrize("batch", [0, 13])
def test_a_batch_is_one_to_all_images(network, batch):
    with pytest.raises(ValueError, match=f"12 images, expected at least {batch}, one batch"):
        learned(network, batch=batch)
