"""A network that a reader chooses by words: its name, and `pretrained`, `none` or a file for its weights.

`chosen` turns parameters of a notebook into what `networks.bring.bring` takes. It builds nothing and fetches nothing:
a misspelt name or a missing file is one sentence before anything is computed. What is left out of classes, mean, std
and size is that of the published weights where these are asked for, and where a file holds weights for a name of pip/.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from aecompanion.networks import efficientnet_lite as lite
from aecompanion.networks.normalisation import IMAGENET
from aecompanion.networks.pretrained import PRETRAINED, Pretrained, described
from aecompanion.networks.zoo import Network

NONE = "none"
LIBRARIES = ("torchvision", "timm", "pip")
SIZE = 224  # of the images in pixels, where nothing says otherwise


class Choice(NamedTuple):
    """What `bring` takes (weights: None, "pretrained" or a file), and the side of the training images in pixels."""

    source: str
    weights: str | Path | None
    classes: list[str]
    mean: float | Sequence[float]
    std: float | Sequence[float]
    size: int

    def options(self) -> dict:
        """The keyword arguments of `bring` but for `size`, which the caller may want smaller than in training."""
        return {name: value for name, value in self._asdict().items() if name != "size"}


def chosen(
    source: str,
    weights: str | Path | None = PRETRAINED,
    *,
    classes: str | Path | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | None = None,
) -> Choice:
    """The choice, with what is left out filled in.

    Args:
        source: "torchvision/NAME", "timm/NAME", "pip/NAME", "compact/NAME" or "package.module:factory".
        weights: "pretrained" for those that a library publishes, "none" (or None) for random ones, else a state dict.
        classes: a text file, one name per line; None: the names of the weights, else ImageNet's thousand.
        mean, std: per channel in pixel units; None: of the weights, else ImageNet's.
        size: of the training images in pixels; None: of the weights, else 224.

    Raises ValueError for an unknown name, or one without published weights where these are asked for, and for a file
    of classes without a name; FileNotFoundError for a missing file. Each is one sentence.
    """
    check_name(source)
    own = published(source) if weights == PRETRAINED else None
    if own is None and weights not in (None, NONE):
        weights = existing(weights)
        own = described(source) if source.startswith("pip/") else None
    usual = (lite.imagenet_classes(), *IMAGENET, SIZE) if own is None else (own.classes, own.mean, own.std, own.size)
    names = None if classes is None else lines_of(classes)
    filled = (own if given is None else given for given, own in zip((names, mean, std, size), usual, strict=True))
    return Choice(source, None if weights == NONE else weights, *filled)


def published(source: str) -> Pretrained:
    """The facts of published weights. Raises ValueError that says what else `weights` can be."""
    try:
        return described(source)
    except ValueError as error:
        raise ValueError(f"{error}: set weights to a file, or to {NONE} for random ones") from None


def check_name(source: str) -> None:
    """The library has a network of that name. Raises ValueError with the nearest one that exists."""
    library, _, name = source.partition("/")
    if ":" in source or library not in LIBRARIES:  # factories are imported, and the zoo knows the compact ones
        if ":" not in source and library != "compact":
            near = [f"{each}/{source}" for each in LIBRARIES if source in names_of(each)]
            hint = f" (did you mean {near[0]}?)" if near else ""
            expected = "torchvision/NAME, timm/NAME, pip/NAME, compact/NAME or package.module:factory"
            raise ValueError(f"network {source!r} is unknown, expected {expected}{hint}")
        return
    known = names_of(library)
    if name.partition(".")[0] not in known:  # timm: NAME.TAG
        near = difflib.get_close_matches(name, known, 1)
        hint = f" (nearest: {library}/{near[0]})" if near else ""
        raise ValueError(f"network {source!r} is unknown to {library}{hint}")


def names_of(library: str) -> list[str]:
    """The names of networks that a library has."""
    if library == "torchvision":
        import torchvision

        return torchvision.models.list_models()
    if library == "timm":
        import timm

        return timm.list_models()
    return list(lite.VARIANTS)


def check_layers(network: Network) -> None:
    """The body has every Grad-CAM layer by name. Raises ValueError with the nearest name, else the first ones."""
    known = [name for name, _ in network.body.named_modules() if name]
    for layer in network.cam_layers:
        if layer not in known:
            near = difflib.get_close_matches(layer, known, 1)
            there = f"nearest: {near[0]}" if near else f"there are {', '.join(known[:3])} and {len(known) - 3} more"
            raise ValueError(f"layer {layer!r} does not exist in {type(network.body).__name__} ({there})")


def existing(weights: str | Path) -> Path:
    """The file of weights. Raises FileNotFoundError, with the word that was perhaps meant."""
    file = Path(weights).expanduser()
    if not file.is_file():
        kind = "is a folder" if file.is_dir() else "no such file"
        raise FileNotFoundError(
            f"{file}: {kind}, expected a state dict (.pt, .pth or .safetensors), {PRETRAINED} or {NONE}"
            + meant(file.name, (PRETRAINED, NONE))
        )
    return file


def meant(word: str, known: Iterable[str]) -> str:
    """ " (did you mean ...?)", or nothing where no known word is near."""
    near = difflib.get_close_matches(word.lower(), list(known), 1)
    return f" (did you mean {near[0]}?)" if near else ""


def lines_of(file: str | Path) -> list[str]:
    """The lines of a text file that are not empty. Raises FileNotFoundError, or ValueError where there is none."""
    file = Path(file).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file, expected a text file with one class name per line")
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: cannot be read as text ({error}), expected one class name per line") from error
    if not any(lines):
        raise ValueError(f"{file}: is empty, expected one class name per line")
    return [line for line in lines if line]
