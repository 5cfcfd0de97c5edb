"""Claims of paper 5 on the maps themselves: inverted, spread out, and how the rendering decides their SSIM."""

import numpy as np

from aecompanion.evaluate.intervals import least
from aecompanion.papers.shift.scale import paper_ssim, rendering_cube
from aecompanion.papers.shift.tables import cube, families, names
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable

CLASSES = (("own_pred", "own class"), ("clean_pred", "class of the clean prediction"))
BOTH = [{"mode": mode, "CLASS": text} for mode, text in CLASSES]
NOTES = "notes on the paper say so"


def inverted(v: np.ndarray) -> np.ndarray:
    """Per network the share of maps with a negative rank correlation to the clean one; maps without ranks left out."""
    return np.nanmean(np.where(np.isnan(v), np.nan, v < 0), axis=(0, 1))


@claim("P5.54", "T5.2", "report", "> 0.5",
       "Inception's regions invert at ε = 0.1, {CLASS} (share of maps with negative rank correlation to the clean one)",
       network="inception", level=0.1, note=NOTES, over=BOTH)
def inverts(tables, *, network: str, mode: str, level: float):
    """Share of one family's attacked maps whose rank correlation with the clean map is negative."""
    if network not in families(tables["shift"]):
        return untestable()
    index = families(tables["shift"]).index(network)
    return cube(tables["shift"], "rank", mode=mode, levels=(level,))[..., 0], lambda v: inverted(v)[index]


@claim("P5.56", "T5.2", "report", "> 0",
       "Inception's regions invert more often than any other network's at ε = 0.1, {CLASS} (share minus largest other)",
       network="inception", level=0.1, note=NOTES, over=BOTH)
def inverts_most(tables, *, network: str, mode: str, level: float):
    """The same share minus the largest one of another network."""
    found = families(tables["shift"])
    if network not in found or len(found) == 1:
        return untestable()
    index, values = found.index(network), cube(tables["shift"], "rank", mode=mode, levels=(level,))[..., 0]
    return values, least(lambda v: inverted(v)[index] - np.delete(inverted(v), index))


@claim("P5.58", "T5.2", "report", "> 0",
       "Xception's map spreads to the background at ε = 0.1, {CLASS} (rise of its share outside the face's ellipse)",
       network="xception", level=0.1, note=NOTES, over=BOTH)
def spreads(tables, *, network: str, mode: str, level: float):
    """Share of one family's map outside the ellipse of the face (`evaluate.shift`) under attack minus that without."""
    if network not in families(tables["shift"]):
        return untestable()
    index = families(tables["shift"]).index(network)
    values = cube(tables["shift"], "outside", mode=mode, levels=(0.0, level))
    return values, lambda v: float(np.diff(np.nanmean(v[:, :, index], axis=(0, 1))).item())


@claim("P5.60", "T5.2", "report", "> 0",
       "Xception's map spreads to the background more than any other network's at ε = 0.1, {CLASS} (rise minus largest "
       "other)", network="xception", level=0.1, note=NOTES, over=BOTH)
def spreads_most(tables, *, network: str, mode: str, level: float):
    """The same rise minus the largest one of another network."""
    found = families(tables["shift"])
    if network not in found or len(found) == 1:
        return untestable()
    index = found.index(network)

    def margins(v: np.ndarray) -> np.ndarray:
        rise = np.diff(np.nanmean(v, axis=(0, 1)), axis=1)[:, 0]
        return rise[index] - np.delete(rise, index)

    return cube(tables["shift"], "outside", mode=mode, levels=(0.0, level)), least(margins)


@claim("P5.62", "X5.6", "report", "> 0.1",
       "Size and rendering of the same maps move the mean SSIM at ε = 0.1 by more than .1 (least range over networks)")
def rendering_range(tables):
    """Largest minus smallest mean SSIM over renderings of the same maps, the least over networks."""
    values = rendering_cube(tables["renderings"])
    return values, least(lambda v: np.ptp(np.nanmean(v, axis=(0, 1)), axis=1))


@claim("P5.63", "X5.6", "report", "> 0",
       "The paper's five means are nearer to maps laid over photographs than to bare ones at input size (fall of the "
       "root mean squared distance)", cells=["scalar, input size", "overlay, 224 px"],
       note="ε = 0.1, uniform window of 7 pixels; other faces and other networks")
def nearer_as_overlay(tables, *, cells: list[str], level: float = 0.1):
    """Distance of the five mean SSIM to the digitised ones in the first cell minus that in the second."""
    rows = tables["renderings"]
    paper = np.array([paper_ssim(network, level) for network in names(rows)])
    if np.isnan(paper).all():
        return untestable()
    kinds = rows["rendering"].unique().tolist()
    chosen = rendering_cube(rows)[..., [kinds.index(cell) for cell in cells]]

    def fall(v: np.ndarray) -> float:
        distance = np.nanmean(v, axis=(0, 1)) - paper[:, None]
        return float(-np.diff(np.sqrt(np.nanmean(distance**2, axis=0))).item())

    return chosen, fall
