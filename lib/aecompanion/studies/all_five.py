"""All five methods on any images and any network: one call, one row of numbers per image.

For a network f, an image x and c = argmax f(x), the class it names first:

    counterfactual   x̂ = argmax p(t) within the l1.5-ball of `radius`, t the runner-up         paper 2, Auto-Frank-Wolfe
    RP mask          m: what must be blurred so that c is gone and nothing else changes        paper 3
    Grad-CAM shift   NISSIM of the heatmaps of c, before and after x* = x + ε·sign ∇J          paper 5
    causal effect    CE_c = p(c | do(R = fill)) - p(c), R: the image's box, else the hottest
                     `share` of Grad-CAM                                                       paper 1
    halftone         does c survive Floyd-Steinberg dots of x, and of x*?                      paper 4

p is the softmax, for several labels (`multi_label` of the network's card) the sigmoid; J = -log p(c) in both cases.
Nothing is trained, so the halftone says how a network sees dots that it was not taught: paper 4 trains on them. On a
network that is not robust, a counterfactual is an adversarial example; paper 2's are of robust ones.
"""

import dataclasses
from collections.abc import Sequence

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.attack.gradient import fgsm, quantise
from aecompanion.defend.halftone import halftone
from aecompanion.evaluate.dissimilarity import nissim
from aecompanion.explain.cam import hottest
from aecompanion.explain.counterfactual import counterfactual
from aecompanion.explain.fills import replace
from aecompanion.explain.gradcam import gradcam, heatmap, is_zero
from aecompanion.explain.mask import PUBLISHED, Settings, optimise
from aecompanion.explain.references import reference
from aecompanion.networks.read import predict, several_labels, squashed


@dataclasses.dataclass(frozen=True)
class Options:
    """eps: of FGSM, pixel units. radius: of the l1.5-ball, pixel units, for images of 3×160×160; other sizes are scaled
    by d^(1/1.5), their number of values. steps: of the counterfactual. mask_steps, side, variation, blur: steps,
    resolution and smoothness of the mask, strength of its blurred reference; a few steps leave a finer mask ragged, and
    with fewer than about 45 it is still shrinking.
    share: of the image that stands in for a box. fill: of the region.
    """

    eps: float = 4 / 255
    radius: float = 3.0
    steps: int = 20
    mask_steps: int = 50
    side: int = 10
    variation: float = 0.03
    blur: float = 0.125
    share: float = 0.1
    fill: str = "ring"
    seed: int = 0
    batch: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}, expected a part of the image inside (0, 1)")

    def mask(self) -> Settings:
        """Robust Perturbation with its published area weight, which `mask_tuning` chooses as well, and without noise,
        which foreign networks were not trained with (see `photo_masks`).
        """
        settings = {"side": self.side, "steps": self.mask_steps, "variation": self.variation}
        return dataclasses.replace(PUBLISHED["RP"], noise=0.0, **settings)

    def radius_for(self, images: torch.Tensor) -> float:
        """The radius at this number of values per image."""
        return self.radius * (images[0].numel() / (3 * 160 * 160)) ** (1 / 1.5)


@dataclasses.dataclass(frozen=True, eq=False)
class Examined:
    """What the methods made of N images: pictures N×C×H×W, maps N×1×H×W in [0,1], regions N×1×H×W bool, `numbers` with
    one row per image (the columns are described in `examine`).
    """

    images: torch.Tensor
    counterfactuals: torch.Tensor
    masks: torch.Tensor
    attacked: torch.Tensor
    heat: torch.Tensor
    heat_attacked: torch.Tensor
    regions: torch.Tensor
    replaced: torch.Tensor
    dots: torch.Tensor
    dots_attacked: torch.Tensor
    numbers: pd.DataFrame


