"""Neighbours: explanations that no study of the papers compares, in rows of the same kind as `methods.METHODS`.

What judges explanations by known effects runs over both tables; the studies of the papers and the randomisation check
run over METHODS alone. Each row calls its method's own module. Maps of the methods in `signed` have a sign that means
for (+) or against (-) the class; those of all others only say how much.

`explain_any` is the one call for all: a name in METHODS, a variant of a mask method that `settings` holds, or a name in
NEIGHBOURS. `explain_several` gives the same maps of several methods, and asks the network once for what two of them
read: SmoothGrad and SmoothTaylor are two means of the same noisy gradients.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.explain import smoothgrad as noisy
from aecompanion.explain.cam_variants import gradcam_plus_plus, layercam
from aecompanion.explain.causal_effect import block_effects
from aecompanion.explain.guided import guided_backprop, guided_gradcam
from aecompanion.explain.methods import METHODS, Explained, Method, Options, mask_method, needed
from aecompanion.explain.mfpp import SEGMENTS, mfpp
from aecompanion.explain.occlusion import WINDOWS, occlusion
from aecompanion.explain.portions import per_pass
from aecompanion.explain.score_cam import CHANNELS, score_cam
from aecompanion.explain.shapley import COALITIONS, passes_of as coalitions_of, shapley, spread
from aecompanion.explain.smooth_taylor import of_noisy as taylor_of_noisy, smooth_taylor
from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import device_of

signed = frozenset({"occlusion", "Shapley (parts)", "block effects"})


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PartOptions(Options):
    """`Options`, and what neighbours ask for besides.

    parts: of every image P_i×H×W booleans, for Shapley values. noisy_samples, noise: of SmoothGrad and SmoothTaylor.
    channels: of Score-CAM, None for all. windows: of occlusion, per side. blocks: of block effects, per side.
    coalitions: of Shapley values. segments: of MFPP, scale by scale; it has as many masks as RISE (`rise_masks`).
    Occlusion and block effects take what they put in from `references`, else grey and the image's mean colour; keys
    tell the images apart for noise, coalitions and MFPP's masks.
    """

    parts: Sequence[torch.Tensor] | None = None
    noisy_samples: int = noisy.SAMPLES
    noise: float = noisy.NOISE
    channels: int | None = CHANNELS
    windows: int = WINDOWS
    blocks: int = 10
    coalitions: int = COALITIONS
    segments: Sequence[int] = SEGMENTS


def widened(options: Options) -> PartOptions:
    """Plain options with the defaults of what only neighbours ask for."""
    if isinstance(options, PartOptions):
        return options
    return PartOptions(**{field.name: getattr(options, field.name) for field in dataclasses.fields(options)})


def neighbour(name: str, maps: Callable, passes: Callable, family: str, colour: str, marker: str) -> Method:
    """A row whose functions get `PartOptions`. maps: as `Method.explain`, to the maps alone."""

    def explained(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: Options) -> Explained:
        return Explained(maps(model, images, target, widened(options)))

    return Method(name, explained, lambda options: passes(widened(options)), family, colour=colour, marker=marker)


def enlarged(coarse: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """A layer's map at the image's size, as Grad-CAM's row has it."""
    return F.interpolate(coarse, tuple(images.shape[2:]), mode="bilinear", align_corners=False)


def layer_for(name: str, model: nn.Module, options: Options) -> str | nn.Module:
    if options.layer is None and not hasattr(model, "cam_layer"):
        raise ValueError(f"{type(model).__name__} does not say which layer {name} explains: pass layer=")
    return model.cam_layer() if options.layer is None else options.layer


def of_layer(name: str, function: Callable) -> Callable:
    """The maps of a method of a layer's activations, at the image's size."""

    def maps(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: PartOptions) -> torch.Tensor:
        return enlarged(function(model, images, target, layer=layer_for(name, model, options)), images)

    return maps


def smoothed(function: Callable) -> Callable:
    """The maps of a method of noisy copies."""

    def maps(model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: PartOptions) -> torch.Tensor:
        run = {"samples": options.noisy_samples, "noise": options.noise, "seed": options.seed, "keys": options.keys}
        return function(model, images, target, **run)

    return maps


NOISY = {  # what each makes of the noisy gradients
    "SmoothGrad": noisy.of_noisy,
    "SmoothTaylor": lambda found: taylor_of_noisy(found).abs(),
}


def weighted_by_score(model, images, target, options: PartOptions) -> torch.Tensor:
    """Score-CAM."""
    layer = layer_for("Score-CAM", model, options)
    return enlarged(score_cam(model, images, target, layer=layer, channels=options.channels), images)


def occluded(model, images, target, options: PartOptions) -> torch.Tensor:
    """Occlusion."""
    fill = 0.5 if options.references is None else options.references
    return occlusion(model, images, target, windows=options.windows, fill=fill, multi_label=options.multi_label)


def shapley_of_parts(model, images, target, options: PartOptions) -> torch.Tensor:
    """Shapley values, spread evenly over their parts."""
    parts, run = parts_of(options), {"coalitions": options.coalitions, "multi_label": options.multi_label}
    references = needed("Shapley (parts)", options)
    run |= {"seed": options.seed, "keys": options.keys}
    return spread(shapley(model, images, target, references, parts, **run), parts)


