"""What tests of several rooms share."""

from collections.abc import Mapping

import torch
from torch import nn

from aecompanion.report import claims


class One(Mapping):
    """Tables of a paper for an estimator that reads one: whatever its name, it is this one."""

    def __init__(self, table):
        self.table = table

    def __getitem__(self, name):
        return self.table

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 1


def claims_of(paper):
    """The claims of the paper with this number."""
    return [claim for claim in claims.register() if claim.paper == paper]


def estimators(paper):
    """Its estimators by name."""
    return {claim.estimator.__name__: claim.estimator for claim in claims_of(paper)}


class Watched(dict):
    """Tables that remember which of them were read."""

    def __init__(self, tables):
        super().__init__(tables)
        self.read = []

    def __getitem__(self, name):
        self.read.append(name)
        return super().__getitem__(name)


def mask_of(rows, columns, size=8):
    """These rows and columns of a square image, 1×1×size×size."""
    mask = torch.zeros(1, 1, size, size, dtype=torch.bool)
    mask[..., rows, columns] = True
    return mask


def flat(*, classes: int, channels: int, size: int) -> nn.Sequential:
    """One linear layer, a factory of networks for `create`."""
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))