def examine(
    network: nn.Module,
    images: torch.Tensor,
    *,
    classes: Sequence[str],
    names: Sequence[str] | None = None,
    regions: torch.Tensor | None = None,
    layer: nn.Module | None = None,
    options: Options | None = None,
) -> Examined:
    """All five methods on N×C×H×W images in [0,1].

    Args:
        classes: names of the network's outputs. names: of the images, by default their numbers.
        regions: N×1×H×W bool, the images' boxes, empty where there is none. layer: for Grad-CAM, by default the
            network's own (`Network.cam_layer`).

    Columns of `numbers`: image, class, p; target, p_target, p_counterfactual (of the target, before and after),
    reached (the target comes first), changed (share of the values changed by at least a grey level); area, p_masked,
    p_reverse (of the class where the mask is applied, and where its reverse is), stuck (the mask never left its start);
    attacked_class, nissim (NaN where a map is zero everywhere); region ("box" or "top 10 %"), effect; keeps_halftone,
    keeps_attack, keeps_both (the class still comes first on the dots, on the attacked image, on its dots).

    Raises ValueError in one sentence for images of another form and for numbers that do not fit each other.
    """
    options = options or Options()
    check(network, images, classes, names, regions)
    voice = Voice(network, options.batch)
    logits = voice.logits(images)
    if logits.shape[1] != len(classes):
        raise ValueError(f"the network gives {logits.shape[1]} outputs, expected {len(classes)} (one per class name)")
    said, target = logits.topk(2, dim=1).indices.T
    layer = layer or network.cam_layer()

    towards = voice.towards(images, target, options)
    masked, reverse, found = voice.without(images, said, options)
    attacked = voice.attacked(images, said, options.eps)
    maps = [gradcam(network, shown, said, layer=layer, batch=options.batch) for shown in (images, attacked)]
    heat, heat_attacked = (heatmap(each, tuple(images.shape[2:])) for each in maps)
    shift = nissim(heat, heat_attacked).masked_fill(is_zero(maps[0]) | is_zero(maps[1]), torch.nan)
    chosen, kinds = boxes_or_hottest(regions, heat, options.share)
    replaced = replace(images, chosen, options.fill)
    dots, dots_attacked = halftone(images), halftone(attacked)

    own, attacked_class = voice.p(images, said), voice.first(attacked)
    numbers = {
        "image": [str(number) for number in range(len(images))] if names is None else list(names),
        "class": [classes[index] for index in said],
        "p": own,
        "target": [classes[index] for index in target],
        "p_target": voice.p(images, target),
        "p_counterfactual": voice.p(towards, target),
        "reached": voice.first(towards) == target,
        "changed": ((towards - images).abs() >= 1 / 255).flatten(1).float().mean(1),
        "area": 1 - found.mask.flatten(1).mean(1),
        "p_masked": voice.p(masked, said),
        "p_reverse": voice.p(reverse, said),
        "stuck": found.stuck,
        "attacked_class": [classes[index] for index in attacked_class],
        "nissim": shift,
        "region": kinds,
        "effect": voice.p(replaced, said) - own,
        "keeps_halftone": voice.first(dots) == said,
        "keeps_attack": attacked_class == said,
        "keeps_both": voice.first(dots_attacked) == said,
    }
    table = {name: each.numpy() if isinstance(each, torch.Tensor) else each for name, each in numbers.items()}
    pictures = (images, towards, found.mask, attacked, heat, heat_attacked, chosen, replaced, dots, dots_attacked)
    return Examined(*pictures, numbers=pd.DataFrame(table))


class Voice:
    """What a network says, with one or with several labels, and the methods that need to know which."""

    def __init__(self, network: nn.Module, batch: int) -> None:
        self.network, self.batch, self.several = network, batch, several_labels(network)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        return predict(self.network, images, batch=self.batch)

    def first(self, images: torch.Tensor) -> torch.Tensor:
        """The class named first, N."""
        return self.logits(images).argmax(1)

    def p(self, images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Its probability of class `index`, N."""
        return squashed(self.logits(images), multi_label=self.several).gather(1, index[:, None])[:, 0]

    def log_p(self, logits: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """log p of class `index`, N, differentiable."""
        scores = F.logsigmoid(logits) if self.several else logits.log_softmax(1)
        return scores.gather(1, index[:, None])[:, 0]

    def towards(self, images: torch.Tensor, target: torch.Tensor, options: Options) -> torch.Tensor:
        """The counterfactuals."""
        run = {"steps": options.steps, "seed": options.seed, "batch": self.batch}
        eps = options.radius_for(images)
        return counterfactual("AFW", self.network, images, target, eps=eps, objective=self.log_p, **run).images

    def without(self, images: torch.Tensor, said: torch.Tensor, options: Options):
        """Images with the mask applied, with its reverse applied, and the masks."""
        blurred = reference(images, "blur_median", strength=options.blur)
        run = {"multi_label": self.several, "seed": options.seed, "batch": self.batch}
        found = optimise(self.network, images, said, blurred, options.mask(), **run)
        masked = blurred + found.mask * (images - blurred)
        return masked, (images + blurred - masked).clamp(0, 1), found

    def attacked(self, images: torch.Tensor, said: torch.Tensor, eps: float) -> torch.Tensor:
        """The images after FGSM, rounded to 8 bits as a saved image is."""
        chunks = zip(images.split(self.batch), said.split(self.batch), strict=True)

        def unsure(logits: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            return -self.log_p(logits, index)

        return quantise(torch.cat([fgsm(self.network, *chunk, eps=eps, objective=unsure) for chunk in chunks]))


def boxes_or_hottest(regions: torch.Tensor | None, heat: torch.Tensor, share: float) -> tuple[torch.Tensor, list[str]]:
    """Every image's box, or the hottest `share` of its map where it has none; and which of the two."""
    top = hottest(heat, torch.full((len(heat),), max(1, round(share * heat[0].numel()))))
    if regions is None:
        regions = torch.zeros_like(top)
    there = regions.flatten(1).any(1)
    chosen = torch.where(there[:, None, None, None], regions, top)
    return chosen, ["box" if has else f"top {share:.0%}" for has in there]


def check(network: nn.Module, images: torch.Tensor, classes, names, regions) -> None:
    """Raise for what would fail later with a longer message."""
    if images.dim() != 4 or not len(images):
        raise ValueError(f"images have shape {tuple(images.shape)}, expected N×C×H×W with at least one image")
    inside = getattr(network, "channels", images.shape[1])
    if images.shape[1] not in (1, inside):
        raise ValueError(f"images have {images.shape[1]} channels, the network takes {inside}: set channels={inside}")
    if names is not None and len(names) != len(images):
        raise ValueError(f"there are {len(names)} names, expected one for each of {len(images)} images")
    if regions is not None and (regions.dtype != torch.bool or regions.shape != (len(images), 1, *images.shape[2:])):
        found = f"{regions.dtype} {tuple(regions.shape)}"
        raise ValueError(f"regions are {found}, expected torch.bool {(len(images), 1, *images.shape[2:])}")
