"""Infidelity and max-sensitivity of attribution maps A, through `captum.metrics`.

    infidelity        E_I ( β I·A - (f(x) - f(x - I)) )²     β: the scale that fits A best; lower is better
    max-sensitivity   max_{|δ| <= r} ‖A(x + δ) - A(x)‖ / ‖A(x)‖                  lower is better

f: log-odds of the class in nats. I is the indicator of a random square, and x - I the picture with the reference in
that square: the attributions inside are asked what they add up to. β may be negative: a map and its negative score
alike. Max-sensitivity asks how steady a map is, not how true: a map that is the same for every picture is the
steadiest. Source: Yeh et al., "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019. Where we depart: all
that is random is drawn per picture from (seed, key); squares alone, no noise that takes A as a gradient.
"""

from collections.abc import Callable

import torch
from captum.metrics import infidelity as captum_infidelity, sensitivity_max
from torch import nn

from aecompanion.evaluate.given import Given, checked
from aecompanion.evaluate.truth import log_odds
from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.read import several_labels
from aecompanion.pipeline.rng import generator

SQUARE = (1 / 8, 1 / 2)  # sides of the squares, shares of the image's


def infidelity(
    model: nn.Module, images: torch.Tensor, maps: torch.Tensor, target: int | torch.Tensor, given: Given
) -> torch.Tensor:
    """Infidelity in nats², through `captum.metrics.infidelity`. Cost: squares + 1 forward passes."""
    target, keys, references = checked(images, maps, target), given.keys_of(len(images)), given.needed("references")
    device, several, found = device_of(model), several_labels(model, given.multi_label), []

    def value(shown: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        return log_odds(model(shown), multi_label=several).gather(1, own[:, None])[:, 0]

    with borrowed(model), torch.no_grad():
        for image, reference, each, own, key in zip(images, references, maps, target, keys, strict=True):
            drawn = squares(given.squares, image, generator(given.seed, key))

            def perturb(shown: torch.Tensor, drawn=drawn, reference=reference) -> tuple[torch.Tensor, torch.Tensor]:
                part = drawn[: len(shown)].to(shown)
                return part.expand_as(shown) / shown.shape[1], shown - part * (shown - reference.to(shown))

            whole = each.expand_as(image)[None].to(device, images.dtype)
            options = {"n_perturb_samples": given.squares, "normalize": True}
            options |= {"additional_forward_args": (own.to(device).expand(1),)}
            found.append(captum_infidelity(value, perturb, image[None].to(device), whole, **options))
    return torch.cat(found).double().cpu()


def squares(count: int, image: torch.Tensor, gen: torch.Generator) -> torch.Tensor:
    """Indicators of random squares, count×1×H×W."""
    height, width = image.shape[1:]
    low, high = (max(1, round(share * min(height, width))) for share in SQUARE)
    drawn = torch.zeros(count, 1, height, width)
    for mask in drawn:
        side = int(torch.randint(low, high + 1, (), generator=gen))
        top, left = (int(torch.randint(0, size - side + 1, (), generator=gen)) for size in (height, width))
        mask[:, top : top + side, left : left + side] = 1
    return drawn


def max_sensitivity(
    model: nn.Module, images: torch.Tensor, maps: torch.Tensor, target: int | torch.Tensor, given: Given
) -> torch.Tensor:
    """Max-sensitivity through `captum.metrics.sensitivity_max`; δ uniform in [-r, r], images stay in [0,1]. NaN for a
    map of zeros. Cost: the explanation of `neighbours` versions of the picture; the given maps are not made again.
    """
    checked(images, maps, target)
    explain, found = given.needed("explain"), []
    for place, (image, each, key) in enumerate(zip(images, maps, given.keys_of(len(images)), strict=True)):
        known = [(each[None],)]  # captum asks for the map of the image itself first, with a tuple for a tuple
        drawn = torch.rand(given.neighbours, *image.shape, generator=generator(given.seed, key)).to(image)

        def explained(shown, known=known, place=place):
            if known:
                return known.pop()
            with torch.enable_grad():
                return explain(shown, place)

        versions = (image + given.radius * (2 * drawn - 1)).clamp(0, 1)
        samples = {"n_perturb_samples": given.neighbours}
        samples["perturb_func"] = always(versions)
        found.append(sensitivity_max(explained, image[None], **samples).cpu().double())
    values = torch.cat(found)
    return torch.where(maps.flatten(1).abs().amax(1).cpu() > 0, values, torch.nan)


def always(versions: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A perturbation that gives these versions whatever it is shown (captum counts its arguments)."""
    return lambda shown: versions
