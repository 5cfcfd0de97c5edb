"""Compact networks with the building blocks of eight families, for 64×64 images on a CPU (14 to 45 MFLOP each).

Each family keeps the block that names it, at reduced width and depth; the last feature map of the first five is 8×8 at
64 px, because the structural similarity of smaller maps degenerates. Inputs N×C×H×W (already normalised), outputs
N×classes logits.

===========  ======  =========================================================  ===============================
name         family  block                                                      source
===========  ======  =========================================================  ===============================
vgg          deep    plain 3×3 convolutions, max pooling, fully connected head  Simonyan and Zisserman, ICLR 2015
resnet       deep    1×1 / 3×3 / 1×1 bottleneck with a shortcut                 He et al., CVPR 2016
resnet_deep  deep    the same, twice as many blocks                             He et al., CVPR 2016
inception    wide    parallel 1×1, 3×3, double 3×3 and pooling branches         Szegedy et al., CVPR 2016
xception     wide    depthwise separable convolutions with shortcuts            Chollet, CVPR 2017
residual     deep    two 3×3 convolutions with a shortcut                       He et al., CVPR 2016
gap          plain   3×3 convolutions, global average pooling, one linear layer  Zhou et al., CVPR 2016 (CAM)
digits       plain   two convolutions, two linear layers, for 28×28 images      released code of Yang et al., 2019
===========  ======  =========================================================  ===============================

`residual` is the plain residual network of the halftoning study (14 MFLOP): a 5×5 stem with stride 2 and max pooling,
the form of ResNet-18. Its last map is 4×4 at 64 px. `gap` and `digits` are the networks of the causal-effect study: in
neither does a shortcut cross a stage, so a stage can be cut open; `digits` has no batch normalisation.

"deep" and "wide" are the labels of Chakraborty et al. (CVPRW 2022), not a property measured here.

Where we depart: batch normalisation also in the VGG (the 2014 network trains slowly without), global average pooling
only in the families that have it, no auxiliary Inception head, no dropout.
"""

import torch
from torch import nn

FAMILIES = {
    "vgg": "deep",
    "resnet": "deep",
    "resnet_deep": "deep",
    "inception": "wide",
    "xception": "wide",
    "residual": "deep",
    "gap": "plain",
    "digits": "plain",
}


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, *, groups: int = 1, relu: bool = True):
    """Convolution, batch normalisation and (unless told otherwise) ReLU; "same" padding for odd sizes."""
    layers = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class Staged(nn.Module):
    """A stem, four stages and a head. `stages` are the Grad-CAM layers from early to late; the last is the default."""

    stages = ("stage1", "stage2", "stage3", "stage4")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.stem(images)
        for name in self.stages:
            features = getattr(self, name)(features)
        return self.head(features)


def average_head(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class VGG(Staged):
    """Plain 3×3 convolutions; each stage after the first begins with max pooling; a fully connected head."""

    def __init__(self, classes: int, channels: int, size: int) -> None:
        super().__init__()
        self.stem = nn.Identity()
        self.stage1 = conv(channels, 12)
        self.stage2 = nn.Sequential(nn.MaxPool2d(2), conv(12, 20), conv(20, 20))
        self.stage3 = nn.Sequential(nn.MaxPool2d(2), conv(20, 44), conv(44, 44))
        self.stage4 = nn.Sequential(nn.MaxPool2d(2), conv(44, 80), conv(80, 80))
        cells = (size // 16) ** 2
        self.head = nn.Sequential(
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(80 * cells, 192), nn.ReLU(), nn.Linear(192, classes)
        )


class Bottleneck(nn.Module):
    """relu(shortcut(x) + expand(conv3(reduce(x)))), the middle width a quarter of the output width."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        middle = outputs // 4
        self.body = nn.Sequential(
            conv(inputs, middle, 1), conv(middle, middle, 3, stride), conv(middle, outputs, 1, relu=False)
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else conv(inputs, outputs, 1, stride, relu=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.shortcut(features) + self.body(features))


class Basic(nn.Module):
    """relu(shortcut(x) + conv3(conv3(x)))."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(inputs, outputs, 3, stride), conv(outputs, outputs, relu=False))
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else conv(inputs, outputs, 1, stride, relu=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.shortcut(features) + self.body(features))


class Residual(Staged):
    """One basic residual block per stage."""

    def __init__(self, classes: int, channels: int, size: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(channels, 16, 5, 2), nn.MaxPool2d(2))
        self.stage1 = Basic(16, 16)
        self.stage2 = Basic(16, 32, 2)
        self.stage3 = Basic(32, 64, 2)
        self.stage4 = Basic(64, 128)
        self.head = average_head(128, classes)


class Gap(Staged):
    """Plain convolutions, global average pooling and one linear layer: the class activation map is exact."""

    def __init__(self, classes: int, channels: int, size: int) -> None:
        super().__init__()
        self.stem = conv(channels, 16, 3, 2)
        self.stage1 = conv(16, 24)
        self.stage2 = conv(24, 48, 3, 2)
        self.stage3 = conv(48, 64)
        self.stage4 = nn.Sequential(conv(64, 96, 3, 2), conv(96, 96))
        self.head = average_head(96, classes)


class Digits(Staged):
    """3×3 convolutions with 32 and 64 channels, each followed by ReLU and max pooling; 256 hidden units."""

    stages = ("stage1", "stage2")

    def __init__(self, classes: int, channels: int, size: int) -> None:
        super().__init__()
        self.stem = nn.Identity()
        self.stage1 = nn.Sequential(nn.Conv2d(channels, 32, 3), nn.ReLU())
        self.stage2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2))
        cells = ((size - 2) // 2 - 2) // 2
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64 * cells**2, 256), nn.ReLU(), nn.Linear(256, classes))


