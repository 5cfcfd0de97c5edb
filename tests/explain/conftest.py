import pytest
import torch
from support import mask_of


@pytest.fixture
def masks():
    """Another region for each of the five images."""
    regions = [(slice(0, 3), slice(0, 3)), (2, 5), (slice(4, 8), slice(1, 6)), (slice(0, 8), 7), (slice(3, 5), 3)]
    return torch.cat([mask_of(*region) for region in regions])


@pytest.fixture
def tiny():
    """Two images of two channels: rising values, and their complement."""
    rising = torch.arange(32.0).reshape(1, 2, 4, 4) / 32
    return torch.cat([rising, 1 - rising])


@pytest.fixture
def corner():
    """The upper left 2×2 pixels of the first image, the last pixel of the second."""
    masks = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    masks[0, 0, :2, :2] = masks[1, 0, 3, 3] = True
    return masks
