"""Claims of Yang et al., ICIP 2019, about channels and concepts, and the estimators that test them."""

import numpy as np

from aecompanion.papers.causal.channels import channel_cube, flat_cube
from aecompanion.papers.causal.tables import concept_cube
from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube


@claim("P1.171", "X1.23", "report", "> 0",
       "Phantoms: the channel chosen for a finding changes its probability more than one channel for all does "
       "(difference of mean CE_k, channels and directions chosen on validation images)", domain="chest")
def own_channel(tables, *, domain: str):
    """Mean CE_k of the finding's own channel minus that of one channel for all, in the directions that validation
    images showed, on test images.
    """
    return channel_cube(tables["latent"], domain), lambda v: float((v[..., 0] - v[..., 1]).mean())


@claim("P1.172", "X1.24", "report", "> 0",
       "Phantoms: less than half of the effect is left when the channel is set to the mean code of other images "
       "instead of zero (|e| at zero minus twice |e| at the mean code)", domain="chest")
def flatness(tables, *, domain: str):
    """|mean e| under do(c_j = 0) minus twice |mean e| under do(c_j = mean code)."""
    values = flat_cube(tables["latent"], domain)
    return values, lambda v: float(abs(v[..., 0].mean()) - 2 * abs(v[..., 1].mean()))


@claim("P1.173", "T1.6", "report", "> 0",
       "Head on true findings: its coefficients alone tell parents from other concepts, without do() (least margin)",
       source="true findings")
def coefficient_margin(tables, *, source: str):
    """The smallest |coefficient| of a parent minus the largest of another concept, mean over seeds."""
    concepts = tables["concepts"]
    _, names, parents = concept_cube(concepts, source)
    rows = concepts[concepts["source"] == source].drop_duplicates(["seed", "concept"]).assign(image=0)
    values = np.abs(cube(rows, "coefficient", [{"concept": name} for name in names]))

    def margin(v: np.ndarray) -> float:
        sizes = v.mean((0, 1))
        return float(sizes[parents].min() - sizes[~parents].max())

    return values, margin
