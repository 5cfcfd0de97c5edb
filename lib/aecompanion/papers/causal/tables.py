"""Tables and claims of Yang et al., ICIP 2019, from the tidy rows that the notebooks saved.

The paper's own tables have not been worked in yet: what its released notebooks print is
`released.csv`, the displays F1.1 to F1.9 are reconstructed. Everything starts from a cube, seeds × images
(or cases) × conditions; a case is one finding in one test image. Where a channel is chosen, it is chosen on validation
images and reported on test images. Estimates against true effects: `rankings`.

The tables, by the names that estimators take: latent, effects, estimates, overlap, marker, concepts, adversarial,
released, shortcut, viewed (columns in the notebooks that write them).
"""

import numpy as np
import pandas as pd

from aecompanion.evaluate.intervals import Interval
from aecompanion.evaluate.replicates import of_means
from aecompanion.papers.causal.rankings import ranking_in_short
from aecompanion.report.cubes import cube, mean_row

REGIONS = ("mask", "box", "cam", "gradcam", "random")


# latent features: one row per domain, seed, split, image, label and channel


def fidelity_table(latent: pd.DataFrame, gate: float, **options) -> pd.DataFrame:
    """X1.8: agreement of the decisions with and without the bottleneck, and its own effect ECE0, per domain."""
    rows = []
    for domain, part in per_image(latent).groupby("domain", sort=False):
        agreement, baseline = (cube(part, column, [{"domain": domain}])[..., 0] for column in ("same", "baseline"))
        row = {"domain": domain} | mean_row(agreement, "agreement", **options)
        row |= {
            "least seed": agreement.mean(1).min(),
            "gate": gate,
            "seeds below": int((agreement.mean(1) < gate).sum()),
        }
        rows.append(row | mean_row(baseline, "ECE0", **options))
    return pd.DataFrame(rows)


def per_image(latent: pd.DataFrame) -> pd.DataFrame:
    """One row per domain, seed and test image: what does not depend on label and channel."""
    test = latent[latent["split"] == "test"]
    return test.drop_duplicates(["domain", "seed", "image"])


def ranked(latent: pd.DataFrame, domain: str) -> np.ndarray:
    """seeds × test images × channels of ECE_j - ECE0, channels ordered by their mean size on validation images."""
    rows = latent[latent["domain"] == domain].drop_duplicates(["seed", "split", "image", "channel"])
    layers = []
    for _, part in rows.groupby("seed"):
        chosen = part[part["split"] == "validation"].groupby("channel")["expected"].apply(lambda e: e.abs().mean())
        order = chosen.sort_values(ascending=False).index
        test = part[part["split"] == "test"].pivot(index="image", columns="channel", values="expected")
        layers.append(test[order].to_numpy())
    return np.stack(layers)


def class_by_channel(latent: pd.DataFrame, domain: str, split: str = "test") -> dict[int, np.ndarray]:
    """{seed: classes × channels} of the mean CE_k under do(c_j = 0) over images with label k (NaN without any)."""
    rows = latent[(latent["domain"] == domain) & (latent["label"] >= 0)]
    labels = range(rows["label"].max() + 1)
    means = rows[rows["split"] == split].groupby(["seed", "label", "channel"])["effect"].mean()
    by_seed = {seed: part.droplevel("seed").unstack("channel") for seed, part in means.groupby("seed")}
    return {seed: part.reindex(labels).to_numpy() for seed, part in by_seed.items()}


# regions: one row per seed, case, region and fill


def region_table(effects: pd.DataFrame, **options) -> pd.DataFrame:
    """F1.3 and F1.4: mean |CE_y| and mean CE_y of every region under every fill."""
    pairs = list(effects[["fill", "region"]].drop_duplicates().itertuples(index=False, name=None))
    if not pairs:
        return pd.DataFrame()
    values = cube(effects, "effect", [{"fill": fill, "region": region} for fill, region in pairs], item="case")
    found = of_means(np.concatenate([np.abs(values), values], axis=-1), **options)
    sizes_, effects_ = found[: len(pairs)], found[len(pairs) :]
    return pd.DataFrame(
        {"fill": fill, "region": region} | named("size", size) | named("effect", effect)
        for (fill, region), size, effect in zip(pairs, sizes_, effects_, strict=True)
    )


def gap_table(effects: pd.DataFrame, **options) -> pd.DataFrame:
    """F1.3 and F1.4: mean |CE_y| of the box minus that of every other region, of the same cases, under every fill."""
    pairs = [(fill, region) for fill in effects["fill"].unique() for region in REGIONS[2:]]
    if not pairs:
        return pd.DataFrame()
    rows = effects.assign(size=effects["effect"].abs())
    both = [{"fill": fill, "region": each} for fill, region in pairs for each in ("box", region)]
    values = cube(rows, "size", both, item="case")
    found = of_means(values[..., 0::2] - values[..., 1::2], **options)
    return pd.DataFrame(
        {"fill": fill, "region": region} | named("gap", gap) for (fill, region), gap in zip(pairs, found, strict=True)
    )


