"""Games that score an attribution map: deletion, insertion, energy pointing.

    deletion   remove the most attributed pixels first: AUC = ∫ f(share removed),  lower is better
    insertion  put them back first:                     AUC = ∫ f(share inserted), higher is better
    energy     Σ map inside the object's box / Σ map,   with the map scaled to [0,1] by its minimum and maximum

f is the probability of the explained class; the integral is the trapezoid over the share of the image's pixels, so
steps need not be equal: `schedule` takes small ones first, where the curves fall. Ties are broken by a random key
drawn from (seed, key of the map), never by the sort's internals, and counted: a map of zeros and ones is mostly ties.

What the games favour: `studies.masks.score` starts insertions from the very reference on which MP, EP and RP were
optimised (and at which the line of IG begins), which is an advantage over Grad-CAM, BP and RISE. A deletion rewards
whatever destroys the class with few pixels, object or not: removing exactly the object's pixels (the oracle of
`mask_games`) can score worse than a mask, and a mask below the oracle destroys rather than explains.

Where we depart: the released code of Kim et al. (IEEE TIP 2022) plays with the most likely class of the clean image,
which for several labels is the wrong one for all but one of them; `score_class="argmax"` does that. Sources: Petsiuk,
Das and Saenko, BMVC 2018 (deletion, insertion); Wang et al., Score-CAM, CVPR Workshops 2020 (energy).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.read import predict, several_labels
from aecompanion.pipeline.rng import generator


@dataclasses.dataclass(frozen=True, eq=False)
class Game:
    """`share`: S+1 shares of the pixels changed, 0 to 1; `scores`: n×(S+1) probabilities; `auc`: n; `ties`: n, share of
    the pixels whose value another pixel also has.
    """

    share: torch.Tensor
    scores: torch.Tensor
    auc: torch.Tensor
    ties: torch.Tensor


def schedule(pixels: int, *, first: int = 16, fine: int = 1024, then: int = 128) -> list[int]:
    """Numbers of changed pixels: 0, `first`, 2·`first`, ... up to `fine`, then in steps of `then` up to `pixels`."""
    if min(first, then, pixels) < 1:
        raise ValueError(f"steps {first} and {then} of {pixels} pixels, expected at least 1 each")
    fine = min(fine, pixels)
    return sorted({*range(0, fine + 1, first), *range(fine, pixels, then), pixels})


def ranks(maps: torch.Tensor, *, seed: int, keys: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The place of each pixel in the order of falling attribution, n×H·W, and the share of tied pixels, n, on the CPU.

    Raises ValueError for a map with values that are not finite.
    """
    flat = maps.flatten(1).cpu()  # its random order is drawn there
    finite = torch.isfinite(flat).all(1)
    if not finite.all():
        raise ValueError(f"map {int((~finite).nonzero()[0])} holds values that are not finite, expected numbers")
    shuffled = torch.stack([torch.randperm(flat.shape[1], generator=generator(seed, key)) for key in keys])
    values, order = flat.gather(1, shuffled).sort(dim=1, descending=True, stable=True)
    order = shuffled.gather(1, order)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(flat.shape[1]).expand_as(order))
    same = values[:, 1:] == values[:, :-1]
    none = torch.zeros(len(flat), 1, dtype=torch.bool)
    tied = torch.cat([none, same], 1) | torch.cat([same, none], 1)
    return rank, tied.float().mean(1)


