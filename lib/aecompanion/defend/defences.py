"""Which defences are compared: a transformation of the input and the network behind it, each under a short name.

    prediction = f_network( T(x) )

`network` is a training regime: "grey" saw plain images, "halftone" dots, "hybrid" both (as many epochs as these, so
twice the updates), "hybrid_updates" both in as many updates as these. The rivals have the hybrid's number of updates:
"tv" saw images under that transform, "grey_twice" plain ones, "grey_shifts" and "halftone_shifts" images
shifted at random, "grey_noise" plain ones and noisy copies, the noise as large as the dots; "adversarial" is the hybrid
network, trained further on attacked images.
Attacks are crafted on the grey network, so what a defence gains has two parts: what the transformation does and what
comes of not being the attacked network. The controls measure the second part alone.

Three tables, over which tables, figures, notebooks and tests iterate: TRANSFORMS (T by name), KINDS (what defences of a
kind look like in figures) and DEFENCES. To add a defence write its module, its row in TRANSFORMS and one in DEFENCES.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch

from aecompanion.defend.halftone import METHODS, halftone
from aecompanion.defend.inverse import InverseHalftone, low_pass
from aecompanion.defend.transforms import bit_depth, jpeg, median, total_variation
from aecompanion.networks.read import predict

Transform = Callable[[torch.Tensor], torch.Tensor]


def unchanged(images: torch.Tensor) -> torch.Tensor:
    """No transformation."""
    return images


@dataclasses.dataclass(frozen=True)
class Defence:
    """`kind`: one of KINDS; `next_seed`: the network of the next training seed stands in, so that it is not the
    attacked one.
    """

    name: str
    kind: str
    network: str
    transform: Transform = unchanged
    next_seed: bool = False


TRANSFORMS: dict[str, Callable[[dict[str, Any]], Transform]] = {  # from the settings of `transforms`
    "grey": lambda settings: unchanged,
    "jpeg": lambda settings: functools.partial(jpeg, quality=settings["quality"]),
    "bits": lambda settings: functools.partial(bit_depth, bits=settings["bits"]),
    "tv": lambda settings: functools.partial(total_variation, weight=settings["tv_weight"]),
    "median": lambda settings: median,
    "halftone": lambda settings: functools.partial(halftone, method=settings["dots"]),
}


def transforms(
    *, quality: int = 75, bits: int = 3, tv_weight: float = 0.1, dots: str = "floyd_steinberg"
) -> dict[str, Transform]:
    """The transformations by name: grey (none), jpeg, bits, tv, median, halftone."""
    settings = {"quality": quality, "bits": bits, "tv_weight": tv_weight, "dots": dots}
    return {name: make(settings) for name, make in TRANSFORMS.items()}


@dataclasses.dataclass(frozen=True)
class Kind:
    """Colour and line of a family in figures, so that many curves stay readable. compared: with hybrid + halftone in
    tables and along eps; the others are measured at one eps.
    """

    colour: str
    line: str
    compared: bool = True


KINDS = {
    "none": Kind(colour="#000000", line="-"),
    "baseline": Kind(colour="#0072B2", line="--"),  # on the grey network
    "retrained": Kind(colour="#56B4E9", line=":"),
    "halftone": Kind(colour="#D55E00", line="-"),
    "control": Kind(colour="#009E73", line="-."),
    "robust": Kind(colour="#332288", line="-."),  # adversarially trained
    "inverse": Kind(colour="#CC79A7", line="-", compared=False),
    "dither": Kind(colour="#E69F00", line="--", compared=False),
}


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a defence is made of: transformations by name, the inverse network (None: not trained), the low-pass."""

    by_name: dict[str, Transform]
    inverse: InverseHalftone | None
    sigma: float


@dataclasses.dataclass(frozen=True)
class Row:
    """A defence before its parts are known: `transform` is a name of TRANSFORMS or makes one of the parts (None: there
    is no such defence with these parts).
    """

    kind: str
    network: str
    transform: str | Callable[[Parts], Transform | None] = "grey"
    next_seed: bool = False


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

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return predict(self.network, self.halftone(images), batch=len(images)).to(images.device)


def low_passed(parts: Parts) -> Transform:
    """The halftone, then the low-pass."""
    return LowPassed(parts.by_name["halftone"], parts.sigma)


def restored(parts: Parts) -> Transform | None:
    """The halftone, then the inverse network, where it is given."""
    return None if parts.inverse is None else Restored(parts.by_name["halftone"], parts.inverse)


def other_dots(method: str) -> Callable[[Parts], Transform | None]:
    """This halftone, where it is not that of the other defences."""

    def make(parts: Parts) -> Transform | None:
        usual = getattr(parts.by_name["halftone"], "keywords", {}).get("method")
        return None if usual == method else functools.partial(halftone, method=method)

    return make


DEFENCES = {
    "no defence": Row("none", "grey"),
    **{name: Row("baseline", "grey", name) for name in ("jpeg", "bits", "tv", "median")},
    "tv, retrained": Row("retrained", "tv", "tv"),
    "halftone network": Row("halftone", "halftone", "halftone"),
    "halftone network, shifts": Row("halftone", "halftone_shifts", "halftone"),
    "hybrid + halftone": Row("halftone", "hybrid", "halftone"),
    "hybrid (equal updates) + halftone": Row("halftone", "hybrid_updates", "halftone"),
    "hybrid without halftoning": Row("control", "hybrid"),
    "grey, other seed": Row("control", "grey", next_seed=True),
    "grey, twice the updates": Row("control", "grey_twice"),
    "grey, shifts": Row("control", "grey_shifts"),
    "grey, noise": Row("control", "grey_noise"),
    "adversarial training": Row("robust", "adversarial"),
    "adversarial training + halftone": Row("robust", "adversarial", "halftone"),
    "halftone, grey network": Row("inverse", "grey", "halftone"),
    "low-pass inverse, grey network": Row("inverse", "grey", low_passed),
    "CNN inverse, grey network": Row("inverse", "grey", restored),
    **{f"hybrid + {method}": Row("dither", "hybrid", other_dots(method)) for method in METHODS},
}


def catalogue(
    by_name: dict[str, Transform], *, inverse: InverseHalftone | None = None, sigma: float = 1.2
) -> list[Defence]:
    """The defences of DEFENCES that these parts make, in the order of the tables; a transformation that several share
    is one object, so that it is computed once.
    """
    parts, found = Parts(by_name, inverse, sigma), []
    for name, row in DEFENCES.items():
        transform = by_name[row.transform] if isinstance(row.transform, str) else row.transform(parts)
        if transform is not None:
            found.append(Defence(name, row.kind, row.network, transform, row.next_seed))
    return found
