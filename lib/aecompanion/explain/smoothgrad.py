"""SmoothGrad: the mean gradient over noisy copies of the image.

    A = max over channels of | (1/S) Σ_s ∂z_c/∂x (x + ε_s) | ,     ε_s ~ N(0, σ²),    σ = noise · (max x - min x)

z_c: the logit of the explained class c; S: `samples`. The noise of an image is drawn from (seed, its key) and one image
is explained at a time, so a map does not depend on its batch. captum's `NoiseTunnel` gives the same at equal noise, but
draws it from torch's own generator; the gradients are captum's. Noisy copies may leave [0,1], as published. We show 24
copies, as many points as IG has, where Smilkov et al. show 50.
Source: Smilkov, Thorat, Kim, Viégas and Wattenberg, ICML Workshop on Visualization 2017.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from captum.attr import Saliency
from torch import nn

from aecompanion.explain.portions import per_pass
from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.pipeline.rng import generator

SAMPLES, NOISE = 24, 0.15


def smoothgrad(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    *,
    samples: int = SAMPLES,
    noise: float = NOISE,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> torch.Tensor:
    """A of the formula, N×1×H×W on the CPU, in the kind of number of the images.

    Args:
        images: N×C×H×W in [0,1]. target: one class index or N. samples: S, forward and backward passes per pair. noise:
            σ as a share of the image's range. seed, keys: of the noise; keys tell the images apart (default: their
            positions).

    Raises ValueError for fewer than one sample, a negative noise, another number of keys than of images, and for
    targets as in `explain.target`.
    """
    noisy = noisy_gradients(model, images, target, samples=samples, noise=noise, seed=seed, keys=keys)
    return of_noisy(noisy).to(images.dtype)


def of_noisy(noisy: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """A of N images from their `noisy_gradients`, N×1×H×W."""
    return torch.stack([slopes.mean(0).abs().amax(0, keepdim=True) for _, slopes in noisy])


def noisy_gradients(
    model: nn.Module,
    images: torch.Tensor,
    target: int | torch.Tensor,
    *,
    samples: int,
    noise: float,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """ε and ∂z_c/∂x (x + ε) of one image after another, S×C×H×W each, on the CPU, at least in single precision.

    Arguments and errors as in `smoothgrad`.
    """
    if samples < 1 or noise < 0:
        raise ValueError(f"samples {samples}, noise {noise}: expected at least 1 and at least 0")
    device, target = device_of(model), targets_of(target, len(images))
    keys = keys_of(keys, len(images))
    kind = torch.promote_types(images.dtype, torch.float32)

    def logits_of(points: torch.Tensor) -> torch.Tensor:
        logits = model(points.clone())  # a leaf cannot be written into
        targets_of(target, len(images), classes=logits.shape[1])
        return logits

    with borrowed(model):
        explain = Saliency(logits_of)
        for image, label, key in zip(images.detach().cpu(), target.tolist(), keys, strict=True):
            drawn = torch.randn(samples, *image.shape, generator=generator(seed, int(key)))
            shift = (noise * (image.max() - image.min()).float() * drawn).to(image.dtype)
            slopes = []
            for part in (image + shift).split(per_pass(images, device)):
                points = part.to(device).requires_grad_()
                slopes.append(explain.attribute(points, target=label, abs=False).detach().cpu())
            yield shift.to(kind), torch.cat(slopes).to(kind)


def keys_of(keys: Sequence[int] | None, count: int) -> Sequence[int]:
    """The keys of `count` images, their positions if none are given. Raises ValueError for another number of them."""
    if keys is None:
        return range(count)
    if len(keys) != count:
        raise ValueError(f"there are {len(keys)} keys, expected one for each of {count} images")
    return keys
