"""Causal effect of pixels, of latent features and of concepts on what a network predicts (Yang et al., ICIP 2019).

    CE_k = p'_k - p_k,      ECE = Σ_k w_k (p'_k - p_k),   w_k = p_k / Σ_j p_j,      ECE0 = ECE of the bottleneck alone

p: probabilities (softmax; sigmoid for networks with several labels, as the network's card says unless `multi_label`
tells) of the untouched network, p': under an intervention

    do(R = fill)     the pixels of a region R replaced                          region_effects, block_effects
    do(c_j = 0)      one channel of the code of an inserted bottleneck zeroed   latent_effects
    do(concept = v)  one entry of a concept vector set, before a given head     concept_effects

Negative CE_k: the intervention took evidence for class k away. The fill decides what "removed" means, and every fill
but the counterfactual one (the same image rendered without the finding, which only generated data have) adds something
of its own ("missingness bias"): state it with the number.

Where we depart: the released notebooks feed the masked image to both branches, so that the mask is not their
intervention (`released_effects` keeps that); signs differ between them; ECE is not compared with ECE0. Their weights
p_k sum to one; with several labels we divide by their sum, so that ECE stays a weighted mean.
Source: Yang et al., ICIP 2019, eq. (1) and (2); notation of docs/papers/causal.md.
"""

import dataclasses

import torch
from torch import nn

from aecompanion.explain.fills import replace
from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of, plain
from aecompanion.networks.read import predict, probabilities, several_labels, squashed
from aecompanion.train.causal_autoencoder import CausalAutoencoder, activations_of, cut, runs_once


def expected_effect(p: torch.Tensor, p_do: torch.Tensor) -> torch.Tensor:
    """ECE of the formula: `p` N×K and `p_do` ...×N×K give ...×N values."""
    weights = p / p.sum(-1, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny)
    return (weights * (p_do - p)).sum(-1)


# latent features


@dataclasses.dataclass(frozen=True, eq=False)
class LatentEffects:
    """Probabilities N×K without bottleneck (`p`), through it (`p_through`), and M×N×K with each channel at zero."""

    p: torch.Tensor
    p_through: torch.Tensor
    p_do: torch.Tensor
    error: torch.Tensor  # N: mean |d(c(a)) - a| of each image

    @property
    def effects(self) -> torch.Tensor:
        """CE beyond the bottleneck's own, M×N×K: p' under do(c_j = 0) minus p' without it."""
        return self.p_do - self.p_through

    @property
    def baseline(self) -> torch.Tensor:
        """ECE0, N values."""
        return expected_effect(self.p, self.p_through)

    @property
    def expected(self) -> torch.Tensor:
        """ECE of every channel, M×N; subtract `baseline` to leave out what the bottleneck itself does."""
        return expected_effect(self.p, self.p_do)


@torch.no_grad()
def latent_effects(
    model: nn.Module,
    images: torch.Tensor,
    *,
    layer: str | nn.Module,
    autoencoder: CausalAutoencoder,
    channels: list[int] | None = None,
    level: torch.Tensor | None = None,
    multi_label: bool | None = None,
    batch: int = 16,
) -> LatentEffects:
    """do(c_j = 0) for every code channel (or those in `channels`), one at a time; do(c_j = level_j) with `level`,
    K×h×w, such as the mean code of other images (`mean_code`): zero makes a channel flat, as no image has it.

    images: N×C×H×W in [0,1]. The part before the layer runs once per image, the part behind it M + 2 times, all in one
    batch; so no connection may lead past the layer.

    Raises ValueError for an unknown layer or channel, or if a connection leads past the layer.
    """
    several, model = several_labels(model, multi_label), plain(model)
    channels = list(range(autoencoder.units)) if channels is None else channels
    for channel in channels:
        if not 0 <= channel < autoencoder.units:
            raise ValueError(f"channel {channel} does not exist, the code has {autoencoder.units} channels (from 0)")
    found, errors = [], []

    def branches(activations: torch.Tensor) -> torch.Tensor:
        if activations.shape[1] != autoencoder.facts["channels"]:
            expected = autoencoder.facts["channels"]
            raise ValueError(f"layer {layer!r} has {activations.shape[1]} channels, the bottleneck expects {expected}")
        code = autoencoder.encode(activations)
        codes = code.repeat(len(channels) + 1, 1, 1, 1)
        for row, channel in enumerate(channels, 1):
            codes[row * len(code) : (row + 1) * len(code), channel] = 0 if level is None else level[channel].to(code)
        restored = autoencoder.decode(codes)
        errors.append((restored[: len(code)] - activations).abs().flatten(1).mean(1).cpu())
        return torch.cat([activations, restored])

    with borrowed(model), borrowed(autoencoder), cut(model, layer, branches):
        for chunk in images.split(batch):
            # two of a kind: a batch of one would be broadcast along a connection that leads past the layer
            pair = chunk.expand(max(2, len(chunk)), -1, -1, -1)
            try:
                logits = predict(model, pair, batch=len(pair))
            except RuntimeError as error:
                raise ValueError(f"layer {layer!r} cannot be cut open: a connection leads past it ({error})") from error
            runs_once(len(errors), len(found) + 1, layer)
            p = squashed(logits, multi_label=several).unflatten(0, (len(channels) + 2, len(pair)))
            found.append(p[:, : len(chunk)])
            errors[-1] = errors[-1][: len(chunk)]
    p = torch.cat(found, dim=1)
    return LatentEffects(p[0], p[1], p[2:], torch.cat(errors))


