"""The six explanations that Kim et al. (IEEE TIP 2022) compare, under one call: BP, Grad-CAM, RISE, MP, EP, RP.

`rescaled` gives the settings of the three mask methods for small images: one resolution, one start, one number of
steps and one regularisation for all of them, so that they differ in what they optimise (`mask.PUBLISHED` has the
numbers of the papers). They were chosen on a tuning network and tuning images, see the notebook `mask_tuning`.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from lib.explain.gradcam import gradcam
from lib.explain.mask import Settings, optimise
from lib.explain.rise import rise
from lib.explain.saliency import saliency

METHODS = ("BP", "Grad-CAM", "RISE", "MP", "EP", "RP")
ABLATION = ("T", "L_M")  # with RP: the target term alone, without the reverse image, everything
STARTS = ("MP (start 1)",)  # MP's own published start, beside the shared one
OTHERS = ("MP (start 0.5)", "RP (start 0.5)", "RP (start 1)", "MP-log (start 1)", "MP (full)", "RP (full)")
LOSS = {"MP": "meaningful", "T": "target", "L_M": "mask", "EP": "extremal", "RP": "robust"}


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """n attribution maps, n×1×H×W; for mask methods also the masks (1 = keep) and which of them are `stuck`."""

    maps: torch.Tensor
    mask: torch.Tensor | None = None
    stuck: torch.Tensor | None = None


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
    constraint: float = 3.0,
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


def variants(**shared) -> dict[str, Settings]:
    """All mask methods of the study by name: those with the shared settings (options of `rescaled`), the same from
    other starts, with masks of the image's own resolution, and MP with the loss that does not saturate.
    """
    found = {name: rescaled(name, **shared) for name in LOSS}
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
    return found


def explain(
    method: str,
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    references: torch.Tensor,
    settings: Mapping[str, Settings],
    rise_masks: int = 400,
    multi_label: bool = True,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> Explained:
    """The maps of one method for n pairs (image, class).

    Args:
        method: "BP", "Grad-CAM", "RISE", or a key of `settings`. model: a `Network` (Grad-CAM takes its last layer).
        references: x_r of every image. seed, keys: of RISE's masks and of the noise; see `rise` and `optimise`.

    Raises ValueError for an unknown method.
    """
    if method in settings:
        options = {"multi_label": multi_label, "seed": seed, "keys": keys}
        found = optimise(model, images, target, references, settings[method], **options)
        return Explained(found.attribution, found.mask, found.stuck)
    if method == "BP":
        return Explained(saliency(model, images, target))
    if method == "Grad-CAM":
        coarse = gradcam(model, images, target, layer=model.cam_layer())
        return Explained(F.interpolate(coarse, tuple(images.shape[2:]), mode="bilinear", align_corners=False))
    if method == "RISE":
        return Explained(rise(model, images, target, masks=rise_masks, multi_label=multi_label, seed=seed))
    known = ", ".join(["BP", "Grad-CAM", "RISE", *settings])
    raise ValueError(
        f"method {method!r} is unknown, expected one of {known} (mask methods are known by their settings)"
    )
