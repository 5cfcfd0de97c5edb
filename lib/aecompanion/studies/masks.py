"""Which pairs (image, class) are explained, and what the games and the distortion scores say of their maps.

A pair is used where every network of the comparison gets the image's whole set of labels right (Kim et al., IEEE TIP
2022, do so with their one network); `choose` counts what is left out, because it is a selection.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from aecompanion.data.dataset import Dataset
from aecompanion.data.regions import Regions
from aecompanion.evaluate.distortion import DEFINITIONS, distortion_score, nontarget_change, nontarget_level
from aecompanion.evaluate.games import energy, hottest_removed, play, schedule
from aecompanion.explain.methods import Explained
from aecompanion.networks.read import probabilities
from aecompanion.pipeline.rng import generator
from aecompanion.train import score as scoring

BATCH = 32  # images per pass in the games: on a CPU compact networks take a third longer per image in batches of 128


def right(model: nn.Module, dataset: Dataset, indices: np.ndarray, *, batch: int = 128) -> np.ndarray:
    """Which label decisions are right (probability above 1/2 means yes), N×K booleans."""
    return ((scoring.predict(model, dataset, indices, batch=batch) > 0) == dataset.labels[indices].bool()).numpy()


def choose(
    models: Sequence[nn.Module], dataset: Dataset, regions: Regions, *, split: str, count: int, errors: int = 0
) -> tuple[Regions, dict[str, int]]:
    """Up to `count` regions of a split, evenly spread over those whose image every network gets exactly right.

    `errors`: labels of other classes that each network may have wrong (0: the paper's rule; the pair's own class is
    always recognised). Returns the regions and the counts {images, exact images, pairs allowed, pairs used}. Raises
    ValueError if none is left.
    """
    indices = dataset.indices(split)
    if not len(indices):
        raise ValueError(f"no image of the 0 in the {split} split can be explained, expected at least one")
    decisions = np.stack([right(model, dataset, indices) for model in models])  # networks × images × classes
    wrong = (~decisions).sum(2).max(0)
    place = {image: position for position, image in enumerate(indices)}
    candidates = [
        row
        for row, (image, label) in enumerate(zip(regions.image, regions.label, strict=True))
        if image in place and wrong[place[image]] <= errors and decisions[:, place[image], label].all()
    ]
    candidates = np.array(candidates, int)
    if not len(candidates):
        raise ValueError(
            f"no image of the {len(indices)} in the {split} split is labelled exactly right by all {len(models)} "
            "networks and has a region, expected at least one: train longer or give more images"
        )
    used = candidates[np.linspace(0, len(candidates) - 1, min(count, len(candidates))).round().astype(int)]
    counts = {"images": len(indices), "exact": int((wrong == 0).sum()), "pairs": len(candidates), "used": len(used)}
    return regions.select(used), counts


def typical(changes: Mapping[str, torch.Tensor], several: torch.Tensor, *, without: int) -> int:
    """Which of n pairs stands for the others: the one whose `changes`, n per method, are nearest to their medians.

    Distances are of logarithms, since changes differ by orders of magnitude, and summed over the methods. Only pairs of
    `several` objects count if there are any, and never the pair `without`. Ties go to the first. Raises ValueError for
    fewer than two pairs.
    """
    if len(several) < 2:
        raise ValueError(f"{len(several)} pairs, expected at least 2")
    logs = torch.stack([each.clamp_min(1e-6).log() for each in changes.values()])
    away = (logs - logs.quantile(0.5, dim=1, keepdim=True)).abs().sum(0)
    allowed = several.bool() & (torch.arange(len(several)) != without)
    if not allowed.any():
        allowed = torch.arange(len(several)) != without
    return int(away.masked_fill(~allowed, torch.inf).argmin())


def chunks(count: int, size: int, cuts: Iterable[int] = ()) -> list[np.ndarray]:
    """The positions 0 to count - 1 in chunks of `size`, with further cuts where methods end that the first pairs only
    are explained with.
    """
    return np.split(np.arange(count), sorted(cut for cut in {*cuts, *range(size, count, size)} if cut < count))


def steps(pixels: int) -> tuple[list[int], list[int]]:
    """The steps of the deletion and of the insertion game: fine (1/256 and 1/64 of the pixels) where the curves move,
    on the first 1/64 and 1/8 of the pixels, coarse (1/16 and 1/8) at the end; the deletion takes 1/128 up to 1/16.
    """
    early = schedule(pixels // 16, first=pixels // 256, fine=pixels // 64, then=pixels // 128)
    removed = sorted({*early, *schedule(pixels, first=pixels // 16, fine=pixels)})
    return removed, schedule(pixels, first=pixels // 64, fine=pixels // 8, then=pixels // 8)


def substrates(
    images: torch.Tensor, references: torch.Tensor, *, keys: Sequence[int], seed: int = 0
) -> dict[str, torch.Tensor]:
    """What deleted pixels may become, n×C×H×W each: the image's mean colour (as in `score`), black, the reference on
    which masks are optimised, and noise, uniform in [0,1] and drawn from (seed, key).
    """
    noise = [torch.rand(images.shape[1:], generator=generator(seed, key)) for key in keys]
    return {
        "mean colour": images.mean((2, 3), keepdim=True).expand_as(images),
        "black": torch.zeros_like(images),
        "blur": references,
        "noise": torch.stack(noise).to(images),
    }


def on_substrates(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    references: torch.Tensor,
    found: Mapping[str, Explained],
    *,
    keys: Sequence[int],
    known: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per pair, method and substrate s: deletion (AUC of the map) and, where the method makes masks m, change,
    mean |p_clean - p(s + m (x - s))| over the other classes (else NaN).

    known: deletion AUCs that need not be played again, those of the mean colour (`score`) by method.
    """
    removed, _ = steps(images.shape[2] * images.shape[3])
    clean, rows = probabilities(model, images, batch=BATCH), []
    for substrate, end in substrates(images, references, keys=keys, seed=seed).items():
        ends = of_class(clean, target), of_class(probabilities(model, end, batch=BATCH), target)
        for method, each in found.items():
            if substrate == "mean colour" and known is not None and method in known:
                auc = list(known[method])
            else:
                options = {"steps": removed, "seed": seed, "keys": keys, "batch": BATCH, "ends": ends}
                auc = play(model, images, end, each.maps, target, **options).auc.tolist()
            change = [float("nan")] * len(images)
            if each.mask is not None:
                after = probabilities(model, end + each.mask * (images - end), batch=BATCH)
                change = nontarget_change(clean, after, target).tolist()
            rows += [
                {"pair": key, "method": method, "substrate": substrate, "deletion": value, "change": moved}
                for key, value, moved in zip(keys, auc, change, strict=True)
            ]
    return pd.DataFrame(rows)


