"""Claims about metrics, by the order that the truth gives (X6.5).

Each is about the composed worlds, where every network has a training seed of its own and pictures are new; mosaics of
few photographs stand in the table. Levels of noise, shares, draws and thresholds were fixed before any of these
numbers was seen. That pictures with three parts come first was decided after a pilot with the same networks on eight
other scenes, in which pictures of two parts hardly told methods apart. A metric that only removes pixels and one that
is told the footprint are asked the same question.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from aecompanion.evaluate import recovery
from aecompanion.evaluate.intervals import largest, least
from aecompanion.papers.truth.metrics import methods_of
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable
from aecompanion.studies import truth_metrics as study

Tables = Mapping[str, pd.DataFrame]
COMPOSED = ("chest", "voc", "coco", "objects")
ASKED = [{"metric": metric} for metric in
         ("deletion", "insertion", "class distortion", "reverse confidence", "energy pointing", "ROAD", "infidelity",
          "pixel flipping (blur)", "randomisation")]
NOTES = {
    "randomisation": "both networks get the same noise, so that by construction nothing but noise counts as unchanged",
    "energy pointing": "nearly by construction wherever the network uses the part that shows the class",
}


def blocks(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of every composed world that has any."""
    return [rows[rows["world"] == world] for world in COMPOSED if world in set(rows["world"])]


def stacked(cubes: list[np.ndarray]) -> np.ndarray:
    """Cubes of the worlds side by side, seeds × pictures × worlds × ..., cut to what all have."""
    seeds, pictures = (min(each.shape[axis] for each in cubes) for axis in (0, 1))
    return np.stack([each[:seeds, :pictures] for each in cubes], axis=2)


@claim("P6.30", "X6.5", "report", "> 0",
       "{metric} puts methods in the order of their true scores (Kendall's τ, least over composed worlds)", over=ASKED)
@claim("P6.49", "X6.5", "report", "> 0",
       "max-sensitivity puts methods in the order of their true scores (Kendall's τ, least over composed worlds)",
       metric="max-sensitivity")
def order(tables: Tables, *, metric: str):
    """τ of the methods' mean metric and mean true rank correlation, both found anew in every resample."""
    worlds = blocks(tables["metrics"])
    if not worlds:
        return untestable("no composed world was asked")
    values = stacked([study.method_cube(here, metric, methods_of(here)) for here in worlds])
    return values, least(lambda v: [recovery.order_of_methods(v[:, :, k]) for k in range(v.shape[2])])


@claim("P6.39", "X6.6", "report", "> 0.5",
       "{metric} gets worse as the truth degrades to noise (mean τ of single pictures, least over composed worlds)",
       over=[each | ({"note": NOTES[each["metric"]]} if each["metric"] in NOTES else {}) for each in ASKED])
def falls(tables: Tables, *, metric: str):
    """Mean over pictures of τ of the metric with the share of truth in the map."""
    worlds = blocks(tables["metrics"])
    if not worlds:
        return untestable("no composed world was asked")
    values = stacked([study.degradation(here, metric) for here in worlds])
    return values, least(lambda v: [recovery.mean_tau(v[:, :, k]) for k in range(v.shape[2])])


@claim("P6.48", "X6.6", "check", "< 0.5",
       "A metric that is random does not follow the degradation (mean τ of single pictures, largest over worlds)",
       metric="random")
def follows(tables: Tables, *, metric: str):
    """As `falls`, the largest over worlds."""
    values, _ = falls(tables, metric=metric)
    if values.ndim < 3:
        return untestable("no composed world was asked")
    return values, largest(lambda v: [recovery.mean_tau(v[:, :, k]) for k in range(v.shape[2])])
