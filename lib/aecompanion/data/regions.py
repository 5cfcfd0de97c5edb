"""Where in an image its findings are: boxes, masks and, for generated images, the same image without the finding.

One entry per (image, class) pair of a data set. Boxes are (top, left, bottom, right) in pixels of the prepared image,
half-open, so that `mask[top:bottom, left:right]` is the box. Real data sets have boxes; generated ones have exact masks
and `without`, the image as it would be had the finding not been drawn: the true intervention do(finding = off).
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """n annotated pairs: position of the image in its data set, class index, box, mask and counterfactual image."""

    image: np.ndarray  # n
    label: np.ndarray  # n
    boxes: np.ndarray  # n×4 int: top, left, bottom, right
    masks: np.ndarray  # n×H×W bool; the filled box where nothing finer is known
    without: np.ndarray | None = None  # n×C×H×W uint8

    def __post_init__(self) -> None:
        count = len(self.image)
        sizes = {"label": len(self.label), "boxes": len(self.boxes), "masks": len(self.masks)}
        if self.without is not None:
            sizes["without"] = len(self.without)
        for name, size in sizes.items():
            if size != count:
                raise ValueError(f"{name} has {size} entries, expected {count} as image has")
        if self.masks.ndim != 3 or self.boxes.shape != (count, 4):
            shapes = f"{self.masks.shape} and {self.boxes.shape}"
            raise ValueError(f"masks and boxes have the shapes {shapes}, expected n×H×W and n×4")
        if self.without is not None and self.without.shape[2:] != self.masks.shape[1:]:
            raise ValueError(f"without is {self.without.shape}, expected images of {self.masks.shape[1:]} as the masks")
        height, width = self.masks.shape[1:]
        for index, (top, left, bottom, right) in enumerate(self.boxes):
            if not (0 <= top < bottom <= height and 0 <= left < right <= width):
                box = (int(top), int(left), int(bottom), int(right))
                raise ValueError(
                    f"box {index} is {box}, expected top < bottom and left < right inside {height}×{width}"
                )
        empty = np.flatnonzero(~self.masks.any((1, 2)))
        if len(empty):
            raise ValueError(f"region {empty[0]} (image {self.image[empty[0]]}) is empty, expected at least one pixel")

    def __len__(self) -> int:
        return len(self.image)

    def box_masks(self) -> torch.Tensor:
        """The filled boxes, n×1×H×W bool."""
        return boxes_to_masks(self.boxes, self.masks.shape[1:])

    def counterfactuals(self) -> torch.Tensor:
        """`without` as float32 n×C×H×W in [0,1]. Raises ValueError where the data have none."""
        if self.without is None:
            raise ValueError("these regions have no counterfactual images: only generated data have them")
        return torch.from_numpy(self.without).float() / 255

    def select(self, chosen) -> "Regions":
        """The entries at `chosen` (indices or booleans)."""
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Regions(**{name: part if part is None else part[chosen] for name, part in parts.items()})

    def save(self, path: Path) -> None:
        """Write one npz file (nothing pickled)."""
        arrays = {"image": self.image, "label": self.label, "boxes": self.boxes, "shape": self.masks.shape}
        arrays["masks"] = np.packbits(self.masks)
        if self.without is not None:
            arrays["without"] = self.without
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Regions":
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            shape = tuple(arrays["shape"])
            masks = np.unpackbits(arrays["masks"], count=int(np.prod(shape))).reshape(shape).astype(bool)
            without = arrays["without"] if "without" in arrays.files else None
            return cls(arrays["image"], arrays["label"], arrays["boxes"], masks, without)


def boxes_to_masks(boxes: np.ndarray, shape: tuple[int, int]) -> torch.Tensor:
    """n boxes (top, left, bottom, right) as n×1×H×W bool."""
    rows, columns = np.arange(shape[0])[None, :, None], np.arange(shape[1])[None, None, :]
    top, left, bottom, right = (np.asarray(boxes)[:, i, None, None] for i in range(4))
    return torch.from_numpy((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right))[:, None]


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest box around a non-empty H×W mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
