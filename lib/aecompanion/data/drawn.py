"""A digit as a scene draws it, and which changes of a scene (`data.scenes.Scenes.render`) make sense."""

from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np


class Drawn(NamedTuple):
    """A digit in its place: its class, its ink h×w in [0,1], top and left of its box, its colour (RGB in [0,1])."""

    label: int
    ink: np.ndarray
    place: tuple[int, int]
    colour: np.ndarray

    @property
    def here(self) -> tuple[slice, ...]:
        """Rows and columns of its box."""
        return tuple(slice(start, start + side) for start, side in zip(self.place, self.ink.shape, strict=True))

    def covered(self, size: int, above: float) -> np.ndarray:
        """Where its ink is above a threshold, size×size boolean."""
        mask = np.zeros((size, size), bool)
        mask[self.here] = self.ink > above
        return mask


def check_changes(without: Set[int], instead: Mapping[int, int], present: Sequence[int], classes: int) -> None:
    """Refuse what cannot be left out (`without`) or exchanged (`instead`: label → new class) among the digits present.

    Raises ValueError for a label that is not present or in both, and for a new class that is none of the `classes` or
    that would be there twice.
    """
    for label in (*without, *instead):
        if label not in present:
            shown = ", ".join(map(str, sorted(present)))
            raise ValueError(f"the scene has no digit of class {label}, expected one of: {shown}")
    if both := without & instead.keys():
        raise ValueError(f"class {min(both)} is in without and in instead, expected it in one of them")
    left = [instead.get(label, label) for label in present if label not in without]
    for label, other in instead.items():
        if not 0 <= other < classes or left.count(other) > 1:
            raise ValueError(f"class {other} cannot take the place of {label}: expected one of {classes}, not twice")
