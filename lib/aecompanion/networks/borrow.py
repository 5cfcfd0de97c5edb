"""Use the caller's network without changing it: evaluation mode, no parameter gradients, everything put back."""

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def borrowed(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode and frozen parameters inside the block; on leaving, also by an exception, every submodule's
    mode, every parameter's `requires_grad` and the set of hooks are what they were. Gradients with respect to the
    input still flow, and cost less because none are computed for the parameters.
    """
    modes = [(module, module.training) for module in model.modules()]
    grads = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    hooks = [(registry, dict(registry)) for module in model.modules() for registry in registries(module)]
    try:
        model.eval()
        for parameter, _ in grads:
            parameter.requires_grad_(False)
        yield model
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in grads:
            parameter.requires_grad_(requires_grad)
        for registry, before in hooks:
            for key in [key for key in registry if key not in before]:
                del registry[key]


def registries(module: nn.Module) -> tuple[dict, ...]:
    """The module's four tables of hooks."""
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks


def device_of(model: nn.Module) -> torch.device:
    """Device of the first parameter or buffer; the CPU for a network that has neither."""
    tensor = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def plain(model: nn.Module) -> nn.Module:
    """The network itself where `model` is what torch.compile made of it: hooks and gradients are taken there, because
    a compiled graph that has answered once does not call hooks that come later (pytorch issue 117758).
    """
    return getattr(model, "_orig_mod", model)
