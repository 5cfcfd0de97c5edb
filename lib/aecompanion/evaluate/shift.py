"""From saved Grad-CAM maps to one tidy row per image and setting: how far did the heatmap move under attack?

The reference is the heatmap of the clean image for the class of the same mode: the prediction on the clean image for
"own_pred" and "clean_pred", the label for "true_label". Two arms are no attack: "noise", the floor, random signs of
equal size, and "other", the ceiling, another person's clean image (its rows stand at eps 0).

Beside NISSIM each row says two things of the map itself:

    rank      rank correlation of the cells of both maps; negative: what was dark is bright now, the map is inverted
    outside   share of the heatmap's sum outside the ellipse with half-axes 3/8 and 1/2 of the side in the middle of the
              image, where the face is; a flat map has 1 - 3π/16 = .41 there
"""

import math
from collections.abc import Mapping

import pandas as pd
import torch

from aecompanion.evaluate.dissimilarity import nissim, spearman, ssim
from aecompanion.explain.gradcam import heatmap, is_zero

HALF_AXES = (1 / 2, 3 / 8)  # of the ellipse of the face: down and across, in sides of the image


def compare(maps: Mapping[str, torch.Tensor], *, size: int, window: int = 7, **options) -> pd.DataFrame:
    """Compare every other set of maps with its clean one, and the clean ones with themselves (eps 0).

    Args:
        maps: "clean/MODE" and "ARM/MODE/EPS" → N×1×h×w, see `explain.attacked_maps`.
        size: side of the images, to which maps are upsampled; window, options: of `ssim`.

    Returns the columns arm, mode, eps, position (of the image), ssim, nissim, rank and outside (see above; NaN for a
    map that is zero everywhere), zero0 and zero (the clean and the attacked map are zero everywhere), peak0 and peak
    (their maxima before normalisation).
    """
    clean = {name.split("/")[1]: coarse for name, coarse in maps.items() if name.startswith("clean/")}
    reference = {mode: heatmap(coarse, size) for mode, coarse in clean.items()}
    arms = sorted({name.split("/")[0] for name in maps} - {"clean", "other"}, reverse=True)
    pairs = [(arm, mode, 0.0, clean[mode]) for arm in arms for mode in clean if any_of(maps, f"{arm}/{mode}/")]
    for name, coarse in maps.items():
        arm, mode, *level = name.split("/")
        if level:
            pairs.append((arm, mode, float(level[0]), coarse))
    tables = []
    for arm, mode, level, coarse in pairs:
        shown = heatmap(coarse, size)
        similarity = ssim(reference[mode], shown, window=window, **options)
        columns = {
            "arm": arm,
            "mode": mode,
            "eps": level,
            "position": range(len(coarse)),
            "ssim": similarity.numpy(),
            "nissim": ((1 - similarity) / 2).numpy(),
            "rank": spearman(clean[mode], coarse).numpy(),
            "outside": outside(shown).numpy(),
            "zero0": is_zero(clean[mode]).numpy(),
            "zero": is_zero(coarse).numpy(),
            "peak0": clean[mode].flatten(1).amax(1).numpy(),
            "peak": coarse.flatten(1).amax(1).numpy(),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def variants(
    maps: Mapping[str, torch.Tensor], *, size: int, settings: Mapping[str, Mapping[str, int | float | bool]]
) -> pd.DataFrame:
    """NISSIM of the same pairs under other settings of `ssim`: one column per setting beside arm, mode, eps, position.

    Args:
        maps, size: as in `compare`; settings: name of a column → options of `ssim`.

    Without the rows at level 0 (all zero) and without the class mode "true_label".
    """
    reference, tables = {}, []
    for name, coarse in maps.items():
        arm, mode, *level = name.split("/")
        if mode == "true_label":
            continue
        if not level:
            reference[mode] = heatmap(coarse, size)
            continue
        shown = heatmap(coarse, size)
        columns = {each: nissim(reference[mode], shown, **options).numpy() for each, options in settings.items()}
        keys = {"arm": arm, "mode": mode, "eps": float(level[0]), "position": range(len(coarse))}
        tables.append(pd.DataFrame(keys | columns))
    return pd.concat(tables, ignore_index=True)


def any_of(maps: Mapping[str, torch.Tensor], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in maps)


def outside(heatmaps: torch.Tensor) -> torch.Tensor:
    """N shares of the sum of N×1×H×W heatmaps outside the ellipse of the face (NaN for a map that is zero)."""
    height, width = heatmaps.shape[-2:]
    down, across = ((torch.arange(side) + 0.5) / side - 0.5 for side in (height, width))
    beyond = (down[:, None] / HALF_AXES[0]) ** 2 + (across / HALF_AXES[1]) ** 2 > 1
    total = heatmaps.sum((1, 2, 3))
    share = (heatmaps * beyond).sum((1, 2, 3)) / total
    return torch.where(total > 0, share, math.nan)


def join_predictions(shift: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Add network, family, seed, label, prediction, correct and, for the clean image, prediction0 and correct0.

    `predictions` holds one network's rows in image order for every arm and level. The rows of "other" get those of the
    clean image that the other one is compared with.
    """
    if (shift["arm"] == "other").any():
        clean = predictions[(predictions["arm"] == "white") & (predictions["eps"] == 0)]
        predictions = pd.concat([predictions, clean.assign(arm="other")], ignore_index=True)
    predictions = predictions.assign(position=predictions.groupby(["arm", "eps"]).cumcount())
    clean = predictions[predictions["eps"] == 0][["arm", "position", "prediction", "correct"]]
    clean = clean.rename(columns={"prediction": "prediction0", "correct": "correct0"})
    columns = ["network", "family", "seed", "arm", "eps", "position", "image"]
    columns += ["label", "prediction", "correct", "psnr", "source"]
    joined = shift.merge(predictions[columns], on=["arm", "eps", "position"], validate="many_to_one")
    return joined.merge(clean, on=["arm", "position"], validate="many_to_one").drop(columns="position")
