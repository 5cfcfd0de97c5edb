"""Tables and claims of Chakraborty et al., CVPR Workshops 2022, from the tidy rows that the evaluation saved.

Everything starts from a cube: seeds × images × networks × levels of one column, in one arm and class mode. Heatmap
statistics leave out images that a network got wrong without attack (NaN in the cube), since "the attack made it fail"
means nothing there. Intervals resample seeds and images (`evaluate.bootstrap`).
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from aecompanion.evaluate.bootstrap import interval
from aecompanion.evaluate.dissimilarity import vid
from aecompanion.report.cubes import untestable

LEVELS = (0.01, 0.05, 0.075, 0.1)  # the paper's ε
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
    return list(dict.fromkeys(rows["network"]))


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
    clean prediction is the label.
    """
    pairs = dict.fromkeys(zip(shift["arm"], shift["mode"], strict=True))
    return [pair for pair in pairs if pair[1] != "true_label"]


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
            for arm in ("white", "black")
        ],
        ignore_index=True,
    )


def mod_table(shift: pd.DataFrame, **options) -> pd.DataFrame:
    """T5.2: MOD per network, arm, class mode and level; the share of attacked maps that are zero everywhere, MOD
    without those, and the paper's digitised value.
    """
    tables = []
    for arm, mode in settings(shift):
        values, zero = (cube(shift, column, mode=mode, arm=arm) for column in ("nissim", "zero"))
        table = mean_table(values, names(shift), LEVELS, arm=arm, mode=mode, **options)
        table["zero_maps"] = curve(zero).ravel()
        table["mean_without_zero"] = curve(np.where(zero == 1, np.nan, values)).ravel()
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    table["paper"] = [(1 - paper_ssim(row.network, row.eps)) / 2 for row in table.itertuples()]
    return table


def paper_ssim(network: str, level: float) -> float:
    known = digitised(network)
    return known[LEVELS.index(level)] if known else np.nan


