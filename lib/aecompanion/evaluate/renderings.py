"""The same pair of heatmaps, compared as numbers at two sizes, as colours and as a picture: which SSIM is it?

    scalar, input size   H at the size of the image (64 px for compact networks), a number per pixel
    scalar, 224 px       the same, enlarged further: one window covers a smaller part of the map
    jet, 224 px          H as a jet-coloured 8-bit picture
    overlay, 224 px      0.6 · that picture + 0.4 · the photograph it explains (clean or attacked), the usual display

All with the uniform window of `evaluate.dissimilarity.ssim`. Which of them a paper took decides its numbers more than
the networks do.
"""

import pandas as pd
import torch
from torch.nn import functional as F

from aecompanion.evaluate.dissimilarity import jet_colours, ssim
from aecompanion.explain.gradcam import heatmap

LARGE = 224  # the size of Chakraborty et al.'s images
WEIGHT = 0.6  # of the heatmap in the overlay


def renderings(
    clean: torch.Tensor, attacked: torch.Tensor, photographs: tuple[torch.Tensor, torch.Tensor], *, window: int = 7
) -> pd.DataFrame:
    """SSIM of N pairs of maps in every rendering.

    Args:
        clean, attacked: coarse maps, N×1×h×w each; photographs: the images they explain, N×C×S×S in [0,1] each.
        window: of `ssim`.

    Returns one row per rendering and pair with the columns rendering, position and ssim. Raises ValueError unless
    there are as many maps of each kind as photographs.
    """
    if len({len(each) for each in (clean, attacked, *photographs)}) > 1:
        counts = [len(each) for each in (clean, attacked, *photographs)]
        raise ValueError(f"{counts[:2]} maps and {counts[2:]} photographs, expected as many of each")
    size = photographs[0].shape[-1]
    pairs = {"scalar, input size": [heatmap(maps, size) for maps in (clean, attacked)]}
    large = [heatmap(maps, LARGE) for maps in (clean, attacked)]
    coloured = [jet_colours(maps) for maps in large]
    pairs |= {f"scalar, {LARGE} px": large, f"jet, {LARGE} px": coloured}
    pairs[f"overlay, {LARGE} px"] = [overlay(*pair) for pair in zip(coloured, photographs, strict=True)]
    tables = [
        pd.DataFrame({"rendering": name, "position": range(len(clean)), "ssim": ssim(*pair, window=window).numpy()})
        for name, pair in pairs.items()
    ]
    return pd.concat(tables, ignore_index=True)


def overlay(coloured: torch.Tensor, photographs: torch.Tensor) -> torch.Tensor:
    """The coloured maps N×3×H×W laid over the photographs (N×C×S×S, enlarged to H×W; grey ones in all channels)."""
    photographs = F.interpolate(photographs, size=coloured.shape[-2:], mode="bilinear", align_corners=False)
    return WEIGHT * coloured + (1 - WEIGHT) * photographs
