"""Objects with their true counterfactuals: the same picture with another class's digit in the place of its own.

    t = x(other digit) - x,   the same background, place, longer side, colour and grain

`pairs` renders N pictures, K handwritings of each target at its place, and one digit of every other class. Outside the
footprints of both digits t is zero, bit for bit. All values are those of 8-bit images, which is what networks see.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import torch

from aecompanion.data.clusters import Clusters, other_in_cluster
from aecompanion.data.dataset import Dataset
from aecompanion.data.objects import footprint, rendered
from aecompanion.data.scenes import Scenes


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """N pictures with their true changes.

    Args:
        images: N×C×H×W in [0,1]. labels, targets: N. truths: true changes to K handwritings of the target, K×N×C×H×W.
        either: where the old digit or the new one is, K×N×H×W booleans. old, new: where only the old (the new) one is,
            at least half of a pixel. classes: the true change to every class, N×classes×C×H×W; none to its own.
        bare: the change that takes the digit away and draws none, N×C×H×W.
    """

    images: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor
    truths: torch.Tensor
    either: torch.Tensor
    old: torch.Tensor
    new: torch.Tensor
    classes: torch.Tensor
    bare: torch.Tensor


def generated(dataset: Dataset, scenes: Scenes, count: int = 3) -> bool:
    """Whether the first test images of the data set are, bit for bit, the generator's."""
    test = dataset.indices("test")[:count]
    if dataset.images is None or dataset.images.shape[1:] != (3, scenes.size // 2, scenes.size // 2):
        return False
    return all(np.array_equal(dataset.images[at], rendered(scenes, k, "test")[0]) for k, at in enumerate(test))


def other_writing(scenes: Scenes, label: int, split: str, number: int) -> Scenes:
    """The same generator, in which each digit of a class in a split is replaced by the `number`-th after it (0: none).

    Raises ValueError if the class has no such digit.
    """
    members = scenes.members[split, label]
    if not 0 <= number < len(members):
        raise ValueError(f"handwriting {number} of class {label}: expected 0 to {len(members) - 1}, split {split}")
    images = np.array(scenes.digits.images)
    images[members] = images[np.roll(members, -number)]
    return dataclasses.replace(scenes, digits=dataclasses.replace(scenes.digits, images=images))


def pairs(
    scenes: Scenes,
    split: str,
    count: int,
    clusters: Clusters,
    *,
    writings: int = 4,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Pairs:
    """The first `count` pictures of a split, each with a target within its cluster. writings: K.

    Raises ValueError for no picture or no writing, and as `data.clusters.other_in_cluster` does.
    """
    if count < 1 or writings < 1:
        raise ValueError(f"{count} pictures with {writings} handwritings, expected at least one of each")
    labels = [rendered(scenes, index, split)[1] for index in range(count)]
    targets = other_in_cluster(labels, clusters)
    rows = [one(scenes, split, index, target, writings) for index, target in enumerate(progress(targets))]
    columns = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    for name in ("truths", "either", "old", "new"):
        columns[name] = columns[name].transpose(0, 1)
    return Pairs(labels=torch.tensor(labels), targets=torch.tensor(targets), **columns)


def one(scenes: Scenes, split: str, index: int, target: int, writings: int) -> dict[str, torch.Tensor]:
    """What `Pairs` holds of a single picture, without the axis N."""
    image, label, mask = rendered(scenes, index, split)
    place = footprint(scenes, index, split)
    classes = [image] * len(scenes.digits.classes)
    for other in {*range(len(classes))} - {label}:
        classes[other] = rendered(scenes, index, split, instead=other)[0]
    truths, either, old, new = [], [], [], []
    for number in range(writings):
        pen = other_writing(scenes, target, split, number)
        picture, _, drawn = rendered(pen, index, split, instead=target)
        covered = footprint(pen, index, split, instead=target)
        truths.append(difference(picture, image))
        either.append(torch.from_numpy(place | covered))
        old.append(torch.from_numpy(mask & ~covered))
        new.append(torch.from_numpy(drawn & ~place))
    return {
        "images": torch.from_numpy(image).float() / 255,
        "truths": torch.stack(truths),
        "either": torch.stack(either),
        "old": torch.stack(old),
        "new": torch.stack(new),
        "classes": torch.stack([difference(each, image) for each in classes]),
        "bare": difference(rendered(scenes, index, split, without=True)[0], image),
    }


def difference(after: np.ndarray, before: np.ndarray) -> torch.Tensor:
    """The change between two 8-bit images, float32 in [-1,1]."""
    return torch.from_numpy(after.astype(np.int16) - before).float() / 255
