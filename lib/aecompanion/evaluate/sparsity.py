"""How sparse a change is: where it lies, how many values it touches and how unequally it is spread.

For a change d (C×H×W) and an object mask M (H×W), with e_ij = Σ_c |d_cij| the change of a pixel:

    background  Σ_{ij not in M} e_ij / Σ_ij e_ij                             share outside the object, [0, 1]
    changed     mean_ij [ max_c |d_cij| > 2/255 ]                            share of pixels that visibly change
    gini        Σ_k (2k - n - 1) e_(k) / (n Σ_k e_(k)), e ascending          0 all pixels alike, towards 1 one pixel
    largest     max_cij |d_cij|,   l1, l2, linf: norms                       pixel units

`precision` of an object is 1 - background. An image that has not changed has no share and no Gini index (NaN).
"""

import pandas as pd
import torch

VISIBLE = 2 / 255


def sparsity(delta: torch.Tensor, masks: torch.Tensor) -> pd.DataFrame:
    """One row per image: background, outside (changed pixels outside the object, share of the pixels outside), changed,
    gini, largest, l1, l15, l2.

    Args:
        delta: changes, N×C×H×W in [-1,1]. masks: the objects, N×H×W of booleans.

    Raises ValueError for shapes that do not fit.
    """
    if delta.dim() != 4 or masks.shape != (len(delta), *delta.shape[2:]):
        raise ValueError(f"changes {tuple(delta.shape)}, masks {tuple(masks.shape)}: expected N×C×H×W and N×H×W")
    size = delta.abs()
    energy = size.sum(1).double()
    total = energy.sum((1, 2))
    outside = ~masks.bool()
    visible = size.amax(1) > VISIBLE
    flat = size.flatten(1).double()
    columns = {
        "background": (energy * outside).sum((1, 2)) / total,
        "outside": (visible & outside).sum((1, 2)) / outside.sum((1, 2)),
        "changed": visible.double().mean((1, 2)),
        "gini": gini(energy.flatten(1)),
        "largest": size.flatten(1).amax(1),
        "l1": flat.sum(1),
        "l15": (flat**1.5).sum(1) ** (1 / 1.5),
        "l2": flat.norm(dim=1),
    }
    return pd.DataFrame({name: values.double().numpy() for name, values in columns.items()})


def gini(values: torch.Tensor) -> torch.Tensor:
    """Gini index of every row of N×n non-negative values; NaN for a row of zeros."""
    count = values.shape[1]
    ranks = 2 * torch.arange(1, count + 1, dtype=values.dtype) - count - 1
    return (values.sort(1).values * ranks).sum(1) / (count * values.sum(1))
