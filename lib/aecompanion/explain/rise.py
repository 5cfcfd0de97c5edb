"""RISE: the mean of random masks, weighted by the score that the network gives to what they leave.

    A_c = (1 / (M p)) Σ_i f_c( m_i ⊙ x ) · m_i ,     m_i = crop( upsample( b_i ) ),   b_i ∈ {0,1}^(s×s),  P(b = 1) = p

Each mask is a grid of s×s random cells, enlarged bilinearly and shifted by a random part of a cell. f_c: sigmoid, or
softmax, of the logits. Removed pixels become `fill` (the published choice is 0 in normalised space, the mean colour).
Masks are drawn per chunk from (seed, chunk) and shared by all images, so a map does not depend on its batch; M masks
cost M forward passes per image whatever the number of classes. Source: Petsiuk, Das and Saenko, BMVC 2018.

Few masks cover some pixels more often than others, which every map then shows whatever the network says. `even` divides
by that coverage, the map of a network that always says 1: Σ_i f_c(m_i ⊙ x) m_i / Σ_i m_i is the mean score of the masks
that show a pixel. With M → ∞ both are the same.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.read import several_labels
from aecompanion.pipeline.rng import generator

CHUNK = 32  # masks drawn and shown together: at 64×64 what one pass writes then stays in the cache


@torch.no_grad()
def rise(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor | None = None,
    *,
    masks: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    fill: float = 0.5,
    multi_label: bool | None = None,
    even: bool = False,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> torch.Tensor:
    """A of the formula on the CPU: N×1×H×W for `target` (one class index or N), N×K×H×W for all classes if it is None.

    Args:
        images: N×C×H×W in [0,1]. masks: M. cells: s. keep: p, the chance that a cell stays. fill: value of removed
            pixels, [0,1]. multi_label: sigmoid scores, otherwise softmax; None asks the network's card.
            even: divide the coverage out; a pixel that no mask shows gets 0.

    Maps of images in half precision are summed in single precision. Raises ValueError for a `keep` outside (0, 1),
    fewer than one mask or cell, a network without a card if `multi_label` is None, and for targets as in
    `explain.target`.
    """
    if masks < 1 or cells < 1 or not 0 < keep < 1:
        raise ValueError(f"masks {masks}, cells {cells}, keep {keep}: expected at least 1, at least 1, inside (0, 1)")
    device, size = device_of(model), tuple(images.shape[2:])
    several = several_labels(model) if multi_label is None else multi_label
    squash = torch.sigmoid if several else lambda logits: logits.softmax(1)
    target = None if target is None else targets_of(target, len(images))
    images = images.to(device)
    kind = torch.promote_types(images.dtype, torch.float32)
    total: torch.Tensor | float = 0.0
    coverage = torch.zeros(size, dtype=kind, device=device)
    with borrowed(model):
        for chunk in progress(range(-(-masks // CHUNK))):
            count = min(CHUNK, masks - chunk * CHUNK)
            drawn = random_masks(count, size, cells=cells, keep=keep, gen=generator(seed, chunk)).to(device)
            weights, shape, given = [], (count, *images.shape[1:]), drawn.to(images.dtype)
            shown = torch.empty(shape, dtype=images.dtype, device=device)
            for image in images:
                torch.lerp(image.new_full((), fill), image, given, out=shown)
                weights.append(squash(model(shown)))  # a network may write into `shown`: the next image fills it anew
            scores = torch.stack(weights).to(kind)  # N×count×K
            if target is not None:
                targets_of(target, len(images), classes=scores.shape[2])
                scores = scores[torch.arange(len(images)), :, target.to(device)][..., None]
            total = total + torch.einsum("nmk,mhw->nkhw", scores, drawn[:, 0].to(kind))
            coverage += drawn[:, 0].to(kind).sum(0)
    if even:
        return torch.where(coverage > 0, total / coverage, 0.0).cpu()
    return (total / (masks * keep)).cpu()


def random_masks(count: int, size: tuple[int, int], *, cells: int, keep: float, gen: torch.Generator) -> torch.Tensor:
    """`count` masks, count×1×H×W in [0,1]."""
    height, width = size
    cell = (-(-height // cells), -(-width // cells))
    grid = (torch.rand(count, 1, cells, cells, generator=gen) < keep).float()
    large = F.interpolate(
        grid, size=((cells + 1) * cell[0], (cells + 1) * cell[1]), mode="bilinear", align_corners=False
    )
    rows = torch.randint(cell[0], (count,), generator=gen)
    columns = torch.randint(cell[1], (count,), generator=gen)
    cut = [each[:, y : y + height, x : x + width] for each, y, x in zip(large, rows, columns, strict=True)]
    return torch.stack(cut)
