"""Faithfulness metrics: what the field asks of an attribution map A of class c, beside deletion and insertion.

    pixel flipping    1/(L+1) Σ_k f(x) - f(x_k)       x_k: the hottest share s_k replaced by a fill; higher is better
    ROAD              1/S Σ_s ½ [p(x, coolest s gone) - p(x, hottest s gone)]   gone: noisy linear imputation; higher
    average drop      max(0, p(x) - p(x ⊙ L)) / p(x)  L: A scaled to [0,1]; lower

f: the log-odds of the class in nats (for sigmoids the logit), p: its probability. Every metric has the form

    (model, images N×C×H×W in [0,1], maps N×1×H×W, target: an index or N, given: `Given`) -> N values, float64, CPU

and draws what is random from (seed, key of the picture): a batch of 1 and one of 64 give the same answer. `METRICS`
also has those of other modules: games, class distortion, infidelity, max-sensitivity, and two controls that know
nothing: one that is random and one that is constant.

    randomisation     1 - ρ(A, A')                    A': map of the re-initialised network; ρ of pixels; higher

Where we depart. Pixel flipping: pixels, not regions of 9×9, in steps that double, as most classes are gone early; f is
in log-odds, so that a saturated probability hides nothing. ROAD: in cells where the image is wide; a mean over shares
of both orders, per picture, in the place of accuracies over a set. Class distortion and the reverse image remove as
many of the hottest pixels as the class's footprint has.

Sources: Samek et al., IEEE TNNLS 2017 (pixel flipping); Rong et al., ICML 2022 (ROAD); Chattopadhay et al., WACV 2018
(average drop); Adebayo et al., NeurIPS 2018 (randomisation).
"""

import dataclasses
import functools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.evaluate.dissimilarity import spearman
from aecompanion.evaluate.distortion import distortion_score
from aecompanion.evaluate.games import energy, hottest_removed, play, ranks, replaced
from aecompanion.evaluate.given import Given, chance, checked, odds
from aecompanion.evaluate.imputation import imputed
from aecompanion.evaluate.infidelity import infidelity, max_sensitivity
from aecompanion.networks.read import probabilities
from aecompanion.pipeline.rng import generator

