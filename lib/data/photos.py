"""Real photographs that packages ship: twenty labelled ones of foolbox and scikit-image's cat, as network input."""

import torch

from lib.data.dataset import read_image
from lib.paths import DATA, raw

CHELSEA = 285  # "Egyptian cat": the closest ImageNet class; scikit-image gives none


def names() -> list[str]:
    """The names `photograph` knows: chelsea, then foolbox's photographs by number."""
    return ["chelsea", *sorted(file.stem for file in (DATA / "photos").glob("imagenet_*.jpg"))]


def photograph(name: str, *, size: int = 224) -> tuple[torch.Tensor, int]:
    """One photograph as 1×3×size×size in [0,1] (shorter side scaled, centre crop) and its ImageNet class index.

    Raises ValueError for an unknown name, FileNotFoundError while data/ is empty.
    """
    if name not in names():
        raw("photos/chelsea.png")
        raise ValueError(f"photograph {name!r} is unknown, expected one of: {', '.join(names())}")
    file = raw("photos/chelsea.png" if name == "chelsea" else f"photos/{name}.jpg")
    label = CHELSEA if name == "chelsea" else int(name.split("_")[-1])
    return torch.from_numpy(read_image(file, channels=3, size=size).copy())[None].float() / 255, label
