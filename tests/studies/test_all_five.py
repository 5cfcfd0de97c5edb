import re

import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.attack.gradient import fgsm, quantise
from aecompanion.attack.lp_ball import norm
from aecompanion.explain.causal_effect import region_effects
from aecompanion.explain.mask import PUBLISHED
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies.all_five import Options, boxes_or_hottest, examine

CLASSES = ["red", "green", "blue"]
QUICK = Options(eps=0.02, radius=20.0, steps=4, mask_steps=3, side=4)


class Colours(nn.Module):
    """Scores of the mean colour channels: what it says can be worked out on paper."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data.copy_(8 * torch.eye(3)[:, :, None, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images).mean((2, 3))


def network(*, multi_label: bool = False):
    found = create(Colours(), classes=3, size=16, mean=0.0, std=1.0, cam_layers=["conv"]).eval()
    found.card["multi_label"] = multi_label
    return found


@pytest.fixture
def pictures():
    """Three images whose largest channel is red, green, blue and the next one green, blue, red."""
    noise = torch.rand(3, 3, 16, 16, generator=generator(2)) / 5
    colour = torch.tensor([[0.6, 0.4, 0.2], [0.2, 0.6, 0.4], [0.4, 0.2, 0.6]])
    return quantise((noise + colour[:, :, None, None]).clamp(0, 1))


@pytest.fixture
def boxes():
    found = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    found[0, 0, 2:8, 3:9] = True
    return found


def test_the_class_is_the_first_and_the_target_the_runner_up(pictures):
    numbers = examine(network(), pictures, classes=CLASSES, names=["a", "b", "c"], options=QUICK).numbers
    assert numbers["image"].tolist() == ["a", "b", "c"]
    assert numbers["class"].tolist() == CLASSES
    assert numbers["target"].tolist() == ["green", "blue", "red"]
    expected = network()(pictures).softmax(1).amax(1)
    torch.testing.assert_close(torch.tensor(numbers["p"].to_numpy()), expected.detach())


def test_a_counterfactual_stays_in_its_ball_and_makes_the_target_likelier(pictures):
    found = examine(network(), pictures, classes=CLASSES, options=QUICK)
    radius = 20 * (3 * 16 * 16 / (3 * 160 * 160)) ** (1 / 1.5)
    assert (norm(found.counterfactuals - pictures, 1.5) <= radius * 1.001).all()
    assert (found.numbers["p_counterfactual"] > found.numbers["p_target"]).all()
    said = network()(found.counterfactuals).argmax(1)
    assert found.numbers["reached"].tolist() == (said == torch.tensor([1, 2, 0])).tolist()


def test_the_mask_has_the_published_weight_and_no_noise():
    settings = Options(mask_steps=7, side=5, variation=0.1).mask()
    assert (settings.loss, settings.start, settings.area) == ("robust", 0, PUBLISHED["RP"].area)
    assert (settings.steps, settings.side, settings.variation, settings.noise) == (7, 5, 0.1, 0)


def test_a_large_ball_reaches_the_target():
    images = torch.full((1, 3, 16, 16), 0.5)
    images[:, 0] = 0.6
    wide = Options(radius=1000.0, steps=10, mask_steps=1, side=4)
    assert examine(network(), images, classes=CLASSES, options=wide).numbers["reached"].all()


def test_the_attack_is_one_step_away_from_the_class_rounded_to_8_bits(pictures):
    found = examine(network(), pictures, classes=CLASSES, options=QUICK)
    assert torch.equal(found.attacked, quantise(fgsm(network(), pictures, torch.arange(3), eps=0.02)))


def test_the_effect_is_that_of_the_box_where_there_is_one(pictures, boxes):
    found = examine(network(), pictures, classes=CLASSES, regions=boxes, options=QUICK)
    assert found.numbers["region"].tolist() == ["box", "top 10%", "top 10%"]
    assert torch.equal(found.regions[0], boxes[0])
    expected = region_effects(network(), pictures, found.regions, fill="ring").diagonal()
    torch.testing.assert_close(torch.tensor(found.numbers["effect"].to_numpy()), expected)
    assert torch.equal(found.replaced.where(found.regions, 0), found.replaced * found.regions)
    assert torch.equal(found.replaced.where(~found.regions, 0), pictures.where(~found.regions, 0))


def test_the_hottest_share_stands_in_for_a_box():
    heat = torch.arange(16.0).reshape(1, 1, 4, 4)
    chosen, kinds = boxes_or_hottest(None, heat, 0.25)
    assert kinds == ["top 25%"]
    assert torch.equal(chosen[0, 0], heat[0, 0] >= 12)


def test_dots_are_black_and_white_and_said_to_keep_the_class_or_not(pictures):
    found = examine(network(), pictures, classes=CLASSES, options=QUICK)
    assert set(found.dots.unique().tolist()) <= {0.0, 1.0}
    for column, shown in (
        ("keeps_halftone", found.dots),
        ("keeps_attack", found.attacked),
        ("keeps_both", found.dots_attacked),
    ):
        kept = network()(shown).argmax(1) == torch.arange(3)
        assert found.numbers[column].tolist() == kept.tolist()


def test_a_map_that_is_zero_has_no_shift():
    """Features below zero and scores that are their means: the ReLU of Grad-CAM leaves nothing."""
    silent = network()
    silent.body.conv.weight.data.mul_(-1)
    numbers = examine(silent, torch.rand(1, 3, 16, 16, generator=generator(0)), classes=CLASSES, options=QUICK).numbers
    assert numbers["nissim"].isna().all()


def test_several_labels_are_read_by_sigmoid(pictures):
    found = examine(network(multi_label=True), pictures, classes=CLASSES, options=QUICK)
    expected = network()(pictures).sigmoid().amax(1).detach()
    torch.testing.assert_close(torch.tensor(found.numbers["p"].to_numpy()), expected)


def test_a_batch_of_one_gives_the_numbers_of_a_batch_of_three(pictures, boxes):
    whole = examine(network(), pictures, classes=CLASSES, regions=boxes, options=QUICK)
    alone = Options(**vars(QUICK) | {"batch": 1})
    parts = examine(network(), pictures, classes=CLASSES, regions=boxes, options=alone)
    pd.testing.assert_frame_equal(whole.numbers, parts.numbers, rtol=1e-4)


def test_grey_images_are_examined_by_a_network_of_three_channels(pictures):
    with seeded(1):
        convolutional = create("compact/resnet", classes=3, size=48).eval()
    grey = torch.rand(2, 1, 48, 48, generator=generator(3))
    found = examine(convolutional, grey, classes=CLASSES, options=QUICK)
    assert found.counterfactuals.shape == grey.shape
    assert len(found.numbers) == 2


def test_the_network_comes_back_as_it_was(pictures, condition):
    own = network().train()
    before = condition(own)
    examine(own, pictures, classes=CLASSES, options=QUICK)
    assert condition(own) == before


def sentence(images, *, own=None, **options) -> str:
    with pytest.raises(ValueError, match=".") as caught:
        examine(own or network(), images, **{"classes": CLASSES, "options": QUICK} | options)
    return str(caught.value)


def test_what_does_not_fit_is_one_sentence(pictures):
    grey = create("compact/resnet", classes=3, channels=1, size=48)
    assert sentence(pictures, own=grey) == "images have 3 channels, the network takes 1: set channels=1"
    assert sentence(pictures, classes=["a", "b"]) == "the network gives 3 outputs, expected 2 (one per class name)"
    assert sentence(pictures, names=["a"]) == "there are 1 names, expected one for each of 3 images"
    assert sentence(pictures[0]).startswith("images have shape (3, 16, 16), expected N×C×H×W with at least one image")
    assert sentence(pictures[:0]).startswith("images have shape (0, 3, 16, 16), expected N×C×H×W")
    regions = torch.zeros(3, 16, 16)
    assert sentence(pictures, regions=regions).startswith("regions are torch.float32 (3, 16, 16), expected torch.bool ")


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_share_outside_its_range_is_one_sentence(share):
    expected = re.escape(f"share is {share}, expected a part of the image inside (0, 1)")
    with pytest.raises(ValueError, match=f"^{expected}$"):
        Options(share=share)
