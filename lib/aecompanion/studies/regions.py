"""Effects of comparable regions under every fill, and other estimates of what a finding does, as tidy rows.

A case is one finding y in one image. Regions per case: its exact mask, its box, as many of the hottest pixels of CAM
and of Grad-CAM as the box has, and a box of the same shape elsewhere. Two fills are exact, where the data have them:
"counterfactual" takes the pixels from the image rendered without the finding, "all off" from the one rendered without
any finding and without the marker. The first asks what the *finding* does and is blind to a marker in the region; the
second asks what is there at all that the generator can take away.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.data.regions import Regions, boxes_to_masks
from aecompanion.evaluate.detection import most_influential
from aecompanion.explain.cam import cam, hottest
from aecompanion.explain.causal_effect import block_effects, latent_effects, region_effects, released_effects
from aecompanion.explain.fills import FILLS, replace
from aecompanion.explain.gradcam import gradcam
from aecompanion.networks.read import probabilities
from aecompanion.pipeline.rng import generator
from aecompanion.studies.region_controls import controls
from aecompanion.train.causal_autoencoder import CausalAutoencoder

COUNTERFACTUAL, ALL_OFF = "counterfactual", "all off"
EMPTY = tuple(  # what `study` and `map_study` return of no case at all, with the training seed
    pd.DataFrame(columns=[*names, "seed"])
    for names in (
        ("case", "region", "fill", "p", "effect"),
        ("case", "method", "value"),
        ("case", "map", "iou_box", "iou_mask"),
    )
)


def spread(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of up to `count` entries of every label, evenly spread, in ascending order."""
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen.append(members[np.linspace(0, len(members) - 1, min(count, len(members))).round().astype(int)])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, int)


