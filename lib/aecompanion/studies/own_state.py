"""What a callable from elsewhere may not change, what it costs, and an end to its time.

`state_of` and `changed_state` compare a network before and after: mode, weights and buffers (values, since changes of
`.data` raise no version), `requires_grad`, hooks. `Counted` counts the images forward and backward through a network.
`deadline` raises `TooSlow` inside what runs too long, in the main thread of systems that have timers; elsewhere the
time is measured when it is over.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from aecompanion.networks.borrow import registries

State = dict[str, dict[str, Any]]


class TooSlow(BaseException):
    """No Exception, so that a callable which catches those does not catch this one."""


def state_of(network: nn.Module | None) -> State:
    """Modes, values, flags and numbers of hooks by name."""
    if network is None:
        return {}
    modules = dict(network.named_modules())
    return {
        "mode": {name: each.training for name, each in modules.items()},
        "weights": {name: each.detach().clone() for name, each in network.state_dict().items()},
        "hooks": {name: [sorted(each) for each in registries(module)] for name, module in modules.items()},
        "requires_grad": {name: each.requires_grad for name, each in network.named_parameters()},
    }


def changed_state(network: nn.Module | None, before: State) -> str | None:
    """What differs from `before`, in words with the first name that it concerns; None if nothing does."""
    said = {
        "weights": "changes weights of the network",
        "hooks": "leaves hooks on the network",
        "mode": "leaves the network in training mode",
        "requires_grad": "leaves parameters of the network with another requires_grad",
    }
    after = state_of(network)
    for fact, words in said.items():
        old, new = before.get(fact, {}), after.get(fact, {})
        names = [name for name in old | new if name not in old or name not in new or not same(old[name], new[name])]
        if names:
            return f"{words} ({names[0] or 'as a whole'})"
    return None


def same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


class Counted(contextlib.AbstractContextManager):
    """Images that pass `network` forward, and backward through its output, inside the block."""

    def __init__(self, network: nn.Module | None) -> None:
        self.network, self.forward, self.backward, self.handle = network, 0, 0, None

    def __enter__(self) -> "Counted":
        if self.network is not None:
            self.handle = self.network.register_forward_hook(self.see)
        return self

    def __exit__(self, *_: object) -> None:
        if self.handle is not None:
            self.handle.remove()

    def see(self, network: nn.Module, given: tuple, output: Any) -> None:
        """A hook of the network."""
        if not isinstance(output, torch.Tensor):
            return
        count = len(output)
        self.forward += count
        if output.requires_grad:
            output.register_hook(lambda _: self.back(count))

    def back(self, count: int) -> None:
        self.backward += count


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` inside the block after so many seconds, where this thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