FILLS = ("black", "blur", "noise")
CELLS = 32  # ROAD's cells along the image's side where they fit, else its pixels
Function = Callable[[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor, Given], torch.Tensor]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A row of the registry: what it is called, its function, which way is better, what it costs and needs.

    passes: forward passes per map with these inputs (of max-sensitivity: explanations). needs: fields of `Given`
    without which it cannot be asked. kind: "removal" (pixels are changed), "annotation" (compares with the footprint),
    "network" (compares with the map of another network or picture), or "control".
    """

    name: str
    function: Function
    larger: bool
    passes: Callable[[Given], int]
    kind: str
    needs: tuple[str, ...] = ()

    def oriented(self, values: torch.Tensor) -> torch.Tensor:
        """The values with larger = better."""
        return values if self.larger else -values


def measure(name: str, model, images: torch.Tensor, maps: torch.Tensor, target, given: Given) -> torch.Tensor:
    """One metric by name. Raises ValueError for an unknown name, or where `given` lacks what it needs."""
    if name not in METRICS:
        raise ValueError(f"metric {name!r} is unknown, expected one of {', '.join(METRICS)}")
    for field in METRICS[name].needs:
        given.needed(field)
    return METRICS[name].function(model, images, maps, checked(images, maps, target), given).double().cpu()


def filled(images: torch.Tensor, fill: str, given: Given) -> torch.Tensor:
    """What flipped pixels become. Raises ValueError for an unknown fill."""
    if fill == "black":
        return torch.zeros_like(images)
    if fill == "blur":
        return given.needed("references")
    if fill == "noise":
        keys = given.keys_of(len(images))
        return torch.stack([torch.rand(images.shape[1:], generator=generator(given.seed, k)) for k in keys]).to(images)
    raise ValueError(f"fill {fill!r} is unknown, expected one of {', '.join(FILLS)}")


def flipping_curve(
    model: nn.Module, images: torch.Tensor, maps: torch.Tensor, target: int | torch.Tensor, given: Given, *, fill: str
) -> torch.Tensor:
    """f(x_k) for every share, N×(L+1). Cost: L+1 forward passes per map."""
    target = checked(images, maps, target)
    if list(given.shares) != sorted(set(given.shares)) or given.shares[0] != 0 or given.shares[-1] > 1:
        raise ValueError(f"shares are {tuple(given.shares)}, expected rising numbers from 0 up to at most 1")
    rank, _ = ranks(maps, seed=given.seed, keys=given.keys_of(len(maps)))
    marks = torch.tensor([round(share * rank.shape[1]) for share in given.shares]).reshape(-1, 1, 1, 1)
    end = filled(images, fill, given).to(images)
    rank, count = rank.reshape(maps.shape), len(maps) * len(marks)
    each, values = target.repeat_interleave(len(marks)), []
    for first in range(0, count, given.batch):
        many = min(given.batch, count - first)
        shown = replaced(images, end, rank, marks, first, many)
        values.append(odds(model, shown, each[first : first + many], given))
        del shown  # before the next ones are made
    return torch.cat(values).reshape(len(maps), -1)


def pixel_flipping(
    model: nn.Module, images: torch.Tensor, maps: torch.Tensor, target: int | torch.Tensor, given: Given, *, fill: str
) -> torch.Tensor:
    """The area over the curve of f, in nats; fill: "black", "blur" or "noise" (uniform in [0,1])."""
    curve = flipping_curve(model, images, maps, target, given, fill=fill)
    return (curve[:, :1] - curve).mean(1)


def road(
    model: nn.Module, images: torch.Tensor, maps: torch.Tensor, target: int | torch.Tensor, given: Given
) -> torch.Tensor:
    """ROAD of both orders, in [-½, ½]. Cost: two forward passes per share."""
    target, side = checked(images, maps, target), min(images.shape[2:])
    cell = max(1, side // CELLS) if side % CELLS == 0 else 1
    small, keys = F.avg_pool2d(maps, cell), given.keys_of(len(images))
    rank, _ = ranks(small, seed=given.seed, keys=keys)
    pixels, found = rank.shape[1], torch.zeros(len(images), dtype=torch.float64)
    for share in given.imputed:
        many = round(share * pixels)
        if not 0 < many < pixels:
            raise ValueError(f"ROAD removes a share of {share}, expected one inside (0, 1) of {pixels} cells")
        for sign, gone in ((-1, rank < many), (1, rank >= pixels - many)):
            shown = imputed(images, gone.reshape(small.shape), cell=cell, seed=given.seed, keys=keys)
            found += sign * chance(model, shown, target, given)
    return found / (2 * len(given.imputed))


def average_drop(
    model: nn.Module, images: torch.Tensor, maps: torch.Tensor, target: int | torch.Tensor, given: Given
) -> torch.Tensor:
    """The share of p that is lost where the image is multiplied by the map scaled to [0,1] by its minimum and maximum;
    a constant map keeps everything. In [0,1]. Cost: two forward passes.
    """
    target = checked(images, maps, target)
    low, high = (limit(maps, (1, 2, 3), keepdim=True) for limit in (torch.amin, torch.amax))
    scale = torch.where(high > low, (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny), 1.0)
    before, after = (chance(model, each, target, given) for each in (images, images * scale.to(images)))
    return ((before - after) / before.clamp_min(1e-12)).clamp_min(0)


def deletion(model: nn.Module, images, maps, target, given: Given) -> torch.Tensor:
    """AUC of the deletion game into the mean colour."""
    return played(model, images, images.mean((2, 3), keepdim=True).expand_as(images), maps, target, given)


def insertion(model: nn.Module, images, maps, target, given: Given) -> torch.Tensor:
    """AUC of the insertion game out of the reference."""
    return played(model, given.needed("references"), images, maps, target, given)


def played(model: nn.Module, start, end, maps, target, given: Given) -> torch.Tensor:
    """AUC of a game in the shares `given.played`."""
    steps = [round(share * maps[0].numel()) for share in given.played]
    options = {"multi_label": given.multi_label, "seed": given.seed, "keys": given.keys_of(len(maps))}
    return play(model, start, end, maps, target, steps=steps, batch=given.batch, **options).auc


def cut_out(images, maps, given: Given) -> tuple[torch.Tensor, torch.Tensor]:
    """The image without its hottest pixels, as many as the footprint has, and the image of these pixels alone."""
    area, references = given.needed("inside").flatten(1).double().mean(1), given.needed("references")
    mask = hottest_removed(maps, area, seed=given.seed, keys=given.keys_of(len(maps)))
    masked = references + mask.to(images) * (images - references)
    return masked, images + references - masked


def class_distortion(model: nn.Module, images, maps, target, given: Given) -> torch.Tensor:
    """CDS, the absolute form, of the masked image."""
    masked, _ = cut_out(images, maps, given)
    ask = {"multi_label": given.multi_label, "batch": given.batch}
    clean, after = (probabilities(model, each, **ask) for each in (images, masked))
    return distortion_score(clean, after, target)


def reverse_confidence(model: nn.Module, images, maps, target, given: Given) -> torch.Tensor:
    """p of the class in the reverse image."""
    return chance(model, cut_out(images, maps, given)[1], target, given)


def pointing_energy(model: nn.Module, images, maps, target, given: Given) -> torch.Tensor:
    """Share of the map inside the footprint; for a constant map the footprint's share of the image."""
    inside = given.needed("inside")
    found = energy(maps, inside)
    return torch.where(found.isnan(), inside.flatten(1).float().mean(1), found)


