"""Explanations from elsewhere under this project's calling form, `(model, images, target, options)`.

`explanation` tells four forms apart, by what it is handed:

    this project's   f(model, images, target, options) -> Explained or maps, or f(model, images, target) -> maps
    a row            `explain.methods.Method`
    captum's         a class or an object with a method attribute(inputs, target=...), made for the network that is
                     explained: Cls(model), Cls(model, layer) where it asks for a layer (the network's Grad-CAM layer);
                     or a function of the network that makes such an object
    Quantus's        f(model, inputs, targets, **kwargs) -> array, inputs and targets being arrays, told by these names

A captum object belongs to the network that it was made with. Here every network gets a copy of it in which that network
and its layers (found by name) are replaced, so that randomised networks are explained as well. Nothing is computed
here; whether the callable keeps its promises is the question of `studies.own_checks`.
"""

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from aecompanion.explain.methods import Method, Options

INNER = ("attribution_method", "attr_method")  # what captum calls a method inside another
Raw = Callable[[nn.Module, torch.Tensor, torch.Tensor, Any], Any]  # may give anything


def explanation(found: Any) -> Raw:
    """`found` as a function of (model, images, target, options). Raises ValueError for what fits no form."""
    if isinstance(found, Method):
        return found.explain
    if callable(getattr(found, "attribute", None)):
        return captum_class(found) if inspect.isclass(found) else captum_object(found)
    if {"inputs", "targets"} <= set(parameters(found)):
        return quantus_function(found)
    names, every = positional(found), positional(found, needed=False)
    if len(names) == 4 or "options" in every:
        return found
    if len(names) <= 3 <= len(every):
        return lambda model, images, target, options: found(model, images, target)
    if len(names) == 1:
        return per_network(lambda model, options: found(model))
    raise ValueError(
        f"asks for ({', '.join(names)}), expected (model, images, target, options), (model, images, target), Quantus's "
        "(model, inputs, targets) or captum's object with attribute(inputs, target=...)"
    )


def parameters(found: Any) -> dict[str, inspect.Parameter]:
    """Its parameters by name. Raises ValueError for what cannot be called, or does not say its parameters."""
    if not callable(found):
        raise ValueError(f"is a {type(found).__name__}, expected something that can be called")
    try:
        return dict(inspect.signature(found).parameters)
    except (ValueError, TypeError) as error:
        raise ValueError(f"does not say its parameters ({error}), expected a function written in Python") from None


def positional(found: Any, *, needed: bool = True) -> list[str]:
    """The names of the parameters that can be given by position; `needed`: of those that have to be given."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = {name: each.default for name, each in parameters(found).items() if each.kind in kinds}
    return [name for name, default in places.items() if not needed or default is inspect.Parameter.empty]


def quantus_function(found: Callable) -> Raw:
    """Arrays go in: float32 N×C×H×W and int64 N."""

    def explained(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: Options):
        return found(model=model, inputs=images.detach().cpu().numpy(), targets=target.cpu().numpy())

    return explained


def captum_class(found: type) -> Raw:
    """One object per network. Raises ValueError if it cannot be made of a network and a layer alone."""
    names = positional(found)
    if missing := [name for i, name in enumerate(names) if name in INNER or (i and name != "layer")]:
        raise ValueError(
            f"cannot be made of a network alone ({', '.join(missing)} missing), expected an object, or a function "
            "that makes one"
        )

    return per_network(
        lambda model, options: found(model, layer_of(model, options)) if "layer" in names else found(model)
    )


def captum_object(found: Any) -> Raw:
    """Its network is replaced by the one that is explained. Raises ValueError if it holds no network."""
    own = network_of(found)
    if own is None:
        raise ValueError(
            f"is a {type(found).__name__} that holds no network, expected one made with the network as its first "
            "argument, or the class itself"
        )

    return per_network(lambda model, options: rebound(found, own, model))


def per_network(make: Callable[[nn.Module, Options], Any]) -> Raw:
    """What `attribute` of the object that `make` gives says of images that ask for gradients, which captum would see to
    by itself, with a warning. Raises ValueError for an object without this method.
    """

    def explained(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: Options):
        with out_of_place(model):
            made = make(model, options)
            if not callable(getattr(made, "attribute", None)):
                raise ValueError(
                    f"makes a {type(made).__name__}, expected an object with attribute(inputs, target=...)"
                )
            return made.attribute(images.detach().requires_grad_(), target=target.to(images.device))

    return explained


@contextlib.contextmanager
def out_of_place(model: nn.Module) -> Iterator[None]:
    """No layer writes over its input inside the block: captum's hooks (guided back-propagation, DeepLift) need it."""
    found = [module for module in model.modules() if getattr(module, "inplace", False)]
    try:
        for module in found:
            module.inplace = False
        yield
    finally:
        for module in found:
            module.inplace = True


def layer_of(model: nn.Module, options: Options) -> nn.Module:
    """The layer of the options, else the network's Grad-CAM layer. Raises ValueError if nobody says which."""
    if isinstance(options.layer, nn.Module):
        return options.layer
    if options.layer is None and not hasattr(model, "cam_layer"):
        raise ValueError(f"asks for a layer, and {type(model).__name__} does not say which: pass layer=")
    return model.cam_layer() if options.layer is None else model.get_submodule(options.layer)


def network_of(found: Any) -> nn.Module | None:
    """The network that an object, or the object inside it (as in captum's NoiseTunnel), was made with."""
    held = list(vars(found).values()) if hasattr(found, "__dict__") else []
    for name in ("forward_func", "model"):
        if isinstance(network := vars(found).get(name) if held else None, nn.Module):
            return network
    inner = (network_of(each) for each in held if callable(getattr(each, "attribute", None)))
    return next((each for each in inner if each is not None), None)


def rebound(found: Any, own: nn.Module, model: nn.Module) -> Any:
    """A copy of an object in which `own` and its layers, also in objects inside it, are `model` and its layers."""
    names, copied = {id(module): name for name, module in own.named_modules()}, copy.copy(found)
    for name, value in vars(found).items():
        if isinstance(value, nn.Module) and id(value) in names:
            setattr(copied, name, model.get_submodule(names[id(value)]))
        elif callable(getattr(value, "attribute", None)):
            setattr(copied, name, rebound(value, own, model))
        elif inspect.ismethod(value) and value.__self__ is found:  # bound to the object itself
            setattr(copied, name, value.__func__.__get__(copied))
    return copied
