"""Claims about methods, by true effects (ours).

Statements were fixed on networks and pictures of other seeds than those reported: the tutorial's, on data of seed 0.
"""

from collections.abc import Mapping

import pandas as pd

from aecompanion.evaluate.intervals import bounded
from aecompanion.papers.truth.tables import difference, known, values
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable

Tables = Mapping[str, pd.DataFrame]
NOT_RUN = "the methods did not run in this world"


@claim("P6.20", "X6.4", "report", "> 0",
       "{WORLD}: RP ranks parts by their true effects better than MP from equal starts (difference of mean rank "
       "correlations)", methods=["RP", "MP"], margin=0.05, undefined=NOT_RUN,
       over=[{"WORLD": "VOC-like scenes", "world": "voc", "family": "vgg"}])
def rank_difference(tables: Tables, *, world: str, family: str, methods: list[str]):
    """Mean rank correlation of the first method minus that of the second, on the same pairs."""
    rows = tables["methods"]
    if known(methods, rows, world=world, family=family) != methods:
        return untestable()
    return values(rows, "rank", methods, world=world, family=family), bounded(-2, 2)(difference)
