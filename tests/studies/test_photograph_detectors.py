import numpy as np
import pytest
import torch

from aecompanion.attack.crafted import craft
from aecompanion.evaluate.detectors import DETECTORS
from aecompanion.networks.read import predict, probabilities
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator
from aecompanion.studies import photograph_detectors as study
from aecompanion.studies.photograph_effects import opened

KEYS = [4, 7, 9, 11]
IMAGES = (torch.rand(4, 3, 48, 48, generator=generator(0)) * 255).round() / 255


@pytest.fixture(scope="module")
def prepared():
    network = create("compact/vgg", classes=4, channels=3, size=48, seed=1).eval()
    return network, predict(network, IMAGES).argmax(1), opened(network, IMAGES, units=4)


@pytest.fixture(scope="module")
def rows(prepared):
    network, labels, cut = prepared
    return study.detection_rows(network, IMAGES, labels, cut, eps=[8 / 255], keys=KEYS)


def test_scores_are_detectors_that_need_neither_labels_nor_a_lossy_bottleneck():
    assert set(study.SCORES) == set(DETECTORS) - {"sum", "sum_two", "mahalanobis", "bottleneck"}


def test_there_is_a_row_per_photograph_and_set(rows):
    sets = rows.groupby(["attack", "level"])["image"].agg(sorted)
    assert sets.to_dict() == {("clean", 0): KEYS, ("fgsm", 8): KEYS, ("noise", 8): KEYS}
    assert not rows.loc[rows["attack"] == "clean", "flipped"].any()


def test_low_confidence_is_one_minus_the_largest_probability(prepared, rows):
    network, labels, _ = prepared
    attacked = craft(network, IMAGES, labels, attack="fgsm", eps=8 / 255)
    expected = 1 - probabilities(network, attacked).amax(1)
    found = rows[rows["attack"] == "fgsm"].set_index("image").loc[KEYS, "confidence"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_two_sided_score_is_measured_from_the_median_of_the_other_half(rows):
    clean = rows[rows["attack"] == "clean"].set_index("image")
    usual = clean.loc[[7, 11], "confidence"].min()  # torch's median of two is the lower one
    expected = (clean.loc[[4, 9], "confidence"] - usual).abs()
    np.testing.assert_allclose(clean.loc[[4, 9], "confidence_two"], expected, atol=1e-6)


def test_an_attack_that_knows_a_score_does_not_raise_it_more_than_one_that_does_not(prepared):
    network, labels, cut = prepared
    run = {"eps": 8 / 255, "steps": 3, "count": 3, "keys": KEYS}
    found = study.evasion_rows(network, IMAGES, labels, cut, **run)
    assert found.groupby("detector")["image"].agg(sorted).to_dict() == dict.fromkeys(study.SCORES, [4, 7, 9])
    both = found[(found["changed_plain"] == 1) & (found["changed_adaptive"] == 1)]
    excess = both[["plain", "adaptive"]].sub(both["clean"], axis=0).clip(lower=0)
    assert (excess["adaptive"] <= excess["plain"] + 1e-5).all()
    assert (found["changed_adaptive"] >= found["changed_plain"]).all()
