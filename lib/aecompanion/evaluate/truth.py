"""What an attribution map says of a picture's parts, scored by what the parts do.

Of part i of a picture, e_i is its true effect: the log-odds of the target with the part minus without it (in nats, the
mean over what may stand in its place), and a_i = Σ_{pixels of part i} A what the map A says of it. With ρ Spearman's
rank correlation and E = {i: |e_i| >= least} the parts that have an effect:

    rank    ρ(a, e)                                            [-1, 1], 0 for a map that is the same on every part
    share   Σ_{i in E} a_i⁺ / Σ_i a_i⁺,   a⁺ = max(a, 0)       [0, 1]
    error   Σ_{i not in E} |a_i| / Σ_i |a_i|                   [0, 1], 0 is best
    sign    mean_{i in E} [ sign a_i = sign e_i ]              [0, 1]

A map that spreads every effect evenly over its part (`painted`) gets 1 in each, and 0 in the error, where effects below
`least` count as none (`settled`). Scores that say nothing are NaN: a rank of fewer than two parts or of equal effects,
a share of a map that is nowhere positive, an error where every part has an effect. Nothing here asks a network.

Sources: effects by intervention as in FunnyBirds (Hesse, Schaub-Meyer and Roth, ICCV 2023), where the part is rendered
away, too; the grid pointing game is that of Böhle, Fritz and Schiele (CVPR 2021). The scores are ours.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats

from aecompanion.pipeline.rng import generator

ROUNDING = 1e-9  # differences of this share of the largest value are what sums in another order make


def log_odds(logits: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """log p - log(1 - p) of every class in nats, N×K: z itself for sigmoids, z_k - log Σ_{j≠k} exp z_j for a softmax.

    It is finite where p rounds to 1. Raises ValueError for a softmax over fewer than two classes.
    """
    if multi_label:
        return logits
    count = logits.shape[1]
    if count < 2:
        raise ValueError(f"a softmax over {count} classes has no odds, expected at least 2 classes")
    best = logits.argmax(1, keepdim=True)  # of the others 1 - p does not cancel
    without = logits.scatter(1, best, -torch.inf).logsumexp(1, keepdim=True)
    whole = logits.logsumexp(1, keepdim=True)
    rest = whole + torch.log1p(-(logits - whole).exp().scatter(1, best, 0.0))
    return logits - rest.scatter(1, best, without)


def part_attributions(maps: torch.Tensor, masks: torch.Tensor | np.ndarray) -> torch.Tensor:
    """a of the formula: sums of N maps (N×1×H×W) over the footprints of P parts (P×H×W booleans), N×P in float64.

    Raises ValueError for shapes that do not fit and for a part without a pixel.
    """
    masks = torch.as_tensor(masks)
    if maps.dim() != 4 or maps.shape[1] != 1 or masks.dim() != 3 or masks.shape[1:] != maps.shape[2:]:
        raise ValueError(f"maps {tuple(maps.shape)}, parts {tuple(masks.shape)}: expected N×1×H×W and P×H×W")
    empty = (~masks.bool().flatten(1).any(1)).nonzero()[:, 0].tolist()
    if empty:
        raise ValueError(f"parts {empty} have no pixel, expected at least one in each")
    return torch.einsum("nhw,phw->np", maps[:, 0].double().cpu(), masks.double())


def above_floor(maps: torch.Tensor) -> torch.Tensor:
    """Maps whose sign means nothing, each above its lowest value, as in `evaluate.games.energy`: a uniform map is 0
    everywhere and does not favour the larger part.
    """
    return maps - maps.amin((1, 2, 3), keepdim=True)


def settled(effect: ArrayLike, *, least: float) -> np.ndarray:
    """Effects with those below `least` set to 0: what moves by less is noise of what stands in the part's place."""
    effect = np.asarray(effect, float)
    return np.where(np.abs(effect) >= least, effect, 0.0)