def vid_table(shift: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """T5.3: VID per network and class mode in its three readings (the spread of one level is averaged over levels)."""
    rows = []
    for mode in (mode for arm, mode in settings(shift) if arm == "white"):
        values = cube(shift, "nissim", mode=mode)
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
            rows.append(row)
    return pd.DataFrame(rows)


def vid_statistic(reading: str) -> Statistic:
    """VID of a seeds × images × levels block: its mean over seeds (images wrong without attack left out)."""

    def statistic(block: np.ndarray) -> float:
        per_seed = [np.mean(vid(one[~np.isnan(one).any(1)], reading)) for one in block]
        return float(np.mean(per_seed))

    return statistic


# claims: each takes the two tables and returns a cube and a statistic of it


def psnr_falls(predictions, shift):
    """Smallest drop of the mean PSNR from one level to the next, dB, over networks."""
    return cube(predictions, "psnr"), lambda v: -np.diff(curve(v), axis=1).max()


def psnr_formula(predictions, shift, *, column: str, levels: list[float]):
    """Largest distance between the mean PSNR and -20 log10 ε over networks and the given levels, dB."""
    ideal = -20 * np.log10(levels)
    return cube(predictions, column, levels=levels), lambda v: np.abs(curve(v) - ideal).max()


def mod_at_zero(predictions, shift, *, mode: str):
    """Largest NISSIM of the unattacked maps with themselves."""
    return cube(shift, "nissim", mode=mode, levels=(0.0,)), lambda v: np.nanmax(np.abs(v))


def mod_rise(predictions, shift, *, mode: str):
    """MOD at the largest level minus MOD at the smallest, the least over networks."""
    return cube(shift, "nissim", mode=mode), lambda v: (curve(v)[:, -1] - curve(v)[:, 0]).min()


def mod_monotone(predictions, shift, *, mode: str):
    """Smallest step of MOD from one level to the next, over networks."""
    return cube(shift, "nissim", mode=mode), lambda v: np.diff(curve(v), axis=1).min()


def accuracy_rise(predictions, shift, *, arm: str):
    """Largest rise of accuracy from one level (0 included) to the next, over networks."""
    values = cube(predictions, "correct", levels=levels_of(predictions), arm=arm)
    return values, lambda v: np.diff(curve(v), axis=1).max()


def transfer_gap(predictions, shift):
    """Black-box minus white-box accuracy, the least over networks and the paper's levels."""
    both = np.stack([cube(predictions, "correct", arm=arm) for arm in ("black", "white")], axis=-1)
    return both, lambda v: (v[..., 0] - v[..., 1]).mean((0, 1)).min()


def median_moves(predictions, shift, *, column: str, mode: str):
    """Median over images at the largest level minus that at the smallest: the largest (ssim) or least (nissim) one."""
    worst = np.max if column == "ssim" else np.min
    values = cube(shift, column, mode=mode)[..., [0, -1]]
    return values, lambda v: worst(np.diff(np.nanmedian(v, axis=(0, 1)), axis=1))


def failure_gap(predictions, shift, *, mode: str, level: float):
    """Mean NISSIM of images that the attack broke minus that of images still correct, averaged over networks."""
    columns = [cube(shift, column, mode=mode, levels=(level,))[..., 0] for column in ("nissim", "correct")]
    return np.stack(columns, axis=-1), gap_between_outcomes


def gap_between_outcomes(v: np.ndarray) -> float:
    """Mean over networks of NISSIM(fooled) - NISSIM(correct); networks with one outcome only are left out."""
    gaps = []
    for i in range(v.shape[2]):
        nissim, correct = v[:, :, i, 0].ravel(), v[:, :, i, 1].ravel()
        if (correct == 1).any() and (correct == 0).any():
            gaps.append(nissim[correct == 0].mean() - nissim[correct == 1].mean())
    return float(np.mean(gaps)) if gaps else np.nan


def vgg_margin(predictions, shift, *, mode: str, level: float):
    """Smallest MOD of the other networks minus the plain VGG's, at one level; positive: VGG moves least."""
    if "vgg" not in families(shift) or len(families(shift)) == 1:
        return untestable()
    index = families(shift).index("vgg")
    values = cube(shift, "nissim", mode=mode, levels=(level,))[..., 0]
    return values, lambda v: np.delete(np.nanmean(v, (0, 1)), index).min() - np.nanmean(v[:, :, index])


def deep_minus_wide(predictions, shift, *, arm: str):
    """Mean accuracy of the deep networks minus that of the wide ones over the paper's levels."""
    deep = family_mask(predictions)
    if len(set(deep)) == 1:
        return untestable()
    return cube(predictions, "correct", arm=arm), lambda v: curve(v)[deep].mean() - curve(v)[~deep].mean()


def deep_minus_wide_at_equal_shift(predictions, shift, *, mode: str, arm: str, bins: int = 5):
    """The same difference within bins of equal NISSIM (quantiles over all networks), weighted by the smaller count."""
    deep = family_mask(shift)
    columns = [cube(shift, column, mode=mode, arm=arm) for column in ("nissim", "correct")]
    edges = np.nanquantile(columns[0], np.linspace(0, 1, bins + 1)[1:-1])

    def statistic(v: np.ndarray) -> float:
        bin_of, kept = np.digitize(v[..., 0], edges), ~np.isnan(v[..., 0])
        family = np.broadcast_to(deep[:, None], bin_of.shape)
        differences, weights = [], []
        for number in range(bins):
            groups = [v[..., 1][kept & (bin_of == number) & (family == side)] for side in (True, False)]
            weights.append(min(map(len, groups)))
            differences.append(groups[0].mean() - groups[1].mean() if weights[-1] else 0.0)
        return float(np.average(differences, weights=weights)) if any(weights) else float("nan")

    return np.stack(columns, axis=-1), statistic


def family_mask(rows: pd.DataFrame) -> np.ndarray:
    family = rows.drop_duplicates("network").set_index("network")["family"]
    return (family[names(rows)] == "deep").to_numpy()


def vid_least(predictions, shift, *, mode: str):
    """Smallest VID (reading "mod") over networks."""
    return cube(shift, "nissim", mode=mode), lambda v: min(vid_statistic("mod")(v[:, :, i]) for i in range(v.shape[2]))


def vid_single_level(predictions, shift, *, mode: str):
    """Largest VID over networks when one attack level alone is counted."""
    values = cube(shift, "nissim", mode=mode, levels=LEVELS[:1])
    return values, lambda v: max(vid_statistic("mod")(v[:, :, i]) for i in range(v.shape[2]))


def vid_follows_rise(predictions, shift, *, mode: str):
    """Rank correlation over networks between VID and the rise of MOD."""

    def statistic(v: np.ndarray) -> float:
        mods = curve(v)
        return float(stats.spearmanr(mods.std(axis=1), mods[:, -1] - mods[:, 0]).statistic)

    return cube(shift, "nissim", mode=mode), statistic


def mean_ssim(predictions, shift, *, network: str, mode: str, level: float):
    """Mean SSIM of one family's network at one level."""
    if network not in families(shift):
        return untestable()
    index = families(shift).index(network)
    return cube(shift, "ssim", mode=mode, levels=(level,))[..., 0], lambda v: float(np.nanmean(v[:, :, index]))
