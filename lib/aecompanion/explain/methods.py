"""The explanations that are compared, one row each: name, function, cost, kind and look; and one call for all.

The first six rows are those that Kim et al. (IEEE TIP 2022) compare. Whatever runs over methods (tables, figures, the
sanity check, notebooks, tests) takes them from `METHODS`, so a method more is its module, its row here and its test.

`rescaled` gives the settings of a mask method for small images: one resolution, one start, one number of steps and one
noise for all of them, and regularisers that each method has of its own (`mask_tuning` chooses them on a tuning network
and tuning images, `studies.tuning` reads them). `variants` adds what they are compared with: the published settings
(`mask.PUBLISHED`) with the study's number of steps, other starts, and the grid of start × area weight.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.explain.gradcam import gradcam
from aecompanion.explain.integrated_gradients import STEPS, integrated_gradients
from aecompanion.explain.mask import PUBLISHED, Settings, optimise
from aecompanion.explain.rise import rise
from aecompanion.explain.saliency import saliency
from aecompanion.explain.target import targets_of

ABLATION = ("T", "L_M")  # with RP: the target term alone, without the reverse image, everything
STARTS = ("MP (start 1)",)  # MP's published start with its tuned weight, which was chosen for another start
AS_PUBLISHED = tuple(f"{name} (published)" for name in ("MP", "EP", "RP"))  # published start, weights and resolution
OTHERS = ("MP (start 0.5)", "RP (start 0.5)", "RP (start 1)", "MP-log (start 1)", "MP (full)", "RP (full)")
GRID_STARTS, GRID_WEIGHTS, GRID_VARIATION = (0.0, 1.0), (1.0, 0.3, 0.1, 0.03, 0.01), 1 / 64
LOSS = {"MP": "meaningful", "T": "target", "L_M": "mask", "EP": "extremal", "RP": "robust"}


def grid_name(method: str, start: float, area: float) -> str:
    """What the grid of start × area weight calls one of its settings."""
    return f"{method} (start {start:g}, area {area:g})"


GRID = {  # name: method, start, area weight; RP has its published weight, too
    grid_name(method, start, area): (method, start, area)
    for method, weights in (("MP", GRID_WEIGHTS), ("RP", (PUBLISHED["RP"].area, *GRID_WEIGHTS)))
    for start in GRID_STARTS
    for area in weights
}
FEWER = (*OTHERS, "EP (published)", *GRID)  # what the study runs on its first pairs only


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """n attribution maps, n×1×H×W; for mask methods also the masks (1 = keep) and which of them are `stuck`."""

    maps: torch.Tensor
    mask: torch.Tensor | None = None
    stuck: torch.Tensor | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Options:
    """What a method may ask for beyond network, images and classes; each takes what it needs.

    references: x_r of every image, n×C×H×W, for masks and IG. settings: of mask methods and their variants, by name.
    rise_masks: random masks of RISE. layer: Grad-CAM's, a module or its name; None for a `Network`'s last one.
    multi_label: sigmoid or softmax; None asks the network's card. rivals: other classes that a mask watches where the
    outputs are a softmax. seed, keys: of RISE's masks and of the noise, see `rise` and `optimise`.
    """

    references: torch.Tensor | None = None
    settings: Mapping[str, Settings] = dataclasses.field(default_factory=dict)
    rise_masks: int = 400
    layer: str | nn.Module | None = None
    multi_label: bool | None = None
    rivals: int = 10
    seed: int = 0
    keys: Sequence[int] | None = None


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of the registry.

    explain: (model, images n×C×H×W in [0,1], n class indices, options) to maps n×1×H×W, larger = more important.
    passes: forward and backward passes per pair (image, class) with these options. family: "gradient", "perturbation"
    (forward passes only) or "mask" (optimised, has `settings`). colour, marker: in figures that compare methods.
    """

    name: str
    explain: Callable[[nn.Module, torch.Tensor, torch.Tensor, Options], Explained]
    passes: Callable[[Options], tuple[int, int]]
    family: str
    colour: str
    marker: str


def back_propagation(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: Options) -> Explained:
    """BP."""
    return Explained(saliency(model, images, target))


def enlarged_gradcam(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: Options) -> Explained:
    """Grad-CAM at the image's size; `gradcam` itself gives the coarse map."""
    if options.layer is None and not hasattr(model, "cam_layer"):
        raise ValueError(f"{type(model).__name__} does not say which layer Grad-CAM explains: pass layer=")
    layer = model.cam_layer() if options.layer is None else options.layer
    coarse = gradcam(model, images, target, layer=layer)
    return Explained(F.interpolate(coarse, tuple(images.shape[2:]), mode="bilinear", align_corners=False))


def path_gradients(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: Options) -> Explained:
    """IG, from the reference to the image."""
    return Explained(integrated_gradients(model, images, target, needed("IG", options)))


def random_masks(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: Options) -> Explained:
    """RISE, the coverage of its masks divided out."""
    run = {"multi_label": options.multi_label, "seed": options.seed, "even": True}
    return Explained(rise(model, images, target, masks=options.rise_masks, **run))


def optimised_mask(name: str) -> Callable[[nn.Module, torch.Tensor, torch.Tensor, Options], Explained]:
    """The function of a mask method or of a variant of one, which runs with `settings[name]`."""

    def explained(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: Options) -> Explained:
        settings = settings_of(name, options)
        references = needed(name, options)
        run = {name: getattr(options, name) for name in ("multi_label", "rivals", "seed", "keys")}
        found = optimise(model, images, target, references, settings, **run)
        return Explained(found.attribution, found.mask, found.stuck)

    return explained


