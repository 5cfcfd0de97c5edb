"""What an image costs a network, by hand and from what is known of full-size ones."""

import pytest
import torch

from aecompanion.networks import zoo
from aecompanion.networks.facts import Facts, measured, network_facts


def test_the_facts_of_a_network_are_those_of_a_real_forward_pass():
    found = network_facts("compact/digits", 10, 1, 28)
    real = measured(zoo.create("compact/digits", classes=10, channels=1, size=28), 1, 28, "cpu")
    # 3×3×1×32 at 26², 3×3×32×64 at 11², 1600×256, 256×10; two operations each
    by_hand = 2 * (9 * 32 * 26**2 + 9 * 32 * 64 * 11**2 + 1600 * 256 + 256 * 10)
    assert found == real == Facts(by_hand, real.parameters, real.activations, 32 * 26**2, 4)


def test_the_full_size_networks_have_the_known_cost():
    assert network_facts("torchvision/resnet50", 1000, 3, 224).flops == pytest.approx(8.2e9, rel=0.01)
    assert network_facts("torchvision/vgg16", 1000, 3, 224).parameters == 138_357_544


def test_the_shipped_network_is_known_by_its_card():
    assert network_facts("efficientnet_lite0", 1000, 3, 224).parameters == 4_652_008


def test_a_name_that_nobody_knows_is_a_sentence():
    with pytest.raises(ValueError, match="^network 'nope' is unknown, expected compact/NAME"):
        network_facts("nope", 10, 1, 28)


def test_torchs_generator_is_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    network_facts("compact/vgg", 11, 1, 64)
    assert torch.equal(torch.get_rng_state(), before)
