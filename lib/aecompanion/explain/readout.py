"""What a network says of masked images, and how two answers are compared: the divergences D(p‖q) of `explain.mask`."""

import dataclasses

import torch
from torch.nn import functional as F


def bounded_log_l1(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """log2(1 + |p - q|), in [0,1].

    Differences below 1e-6 count as none: at p = q, where the reverse image starts, rounding would decide the slope.
    """
    return torch.log2(1 + F.softshrink(p - q, 1e-6).abs())


def bernoulli_kl(p: torch.Tensor, q: torch.Tensor, least: float = 1e-7) -> torch.Tensor:
    """KL divergence of two coins, p ln(p/q) + (1-p) ln((1-p)/(1-q)), nats; probabilities kept `least` from 0 and 1."""
    p, q = p.clamp(least, 1 - least), q.clamp(least, 1 - least)
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()


DIVERGENCES = {"log_l1": bounded_log_l1, "kl": bernoulli_kl}


@dataclasses.dataclass(frozen=True, eq=False)
class Read:
    """What the network says: of the target (n: probability, logit, and log(1 - p) without rounding to 0) and of the
    non-targets (n×M: probability, and the share that is to be kept; the same thing for sigmoid outputs).
    """

    target: torch.Tensor
    logit: torch.Tensor
    absent: torch.Tensor
    others: torch.Tensor
    share: torch.Tensor

    def halves(self) -> tuple["Read", "Read"]:
        """Of the masked images and of the reverse images."""
        parts = [getattr(self, field.name).chunk(2) for field in dataclasses.fields(self)]
        return Read(*(first for first, _ in parts)), Read(*(second for _, second in parts))


class Readout:
    """Picks target and non-targets out of logits; the non-targets are fixed on the clean image."""

    def __init__(self, logits: torch.Tensor, target: torch.Tensor, *, multi_label: bool, rivals: int) -> None:
        classes = logits.shape[1]
        if classes < 2:
            raise ValueError(f"the network has {classes} class, expected at least two (a target and a non-target)")
        if target.min() < 0 or target.max() >= classes:
            raise ValueError(f"target holds {target.min()} to {target.max()}, expected class indices below {classes}")
        self.target, self.multi_label = target[:, None], multi_label
        without = logits.scatter(1, self.target, -torch.inf)
        count = classes - 1 if multi_label else min(rivals, classes - 1)
        self.others = without.topk(count, dim=1).indices.sort(1).values

    def repeat(self, copies: int) -> "Readout":
        self.target = self.target.repeat_interleave(copies, 0)
        self.others = self.others.repeat_interleave(copies, 0)
        return self

    def __call__(self, logits: torch.Tensor) -> Read:
        times = len(logits) // len(self.target)
        target, others = self.target.repeat(times, 1), self.others.repeat(times, 1)
        logit = logits.gather(1, target)[:, 0]
        if self.multi_label:
            rest = logits.gather(1, others).sigmoid()
            return Read(logit.sigmoid(), logit, F.logsigmoid(-logit), rest, rest)
        p, without = logits.softmax(1), logits.scatter(1, target, -torch.inf)
        absent = without.logsumexp(1) - logits.logsumexp(1)
        return Read(p.gather(1, target)[:, 0], logit, absent, p.gather(1, others), without.softmax(1).gather(1, others))


def single(values: torch.Tensor) -> torch.Tensor:
    """In single precision at least, so that sums of small terms keep their digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