def needed(name: str, options: Options) -> torch.Tensor:  # the references
    if options.references is None:
        raise ValueError(f"method {name!r} replaces what it removes, expected references, one per image")
    return options.references


def mask_passes(name: str) -> Callable[[Options], tuple[int, int]]:
    """One forward pass of the clean image, and every step one of each kind per perturbed image."""

    def passes(options: Options) -> tuple[int, int]:
        settings = settings_of(name, options)
        shown = {"extremal": len(settings.areas), "robust": 2}.get(settings.loss, 1)
        return 1 + settings.steps * shown, settings.steps * shown

    return passes


def settings_of(name: str, options: Options) -> Settings:
    """Raises ValueError if there are none."""
    if name not in options.settings:
        known = ", ".join(options.settings) or "none"
        raise ValueError(f"mask method {name!r} has no settings, expected some (given for: {known})")
    return options.settings[name]


def mask_method(name: str, colour: str, marker: str) -> Method:
    """The row of a mask method."""
    return Method(name, optimised_mask(name), mask_passes(name), "mask", colour=colour, marker=marker)


# Colours and markers are words here: figures look them up, and what computes maps draws nothing.
METHODS: dict[str, Method] = {
    row.name: row
    for row in (
        Method("BP", back_propagation, lambda options: (1, 1), "gradient", colour="#56B4E9", marker="P"),
        Method("Grad-CAM", enlarged_gradcam, lambda options: (1, 1), "gradient", colour="#D55E00", marker="v"),
        Method(
            "RISE", random_masks, lambda options: (options.rise_masks, 0), "perturbation", colour="#CC79A7", marker="D"
        ),
        mask_method("MP", colour="#E69F00", marker="s"),
        mask_method("EP", colour="#009E73", marker="^"),
        mask_method("RP", colour="#0072B2", marker="o"),
        Method("IG", path_gradients, lambda options: (STEPS, STEPS), "gradient", colour="#882255", marker="p"),
    )
}


def named(*families: str) -> list[str]:
    """The names of all methods of these families, in the order of the table."""
    return [name for name, row in METHODS.items() if row.family in families]


def rescaled(
    method: str,
    *,
    side: int | None,
    steps: int,
    area: float,
    variation: float,
    noise: float = 0.05,
    start: float = 0.0,
    areas: Sequence[float] = (0.05, 0.1),
    constraint: float = PUBLISHED["EP"].area,
) -> Settings:
    """The settings of a mask method ("MP", "EP", "RP" or a part of RP: "T", "L_M") with everything but the loss shared.

    `area` and `variation` weigh the regularisers of all but EP, which has `areas` and the weight `constraint` of its
    area term instead. Raises ValueError for an unknown method.
    """
    if method not in LOSS:
        raise ValueError(f"mask method {method!r} is unknown, expected one of {', '.join(LOSS)}")
    own = {"area": area, "variation": variation}
    if method == "EP":
        own = {"area": constraint, "variation": 0.0, "areas": tuple(areas)}
    return Settings(LOSS[method], side=side, start=start, steps=steps, noise=noise, **own)


def variants(
    tuned: Mapping[str, Mapping], *, published_steps: int = PUBLISHED["RP"].steps, **shared
) -> dict[str, Settings]:
    """All mask methods of the study by name. tuned: what "MP", "EP" and "RP" have of their own (`studies.tuning.read`),
    T and L_M, parts of RP's loss, have RP's; shared: what all have. The published settings run with `published_steps`.
    """
    own = {name: tuned["RP" if name in ABLATION else name] for name in LOSS}
    found = {name: rescaled(name, **{"area": 0.0, "variation": 0.0} | shared | own[name]) for name in LOSS}
    for name in (*STARTS, *OTHERS):
        method, _, change = name.rstrip(")").partition(" (")
        settings = found[method.removesuffix("-log")]
        if change == "full":
            settings = dataclasses.replace(settings, side=None)
        else:
            settings = dataclasses.replace(settings, start=float(change.removeprefix("start ")))
        if method == "MP-log":
            settings = dataclasses.replace(settings, loss="meaningful_log")
        found[name] = settings
    for name in AS_PUBLISHED:
        found[name] = dataclasses.replace(PUBLISHED[name.split()[0]], steps=published_steps)
    grid = {"variation": GRID_VARIATION} | shared
    return found | {
        name: rescaled(method, **grid | {"start": start, "area": area}) for name, (method, start, area) in GRID.items()
    }


def explain(method: str, model: nn.Module, images: torch.Tensor, target: int | torch.Tensor, **options) -> Explained:
    """The maps of one method for n pairs (image, class).

    Args:
        method: a name in `METHODS`, or a variant of a mask method that `settings` holds. images: n×C×H×W in [0,1].
            target: one class index or n. options: those of `Options`.

    Raises ValueError for an unknown method, a mask method without settings or references, Grad-CAM of a network that
    does not say its layer, and for targets as in `explain.target`.
    """
    given = Options(**options)
    if method not in METHODS and method not in given.settings:
        known = ", ".join(dict.fromkeys([*METHODS, *given.settings]))
        raise ValueError(f"method {method!r} is unknown, expected one of {known}")
    function = METHODS[method].explain if method in METHODS else optimised_mask(method)
    return function(model, images, targets_of(target, len(images)), given)
