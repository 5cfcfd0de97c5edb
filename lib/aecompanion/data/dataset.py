"""One form for every labelled image set: small sets are a packed array, large ones an index of files read lazily.

On disk a data set is a folder: `dataset.json` (classes, source line, image form, counts), `index.csv` (one row per
image: label, split and, for a lazy set, its file, relative where it lies in that folder; several labels are joined by
"|", none is empty) and, for a packed set, `images.npy` (uint8, N×C×H×W).
Downstream code calls `batch(indices)` and does not know which kind it holds.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aecompanion.data.pixels import eight_bits, even_spread, read_image

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Images with labels (N indices, or N×K zeros and ones where an image may have several or none of the K classes),
    splits (N names) and class names; `source` is the line that captions print.
    """

    labels: torch.Tensor
    split: np.ndarray
    classes: list[str]
    source: str
    channels: int
    size: int
    images: np.ndarray | None = None
    files: list[str] | None = None
    counts: dict[str, int] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels or none."""
        return self.labels.dim() == 2

    def batch(self, indices) -> torch.Tensor:
        """The images at `indices` as float32 N×C×H×W in [0,1]."""
        indices = np.asarray(indices)
        if self.images is not None:
            packed = self.images[indices]
        else:
            packed = np.stack([read_image(self.files[i], channels=self.channels, size=self.size) for i in indices])
        return torch.from_numpy(packed).float().div_(255)

    def indices(self, split: str, limit: int | None = None) -> np.ndarray:
        """Indices of a split; with `limit`, an even spread over it, so that small runs see every class they can."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown, expected one of {', '.join(SPLITS)}")
        found = np.flatnonzero(self.split == split)
        return found[even_spread(len(found), limit)]

    def save(self, folder: Path) -> None:
        """Write the folder form described above into `folder` (created)."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "images.npy").unlink(missing_ok=True)  # of a packed set that was there before
        card = {"classes": self.classes, "source": self.source, "channels": self.channels, "size": self.size}
        card |= {"multi_label": self.multi_label, "counts": self.counts}
        (folder / "dataset.json").write_text(json.dumps(card, indent=1) + "\n")
        index = pd.DataFrame({"label": written(self.labels), "split": self.split})
        if self.images is not None:
            np.save(folder / "images.npy", self.images, allow_pickle=False)
        else:
            index["file"] = [inside(file, folder) for file in self.files]
        index.to_csv(folder / "index.csv", index=False)

    def save_view(self, folder: Path, transform: Callable[[torch.Tensor], torch.Tensor], *, batch: int = 256) -> None:
        """Write the set with `transform` applied to every image, rounded to 8 bits, as a packed set (same order,
        labels, splits); batch by batch, so that a lazy set need not fit into memory.
        """
        folder.mkdir(parents=True, exist_ok=True)
        shape = (len(self), self.channels, self.size, self.size)
        packed = np.lib.format.open_memmap(folder / "view.npy", mode="w+", dtype=np.uint8, shape=shape)
        for start in range(0, len(self), batch):
            images = transform(self.batch(range(start, min(start + batch, len(self)))))
            packed[start : start + batch] = eight_bits(images.clamp(0, 1)).numpy()
        packed.flush()
        dataclasses.replace(self, images=packed[:0], files=None).save(folder)
        (folder / "view.npy").replace(folder / "images.npy")

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        """Read a folder written by `save`."""
        card = json.loads((folder / "dataset.json").read_text())
        index = pd.read_csv(folder / "index.csv", dtype={"label": str, "split": str}, keep_default_na=False)
        several = card.pop("multi_label")
        packed = folder / "images.npy"
        return cls(
            labels=read_labels(index["label"], classes=len(card["classes"]) if several else None),
            split=index["split"].to_numpy(dtype=object),
            images=np.load(packed, mmap_mode="r", allow_pickle=False) if packed.exists() else None,
            files=[str(folder / file) for file in index["file"]] if "file" in index else None,
            **card,
        )


def inside(file: str, folder: Path) -> str:
    """The file relative to the folder if it lies in it, so that the folder may be moved."""
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else file


def written(labels: torch.Tensor) -> list[str]:
    """Labels as text: the index, or several joined by "|"."""
    if labels.dim() == 1:
        return [str(label) for label in labels.tolist()]
    return ["|".join(str(label) for label in row.nonzero()[:, 0].tolist()) for row in labels]


def read_labels(texts, *, classes: int | None) -> torch.Tensor:
    """What `written` wrote: N indices, or with `classes` N×classes zeros and ones."""
    if classes is None:
        return torch.tensor([int(text) for text in texts], dtype=torch.int64)
    labels = torch.zeros(len(texts), classes, dtype=torch.int64)
    for row, text in zip(labels, texts, strict=True):
        row[[int(label) for label in text.split("|") if label]] = 1
    return labels


def split_by_sample(
    labels: np.ndarray, seed: int, *, validation: float = 0.1, test: float = 0.1, names: list[str] | None = None
) -> np.ndarray:
    """Assign each sample to train, validation or test within its class (stratified, seeded); N names.

    Every class gets at least one image in each split, so a class of fewer than three raises ValueError.
    """
    split = np.full(len(labels), "train", dtype=object)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 3:
            name = names[label] if names else int(label)
            raise ValueError(
                f"class {name!r} has {len(members)} image(s), expected at least 3 (train, validation, test)"
            )
        shuffled = np.random.default_rng([seed, int(label)]).permutation(members)
        n_validation = max(1, round(validation * len(members)))
        n_test = max(1, round(test * len(members)))
        split[shuffled[:n_validation]] = "validation"
        split[shuffled[n_validation : n_validation + n_test]] = "test"
    return split
