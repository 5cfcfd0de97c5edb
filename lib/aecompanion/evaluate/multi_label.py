"""How good a classifier with several labels per image is: AUROC and average precision per class, exact-set match.

    mAP = mean over classes of the average precision;   exact = share of images whose whole label set is right

AUROC asks whether images with the class get larger logits than images without; average precision weighs the top of
that order; the exact set needs all K decisions at logit 0 to be right. The last one selects the images that Kim et al.
(IEEE TIP 2022) explain.
"""

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score, roc_auc_score


def per_class(logits: torch.Tensor, labels: torch.Tensor, classes: list[str]) -> pd.DataFrame:
    """One row per class: positives, auroc, precision; NaN for a class that all images or none have (N×K each).

    Raises ValueError if logits and labels differ in shape.
    """
    if logits.shape != labels.shape or logits.dim() != 2 or logits.shape[1] != len(classes):
        raise ValueError(
            f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)} and {len(classes)} classes, expected N×K "
            "twice and K names"
        )
    rows = []
    for k, name in enumerate(classes):
        truth, found = labels[:, k].numpy(), logits[:, k].numpy()
        both = 0 < truth.sum() < len(truth)
        auroc = roc_auc_score(truth, found) if both else np.nan
        precision = average_precision_score(truth, found) if both else np.nan
        rows.append({"class": name, "positives": int(truth.sum()), "auroc": auroc, "precision": precision})
    return pd.DataFrame(rows)


def exact_match(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the N images whose K decisions (logit above 0) are all right."""
    return ((logits > 0) == labels.bool()).all(1).float().mean().item()
