"""X5.8: how much of MOD needs no change of the prediction, and how much needs no adversary.

    at fixed prediction   MOD of an attack on the map that keeps class and confidence, over MOD of white-box FGSM
    unnoticed             MOD of random signs that leave the prediction as it is with a chance of at least `NOTICED`
                          (Clopper-Pearson bound), over MOD of white-box FGSM on the same images

Both for the own class, per network and level, from one row per image with the columns white, noise, other (NISSIM of
the three arms), mapped (of the attack on the map), bound and correct0.
"""

import numpy as np
import pandas as pd

from aecompanion.papers.shift.tables import names
from aecompanion.report import cubes

NOTICED = 0.9
ARMS = ("white", "mapped", "noise", "other")


def joined(controls: pd.DataFrame, shift: pd.DataFrame) -> pd.DataFrame:
    """The rows of `controls` (network, seed, image, eps, mapped, bound) with NISSIM of white, noise and other."""
    keys = ["network", "seed", "image", "eps"]
    own = shift[(shift["mode"] == "own_pred") & shift["arm"].isin(["white", "noise"])]
    wide = own.pivot(index=keys, columns="arm", values="nissim").reset_index()
    other = shift[(shift["mode"] == "own_pred") & (shift["arm"] == "other")]
    other = other[[*keys[:3], "family", "correct0", "nissim"]].rename(columns={"nissim": "other"})
    return controls.merge(wide, on=keys, validate="one_to_one").merge(other, on=keys[:3], validate="many_to_one")


def control_cube(rows: pd.DataFrame, level: float) -> np.ndarray:
    """seeds × images × networks × (white, mapped, noise, other, unnoticed) at one level; NaN where the clean prediction
    was wrong.
    """
    rows = rows[np.isclose(rows["eps"], level)]
    rows = rows.assign(unnoticed=(rows["bound"] >= NOTICED).astype(float))
    layers = []
    for column in (*ARMS, "unnoticed"):
        kept = rows.assign(value=rows[column].where(rows["correct0"]))
        layers.append(cubes.cube(kept, "value", [{"network": network} for network in names(rows)]))
    return np.stack(layers, axis=-1)


def mean(values: np.ndarray) -> np.ndarray:
    """Per network: the mean over seeds and images, NaN where there is none."""
    counted = (~np.isnan(values)).sum((0, 1))
    return np.where(counted, np.nansum(values, (0, 1)) / np.maximum(counted, 1), np.nan)


def fixed_share(v: np.ndarray) -> np.ndarray:
    """Per network: MOD of the attack on the map over that of FGSM."""
    return mean(v[..., 1]) / mean(v[..., 0])


def unnoticed_share(v: np.ndarray) -> np.ndarray:
    """Per network: MOD of noise over that of FGSM, on images whose prediction the noise leaves as it is."""
    kept = v[..., 4] == 1
    return mean(np.where(kept, v[..., 2], np.nan)) / mean(np.where(kept, v[..., 0], np.nan))


def control_table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """One row per network and level: the four MOD, both shares with intervals, and the share of images unnoticed."""
    tables = []
    for level in sorted(rows["eps"].unique()):
        values = control_cube(rows, level)
        for k, network in enumerate(names(rows)):
            own = values[:, :, k : k + 1]
            row = {"network": network, "eps": level} | dict(zip(ARMS, mean(own)[0], strict=False))
            row |= cubes.mean_row(own, "fixed_share", lambda v: fixed_share(v).item(), **options)
            row["images_unnoticed"] = mean(own[..., 4]).item()
            row |= cubes.mean_row(own, "unnoticed_share", lambda v: unnoticed_share(v).item(), **options)
            tables.append(row)
    return pd.DataFrame(tables)
