import json
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.data.dataset import Dataset
from aecompanion.networks import checkpoint
from aecompanion.networks.mobilefacenet import MobileFaceNet
from aecompanion.networks.recogniser import Recogniser
from aecompanion.networks.zoo import create
from aecompanion.pipeline import paths
from aecompanion.train import enrol, ensemble
from aecompanion.train.enrol import centroids, chosen, fitting_scale, left_out


class Colour(nn.Module):
    """The mean of every channel through a linear layer: an embedding that can be read off."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3, bias=False)

    def forward(self, images):
        return self.linear(images.mean((2, 3)))


def colour(*, classes, channels, size):
    return Recogniser(Colour(), 3, classes)


def people(images, labels, split):
    """A data set of 48×48 images of one colour each, N×3 from 0 to 255."""
    pixels = np.asarray(images, np.uint8)[:, :, None, None] * np.ones((1, 1, 48, 48), np.uint8)
    names = [f"person {k}" for k in range(max(labels) + 1)]
    facts = {"classes": names, "source": "colours", "channels": pixels.shape[1], "size": 48}
    return Dataset(images=pixels, labels=torch.tensor(labels), split=np.array(split, object), **facts)


@pytest.fixture
def weights(tmp_path):
    """The identity, so that an embedding is the colour minus grey."""
    torch.save({"net_state_dict": {"linear.weight": torch.eye(3)}}, tmp_path / "colour.ckpt")
    return tmp_path / "colour.ckpt"


@pytest.fixture
def three():
    """Three people of six images: red, green and blue with a little of the next colour; one red one is green."""
    images, labels, split = [], [], []
    for person in range(3):
        for number in range(6):
            rgb = [128, 128, 128]
            rgb[person] = 255
            rgb[(person + 1) % 3] += 10 * number
            images.append([128, 255, 128] if (person, number) == (0, 5) else rgb)
            labels.append(person)
            split.append(["train"] * 4 + ["validation", "test"])
    return people(images, labels, np.ravel(split[:3]).tolist())


def network_for(dataset):
    return create(colour, classes=len(dataset.classes), channels=3, size=48, cam_layers=["net.linear"])


# ---- the formulas, by hand


def test_a_centroid_is_the_normalised_mean():
    units = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8]])
    found = centroids(units, torch.tensor([0, 0, 1]), 2)
    assert torch.allclose(found, torch.tensor([[0.5**0.5, 0.5**0.5], [0.6, -0.8]]))


def test_an_image_is_left_out_of_its_own_centroid():
    """Person 0 at 0° and 60° (centroid at 30°), person 1 at 180° and 240° (210°)."""
    angles = torch.tensor([0.0, 60.0, 180.0, 240.0]).deg2rad()
    units = torch.stack([angles.cos(), angles.sin()], 1)
    found = left_out(units, torch.tensor([0, 0, 1, 1]))
    other = math.cos(math.radians(150))
    expected = [[0.5, other], [0.5, other], [other, 0.5], [other, 0.5]]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-6)


def test_the_scale_is_the_minimum_of_the_cross_entropy():
    """Three images nearer to their own centroid by 0.1 and one farther: sigmoid(0.1 s) = 3/4, so s = 10 ln 3."""
    cosines = torch.tensor([[0.8, 0.7], [0.7, 0.8], [0.5, 0.4], [0.2, 0.3]], dtype=torch.float64)
    assert fitting_scale(cosines, torch.tensor([0, 1, 0, 0])) == pytest.approx(10 * math.log(3))


@pytest.mark.parametrize(("gap", "expected"), [(0.3, 64), (-0.3, 1)])
def test_the_scale_stays_within_its_bounds(gap, expected):
    """All right: larger is better; all wrong: smaller is."""
    cosines = torch.tensor([[gap, 0.0], [gap, 0.0]], dtype=torch.float64)
    assert fitting_scale(cosines, torch.tensor([0, 0])) == expected


# ---- which images


def test_only_training_images_are_enrolled_and_as_many_of_everybody(three):
    found = chosen(three, 3, seed=1)
    assert set(three.split[found]) == {"train"}
    assert three.labels[found].bincount().tolist() == [3, 3, 3]


def test_a_seed_is_another_enrolment_and_more_images_keep_the_first(three):
    drawn = [tuple(chosen(three, 2, seed)) for seed in range(6)]
    assert len(set(drawn)) > 1
    assert drawn[0] == tuple(chosen(three, 2, 0))
    assert set(drawn[0]) < set(chosen(three, 3, 0))


# ---- enrolling


def test_the_network_knows_the_people_and_no_probe(three, weights):
    network, rows = network_for(three), []
    history = enrol.enrol(network, [three], weights=weights, images=4, seed=0, progress=rows.append)
    head = network.body.head
    assert torch.allclose(head.centroids.norm(dim=1), torch.ones(3))
    assert head.centroids.argmax(1).tolist() == [0, 1, 2]
    assert history.to_dict("records") == rows
    assert {**rows[0], "loss": 0} == {"epoch": 1, "loss": 0, "train_accuracy": 1, "validation_accuracy": 1}
    facts = network.card["enrolment"]
    assert (facts["images"], facts["scale"], facts["probes"]) == (4, 64, 6)
    assert facts["accuracy"] == pytest.approx(5 / 6)  # the red person who is green
    assert (facts["weights"], len(facts["sha256"])) == ("colour.ckpt", 64)
    json.dumps(network.card)
    before = head.centroids.clone()
    changed = np.where((three.split == "train")[:, None, None, None], three.images, 255 - three.images)
    other = Dataset(**{**vars(three), "images": changed})
    enrol.enrol(network, other, weights=weights, images=4, seed=0)
    assert torch.equal(head.centroids, before)


def test_the_logits_of_an_enrolled_network_by_hand(weights):
    """Two people, pure red and pure green; yellow is as near to the one as to the other."""
    red, green, yellow = [255, 128, 128], [128, 255, 128], [255, 255, 128]
    dataset = people([red, red, yellow, red, green, green, green, green], [0] * 4 + [1] * 4,
                     ["train", "train", "validation", "test"] * 2)  # fmt: skip
    network = network_for(dataset)
    enrol.enrol(network, dataset, weights=weights, images=2)
    with torch.no_grad():
        logits = network(dataset.batch([0, 2, 4])) / 64
    grey = 0.5 / 127.5  # 128 is not quite the middle
    own, other = (1 + 2 * grey**2) / (1 + 2 * grey**2), (2 * grey + grey**2) / (1 + 2 * grey**2)
    both = (1 + grey + grey**2) / ((2 + grey**2) * (1 + 2 * grey**2)) ** 0.5
    assert torch.allclose(logits, torch.tensor([[own, other], [both, both], [other, own]]), atol=1e-5)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (1, "images is 1, expected at least 2 per person (each is left out once)"),
        (5, "'person 0' has 4 training images, expected at least 5 to enrol"),
    ],
)
def test_too_few_images_are_one_sentence(three, weights, images, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        enrol.enrol(network_for(three), three, weights=weights, images=images)


def test_weights_of_another_network_are_one_sentence(three, tmp_path):
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt: does not fit Colour \(missing linear\.weight; unexpected conv"):
        enrol.enrol(network_for(three), three, weights=tmp_path / "other.pt", images=2)


def test_a_missing_file_is_one_sentence_before_anything_runs(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt: no such file, expected the weights of a MobileFaceNet$"):
        enrol.runs(tmp_path / "none.ckpt", [0], tmp_path, images=4)


def test_an_enrolment_per_seed_joins_the_trained_networks(three, tmp_path, monkeypatch):
    """Through the workers of `ensemble.train`, with a MobileFaceNet of random weights, and back from its checkpoint."""
    monkeypatch.setattr(paths, "BY_HAND", tmp_path / "by_hand")
    torch.save({"net_state_dict": MobileFaceNet().state_dict()}, tmp_path / "random.ckpt")
    three.save(tmp_path / "data")
    runs = enrol.runs(tmp_path / "random.ckpt", [0, 1], tmp_path / "data", images=2)
    history = ensemble.train(runs, tmp_path / "networks", workers=1, epochs=7, batch=32, lr=0.1)
    assert history[["network", "seed", "epoch"]].values.tolist() == [["mobilefacenet", 0, 1], ["mobilefacenet", 1, 1]]
    assert set(history["family"]) == {"recogniser"}
    files = checkpoint.catalogue(tmp_path / "networks")
    one, two = (checkpoint.load(files["mobilefacenet", seed]) for seed in (0, 1))
    assert torch.equal(one.body.net.conv2.conv.weight, two.body.net.conv2.conv.weight)
    assert not torch.equal(one.body.head.centroids, two.body.head.centroids)
    card = checkpoint.card(files["mobilefacenet", 1])
    assert (card["family"], card["epochs"], card["enrolment"]["images"]) == ("recogniser", 1, 2)
    images = three.batch([0, 7])
    assert torch.equal(one(images).argmax(1), torch.stack([one(image[None])[0] for image in images]).argmax(1))
