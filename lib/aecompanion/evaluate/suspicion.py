"""What detectors of attacked images look at: v(x) of `evaluate.detectors`, with gradients.

Each function makes v, N images to N values, from a `Setting`. Its first question to the network begins with the images
themselves, which `attack.detector_aware` makes use of.
"""

import contextlib
import dataclasses
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.attack.adaptive import StraightThrough
from aecompanion.attack.gradient import quantise
from aecompanion.evaluate.dissimilarity import nissim
from aecompanion.explain.causal_effect import expected_effect
from aecompanion.explain.gradcam import heatmap
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.layers import layer_of
from aecompanion.networks.read import squashed
from aecompanion.train.causal_autoencoder import CausalAutoencoder, cut

Score = Callable[[torch.Tensor], torch.Tensor]  # N×C×H×W images to N values

RIDGE = 0.01  # of the mean variance of a feature, added to the covariance


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """What detectors are made from: the network, its inserted bottleneck and the code channel, and clean images.

    clean: validation images, for medians. known, labels: training images and their labels (N×K zeros and ones, or N
    indices), for the groups of "mahalanobis". penultimate: the module whose input is h (`last_linear`).
    """

    model: nn.Module
    layer: str
    autoencoder: CausalAutoencoder
    channel: int
    multi_label: bool
    heat_layer: str | nn.Module
    penultimate: str | nn.Module
    clean: torch.Tensor
    known: torch.Tensor
    labels: torch.Tensor

    last: list = dataclasses.field(default_factory=list)  # images, gradients wanted, what the network said of them

    def seen(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Probabilities N×K, activations of `layer` and h, with gradients if the images ask for them; one forward pass,
        and none if the same images were the last to be asked for.
        """
        if not self.last or self.last[0] is not images or self.last[1] != torch.is_grad_enabled():
            heard: list[torch.Tensor] = []
            last = layer_of(self.model, self.penultimate)
            handle = last.register_forward_hook(lambda module, given, output: heard.append(given[0]))
            try:
                a, logits = with_activations(self.model, [self.layer], images)
            finally:
                handle.remove()
            self.last[:] = [images, torch.is_grad_enabled(), (self.squashed(logits), a, heard[0].flatten(1))]
        return self.last[2]

    def squashed(self, logits: torch.Tensor) -> torch.Tensor:
        """p of logits."""
        return squashed(logits, multi_label=self.multi_label)


def probability_sum(setting: Setting) -> Score:
    """Σ_k p_k. Cost: one forward pass."""
    return lambda images: setting.seen(images)[0].sum(1)


def uncertainty(p: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """N values of N×K probabilities."""
    return 1 - (torch.maximum(p, 1 - p).mean(1) if multi_label else p.amax(1))


def low_confidence(setting: Setting) -> Score:
    """`uncertainty` of the network's answer. Cost: one forward pass."""
    return lambda images: uncertainty(setting.seen(images)[0], multi_label=setting.multi_label)


def channel_effect(setting: Setting) -> Score:
    """e = ECE_j - ECE0. Cost: one forward pass to the layer and three from it; no connection may lead past it."""

    def effect(images: torch.Tensor) -> torch.Tensor:
        p, a, _ = setting.seen(images)
        code = setting.autoencoder.encode(a)
        kept = torch.ones_like(code[0, :, :1, :1])
        kept[setting.channel] = 0
        restored = setting.autoencoder.decode(torch.cat([code, code * kept]))
        with cut(setting.model, setting.layer, lambda _: restored):
            # what reaches the layer is thrown away, so one image is enough to get there
            through, zeroed = setting.squashed(setting.model(images[:1].detach().clone())).chunk(2)
        return expected_effect(p, zeroed) - expected_effect(p, through)

    return effect


def bottleneck_error(setting: Setting) -> Score:
    """mean |d(c(a)) - a|. Cost: one forward pass."""

    def error(images: torch.Tensor) -> torch.Tensor:
        _, a, _ = setting.seen(images)
        return (setting.autoencoder(a) - a).abs().flatten(1).mean(1)

    return error


def squeezing(setting: Setting) -> Score:
    """The largest |p(x) - p(q(x))|_1. Cost: three forward passes."""

    def moved(images: torch.Tensor) -> torch.Tensor:
        p, _, _ = setting.seen(images)
        squeezed = setting.squashed(setting.model(torch.cat([four_bits(images), median_of_nine(images)]))).chunk(2)
        return torch.stack([(p - each).abs().sum(1) for each in squeezed]).amax(0)

    return moved


def mahalanobis(setting: Setting) -> Score:
    """The smallest distance to a group's mean, one covariance for all groups. Cost: one forward pass."""
    with borrowed(setting.model), torch.no_grad():
        h = torch.cat([setting.seen(part.to(device_of(setting.model)))[2] for part in setting.known.split(64)]).cpu()
    member = groups(setting.labels)
    member = member[:, member.any(0)]
    means = (member.T.to(h) @ h) / member.sum(0)[:, None]
    image, group = member.nonzero().T
    rest = (h[image] - means[group]).double()
    covariance = rest.T @ rest / len(rest)
    spread = covariance.diagonal().mean().clamp_min(1e-12)  # zero where every group has one image
    covariance += RIDGE * spread * torch.eye(len(covariance), dtype=torch.float64)
    whiten = torch.linalg.inv(torch.linalg.cholesky(covariance)).float()

    def distance(images: torch.Tensor) -> torch.Tensor:
        _, _, found = setting.seen(images)
        away = (found[:, None] - means.to(found)) @ whiten.T.to(found)
        return away.square().sum(-1).amin(1)

    return distance


def moved_heatmap(setting: Setting) -> Score:
    """NISSIM of both Grad-CAMs of the top class. Cost: two forward and backward passes."""

    def moved(images: torch.Tensor) -> torch.Tensor:
        both = torch.cat([images, median_of_nine(images)])
        with torch.enable_grad():
            a, logits = with_activations(setting.model, [setting.heat_layer], both)
            top = logits[: len(images)].argmax(1).repeat(2)
            chosen = logits.gather(1, top[:, None]).sum()
            (slope,) = torch.autograd.grad(chosen, a, create_graph=torch.is_grad_enabled(), retain_graph=True)
            maps = torch.relu((slope.mean((2, 3), keepdim=True) * a).sum(1, keepdim=True))
            return nissim(*heatmap(maps, images.shape[-1]).chunk(2))

    return moved


# parts


def four_bits(images: torch.Tensor) -> torch.Tensor:
    """16 levels per pixel; the gradient is that of the image."""
    return StraightThrough.apply(images, quantise(images.detach(), 4))


def median_of_nine(images: torch.Tensor) -> torch.Tensor:
    """The 3×3 median of `defend.transforms.median`, with its gradient: that of the pixel that is the median."""
    padded = F.pad(images, [1] * 4, mode="reflect")
    if images.requires_grad and torch.is_grad_enabled():
        return padded.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4).median(-1).values
    height, width = images.shape[2:]
    columns = [padded[:, :, y : y + height] for y in range(3)]  # sorted first, then their parts: the same value, faster
    low, middle, high = sorted_three(*columns)
    shifted = [[each[..., x : x + width] for x in range(3)] for each in (low, middle, high)]
    largest_low = torch.maximum(torch.maximum(*shifted[0][:2]), shifted[0][2])
    least_high = torch.minimum(torch.minimum(*shifted[2][:2]), shifted[2][2])
    return sorted_three(largest_low, sorted_three(*shifted[1])[1], least_high)[1]


