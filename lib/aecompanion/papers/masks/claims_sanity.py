"""Claims about the randomisation check of Kim et al., IEEE TIP 2022: do the maps depend on what was learned?

The paper shows that they change, without numbers. A bound such as "a correlation below 0.5" says little alone: maps of
two different images have some correlation, and maps of the same network trained from another seed are not all alike
either. So the similarity is measured between these two (`report.randomization`): 0 is another image's map, 1 that of a
retrained network, and half way is the bound. Maps that are constant have no similarity and are left out; where most are
constant there is nothing to test.
"""

import numpy as np
import pandas as pd

from aecompanion.evaluate.intervals import largest
from aecompanion.papers.masks.gates import gated
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable
from aecompanion.report.randomization import between, share
from aecompanion.sanity.randomization import OTHER, RECALIBRATED, WAYS

SCALE = "0 another image's map, 1 a retrained network's"
UNDEFINED = "most maps of the re-initialised network are constant, or it has too little of AUROC"


@claim("P3.48", "F3.12", "expected", "< 0.5",
       "RP: re-initialising the top layer takes the map's rank correlation to the original below half way "
       f"({SCALE})", method="RP", measure="spearman", stage="mask_randomization", undefined=UNDEFINED)
@claim("P3.50", "F3.12", "expected", "< 0.5",
       f"RP: re-initialising the top layer takes the map's SSIM to the original below half way ({SCALE})", method="RP",
       measure="ssim", stage="mask_randomization", undefined=UNDEFINED)
@claim("P3.52", "X3.4", "report", "< 0.5",
       "{method}: re-initialising the top layer takes the map's rank correlation to the original below half way "
       f"({SCALE})", measure="spearman", stage="mask_randomization", undefined=UNDEFINED,
       over=[{"method": "BP"}, {"method": "Grad-CAM"}, {"method": "RISE"}, {"method": "MP"}, {"method": "EP"}])
@claim("P3.82", "X3.4", "report", "< 0.5",
       "IG: re-initialising the top layer takes the map's rank correlation to the original below half way "
       f"({SCALE})", method="IG", measure="spearman", stage="mask_randomization", undefined=UNDEFINED)
@gated
def top_layer(tables, *, method: str, measure: str):
    """Share of a retrained network's similarity that is left when the last layer alone is re-initialised."""
    rows = of_method(tables, method)
    cascade = rows[rows["way"] == WAYS[0]]
    first = cascade[cascade["depth"] == cascade["depth"].min()]
    if mostly_constant(first) or not (rows["way"] == OTHER).any():
        return untestable()
    return between(first, rows, measure, "position"), share


@claim("P3.49", "F3.12", "expected", "< 0.5",
       "RP: and it stays below half way at every depth of the recalibrated cascade (largest share of rank correlation, "
       f"{SCALE})", method="RP", measure="spearman", stage="mask_randomization", undefined=UNDEFINED)
@claim("P3.51", "F3.12", "expected", "< 0.5",
       "RP: and it stays below half way at every depth of the recalibrated cascade (largest share of SSIM, "
       f"{SCALE})", method="RP", measure="ssim", stage="mask_randomization", undefined=UNDEFINED)
@gated
def largest_later(tables, *, method: str, measure: str):
    """Largest share at any depth of the cascade with recalibrated normalisations where most maps are not constant."""
    rows = of_method(tables, method)
    again = rows[rows["way"] == RECALIBRATED]
    depths = [part for _, part in again.groupby("depth") if not mostly_constant(part)]
    if len(again) and (not depths or not (rows["way"] == OTHER).any()):
        return untestable()
    if again.empty:
        raise ValueError(f"{method}: no rows of the recalibrated cascade")
    found = np.stack([between(part, rows, measure, "position") for part in depths], axis=-1)
    return found, largest(lambda v: [share(v[..., depth]) for depth in range(v.shape[-1])])


def of_method(tables, method: str) -> pd.DataFrame:
    rows = tables["randomization"]
    return rows[rows["method"] == method]


def mostly_constant(rows: pd.DataFrame) -> bool:
    return bool(len(rows) and rows["undefined"].mean() > 0.5)
