"""The papers' own networks, cut like the compact ones: a stem, four stages (the Grad-CAM layers) and a head.

    densenet121   Yang et al., ICIP 2019 (CheXNet): stage1 ends with transition1, where the released code cuts (28×28)
    vgg16_bn, googlenet, resnet50   Kim et al., IEEE TIP 2022, with the heads of the released code
    resnet18, resnet50   candidates for the network of Huang et al., ICPR 2020, which is not known here

The layers are torchvision's. `zoo.create("aecompanion.networks.full_size:densenet121", ...)` makes one at random;
inputs N×3×H×W or N×1×H×W (grey is repeated), normalised, from 64 px on (vgg16_bn: 32); outputs N×classes logits. The
names of torchvision itself ("torchvision/resnet50") give the same networks uncut.

Weights are random; `networks.published` makes the same networks from ImageNet's. Where we depart: GoogLeNet has a fresh
linear layer of `classes` outputs in the place of one behind the 1,000 outputs, and no auxiliary heads.
"""

import torch
from torch import nn

from aecompanion.networks.compact import Staged, average_head


class FullSize(Staged):
    """Six parts in a row; grey images are repeated to three channels."""

    def __init__(self, stem: nn.Module, stages: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        for name, stage in zip(self.stages, stages, strict=True):
            setattr(self, name, stage)
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images.expand(-1, 3, -1, -1))


def residual(net: nn.Module, classes: int) -> FullSize:
    """A ResNet of torchvision, cut, with a fresh head."""
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    head = average_head(net.fc.in_features, classes)
    return FullSize(stem, [net.layer1, net.layer2, net.layer3, net.layer4], head)


def dense(net: nn.Module, classes: int) -> FullSize:
    """A DenseNet of torchvision, cut, with a fresh head; a stage is a dense block and the transition behind it."""
    parts = net.features
    stages = [nn.Sequential(parts[2 * i + 4], parts[2 * i + 5]) for i in range(4)]
    stages[3].append(nn.ReLU())
    return FullSize(nn.Sequential(*parts[:4]), stages, average_head(net.classifier.in_features, classes))


def plain(net: nn.Module) -> FullSize:
    """A VGG of torchvision, cut, with its own head."""
    ends = [i for i, layer in enumerate(net.features) if isinstance(layer, nn.MaxPool2d)]
    blocks = [net.features[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    return FullSize(blocks[0], blocks[1:], nn.Sequential(net.features[-1], net.avgpool, nn.Flatten(), net.classifier))


def inception(net: nn.Module) -> FullSize:
    """torchvision's GoogLeNet, cut, with its own head."""
    stem = nn.Sequential(net.conv1, net.maxpool1, net.conv2, net.conv3, net.maxpool2)
    stages = [
        nn.Sequential(net.inception3a, net.inception3b),
        nn.Sequential(net.maxpool3, net.inception4a, net.inception4b, net.inception4c),
        nn.Sequential(net.inception4d, net.inception4e),
        nn.Sequential(net.maxpool4, net.inception5a, net.inception5b),
    ]
    return FullSize(stem, stages, nn.Sequential(net.avgpool, nn.Flatten(), net.dropout, net.fc))


def resnet18(*, classes: int, channels: int, size: int) -> FullSize:
    """Two basic blocks per stage."""
    from torchvision import models

    return residual(models.resnet18(weights=None), classes)


def resnet50(*, classes: int, channels: int, size: int) -> FullSize:
    """Bottleneck blocks, 3, 4, 6 and 3 of them."""
    from torchvision import models

    return residual(models.resnet50(weights=None), classes)


def densenet121(*, classes: int, channels: int, size: int) -> FullSize:
    """Dense blocks of 6, 12, 24 and 16 layers."""
    from torchvision import models

    return dense(models.densenet121(weights=None), classes)


def vgg16_bn(*, classes: int, channels: int, size: int) -> FullSize:
    """Thirteen convolutions with batch normalisation; a head of 4096, 4096 and `classes` outputs with dropout."""
    from torchvision import models

    return plain(models.vgg16_bn(weights=None, num_classes=classes))


def googlenet(*, classes: int, channels: int, size: int) -> FullSize:
    """Nine inception blocks in four stages: 3a-3b, 4a-4c, 4d-4e, 5a-5b."""
    from torchvision import models

    return inception(models.googlenet(weights=None, aux_logits=False, init_weights=True, num_classes=classes))
