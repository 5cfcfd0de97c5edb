"""Anybody's explanation, attack, defence or detector as a row of the tables that this project keeps of its own.

    load("package.module:function")          the callable
    handed_in("explain", name, model, ...)   the same, adapted (`explain.adapters`) and checked (`studies.own_checks`)
    method_of(checked), attack_of, ...       its row for METHODS and ATTACKS, a transformation, its row for DETECTORS
    entered(METHODS, OWN, row)               the table has that row while the block runs

What iterates over a table then has the callable beside the built-in rows, by the same functions, on the same images,
with the same random numbers. Nothing of ours is asked twice: explain=aecompanion.explain.methods:random_masks gives the
scores of RISE bit for bit.
"""

import contextlib
import dataclasses
import difflib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aecompanion.attack.attacks import Attack
from aecompanion.evaluate.detectors import Detector
from aecompanion.explain.adapters import explanation, parameters, positional
from aecompanion.explain.methods import Explained, Method, Options
from aecompanion.studies.own_checks import Call, Checked, checked

OWN = "yours"  # its name in tables and figures
LOOK = {"colour": "#000000", "marker": "*"}  # in figures: no built-in method has it


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Strength:
    """What an attack may ask for: eps in pixel units; seed and keys (one per image) of its random numbers."""

    eps: float
    seed: int = 0
    keys: Sequence[int] | None = None


def load(name: str) -> Any:
    """What "package.module:function" or "path/to/file.py:function" names; nothing is called.

    Raises ValueError for another form, a module that cannot be imported and a name that it lacks.
    """
    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute:
        raise ValueError(f"{name!r} names no function, expected package.module:function or path/to/file.py:function")
    try:
        module = from_file(Path(place).expanduser()) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # a module runs when it is imported
        raise ValueError(f"{name!r} cannot be imported ({type(error).__name__}: {error})") from error
    if not hasattr(module, attribute):
        near = difflib.get_close_matches(attribute, [each for each in vars(module) if each[0] != "_"], 1)
        raise ValueError(f"{name!r}: {place} has no {attribute!r}{f', did you mean {near[0]!r}' if near else ''}")
    return getattr(module, attribute)


def from_file(file: Path) -> Any:
    """A module of its own from a file. Raises FileNotFoundError."""
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def handed_in(
    kind: str,
    found: Any,
    model: nn.Module | None,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    options: Any = None,
    name: str | None = None,
    limit: float = 10.0,
) -> Checked:
    """A callable, or the name of one, adapted to its kind and checked on the first two images (`own_checks.checked`).

    Args:
        kind: "explain", "attack", "defend" or "detect". labels: classes to explain, or labels. options: of the
            explanation (`Options`) or of the attack (`Strength`). name: in sentences and tables; by default the
            callable's own. limit: seconds per pair.

    Raises ValueError in one sentence.
    """
    name = name or (found if isinstance(found, str) else getattr(found, "__name__", type(found).__name__))
    try:
        call = ADAPTED[kind](load(found) if isinstance(found, str) else found)
    except ValueError as error:
        raise ValueError(f"{kind}={name}: {error}") from error.__cause__
    asked = None if kind == "defend" else model
    return checked(name, kind, call, asked, images, labels, options, limit=limit)


def attack_call(found: Callable) -> Call:
    """`found(model, images, labels, eps=...)`, with seed and indices where it names them."""
    known, names = parameters(found), positional(found)
    anything = any(each.kind is each.VAR_KEYWORD for each in known.values())
    if len([name for name in names if name != "eps"]) != 3 or not (anything or "eps" in known):
        raise ValueError(f"asks for ({', '.join(known)}), expected (model, images, labels, *, eps)")

    def call(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, options: Strength):
        own = {"eps": options.eps, "seed": options.seed, "indices": options.keys}
        return found(
            model, images, labels, **{name: each for name, each in own.items() if name in known or name == "eps"}
        )

    return call


def defence_call(found: Callable) -> Call:
    """`found(images)`."""
    if len(positional(found)) > 1 or not positional(found, needed=False):
        raise ValueError(f"asks for ({', '.join(positional(found))}), expected (images)")
    return lambda model, images, labels, options: found(images)


def detector_call(found: Callable) -> Call:
    """`found(model, images)`, or `found(images)` where it needs no network."""
    count = len(positional(found))
    if not 1 <= count <= 2:
        raise ValueError(f"asks for ({', '.join(positional(found))}), expected (model, images) or (images)")
    return lambda model, images, labels, options: found(images) if count == 1 else found(model, images)


ADAPTED: dict[str, Callable[[Any], Call]] = {
    "explain": explanation,
    "attack": attack_call,
    "defend": defence_call,
    "detect": detector_call,
}


def method_of(found: Checked) -> Method:
    """A row of METHODS; its passes are those of the trial."""

    def explained(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: Options) -> Explained:
        return Explained(found(model, images, target, options, seed=options.seed, keys=options.keys))

    family = "gradient" if found.backward else "perturbation"
    return Method(OWN, explained, lambda options: (found.forward, found.backward), family, **LOOK)


def attack_of(found: Checked) -> Attack:
    """A row of ATTACKS with which sets can be crafted: `objective` and steps are the attack's own business."""

    def attack(model, images, labels, *, eps, objective=None, seed=0, indices=None):
        keys = range(len(images)) if indices is None else indices
        return found(model, images, labels, Strength(eps=eps, seed=seed, keys=keys), seed=seed, keys=keys)

    return Attack(
        attack,
        title=OWN,
        line="-",
        cost=lambda: (found.forward, found.backward),
        crafted=lambda eps, steps, seed, indices: {"seed": seed, "indices": indices},
        **LOOK,
    )


def defence_of(found: Checked) -> Callable[[torch.Tensor], torch.Tensor]:
    """A transformation from images to images."""
    return lambda images: found(None, images)


def detector_of(found: Checked) -> Detector:
    """A row of DETECTORS, large values suspicious."""
    return Detector(OWN, lambda setting: lambda images: found(setting.model, images))


@contextlib.contextmanager
def entered(table: dict[str, Any], name: str, row: Any) -> Iterator[None]:
    """`table` has this row inside the block. Raises ValueError for a name that it has already."""
    if name in table:
        raise ValueError(f"{name!r} is a row already, expected a name of its own, none of {', '.join(table)}")
    table[name] = row
    try:
        yield
    finally:
        del table[name]
