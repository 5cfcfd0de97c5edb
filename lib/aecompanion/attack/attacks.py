"""The attacks by name: the one table of them, over which crafted sets, figures, tables, notebooks and tests iterate.

    function(model, images, labels, *, eps, **options)  ->  attacked images, N×C×H×W like the images

eps in pixel units; a list of eps gives a list. To add an attack write its module and its row here. Not in the table are
attacks that take a defence's transformation besides (`attack.adaptive`), since not every caller has one.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from aecompanion.attack.apgd import apgd
from aecompanion.attack.carlini_wagner import carlini_wagner
from aecompanion.attack.gradient import Attacked, fgsm, ifgsm, pgd

Passes = tuple[int, int]  # forward, backward


@dataclasses.dataclass(frozen=True)
class Attack:
    """title, colour, line and marker: in figures. cost: the most passes over an image, from the attack's own options.
    crafted: None, or the options with which the stored sets of `attack.crafted` are made, from eps, steps, seed and
    the indices of the images (the function then takes an `objective`, too). minimal: it looks for the smallest change
    and needs no eps.
    """

    function: Callable[..., Attacked]
    title: str
    colour: str
    line: str
    marker: str
    cost: Callable[..., Passes]
    crafted: Callable[[float, int, int, Sequence[int]], dict[str, Any]] | None = None
    minimal: bool = False


ATTACKS = {
    "fgsm": Attack(
        fgsm,
        title="FGSM",
        colour="#009E73",
        line="--",
        marker="^",
        cost=lambda: (1, 1),
        crafted=lambda eps, steps, seed, indices: {},
    ),
    "ifgsm": Attack(
        ifgsm,
        title="I-FGSM",
        colour="#CC79A7",
        line="--",
        marker="D",
        cost=lambda steps=10: (steps, steps),
        crafted=lambda eps, steps, seed, indices: {"steps": steps},
    ),
    "pgd": Attack(
        pgd,
        title="PGD",
        colour="#D55E00",
        line="-.",
        marker="v",
        cost=lambda steps=20: (steps, steps),
        crafted=lambda eps, steps, seed, indices: {
            "steps": steps,
            "step_size": eps / 4,
            "seed": seed,
            "indices": indices,
        },
    ),
    "apgd": Attack(
        apgd,
        title="APGD",
        colour="#332288",
        line="-",
        marker="X",
        cost=lambda steps=75: (steps + 1, steps),
    ),
    "cw": Attack(
        carlini_wagner,
        title="C&W, l2",
        colour="#56B4E9",
        line="--",
        marker="P",
        cost=lambda steps=60, searches=3: (steps * searches + 1, steps * searches),
        minimal=True,
    ),
}


def crafted_names() -> list[str]:
    """The attacks that sets are crafted with, in the order of tables."""
    return [name for name, attack in ATTACKS.items() if attack.crafted is not None]


def title_of(name: str) -> str:
    """The attack's title in figures; of what is no attack ("clean") its name."""
    return ATTACKS[name].title if name in ATTACKS else name
