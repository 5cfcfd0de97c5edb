"""How far two heatmaps are apart, and how a network's heatmaps move under attack: SSIM, NISSIM, MOD, VID.

    SSIM   = mean over windows of (2 μa μb + C1)(2 σab + C2) / ((μa² + μb² + C1)(σa² + σb² + C2))
    NISSIM = (1 - SSIM) / 2                        in [0, 1], 0 for identical maps
    MOD(ε) = mean over images of NISSIM at ε       mean observed dissimilarity
    VID    = standard deviation over the attack levels ε > 0 (population, ddof 0), in three readings:
             "mod":   of MOD(ε), the literal formula (default)
             "image": of each image's NISSIM, then the mean over images
             "spread": of NISSIM over images at each ε, the width of the paper's Fig. 4 panels

C1 = (0.01 R)², C2 = (0.03 R)² with R the data range. Sources: Wang et al., IEEE TIP 2004 (SSIM); Chakraborty et al.,
CVPR Workshops 2022 (NISSIM, MOD, VID).

Where we depart (docs/papers/shift.md, section 2.3): the range of NISSIM is noted as (0, 1]; identical maps give 0. VID
is called a variance; its formula is a standard deviation. Which SSIM was taken is not known: here a uniform 7×7 window
on scalar maps in [0,1] at input size, R = 1, sample covariance, scikit-image's defaults; Gaussian weights and
jet-coloured maps are options.
"""

import numpy as np
import torch
from scipy import stats
from torch.nn import functional as F

CHUNK = 2**18  # pixels per pass: intermediate results stay in the cache


def ssim(
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    window: int = 7,
    data_range: float = 1.0,
    gaussian: float | None = None,
    jet: bool = False,
) -> torch.Tensor:
    """Mean structural similarity of N pairs: `a` and `b` N×C×H×W give N values in [-1, 1].

    Args:
        window: side of the window, odd; only windows inside the image count.
        data_range: R of the formula.
        gaussian: standard deviation of Gaussian window weights (1.5 with `window` 11 is Wang's), with population
            covariance as in Wang et al.; None: a uniform window with sample covariance.
        jet: compare the maps as jet-coloured 8-bit images (N×1×H×W maps in [0,1]) instead of as numbers.

    Raises ValueError for different shapes, an even window or one larger than the maps.
    """
    if a.shape != b.shape:
        raise ValueError(f"maps have shapes {tuple(a.shape)} and {tuple(b.shape)}, expected the same")
    if window % 2 == 0 or window > min(a.shape[-2:]):
        raise ValueError(f"window is {window}, expected an odd number up to the map's side {min(a.shape[-2:])}")
    if jet:
        a, b, data_range = jet_colours(a), jet_colours(b), 1.0
    step = max(1, CHUNK // a[0].numel())
    return torch.cat(
        [
            ssim_chunk(a[i : i + step], b[i : i + step], window=window, data_range=data_range, gaussian=gaussian)
            for i in range(0, len(a), step)
        ]
    )


def ssim_chunk(a, b, *, window: int, data_range: float, gaussian: float | None) -> torch.Tensor:
    def mean(x: torch.Tensor) -> torch.Tensor:
        return box_mean(x, window) if gaussian is None else gaussian_mean(x, window, gaussian)

    correction = 1.0 if gaussian else window**2 / (window**2 - 1)
    mean_a, mean_b = mean(a), mean(b)
    aa, bb, ab = mean_a * mean_a, mean_b * mean_b, mean_a * mean_b
    variance = correction * (mean(a * a + b * b) - aa - bb)  # σa² + σb² are only needed as a sum
    covariance = correction * (mean(a * b) - ab)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    index = ((2 * ab + c1) * (2 * covariance + c2)) / ((aa + bb + c1) * (variance + c2))
    return index.flatten(1).mean(1)


def box_mean(x: torch.Tensor, window: int) -> torch.Tensor:
    """Mean over every window×window patch inside the image, by shifted sums along each axis."""
    for axis in (-2, -1):
        count = x.shape[axis] - window + 1
        total = x.narrow(axis, 0, count).clone()
        for shift in range(1, window):
            total += x.narrow(axis, shift, count)
        x = total
    return x / window**2


def gaussian_mean(x: torch.Tensor, window: int, sigma: float) -> torch.Tensor:
    """Weighted mean over every patch inside the image, with Gaussian weights that sum to one."""
    offsets = torch.arange(window, dtype=x.dtype, device=x.device) - window // 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    channels = x.shape[1]
    x = F.conv2d(x, weights.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(x, weights.reshape(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def jet_colours(maps: torch.Tensor) -> torch.Tensor:
    """N×1×H×W in [0,1] to the N×3×H×W in [0,1] of an 8-bit jet picture."""
    from matplotlib import colormaps

    table = torch.from_numpy(colormaps["jet"](np.arange(256), bytes=True)[:, :3].copy())
    levels = (maps[:, 0] * 255).round().long().clamp(0, 255)
    return table.to(maps.device)[levels].permute(0, 3, 1, 2).to(maps.dtype) / 255


def nissim(a: torch.Tensor, b: torch.Tensor, **options) -> torch.Tensor:
    """(1 - SSIM) / 2 of N pairs of maps; `options` are those of `ssim`."""
    return (1 - ssim(a, b, **options)) / 2


def spearman(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Rank correlation of N pairs of maps N×1×H×W; NaN where a map is constant."""
    ranks = [stats.rankdata(maps.flatten(1).numpy(), axis=1) for maps in (a, b)]
    centred = [torch.from_numpy(rank - rank.mean(1, keepdims=True)) for rank in ranks]
    norms = centred[0].norm(dim=1) * centred[1].norm(dim=1)
    return torch.where(norms > 0, (centred[0] * centred[1]).sum(1) / norms, torch.nan).float()


def mod(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean observed dissimilarity: the mean of NISSIM values over the image axis."""
    return np.mean(values, axis=axis)


def vid(values: np.ndarray, reading: str = "mod") -> np.ndarray:
    """Variation in dissimilarity of an images×levels array of NISSIM values, attack levels ε > 0 only.

    Returns a scalar for "mod" and "image", one value per level for "spread". Raises ValueError for another reading.
    """
    if reading == "mod":
        return np.std(mod(values), axis=-1)
    if reading == "image":
        return np.mean(np.std(values, axis=1), axis=0)
    if reading == "spread":
        return np.std(values, axis=0)
    raise ValueError(f"reading {reading!r} is unknown, expected 'mod', 'image' or 'spread'")
