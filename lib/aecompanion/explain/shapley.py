"""Shapley values of an image's parts and of its background: exact where they are few, else KernelSHAP (captum).

    φ_i = Σ_{S ⊆ P∖i}  |S|! (m - |S| - 1)! / m! · ( v(S ∪ i) - v(S) ) ,     v(S) = log-odds of class c of x_S

P: the m players, which are the parts that are given and, where they leave pixels over, the background; x_S: the image
in which every pixel of a part that is not in S comes from the reference (a pixel of two parts, if either is missing).
log-odds: z_c for sigmoids, log p_c - log(1 - p_c) for a softmax, in nats. Σ_i φ_i = v(P) - v(∅). Exact values take 2^m
passes; above `coalitions` of them, captum's KernelSHAP draws so many coalitions, from (seed, key of the image).

Parts are told, not found: the row knows what the others have to find out.
Sources: Lundberg and Lee, NeurIPS 2017; Shapley, 1953.
"""

import math
from collections.abc import Callable, Sequence

import torch
from captum.attr import KernelShap
from torch import nn

from aecompanion.explain.smoothgrad import keys_of
from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.read import several_labels
from aecompanion.pipeline.rng import seeded

COALITIONS, BATCH = 128, 64  # that a pair is shown at most; images per pass


@torch.no_grad()
def shapley(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    references: torch.Tensor,
    parts: Sequence[torch.Tensor],
    *,
    coalitions: int = COALITIONS,
    multi_label: bool | None = None,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> list[torch.Tensor]:
    """φ of every image's parts, P_i values each; if its parts leave pixels over, that of the background behind them.

    Args:
        images, references: N×C×H×W in [0,1]. target: one class index or N. parts: of every image, P_i×H×W booleans.
            coalitions: forward passes per pair, where exact values would take more. multi_label: sigmoids, otherwise
            softmax; None asks the network's card. seed, keys: of the coalitions that are drawn.

    Raises ValueError for references of another shape, parts of another kind, shape or number, empty parts, fewer than
    eight coalitions, a network without a card if `multi_label` is None, and for targets as in `explain.target`.
    """
    if references.shape != images.shape:
        raise ValueError(f"references are {tuple(references.shape)}, expected {tuple(images.shape)} as the images")
    if coalitions < 8:
        raise ValueError(f"coalitions is {coalitions}, expected at least 8")
    device, target, several = device_of(model), targets_of(target, len(images)), several_labels(model, multi_label)
    shown_parts = [players_of(each) for each in checked(parts, images)]
    found = []
    with borrowed(model):
        for number, key in enumerate(keys_of(keys, len(images))):
            image, reference = images[number].to(device), references[number].to(device, images.dtype)
            regions, label = shown_parts[number].to(device), int(target[number])

            def worth(present: torch.Tensor, image=image, reference=reference, regions=regions, label=label):
                values = []
                for some in present.bool().to(device).split(BATCH):
                    removed = (~some[:, :, None, None] & regions).any(1)[:, None]
                    logits = model(torch.where(removed, reference, image))
                    targets_of(label, 1, classes=logits.shape[1])
                    values.append(log_odds(logits.float(), label, multi_label=several).cpu())
                return torch.cat(values)

            players = len(regions)
            if 2**players <= coalitions:
                found.append(exact(worth, players))
            else:
                found.append(sampled(worth, players, coalitions, seed=seed, key=int(key)))
    return found


def spread(values: Sequence[torch.Tensor], parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Maps N×1×H×W in which every φ lies evenly on its region: a part's sum is its φ where no two parts meet."""
    maps = []
    for each, regions in zip(values, parts, strict=True):
        players = players_of(regions).float()
        maps.append(torch.einsum("p,phw->hw", each.cpu() / players.sum((1, 2)), players)[None])
    return torch.stack(maps)


def players_of(regions: torch.Tensor) -> torch.Tensor:
    """The regions of one image, P×H×W, and behind them the background if they leave pixels over."""
    background = ~regions.any(0, keepdim=True)
    return torch.cat([regions, background]) if background.any() else regions


def passes_of(regions: torch.Tensor, coalitions: int) -> int:
    """Forward passes for one pair."""
    return min(2 ** len(players_of(regions)), coalitions)


def checked(parts: Sequence[torch.Tensor], images: torch.Tensor) -> list[torch.Tensor]:
    if len(parts) != len(images):
        raise ValueError(f"there are parts of {len(parts)} images, expected those of {len(images)}")
    found = [torch.as_tensor(each).cpu() for each in parts]
    for number, each in enumerate(found):
        if each.dtype != torch.bool or each.dim() != 3 or each.shape[1:] != images.shape[2:] or not len(each):
            size = "×".join(str(side) for side in images.shape[2:])
            raise ValueError(
                f"the parts of image {number} are {each.dtype} {tuple(each.shape)}, expected torch.bool, P×{size}"
            )
        if not each.flatten(1).any(1).all():
            raise ValueError(f"a part of image {number} is empty, expected at least one pixel")
    return found


def log_odds(logits: torch.Tensor, label: int, *, multi_label: bool) -> torch.Tensor:
    """Log-odds of one class, N values, in nats; a softmax over a single class has none (infinite)."""
    if multi_label:
        return logits[:, label]
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], 1)
    return logits[:, label] - others.logsumexp(1)


def exact(worth: Callable[[torch.Tensor], torch.Tensor], players: int) -> torch.Tensor:
    """φ by enumeration of all 2^m coalitions. worth: from n×m booleans to n values."""
    number = torch.arange(2**players)
    present = (number[:, None] >> torch.arange(players)) & 1  # coalition b holds player i if bit i of b is set
    values, sizes = worth(present).double(), present.sum(1)
    chance = torch.tensor([1 / (players * math.comb(players - 1, size)) for size in range(players)]).double()
    found = []
    for player in range(players):
        without = number[present[:, player] == 0]
        found.append((chance[sizes[without]] * (values[without | (1 << player)] - values[without])).sum())
    return torch.stack(found).float()


def sampled(worth: Callable, players: int, coalitions: int, *, seed: int, key: int) -> torch.Tensor:
    """φ by captum's KernelSHAP, whose coalitions come from torch's own generator: it is fixed by (seed, key)."""
    with seeded(seed, key):
        return (
            KernelShap(worth)
            .attribute(
                torch.ones(1, players),
                baselines=torch.zeros(1, players),
                n_samples=coalitions,
                perturbations_per_eval=BATCH,
            )[0]
            .float()
        )
