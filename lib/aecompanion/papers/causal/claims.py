"""Claims of Yang et al., ICIP 2019, about latent features, regions and maps, and the estimators that test them."""

import numpy as np

from aecompanion.papers.causal.tables import (
    class_by_channel,
    per_image,
    ranked,
    sizes,
)
from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube, untestable

NO_TRUTH = "needs counterfactual images, which only phantoms have"


@claim("P1.01", "F1.1", "expected", ">= 0.95",
       "Digits: with the bottleneck and without it at least 95 % of test images get the same class", domain="digits")
@claim("P1.04", "F1.2", "expected", ">= 0.9",
       "Phantoms: at least 90 % of test images keep all seven decisions with the bottleneck (the gate)", domain="chest")
def agreement(tables, *, domain: str):
    """Share of test images whose decisions are equal with and without the bottleneck."""
    latent = tables["latent"]
    return cube(per_image(latent), "same", [{"domain": domain}]), lambda v: float(v.mean())


@claim("P1.02", "F1.1", "expected", "<= 0.02",
       "Digits: the bottleneck by itself has nearly no effect (mean |ECE0| at most 0.02)", domain="digits")
def own_effect(tables, *, domain: str):
    """Mean |ECE0|: what the bottleneck itself does."""
    latent = tables["latent"]
    return cube(per_image(latent), "baseline", [{"domain": domain}]), lambda v: float(np.abs(v).mean())


@claim("P1.03", "F1.1", "expected", "> 5",
       "Digits: channels differ: the most influential one does more than five times what the median one does",
       domain="digits")
def channel_ratio(tables, *, domain: str):
    """Mean |ECE_j - ECE0| of the most influential channel over that of the median channel."""
    latent = tables["latent"]

    def ratio(values: np.ndarray) -> float:
        sizes = np.abs(values).mean(1)  # seeds × channels
        return float((sizes[:, 0] / np.median(sizes, axis=1)).mean())

    return ranked(latent, domain), ratio


@claim("P1.05", "F1.2", "expected", "> 0",
       "Phantoms: some channel is class-specific (its effect on one finding minus the largest on another)",
       domain="chest", note="pair chosen on validation images")
def specificity(tables, *, domain: str):
    """|mean CE_k| of the most class-specific (class, channel) pair minus the largest of that channel on another class.

    The pair is chosen per seed on validation images. Cube: seeds × test images × classes, NaN where a label is absent.
    """
    latent = tables["latent"]
    rows = latent[(latent["domain"] == domain) & (latent["label"] >= 0)]
    labels = range(rows["label"].max() + 1)
    layers, own = [], []
    for seed, means in class_by_channel(latent, domain, "validation").items():
        sizes = np.abs(means)
        others = np.where(np.isnan(sizes), -np.inf, sizes)
        lead = sizes - np.stack([np.delete(others, k, 0).max(0) for k in labels])
        label, channel = np.unravel_index(np.nanargmax(lead), lead.shape)
        part = rows[(rows["seed"] == seed) & (rows["split"] == "test") & (rows["channel"] == channel)]
        layers.append(part.pivot(index="image", columns="label", values="effect").reindex(columns=labels))
        own.append(label)
    index = layers[0].index
    values = np.stack([layer.reindex(index).to_numpy() for layer in layers])
    columns = np.arange(values.shape[2])
    mark = np.stack([np.where(columns == label, 1.0, 0.0) for label in own])
    flagged = np.concatenate([values, np.repeat(mark[:, None], values.shape[1], axis=1)], axis=2)

    def lead_of(v: np.ndarray) -> float:
        count, found = v.shape[2] // 2, []
        for layer in v:
            sizes, label = np.abs(np.nanmean(layer[:, :count], axis=0)), int(layer[0, count:].argmax())
            found.append(sizes[label] - np.nanmax(np.delete(sizes, label)))
        return float(np.mean(found))

    return flagged, lead_of


