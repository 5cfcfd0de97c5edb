"""Residual networks for CIFAR-10 with 6n + 2 layers: ResNet-20, 32, 44 and 56 (He et al., CVPR 2016, section 4.2).

    block(x) = relu( s(x) + bn(conv3(relu(bn(conv3(x))))) )
    s(x) = x,  or where a block halves the places and doubles the channels: every second place of x, and zeros in the
    new channels (option A, a shortcut without parameters)

A 3×3 convolution of 16 channels, three stages of n blocks with 16, 32 and 64 channels on 32², 16² and 8² places (at
32 px), average pooling and one linear layer. Images N×3×H×W or N×1×H×W (grey is repeated) behind the zoo's
normalisation; outputs N×classes logits. `zoo.create("aecompanion.networks.cifar_resnet:resnet20", ...)`.

Names of layers are those of the public state dicts (`FILES`), which `networks.foreign` reads; they were trained behind
ImageNet's mean and standard deviation, which `Renormalised` puts in the place of the zoo's. Where the paper is silent,
the published files decide: half of the zeros stand before the channels and half behind, and convolutions have no bias.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.networks.compact import Staged
from aecompanion.networks.normalisation import IMAGENET
from aecompanion.networks.published import Renormalised


class Published(NamedTuple):
    """A public state dict: name of the file, its SHA-256, and where it comes from."""

    file: str
    sha256: str
    source: str


SOURCE = "github.com/akamaster/pytorch_resnet_cifar10, folder pretrained_models, BSD-2-Clause"
FILES = {
    name: Published(f"{name}-{sha256[:8]}.th", sha256, SOURCE)
    for name, sha256 in {
        "resnet20": "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
        "resnet32": "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850",
        "resnet44": "014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4",
        "resnet56": "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
    }.items()
}


class Block(nn.Sequential):
    """relu(shortcut + two convolutions); `stride` 2 halves the places."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        layers = {
            "conv1": nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            "bn1": nn.BatchNorm2d(outputs),
            "relu": nn.ReLU(),
            "conv2": nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            "bn2": nn.BatchNorm2d(outputs),
        }
        super().__init__(OrderedDict(layers))
        self.stride, self.zeros = stride, (outputs - inputs) // 2

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        shortcut = features
        if self.zeros:
            shortcut = F.pad(features[..., :: self.stride, :: self.stride], (0, 0, 0, 0, self.zeros, self.zeros))
        return torch.relu(shortcut + super().forward(features))


class CifarResNet(Staged, nn.Sequential):
    """Three stages of n blocks each."""

    stages = ("layer1", "layer2", "layer3")

    def __init__(self, n: int, classes: int) -> None:
        nn.Module.__init__(self)
        self.renormalised = Renormalised(*IMAGENET)
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        inputs = 16
        for name, outputs in zip(self.stages, (16, 32, 64), strict=True):
            first = Block(inputs, outputs, stride=1 if inputs == outputs else 2)
            setattr(self, name, nn.Sequential(first, *(Block(outputs, outputs) for _ in range(n - 1))))
            inputs = outputs
        self.pool, self.flat, self.linear = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.Sequential.forward(self, images.expand(-1, 3, -1, -1))


def __getattr__(name: str) -> Callable[..., CifarResNet]:
    """The factory of a depth: resnet20, resnet32, ... Raises AttributeError, which the zoo turns into its sentence."""
    depth = name.removeprefix("resnet")
    if not (depth.isdecimal() and int(depth) >= 8 and int(depth) % 6 == 2):
        raise AttributeError(f"no network of 6n + 2 layers is called {name!r}")

    def factory(*, classes: int, channels: int, size: int) -> CifarResNet:
        return CifarResNet((int(depth) - 2) // 6, classes)

    return factory