def randomisation(model: nn.Module, images, maps, target, given: Given) -> torch.Tensor:
    """1 - ρ; a constant map has no ranks, which count as unchanged (0)."""
    same = spearman(maps, given.needed("other"))
    return torch.where(same.isnan(), 0.0, 1 - same)


def drawn(model: nn.Module, images, maps, target, given: Given) -> torch.Tensor:
    """A number that knows nothing, uniform in [0,1], from (seed, key, stream)."""
    gens = [generator(given.seed, key, given.stream) for key in given.keys_of(len(maps))]
    return torch.stack([torch.rand((), generator=gen) for gen in gens])


def constant(model: nn.Module, images, maps, target, given: Given) -> torch.Tensor:
    """0."""
    return torch.zeros(len(maps))


def none(given: Given) -> int:
    return 0


def games_passes(given: Given) -> int:
    return len(given.played)


METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        Metric("deletion", deletion, False, games_passes, "removal"),
        Metric("insertion", insertion, True, games_passes, "removal", ("references",)),
        *(
            Metric(
                f"pixel flipping ({fill})",
                functools.partial(pixel_flipping, fill=fill),
                True,
                lambda given: len(given.shares),
                "removal",
                ("references",) if fill == "blur" else (),
            )
            for fill in FILLS
        ),
        Metric("ROAD", road, True, lambda given: 2 * len(given.imputed), "removal"),
        Metric("average drop", average_drop, False, lambda given: 2, "removal"),
        Metric("infidelity", infidelity, False, lambda given: given.squares + 1, "removal", ("references",)),
        Metric("class distortion", class_distortion, True, lambda given: 2, "removal", ("references", "inside")),
        Metric("reverse confidence", reverse_confidence, True, lambda given: 1, "removal", ("references", "inside")),
        Metric("energy pointing", pointing_energy, True, none, "annotation", ("inside",)),
        Metric("max-sensitivity", max_sensitivity, False, lambda given: given.neighbours, "network", ("explain",)),
        Metric("randomisation", randomisation, True, none, "network", ("other",)),
        Metric("random", drawn, True, none, "control"),
        Metric("constant", constant, True, none, "control"),
    )
}
