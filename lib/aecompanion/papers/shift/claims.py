"""Claims of Chakraborty et al., CVPR Workshops 2022, and the estimators that test them."""

import numpy as np
from scipy import stats

from aecompanion.evaluate.intervals import largest, least
from aecompanion.papers.shift.tables import (
    LEVELS,
    cube,
    curve,
    families,
    families_of,
    gap_between_outcomes,
    levels_of,
    vid_statistic,
)
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable

OVERSHOOT = (
    "FGSM takes one step and overshoots: from ε = 0.05 on all networks are near chance (2.5 %), where accuracy "
    "wanders"
)
CELL = (
    "the cell compared: the embedded faces, white-box, own class, bare maps in [0, 1] at input size, uniform window of "
    "7 pixels; X5.6 has the other arms, sizes and renderings; paper digitised ±0.03, other faces and other networks"
)


@claim("P5.01", "F5.3", "check", "> 0", "PSNR falls from each attack level to the next (smallest drop, dB)",
       stage="mod_vid")
def psnr_falls(tables):
    """Smallest drop of the mean PSNR from one level to the next, dB, over networks."""
    predictions = tables["predictions"]
    return cube(predictions, "psnr"), least(lambda v: -np.diff(curve(v), axis=1))


@claim("P5.02", "F5.3", "check", "<= 0.3",
       "PSNR of the unrounded images is within 0.3 dB of -20 log10 ε (largest distance, dB)", column="psnr_float",
       levels=[0.01, 0.05, 0.075, 0.1], stage="mod_vid")
@claim("P5.03", "F5.3", "check", "<= 1.6",
       "PSNR of the 8-bit images is within 1.6 dB of -20 log10 ε at ε = 0.01 (distance, dB)", column="psnr",
       levels=[0.01], stage="mod_vid")
@claim("P5.04", "F5.3", "check", "<= 0.6",
       "PSNR of the 8-bit images is within 0.6 dB of -20 log10 ε above ε = 0.01 (largest distance, dB)", column="psnr",
       levels=[0.05, 0.075, 0.1], stage="mod_vid")
def psnr_formula(tables, *, column: str, levels: list[float]):
    """Largest distance between the mean PSNR and -20 log10 ε over networks and the given levels, dB."""
    predictions = tables["predictions"]
    ideal = -20 * np.log10(levels)
    return cube(predictions, column, levels=levels), largest(lambda v: np.abs(curve(v) - ideal))


@claim("P5.05", "T5.2", "check", "<= 1e-6", "MOD is zero without an attack (largest NISSIM)", mode="own_pred")
def mod_at_zero(tables, *, mode: str):
    """Largest NISSIM of the unattacked maps with themselves."""
    shift = tables["shift"]
    return cube(shift, "nissim", mode=mode, levels=(0.0,)), lambda v: np.nanmax(np.abs(v))


@claim("P5.29", "T5.2", "expected", "> 0",
       "MOD is larger at ε = 0.1 than at 0.01 for every network, own class (least difference)", mode="own_pred",
       note="so is that of random signs of equal size: P5.06")
def mod_rise(tables, *, mode: str):
    """MOD at the largest level minus MOD at the smallest, the least over networks."""
    shift = tables["shift"]
    return cube(shift, "nissim", mode=mode), least(lambda v: curve(v)[:, -1] - curve(v)[:, 0])


@claim("P5.07", "T5.2", "expected", ">= 0",
       "MOD never falls from one level to the next, own class (least step over networks)", mode="own_pred",
       note="may saturate in this mode")
@claim("P5.08", "X5.2", "expected", ">= 0",
       "MOD never falls from one level to the next, class of the clean prediction (least step over networks)",
       mode="clean_pred")
def mod_monotone(tables, *, mode: str):
    """Smallest step of MOD from one level to the next, over networks."""
    shift = tables["shift"]
    return cube(shift, "nissim", mode=mode), least(lambda v: np.diff(curve(v), axis=1))


@claim("P5.09", "T5.1", "must", "<= 0.02",
       "{ARM}-box accuracy does not rise with ε by more than 2 points (largest rise)",
       over=[{"arm": "white", "ARM": "White", "note": OVERSHOOT},
             {"arm": "black", "ARM": "Black"}])