@claim("P1.06", "F1.2", "expected", "< 0.02",
       "Phantoms: some channel is not needed (mean |ECE_j - ECE0| of the weakest, chosen on validation images, below "
       "0.02)", domain="chest")
def weakest_channel(tables, *, domain: str):
    """Mean |ECE_j - ECE0| of the least influential channel."""
    latent = tables["latent"]
    return ranked(latent, domain)[..., -1], lambda v: float(np.abs(v).mean())


@claim("P1.07", "F1.3", "check", "> 0",
       "Exact intervention: the box matters more than the CAM region of equal area (difference of mean |CE|)",
       fill="counterfactual", regions=["box", "cam"], undefined=NO_TRUTH,
       note="by construction: only pixels of the finding change")
@claim("P1.08", "F1.3", "check", "> 0",
       "Exact intervention: the CAM region matters more than a box elsewhere (difference of mean |CE|)",
       fill="counterfactual", regions=["cam", "random"], undefined=NO_TRUTH,
       note="by construction: the region elsewhere holds no pixel that changes")
@claim("P1.10", "F1.3", "expected", "> 0",
       "Mean fill: the box matters more than the CAM region (difference of mean |CE|)", fill="mean",
       regions=["box", "cam"])
@claim("P1.11", "F1.3", "expected", "> 0",
       "Mean fill: the CAM region matters more than a box elsewhere (difference of mean |CE|)", fill="mean",
       regions=["cam", "random"])
@claim("P1.89", "F1.3", "report", "> 0",
       "Findings and marker off in the region: the box matters more than the CAM region (difference of mean |CE|)",
       fill="all off", regions=["box", "cam"], undefined=NO_TRUTH)
@claim("P1.90", "F1.3", "report", "> 0",
       "Findings and marker off in the region: the CAM region matters more than a box elsewhere (difference of mean "
       "|CE|)", fill="all off", regions=["cam", "random"], undefined=NO_TRUTH)
@claim("P1.91", "X1.11", "report", "> 0",
       "Infiltration, which the marker goes with, findings and marker off in the region: the CAM region matters more "
       "than the finding's box (difference of mean |CE|)", fill="all off", regions=["cam", "box"],
       finding="Infiltration", undefined=NO_TRUTH)
@claim("P1.15", "F1.4", "report", ">= 0",
       "Fill {fill}: the box matters at least as much as the CAM region (difference of mean |CE|)",
       regions=["box", "cam"],
       over=[{"fill": "ring"}, {"fill": "black"}, {"fill": "white"}, {"fill": "blur"}, {"fill": "inpaint"}])
def region_difference(tables, *, fill: str, regions: list[str], detected: bool = False, finding: str = ""):
    """Mean |CE_y| of one region minus that of another, same cases (of one finding, if named)."""
    effects = tables["effects"]
    effects = effects[effects["finding"] == finding] if finding and len(effects) else effects
    values = sizes(effects, fill, regions, detected)
    return untestable() if values is None else (values, lambda v: float(np.nanmean(v[..., 0] - v[..., 1])))


@claim("P1.92", "F1.3", "report", "> 0",
       "What \"exact\" leaves out: the box leads the CAM region by more with only the finding off than with findings "
       "and marker off (difference of the two leads)", fills=["counterfactual", "all off"],
       undefined=NO_TRUTH)
def gap_difference(tables, *, fills: list[str]):
    """Mean |CE_y| of the box minus that of the CAM region under one fill, minus the same under another, same cases."""
    parts = [sizes(tables["effects"], fill, ["box", "cam"]) for fill in fills]
    if any(part is None for part in parts):
        return untestable()
    gaps = np.stack([part[..., 0] - part[..., 1] for part in parts], axis=-1)
    return gaps, lambda v: float(np.nanmean(v[..., 0] - v[..., 1]))


@claim("P1.12", "F1.3", "expected", ">= 1.3", "Mean fill: |CE| of the box is at least 1.3 times that of the CAM region",
       fill="mean", regions=["box", "cam"], note="threshold of a trial on simpler phantoms")