def painted(effect: ArrayLike, masks: np.ndarray) -> torch.Tensor:
    """The map that knows the truth, 1×1×H×W in float64: every effect spread evenly over its part, 0 elsewhere.

    Where parts overlap they are solved for jointly, so that the sum over every footprint is its effect (least squares).
    """
    masks = np.asarray(masks, bool)
    overlap = np.einsum("phw,qhw->pq", masks.astype(float), masks.astype(float))
    density = np.linalg.lstsq(overlap, np.asarray(effect, float), rcond=None)[0]
    return torch.from_numpy(np.einsum("p,phw->hw", density, masks.astype(float)))[None, None]


def degraded(maps: torch.Tensor, noise: float, *, seed: int, keys: Sequence[int] | None = None) -> torch.Tensor:
    """(1 - noise) A / σ(A) + noise n: maps on their way to noise, n standard normal per pixel, drawn from (seed, key).

    noise: 0 (the map, scaled) to 1 (nothing of it). A constant map adds nothing. Raises ValueError for another noise.
    """
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is {noise}, expected a share from 0 to 1")
    keys = range(len(maps)) if keys is None else keys
    drawn = torch.stack([torch.randn(maps.shape[1:], generator=generator(seed, key)) for key in keys])
    spread = maps.flatten(1).std(1).reshape(-1, 1, 1, 1)
    return (1 - noise) * torch.where(spread > 0, maps / spread, 0.0) + noise * drawn.to(maps)


def rank_correlation(attribution: ArrayLike, effect: ArrayLike) -> float:
    """ρ(a, e): Spearman's, ties at their mean rank; NaN for fewer than two parts or equal effects, 0 for an attribution
    that is the same on all parts. Raises ValueError for lengths that differ.
    """
    attribution, effect = pair(attribution, effect)
    if len(effect) < 2 or np.ptp(effect) == 0:
        return np.nan
    scale = ROUNDING * np.abs(attribution).max()
    if np.ptp(attribution) <= scale:
        return 0.0
    return float(stats.spearmanr(np.round(attribution / scale), effect).statistic)


def share_on_effect(attribution: ArrayLike, effect: ArrayLike, *, least: float) -> float:
    """Share of the positive attribution that lies on parts with |e| >= least; NaN where none is positive."""
    attribution, effect = pair(attribution, effect)
    positive = np.maximum(attribution, 0)
    return quotient(positive[np.abs(effect) >= least].sum(), positive.sum())


def error_on_none(attribution: ArrayLike, effect: ArrayLike, *, least: float) -> float:
    """Share of |attribution| that lies on parts with |e| < least; NaN without such a part or attribution."""
    attribution, effect = pair(attribution, effect)
    idle, size = np.abs(effect) < least, np.abs(attribution)
    return quotient(size[idle].sum(), size.sum()) if idle.any() else np.nan


def sign_agreement(attribution: ArrayLike, effect: ArrayLike, *, least: float) -> float:
    """Share of the parts with |e| >= least on which attribution and effect have the same sign; NaN without such a part.

    Only for methods whose sign means something: the caller knows which.
    """
    attribution, effect = pair(attribution, effect)
    has = np.abs(effect) >= least
    return float((np.sign(attribution[has]) == np.sign(effect[has])).mean()) if has.any() else np.nan


def pointing(maps: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """The grid pointing game's question, N values: does the map's highest pixel lie in the part that matters most?

    inside: its footprint, N×1×H×W booleans. Of several highest pixels the share counts that lies inside, so a uniform
    map gets the part's share of the picture. Raises ValueError for shapes that differ.
    """
    if maps.shape != inside.shape:
        raise ValueError(f"maps {tuple(maps.shape)} and parts {tuple(inside.shape)}, expected the same shape")
    highest = maps == maps.amax((1, 2, 3), keepdim=True)
    return (highest & inside.bool()).flatten(1).sum(1).double() / highest.flatten(1).sum(1)


def pair(attribution: ArrayLike, effect: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as vectors of equal length."""
    attribution, effect = np.asarray(attribution, float).ravel(), np.asarray(effect, float).ravel()
    if len(attribution) != len(effect):
        raise ValueError(f"{len(attribution)} attributions and {len(effect)} effects, expected one of each per part")
    return attribution, effect


def quotient(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else np.nan
