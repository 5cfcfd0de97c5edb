"""A compact pre-activation residual network for 32×32 images (6 MFLOP), the form of the robust networks on CIFAR-10.

    block(x) = shortcut(x) + conv3(relu(bn(conv3(relu(bn(x))))))                     He et al., ECCV 2016

Strided 5×5 stem, three blocks of 16, 32 and 64 channels on 16², 8² and 4² places, average pooling. Create it with
`zoo.create("aecompanion.networks.preact:preact", ...)`; `plain` has no shortcuts and other widths, so that its opinion
on an image is independent of the first one's. Inputs N×C×H×W, normalised; outputs N×classes logits.
"""

import torch
from torch import nn

from aecompanion.networks.compact import Staged, average_head, conv


class PreActivation(nn.Module):
    """shortcut(x) + conv3(relu(bn(conv3(relu(bn(x))))))."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.shortcut(features) + self.body(features)


class PreActResNet(Staged):
    """Three pre-activation blocks."""

    stages = ("stage1", "stage2", "stage3")

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 12, 5, 2, 2, bias=False)
        self.stage1 = PreActivation(12, 16)
        self.stage2 = PreActivation(16, 32, 2)
        self.stage3 = PreActivation(32, 64, 2)
        self.head = nn.Sequential(nn.BatchNorm2d(64), nn.ReLU(), *average_head(64, classes))


class Plain(Staged):
    """Four convolutions without shortcuts, max pooling."""

    stages = ("stage1", "stage2", "stage3")

    def __init__(self, classes: int, channels: int, size: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(channels, 20), nn.MaxPool2d(2))
        self.stage1 = nn.Sequential(conv(20, 40), nn.MaxPool2d(2))
        self.stage2 = conv(40, 60)
        self.stage3 = nn.Sequential(conv(60, 60), nn.MaxPool2d(2))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(60 * (size // 8) ** 2, classes))


def preact(*, classes: int, channels: int, size: int) -> PreActResNet:
    """The pre-activation network for `channels`×`size`×`size` images (any size from 16 px)."""
    return PreActResNet(classes, channels)


def plain(*, classes: int, channels: int, size: int) -> Plain:
    """The network without shortcuts."""
    return Plain(classes, channels, size)
