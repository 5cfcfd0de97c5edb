"""A world on disk, so that a stage reads pictures without knowing how they were made.

One npz file, nothing pickled: images n×C×H×W and, for all parts one after the other, picture, name, label, footprint
(bits) and difference parts×fillings×C×H×W, which is `without` XOR the picture: zero outside the footprint, so that it
packs to the size of the parts.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from aecompanion.data.worlds import Part, Picture, World, place_in


@dataclasses.dataclass(frozen=True, eq=False)
class StoredWorld:
    """The pictures of a world that `save` wrote."""

    name: str
    classes: list[str]
    channels: int
    size: int
    multi_label: bool
    pictures: tuple[Picture, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def picture(self, index: int) -> Picture:
        return self.pictures[place_in(self, index)]


def save(world: World, path: Path, *, progress: Callable[[Iterable], Iterable] = iter) -> None:
    """Write all pictures of a world, rendered one after the other."""
    pictures = [world.picture(index) for index in progress(range(len(world)))]
    parts = [part for picture in pictures for part in picture.parts]
    arrays = {
        "name": np.array(world.name),
        "classes": np.array(world.classes),
        "multi_label": np.array(world.multi_label),
        "pictures": np.array([picture.name for picture in pictures]),
        "images": np.stack([picture.image for picture in pictures]),
        "picture": np.repeat(np.arange(len(pictures)), [len(picture.parts) for picture in pictures]),
        "names": np.array([part.name for part in parts]),
        "labels": np.array([part.label for part in parts]),
        "masks": np.packbits(np.stack([part.mask for part in parts])),
        "differences": np.concatenate([picture.without ^ picture.image for picture in pictures]),
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load(path: Path) -> StoredWorld:
    """What `save` wrote. Raises FileNotFoundError for a missing file."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    images, owner = arrays["images"], arrays["picture"]
    shape = (len(owner), *images.shape[2:])
    masks = np.unpackbits(arrays["masks"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    parts = [
        Part(str(name), int(label), mask)
        for name, label, mask in zip(arrays["names"], arrays["labels"], masks, strict=True)
    ]
    pictures = []
    for index, (name, image) in enumerate(zip(arrays["pictures"], images, strict=True)):
        own = np.flatnonzero(owner == index)
        without = arrays["differences"][own] ^ image
        pictures.append(Picture(str(name), image, tuple(parts[position] for position in own), without))
    return StoredWorld(
        name=str(arrays["name"]),
        classes=arrays["classes"].tolist(),
        channels=images.shape[1],
        size=images.shape[-1],
        multi_label=bool(arrays["multi_label"]),
        pictures=tuple(pictures),
    )
