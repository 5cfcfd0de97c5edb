"""Fine-tuning: any training that begins from a state dict in a file instead of random weights.

    θ_0 = the file,    θ = trainer(θ_0)

The file is somebody else's, with the prefixes that wrappers leave on its names (`networks.foreign`). Normalisation is
that of the network, so a factory for published weights brings theirs along (`networks.cifar_resnet`). All layers are
trained, batch normalisation included; the learning rate should be far below that of a first training.
"""

import importlib
from pathlib import Path

import pandas as pd

from aecompanion.data.dataset import Dataset
from aecompanion.networks.foreign import load_foreign
from aecompanion.networks.zoo import Network

PLAIN = "aecompanion.train.fit:fit"


def fit(
    network: Network, dataset: Dataset | list[Dataset], *, start: str, trainer: str = PLAIN, **options
) -> pd.DataFrame:
    """`trainer` ("package.module:function" with the arguments of `train.fit.fit`) from the weights in `start`.

    Raises FileNotFoundError for a missing file, ValueError for one that does not fit the network, each in one sentence
    and before anything is trained.
    """
    load_foreign(network.body, Path(start))
    module, _, function = trainer.partition(":")
    return getattr(importlib.import_module(module), function)(network, dataset, **options)
