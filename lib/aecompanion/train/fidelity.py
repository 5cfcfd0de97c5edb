"""What a bottleneck leaves of the network's answers: agreement of the decisions, divergence, and its own effect."""

import dataclasses

import torch
from torch import nn

from aecompanion.networks.borrow import plain
from aecompanion.networks.read import answers, several_labels
from aecompanion.train.causal_autoencoder import CausalAutoencoder, cut, runs_once

GATE = 0.9  # least agreement of the decisions with and without the bottleneck


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """How little the bottleneck changes by itself: share of equal single decisions, share of images with all decisions
    equal, mean |d(c(a)) - a| / mean |a|, and whether the decisions pass the gate.
    """

    decisions: float
    images: float
    error: float

    @property
    def passes(self) -> bool:
        """The share of images whose decisions all agree is at least `GATE`."""
        return self.images >= GATE


def fidelity(
    model: nn.Module,
    images: torch.Tensor,
    *,
    layer: str | nn.Module,
    autoencoder: CausalAutoencoder,
    multi_label: bool | None = None,
    batch: int = 128,
) -> Fidelity:
    """Compare the network with and without the bottleneck on N images."""
    several, model = several_labels(model, multi_label), plain(model)
    same, sums = [], []

    def both(activations: torch.Tensor) -> torch.Tensor:
        restored = autoencoder(activations)
        sums.append(torch.stack([(restored - activations).abs().sum(), activations.abs().sum()]).double().cpu())
        return torch.cat([activations, restored])

    with cut(model, layer, both):
        for logits in answers(model, images.split(batch)):
            clean, through = logits.chunk(2)
            equal = (clean > 0) == (through > 0) if several else (clean.argmax(1) == through.argmax(1))[:, None]
            same.append(equal)
    runs_once(len(sums), len(same), layer)
    equal, (error, size) = torch.cat(same), torch.stack(sums).sum(0)
    return Fidelity(equal.double().mean().item(), equal.all(1).double().mean().item(), (error / size).item())
