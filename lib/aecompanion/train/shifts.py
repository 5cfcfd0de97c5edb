"""Training on shifted crops: every image moves by a few pixels each time it is seen.

    x' = crop_{a,b}( reflect_m(x) ),   a, b uniform on {0, ..., 2 m}, drawn per image and step

reflect_m mirrors m pixels at every border. The usual augmentation of small photographs; here it also keeps a network
that sees nothing but dots from learning the pattern of each training image by heart, which error diffusion makes easy:
the same place of a photograph, cropped a little to the side, has quite other dots. What is shifted are the dots, so
they stay 0 and 1.
"""

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.data.dataset import Dataset
from aecompanion.networks.zoo import Network
from aecompanion.train import fit as plain


def shifted(images: torch.Tensor, *, most: int) -> torch.Tensor:
    """N×C×H×W, each image moved by up to `most` pixels along either axis (torch's own generator), borders mirrored."""
    if not 0 < most < min(images.shape[-2:]):
        raise ValueError(f"shifts of up to {most} pixels, expected 1 to {min(images.shape[-2:]) - 1}")
    height, width = images.shape[-2:]
    wide = F.pad(images, (most,) * 4, mode="reflect")
    places = torch.randint(0, 2 * most + 1, (len(images), 2)).tolist()
    moved = [each[:, y : y + height, x : x + width] for each, (y, x) in zip(wide, places, strict=True)]
    return torch.stack(moved).contiguous(memory_format=torch.channels_last)


def fit(network: Network, dataset: Dataset | list[Dataset], *, most: int = 4, **options) -> pd.DataFrame:
    """`train.fit.fit` on shifted images; validation and test images stay where they are."""

    def craft(_: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return shifted(images, most=most)

    return plain.fit(network, dataset, craft=craft, **options)
