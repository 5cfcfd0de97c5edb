"""Masks by optimisation: Meaningful, Extremal and Robust Perturbation are losses of one batched optimiser.

    x_pt = m ⊙ x + (1 - m) ⊙ x_r,      x_rpt = (1 - m) ⊙ x + m ⊙ x_r,      m = upsample(u),  u ∈ [0,1]^(h×w)
    m* = argmin_m  L(m) + λ_area · mean|1 - m| + λ_tv · h · (mean|∂_y u|^β + mean|∂_x u|^β),    attribution 1 - m*

m = 1 keeps a pixel, 0 replaces it by the reference x_r. With p(c) what the network says of class c, T the explained
class, N the other classes, o the clean image, and D(p‖q) = log2(1 + |p - q|) (bounded), L is

    meaningful      p_pt(T)                                                        Fong and Vedaldi, ICCV 2017
    meaningful_log  -log(1 - p_pt(T)), which does not saturate where p(T) = 1      our variant of it
    target          -D(p_o(T)‖p_pt(T))                                             Kim et al., IEEE TIP 2022, T only
    mask            target + mean_N D(p_o‖p_pt)                                    L_M of Kim et al.
    robust          mask + D(p_o(T)‖p_rpt(T)) + mean_N log2(1 + p_rpt)             L_M + L_RM, the cross-check
    extremal        -z(T) of the image with only an area a shown,                  Fong, Patrick and Vedaldi, ICCV 2019
                    + λ_area·g^(t/T) · mean( sort(u) - r_a )²;  the map is the mean over several areas

Adam on u, clamped to [0,1] after each step; noise is added to every perturbed image, drawn from (seed, key of the
pair), so a mask depends neither on its batch nor on the method beside it.

Where we depart. Kim et al. call D a divergence; their released code computes the log above, which is the default here
(`divergence="kl"` is the Bernoulli one). Their slides have neither the total variation term nor means; the code has
both. h in front of the variation makes its weight independent of the resolution (a contour covers a share ∝ 1/h): their
20 at 300 px is 20/300 here. Clean image, masked image and reference share one normalisation (the code mixes two), and
the mask returned is the one after the last step. Extremal Perturbation runs with Adam and bilinear masks like the
others (TorchRay: SGD and a smooth maximum), and its area term must be weak at first: with all of u equal, sorting says
nothing. The area term keeps its slope at m = 1, where |1 - m| has none.

A softmax couples the classes: lowering one raises the rest. With `multi_label=False`, p(T) is the softmax; the N are
the `rivals` most likely other classes of the clean image; what must be kept is their share among all classes but T,
softmax(z without T); what must stay low in the reverse image is their softmax.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.read import several_labels
from aecompanion.pipeline.rng import generator


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


LOSSES = ("meaningful", "meaningful_log", "target", "mask", "robust", "extremal")
STUCK = 0.05  # a mask whose attribution nowhere differs from its start by more has not been optimised


@dataclasses.dataclass(frozen=True)
class Settings:
    """What defines a mask method.

    loss: one of LOSSES. side: h and w of u, None for the image's own. start: initial m (1 keeps all, 0 replaces all).
    area, variation, power: λ_area, λ_tv, β. noise: standard deviation, pixel units. jitter: shift of the masked image
    by up to so many pixels, anew at each step. areas, growth: of "extremal".
    """

    loss: str = "robust"
    side: int | None = 16
    start: float = 0.0
    steps: int = 150
    lr: float = 0.1
    area: float = 5.0
    variation: float = 20 / 300
    power: float = 2.0
    noise: float = 0.05
    jitter: int = 0
    divergence: str = "log_l1"
    areas: tuple[float, ...] = (0.025, 0.05, 0.1, 0.2)
    growth: float = 16.0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss {self.loss!r} is unknown, expected one of {', '.join(LOSSES)}")
        if self.divergence not in DIVERGENCES:
            raise ValueError(f"divergence {self.divergence!r} is unknown, expected one of {', '.join(DIVERGENCES)}")
        if not 0 <= self.start <= 1:
            raise ValueError(f"start is {self.start}, expected a number in [0, 1]")
        if self.steps < 1 or (self.side is not None and self.side < 2):
            raise ValueError(f"steps {self.steps}, side {self.side}: expected at least 1 step and a side of at least 2")
        if self.loss == "extremal" and not (self.areas and all(0 < area < 1 for area in self.areas)):
            raise ValueError(f"areas are {self.areas}, expected shares of the image inside (0, 1)")


# The published numbers, each at its own start and resolution (Kim et al.: 300 px; Fong and Vedaldi in the port that
# Kim et al.'s code resembles: 28×28 for 224 px). `mask_tuning` runs both at 64 px. EP's (TorchRay: weight
# 300, growing 16-fold over 800 steps) belong to SGD with a rate of .01: Adam's steps do not shrink with the gradient,
# and a term of that weight would outvote the network.
PUBLISHED = {
    "MP": Settings("meaningful", side=28, start=1.0, steps=500, area=0.01, variation=0.2 / 28, power=3.0),
    "RP": Settings("robust", side=None),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Masks:
    """n optimised masks: `mask` n×1×H×W in [0,1], 1 = keep; `stuck`: n booleans, never left its start; `losses`:
    steps×n; `history`: one n×1×H×W tensor per recorded step. All on the CPU.
    """

    mask: torch.Tensor
    stuck: torch.Tensor
    losses: torch.Tensor
    history: list[torch.Tensor]

    @property
    def attribution(self) -> torch.Tensor:
        """1 - m*, n×1×H×W in [0,1], larger = more important."""
        return 1 - self.mask


def optimise(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    references: torch.Tensor,
    settings: Settings,
    *,
    multi_label: bool | None = None,
    rivals: int = 10,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    batch: int = 32,
    record: Sequence[int] = (),
    progress: Callable[[int], object] = lambda step: None,
) -> Masks:
    """The masks of n pairs (image, class).

    Args:
        images, references: x and x_r, n×C×H×W in [0,1]. target: one class index or n. multi_label, rivals: see
            above; None asks the network's card.
        seed, keys: the noise of a pair is drawn from (seed, its key); by default its position. batch: pairs at once.
        record: steps after which masks are kept in `history`, 0 for the start. progress: called after each step.

    A step costs one forward and one backward pass per pair, with the loss "robust" two, with "extremal" as many as
    there are areas. In half precision the network sees half, masks and losses are single precision. Raises ValueError
    for shapes that do not fit, fewer than two classes, images that are not finite, a network without a card if
    `multi_label` is None, and for targets as in `explain.target`.
    """
    count = len(images)
    keys = list(range(count)) if keys is None else list(keys)
    if images.dim() != 4 or min(images.shape[2:]) < 2:
        raise ValueError(f"images are {tuple(images.shape)}, expected n×C×H×W with at least 2×2 pixels")
    if references.shape != images.shape or len(keys) != count:
        raise ValueError(
            f"images {tuple(images.shape)}, references {tuple(references.shape)} and {len(keys)} keys: expected "
            "n×C×H×W twice and n keys"
        )
    target = targets_of(target, count)
    if not (torch.isfinite(images).all() and torch.isfinite(references).all()):
        raise ValueError("images or references hold values that are not finite, expected numbers in [0, 1]")
    several = several_labels(model) if multi_label is None else multi_label
    device = device_of(model)
    parts = []
    with borrowed(model):
        for start in range(0, count, batch):
            here = slice(start, start + batch)
            loop = Loop(
                model,
                *(each[here].to(device) for each in (images, target, references)),
                settings,
                multi_label=several,
                rivals=rivals,
                generators=[generator(seed, key) for key in keys[here]],
            )
            parts.append(loop.run(set(record), progress))
    return Masks(
        torch.cat([part.mask for part in parts]),
        torch.cat([part.stuck for part in parts]),
        torch.cat([part.losses for part in parts], dim=1),
        [torch.cat(steps) for steps in zip(*(part.history for part in parts), strict=True)],
    )


class Loop:
    """The optimisation of one batch of masks."""

    def __init__(self, model, images, target, references, settings, *, multi_label, rivals, generators) -> None:
        self.model, self.settings, self.generators = model, settings, generators
        self.extremal = settings.loss == "extremal"
        copies = len(settings.areas) if self.extremal else 1  # one row per image and area
        self.images, self.references = images.repeat_interleave(copies, 0), references.repeat_interleave(copies, 0)
        self.difference, self.both = self.images - self.references, self.images + self.references
        self.size = tuple(images.shape[2:])
        side = self.size if settings.side is None else (settings.side, settings.side)
        # "extremal" shows the region, the other losses remove it: its u is 1 - m
        start = 1 - settings.start if self.extremal else settings.start
        self.u = torch.full((len(self.images), 1, *side), start, device=images.device).requires_grad_()
        self.start, self.copies = start, copies
        with torch.no_grad():
            logits = single(model(images.clone()))
            self.read = Readout(logits, target, multi_label=multi_label, rivals=rivals).repeat(copies)
            self.clean = self.read(logits.repeat_interleave(copies, 0))
        if settings.noise:
            self.draw_noise(generators, copies * (1 + (settings.loss == "robust")))

    def draw_noise(self, generators: Sequence[torch.Generator], draws: int) -> None:
        """Per pair a field of four times the image's area and, for every step, the places of the windows it uses:
        normal numbers anew at each step would cost a third of the network's time.
        """
        channels, height, width = self.images.shape[1:]
        shape = (channels, 2 * height, 2 * width)
        fields = [self.settings.noise * torch.randn(shape, generator=gen) for gen in generators]
        self.fields = torch.stack(fields).to(self.images)
        reach = torch.tensor([height, width])
        drawn = (self.settings.steps, draws, 2)
        self.places = [(torch.rand(drawn, generator=gen) * (reach + 1)).long().tolist() for gen in generators]

    def run(self, record: set[int], progress: Callable[[int], object]) -> Masks:
        """All steps."""
        optimiser = torch.optim.Adam([self.u], lr=self.settings.lr)
        losses, history = [], [self.mask()] if 0 in record else []
        for step in range(1, self.settings.steps + 1):
            optimiser.zero_grad(set_to_none=True)
            loss = self.loss(step)
            loss.sum().backward()
            optimiser.step()
            with torch.no_grad():
                self.u.clamp_(0, 1)
            losses.append(loss.detach().reshape(-1, self.copies).mean(1).cpu())
            if step in record:
                history.append(self.mask())
            progress(step)
        moved = (self.u.detach() - self.start).abs().reshape(len(self.generators), -1).amax(1)
        return Masks(self.mask(), (moved <= STUCK).cpu(), torch.stack(losses), history)

    def mask(self) -> torch.Tensor:
        """The masks as they are, n×1×H×W on the CPU: 1 = keep; of several areas 1 - the mean of what they show."""
        with torch.no_grad():
            m = upsample(self.u.detach(), self.size)
            if self.extremal:
                m = 1 - m.reshape(-1, self.copies, *m.shape[1:]).mean(1)
            return m.clamp(0, 1).cpu()  # interpolation may round to 1 + 1e-7

    def loss(self, step: int) -> torch.Tensor:
        """The objective of every row."""
        settings = self.settings
        m = upsample(self.u, self.size)
        masked = self.references + m.to(self.images.dtype) * self.difference
        shown = masked
        if settings.loss == "robust":
            shown = torch.cat([masked, self.both - masked])  # x_rpt = x + x_r - x_pt
        if settings.noise or settings.jitter:
            shown = self.disturbed(shown, step)
        read = self.read(single(self.model(shown)))
        if self.extremal:
            return self.size_term(step) + settings.variation * total_variation(self.u, settings.power) - read.logit
        distance = DIVERGENCES[settings.divergence]
        kept, reverse = read, None
        if settings.loss == "robust":
            kept, reverse = read.halves()
        value = {
            "meaningful": lambda: kept.target,
            "meaningful_log": lambda: -kept.absent,
        }.get(settings.loss, lambda: -distance(self.clean.target, kept.target))()
        if settings.loss in ("mask", "robust"):
            value = value + distance(self.clean.share, kept.share).mean(1)
        if reverse is not None:
            value = value + distance(self.clean.target, reverse.target)
            value = value + distance(torch.zeros_like(reverse.others), reverse.others).mean(1)
        value = value + settings.area * (1 - m).flatten(1).mean(1)
        return value + settings.variation * total_variation(self.u, settings.power)

    def disturbed(self, shown: torch.Tensor, step: int) -> torch.Tensor:
        """With noise and a shift, each drawn from the pair's own generator."""
        pairs = [row // self.copies % len(self.generators) for row in range(len(shown))]
        if self.settings.jitter:
            reach = self.settings.jitter
            shifts = [torch.randint(-reach, reach + 1, (2,), generator=gen).tolist() for gen in self.generators]
            shown = torch.stack([each.roll(shifts[pair], (1, 2)) for each, pair in zip(shown, pairs, strict=True)])
        if self.settings.noise:
            height, width = self.size
            windows, used = [], [0] * len(self.generators)
            for pair in pairs:
                y, x = self.places[pair][step - 1][used[pair]]
                used[pair] += 1
                windows.append(self.fields[pair][:, y : y + height, x : x + width])
            shown = shown + torch.stack(windows)
        return shown

    def size_term(self, step: int) -> torch.Tensor:
        """The area constraint of Extremal Perturbation: the sorted mask against zeros followed by ones. In its gradient
        equal values share what is asked of them: no order of theirs decides which rise (at the start all are equal).
        """
        flat = self.u.flatten(1).sort(dim=1).values
        areas = torch.tensor(self.settings.areas, device=flat.device).repeat(len(self.generators))
        ones = (
            torch.arange(flat.shape[1], device=flat.device) >= (flat.shape[1] * (1 - areas)).round()[:, None]
        ).float()
        weight = self.settings.area * self.settings.growth ** (step / self.settings.steps)
        fair = (flat - shared(ones, flat.detach())).square()
        return weight * (fair + ((flat - ones).square() - fair).detach()).mean(1)


def shared(asked: torch.Tensor, ordered: torch.Tensor) -> torch.Tensor:
    """`asked`, n×d, with every entry replaced by the mean over those whose value in the sorted `ordered` is equal."""
    rises = (ordered[:, 1:] != ordered[:, :-1]).long().cumsum(1)
    group = torch.cat([torch.zeros_like(rises[:, :1]), rises], 1)
    sums, counts = (torch.zeros_like(asked).scatter_add_(1, group, each) for each in (asked, torch.ones_like(asked)))
    return (sums / counts.clamp_min(1)).gather(1, group)


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


def total_variation(u: torch.Tensor, power: float) -> torch.Tensor:
    """h·(mean|∂_y u|^β + mean|∂_x u|^β) of n masks n×1×h×w."""
    down, across = u.diff(dim=2).abs().pow(power), u.diff(dim=3).abs().pow(power)
    return u.shape[2] * (down.flatten(1).mean(1) + across.flatten(1).mean(1))


def upsample(u: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bilinear, from h×w to the image's size."""
    if tuple(u.shape[2:]) == size:
        return u
    return F.interpolate(u, size=size, mode="bilinear", align_corners=False)
