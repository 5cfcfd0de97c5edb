"""Tables and claims of Chakraborty et al., CVPR Workshops 2022, from the tidy rows that the evaluation saved.

Everything starts from a cube: seeds × images × networks × levels of one column, in one arm and class mode. Heatmap
statistics leave out images that a network got wrong without attack (NaN in the cube), since "the attack made it fail"
means nothing there. Intervals are over seeds and images (`evaluate.intervals`).
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from aecompanion.evaluate.dissimilarity import vid
from aecompanion.evaluate.intervals import interval

LEVELS = (0.01, 0.05, 0.075, 0.1)  # the paper's ε
MODES = {"own_pred": "own class", "clean_pred": "class of the clean prediction"}  # what is explained
ARMS = {"white": "white-box", "black": "black-box", "noise": "random signs"}
# Mean of the quantity plotted in Fig. 4 (it behaves as SSIM), read off the figure at LEVELS, ±0.03
DIGITISED = {
    "vgg": (0.80, 0.76, 0.75, 0.74),
    "resnet": (0.74, 0.51, 0.45, 0.41),
    "resnet_deep": (0.84, 0.59, 0.51, 0.48),
    "inception": (0.68, 0.45, 0.41, 0.40),
    "xception": (0.70, 0.48, 0.45, 0.43),
}
# our compact network: the paper's network of the same family
COUNTERPART = {
    "vgg": "VGG16",
    "resnet": "ResNet50",
    "resnet_deep": "ResNet101",
    "inception": "InceptionV3",
    "xception": "Xception",
}
ALIASES = {"vgg16": "vgg", "resnet50": "resnet", "resnet101": "resnet_deep", "inception_v3": "inception"}
ALIASES |= {"legacy_xception": "xception"}

Statistic = Callable[[np.ndarray], float]


def names(rows: pd.DataFrame) -> list[str]:
    """The networks in the order of the rows."""
    return rows["network"].unique().tolist()


def families(rows: pd.DataFrame) -> list[str]:
    """The same with the compact network's name for a full-size network of its family."""
    return [ALIASES.get(name, name) for name in names(rows)]


def digitised(network: str) -> tuple[float, ...] | None:
    """The paper's values for the network of that family, None for one the paper has not."""
    return DIGITISED.get(ALIASES.get(network, network))


def cube(rows: pd.DataFrame, column: str, *, levels=LEVELS, mode: str | None = None, arm: str = "white") -> np.ndarray:
    """seeds × images × networks × levels of a column; NaN where the clean prediction was wrong, for heatmap columns.

    Raises ValueError if a network, seed, level or image is missing.
    """
    chosen = rows[(rows["arm"] == arm) & rows["eps"].isin(levels)]
    if mode is not None:
        chosen = chosen[chosen["mode"] == mode]
    values = chosen[column].astype(float)
    if mode is not None:
        values = values.where(chosen["correct0"])
    networks, seeds, images = names(rows), sorted(chosen["seed"].unique()), sorted(chosen["image"].unique())
    shape = (len(seeds), len(images), len(networks), len(levels))
    if chosen.empty or len(chosen) != np.prod(shape):
        found = f"{len(chosen)} rows for arm {arm}"
        raise ValueError(f"{column}: {found}, expected seeds × images × networks × ε = {shape}")
    order = chosen.assign(value=values, network=pd.Categorical(chosen["network"], networks))
    return order.sort_values(["seed", "image", "network", "eps"])["value"].to_numpy().reshape(shape)


def settings(shift: pd.DataFrame) -> list[tuple[str, str]]:
    """The (arm, class mode) pairs to tabulate. "true_label" is left out: for images that are right without attack the
    clean prediction is the label. So is "other", the ceiling, which has
    no levels.
    """
    pairs = dict.fromkeys(zip(shift["arm"], shift["mode"], strict=True))
    kept = [(arm, mode) for arm, mode in pairs if mode != "true_label" and arm != "other"]
    return sorted(kept, key=lambda pair: list(ARMS).index(pair[0]))