@torch.no_grad()
def mean_code(
    model: nn.Module, images: torch.Tensor, *, layer: str | nn.Module, autoencoder: CausalAutoencoder, batch: int = 64
) -> torch.Tensor:
    """The mean over images of the code, place by place: K×h×w on the CPU."""
    device = device_of(autoencoder)
    with borrowed(autoencoder):
        found = (activations_of(model, part, layer=layer).to(device) for part in images.split(batch))
        codes = [autoencoder.encode(each).cpu() for each in found]
    return torch.cat(codes).mean(0)


def released_effects(
    model: nn.Module,
    images: torch.Tensor,
    masks: torch.Tensor,
    *,
    fill: str,
    layer: str | nn.Module,
    autoencoder: CausalAutoencoder,
    channel: int,
    multi_label: bool | None = None,
) -> torch.Tensor:
    """What the released notebooks call the effect of a region, N values: the masked image goes into both branches, so
    that the only intervention is do(c_channel = 0) on it. ECE as in the formula.
    """
    options = {"layer": layer, "autoencoder": autoencoder, "channels": [channel], "multi_label": multi_label}
    return latent_effects(model, replace(images, masks, fill), **options).expected[0]


# pixels


def region_effects(
    model: nn.Module,
    images: torch.Tensor,
    masks: torch.Tensor,
    *,
    fill: str | torch.Tensor,
    p: torch.Tensor | None = None,
    multi_label: bool | None = None,
    batch: int = 128,
) -> torch.Tensor:
    """CE_k of do(R = fill) for one region per image, N×K. Cost: a forward pass, none where the fill changes no pixel
    (the effect is zero), and one more unless `p` is given.

    Arguments and errors as in `replace`; p: probabilities of the images, if known.
    """
    options = {"multi_label": multi_label, "batch": batch}
    p = probabilities(model, images, **options) if p is None else p
    found, filled = torch.zeros_like(p), replace(images, masks, fill)
    changed = (filled != images).flatten(1).any(1).to(p.device)
    if changed.any():
        found[changed] = probabilities(model, filled[changed], **options) - p[changed]
    return found


def blocks(size: int, per_side: int = 10) -> torch.Tensor:
    """A grid of per_side² blocks that tile a size×size image, as masks per_side²×1×size×size, row by row.

    Raises ValueError if there are more blocks than pixels.
    """
    if not 1 <= per_side <= size:
        raise ValueError(f"per_side is {per_side}, expected 1 to {size} (the image side)")
    of_pixel = torch.arange(size) * per_side // size  # the block that each row or column belongs to
    number = of_pixel[:, None] * per_side + of_pixel[None, :]
    return (number[None] == torch.arange(per_side**2)[:, None, None])[:, None]


def block_effects(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    *,
    per_side: int = 10,
    fill: str | torch.Tensor = "mean",
    multi_label: bool | None = None,
    batch: int = 200,
) -> torch.Tensor:
    """The causal-effect map: -CE_target of every block of a grid, N×1×per_side×per_side, larger = more evidence lost.

    target: one class index or N. Cost: a forward pass per image and one per block, `batch` at a time over images and
    blocks, but for blocks in which images to fill from are the image itself: their effect is zero. Raises ValueError
    for targets as in `explain.target`, and what `replace` and `blocks` raise.
    """
    target = targets_of(target, len(images))
    masks = blocks(images.shape[-1], per_side)
    pairs = torch.cartesian_prod(torch.arange(len(images)), torch.arange(len(masks)))
    options = {"multi_label": multi_label, "batch": batch}
    p = probabilities(model, images, **options)
    targets_of(target, len(images), classes=p.shape[1])
    lost, asked = torch.zeros(len(pairs), dtype=p.dtype), torch.arange(len(pairs))
    if isinstance(fill, torch.Tensor):
        moved = (fill != images).any(1).flatten(1).float().cpu() @ masks.flatten(1).float().T  # images × blocks
        asked = asked[moved.flatten() > 0]
    for rows in asked.split(batch):
        image, block = pairs[rows].T
        filling = fill[image] if isinstance(fill, torch.Tensor) else fill
        p_do = probabilities(model, replace(images[image], masks[block], filling), **options)
        lost[rows] = (p[image] - p_do).gather(1, target[image, None])[:, 0]
    return lost.reshape(len(images), 1, per_side, per_side)


# concepts


def concept_effects(
    head: nn.Module, concepts: torch.Tensor, *, off: float | torch.Tensor = 0.0, multi_label: bool | None = None
) -> torch.Tensor:
    """CE_k of do(c_j = off) for every entry j of a concept vector, J×N×K.

    Args:
        head: from concepts N×J to logits N×K. off: one value, or J values.
    """
    off = torch.as_tensor(off, dtype=concepts.dtype).expand(concepts.shape[1])
    options = {"multi_label": multi_label, "batch": len(concepts)}
    p = probabilities(head, concepts, **options)
    effects = []
    for j in range(concepts.shape[1]):
        changed = concepts.clone()
        changed[:, j] = off[j]
        effects.append(probabilities(head, changed, **options) - p)
    return torch.stack(effects)
