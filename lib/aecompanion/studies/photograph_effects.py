"""Paper 1 on photographs and networks with published weights: effects of regions and of latent channels, as tidy rows.

Nobody knows the truth of a photograph and nobody drew its regions, so regions of one area are compared, a share of the
image each:

    map       the hottest pixels of the causal-effect map: a grid of blocks, mean fill, target class
    gradcam   those of Grad-CAM at the last convolution
    moved     Grad-CAM's region, moved cyclically by a quarter to three quarters of the side down and to the right
    centre    a square in the middle, where photographers put things

The bottleneck is not trained: its code are the principal components of the layer's activations at all places of the
photographs, as many as there are channels, so that it restores what it is given (ECE0 is rounding) and c_j = 0 means
"as on average", where the bottlenecks of the other notebooks start, too. What has to be chosen (the channel that
matters most, the mean code, the median of a two-sided score) is taken from the other half of the photographs: positions
of even number serve those of odd number, and the other way round.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.explain.cam import hottest
from aecompanion.explain.causal_effect import (
    LatentEffects,
    block_effects,
    latent_effects,
    mean_code,
    region_effects,
)
from aecompanion.explain.fills import FILLS
from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.read import probabilities
from aecompanion.networks.zoo import Network
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies.latents import latent_rows
from aecompanion.train.causal_autoencoder import CausalAutoencoder, activations_of, start_at_components

REGIONS = ("map", "gradcam", "moved", "centre")
BATCH = 8  # images per pass: larger ones leave the caches


def regions_of(
    model: Network,
    images: torch.Tensor,
    target: torch.Tensor,
    *,
    area: float,
    per_side: int,
    keys: Sequence[int],
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """The REGIONS of N photographs, N×1×H×W boolean, `area` of the image each (a share, rounded to pixels).

    images N×C×H×W, target N class indices; per_side: blocks of the grid; keys: what the places of "moved" are drawn
    from, with the seed. Cost: 1 + per_side² forward passes, another one and a backward pass for Grad-CAM.
    """
    size = tuple(images.shape[2:])
    areas = torch.full((len(images),), max(round(area * size[0] * size[1]), 1))
    grid = block_effects(model, images, target, per_side=per_side, batch=BATCH)
    coarse = gradcam(model, images, target, layer=model.cam_layer(), batch=BATCH)
    found = {
        "map": hottest(F.interpolate(grid, size, mode="bilinear", align_corners=False), areas),
        "gradcam": hottest(heatmap(coarse, size), areas),
    }
    found["moved"] = moved(found["gradcam"], keys=keys, seed=seed)
    return found | {"centre": centre(size, areas)}


def moved(masks: torch.Tensor, *, keys: Sequence[int], seed: int = 0) -> torch.Tensor:
    """Each of N×1×H×W masks rolled cyclically by a quarter to three quarters of its side, drawn from (seed, key)."""
    height, width = masks.shape[2:]
    places = []
    for mask, key in zip(masks, keys, strict=True):
        draw = generator(seed, int(key))
        shift = [int(torch.randint(side // 4, side - side // 4, (), generator=draw)) for side in (height, width)]
        places.append(mask.roll(shift, dims=(1, 2)))
    return torch.stack(places)


def centre(size: tuple[int, int], areas: torch.Tensor) -> torch.Tensor:
    """Squares of `areas` pixels (N) in the middle of H×W, N×1×H×W boolean; the last ring may be filled in part."""
    away = [(torch.arange(side) - (side - 1) / 2).abs() for side in size]
    closeness = -torch.maximum(away[0][:, None], away[1][None, :])
    return hottest(closeness.expand(len(areas), 1, *size), areas)


def effect_rows(
    model: Network,
    images: torch.Tensor,
    target: torch.Tensor,
    regions: dict[str, torch.Tensor],
    *,
    keys: Sequence[int],
    fills: Sequence[str] = FILLS,
) -> pd.DataFrame:
    """One row per photograph, region and fill: image, region, fill, p (of the target), effect (CE of the target).

    Cost: one forward pass, and one per region and fill.
    """
    p, own, rows = probabilities(model, images, batch=BATCH), target[:, None], []
    for region, masks in regions.items():
        for fill in fills:
            found = region_effects(model, images, masks, fill=fill, p=p, batch=BATCH)
            columns = {"image": list(keys), "region": region, "fill": fill, "p": p.gather(1, own)[:, 0].numpy()}
            rows.append(pd.DataFrame(columns | {"effect": found.gather(1, own)[:, 0].numpy()}))
    return pd.concat(rows, ignore_index=True)


# latent channels


def middle_layer(model: Network) -> str:
    """Where the network is cut open: the Grad-CAM layer before its last one, or, of an EfficientNet-Lite, the last
    block before the last halving of the maps.

    Raises ValueError for a network with neither.
    """
    if len(model.cam_layers) > 1:
        return model.cam_layers[-2]
    blocks = list(getattr(model.body, "_blocks", []))
    halving = [place for place, block in enumerate(blocks) if block._depthwise_conv.stride[0] == 2]
    if not halving:
        raise ValueError(f"{type(model.body).__name__} has one Grad-CAM layer, expected another one before it")
    return f"_blocks.{halving[-1] - 1}"


def components(model: nn.Module, images: torch.Tensor, *, layer: str | nn.Module) -> CausalAutoencoder:
    """The bottleneck of the head of this page: principal components of the layer's K channels over all places, largest
    variance first, K of them. Nothing is trained. Cost: one forward pass.
    """
    activations = activations_of(model, images, layer=layer, batch=BATCH)
    channels = activations.shape[1]
    with seeded(0):  # what layers are created with is overwritten
        bottleneck = CausalAutoencoder(channels, encoder=(channels,), decoder=(), kernel=1)
    start_at_components(bottleneck, activations, noise=0.0)
    return bottleneck.eval().requires_grad_(False)


@dataclasses.dataclass(frozen=True, eq=False)
class Opened:
    """A network cut open: where, its bottleneck, and the effects of the first code channels on all photographs."""

    layer: str
    autoencoder: CausalAutoencoder
    found: LatentEffects

    @property
    def place(self) -> dict:
        """As `explain.causal_effect` takes it."""
        return {"layer": self.layer, "autoencoder": self.autoencoder}


def opened(model: Network, images: torch.Tensor, *, units: int) -> Opened:
    """The bottleneck of a network and the effects of its first `units` channels.

    Cost: two forward passes to the layer, units + 2 from it. Raises ValueError for more units than channels.
    """
    layer = middle_layer(model)
    bottleneck = components(model, images, layer=layer)
    options = {"layer": layer, "autoencoder": bottleneck, "channels": list(range(units)), "batch": 4}
    return Opened(layer, bottleneck, latent_effects(model, images, **options))


def channel_rows(
    model: Network, images: torch.Tensor, labels: torch.Tensor, cut: Opened, *, keys: Sequence[int]
) -> pd.DataFrame:
    """One row per photograph and channel, columns as in `latents.latent_rows`; usual: at the mean code of the other
    half of the photographs; half: 0 or 1.
    """
    keys, tables = np.asarray(keys), []
    channels = list(range(len(cut.found.p_do)))
    for half, (own, others) in enumerate(halves(len(images))):
        level = mean_code(model, images[others], **cut.place, batch=BATCH)
        usual = latent_effects(model, images[own], **cut.place, channels=channels, level=level, batch=4)
        tables.append(latent_rows(part_of(cut.found, own), labels[own], keys[own], usual).assign(half=half))
    return pd.concat(tables, ignore_index=True)


def halves(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of even and of odd number, each with the others. Raises ValueError for fewer than two photographs."""
    if count < 2:
        raise ValueError(f"{count} photographs, expected at least 2: each half is what the other one is chosen on")
    even, odd = np.arange(0, count, 2), np.arange(1, count, 2)
    return [(even, odd), (odd, even)]


def part_of(found: LatentEffects, chosen: np.ndarray) -> LatentEffects:
    """The effects of some of the images."""
    fields = {"p": found.p, "p_through": found.p_through, "error": found.error}
    return LatentEffects(**{name: each[chosen] for name, each in fields.items()}, p_do=found.p_do[:, chosen])
