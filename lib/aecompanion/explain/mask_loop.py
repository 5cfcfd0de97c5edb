"""The loop that optimises a batch of masks, and the terms of its losses (`explain.mask`)."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from aecompanion.explain.readout import DIVERGENCES, Readout, single

STUCK = 0.05  # a mask whose attribution nowhere differs from its start by more has not been optimised


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
        optimiser = torch.optim.Adam([self.u], lr=self.settings.lr, fused=True)
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
        reverse = self.both if settings.loss == "robust" else None
        shown = Shown.apply(m, self.references, self.difference, reverse, *self.disturbance(step))
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

    def disturbance(self, step: int) -> tuple[list[tuple[int, int]] | None, list[torch.Tensor] | None]:
        """The shift and the noise of every shown image, each drawn from the pair's own generator; None for none."""
        rows = len(self.images) * (1 + (self.settings.loss == "robust"))
        pairs = [row // self.copies % len(self.generators) for row in range(rows)]
        shifts = windows = None
        if self.settings.jitter:
            reach = self.settings.jitter
            drawn = [tuple(torch.randint(-reach, reach + 1, (2,), generator=gen).tolist()) for gen in self.generators]
            shifts = [drawn[pair] for pair in pairs]
        if self.settings.noise:
            height, width = self.size
            windows, used = [], [0] * len(self.generators)
            for pair in pairs:
                y, x = self.places[pair][step - 1][used[pair]]
                used[pair] += 1
                windows.append(self.fields[pair][:, y : y + height, x : x + width])
        return shifts, windows

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


class Shown(torch.autograd.Function):
    """What the network is shown: x_pt and, for the cross-check, x_rpt below it, shifted and with noise. One buffer is
    filled, and in the other direction the channels' share of m comes back at once, not through a node per operation.
    """

    @staticmethod
    def forward(ctx, m, references, difference, both, shifts, windows):
        """m: n×1×H×W; references, difference x - x_r, and both x + x_r (or None): n×C×H×W; shifts and windows, one per
        row of the result, or None.
        """
        ctx.save_for_backward(difference)
        ctx.shifts, ctx.twice, ctx.kind = shifts, both is not None, m.dtype
        count = len(difference)
        shown = difference.new_empty(count * (1 + ctx.twice), *difference.shape[1:])
        masked = torch.mul(difference, m.to(difference.dtype), out=shown[:count]).add_(references)
        if ctx.twice:
            torch.sub(both, masked, out=shown[count:])
        if shifts is not None:
            for row, shift in zip(shown, shifts, strict=True):
                row.copy_(row.roll(shift, (1, 2)))
        if windows is not None:
            for row, window in zip(shown, windows, strict=True):
                row += window
        return shown

    @staticmethod
    def backward(ctx, gradient):
        (difference,) = ctx.saved_tensors
        if ctx.shifts is not None:
            back = [
                each.roll((-down, -across), (1, 2)) for each, (down, across) in zip(gradient, ctx.shifts, strict=True)
            ]
            gradient = torch.stack(back)
        gradient = gradient.contiguous()
        if ctx.twice:  # x_rpt = x + x_r - x_pt
            masked, reverse = gradient.chunk(2)
            gradient = masked - reverse
        return (gradient * difference).sum(1, keepdim=True).to(ctx.kind), None, None, None, None, None


def shared(asked: torch.Tensor, ordered: torch.Tensor) -> torch.Tensor:
    """`asked`, n×d, with every entry replaced by the mean over those whose value in the sorted `ordered` is equal."""
    rises = (ordered[:, 1:] != ordered[:, :-1]).long().cumsum(1)
    group = torch.cat([torch.zeros_like(rises[:, :1]), rises], 1)
    sums, counts = (torch.zeros_like(asked).scatter_add_(1, group, each) for each in (asked, torch.ones_like(asked)))
    return (sums / counts.clamp_min(1)).gather(1, group)


def total_variation(u: torch.Tensor, power: float) -> torch.Tensor:
    """h·(mean|∂_y u|^β + mean|∂_x u|^β) of n masks n×1×h×w."""
    down, across = u.diff(dim=2).abs().pow(power), u.diff(dim=3).abs().pow(power)
    return u.shape[2] * (down.flatten(1).mean(1) + across.flatten(1).mean(1))


def upsample(u: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bilinear, from h×w to the image's size: A u Bᵀ with the weights of both axes, a third of `interpolate`'s time."""
    if tuple(u.shape[2:]) == size:
        return u
    down, across = (weights(*each, u.dtype, u.device) for each in zip(u.shape[2:], size, strict=True))
    return down @ u @ across.T


@functools.cache
def weights(side: int, large: int, kind: torch.dtype, device: torch.device) -> torch.Tensor:
    """The bilinear weights of one axis, large×side; each row sums to 1."""
    unit = torch.eye(side, dtype=kind, device=device)[None]
    return F.interpolate(unit, size=(large,), mode="linear", align_corners=False)[0].T.contiguous()
