"""A hybrid network without labels: it learns to say of the dots, and of the photograph, what it said of the photograph.

    min_θ  mean_i  ½ Σ_{v ∈ {x_i, T(x_i)}}  KL( softmax f_θ0(x_i) ‖ softmax f_θ(v) ),        θ starts from θ0

f_θ0, the network as it was published, is its own teacher, so that any photographs serve and no training set is needed.
Batch normalisation keeps the statistics that the network came with: a batch of photographs and dots has others.

Sources: knowledge distillation Hinton et al., arXiv 1503.02531; the hybrid of two representations Huang et al., ICPR
2020, who train it with labels from the start.
"""

import copy
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.pipeline.rng import generator

Transform = Callable[[torch.Tensor], torch.Tensor]


def self_distilled(
    network: nn.Module,
    images: torch.Tensor,
    transform: Transform,
    *,
    steps: int,
    batch: int = 8,
    lr: float = 1e-4,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> nn.Module:
    """A copy of the network that has been trained so; the network itself stays as it was.

    Cost: `steps` · `batch` forward passes of the teacher, twice as many forward and backward passes of the copy.

    Args:
        network: in evaluation mode, N×C×H×W in [0,1] to N×classes. images: n×C×H×W in [0,1], n >= batch; half of the
            batches are mirrored. transform: T, without a gradient. lr: of AdamW, falling to 0 along a cosine.
        seed: of batches and mirrors. progress: wraps the steps, as `tqdm` does.

    Raises ValueError for fewer images than a batch has.
    """
    if not 1 <= batch <= len(images):
        raise ValueError(f"{len(images)} images, expected at least {batch}, one batch")
    pupil, draw = copy.deepcopy(network).eval().requires_grad_(True), generator(seed)
    device = next(pupil.parameters()).device
    optimiser = torch.optim.AdamW(pupil.parameters(), lr=lr, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in progress(range(steps)):
        chosen = images[torch.randperm(len(images), generator=draw)[:batch]].to(device)
        if torch.rand((), generator=draw) < 0.5:
            chosen = chosen.flip(3)
        with torch.no_grad():
            said = network(chosen).softmax(1)
        loss = disagreement(pupil(torch.cat([chosen, transform(chosen)])), said)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return pupil.requires_grad_(False)


def disagreement(logits: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    """The mean KL( said ‖ softmax logits ) over all views. logits: (views·N)×classes, view by view; said: N×classes."""
    views = len(logits) // len(said)
    return F.kl_div(logits.log_softmax(1), said.repeat(views, 1), reduction="batchmean")
