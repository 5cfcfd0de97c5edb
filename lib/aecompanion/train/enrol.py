"""Enrol people in a face recogniser: nothing is trained, it gets to know each of them from a few images.

    u_i = f(x_i) / |f(x_i)|,        c_k = normalised mean of u_i over the enrolment images i of person k
    s   = argmin over 1 <= s <= 64 of  mean_i -log softmax( s · u_i·c^(i) )_{y_i}

f: the embedding of published weights. The enrolment images of a person are drawn from the train split with (seed,
person), so a seed is an enrolment, not a training: the weights are the same under every one. c^(i) are the centroids
without image i itself, which its own centroid would otherwise know; where every enrolment image is recognised with room
to spare the minimum lies at infinity, and s is 64, the scale of ArcFace (Deng et al., CVPR 2019). Neither centroids nor
scale see a probe, which is every other image of the set; the test split has probes only.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from aecompanion.data.dataset import Dataset
from aecompanion.networks.foreign import load_foreign
from aecompanion.networks.read import features
from aecompanion.networks.zoo import Network, short
from aecompanion.train import ensemble
from aecompanion.train.score import accuracy

NETWORK = "aecompanion.networks.recogniser:mobilefacenet"
TRAINER = "aecompanion.train.enrol:enrol"
SCALES = (1.0, 64.0)


def runs(weights: str | Path, seeds: list[int], data: Path, *, images: int) -> list[ensemble.Run]:
    """One enrolment per seed, for `train.ensemble.train`, with the weights of a file and so many images per person.

    Raises FileNotFoundError for a missing file.
    """
    file = Path(weights).expanduser().resolve()
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file, expected the weights of a MobileFaceNet")
    options = {"epochs": 1, "weights": str(file), "images": images}
    return [ensemble.Run(NETWORK, short(NETWORK), seed, (data,), options, TRAINER) for seed in seeds]


def enrol(
    network: Network,
    dataset: Dataset | list[Dataset],
    *,
    weights: str | Path,
    images: int,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[dict], None] = lambda row: None,
    **_,
) -> pd.DataFrame:
    """Give `network` (of `networks.recogniser`) its weights, centroids and scale in place; return one row as of an
    epoch: loss and train_accuracy are those of the enrolment images, each left out of its own centroid.

    Args:
        dataset: one data set with one label per image, or a list of just one.
        weights: a state dict, see `networks.foreign`. images: per person, at least 2.
        The other arguments of `train.fit.fit` are taken and not needed.

    The card tells images per person, scale, the hash of the file, and the accuracy on all probes. Raises ValueError for
    weights that do not fit, for fewer than two images, and for a person with fewer training images than that.
    """
    dataset = dataset[0] if isinstance(dataset, list) else dataset
    load_foreign(network.body.net, Path(weights))
    network.to(device).to(memory_format=torch.channels_last).eval()
    known = chosen(dataset, images, seed)
    labels = dataset.labels[known]
    units = F.normalize(features(network, dataset.batch(known), layer=network.body.net).double())
    cosines = left_out(units, labels)
    scale = fitting_scale(cosines, labels)
    with torch.no_grad():
        network.body.head.centroids.copy_(centroids(units, labels, len(dataset.classes)))
        network.body.head.scale.fill_(scale)
    probes = np.setdiff1d(np.arange(len(dataset)), known)
    row = {
        "epoch": 1,
        "loss": F.cross_entropy(scale * cosines, labels).item(),
        "train_accuracy": (cosines.argmax(1) == labels).double().mean().item(),
        "validation_accuracy": accuracy(network, dataset, dataset.indices("validation")),
    }
    network.card["enrolment"] = {
        "images": images,
        "scale": round(scale, 3),
        "weights": Path(weights).name,
        "sha256": hashlib.sha256(Path(weights).read_bytes()).hexdigest(),
        "probes": len(probes),
        "accuracy": accuracy(network, dataset, probes),
    }
    progress(row)
    return pd.DataFrame([row])


def chosen(dataset: Dataset, images: int, seed: int) -> np.ndarray:
    """Indices of the enrolment images, ascending: so many of the train split of every person. More images do not change
    the first ones. Raises ValueError as `enrol`.
    """
    if images < 2:
        raise ValueError(f"images is {images}, expected at least 2 per person (each is left out once)")
    train, labels, drawn = dataset.indices("train"), dataset.labels.numpy(), []
    for person, name in enumerate(dataset.classes):
        members = train[labels[train] == person]
        if len(members) < images:
            raise ValueError(f"{name!r} has {len(members)} training images, expected at least {images} to enrol")
        drawn.append(np.random.default_rng([seed, person]).permutation(members)[:images])
    return np.sort(np.concatenate(drawn))


def centroids(units: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """c of the formula, classes×D, from N×D embeddings of length 1."""
    return F.normalize(F.one_hot(labels, classes).to(units).T @ units)


def left_out(units: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """u_i·c^(i), N×K: cosines to all centroids, the own one made without the image itself."""
    classes = int(labels.max()) + 1
    cosines = units @ centroids(units, labels, classes).T
    others = F.one_hot(labels, classes).to(units).T @ units
    own = F.normalize(others[labels] - units)
    return cosines.scatter(1, labels[:, None], (units * own).sum(1, keepdim=True))


def fitting_scale(cosines: torch.Tensor, labels: torch.Tensor) -> float:
    """s of the formula. The loss is convex in s, so its derivative mean_i( Σ_k p_ik cos_ik - cos_iy ) is bisected."""
    own = cosines.gather(1, labels[:, None])[:, 0]

    def slope(scale: float) -> float:
        return ((torch.softmax(scale * cosines, 1) * cosines).sum(1) - own).mean().item()

    low, high = SCALES
    if slope(high) <= 0:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return low
