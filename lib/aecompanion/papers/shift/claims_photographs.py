"""Claims of paper 5 on photographs and real ImageNet networks: the statements of the faces, once more (X5.20)."""

import numpy as np

from aecompanion.evaluate.intervals import largest, least
from aecompanion.papers.shift.scale import block, noise_share, over_noise, rendering_cube
from aecompanion.papers.shift.tables import LEVELS, cube, curve, gap_between_outcomes
from aecompanion.report.claims import claim

MODE = "own_pred"
EVERY_LEVEL = [{"level": level} for level in LEVELS]
FEW = "photographs that every compared network names right; how many stands in the column n"


@claim("P5.120", "X5.20", "report", "> 0",
       "ImageNet, white-box, ε = {level}: MOD is larger than under random signs of equal size (least difference over "
       "networks)", arm="white", note=FEW, over=EVERY_LEVEL)
@claim("P5.124", "X5.20", "report", "> 0",
       "ImageNet, signs of another network, ε = {level}: MOD is larger than under random signs of equal size (least "
       "difference over networks)", arm="black", margin=0.02, note=FEW, over=EVERY_LEVEL)
def photographs_over_noise(tables, *, arm: str, level: float):
    """MOD of an arm minus MOD of noise of equal size at one level, the least over networks."""
    return block(tables["photographs"], mode=MODE, arm=arm, levels=(level,)), least(over_noise)


@claim("P5.128", "X5.20", "report", "> 0",
       "ImageNet: MOD is larger at ε = 0.1 than at 0.01 for every network (least difference)", note=FEW)
def photographs_rise(tables):
    """MOD at the largest level minus MOD at the smallest, the least over networks."""
    values = cube(tables["photographs"], "nissim", mode=MODE)
    return values, least(lambda v: curve(v)[:, -1] - curve(v)[:, 0])


@claim("P5.129", "X5.20", "report", "> 0",
       "ImageNet: MOD rises from ε = 0.01 to 0.1 by more than that of random signs of equal size (least difference)",
       note=FEW)
def photographs_rise_over_noise(tables):
    """Rise of MOD from the smallest level to the largest minus the rise under noise of equal size, the least one."""
    return block(tables["photographs"], mode=MODE), least(lambda v: over_noise(v)[:, -1] - over_noise(v)[:, 0])


@claim("P5.130", "X5.20", "report", "< 0.5",
       "ImageNet: random signs of equal size make less than half of the white-box MOD at ε = {level} (largest share)",
       note=FEW, over=[{"level": 0.01}, {"level": 0.1}])
def photographs_share_of_noise(tables, *, level: float):
    """MOD of noise over MOD of the white-box attack at one level, the largest over networks."""
    return block(tables["photographs"], mode=MODE, levels=(level,)), largest(noise_share)


@claim("P5.132", "X5.20", "report", ">= 0",
       "ImageNet: transferred signs hurt no network more than its own (least black-box minus white-box accuracy)",
       note=FEW)
def photographs_transfer_gap(tables):
    """Black-box minus white-box accuracy, the least over networks and the paper's levels."""
    both = [cube(tables["photographs"], "correct", mode=MODE, arm=arm) for arm in ("black", "white")]
    return np.stack(both, axis=-1), least(lambda v: (v[..., 0] - v[..., 1]).mean((0, 1)))


@claim("P5.133", "X5.20", "report", "> 0",
       "ImageNet, ε = 0.01: maps of images whose prediction breaks move farther than those of the others (difference "
       "of MOD, mean over networks)", level=0.01, note=f"{FEW}; own class, which changes with the prediction")
def photographs_failure_gap(tables, *, level: float):
    """Mean NISSIM of images that the white-box attack broke minus that of images still right, mean over networks."""
    rows = tables["photographs"]
    columns = [cube(rows, column, mode=MODE, levels=(level,))[..., 0] for column in ("nissim", "correct")]
    return np.stack(columns, axis=-1), gap_between_outcomes


@claim("P5.141", "X5.23", "report", "> 0.1",
       "ImageNet: size and rendering of the same maps move the mean SSIM at ε = 0.1 by more than .1 (least range over "
       "networks)", note=f"{FEW}; the statement of P5.62 on other data")
def photographs_rendering_range(tables):
    """Largest minus smallest mean SSIM over renderings of the same maps, the least over networks."""
    values = rendering_cube(tables["rendered"])
    return values, least(lambda v: np.ptp(np.nanmean(v, axis=(0, 1)), axis=1))


@claim("P5.142", "X5.23", "report", "> 0",
       "ImageNet: laid over the photograph, networks differ less in mean SSIM than as bare maps (fall of the range "
       "over networks)", cells=["scalar, input size", "overlay, 224 px"], note=FEW)
def photographs_alike_as_overlay(tables, *, cells: list[str]):
    """Range over networks of the mean SSIM in the first cell minus that in the second."""
    rows = tables["rendered"]
    kinds = rows["rendering"].unique().tolist()
    chosen = rendering_cube(rows)[..., [kinds.index(cell) for cell in cells]]
    return chosen, lambda v: float(-np.diff(np.ptp(np.nanmean(v, axis=(0, 1)), axis=0)).item())
