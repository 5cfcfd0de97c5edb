"""X2.12: three statements of paper 2 under every reasonable choice, from saved rows alone (`report.multiverse`).

    SPARSER    at equal confidence a ball of small p changes less of the picture than the l2-ball: l2 minus l1.5
    BELIEVED   judges believe its counterfactuals more than those of the l2-ball: l1.5 minus l2
    AHEAD      Auto-Frank-Wolfe reaches a higher objective than the rule 2/(k+2), nats

Choices: measure or judge; how radii are matched (one for all images, or each image's own least radius, which is known
for one network); the ball that stands against l2; the network; for AHEAD the ball, its radius, the schedule and the
step that is looked at; mean, median, or the share of images on which the statement holds, minus one half; target
classes; all training seeds or the first alone. Every estimate is a paired difference of the same images, > 0 where the
statement holds.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.evaluate.intervals import Interval, bounded, interval
from aecompanion.papers.counterfactual.judges import JUDGES, ONE, OWN, asked, both_rules
from aecompanion.papers.counterfactual.tables import NETWORKS, TITLES, has
from aecompanion.report import multiverse
from aecompanion.report.cubes import cube

SPARSER = "A ball of smaller p changes less of the picture than the l2-ball"
BELIEVED = "Judges believe a ball of smaller p more than the l2-ball"
AHEAD = "Auto-Frank-Wolfe reaches a higher objective than the rule 2/(k+2)"
LABELS = {
    SPARSER: "difference of shares, or wins − ½",
    BELIEVED: "confidence, or wins − ½",
    AHEAD: "nats, or wins − ½",
}
CHOICES = ("measure", "radius", "ball", "network", "step", "schedule", "statistic", "targets", "seeds")
MEASURES = {  # and the sign with which less is less
    "background": ("background share", 1),
    "changed": ("visibly changed pixels", 1),
    "outside": ("changed outside the object", 1),
    "gini": ("Gini index, negative", -1),
}
SMALLER = ("l1.5", "l1")
SCHEDULES = {  # pairs of methods
    "published": ("AFW", "FW"),
    "released": ("AFW (released)", "FW"),
    "each its best": ("AFW, own best", "FW, own best"),
}
STEPS = {"last": 1.0, "half-way": 0.5, "a quarter": 0.25}
PUBLISHED = {AHEAD: {"statistic": "median"}}  # where a display's own choice is not the first level
TARGETS = ("all", "first half of the classes", "second half")
LEAST = 4  # images that a specification needs


def mean(v: np.ndarray) -> float:
    """Mean over seeds and images."""
    return float(v.mean())


def median(v: np.ndarray) -> float:
    """Median over seeds and images."""
    return float(np.median(v))


@bounded(-0.5, 0.5)
def wins(v: np.ndarray) -> float:
    """Share of seeds and images above 0, ties halved, minus one half."""
    return float((v > 0).mean() + (v == 0).mean() / 2 - 0.5)


STATISTICS: dict[str, Callable[[np.ndarray], float]] = {"mean": mean, "median": median, "share of images": wins}


class Differences:
    """Paired differences of two conditions, seeds × images, by choice; `targets`: the target class of every image."""

    def __init__(self, targets: Mapping[int, int], **options) -> None:
        self.targets, self.options = targets, options
        self.classes = max(targets.values()) + 1
        self.known: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}

    def pairs(self, rows: pd.DataFrame, column: str, first: dict, second: dict) -> tuple[np.ndarray, np.ndarray]:
        """First minus second condition, seeds × images, and which images have a target in the later half."""
        key = id(rows), column, *first.values(), *second.values()
        if key not in self.known:
            values = cube(rows, column, [first, second])
            names = sorted(rows["image"].unique())
            later = np.array([self.targets[name] >= self.classes / 2 for name in names])
            self.known[key] = values[..., 0] - values[..., 1], later
        return self.known[key]

    def estimate(self, rows: pd.DataFrame, column: str, first: dict, second: dict, sign: int, chosen: Mapping):
        """The interval of one specification; None where its rows are missing or too few."""
        if not len(rows) or column not in rows or not has(rows, column):
            return None
        values, later = self.pairs(rows, column, first, second)
        keep = {TARGETS[0]: later | ~later, TARGETS[1]: ~later, TARGETS[2]: later}[chosen["targets"]]
        found = sign * values[slice(None) if chosen["seeds"] == "all" else slice(1), keep]
        if found.shape[1] < LEAST or np.isnan(found).any():
            return None
        return interval(STATISTICS[chosen["statistic"]], found, **self.options)


def table(
    counterfactuals: pd.DataFrame,
    least: pd.DataFrame,
    trajectories: pd.DataFrame,
    *,
    level: float,
    resamples: int = 60,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per statement and specification. `level`: the confidence of the own least radii.

    A statement none of whose rows are there (object masks, other judges) is left out.
    """
    targets = dict(zip(counterfactuals["image"], counterfactuals["target"], strict=True))
    differences = Differences(targets, resamples=resamples, seed=seed)
    rules = both_rules(counterfactuals, least, level=level).assign(network="multi")
    by_rule = {
        ONE: dict(list(counterfactuals.groupby("network"))),
        OWN: {"multi": rules[rules["rule"] == OWN]},
    }
    several = counterfactuals["seed"].nunique() > 1
    shared = {
        "statistic": list(STATISTICS),
        "targets": list(TARGETS),
        "seeds": ["all", *(["first"] if several else [])],
    }
    titles = {TITLES[name]: name for name in NETWORKS}
    networks = {"network": [TITLES["multi"], TITLES["l2"], TITLES["plain"]]}

    def of_balls(column: str, sign: int, chosen: Mapping) -> Interval | None:
        rows = by_rule[chosen["radius"]].get(titles[chosen["network"]], pd.DataFrame())
        pair = [{"kind": "l2"}, {"kind": chosen["ball"]}]
        return differences.estimate(rows, column, *pair, sign, chosen)

    def sparser(**chosen) -> Interval | None:
        column, sign = measures[chosen["measure"]]
        return of_balls(column, sign, chosen)

    def believed(**chosen) -> Interval | None:
        return of_balls(judges[chosen["measure"]], -1, chosen)

    def ahead(**chosen) -> Interval | None:
        first, second = SCHEDULES[chosen["schedule"]]
        rows = by_setting.get((float(chosen["ball"]), chosen["radius"], STEPS[chosen["step"]]), pd.DataFrame())
        if not len(rows) or not {first, second} <= set(rows["method"]):
            return None
        return differences.estimate(rows, "value", {"method": first}, {"method": second}, 1, chosen)

    measures = {title: (column, sign) for column, (title, sign) in MEASURES.items() if has(counterfactuals, column)}
    judges = {JUDGES[column]: column for column in asked(counterfactuals)}
    by_setting = settings(trajectories)
    ball = {"radius": [ONE, OWN], "ball": list(SMALLER)} | networks
    tables = []
    for claim, choices, measure in (
        (SPARSER, {"measure": list(measures)} | ball | shared, sparser),
        (BELIEVED, {"measure": list(judges)} | ball | shared, believed),
        (
            AHEAD,
            {"radius": ["matched", "half"], "ball": ["1.5", "2.0"], "step": list(STEPS), "schedule": list(SCHEDULES)}
            | shared,
            ahead,
        ),
    ):
        if all(choices.values()):
            own = {name: levels[0] for name, levels in choices.items()} | PUBLISHED.get(claim, {})
            tables.append(multiverse.specifications(claim, choices, measure, own))
    return pd.concat(tables, ignore_index=True)


def settings(trajectories: pd.DataFrame) -> dict[tuple[float, str, float], pd.DataFrame]:
    """Rows by p, radius and share of the steps."""
    most = trajectories["step"].max()
    found = {}
    for (p, radius), part in trajectories.groupby(["p", "radius"]):
        for share in STEPS.values():
            found[float(p), radius, share] = part[part["step"] == max(round(share * most), 1)]
    return found


def figure(found: pd.DataFrame) -> Figure:
    """X2.12; the objectives' axis is linear within .01 and logarithmic beyond."""
    drawn = multiverse.figure(found, CHOICES, 0, LABELS)
    claims = list(found["claim"].unique())
    for axes, claim in zip(drawn.axes, claims, strict=False):  # the upper panels come first
        if claim == AHEAD:
            axes.set_yscale("symlog", linthresh=0.01)
    return drawn


def deciding(found: pd.DataFrame) -> pd.DataFrame:
    """X2.13: which choice decides whether a statement holds."""
    return multiverse.deciding(found, CHOICES, 0)


def sentences(found: pd.DataFrame) -> str:
    """What the table says, for the caption."""
    return " ".join(multiverse.sentences(found, CHOICES, 0))
