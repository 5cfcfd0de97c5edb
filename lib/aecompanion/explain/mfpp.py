"""MFPP (morphological fragmental perturbation pyramid): RISE with segments of the image in the place of a grid.

    A_c = Σ_i p_c( m_i ⊙ x ) m_i / Σ_i m_i ,    m_i = Σ_{segments g of scale i mod L} b_ig 1_g ,    P(b = 1) = keep

Each of L scales cuts the image into SLIC superpixels (scikit-image), so that fragments follow its edges; a mask keeps
each of them with a chance of one half. p_c: sigmoid, or softmax, of the logits; removed pixels become `fill`, and the
coverage of the masks is divided out, as in `rise` with `even=True`. Masks are drawn from (seed, key of the image),
since their segments are the image's.

Where we depart: a public implementation enlarges every mask 3.2 times and cuts a window at random, after which its
segments are no longer the image's; ours stay where they are, with hard edges. It has 50 to 800 segments at 224 px; ours
are 12 to 200, since small images have few pixels for a segment. Weights are not tuned.
Source: Yang, Zhu, Ahn, Zhou, Ding and others, ICPR 2020 (arXiv 2006.02659), not read; known from that implementation
and from descriptions of others.
"""

from collections.abc import Sequence

import numpy as np
import torch
from skimage.segmentation import slic
from torch import nn

from aecompanion.explain.rise import CHUNK
from aecompanion.explain.smoothgrad import keys_of
from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.read import several_labels, squashed
from aecompanion.pipeline.rng import generator

SEGMENTS = (12, 25, 50, 100, 200)


@torch.no_grad()
def mfpp(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    *,
    masks: int = 400,
    segments: Sequence[int] = SEGMENTS,
    keep: float = 0.5,
    fill: float = 0.5,
    multi_label: bool | None = None,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> torch.Tensor:
    """A of the formula, N×1×H×W on the CPU, at least in single precision; a pixel that no mask shows gets 0.

    Args:
        images: N×C×H×W in [0,1]. target: one class index or N. masks: forward passes per pair. segments: about how
            many, scale by scale. keep, fill: as in `rise`. multi_label: sigmoid scores, otherwise softmax; None asks
            the network's card. seed, keys: of the masks.

    Raises ValueError for fewer than one mask or segment, a `keep` outside (0, 1), a network without a card if
    `multi_label` is None, and for targets as in `explain.target`.
    """
    if masks < 1 or not segments or min(segments) < 1 or not 0 < keep < 1:
        given = f"masks {masks}, segments {tuple(segments)}, keep {keep}"
        raise ValueError(f"{given}: expected at least 1, at least 1 each, inside (0, 1)")
    device, target, maps = device_of(model), targets_of(target, len(images)), []
    several = several_labels(model, multi_label)
    with borrowed(model):
        for image, label, key in zip(images.to(device), target.tolist(), keys_of(keys, len(images)), strict=True):
            drawn = fragment_masks(image, masks, segments=segments, keep=keep, seed=seed, key=int(key)).to(device)
            scores = []
            for part in drawn.split(CHUNK):
                logits = model(torch.where(part, image, image.new_full((), fill)))
                targets_of(label, 1, classes=logits.shape[1])
                scores.append(squashed(logits.float(), multi_label=several)[:, label])
            weights = drawn[:, 0].float()
            coverage = weights.sum(0)
            total = torch.einsum("m,mhw->hw", torch.cat(scores), weights)
            maps.append(torch.where(coverage > 0, total / coverage, 0.0)[None].cpu())
    return torch.stack(maps).to(torch.promote_types(images.dtype, torch.float32))


def fragment_masks(
    image: torch.Tensor, count: int, *, segments: Sequence[int], keep: float, seed: int, key: int
) -> torch.Tensor:
    """`count` masks of one image, count×1×H×W booleans on the CPU (True = keep), the scales taken in turn."""
    gen, pyramid = generator(seed, key), [superpixels(image, number) for number in segments]
    masks = []
    for number in range(count):
        fragments = pyramid[number % len(pyramid)]
        kept = torch.rand(int(fragments.max()) + 1, generator=gen) < keep
        masks.append(kept[fragments][None])
    return torch.stack(masks)


def superpixels(image: torch.Tensor, number: int) -> torch.Tensor:
    """H×W segment numbers, from 0: about `number` SLIC superpixels of an image C×H×W."""
    picture = image.detach().cpu().double().movedim(0, -1).numpy()
    found = slic(picture, n_segments=number, compactness=10, sigma=picture.shape[0] / 128, start_label=0)
    return torch.from_numpy(found.astype(np.int64))
