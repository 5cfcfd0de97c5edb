import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.data.image_folder import image_folder
from aecompanion.networks import checkpoint
from aecompanion.networks.cifar_resnet import FILES, Block, CifarResNet
from aecompanion.networks.folding import folded
from aecompanion.networks.foreign import load_foreign
from aecompanion.networks.zoo import create
from aecompanion.pipeline.paths import ROOT
from aecompanion.pipeline.rng import generator
from aecompanion.train import score

# where a reader has the files: public/ as in profiles/public.yaml, or another folder with weights/ and cifar10/
REAL = Path(os.environ.get("COMPANION_PUBLIC", ROOT / "public"))
DEPTHS = (20, 32, 44, 56)
every_depth = pytest.mark.parametrize("depth", DEPTHS)


def network(depth=20, *, classes=10, channels=3, size=32, seed=0):
    name = f"aecompanion.networks.cifar_resnet:resnet{depth}"
    return create(name, classes=classes, channels=channels, size=size, seed=seed).eval()


def learned(module: nn.Module) -> nn.Module:
    """The module with normalisations that are not the identity."""
    for place, norm in enumerate(each for each in module.modules() if isinstance(each, nn.BatchNorm2d)):
        for position, values in enumerate((norm.weight.data, norm.running_var)):
            values.uniform_(0.5, 1.5, generator=generator(11, place, position))
        norm.running_mean.uniform_(-0.5, 0.5, generator=generator(11, place, 2))
    return module.eval()


@pytest.fixture
def images():
    return torch.rand(3, 3, 32, 32, generator=generator(11))


# He et al., CVPR 2016, table 6: parameters in millions, to two digits


@pytest.mark.parametrize(("depth", "millions"), list(zip(DEPTHS, (0.27, 0.46, 0.66, 0.85), strict=True)))
def test_the_paper_has_as_many_parameters(depth, millions):
    net = network(depth)
    assert round(sum(each.numel() for each in net.parameters()) / 1e6, 2) == millions
    layers = [each for each in net.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth  # shortcuts have none


@torch.no_grad()
def test_the_maps_have_the_shapes_of_the_paper(images):
    net, shapes = network(), {}
    assert net.cam_layers == ("layer1", "layer2", "layer3")
    for name in net.cam_layers:
        hook = lambda module, given, output, name=name: shapes.update({name: tuple(output.shape[1:])})  # noqa: E731
        net.cam_layer(name).register_forward_hook(hook)
    assert net(images).shape == (3, 10)
    assert shapes == {"layer1": (16, 32, 32), "layer2": (32, 16, 16), "layer3": (64, 8, 8)}


@torch.no_grad()
def test_a_block_is_the_formula_with_every_second_place_between_zeros():
    block, x = learned(Block(4, 8, 2)), torch.randn(2, 4, 6, 6, generator=generator(11, 1))
    inner = F.relu(block.bn1(F.conv2d(x, block.conv1.weight, stride=2, padding=1)))
    expected = block.bn2(F.conv2d(inner, block.conv2.weight, padding=1))
    expected[:, 2:6] += x[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), F.relu(expected))


@torch.no_grad()
def test_a_block_without_its_last_convolution_is_the_rectified_image():
    block, x = Block(4, 4).eval(), torch.randn(2, 4, 6, 6, generator=generator(11, 2))
    block.conv2.weight.zero_()
    assert torch.equal(block(x), x.relu())


@torch.no_grad()
def test_images_reach_the_first_convolution_behind_imagenets_normalisation(images):
    net, seen = network(), []
    net.body.conv1.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    net(images)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(seen[0], (images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_grey_image_is_repeated(images):
    grey = images[:, :1]
    assert torch.equal(network(channels=1)(grey), network()(grey.expand(-1, 3, -1, -1)))


@torch.no_grad()
def test_every_normalisation_folds_into_its_convolution(images):
    net = learned(network(32))
    without = folded(net)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in without.modules())
    torch.testing.assert_close(without(images), net(images), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_checkpoint_gives_the_network_back(images, tmp_path):
    net = learned(network())
    checkpoint.save(net, tmp_path / "net.safetensors")
    torch.testing.assert_close(checkpoint.load(tmp_path / "net.safetensors")(images), net(images))


@pytest.mark.parametrize("name", ["resnet21", "resnet2", "resnet", "resnet-20", "vgg20"])
def test_another_depth_is_one_sentence(name):
    with pytest.raises(ValueError, match=rf"^network 'aecompanion.networks.cifar_resnet:{name}' cannot be imported"):
        create(f"aecompanion.networks.cifar_resnet:{name}", classes=10, size=32)


# files


def test_the_manifest_names_each_file_by_the_first_digits_of_its_hash():
    assert list(FILES) == [f"resnet{depth}" for depth in DEPTHS]
    for name, each in FILES.items():
        assert len(each.sha256) == 64
        assert each.file == f"{name}-{each.sha256[:8]}.th"


@torch.no_grad()
@pytest.mark.parametrize("half", [False, True])
def test_a_wrapped_state_dict_is_read(images, tmp_path, half):
    net = learned(network(seed=3))
    weights = {f"module.{key}": each.half() if half else each for key, each in net.body.state_dict().items()}
    torch.save({"state_dict": weights, "best_prec1": 91.7}, tmp_path / "net.th")
    other = network(seed=4)
    assert load_foreign(other.body, tmp_path / "net.th") == []
    torch.testing.assert_close(other(images), net(images), atol=0.05 if half else 1e-6, rtol=0.05 if half else 1e-6)


def test_the_file_of_another_depth_or_class_count_is_one_sentence(tmp_path):
    torch.save({"state_dict": CifarResNet(3, 10).state_dict()}, tmp_path / "net.th")
    with pytest.raises(ValueError, match=r"net\.th: does not fit CifarResNet \(missing layer1\.3\.conv1\.weight, "):
        load_foreign(network(32).body, tmp_path / "net.th")
    with pytest.raises(ValueError, match=r"net\.th: has 10 classes, expected 7 "):
        load_foreign(network(classes=7).body, tmp_path / "net.th")


def real(depth: int) -> Path:
    file = REAL / "weights" / FILES[f"resnet{depth}"].file
    if not file.is_file():
        pytest.skip(f"{file} is not there: profiles/public.yaml says where it comes from")
    return file


@every_depth
def test_the_published_file_has_its_hash_and_fits(depth):
    file = real(depth)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == FILES[f"resnet{depth}"].sha256
    assert load_foreign(network(depth).body, file) == []


@pytest.mark.parametrize("depth", [20, 32])
def test_the_published_network_names_real_images(depth):
    """.92 and .93 on the original test set, .81 and .85 measured on JPEG copies of quality 75."""
    file, folder = real(depth), REAL / "cifar10"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: CIFAR-10 as an image folder")
    net = network(depth)
    load_foreign(net.body, file)
    data = image_folder(folder, channels=3, size=32, limit=30)
    found = score.accuracy(net, data, data.indices("test"))
    assert 0.81 - 0.06 < found < 0.97  # 300 images: two standard errors are .045
    assert found > score.accuracy(net, shuffled(data), data.indices("test")) + 0.5


def shuffled(data):
    """The same with the labels of other classes, as a file of another order of classes would have them."""
    return type(data)(**(vars(data) | {"labels": (data.labels + 1) % len(np.unique(data.labels))}))
