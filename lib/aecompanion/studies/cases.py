"""One pair (image, class) under one mask: x, x_r, m, and what a network says of what is left and of what was taken.

    x_pt = x_r + m·(x - x_r)   (masked)        x_rpt = x + x_r - x_pt   (reverse)

with x, x_r: C×H×W in [0,1] and m: 1×H×W, 1 = keep. A history is one image under the masks of some steps of an
optimisation. `save` writes histories, and the plane through an image and two masked ones, for notebooks that draw them
without a network (as `studies.pictures`):

    image:NAME, reference:NAME, masks:NAME, p:NAME     a history by its name, masks S×1×H×W and p S×3×K
    plane:FIELD                                        the fields of the `Slice`, where there is a plane
    facts                                              steps and target of every history, the classes, what is added
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aecompanion.explain.logit_slice import Slice
from aecompanion.explain.readout import bounded_log_l1
from aecompanion.networks.read import probabilities
from aecompanion.studies import pictures


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """image, reference: C×H×W; mask: 1×H×W, 1 = keep; p: 3×K of clean, masked and reverse image; target: class index;
    classes: K names.
    """

    image: torch.Tensor
    reference: torch.Tensor
    mask: torch.Tensor
    p: torch.Tensor
    target: int
    classes: Sequence[str]

    @property
    def masked(self) -> torch.Tensor:
        """x_pt."""
        return self.reference + self.mask * (self.image - self.reference)

    @property
    def reverse(self) -> torch.Tensor:
        """x_rpt."""
        return self.image + self.reference - self.masked

    @property
    def others(self) -> list[int]:
        """The non-targets."""
        return [c for c in range(len(self.classes)) if c != self.target]

    @property
    def area(self) -> float:
        """Share of the image that the mask replaces."""
        return (1 - self.mask).mean().item()

    @property
    def distorted(self) -> int:
        """The non-target whose probability differs most between clean and masked image."""
        return max(self.others, key=lambda c: (self.p[1, c] - self.p[0, c]).abs().item())

    def name(self, label: int) -> str:
        """A class as readers see it."""
        return f"“{self.classes[label]}”"


def flipped(case: Case, which: int = 1) -> list[int]:
    """The non-targets whose decision (p above 1/2) differs between the clean image and the masked (1) or the reverse
    one (2).
    """
    said = case.p > 0.5
    return [c for c in case.others if said[0, c] != said[which, c]]


def cases(
    model: nn.Module,
    image: torch.Tensor,
    reference: torch.Tensor,
    masks: torch.Tensor,
    target: int,
    classes: Sequence[str],
) -> list[Case]:
    """One image under S masks S×1×H×W, for instance those of the steps of one optimisation; 2·S + 1 forward passes."""
    masked = reference + masks * (image - reference)
    p = probabilities(model, torch.cat([image[None], masked, image + reference - masked]))
    after, reverse = p[1:].chunk(2)
    read = torch.stack([p[:1].expand_as(after), after, reverse], dim=1)
    return [Case(image, reference, mask, each, int(target), classes) for mask, each in zip(masks, read, strict=True)]


def terms(case: Case) -> dict[str, float]:
    """The four terms of RP's loss with the signs that they have in it."""
    clean, masked, reverse = case.p
    own, others = case.target, case.others
    return {
        "masked target": -bounded_log_l1(clean[own], masked[own]).item(),
        "masked others": bounded_log_l1(clean[others], masked[others]).mean().item(),
        "reverse target": bounded_log_l1(clean[own], reverse[own]).item(),
        "reverse level": torch.log2(1 + reverse[others]).mean().item(),
    }


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """The cases of one image after the given steps of an optimisation."""

    steps: Sequence[int]
    cases: Sequence[Case]


def save(folder: Path, histories: Mapping[str, History], plane: Slice | None, **facts: Any) -> None:
    """Make `folder` and write histories of a data set's images by name, the plane if there is one, and further facts.

    Raises ValueError for a history without cases.
    """
    arrays, known = {}, {}
    for name, history in histories.items():
        if not history.cases:
            raise ValueError(f"history {name!r} has no case, expected at least one")
        first = history.cases[0]
        arrays |= {f"image:{name}": first.image, f"reference:{name}": first.reference}
        arrays[f"masks:{name}"] = torch.stack([case.mask for case in history.cases])
        arrays[f"p:{name}"] = torch.stack([case.p for case in history.cases])
        known[name] = {"steps": list(history.steps), "target": first.target}
        classes = list(map(str, first.classes))
    if plane is not None:
        arrays |= {f"plane:{field.name}": getattr(plane, field.name) for field in dataclasses.fields(Slice)}
    pictures.save(folder, arrays, {"histories": known, "classes": classes} | facts)


def load(folder: Path) -> tuple[dict[str, History], Slice | None, dict[str, Any]]:
    """The histories, the plane and the facts that `save` wrote."""
    arrays, facts = pictures.load(folder)
    found = {}
    for name, known in facts["histories"].items():
        image, reference, masks, p = (arrays[f"{part}:{name}"] for part in ("image", "reference", "masks", "p"))
        cases = [
            Case(image, reference, *each, known["target"], facts["classes"]) for each in zip(masks, p, strict=True)
        ]
        found[name] = History(known["steps"], cases)
    fields = {name.removeprefix("plane:"): values for name, values in arrays.items() if name.startswith("plane:")}
    return found, Slice(**fields) if fields else None, facts