class ResNet(Staged):
    """Bottleneck residual network; `blocks` per stage."""

    def __init__(self, classes: int, channels: int, size: int, blocks: tuple[int, ...] = (1, 2, 2, 1)) -> None:
        super().__init__()
        self.stem = conv(channels, 16, 3, 2)
        inputs = 16
        for number, (outputs, stride, count) in enumerate(
            zip((32, 64, 128, 192), (1, 2, 2, 1), blocks, strict=True), 1
        ):
            stage = [Bottleneck(inputs, outputs, stride)] + [Bottleneck(outputs, outputs) for _ in range(count - 1)]
            setattr(self, f"stage{number}", nn.Sequential(*stage))
            inputs = outputs
        self.head = average_head(inputs, classes)


class InceptionBlock(nn.Module):
    """Concatenation of four branches: 1×1; 1×1, 3×3; 1×1, 3×3, 3×3 (a factorised 5×5); average pooling, 1×1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        quarter = outputs // 4
        self.one = conv(inputs, quarter, 1)
        self.three = nn.Sequential(conv(inputs, quarter, 1), conv(quarter, quarter))
        self.five = nn.Sequential(conv(inputs, quarter // 2, 1), conv(quarter // 2, quarter), conv(quarter, quarter))
        self.pool = nn.Sequential(nn.AvgPool2d(3, 1, 1), conv(inputs, quarter, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(features) for branch in (self.one, self.three, self.five, self.pool)], dim=1)


class Inception(Staged):
    """Inception blocks between strided reductions."""

    def __init__(self, classes: int, channels: int, size: int) -> None:
        super().__init__()
        self.stem = conv(channels, 16, 3, 2)
        self.stage1 = conv(16, 24)
        self.stage2 = nn.Sequential(nn.MaxPool2d(2), InceptionBlock(24, 80))
        self.stage3 = nn.Sequential(nn.MaxPool2d(2), InceptionBlock(80, 144))
        self.stage4 = nn.Sequential(InceptionBlock(144, 160), InceptionBlock(160, 192))
        self.head = average_head(192, classes)


def separable(inputs: int, outputs: int, *, relu: bool = True) -> nn.Sequential:
    """Depthwise 3×3, then pointwise 1×1 with batch normalisation and ReLU."""
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, *conv(inputs, outputs, 1, relu=relu))


class XceptionBlock(nn.Module):
    """Two separable convolutions (pooled when `stride` is 2) added to a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(separable(inputs, outputs), separable(outputs, outputs, relu=False))
        self.pool = nn.MaxPool2d(3, stride, 1) if stride > 1 else nn.Identity()
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else conv(inputs, outputs, 1, stride, relu=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.shortcut(features) + self.pool(self.body(features)))


class Xception(Staged):
    """Depthwise separable residual network."""

    def __init__(self, classes: int, channels: int, size: int) -> None:
        super().__init__()
        self.stem = conv(channels, 16, 3, 2)
        self.stage1 = conv(16, 24)
        self.stage2 = XceptionBlock(24, 64, 2)
        self.stage3 = XceptionBlock(64, 112, 2)
        self.stage4 = nn.Sequential(XceptionBlock(112, 112), separable(112, 192))
        self.head = average_head(192, classes)


def compact(name: str, *, classes: int, channels: int, size: int) -> nn.Module:
    """The compact network of that family for `channels`×`size`×`size` images.

    Raises ValueError for an unknown name or an image side below 48 px (the last map would be smaller than 6×6, of the
    residual network 3×3); "digits" takes images from 16 px.
    """
    if name not in FAMILIES:
        raise ValueError(f"compact network {name!r} is unknown, expected one of {', '.join(FAMILIES)}")
    least = 16 if name == "digits" else 48
    if size < least:
        what = "a 6×6 last map" if least == 48 else "a 2×2 last map"
        raise ValueError(f"image size {size} is too small for compact/{name}, expected at least {least} ({what})")
    if name == "resnet_deep":
        return ResNet(classes, channels, size, blocks=(2, 4, 4, 2))
    families = {"vgg": VGG, "resnet": ResNet, "inception": Inception, "xception": Xception, "residual": Residual}
    families |= {"gap": Gap, "digits": Digits}
    return families[name](classes, channels, size)
