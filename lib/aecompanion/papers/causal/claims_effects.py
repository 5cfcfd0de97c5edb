"""Claims of Yang et al., ICIP 2019, about the marker, concepts, the released loss and the view."""

import numpy as np

from aecompanion.evaluate.detection import auroc
from aecompanion.evaluate.intervals import bounded, least
from aecompanion.papers.causal.tables import concept_cube, correlations, mean_effects
from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube, untestable

NO_MARKER = "the data have no marker"
NO_VIEWS = "needs radiographs of both views"


@claim("P1.33", "X1.12", "expected", "< 0",
       "The network uses the shortcut: without the marker p(Infiltration) falls (mean change)", undefined=NO_MARKER)
def marker_effect(tables):
    """Mean change of p(finding) when the marker is taken out of the images that carry it."""
    marker = tables["marker"]
    if marker.empty:
        return untestable()
    values = cube(marker.assign(change=marker["p_without"] - marker["p"], all=0), "change", [{"all": 0}])
    return values[..., 0], lambda v: float(np.nanmean(v))


@claim("P1.34", "X1.12", "expected", "> 0",
       "Association overstates the shortcut: images with and without the marker differ by more than its causal "
       "effect (surplus)", undefined=NO_MARKER)
def association_surplus(tables):
    """Mean p(finding) of images with the marker minus without (association), less the marker's causal effect."""
    marker = tables["marker"]
    if marker.empty:
        return untestable()
    rows = marker.assign(marked=marker["p_without"].notna().astype(float), all=0)
    parts = [cube(rows, column, [{"all": 0}])[..., 0] for column in ("p", "p_without", "marked")]

    def surplus(v: np.ndarray) -> float:
        p, without, marked = (v[..., i] for i in range(3))
        association = p[marked == 1].mean() - p[marked == 0].mean()
        return float(association - np.nanmean((p - without)[marked == 1]))

    return np.stack(parts, axis=-1), surplus


@claim("P1.35", "T1.6", "must", "> 0",
       "Head on true findings: every parent has a larger effect than every concept that is none (least margin)",
       source="true findings")
@claim("P1.36", "T1.6", "expected", "< 0",
       "Correlation does not tell them apart: some concept that is no parent is more correlated than some parent "
       "(least margin)", source="true findings", by="correlation")
@claim("P1.37", "T1.6", "report", "> 0",
       "Head on the network's probabilities: every parent has a larger effect than every other concept (least margin)",
       source="network")
def parent_margin(tables, *, source: str, by: str = "effect"):
    """Least value of a parent minus the largest of a concept that is none; `by` "effect" or "correlation"."""
    concepts = tables["concepts"]
    values, _, parents = concept_cube(concepts, source)
    measure = {"effect": mean_effects, "correlation": correlations}[by]

    def margins(v: np.ndarray) -> np.ndarray:
        found = measure(v)
        return found[parents][:, None] - found[~parents]

    return values, least(margins)


@claim("P1.59", "F1.9", "report", ">= 0.4",
       "Released loss, digits: accuracy of the network itself falls by at least 0.4", domain="digits",
       variant="released", note="not the loss of the released digits notebook; the front is a single convolution")
@claim("P1.60", "F1.9", "must", ">= 0.2", "Released loss, phantoms: AUROC of the network itself falls by at least 0.2",
       domain="chest", variant="released")
@claim("P1.61", "F1.9", "check", "<= 0.01",
       "Intended loss, digits: accuracy of the network itself changes by at most 0.01", domain="digits",
       variant="intended", note="the network is frozen, so the change is exactly zero")
def released_drop(tables, *, domain: str, variant: str, column: str = "plain"):
    """Score of the plain branch (or agreement of both) before training minus after it, seeds only."""
    released = tables["released"]
    part = released[(released["domain"] == domain) & (released["variant"] == variant)]
    by_epoch = part.pivot(index="seed", columns="epoch", values=column)
    first, last = by_epoch.iloc[:, 0].to_numpy(), by_epoch.iloc[:, -1].to_numpy()
    return (first - last)[:, None], lambda v: float(v.mean())


@claim("P1.62", "F1.9", "expected", "< 0.5",
       "Correct gradient but summed variation, phantoms: the branches agree on less than half of the images",
       domain="chest", variant="summed TV")
@claim("P1.63", "F1.9", "expected", ">= 0.9",
       "Intended loss, phantoms, same images and epochs: the branches agree on at least 90 %", domain="chest",
       variant="intended")
def last_agreement(tables, *, domain: str, variant: str):
    """Agreement of both branches after training, seeds only."""
    released = tables["released"]
    part = released[(released["domain"] == domain) & (released["variant"] == variant)]
    values = part[part["epoch"] == part["epoch"].max()].sort_values("seed")["agreement"].to_numpy()
    return values[:, None], lambda v: float(v.mean())


@claim("P1.64", "X1.15", "expected", "> 0",
       "Planted marker: its own box does more than either lung field (difference to the larger, mean |CE|, mean fill)",
       regions=["marker", "lung, left", "lung, right"], undefined=NO_MARKER)
@claim("P1.66", "X1.15", "expected", "> 0",
       "Radiographs: what lies outside lungs and mediastinum tells the view more than both lung fields do "
       "(difference of mean |CE|, mean fill)", classes=["AP", "PA"], regions=["outside", "lungs"], undefined=NO_VIEWS)
@claim("P1.67", "X1.16", "report", "> 0",
       "Radiographs: the same per share of the image (difference of mean |CE| over area)", classes=["AP", "PA"],
       regions=["outside", "lungs"], per_share=True, undefined=NO_VIEWS)
@claim("P1.68", "X1.15", "report", "> 0",
       "Radiographs: corners and border tell the view more than both lung fields do (difference of mean |CE|, mean "
       "fill)", classes=["AP", "PA"], regions=["frame", "lungs"], undefined=NO_VIEWS)
def view_lead(tables, *, regions: list[str], classes: tuple = (), fill: str = "mean", per_share: bool = False):
    """Mean |CE| of the first region minus the largest of the others, images that have all of them; with `per_share`
    each divided by the region's share of the image. classes: the two views that the claim speaks of, by default any.
    """
    shortcut = tables["shortcut"]
    rows = shortcut[(shortcut["fill"] == fill) & shortcut["region"].isin(regions)]
    if not (set(classes) <= set(rows["view"]) and set(regions) <= set(rows["region"])):
        return untestable()
    rows = rows.assign(size=rows["effect"].abs() / (rows["share"] if per_share else 1))
    values = cube(rows, "size", [{"region": region} for region in regions])

    def leads(v: np.ndarray) -> np.ndarray:
        means = v[np.isfinite(v).all(-1)].mean(0)
        return means[0] - means[1:]

    return values, least(leads)


@claim("P1.65", "X1.14", "expected", ">= 0.9",
       "Radiographs: a network tells PA from AP on unseen patients (AUROC at least 0.9)", classes=["AP", "PA"],
       undefined=NO_VIEWS)
def view_auroc(tables, *, classes: list[str]):
    """AUROC of the network's log-odds of the second view, test images, averaged over seeds."""
    viewed = tables["viewed"]
    if set(viewed["view"]) != set(classes):
        return untestable()
    @bounded(0, 1)
    def seen(v: np.ndarray) -> float:
        return float(np.mean([auroc(score[view == 0], score[view == 1]) for score, view in np.moveaxis(v, -1, 1)]))

    rows = viewed.assign(second=(viewed["view"] == classes[1]).astype(float), all=0)
    values = np.concatenate([cube(rows, column, [{"all": 0}]) for column in ("score", "second")], axis=-1)
    return values, seen
