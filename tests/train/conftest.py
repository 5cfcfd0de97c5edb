"""What several regimes of training are tried on."""

import numpy as np
import pytest
import torch

from aecompanion.data.dataset import Dataset


@pytest.fixture(scope="module")
def noise():
    """Images of noise with labels that have nothing to do with them: what is learned is learned by heart."""
    rng = np.random.default_rng(0)
    return Dataset(
        images=rng.integers(0, 256, (48, 1, 12, 12), dtype=np.uint8),
        labels=torch.from_numpy(np.arange(48) % 2),
        split=np.array((["train"] * 4 + ["validation", "test"]) * 8, dtype=object),
        classes=["a", "b"],
        source="noise",
        channels=1,
        size=12,
    )