@claim("P1.13", "F1.3", "expected", ">= 3",
       "Mean fill: |CE| of the CAM region is at least 3 times that of a box elsewhere", fill="mean",
       regions=["cam", "random"], note="threshold of a trial on simpler phantoms")
@claim("P1.14", "F1.3", "report", ">= 1.3",
       "The ratio box to CAM under the exact intervention, findings the network sees (p of at least 1/2)",
       fill="counterfactual", regions=["box", "cam"], detected=True, undefined=NO_TRUTH)
def region_ratio(tables, *, fill: str, regions: list[str], detected: bool = False):
    """Mean |CE_y| of one region over that of another, same cases."""
    effects = tables["effects"]
    values = sizes(effects, fill, regions, detected)
    if values is None:
        return untestable()

    def ratio(v: np.ndarray) -> float:
        both = np.isfinite(v).all(-1)
        return float(v[..., 0][both].mean() / v[..., 1][both].mean())

    return values, ratio


@claim("P1.20", "F1.4", "expected", "> 0",
       "Missingness bias: a {fill} box elsewhere does more than a mean-filled one (difference of mean |CE|)",
       over=[{"fill": "black"}, {"fill": "white"}])
def missingness_bias(tables, *, fill: str, reference: str = "mean"):
    """Mean |CE_y| of a random region under one fill minus that under another: what the fill itself does."""
    effects = tables["effects"]
    part = effects[effects["region"] == "random"].assign(size=lambda rows: rows["effect"].abs())
    if part.empty:
        return untestable()
    values = cube(part, "size", [{"fill": fill}, {"fill": reference}], item="case")
    return values, lambda v: float(np.nanmean(v[..., 0] - v[..., 1]))


@claim("P1.09", "F1.3", "check", "< 0.000001", "Exact intervention: a box elsewhere has no effect at all (mean |CE|)",
       fill="counterfactual", undefined=NO_TRUTH, note="by construction; checks that removal is local")
@claim("P1.22", "F1.4", "report", "< 0.05", "Fill mean: a box elsewhere does little (mean |CE| below 0.05)",
       fill="mean")
@claim("P1.23", "F1.4", "report", "< 0.05", "Fill inpaint: a box elsewhere does little (mean |CE| below 0.05)",
       fill="inpaint")
def random_size(tables, *, fill: str):
    """Mean |CE_y| of a random region."""
    effects = tables["effects"]
    values = sizes(effects, fill, ["random"])
    return untestable() if values is None else (values[..., 0], lambda v: float(np.nanmean(v)))


@claim("P1.24", "F1.5", "check", "> 0",
       "The grid map of exact effects meets the box better than CAM (difference of intersection over union)",
       maps=["CE, counterfactual", "CAM"], undefined=NO_TRUTH,
       note="by construction: blocks off the finding change nothing")
@claim("P1.93", "F1.5", "report", "> 0",
       "The grid map with findings and marker off meets the finding's box better than CAM (difference of intersection "
       "over union)", maps=["CE, all off", "CAM"], undefined=NO_TRUTH)
@claim("P1.25", "F1.5", "expected", "> 0",
       "The grid map by mean fill meets the box better than CAM (difference of intersection over union)",
       maps=["CE, mean", "CAM"])
@claim("P1.26", "F1.5", "report", "> 0", "The same with the exact mask as truth, mean fill", maps=["CE, mean", "CAM"],
       truth="iou_mask")
@claim("P1.27", "F1.5", "must", "> 0", "The grid map by mean fill meets the box better than random values do",
       maps=["CE, mean", "random"])
def overlap_difference(tables, *, maps: list[str], truth: str = "iou_box"):
    """Mean intersection over union with the true region, one map minus another."""
    overlap = tables["overlap"]
    if not set(maps) <= set(overlap["map"]):
        return untestable()
    values = cube(overlap, truth, [{"map": name} for name in maps], item="case")
    return values, lambda v: float(np.mean(v[..., 0] - v[..., 1]))
