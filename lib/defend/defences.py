"""Which defences are compared: a transformation of the input and the network behind it, each under a short name.

    prediction = f_network( T(x) )

`network` is a training regime: "grey" saw plain images, "halftone" dots, "hybrid" both (as many epochs as the others,
so twice the updates), "hybrid_updates" both in as many updates, and "jpeg" and "tv" images under that transform.
Attacks are crafted on the grey network, so what a defence gains has two parts: what the transformation does and what
comes of not being the attacked network. The two controls measure the second part alone.
"""

import dataclasses
import functools
from collections.abc import Callable

import torch

from lib.defend.halftone import METHODS, halftone
from lib.defend.inverse import InverseHalftone, low_pass
from lib.defend.transforms import bit_depth, jpeg, median, total_variation

Transform = Callable[[torch.Tensor], torch.Tensor]


def unchanged(images: torch.Tensor) -> torch.Tensor:
    """No transformation."""
    return images


@dataclasses.dataclass(frozen=True)
class Defence:
    """`kind`: none, baseline (on the grey network), retrained, halftone, control, inverse or dither; `next_seed`: the
    network of the next training seed stands in, so that it is not the attacked one.
    """

    name: str
    kind: str
    network: str
    transform: Transform = unchanged
    next_seed: bool = False


def transforms(*, quality: int = 75, bits: int = 3, tv_weight: float = 0.1, dots: str = "floyd_steinberg"):
    """The transformations by name: grey (none), jpeg, bits, tv, median, halftone."""
    return {
        "grey": unchanged,
        "jpeg": functools.partial(jpeg, quality=quality),
        "bits": functools.partial(bit_depth, bits=bits),
        "tv": functools.partial(total_variation, weight=tv_weight),
        "median": median,
        "halftone": functools.partial(halftone, method=dots),
    }


def catalogue(
    by_name: dict[str, Transform], *, inverse: InverseHalftone | None = None, sigma: float = 1.2
) -> list[Defence]:
    """All defences, in the order of the tables; the inverse CNN only if it is given."""
    halftoned = by_name["halftone"]
    found = [
        Defence("no defence", "none", "grey"),
        *[Defence(name, "baseline", "grey", by_name[name]) for name in ("jpeg", "bits", "tv", "median")],
        *[Defence(f"{name}, retrained", "retrained", name, by_name[name]) for name in ("jpeg", "tv")],
        Defence("halftone network", "halftone", "halftone", halftoned),
        Defence("hybrid + halftone", "halftone", "hybrid", halftoned),
        Defence("hybrid (equal updates) + halftone", "halftone", "hybrid_updates", halftoned),
        Defence("hybrid without halftoning", "control", "hybrid"),
        Defence("grey, other seed", "control", "grey", next_seed=True),
        Defence("halftone, grey network", "inverse", "grey", halftoned),
        Defence("low-pass inverse, grey network", "inverse", "grey", LowPassed(halftoned, sigma)),
    ]
    if inverse is not None:
        found.append(Defence("CNN inverse, grey network", "inverse", "grey", Restored(halftoned, inverse)))
    found += [
        Defence(f"hybrid + {method}", "dither", "hybrid", functools.partial(halftone, method=method))
        for method in METHODS
        if method != getattr(halftoned, "keywords", {}).get("method")
    ]
    return found


@dataclasses.dataclass(frozen=True)
class LowPassed:
    """R(T(x)) with R a low-pass of width sigma."""

    halftone: Transform
    sigma: float

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return low_pass(self.halftone(images), sigma=self.sigma)


@dataclasses.dataclass(frozen=True)
class Restored:
    """R(T(x)) with R the trained inverse network."""

    halftone: Transform
    network: InverseHalftone

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(self.halftone(images))