@torch.no_grad()
def play(
    model: nn.Module,
    start: torch.Tensor,
    end: torch.Tensor,
    maps: torch.Tensor,
    target: int | torch.Tensor,
    *,
    steps: Sequence[int] | None = None,
    multi_label: bool | None = None,
    score_class: str = "explained",
    seed: int = 0,
    keys: Sequence[int] | None = None,
    ends: tuple[torch.Tensor, torch.Tensor] | None = None,
    batch: int = 128,
) -> Game:
    """Replace the pixels of `start` by those of `end`, the most attributed first: deletion with start = image and end
    = substrate, insertion the other way round.

    Args:
        start, end: n×C×H×W in [0,1]. maps: n×1×H×W. target: one class index or n. steps: rising numbers of replaced
            pixels, from 0 to H·W; default `schedule`. multi_label: f is a sigmoid, otherwise a softmax; None asks the
            network's card. score_class: "explained", or "argmax" of the clean image (`start` in a
            deletion; pass the explained one for insertions).
        ends: f of `start` and of `end`, n values each, where they are known: they are the same for every map.
        batch: images per forward pass; the steps of a map share batches with those of the next.

    A game costs S+1 forward passes per map, two fewer with `ends`. Raises ValueError for shapes, steps or names that do
    not fit, a network without a card if `multi_label` is None, and for targets as in `explain.target`.
    """
    count, pixels = len(maps), maps[:1].numel()
    if start.shape != end.shape or maps.shape != (count, 1, *start.shape[2:]) or len(start) != count:
        raise ValueError(
            f"start {tuple(start.shape)}, end {tuple(end.shape)}, maps {tuple(maps.shape)}: expected n×C×H×W twice and "
            "n×1×H×W"
        )
    target = targets_of(target, count)
    several = several_labels(model) if multi_label is None else multi_label
    if score_class not in ("explained", "argmax"):
        raise ValueError(f"score_class is {score_class!r}, expected 'explained' or 'argmax'")
    steps = schedule(pixels) if steps is None else list(steps)
    if not steps:
        raise ValueError(f"steps are empty, expected rising numbers from 0 to {pixels}")
    if steps[0] != 0 or steps[-1] != pixels or any(b <= a for a, b in zip(steps, steps[1:], strict=False)):
        raise ValueError(f"steps run from {steps[0]} to {steps[-1]}, expected rising numbers from 0 to {pixels}")
    rank, ties = ranks(maps, seed=seed, keys=range(count) if keys is None else keys)
    device = device_of(model)
    rank = rank.reshape(maps.shape).to(device)
    start, end = start.to(device), end.to(device)
    played = steps if ends is None else steps[1:-1]
    total = len(played)
    marks = torch.tensor(played, device=device).reshape(-1, 1, 1, 1)
    scores = [torch.empty(0)]
    with borrowed(model):
        if score_class == "argmax":
            target = predict(model, start, batch=batch).argmax(1)
        target = target.to(device)
        for begin in range(0, count * total, batch):
            position = torch.arange(begin, min(begin + batch, count * total), device=device)
            item = position // total
            logits = model(replaced(start, end, rank, marks, position[0].item(), len(position)))
            targets_of(target, count, classes=logits.shape[1])
            p = logits.sigmoid() if several else logits.softmax(1)
            scores.append(p.gather(1, target[item, None])[:, 0].cpu())
    scores = torch.cat(scores).reshape(count, total)
    if ends is not None:
        scores = torch.stack([ends[0].cpu(), *scores.unbind(1), ends[1].cpu()], 1)
    share = torch.tensor(steps) / pixels
    return Game(share, scores, torch.trapezoid(scores, share, dim=1), ties)


def replaced(
    start: torch.Tensor, end: torch.Tensor, rank: torch.Tensor, marks: torch.Tensor, first: int, count: int
) -> torch.Tensor:
    """`count` images of the games, from the `first` on, where image i of S marks is mark i mod S of map i // S: the
    pixels of `end` where the rank lies below the mark, else those of `start`. One buffer, filled map by map.
    """
    shown, done = start.new_empty(count, *start.shape[1:]), 0
    while done < count:
        item, step = divmod(first + done, len(marks))
        many = min(len(marks) - step, count - done)
        gone = (rank[item] < marks[step : step + many]).to(start.dtype)
        torch.mul(start[item], 1 - gone, out=shown[done : done + many]).addcmul_(end[item], gone)
        done += many
    return shown


def energy(maps: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Energy-based pointing game: share of each map inside its region (n×1×H×W boolean); NaN for a constant map."""
    if maps.shape != inside.shape:
        raise ValueError(f"maps {tuple(maps.shape)} and regions {tuple(inside.shape)}, expected the same shape")
    flat = maps.flatten(1)
    flat = flat - flat.amin(1, keepdim=True)
    total = flat.sum(1)
    return torch.where(total > 0, (flat * inside.flatten(1)).sum(1) / total, torch.nan)


def random_maps(count: int, size: tuple[int, int], *, seed: int, keys: Sequence[int] | None = None) -> torch.Tensor:
    """Maps that know nothing, n×1×H×W, drawn from (seed, key)."""
    keys = range(count) if keys is None else keys
    return torch.stack([torch.rand(1, *size, generator=generator(seed, key)) for key in keys])


def hottest_removed(maps: torch.Tensor, areas: np.ndarray | torch.Tensor, *, seed: int, keys: Sequence[int]):
    """The mask (1 = keep) that removes the `areas[i]` (share of the pixels) most attributed pixels of map i."""
    rank, _ = ranks(maps, seed=seed, keys=keys)
    limit = (torch.as_tensor(areas).float().cpu() * rank.shape[1]).round()[:, None]
    return (rank >= limit).float().reshape(maps.shape).to(maps.device)