def accuracy_rise(tables, *, arm: str):
    """Largest rise of accuracy from one level (0 included) to the next, over networks."""
    predictions = tables["predictions"]
    values = cube(predictions, "correct", levels=levels_of(predictions), arm=arm)
    return values, largest(lambda v: np.diff(curve(v), axis=1))


@claim("P5.11", "T5.1", "must", ">= 0",
       "Transferred signs hurt no network more than its own (least black-box minus white-box accuracy)")
def transfer_gap(tables):
    """Black-box minus white-box accuracy, the least over networks and the paper's levels."""
    predictions = tables["predictions"]
    both = np.stack([cube(predictions, "correct", arm=arm) for arm in ("black", "white")], axis=-1)
    return both, least(lambda v: (v[..., 0] - v[..., 1]).mean((0, 1)))


@claim("P5.12", "F5.4", "must", "< 0",
       "The median SSIM moves left from ε = 0.01 to 0.1 for every network (largest change)", column="ssim",
       mode="own_pred")
@claim("P5.13", "F5.4", "check", "> 0",
       "The median NISSIM moves right from ε = 0.01 to 0.1 for every network (least change)", column="nissim",
       mode="own_pred", note="by construction as P5.12, since NISSIM is (1 - SSIM) / 2")
def median_moves(tables, *, column: str, mode: str):
    """Median over images at the largest level minus that at the smallest: the largest (ssim) or least (nissim) one."""
    shift = tables["shift"]
    worst = largest if column == "ssim" else least
    values = cube(shift, column, mode=mode)[..., [0, -1]]
    return values, worst(lambda v: np.diff(np.nanmedian(v, axis=(0, 1)), axis=1))


@claim("P5.14", "X5.1", "report", "> 0",
       "At ε = 0.01 fooled images moved more than still-correct ones, own class (NISSIM difference)", mode="own_pred",
       level=0.01, undefined="no network has both outcomes at this level",
       note="part of this is built in, since a fooled image is explained for another class; P5.15 is without it")
@claim("P5.15", "X5.1", "expected", "> 0",
       "The same with one class for both, that of the clean prediction (NISSIM difference)", mode="clean_pred",
       level=0.01, undefined="no network has both outcomes at this level")
def failure_gap(tables, *, mode: str, level: float):
    """Mean NISSIM of images that the attack broke minus that of images still correct, averaged over networks."""
    shift = tables["shift"]
    columns = [cube(shift, column, mode=mode, levels=(level,))[..., 0] for column in ("nissim", "correct")]
    return np.stack(columns, axis=-1), gap_between_outcomes


@claim("P5.16", "T5.2", "report", "> 0",
       "The plain VGG is the most stable at ε = 0.1, own class (least other MOD minus its MOD)", mode="own_pred",
       level=0.1,
       note="reported value implied by the digitised Fig. 4; raw MOD, against the ceiling of each network: P5.43")
@claim("P5.17", "T5.2", "report", "> 0",
       "The plain VGG is the most stable at ε = 0.1, class of the clean prediction (least other MOD minus its MOD)",
       mode="clean_pred", level=0.1,
       note="raw MOD, against the ceiling of each network: P5.45")
def vgg_margin(tables, *, mode: str, level: float):
    """Smallest MOD of the other networks minus the plain VGG's, at one level; positive: VGG moves least."""
    shift = tables["shift"]
    if "vgg" not in families(shift) or len(families(shift)) == 1:
        return untestable()
    index = families(shift).index("vgg")
    values = cube(shift, "nissim", mode=mode, levels=(level,))[..., 0]
    return values, least(lambda v: np.delete(np.nanmean(v, (0, 1)), index) - np.nanmean(v[:, :, index]))


@claim("P5.18", "T5.1", "report", "> 0",
       "Deep networks fail less than wide ones, {arm}-box (accuracy difference over the four levels)",
       note="3 deep against 2 wide networks",
       over=[{"arm": "white"},
             {"arm": "black", "note": "3 deep against 2 wide networks, and the signs come from a deep one"}])
def deep_minus_wide(tables, *, arm: str):
    """Mean accuracy of the deep networks minus that of the wide ones over the paper's levels."""
    predictions = tables["predictions"]
    deep, wide = families_of(predictions)
    if not (deep.any() and wide.any()):
        return untestable()
    return cube(predictions, "correct", arm=arm), lambda v: curve(v)[deep].mean() - curve(v)[wide].mean()