def levels_of(rows: pd.DataFrame) -> tuple[float, ...]:
    """All levels in the rows, ascending."""
    return tuple(sorted(rows["eps"].unique()))


def curve(values: np.ndarray) -> np.ndarray:
    """networks × levels: the mean over seeds and images of a cube."""
    return np.nanmean(values, axis=(0, 1))


# tables


def mean_table(values: np.ndarray, networks: list[str], levels, *, resamples: int, seed: int, **facts) -> pd.DataFrame:
    """One row per network and level of a cube: mean with interval."""
    rows = []
    for i, network in enumerate(networks):
        for j, level in enumerate(levels):
            found = interval(np.nanmean, values[:, :, i, j], resamples=resamples, seed=seed)
            row = {"network": network, **facts, "eps": level}
            rows.append(row | {"mean": found.value, "ci_low": found.low, "ci_high": found.high})
    return pd.DataFrame(rows)


def accuracy_table(predictions: pd.DataFrame, **options) -> pd.DataFrame:
    """T5.1: accuracy per network, arm and level."""
    levels, networks = levels_of(predictions), names(predictions)
    return pd.concat(
        [
            mean_table(cube(predictions, "correct", levels=levels, arm=arm), networks, levels, arm=arm, **options)
            for arm in ARMS
        ],
        ignore_index=True,
    )


def vid_table(shift: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """T5.3: VID per network and class mode in its three readings (the spread of one level is averaged over levels), and
    `noise`, that of the MOD of random signs of equal size (NaN where they were not drawn).
    """
    rows, measured = [], settings(shift)
    for mode in (mode for arm, mode in measured if arm == "white"):
        values = cube(shift, "nissim", mode=mode)
        noise = cube(shift, "nissim", mode=mode, arm="noise") if ("noise", mode) in measured else None
        for i, network in enumerate(names(shift)):
            paper = digitised(network)
            row = {
                "network": network,
                "mode": mode,
                "paper_mod": np.std([(1 - s) / 2 for s in paper]) if paper else None,
            }
            for reading in ("mod", "image", "spread"):
                found = interval(vid_statistic(reading), values[:, :, i], resamples=resamples, seed=seed)
                row |= {reading: found.value, f"{reading}_low": found.low, f"{reading}_high": found.high}
            rows.append(row | {"noise": np.nan if noise is None else vid_statistic("mod")(noise[:, :, i])})
    return pd.DataFrame(rows)


def vid_statistic(reading: str) -> Statistic:
    """VID of a seeds × images × levels block: its mean over seeds (images wrong without attack left out)."""

    def statistic(block: np.ndarray) -> float:
        per_seed = [np.mean(vid(one[~np.isnan(one).any(1)], reading)) for one in block]
        return float(np.mean(per_seed))

    return statistic


# claims: each takes the two tables and returns a cube and a statistic of it


def gap_between_outcomes(v: np.ndarray) -> float:
    """Mean over networks of NISSIM(fooled) - NISSIM(correct); networks with one outcome only are left out."""
    gaps = []
    for i in range(v.shape[2]):
        nissim, correct = v[:, :, i, 0].ravel(), v[:, :, i, 1].ravel()
        if (correct == 1).any() and (correct == 0).any():
            gaps.append(nissim[correct == 0].mean() - nissim[correct == 1].mean())
    return float(np.mean(gaps)) if gaps else np.nan


def families_of(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which networks the paper calls deep, and which wide; a network of another kind is neither."""
    family = rows.drop_duplicates("network").set_index("network")["family"][names(rows)]
    return (family == "deep").to_numpy(), (family == "wide").to_numpy()


def recognisers(rows: pd.DataFrame) -> np.ndarray:
    """Which networks are enrolled instead of trained (`train.enrol`), so that seeds share their weights."""
    family = rows.drop_duplicates("network").set_index("network")["family"][names(rows)]
    return (family == "recogniser").to_numpy()
