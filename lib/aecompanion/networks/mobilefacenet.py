"""MobileFaceNet (Chen et al., CCBR 2018, table 1): a face of 112×96 pixels to an embedding of 128 numbers.

Mobile inverted bottlenecks with PReLU; in the place of global average pooling a linear depthwise convolution as large
as the last map, so that every place of the face has a weight of its own.

    stage          expansion  channels  repeats  stride   map (112×96)
    conv1, 3×3         -         64        1       2        56×48
    dw_conv1, 3×3      -         64        1       1        56×48
    blocks             2         64        5       2        28×24
                       4        128        1       2        14×12
                       2        128        6       1        14×12
                       4        128        1       2         7×6
                       2        128        2       1         7×6
    conv2, 1×1         -        512        1       1         7×6      the last convolution with a map: Grad-CAM's
    linear7, 7×6       -        512        1       1         1×1      depthwise, without activation
    linear1, 1×1       -        128        1       1         1×1      without activation

Inputs N×3×112×96, (x - 127.5) / 128 of 0..255 pixels. Where we depart: the paper's own size is 112×112, whose last map
is 7×7; 112×96 is what weights trained on SphereFace's crops expect. The attribute names are those of such weights.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from aecompanion.networks.foreign import load_foreign

HEIGHT, WIDTH = 112, 96  # of the training crops, pixels
MEAN, STD = 127.5 / 255, 128 / 255  # of the training, pixel units
EMBEDDING = 128
# expansion, channels, repeats, stride of the first
BLOCKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
STAGES = ("blocks.4", "blocks.11", "conv2")  # the last layers of 28×24, 14×12 and 7×6, for Grad-CAM


def convolution(inputs: int, outputs: int, size, stride: int = 1, *, padding: int = 0, groups: int = 1, linear=False):
    """Convolution, batch normalisation and, unless linear, PReLU."""
    layers = OrderedDict(
        conv=nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups, bias=False),
        bn=nn.BatchNorm2d(outputs),
    )
    return nn.Sequential(layers if linear else layers | {"prelu": nn.PReLU(outputs)})


class Bottleneck(nn.Module):
    """Expand 1×1, depthwise 3×3, project 1×1 without activation; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        parts = (
            convolution(inputs, middle, 1),
            convolution(middle, middle, 3, stride, padding=1, groups=middle),
            convolution(middle, outputs, 1, linear=True),
        )
        self.conv = nn.Sequential(*(layer for part in parts for layer in part))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        made = self.conv(features)
        return made + features if self.shortcut else made


class MobileFaceNet(nn.Module):
    """Normalised N×3×112×96 to N×128 embeddings, not normalised to length 1."""

    def __init__(self) -> None:
        super().__init__()
        width, wide = BLOCKS[0][1], 512
        self.conv1 = convolution(3, width, 3, 2, padding=1)
        self.dw_conv1 = convolution(width, width, 3, padding=1, groups=width)
        blocks, inputs = [], width
        for expansion, outputs, repeats, first in BLOCKS:
            for repeat in range(repeats):
                blocks.append(Bottleneck(inputs, outputs, first if repeat == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = convolution(inputs, wide, 1)
        self.linear7 = convolution(wide, wide, (HEIGHT // 16, WIDTH // 16), groups=wide, linear=True)
        self.linear1 = convolution(wide, EMBEDDING, 1, linear=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Raises ValueError for another size than 112×96."""
        if images.shape[-2:] != (HEIGHT, WIDTH):
            found = "×".join(map(str, images.shape[-2:]))
            raise ValueError(f"images are {found}, expected {HEIGHT}×{WIDTH} for MobileFaceNet")
        features = self.conv2(self.blocks(self.dw_conv1(self.conv1(images))))
        return self.linear1(self.linear7(features)).flatten(1)


def mobilefacenet(file: Path) -> MobileFaceNet:
    """The network with the weights of a file, in evaluation mode. Raises as `networks.foreign.load_foreign`."""
    network = MobileFaceNet()
    load_foreign(network, file)
    return network.eval()