def elsewhere(boxes: np.ndarray, avoid: np.ndarray, *, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """A box of the same shape at a random place that does not touch the `avoid` mask (n×H×W boolean).

    Returns n×1×H×W masks and n booleans: whether a free place exists. Where none does, the mask is the box itself. The
    place of case i is drawn from (seed, i).
    """
    placed, free = np.array(boxes), np.zeros(len(boxes), bool)
    for case, (top, left, bottom, right) in enumerate(boxes):
        rows, columns = bottom - top, right - left
        windows = np.lib.stride_tricks.sliding_window_view(avoid[case], (rows, columns))
        places = np.argwhere(~windows.any((2, 3)))
        if len(places):
            y, x = places[torch.randint(len(places), (), generator=generator(seed, case)).item()]
            placed[case], free[case] = (y, x, y + rows, x + columns), True
    return boxes_to_masks(placed, avoid.shape[1:]), free


def heatmaps(model: nn.Module, images: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """CAM of the last stage and Grad-CAM of the one before it, upsampled to the image: N×1×H×W each."""
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    coarse = {
        "cam": cam(model, images, target, layer=model.cam_layer(), linear=linear),
        "gradcam": gradcam(model, images, target, layer=model.cam_layer(model.cam_layers[-2])),
    }
    size = tuple(images.shape[2:])
    return {name: F.interpolate(each, size, mode="bilinear", align_corners=False) for name, each in coarse.items()}


def regions_of(
    model: nn.Module, images: torch.Tensor, target: torch.Tensor, regions: Regions, *, seed: int
) -> dict[str, torch.Tensor]:
    """The five regions of every case, n×1×H×W boolean; a random box that had no free place is left empty."""
    fixed = fixed_regions(regions, seed=seed)
    areas = fixed["box"].flatten(1).sum(1)
    found = {name: hottest(each, areas) for name, each in heatmaps(model, images, target).items()}
    return {"mask": fixed["mask"], "box": fixed["box"]} | found | {"random": fixed["random"]}


def fixed_regions(regions: Regions, *, seed: int) -> dict[str, torch.Tensor]:
    """Those of `regions_of` that no network decides: mask, box and random."""
    random, free = elsewhere(regions.boxes, regions.masks, seed=seed)
    random &= torch.from_numpy(free)[:, None, None, None]
    return {"mask": torch.from_numpy(regions.masks)[:, None], "box": regions.box_masks(), "random": random}


def inpainted_once(images: torch.Tensor, regions: Regions, *, seed: int) -> dict[str, torch.Tensor]:
    """The images in-painted in each of the `fixed_regions`, n×C×H×W: the same for all networks, and slow."""
    found = {}
    for name, masks in fixed_regions(regions, seed=seed).items():
        there = masks.flatten(1).any(1)
        found[name] = images.clone()
        found[name][there] = replace(images[there], masks[there], "inpaint")
    return found


def study(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    regions: Regions,
    *,
    bottleneck: CausalAutoencoder,
    layer: str,
    validation: torch.Tensor,
    seed: int,
    bare: torch.Tensor | None = None,
    draws: int = 16,
    inpainted: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables for n cases (images n×C×H×W, target n class indices; bare: the images with all off, where known).

    effects: case, region, fill, p (of the class), effect (CE of the class; NaN where no random place was free).
    estimates: case, method, value: every "REGION · FILL" effect; "released formula" (`released_effects` on the box,
    mean fill, the channel that matters most on `validation` images); "latent, one channel" (CE of the class with that
    channel at zero); "CAM share" and "Grad-CAM share", minus the share of the positive map inside the box; and the
    `region_controls`, of which the Shapley value takes `draws` coalitions. inpainted: of `inpainted_once`, where
    several networks are asked.
    """
    p = probabilities(model, images)
    own = p.gather(1, target[:, None])[:, 0]
    fills = exact_fills(regions, bare) | {fill: fill for fill in FILLS}
    effects, estimates = [], []
    cases = np.arange(len(images))
    for name, masks in regions_of(model, images, target, regions, seed=seed).items():
        there = masks.flatten(1).any(1)
        for fill, filling in fills.items():
            change = torch.full_like(own, torch.nan)
            filling = inpainted.get(name, filling) if fill == "inpaint" else filling
            part = filling[there] if isinstance(filling, torch.Tensor) else filling
            found = region_effects(model, images[there], masks[there], fill=part, p=p[there])
            change[there] = found.gather(1, target[there, None])[:, 0]
            facts = {"case": cases, "region": name, "fill": fill, "p": own.numpy(), "effect": change.numpy()}
            effects.append(pd.DataFrame(facts))
            estimates.append(pd.DataFrame({"case": cases, "method": f"{name} · {fill}", "value": change.numpy()}))

    options = {"layer": layer, "autoencoder": bottleneck}
    channel = most_influential(latent_effects(model, validation, **options))
    latent = latent_effects(model, images, channels=[channel], **options).effects[0]
    others = {
        "released formula": released_effects(
            model, images, regions.box_masks(), fill="mean", channel=channel, **options
        ),
        "latent, one channel": latent.gather(1, target[:, None])[:, 0],
    }
    for name, maps in heatmaps(model, images, target).items():
        positive = maps.clamp_min(0)
        inside = (positive * regions.box_masks()).flatten(1).sum(1)
        title = {"cam": "CAM share", "gradcam": "Grad-CAM share"}[name]
        others[title] = -inside / positive.flatten(1).sum(1).clamp_min(1e-12)
    others |= controls(model, images, target, regions.box_masks(), seed=seed, draws=draws)
    for name, values in others.items():
        estimates.append(pd.DataFrame({"case": cases, "method": name, "value": values.numpy()}))
    return pd.concat(effects, ignore_index=True), pd.concat(estimates, ignore_index=True)


def exact_fills(regions: Regions, bare: torch.Tensor | None) -> dict[str, str | torch.Tensor]:
    """The fills that are exact interventions, by name: those for which the data have images."""
    found: dict[str, str | torch.Tensor] = {}
    if regions.without is not None:
        found[COUNTERFACTUAL] = regions.counterfactuals()
    return found if bare is None else found | {ALL_OFF: bare}


def map_study(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    regions: Regions,
    *,
    per_side: int,
    seed: int,
    bare: torch.Tensor | None = None,
) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    """How well the hottest pixels of a map meet the box and the exact mask, each time as many as that has.

    Maps: causal-effect maps on a grid by mean fill and, where known, by the exact fills; CAM; Grad-CAM; and random
    values. Returns rows case, map, iou_box, iou_mask, and the maps at image size, n×1×H×W each.
    """
    size = tuple(images.shape[2:])
    fills = exact_fills(regions, bare) | {"mean": "mean"}
    maps = {}
    for fill, filling in fills.items():
        coarse = block_effects(model, images, target, per_side=per_side, fill=filling)
        maps[f"CE, {fill}"] = F.interpolate(coarse, size, mode="bilinear", align_corners=False)
    titles = {"cam": "CAM", "gradcam": "Grad-CAM"}
    maps |= {titles[name]: each for name, each in heatmaps(model, images, target).items()}
    drawn = [torch.rand(1, per_side, per_side, generator=generator(seed, case)) for case in range(len(images))]
    maps["random"] = F.interpolate(torch.stack(drawn), size, mode="bilinear", align_corners=False)
    boxes, masks = regions.box_masks(), torch.from_numpy(regions.masks)[:, None]
    rows = []
    for name, each in maps.items():
        facts = {"case": np.arange(len(images)), "map": name}
        for truth_name, truth in (("iou_box", boxes), ("iou_mask", masks)):
            region = hottest(each, truth.flatten(1).sum(1))
            facts[truth_name] = overlap(region, truth).numpy()
        rows.append(pd.DataFrame(facts))
    return pd.concat(rows, ignore_index=True), maps


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of N pairs of boolean masks."""
    return (a & b).flatten(1).sum(1) / (a | b).flatten(1).sum(1).clamp_min(1)
