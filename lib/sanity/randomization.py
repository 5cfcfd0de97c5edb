"""Parameter randomisation: does the explanation depend on what the network has learned?

Cascading: the layers are re-initialised one after another from the output towards the input, and stay so.
Independent: one layer at a time, the others keep what they learned. A map that stays alike says little about the
network. Source: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.
"""

import copy
from collections.abc import Iterator

import torch
from scipy import stats
from torch import nn

from lib.rng import seeded


def randomized(model: nn.Module, *, seed: int, cascading: bool = True) -> Iterator[tuple[str, nn.Module]]:
    """Yield (name, copy of the model with that layer re-initialised), from the output towards the input.

    A layer is a module with its own parameters and a `reset_parameters` method (convolutions, linear and
    normalisation layers); its new values are its own initialisation drawn from (seed, position). The caller's model is
    not touched. With `cascading` the same copy accumulates the changes, so use each before taking the next.
    """
    names = [name for name, module in model.named_modules() if resettable(module)]
    cascade = copy.deepcopy(model)
    for position, name in enumerate(reversed(names)):
        current = cascade if cascading else copy.deepcopy(model)
        with seeded(seed, position), torch.no_grad():
            current.get_submodule(name).reset_parameters()
        yield name, current


def resettable(module: nn.Module) -> bool:
    """The module owns parameters and can initialise them."""
    return hasattr(module, "reset_parameters") and next(module.parameters(recurse=False), None) is not None


def spearman(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Rank correlation of N pairs of maps N×1×H×W; NaN where a map is constant."""
    ranks = [stats.rankdata(maps.flatten(1).numpy(), axis=1) for maps in (a, b)]
    centred = [torch.from_numpy(rank - rank.mean(1, keepdims=True)) for rank in ranks]
    norms = centred[0].norm(dim=1) * centred[1].norm(dim=1)
    return torch.where(norms > 0, (centred[0] * centred[1]).sum(1) / norms, torch.nan).float()
