"""Fold batch normalisation into convolutions wherever one follows the other, in whatever form the network is written.

    γ (W*x - μ) / √(σ² + ε) + β  =  (γ/√(σ² + ε) W) * x + (β - γ μ/√(σ² + ε))

`networks.folding` finds pairs that are neighbours in an nn.Sequential. The blocks of EfficientNet-Lite and of most
published networks are none, so here the pairs are heard: a BatchNorm2d whose input is the very tensor that a Conv2d has
returned, each of them run once. A forward and backward pass of EfficientNet-Lite0 takes half the time then.
"""

import copy

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from aecompanion.networks.borrow import device_of

TOLERANCE = 1e-3  # of the spread of the logits


@torch.no_grad()
def fused(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """A copy in evaluation mode with every pair folded that `images` (N×C×H×W, a few) are led through.

    Names of modules stay; folded normalisations become nn.Identity. The given network is not changed. A copy whose
    logits differ by more than TOLERANCE, because something else reads a convolution's output, is given back unfolded.
    """
    copied = copy.deepcopy(network).eval()
    given = images.to(device_of(copied))
    logits, found = heard(copied, given)
    plain = copy.deepcopy(copied)
    for convolution, norm in found:
        put(copied, convolution, fuse_conv_bn_eval(copied.get_submodule(convolution), copied.get_submodule(norm)))
        put(copied, norm, nn.Identity())
    copied = copied.to(memory_format=torch.channels_last)
    apart = (copied(given.clone()) - logits).abs().max()
    return copied if apart <= TOLERANCE * (logits.max() - logits.min()) else plain


def heard(network: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, list[tuple[str, str]]]:
    """The logits, and the names of each convolution and of the normalisation that reads what it has returned."""
    made: list[tuple[torch.Tensor, str]] = []
    pairs: list[tuple[str, str]] = []
    runs: dict[str, int] = {}

    def listen(name, module, inputs, output):
        runs[name] = runs.get(name, 0) + 1
        if isinstance(module, nn.Conv2d):
            made.append((output, name))
        else:
            pairs.extend((maker, name) for tensor, maker in made if tensor is inputs[0])

    handles = [
        module.register_forward_hook(lambda module, inputs, output, name=name: listen(name, module, inputs, output))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) or (isinstance(module, nn.BatchNorm2d) and module.track_running_stats)
    ]
    try:
        logits = network(images.clone())
    finally:
        for handle in handles:
            handle.remove()
    return logits, [pair for pair in pairs if runs[pair[0]] == runs[pair[1]] == 1]


def put(network: nn.Module, name: str, module: nn.Module) -> None:
    """Set a submodule by its dotted name."""
    parent, _, child = name.rpartition(".")
    network.get_submodule(parent)._modules[child] = module
