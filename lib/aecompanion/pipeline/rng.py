"""Random numbers without global state: every generator is derived from a seed and what it is for."""

import contextlib
import threading
from collections.abc import Iterator

import numpy as np
import torch

_own = threading.RLock()  # torch's own generator is one for all threads


def derive(seed: int, *index: int) -> int:
    """A 63-bit seed derived from `seed` and an index path, e.g. (seed, image index), for streams that do not meet.

    The path is numpy's spawn key, not part of the entropy: entropy is padded with zeros, so that (7,) and (7, 0) would
    otherwise be the same.
    """
    return int(np.random.SeedSequence(seed, spawn_key=index).generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, *index: int) -> torch.Generator:
    """A CPU generator for (seed, index...): an image gets the same numbers in a batch of 1 and in a batch of 64."""
    return torch.Generator().manual_seed(derive(seed, *index))


@contextlib.contextmanager
def seeded(seed: int, *index: int) -> Iterator[None]:
    """Fix torch's own generator inside the block (layer initialisation and dropout accept no other) and restore it. One
    thread at a time: another would draw from the same generator.
    """
    with _own, torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(derive(seed, *index))
        yield