def finding_table(effects: pd.DataFrame, fills: list[str], **options) -> pd.DataFrame:
    """X1.11: |CE_y| of box, CAM region of equal area and box elsewhere per finding, under each of some fills, and
    the paired difference of the first two.
    """
    rows, regions = [], ("box", "cam", "random")
    for finding, own in effects.assign(size=effects["effect"].abs()).groupby("finding", sort=False):
        known = [fill for fill in fills if fill in set(own["fill"])]
        if not known:
            continue
        chosen = [{"fill": fill, "region": region} for fill in known for region in regions]
        values = cube(own, "size", chosen, item="case")
        gaps = values[..., 0 :: len(regions)] - values[..., 1 :: len(regions)]
        found = of_means(np.concatenate([values, gaps], axis=-1), **options)
        for k, fill in enumerate(known):
            row = {"finding": finding, "fill": fill, "cases": own["case"].nunique()}
            for region, each in zip(regions, found[k * len(regions) :], strict=False):
                row |= named(region, each)
            rows.append(row | named("box - cam", found[len(chosen) + k]))
    columns = ["finding", "fill", "cases", "box", "cam", "random", "box - cam"]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def named(name: str, found: Interval) -> dict[str, float]:
    """{name, name_low, name_high}."""
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def sizes(effects: pd.DataFrame, fill: str, regions: list[str], detected: bool = False) -> np.ndarray | None:
    """seeds × cases × regions of |CE_y|; with `detected` NaN where p_y was below 1/2. None without that fill."""
    part = effects[effects["fill"] == fill]
    if part.empty:
        return None
    part = part.assign(size=part["effect"].abs().where((part["p"] >= 0.5) | (not detected)))
    return cube(part, "size", [{"region": region} for region in regions], item="case")


# maps: one row per seed, case and map


def overlap_table(overlap: pd.DataFrame, **options) -> pd.DataFrame:
    """F1.5 as numbers: mean intersection over union of every map with the box and with the exact mask."""
    rows = []
    for name, part in overlap.groupby("map", sort=False):
        row = {"map": name}
        for truth in ("iou_box", "iou_mask"):
            row |= mean_row(cube(part, truth, [{"map": name}], item="case"), truth, **options)
        rows.append(row)
    return pd.DataFrame(rows)


# the marker: one row per seed and test image; p_without is NaN where there is none


def marker_table(marker: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.12: p(finding) with and without the marker, compared between images and within images, by the finding."""
    rows = []
    for name, part in (("all", marker), *((f"finding {here}", each) for here, each in marker.groupby("present"))):
        own = part.assign(marked=part["p_without"].notna(), all=0)
        p, without, marked = (cube(own, column, [{"all": 0}])[..., 0] for column in ("p", "p_without", "marked"))
        values = np.stack([p, without, marked], -1)

        def between(v: np.ndarray) -> float:
            return float(v[..., 0][v[..., 2] == 1].mean() - v[..., 0][v[..., 2] == 0].mean())

        def within(v: np.ndarray) -> float:
            return float(np.nanmean(v[..., 0] - v[..., 1]))

        row = {"images": name, "with marker": int(marked[0].sum()), "n": p.shape[1]}
        row |= mean_row(values, "between images", between, **options)
        rows.append(row | mean_row(values, "within images (causal)", within, **options))
    return pd.DataFrame(rows)


# concepts: one row per source, seed, concept and image


def concept_summary(part: pd.DataFrame) -> pd.DataFrame:
    """Per concept: mean effect over images that have it, correlation of its value with the decision, accuracy lost."""
    rows = []
    for concept, own in part.groupby("concept", sort=False):
        effect = own.loc[own["present"], "effect"].mean()
        correlation = np.corrcoef(own["value"], own["decision"])[0, 1]
        lost = own["right"].mean() - own["right_do"].mean()
        row = {"concept": concept, "parent": own["parent"].iloc[0], "effect": effect, "correlation": correlation}
        rows.append(row | {"coefficient": own["coefficient"].iloc[0], "accuracy lost": lost})
    return pd.DataFrame(rows)


def concept_cube(concepts: pd.DataFrame, source: str) -> tuple[np.ndarray, list[str], np.ndarray]:
    """seeds × images × (effect, present, value, decision) × concepts of one source, their names, who is a parent."""
    rows = concepts[concepts["source"] == source].assign(present=lambda each: each["present"].astype(float))
    names = list(rows["concept"].unique())
    layers = [
        cube(rows, column, [{"concept": name} for name in names])
        for column in ("effect", "present", "value", "decision")
    ]
    parents = rows.drop_duplicates("concept").set_index("concept").loc[names, "parent"].to_numpy(bool)
    return np.stack(layers, axis=2), names, parents


def mean_effects(values: np.ndarray) -> np.ndarray:
    """|mean effect| of each concept over the images that have it, averaged over seeds."""
    effect, present = values[:, :, 0], values[:, :, 1]
    return np.abs((effect * present).sum(1) / present.sum(1)).mean(0)


def correlations(values: np.ndarray) -> np.ndarray:
    """Correlation of each concept with the decision, averaged over seeds."""
    x, y = values[:, :, 2], values[:, :, 3]
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    return ((x * y).mean(1) / np.sqrt((x * x).mean(1) * (y * y).mean(1))).mean(0)


def concept_table(concepts: pd.DataFrame) -> pd.DataFrame:
    """T1.6: effect, correlation, coefficient and accuracy lost of every concept, means over seeds."""
    rows = []
    for source, part in concepts.groupby("source", sort=False):
        per_seed = pd.concat([concept_summary(own) for _, own in part.groupby("seed")])
        mean = per_seed.groupby(["concept", "parent"], sort=False).mean().reset_index()
        rows.append(mean.assign(source=source))
    return pd.concat(rows)[["source", "concept", "parent", "effect", "correlation", "coefficient", "accuracy lost"]]


# attacks: one row per seed, image, attack and level; the attack "clean" has level 0


# the released loss: one row per domain, seed, variant and epoch


# the view: shortcut has one row per seed, image, region and fill, viewed one per seed and test image


IN_SHORT = {"effects": (ranking_in_short, ("X1.6",))}  # for docs/findings.md: mark, function, published tables