def of_class(values: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The entry of the explained class of each of n rows."""
    return values.gather(1, target[:, None])[:, 0]


def unmasked(model: nn.Module, images: torch.Tensor, references: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the network says, n×K probabilities each, of what every game of a pair has in common: the image, its
    reference and its mean colour.
    """
    mean_colour = images.mean((2, 3), keepdim=True).expand_as(images)
    shown = {"image": images, "reference": references, "mean colour": mean_colour}
    return {name: probabilities(model, each, batch=BATCH) for name, each in shown.items()}


def both_ways(
    model: nn.Module, images: torch.Tensor, references: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network says, n×K probabilities each, of the masked and of the reverse image."""
    masked = references + mask * (images - references)
    return tuple(probabilities(model, each, batch=BATCH) for each in (masked, images + references - masked))


def score(
    model: nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    references: torch.Tensor,
    inside: torch.Tensor,
    explained: Explained,
    *,
    areas: torch.Tensor | None,
    keys: Sequence[int],
    seed: int = 0,
    known: Mapping[str, torch.Tensor] | None = None,
) -> tuple[pd.DataFrame, torch.Tensor]:
    """One row per pair, and the deletion curves n×(S+1).

    Args:
        inside: n×1×H×W booleans, the object's box. explained: the maps, and masks where the method makes them; for
            other maps the mask removes as many of the hottest pixels as `areas` (shares) says.
        known: of `unmasked`, where several methods explain the same pairs.

    Masks of different areas show and hide different amounts, so every map is also cut to the same area: p_reverse_cut
    and change_cut are p_reverse and change with a mask (0 or 1) that removes as many of the hottest pixels of the map
    as `areas` says, whatever mask the method makes. Where fewer pixels differ from the rest, seeded ones are added; for
    maps without a mask nothing new is measured. Both are NaN with `areas` None, which will do where all have masks.

    Columns: deletion, insertion (AUC; deleted pixels become the image's mean colour, inserted ones come out of the
    reference), ties, energy, area (share removed), p_clean, p_masked, p_reverse (of the class), change and level (mean
    over the other classes: |p_clean - p_masked|, and p in the reverse image), worst (largest rise of another class in
    the reverse image), p_reverse_cut, change_cut, stuck, and cds_* and reverse_* for each definition.
    """
    cut = None if areas is None else hottest_removed(explained.maps, areas, seed=seed, keys=keys)
    mask = cut if explained.mask is None else explained.mask
    known = unmasked(model, images, references) if known is None else known
    after, reverse = both_ways(model, images, references, mask)
    mean_colour = images.mean((2, 3), keepdim=True).expand_as(images)
    options = {"seed": seed, "keys": keys, "batch": BATCH}
    removed, inserted = steps(images.shape[2] * images.shape[3])
    clean, blurred, flat = (known[name] for name in ("image", "reference", "mean colour"))
    if cut is None:
        after_cut = reverse_cut = torch.full_like(clean, torch.nan)
    else:
        after_cut, reverse_cut = (after, reverse) if mask is cut else both_ways(model, images, references, cut)
    ends = [of_class(each, target) for each in (clean, flat, blurred)]
    given = (explained.maps, target)
    deletion = play(model, images, mean_colour, *given, steps=removed, ends=(ends[0], ends[1]), **options)
    insertion = play(model, references, images, *given, steps=inserted, ends=(ends[2], ends[0]), **options)
    rise = (reverse - clean).scatter(1, target[:, None], -1.0)
    row = {
        "deletion": deletion.auc,
        "insertion": insertion.auc,
        "ties": deletion.ties,
        "energy": energy(explained.maps, inside),
        "area": (1 - mask).flatten(1).mean(1),
        "p_clean": of_class(clean, target),
        "p_masked": of_class(after, target),
        "p_reverse": of_class(reverse, target),
        "change": nontarget_change(clean, after, target),
        "level": nontarget_level(reverse, target),
        "worst": rise.amax(1),
        "p_reverse_cut": of_class(reverse_cut, target),
        "change_cut": nontarget_change(clean, after_cut, target),
        "stuck": torch.zeros(len(images)) if explained.stuck is None else explained.stuck.float(),
    }
    for definition in DEFINITIONS:
        row[f"cds_{definition}"] = distortion_score(clean, after, target, definition=definition)
        row[f"reverse_{definition}"] = distortion_score(clean, reverse, target, definition=definition)
    return pd.DataFrame({name: values.double().numpy() for name, values in row.items()}), deletion.scores
