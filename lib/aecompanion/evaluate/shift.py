"""From saved Grad-CAM maps to one tidy row per image and setting: how far did the heatmap move under attack?

The reference is the heatmap of the clean image for the class of the same mode: the prediction on the clean image for
"own_pred" and "clean_pred", the label for "true_label".
"""

import pandas as pd
import torch

from aecompanion.evaluate.dissimilarity import ssim
from aecompanion.explain.gradcam import heatmap, is_zero


def compare(maps: dict[str, torch.Tensor], *, size: int, window: int = 7, **options) -> pd.DataFrame:
    """Compare every attacked set of maps with its clean one, and the clean ones with themselves (eps 0).

    Args:
        maps: "clean/MODE" and "ARM/MODE/EPS" → N×1×h×w, see `explain.attacked_maps`.
        size: side of the images, to which maps are upsampled; window, options: of `ssim`.

    Returns the columns arm, mode, eps, position (of the image), ssim, nissim, zero0 and zero (the clean and the
    attacked map are zero everywhere), peak0 and peak (their maxima before normalisation).
    """
    clean = {name.split("/")[1]: coarse for name, coarse in maps.items() if name.startswith("clean/")}
    reference = {mode: heatmap(coarse, size) for mode, coarse in clean.items()}
    arms = sorted({name.split("/")[0] for name in maps} - {"clean"}, reverse=True)
    pairs = [(arm, mode, 0.0, clean[mode]) for arm in arms for mode in clean if any_of(maps, f"{arm}/{mode}/")]
    for name, coarse in maps.items():
        arm, mode, *level = name.split("/")
        if level:
            pairs.append((arm, mode, float(level[0]), coarse))
    tables = []
    for arm, mode, level, coarse in pairs:
        similarity = ssim(reference[mode], heatmap(coarse, size), window=window, **options)
        columns = {
            "arm": arm,
            "mode": mode,
            "eps": level,
            "position": range(len(coarse)),
            "ssim": similarity.numpy(),
            "nissim": ((1 - similarity) / 2).numpy(),
            "zero0": is_zero(clean[mode]).numpy(),
            "zero": is_zero(coarse).numpy(),
            "peak0": clean[mode].flatten(1).amax(1).numpy(),
            "peak": coarse.flatten(1).amax(1).numpy(),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def any_of(maps: dict[str, torch.Tensor], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in maps)


def join_predictions(shift: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Add network, family, seed, label, prediction, correct and, for the clean image, prediction0 and correct0.

    `predictions` holds one network's rows in image order for every arm and level.
    """
    predictions = predictions.assign(position=predictions.groupby(["arm", "eps"]).cumcount())
    clean = predictions[predictions["eps"] == 0][["arm", "position", "prediction", "correct"]]
    clean = clean.rename(columns={"prediction": "prediction0", "correct": "correct0"})
    columns = ["network", "family", "seed", "arm", "eps", "position", "image"]
    columns += ["label", "prediction", "correct", "psnr", "source"]
    joined = shift.merge(predictions[columns], on=["arm", "eps", "position"], validate="many_to_one")
    return joined.merge(clean, on=["arm", "position"], validate="many_to_one").drop(columns="position")
