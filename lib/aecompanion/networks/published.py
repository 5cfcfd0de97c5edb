"""Networks that start from published ImageNet weights and get a head for other classes, as factories by name.

    aecompanion.networks.published:resnet50            the network of that name in pip/, torchvision/ or timm/
    aecompanion.networks.published:staged_resnet50     the same of torchvision, cut as in `networks.full_size`

So that a parameter which names a network to train ("package.module:factory") says where the training begins, and no
stage that names another one depends on it. Published weights were trained behind their own mean μ and standard
deviation σ; the zoo has (x - m) / s with m = 0.5, s = 0.25 in front of a factory's network, and `Renormalised` makes

    ((x - m) / s) · s / σ + (m - μ) / σ = (x - μ) / σ.

The weights come as in `networks.pretrained`, from the library's cache or its download; without both the first network
is one sentence. A head of as many outputs as ImageNet has classes stays as it was published. On the meta device
(`aecompanion plan`), where weights have no numbers, none are read. A checkpoint's network is made by the same factory,
so the published file is read then, too, and overwritten.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import nn

from aecompanion.networks import chosen, full_size, pretrained, zoo

MEAN, STD = 0.5, 0.25  # of the zoo, in front of every factory's network
CUT = {  # name: how torchvision's network is cut, with a fresh head or its own
    "densenet121": full_size.dense,
    "vgg16_bn": full_size.plain,
    "googlenet": full_size.inception,
    "resnet18": full_size.residual,
    "resnet50": full_size.residual,
}
STAGED = "staged_"


class Renormalised(nn.Module):
    """N×3×H×W (or N×1×H×W, grey) behind the zoo's normalisation to N×3×H×W behind another one, in pixel units."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        mean, std = (torch.as_tensor(each, dtype=torch.float32).reshape(1, -1, 1, 1) for each in (mean, std))
        self.register_buffer("scale", STD / std, persistent=False)
        self.register_buffer("shift", (MEAN - mean) / std, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.scale + self.shift


class Renormalising(nn.Module):
    """A network behind `Renormalised`; its layers are those of `net`."""

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.renormalised, self.net = Renormalised(mean, std), net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(self.renormalised(images))


def __getattr__(name: str) -> Callable[..., nn.Module]:
    """The factory of a name. Raises AttributeError, which the zoo turns into its sentence."""
    if name.startswith(STAGED) and name.removeprefix(STAGED) in CUT:
        return functools.partial(staged, name.removeprefix(STAGED))
    return functools.partial(uncut, source_of(name))


def source_of(name: str) -> str:
    """The zoo's name of a factory's network. Raises AttributeError."""
    bare = name.removeprefix(STAGED) if name.removeprefix(STAGED) in CUT else name
    known = () if name.startswith("__") else ("pip", "torchvision", "timm")
    for library in known:
        if bare in chosen.names_of(library):
            return f"{library}/{bare}"
    raise AttributeError(f"no network with published weights is called {name!r}")


def fetch(name: str) -> None:
    """See that the weights of a factory's network are in the cache. Raises FileNotFoundError in one sentence."""
    pretrained.load(source_of(name))


def uncut(source: str, *, classes: int, channels: int, size: int) -> Renormalising:
    """The network `source` of the zoo, which then knows Grad-CAM layers and family by the factory's name, too."""
    name, facts = zoo.short(source), pretrained.described(source)
    if source in zoo.FULL_SIZE:
        family, layers = zoo.FULL_SIZE[source]
        zoo.FULL_SIZE.setdefault(f"{__name__}:{name}", (family, tuple(f"net.{layer}" for layer in layers)))
    return Renormalising(body(source, classes), facts.mean, facts.std)


def staged(name: str, *, classes: int, channels: int, size: int) -> full_size.FullSize:
    """torchvision's network in four stages."""
    net = body(f"torchvision/{name}", classes)
    facts = pretrained.described(f"torchvision/{name}")
    mean, std = facts.mean, facts.std
    if getattr(net, "transform_input", False):  # an old GoogLeNet's, which its own forward makes of ImageNet's
        mean, std = [0.5] * 3, [0.5] * 3
    cut = CUT[name](net, classes) if CUT[name] in (full_size.dense, full_size.residual) else CUT[name](net)
    cut.stem = nn.Sequential(Renormalised(mean, std), *cut.stem)
    return cut


def body(source: str, classes: int) -> nn.Module:
    """The network with published weights, on the meta device without any."""
    weights = None if torch.empty(0).is_meta else pretrained.PRETRAINED
    return zoo.build(source, classes=classes, channels=3, size=chosen.SIZE, weights=weights)[0]
