import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lib.train.compact import FAMILIES, Bottleneck, InceptionBlock, XceptionBlock, compact
from lib.train.zoo import create

every_family = pytest.mark.parametrize("name", FAMILIES)


def network(name: str, size: int = 64, channels: int = 1) -> nn.Module:
    return compact(name, classes=7, channels=channels, size=size).eval()


def blocks(name: str, kind: type) -> int:
    return sum(isinstance(module, kind) for module in network(name).modules())


@every_family
@pytest.mark.parametrize(("size", "channels"), [(48, 3), (50, 1), (64, 1), (96, 3)])
def test_an_image_becomes_one_logit_per_class(name, size, channels):
    assert network(name, size, channels)(torch.rand(2, channels, size, size)).shape == (2, 7)


@every_family
def test_the_last_map_of_a_64_px_image_is_8_by_8(name):
    shapes = []
    net = create(f"compact/{name}", classes=7, channels=1, size=64).eval()
    net.cam_layer().register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    net(torch.rand(1, 1, 64, 64))
    assert [tuple(shape[-2:]) for shape in shapes] == [(8, 8)]


@every_family
def test_the_maps_shrink_from_stage_to_stage(name):
    net, sides = network(name), []
    for stage in net.stages:
        getattr(net, stage).register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    net(torch.rand(1, 1, 64, 64))
    assert len(sides) == 4
    assert sides == sorted(sides, reverse=True)


@every_family
def test_a_forward_pass_costs_20_to_42_mflop(name):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(name)(torch.rand(1, 1, 64, 64))
    assert 20e6 < counter.get_total_flops() < 42e6


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
    [("inception", InceptionBlock, 4), ("xception", XceptionBlock, 3), ("vgg", Bottleneck, 0)],
)
def test_a_family_has_the_block_that_names_it(name, kind, count):
    assert blocks(name, kind) == count


def test_the_xception_convolves_in_space_only_by_channel():
    spatial = [m for m in network("xception").stage3.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert spatial
    assert all(layer.groups == layer.in_channels for layer in spatial)


def test_a_bottleneck_of_zero_weights_is_the_rectified_shortcut():
    block = Bottleneck(8, 8).eval()
    nn.init.zeros_(block.body[-1][0].weight)
    features = torch.randn(1, 8, 5, 5)
    assert torch.equal(block(features), features.relu())


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="'alexnet' is unknown, expected one of vgg, resnet, resnet_deep, inception"):
        compact("alexnet", classes=7, channels=1, size=64)


@pytest.mark.parametrize("size", [32, 47])
def test_an_image_below_48_px_is_refused(size):
    with pytest.raises(ValueError, match=f"image size {size} is too small .* at least 48"):
        compact("vgg", classes=7, channels=1, size=size)
