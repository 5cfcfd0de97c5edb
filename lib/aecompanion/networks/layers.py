"""Find a layer of a network, by name or as a module, where a hook is heard.

A compiled network (`torch.compile`) that has answered once ignores hooks which come later; the network inside it, which
holds the same parameters, does not. Hook and call `plain(model)`.
"""

import contextlib

from torch import nn

from aecompanion.networks.borrow import plain


def layer_of(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """A module by its dotted name (of a `Network` also a name inside its body), or the module that was given.

    Raises ValueError naming the layer.
    """
    if isinstance(layer, nn.Module):
        return plain(layer)
    model = plain(model)
    for root in (model, getattr(model, "body", None)):
        with contextlib.suppress(AttributeError):
            return root.get_submodule(layer)
    known = ", ".join(name for name, _ in getattr(model, "body", model).named_children())
    raise ValueError(f"layer {layer!r} does not exist in {type(model).__name__}, its parts are: {known}")
