"""Class distortion: how far the classes that are not explained move when the mask is applied.

    Δ_c = logit(p_o(c)) - logit(p_pt(c))                          log-odds, clean minus masked

    CDS, signed     Δ_T - mean_N Δ_c              the slides of Kim et al. (docs/papers/masks.md, section 2.6)
    CDS, absolute   Δ_T - mean_N |Δ_c|            default here
    CDS, ratio      ln( 1 + KL_T / KL_N )         their released evaluation script, KL of two coins, N averaged, 1e-7
                                                  added to both: an unchanged image scores ln 2

T: the explained class, N: all others; higher is better. The signed form rewards a non-target that RISES: in the slides'
own reverse example (.0111 to .6469) it adds 5.1, the opposite of the penalty that they describe, hence the
default. Reverse CDS puts the reverse image, in which only what the mask removes is shown, in the place of the masked
one. Probabilities are kept 1e-7 from 0 and 1, so one saturated class weighs at most 16 per side; report medians too.
"""

import torch

from aecompanion.explain.readout import bernoulli_kl

LEAST = 1e-7
DEFINITIONS = ("absolute", "signed", "ratio")


def log_odds(p: torch.Tensor) -> torch.Tensor:
    """ln(p / (1 - p)) with p kept 1e-7 from 0 and 1."""
    return torch.logit(p.double(), eps=LEAST)


def distortion_score(
    clean: torch.Tensor, masked: torch.Tensor, target: torch.Tensor, *, definition: str = "absolute"
) -> torch.Tensor:
    """CDS of n pairs. clean, masked: probabilities n×K; target: n class indices. Returns n values (float64).

    Raises ValueError for an unknown definition, different shapes, fewer than two classes, or numbers outside [0, 1].
    """
    if definition not in DEFINITIONS:
        raise ValueError(f"definition {definition!r} is unknown, expected one of {', '.join(DEFINITIONS)}")
    if clean.shape != masked.shape or clean.dim() != 2 or clean.shape[1] < 2:
        raise ValueError(
            f"clean {tuple(clean.shape)} and masked {tuple(masked.shape)}, expected n×K twice, K at least 2"
        )
    for name, p in (("clean", clean), ("masked", masked)):
        if not ((p >= 0) & (p <= 1)).all():
            raise ValueError(f"{name} holds values outside [0, 1], expected probabilities")
    chosen = target[:, None]
    if definition == "ratio":
        divergence = bernoulli_kl(clean.double(), masked.double())
        own, others = split(divergence, chosen)
        return torch.log1p((own + LEAST) / (others + LEAST))
    change = log_odds(clean) - log_odds(masked)
    own, others = split(change if definition == "signed" else change.abs(), chosen)
    return change.gather(1, chosen)[:, 0] - others


def split(values: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The target's value and the mean of the others, n each. Raises ValueError for another number of targets."""
    if len(chosen) != len(values):
        raise ValueError(f"target has {len(chosen)} entries, expected one per pair, {len(values)}")
    own = values.gather(1, chosen)[:, 0]
    return own, (values.sum(1) - own) / (values.shape[1] - 1)


def nontarget_change(clean: torch.Tensor, masked: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """mean_N |p_o(c) - p_pt(c)| of n pairs, in [0,1]."""
    return split((clean - masked).abs(), target[:, None])[1]


def nontarget_level(p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """mean_N p(c) of n pairs, in [0,1]."""
    return split(p, target[:, None])[1]
