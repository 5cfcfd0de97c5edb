"""How often a training, an attack or an explanation sends an image through a network, counted from its settings.

F: forward passes, B: backward passes, both counted per image (a batch of 32 is 32 passes).

    training step                   F 1, B 1 (gradients of the parameters); every epoch F 1 per validation image
    FGSM; I-FGSM and PGD of k       F 1, B 1; F k, B k
    APGD and Auto-Frank-Wolfe of n  F n + 1, B n, per restart
    a radius matched                RADIUS_RUNS runs of the ascent (2 to 9 happen); a least radius: searches + 1 runs
    mask of s steps                 F = B = s per image of a step: MP and the parts of RP 1, RP 2, EP one per area (2)
    RISE with n masks               F n
    a game of S scores              F S; deletion and insertion have the S of `lib.studies.masks.steps`
    BP, Grad-CAM                    F 1, B 1
    do() on M code channels         F M + 2 (an upper bound: the part before the layer runs once)
    causal-effect map               F blocks² + 1 per fill
    randomisation of L layers       1 + 3 L networks (cascading, independent, recalibrated), 1 + 2 L without the last

Where the number depends on what happens (attacks on images that already fell, pairs that are left, maps that two modes
share) it is the largest possible. Not counted: the inverse halftone network, bottlenecks, optimisers, figures.
"""

import dataclasses

from lib.plan.data import Images
from lib.studies import masks as mask_study

RADIUS_RUNS = 6
MASK_ROWS = {"BP": 0, "Grad-CAM": 0, "RISE": 0, "MP": 1, "EP": 2, "RP": 2, "MP (start 1)": 1, "T": 1, "L_M": 1}


@dataclasses.dataclass(frozen=True)
class Passes:
    """Some images through one network. `learning`: gradients of the parameters, at the precision of the training;
    `batch`: images at once; `reads`: images decoded from files on the way, where the data are an index of files.
    """

    network: str
    data: Images
    forward: int
    backward: int = 0
    learning: bool = False
    batch: int = 128
    reads: int = 0


@dataclasses.dataclass(frozen=True)
class Work:
    """What a stage does: its passes, images it looks at, bytes that its notebook holds in main memory at once, bytes it
    writes, networks it saves (name, data, number), images read or composed.
    """

    passes: list[Passes] = dataclasses.field(default_factory=list)
    images: int = 0
    held: float = 0
    disk: float = 0
    saved: list[tuple[str, Images, int]] = dataclasses.field(default_factory=list)
    made: int = 0


def training(network: str, data: Images, *, epochs: int, batch: int, views: int = 1, attack=(0, 0)) -> Passes:
    """Every epoch the full batches of the train split once per representation, then the validation split once per
    representation; at the end validation and test. `attack`: (F, B) per image before each step.
    """
    steps = epochs * (data.train // (batch // views)) * batch
    evaluated = (epochs * views + 1) * data.validation + data.test
    forward = steps * (1 + attack[0]) + evaluated
    reads = steps + evaluated if data.lazy else 0
    return Passes(
        network, data, round(forward), round(steps * (1 + attack[1])), learning=True, batch=batch, reads=reads
    )


def ascent(network: str, data: Images, images: int, steps: int, runs: float = 1) -> Passes:
    """Auto-Frank-Wolfe or APGD on `images`."""
    return Passes(network, data, round(runs * images * (steps + 1)), round(runs * images * steps), batch=64)


def masks(network: str, data: Images, pairs: int, *, rows: int, steps: int) -> Passes:
    """Mask optimisation with `rows` images per pair and step; the clean image once."""
    return Passes(network, data, pairs * (rows * steps + 1), pairs * rows * steps, batch=64)


def explained(network: str, data: Images, pairs: int, names, *, steps: int, rise_masks: int) -> list[Passes]:
    """The maps of the methods `names` (keys of MASK_ROWS)."""
    rows = sum(MASK_ROWS[name] for name in names)
    gradients = sum(name in ("BP", "Grad-CAM") for name in names)
    cheap = gradients + ("RISE" in names) * rise_masks
    found = Passes(network, data, pairs * cheap, pairs * gradients)
    return [found, *([masks(network, data, pairs, rows=rows, steps=steps)] if rows else [])]


def scored(network: str, data: Images, maps: int) -> Passes:
    """Both games and the three images that the distortion scores compare, per map."""
    scores = sum(len(each) for each in mask_study.steps(data.size**2))
    return Passes(network, data, maps * (scores + 3), batch=mask_study.BATCH)


def floats(data: Images, images: int) -> float:
    """Bytes of float32 images."""
    return 4 * images * data.pixels


def up_to(wanted: int | None, there: int) -> int:
    """`wanted` images of those there, None: all."""
    return there if wanted is None else min(wanted, there)
