"""Claims of paper 5 on transferred attacks that do not hang on one source (`attack.sources`, X5.22)."""

import numpy as np

from aecompanion.evaluate.intervals import least
from aecompanion.papers.shift.sources import source_cube
from aecompanion.papers.shift.tables import families, families_of, names, recognisers
from aecompanion.report.claims import claim
from aecompanion.report.cubes import untestable

SOURCES = {
    "vgg": "compact VGG",
    "resnet": "compact ResNet",
    "resnet_deep": "deeper compact ResNet",
    "inception": "compact Inception",
    "xception": "compact Xception",
}
OTHERS = "networks of the source's own architecture are left out; mean over the paper's levels"


def lead(values: np.ndarray, deep: np.ndarray, wide: np.ndarray, source: int) -> float:
    """Mean accuracy of the deep networks minus that of the wide ones, the source left out; seeds × images × networks
    × levels.
    """
    accuracy, other = values.mean((0, 1, 3)), np.arange(len(deep)) != source
    return accuracy[deep & other].mean() - accuracy[wide & other].mean()


def two_sides(deep: np.ndarray, wide: np.ndarray) -> bool:
    """Whether both sides are left when any one network is taken away."""
    return min(deep.sum(), wide.sum()) > 1


@claim("P5.134", "X5.22", "report", "> 0",
       "Black-box with the signs of the {SOURCE}: deep networks fail less than wide ones (difference of accuracy)",
       note=OTHERS, over=[{"source": name, "SOURCE": text} for name, text in SOURCES.items()])
def deep_minus_wide_from(tables, *, source: str):
    """Accuracy of the deep networks minus that of the wide ones under the signs of one source."""
    rows = tables["sources"]
    networks, (deep, wide) = names(rows), families_of(rows)
    if source not in families(rows) or not two_sides(deep, wide):
        return untestable()
    index = families(rows).index(source)
    return source_cube(rows, networks[index]), lambda v: lead(v, deep, wide, index)


@claim("P5.139", "X5.22", "report", "> 0",
       "Black-box: deep networks fail less than wide ones whichever network the signs come from (least difference of "
       "accuracy over sources)", note=OTHERS)
def deep_minus_wide_from_any(tables):
    """The same difference, the least over sources."""
    rows = tables["sources"]
    networks, (deep, wide) = names(rows), families_of(rows)
    if not two_sides(deep, wide):
        return untestable()
    values = np.stack([source_cube(rows, name) for name in networks], axis=-1)
    return values, least(lambda v: np.array([lead(v[..., i], deep, wide, i) for i in range(len(networks))]))


@claim("P5.140", "X5.22", "report", "< 0",
       "Black-box: a network of the source's own architecture keeps less accuracy than the others (difference, mean "
       "over sources)", note="from another training seed; mean over the paper's levels")
def own_minus_other(tables):
    """Accuracy under the signs of the own architecture minus that under those of the others. A recogniser counts among
    the others alone: its weights are the same under every seed.
    """
    rows = tables["sources"]
    networks = names(rows)
    if len(networks) == 1 or (rows["seed"] == rows["source_seed"]).any():
        return untestable()
    values = np.stack([source_cube(rows, name) for name in networks], axis=-1)
    same = np.eye(len(networks), dtype=bool)
    own = same & ~recognisers(rows)

    def statistic(v: np.ndarray) -> float:
        accuracy = v.mean((0, 1, 3))  # attacked networks × sources
        return float(accuracy[own].mean() - accuracy[~same].mean())

    return values, statistic
