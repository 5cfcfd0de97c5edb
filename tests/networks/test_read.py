import re

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.data.dataset import Dataset
from aecompanion.networks.read import answers, features, predict, probabilities, several_labels, squashed
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train import score

EXACT = {"rtol": 0, "atol": 1e-12}


class Writing(nn.Module):
    """Doubles its input in place."""

    def forward(self, images):
        return images.mul_(2).flatten(1)


@pytest.mark.parametrize("batch", [1, 2, 128])
def test_logits_are_those_of_evaluation_mode_and_the_network_comes_back_as_it_was(
    convolutional, images, condition, batch
):
    convolutional, images = convolutional.double(), images.double()
    expected = convolutional(images).detach()
    before = condition(convolutional.train())
    found = predict(convolutional, images.requires_grad_(), batch=batch)
    assert torch.allclose(found, expected, **EXACT)
    assert not found.requires_grad
    assert condition(convolutional) == before


@pytest.mark.parametrize("multi_label", [False, True])
def test_probabilities_are_what_the_card_says(convolutional, images, multi_label):
    logits = predict(convolutional, images)
    expected = squashed(logits, multi_label=multi_label)
    convolutional.card = {"multi_label": multi_label}
    assert torch.equal(probabilities(convolutional, images), expected)
    convolutional.card = {"multi_label": not multi_label}
    assert torch.equal(probabilities(convolutional, images, multi_label=multi_label), expected)


def test_a_logit_of_log_three_is_three_quarters():
    logits = torch.tensor([[0.0, float(np.log(3))]])
    assert squashed(logits, multi_label=False).tolist() == [pytest.approx([0.25, 0.75])]
    assert squashed(logits, multi_label=True).tolist() == [pytest.approx([0.5, 0.75])]


@pytest.mark.parametrize("card", [None, {"name": "without the entry"}])
def test_nothing_is_taken_for_granted_without_a_card(images, card):
    network = nn.Flatten()
    if card is not None:
        network.card = card
    expected = (
        "Flatten has no card that says whether its outputs are sigmoids or a softmax: pass multi_label=True or False"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        probabilities(network, images)
    assert [several_labels(network, told) for told in (True, False)] == [True, False]


def test_a_network_that_writes_into_its_input_leaves_the_callers_images():
    images = torch.rand(3, 1, 2, 2, generator=generator(1))
    before = images.clone()
    assert torch.equal(predict(Writing(), images, batch=2), 2 * before.flatten(1))
    assert torch.equal(images, before)


def test_answers_come_batch_by_batch_and_leave_gradients_on_between_them(convolutional, images):
    found = []
    for logits in answers(convolutional, iter(images.split(2))):
        assert torch.is_grad_enabled()
        found.append(logits)
    assert [len(each) for each in found] == [2, 2, 1]
    assert torch.equal(torch.cat(found), predict(convolutional, images, batch=2))


def test_a_network_is_given_back_when_reading_stops_early(convolutional, images, condition):
    before = condition(convolutional.train())
    reading = answers(convolutional, images.split(2))
    next(reading)
    reading.close()
    assert condition(convolutional) == before


def test_features_are_not_overwritten_by_an_in_place_layer_that_follows(convolutional, images, condition):
    convolutional, images = convolutional.double(), images.double()
    convolutional.norm.bias.data -= 1
    expected = convolutional.norm(convolutional.conv1(images)).detach()
    assert expected.min() < 0
    convolutional.relu.inplace = True
    before = condition(convolutional)
    for batch in (2, 128):
        assert torch.allclose(features(convolutional, images, layer=convolutional.norm, batch=batch), expected)
    assert condition(convolutional) == before


def test_the_hook_is_gone_after_an_exception(convolutional, images, condition, fail_on_call):
    fail_on_call(convolutional, 2)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match="^call 2$"):
        features(convolutional, images, layer=convolutional.norm, batch=2)
    assert condition(convolutional) == before


def test_files_are_read_as_packed_images_are(convolutional, monkeypatch):
    """A set that is decoded from files passes through `score.predict` in threads, in order."""
    packed = (torch.rand(5, 2, 8, 8, generator=generator(2)) * 255).byte().numpy()
    split = np.array(["test"] * 5, dtype=object)
    dataset = Dataset(torch.zeros(5, dtype=torch.long), split, ["a"], "drawn", 2, 8, images=packed)
    expected = score.predict(convolutional, dataset, np.arange(5), batch=2)
    assert torch.equal(expected, predict(convolutional, torch.from_numpy(packed) / 255, batch=2))
    monkeypatch.setattr(score, "readers", lambda views: 3)
    assert torch.equal(score.predict(convolutional, dataset, np.arange(5), batch=2), expected)


@pytest.mark.parametrize("grad", [False, True])
def test_a_compiled_network_that_has_answered_is_read_with_its_hooks(images, grad):
    with seeded(3):
        network = create(
            nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)),
            classes=3,
            channels=2,
            size=8,
            cam_layers=["0"],
        )
    network.eval().requires_grad_(False)
    compiled = torch.compile(network, backend="eager")
    with torch.set_grad_enabled(grad):
        compiled(images)
    assert torch.equal(predict(compiled, images), predict(network, images))
    assert torch.equal(probabilities(compiled, images), probabilities(network, images))
    layer = network.cam_layer()
    assert torch.equal(features(compiled, images, layer=layer), features(network, images, layer=layer))
