"""Claims of paper 3 on photographs and real ImageNet networks: the statements of the scenes, once more (X3.20).

Rows are those of `studies.photograph_scores`, one per network, method and photograph.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from aecompanion.evaluate.intervals import largest, least
from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube, mean_row

FEW = "photographs that every compared network names right; how many stands in the column n"
COLUMNS = ("deletion", "insertion", "cds", "reverse", "change", "p_reverse", "area")


def values(rows: pd.DataFrame, column: str, methods: Sequence[str]) -> np.ndarray:
    """1 × photographs × networks × methods of a column: nothing was trained, so there is one \"seed\"."""
    networks = rows["network"].unique().tolist()
    conditions = [{"network": network, "method": method} for network in networks for method in methods]
    found = cube(rows.assign(seed=0), column, conditions)
    return found.reshape(*found.shape[:2], len(networks), len(methods))


def table(rows: pd.DataFrame, **options) -> pd.DataFrame:
    """X3.20: per network and method the mean of every score with its interval over photographs, the share of stuck
    masks and the passes of a photograph.
    """
    made = []
    for (network, method), part in rows.groupby(["network", "method"], sort=False):
        row: dict = {"network": network, "method": method}
        for column in COLUMNS:
            row |= mean_row(values(part, column, [method])[..., 0, 0], column, **options)
        row |= {"stuck": part["stuck"].mean(), "forward": part["forward"].iloc[0], "backward": part["backward"].iloc[0]}
        made.append(row)
    return pd.DataFrame(made)


@claim("P3.75", "X3.20", "report", "< 1",
       "ImageNet: RP deletes better than {OTHER} (ratio of deletion AUCs, largest over networks)", column="deletion",
       note=FEW,
       over=[{"OTHER": "MP with the same start", "methods": ["RP", "MP"]},
             {"OTHER": "MP started at 1", "methods": ["RP", "MP (start 1)"]},
             {"OTHER": "RISE", "methods": ["RP", "RISE"]}])
def photograph_ratio(tables: Mapping[str, pd.DataFrame], *, column: str, methods: list[str]):
    """Mean of the column for the first method over that for the second, the largest over networks."""
    v = values(tables["photographs"], column, methods)
    return v, largest(lambda each: each[..., 0].mean((0, 1)) / each[..., 1].mean((0, 1)))


@claim("P3.78", "X3.20", "report", "> 0.2",
       "ImageNet: the reverse image gives the class back with RP, not with MP (p of the class, least difference over "
       "networks)", column="p_reverse", methods=["RP", "MP"], note=FEW)
@claim("P3.79", "X3.20", "report", "> 0",
       "ImageNet: RP has a higher class distortion score than MP (least difference over networks)", column="cds",
       methods=["RP", "MP"], note=FEW)
@claim("P3.80", "X3.20", "report", ">= 0",
       "ImageNet: RP inserts at least as well as MP (least difference of insertion AUCs over networks)",
       column="insertion", methods=["RP", "MP"], note=FEW)
@claim("P3.81", "X3.20", "report", "> 0",
       "ImageNet: more of MP's masks never leave their start from 1 than from 0, tuned weight (least difference of "
       "shares over networks)", column="stuck", methods=["MP (start 1)", "MP"], note=FEW)
def photograph_difference(tables: Mapping[str, pd.DataFrame], *, column: str, methods: list[str]):
    """Mean of the column, first method minus second, the least over networks."""
    v = values(tables["photographs"], column, methods)
    return v, least(lambda each: (each[..., 0] - each[..., 1]).mean((0, 1)))
