"""The layer that a network nobody described is explained at: the last one with places that everything passes through.

    l* = the last module with  a_l = N×K×h×h, h > 1,  z(x_1; a_l = 0) = z(x_2; a_l = 0)  for images x_1 ≠ x_2

z(x; a_l = 0): the logits with zeros in the place of the layer's output. If anything leads past the layer (a shortcut,
another branch, the rest of a dense block) the logits still tell the two images apart. The last convolution, which is
often taken instead, is a vision transformer's first layer, 32 of DenseNet's 1024 channels, or one branch of several.

Late means: at least LATE of the modules with parameters have run. Zeros that libraries leave in fresh networks (last
scales, heads) would let every layer pass; while layers are tried they are small random numbers.
"""

import collections
import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.pipeline.rng import generator, seeded

LATE = 0.25  # share of the modules with parameters that have run when the layer ends
SAME = 1e-3  # of the distance between the logits of the two images


def last_place(network: nn.Module, *, channels: int, size: int) -> str:
    """Name, inside `network.body`, of l* of the formula for images of `channels`×`size`×`size`.

    Cost: a few passes of two images. Raises ValueError that asks for cam_layers where there is no such layer, and
    what `attempted` raises.
    """
    images = torch.rand(2, channels, size, size, generator=generator(0)).to(device_of(network))
    with torch.no_grad(), seeded(0), borrowed(network), without_zeros(network):
        logits, ran = traced(network, images)
        full = distance(logits)
        for name in candidates(network.body, ran, size):
            if distance(zeroed(network, images, name)) <= SAME * full:
                return name
    raise ValueError(
        f"{type(network.body).__name__} has no late layer N×K×h×w at {size} px that everything passes through, so "
        "Grad-CAM has no layer: pass cam_layers=[...]"
    )


@contextlib.contextmanager
def without_zeros(network: nn.Module) -> Iterator[None]:
    """Inside the block, parameters that are zero everywhere are small random numbers."""
    zeros = [(values, values.detach().clone()) for values in network.parameters() if not values.any()]
    try:
        for number, (values, _) in enumerate(zeros):
            values.data.copy_(0.1 * torch.randn(values.shape, generator=generator(1, number)))
        yield
    finally:
        for values, before in zeros:
            values.data.copy_(before)


def traced(network: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, list[tuple[str, tuple[int, ...]]]]:
    """The logits, and the names of the body's modules in the order in which they end, with their outputs' shapes."""
    ran: list[tuple[str, tuple[int, ...]]] = []
    hooks = [
        module.register_forward_hook(lambda _, given, found, name=name: ran.append((name, shape_of(found))))
        for name, module in network.body.named_modules()
        if name
    ]
    try:
        return attempted(network, images), ran
    finally:
        for hook in hooks:
            hook.remove()


def candidates(body: nn.Module, ran: list[tuple[str, tuple[int, ...]]], size: int) -> Iterator[str]:
    """Late modules that ran once and gave 2×K×h×h, 1 < h <= size, the last first."""
    runs = collections.Counter(name for name, _ in ran)
    learning = {name for name in runs if next(body.get_submodule(name).parameters(recurse=False), None) is not None}
    done: set[str] = set()
    late = []
    for name, shape in ran:
        done |= {name} & learning
        square = len(shape) == 4 and shape[0] == 2 and 1 < shape[2] == shape[3] <= size  # not N×h×w×K
        if square and runs[name] == 1 and len(done) >= LATE * len(learning):
            late.append(name)
    return reversed(late)


def zeroed(network: nn.Module, images: torch.Tensor, name: str) -> torch.Tensor:
    """The logits with zeros in the place of what the layer returns."""
    hook = network.body.get_submodule(name).register_forward_hook(lambda _, given, found: torch.zeros_like(found))
    try:
        return network(images)
    finally:
        hook.remove()


def distance(logits: torch.Tensor) -> float:
    """The largest difference between the logits of the two images."""
    return (logits[0] - logits[1]).abs().max().item()


def attempted(network: nn.Module, images: torch.Tensor):
    """What the network returns. Raises ValueError in one sentence where it fails on images of this size."""
    try:
        return network(images)
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        shape = "×".join(map(str, images.shape[1:]))
        raise ValueError(
            f"{type(network.body).__name__} fails on images of {shape} ({' '.join(str(error).split())[:120]}), "
            "expected a network for this size"
        ) from error


def shape_of(found) -> tuple[int, ...]:
    return tuple(found.shape) if isinstance(found, torch.Tensor) else ()
