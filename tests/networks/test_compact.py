import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from aecompanion.networks.compact import FAMILIES, Basic, Bottleneck, InceptionBlock, XceptionBlock, compact
from aecompanion.networks.zoo import create

every_family = pytest.mark.parametrize("name", FAMILIES)
for_64_px = pytest.mark.parametrize("name", [name for name in FAMILIES if name != "digits"])


def network(name: str, size: int = 64, channels: int = 1) -> nn.Module:
    return compact(name, classes=7, channels=channels, size=size).eval()


def blocks(name: str, kind: type) -> int:
    return sum(isinstance(module, kind) for module in network(name).modules())


@every_family
@pytest.mark.parametrize(("size", "channels"), [(48, 3), (50, 1), (64, 1), (96, 3)])
def test_an_image_becomes_one_logit_per_class(name, size, channels):
    assert network(name, size, channels)(torch.rand(2, channels, size, size)).shape == (2, 7)


@for_64_px
def test_the_last_map_of_a_64_px_image_is_8_by_8_and_of_the_plain_residual_network_4_by_4(name):
    shapes = []
    net = create(f"compact/{name}", classes=7, channels=1, size=64).eval()
    net.cam_layer().register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    net(torch.rand(1, 1, 64, 64))
    assert [tuple(shape[-2:]) for shape in shapes] == [(4, 4) if name == "residual" else (8, 8)]


@every_family
def test_the_maps_shrink_from_stage_to_stage(name):
    net, sides = network(name), []
    for stage in net.stages:
        getattr(net, stage).register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    net(torch.rand(1, 1, 64, 64))
    assert len(sides) == len(net.stages) == (2 if name == "digits" else 4)
    assert sides == sorted(sides, reverse=True)


@for_64_px
def test_a_forward_pass_costs_14_to_45_mflop(name):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(name)(torch.rand(1, 1, 64, 64))
    lowest, highest = {"residual": (13e6, 15e6), "gap": (44e6, 45e6)}.get(name, (20e6, 42e6))
    assert lowest < counter.get_total_flops() < highest


@every_family
def test_the_gradient_reaches_every_input_image(name):
    images = torch.rand(3, 1, 64, 64, requires_grad=True)
    network(name)(images)[:, 0].sum().backward()
    assert (images.grad.flatten(1).abs().amax(1) > 0).all()


@every_family
def test_every_parameter_takes_part_in_training(name):
    net = network(name).train()
    net(torch.rand(4, 1, 64, 64)).square().sum().backward()
    assert [key for key, parameter in net.named_parameters() if not parameter.grad.any()] == []


@every_family
def test_an_image_does_not_see_the_others_of_its_batch(name):
    net, images = network(name), torch.rand(3, 1, 64, 64)
    torch.testing.assert_close(net(images)[1:2], net(images[1:2]), rtol=1e-4, atol=1e-6)


def test_resnet_deep_has_twice_the_bottlenecks_of_resnet():
    assert (blocks("resnet", Bottleneck), blocks("resnet_deep", Bottleneck)) == (6, 12)


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("inception", InceptionBlock, 4),
        ("xception", XceptionBlock, 3),
        ("residual", Basic, 4),
        ("vgg", Bottleneck, 0),
        ("gap", nn.Linear, 1),
        ("digits", nn.BatchNorm2d, 0),
        ("digits", nn.Linear, 2),
    ],
)
def test_a_family_has_the_block_that_names_it(name, kind, count):
    assert blocks(name, kind) == count


def test_the_xception_convolves_in_space_only_by_channel():
    spatial = [m for m in network("xception").stage3.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert spatial
    assert all(layer.groups == layer.in_channels for layer in spatial)


@pytest.mark.parametrize("kind", [Basic, Bottleneck])
def test_a_residual_block_of_zero_weights_is_the_rectified_shortcut(kind):
    block = kind(8, 8).eval()
    nn.init.zeros_(block.body[-1][0].weight)
    features = torch.randn(1, 8, 5, 5)
    assert torch.equal(block(features), features.relu())


@pytest.mark.parametrize("kind", [Basic, Bottleneck])
def test_a_residual_block_may_widen_and_halve_its_map(kind):
    assert kind(8, 16, 2)(torch.rand(2, 8, 10, 10)).shape == (2, 16, 5, 5)


def test_the_plain_residual_network_begins_with_5_by_5_convolutions_of_stride_2_and_pooling():
    net = network("residual")
    assert (net.stem[0][0].kernel_size, net.stem[0][0].stride) == ((5, 5), (2, 2))
    assert net.stem(torch.rand(1, 1, 64, 64)).shape == (1, 16, 16, 16)


def test_an_unknown_family_is_refused():
    names = "vgg, resnet, resnet_deep, inception, xception, residual, gap, digits"
    expected = f"'alexnet' is unknown, expected one of {names}$"
    with pytest.raises(ValueError, match=expected):
        compact("alexnet", classes=7, channels=1, size=64)


@for_64_px
@pytest.mark.parametrize("size", [28, 47])
def test_an_image_below_48_px_is_refused(name, size):
    with pytest.raises(ValueError, match=f"^image size {size} is too small for compact/{name}, expected at least 48"):
        compact(name, classes=7, channels=1, size=size)


# the networks of the causal-effect study


def features(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What the head gets."""
    found = []
    hook = net.head.register_forward_pre_hook(lambda module, inputs: found.append(inputs[0]))
    net(images)
    hook.remove()
    return found[0]


@torch.no_grad()
def test_the_mean_of_a_class_activation_map_of_gap_is_the_logit_without_its_bias():
    net, images = network("gap"), torch.rand(3, 1, 64, 64)
    maps, linear = features(net, images), net.head[-1]
    assert maps.shape == (3, 96, 8, 8)
    assert [type(layer) for layer in net.head] == [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]
    cam = torch.einsum("ck,nkhw->nchw", linear.weight, maps)
    torch.testing.assert_close(cam.mean((2, 3)), net(images) - linear.bias, rtol=1e-4, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("size", "side"), [(16, 2), (21, 3), (22, 4), (28, 5), (64, 14)])
def test_the_head_of_digits_takes_64_maps_halved_twice(size, side):
    net, images = network("digits", size), torch.rand(2, 1, size, size)
    assert features(net, images).shape == (2, 64, side, side)
    assert net.head[1].in_features == 64 * side * side
    assert net(images).shape == (2, 7)


def test_digits_has_32_and_64_channels_and_256_hidden_units():
    shapes = [tuple(weight.shape) for key, weight in network("digits", 28).named_parameters() if "weight" in key]
    assert shapes == [(32, 1, 3, 3), (64, 32, 3, 3), (256, 64 * 5 * 5), (7, 256)]


def test_a_stage_of_digits_or_gap_is_all_that_the_next_one_sees():
    """So the network can be cut open behind any of them."""
    for name in ("digits", "gap"):
        net, images = network(name), torch.rand(2, 1, 64, 64)
        maps = net.stem(images)
        for stage in net.stages:
            maps = getattr(net, stage)(maps)
        assert torch.equal(net.head(maps), net(images))


@pytest.mark.parametrize("size", [8, 15])
def test_digits_refuses_an_image_below_16_px(size):
    expected = rf"^image size {size} is too small for compact/digits, expected at least 16 \(a 2×2 last map\)$"
    with pytest.raises(ValueError, match=expected):
        compact("digits", classes=10, channels=1, size=size)