def sorted_three(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Least, middle and largest of three tensors, element by element."""
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    return torch.minimum(low, c), torch.maximum(low, torch.minimum(high, c)), torch.maximum(high, c)


def last_linear(model: nn.Module) -> nn.Linear:
    """The last linear layer, whose input are the penultimate features. Raises ValueError if there is none."""
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(f"{type(model).__name__} has no linear layer whose input could be its penultimate features")
    return found[-1]


def groups(labels: torch.Tensor) -> torch.Tensor:
    """N×G booleans: which group an image belongs to, by class; with several labels the last is "none"."""
    if labels.dim() == 1:
        return F.one_hot(labels).bool()
    return torch.cat([labels.bool(), ~labels.bool().any(1, keepdim=True)], dim=1)


def with_activations(model: nn.Module, layers: list[str | nn.Module], images: torch.Tensor) -> list[torch.Tensor]:
    """What the layers give and the logits, in one graph."""
    kept: list[torch.Tensor] = []

    def keep(output: torch.Tensor) -> torch.Tensor:
        wanted = torch.is_grad_enabled() and not output.requires_grad
        kept.append(output.clone().requires_grad_() if wanted else output)
        return kept[-1].clone()  # a copy: a layer that follows may write over it

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(cut(model, layer, keep))
        logits = model(images.clone())
    return [*kept, logits]