def parts_of(options: PartOptions) -> Sequence[torch.Tensor]:
    if options.parts is None:
        raise ValueError("method 'Shapley (parts)' explains parts, expected parts=, P×H×W booleans for every image")
    return options.parts


def shapley_passes(options: PartOptions) -> tuple[int, int]:
    """The mean over images, rounded up."""
    counts = [coalitions_of(each, options.coalitions) for each in parts_of(options)]
    return -(-sum(counts) // len(counts)), 0


def fragments(model, images, target, options: PartOptions) -> torch.Tensor:
    """MFPP."""
    run = {name: getattr(options, name) for name in ("segments", "multi_label", "seed", "keys")}
    return mfpp(model, images, target, masks=options.rise_masks, **run)


def blockwise(model, images, target, options: PartOptions) -> torch.Tensor:
    """Block effects, every pixel with the effect of its block."""
    fill = "mean" if options.references is None else options.references
    run = {"per_side": options.blocks, "fill": fill, "multi_label": options.multi_label}
    run["batch"] = per_pass(images, device_of(model))
    coarse = block_effects(model, images, target, **run)
    rows, columns = (torch.arange(side) * options.blocks // side for side in images.shape[2:])
    return coarse[:, :, rows[:, None], columns]


def once(options: PartOptions) -> tuple[int, int]:
    return 1, 1


def noisy_passes(options: PartOptions) -> tuple[int, int]:
    return options.noisy_samples, options.noisy_samples


def channel_passes(options: PartOptions) -> tuple[int, int]:
    """At most: a layer may have fewer channels."""
    if options.channels is None:
        raise ValueError("channels is None, as many as the layer has: expected a number, to say what Score-CAM costs")
    return 1 + options.channels, 0


NEIGHBOURS: dict[str, Method] = {
    row.name: row
    for row in (
        neighbour("SmoothGrad", smoothed(noisy.smoothgrad), noisy_passes, "gradient", "#332288", "X"),
        neighbour("SmoothTaylor", smoothed(smooth_taylor), noisy_passes, "gradient", "#117733", "8"),
        neighbour("Grad-CAM++", of_layer("Grad-CAM++", gradcam_plus_plus), once, "gradient", "#661100", ">"),
        neighbour("LayerCAM", of_layer("LayerCAM", layercam), once, "gradient", "#CC6677", "<"),
        neighbour("Score-CAM", weighted_by_score, channel_passes, "perturbation", "#AA4499", "+"),
        neighbour("occlusion", occluded, lambda o: (1 + o.windows**2, 0), "perturbation", "#999933", "d"),
        neighbour("block effects", blockwise, lambda o: (1 + o.blocks**2, 0), "perturbation", "#44AA99", "h"),
        neighbour("MFPP", fragments, lambda o: (o.rise_masks, 0), "perturbation", "#DDAA33", "H"),
        neighbour("Shapley (parts)", shapley_of_parts, shapley_passes, "perturbation", "#000000", "*"),
        neighbour("guided BP", lambda m, x, c, o: guided_backprop(m, x, c), once, "gradient", "#888888", "x"),
        neighbour(
            "guided Grad-CAM",
            lambda m, x, c, o: guided_gradcam(m, x, c, layer=layer_for("guided Grad-CAM", m, o)),
            lambda o: (2, 2),
            "gradient",
            "#BBBBBB",
            "1",
        ),
    )
}


def row_of(method: str, options: Options) -> Method:
    """The row of a name in METHODS, in NEIGHBOURS, or of a mask method's variant that `options.settings` holds. Raises
    ValueError for any other.
    """
    for table in (METHODS, NEIGHBOURS):
        if method in table:
            return table[method]
    if method in options.settings:
        return mask_method(method, colour="#777777", marker=".")
    known = ", ".join(dict.fromkeys([*METHODS, *NEIGHBOURS, *options.settings]))
    raise ValueError(f"method {method!r} is unknown, expected one of {known}")


def explain_any(
    method: str, model: nn.Module, images: torch.Tensor, target: int | torch.Tensor, **options
) -> Explained:
    """The maps of one method for n pairs (image, class), as `methods.explain` gives them, neighbours included.

    Args:
        method: a name in METHODS or NEIGHBOURS, or a variant of a mask method that `settings` holds. images: n×C×H×W
            in [0,1]. target: one class index or n. options: those of `PartOptions`.

    Raises ValueError for an unknown method, for what a method needs and is not given (references, parts, settings, a
    layer), and for targets as in `explain.target`.
    """
    given = PartOptions(**options)
    return row_of(method, given).explain(model, images, targets_of(target, len(images)), given)


def explain_several(
    methods: Sequence[str], model: nn.Module, images: torch.Tensor, target: torch.Tensor, options: PartOptions
) -> dict[str, torch.Tensor]:
    """The maps n×1×H×W of several methods for n pairs, by name; names and errors as in `explain_any`."""
    found, sharing = {}, [name for name in methods if name in NOISY]
    if len(sharing) > 1:
        run = {"samples": options.noisy_samples, "noise": options.noise, "seed": options.seed, "keys": options.keys}
        drawn = list(noisy.noisy_gradients(model, images, target, **run))
        found = {name: NOISY[name](drawn).to(images.dtype) for name in sharing}
    for name in methods:
        if name not in found:
            found[name] = row_of(name, options).explain(model, images, target, options).maps.detach()
    return {name: found[name] for name in methods}