@claim("P5.20", "T5.1", "report", "> 0",
       "Deep networks fail less than wide ones for similar shifts, black-box (accuracy difference within NISSIM bins)",
       mode="own_pred", arm="black", note="3 deep against 2 wide networks, and the signs come from a deep one")
def deep_minus_wide_at_equal_shift(tables, *, mode: str, arm: str, bins: int = 5):
    """The same difference within bins of equal NISSIM (quantiles over all networks), weighted by the smaller count."""
    shift = tables["shift"]
    deep, wide = families_of(shift)
    if not (deep.any() and wide.any()):
        return untestable()
    columns = [cube(shift, column, mode=mode, arm=arm) for column in ("nissim", "correct")]
    edges = np.nanquantile(columns[0], np.linspace(0, 1, bins + 1)[1:-1])

    def statistic(v: np.ndarray) -> float:
        bin_of, kept = np.digitize(v[..., 0], edges), ~np.isnan(v[..., 0])
        sides = [np.broadcast_to(side[:, None], bin_of.shape) for side in (deep, wide)]
        differences, weights = [], []
        for number in range(bins):
            groups = [v[..., 1][kept & (bin_of == number) & side] for side in sides]
            weights.append(min(map(len, groups)))
            differences.append(groups[0].mean() - groups[1].mean() if weights[-1] else 0.0)
        return float(np.average(differences, weights=weights)) if any(weights) else float("nan")

    return np.stack(columns, axis=-1), statistic


@claim("P5.21", "T5.3", "check", ">= 0", "VID is never negative (least VID over networks)", mode="own_pred")
def vid_least(tables, *, mode: str):
    """Smallest VID (reading "mod") over networks."""
    shift = tables["shift"]
    return cube(shift, "nissim", mode=mode), lambda v: min(vid_statistic("mod")(v[:, :, i]) for i in range(v.shape[2]))


@claim("P5.22", "T5.3", "check", "<= 1e-6", "VID of a single attack level is zero (largest over networks)",
       mode="own_pred")
def vid_single_level(tables, *, mode: str):
    """Largest VID over networks when one attack level alone is counted."""
    shift = tables["shift"]
    values = cube(shift, "nissim", mode=mode, levels=LEVELS[:1])
    return values, lambda v: max(vid_statistic("mod")(v[:, :, i]) for i in range(v.shape[2]))


@claim("P5.23", "T5.3", "check", "> 0",
       "VID is larger for networks whose MOD rises more (rank correlation over networks)", mode="own_pred")
def vid_follows_rise(tables, *, mode: str):
    """Rank correlation over networks between VID and the rise of MOD."""
    shift = tables["shift"]

    def statistic(v: np.ndarray) -> float:
        mods = curve(v)
        return float(stats.spearmanr(mods.std(axis=1), mods[:, -1] - mods[:, 0]).statistic)

    return cube(shift, "nissim", mode=mode), statistic


@claim("P5.24", "F5.4", "report", "as reported", "Mean SSIM of VGG16 at ε = 0.1 (here the compact VGG)", network="vgg",
       mode="own_pred", level=0.1, note=CELL)
@claim("P5.25", "F5.4", "report", "as reported", "Mean SSIM of ResNet50 at ε = 0.1 (here the compact ResNet)",
       network="resnet", mode="own_pred", level=0.1, note=CELL)
@claim("P5.26", "F5.4", "report", "as reported", "Mean SSIM of ResNet101 at ε = 0.1 (here the deeper compact ResNet)",
       network="resnet_deep", mode="own_pred", level=0.1, note=CELL)
@claim("P5.27", "F5.4", "report", "as reported", "Mean SSIM of InceptionV3 at ε = 0.1 (here the compact Inception)",
       network="inception", mode="own_pred", level=0.1, note=CELL)
@claim("P5.28", "F5.4", "report", "as reported", "Mean SSIM of Xception at ε = 0.1 (here the compact Xception)",
       network="xception", mode="own_pred", level=0.1, note=CELL)
def mean_ssim(tables, *, network: str, mode: str, level: float):
    """Mean SSIM of one family's network at one level."""
    shift = tables["shift"]
    if network not in families(shift):
        return untestable()
    index = families(shift).index(network)
    return cube(shift, "ssim", mode=mode, levels=(level,))[..., 0], lambda v: float(np.nanmean(v[:, :, index]))
