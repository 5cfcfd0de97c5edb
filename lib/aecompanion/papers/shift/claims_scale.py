"""Claims of paper 5 measured between floor and ceiling: what MOD says beyond noise of equal size (`shift.scale`)."""

import numpy as np

from aecompanion.evaluate.intervals import largest, least
from aecompanion.papers.shift.scale import block, ceiling_share, noise_share, over_noise
from aecompanion.papers.shift.tables import LEVELS, cube, curve, families, families_of
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable

EVERY_LEVEL = [{"level": level} for level in LEVELS]


@claim("P5.06", "T5.2", "report", "> 0",
       "MOD rises from ε = 0.01 to 0.1 by more than that of random signs of equal size, own class (least difference)",
       mode="own_pred", note="MOD itself rises: P5.29")
def rise_over_noise(tables, *, mode: str):
    """Rise of MOD from the smallest level to the largest minus the rise under noise of equal size, the least one."""
    return block(tables["shift"], mode=mode), least(lambda v: over_noise(v)[:, -1] - over_noise(v)[:, 0])


@claim("P5.30", "T5.2", "expected", "> 0",
       "White-box, ε = {level}: MOD is larger than under random signs of equal size, own class (least difference)",
       mode="own_pred", arm="white", over=EVERY_LEVEL)
@claim("P5.34", "T5.2", "report", "> 0",
       "Black-box, ε = {level}: MOD is larger than under random signs of equal size, own class (least difference)",
       mode="own_pred", arm="black", margin=0.02, over=EVERY_LEVEL)
def mod_over_noise(tables, *, mode: str, arm: str, level: float):
    """MOD of an arm minus MOD of noise of equal size at one level, the least over networks."""
    return block(tables["shift"], mode=mode, arm=arm, levels=(level,)), least(over_noise)


@claim("P5.38", "T5.2", "report", "< 0.5",
       "Random signs of equal size make less than half of the {arm}-box MOD at ε = {level}, own class (largest share)",
       mode="own_pred",
       over=[{"arm": "white", "level": 0.01}, {"arm": "white", "level": 0.1},
             {"arm": "black", "level": 0.01}, {"arm": "black", "level": 0.1}])
def share_of_noise(tables, *, mode: str, arm: str, level: float):
    """MOD of noise over MOD of the arm at one level, the largest over networks."""
    return block(tables["shift"], mode=mode, arm=arm, levels=(level,)), largest(noise_share)


@claim("P5.42", "T5.2", "report", "> 0",
       "The plain VGG is the most stable at ε = {level} against the ceiling, {CLASS} (least other share minus its own)",
       note="share: MOD over that between the maps of two people",
       over=[{"mode": mode, "CLASS": text, "level": level}
             for mode, text in (("own_pred", "own class"), ("clean_pred", "class of the clean prediction"))
             for level in (0.01, 0.1)])
def vgg_margin_in_shares(tables, *, mode: str, level: float):
    """Smallest share of the ceiling among the other networks minus the plain VGG's; positive: VGG moves least."""
    found = families(tables["shift"])
    if "vgg" not in found or len(found) == 1:
        return untestable()
    index = found.index("vgg")

    def margins(v: np.ndarray) -> np.ndarray:
        shares = ceiling_share(v)[:, 0]
        return np.delete(shares, index) - shares[index]

    return block(tables["shift"], mode=mode, levels=(level,)), least(margins)


@claim("P5.46", "T5.2", "report", "> 0",
       "At ε = {level} every deep network moves less than every wide one against the ceiling, own class (least gap)",
       mode="own_pred", note="3 deep against 2 wide networks; share: MOD over that between the maps of two people",
       over=EVERY_LEVEL)
def deep_below_wide(tables, *, mode: str, level: float):
    """Smallest share of the ceiling among wide networks minus the largest among deep ones, at one level."""
    deep, wide = families_of(tables["shift"])
    if not (deep.any() and wide.any()):
        return untestable()
    values = block(tables["shift"], mode=mode, levels=(level,))
    return values, least(lambda v: ceiling_share(v)[wide] - ceiling_share(v)[deep].T)


@claim("P5.50", "T5.2", "report", "> 0",
       "ResNet101 shifts less than ResNet50, own class (here the deeper compact ResNet, mean MOD, difference)",
       mode="own_pred", scaled=False, margin=0.02, note="notes on the paper say so")
@claim("P5.51", "T5.2", "report", "> 0",
       "ResNet101 shifts less than ResNet50 against the ceiling of each, own class (mean share, difference)",
       mode="own_pred", scaled=True, margin=0.05, note="notes on the paper say so")
def deeper_resnet_shifts_less(tables, *, mode: str, scaled: bool):
    """MOD (or its share of the ceiling) of the ResNet minus that of the deeper one, mean over the paper's levels."""
    found = families(tables["shift"])
    if not {"resnet", "resnet_deep"} <= set(found):
        return untestable()
    plain, deeper = found.index("resnet"), found.index("resnet_deep")

    def difference(v: np.ndarray) -> float:
        moved = (ceiling_share(v) if scaled else curve(v[..., 0])).mean(axis=1)
        return moved[plain] - moved[deeper]

    return block(tables["shift"], mode=mode), difference


@claim("P5.52", "T5.1", "report", "> 0",
       "Wide networks fail more than deep ones as ε grows, {arm}-box (fall of accuracy from .01 to .1, difference)",
       over=[{"arm": "white", "note": "notes on the paper say so; at ε = 0.1 all networks are near chance"},
             {"arm": "black", "note": "notes on the paper say so; the signs come from a deep network"}])
def wide_fall_more(tables, *, arm: str):
    """Fall of accuracy from the smallest to the largest level, of the wide networks minus that of the deep ones."""
    deep, wide = families_of(tables["predictions"])
    if not (deep.any() and wide.any()):
        return untestable()

    def difference(v: np.ndarray) -> float:
        fall = curve(v)[:, 0] - curve(v)[:, -1]
        return fall[wide].mean() - fall[deep].mean()

    return cube(tables["predictions"], "correct", arm=arm), difference
