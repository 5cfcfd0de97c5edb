"""X1.25: two headline claims of paper 1 under every reasonable choice, from the saved rows of pixel_effects.

    ranking   "the best fill ranks cases by their true effect better than the probability alone" (P1.80):
              correlation of the estimate with the truth minus that of the network's probability
    gap       "what is in the box does more than what is in CAM's region of equal area" (P1.89): box minus region, case
              by case

Choices of both: the fill; effects as differences of p or of the log-odds, log p'/(1 - p') - log p/(1 - p); the cases
(all, those that the network sees with p of at least 1/2, without one finding); one training seed or all. Of the
ranking: the region that is filled; what the truth takes away (the finding, or all that the generator can take out of
the box); the coefficient; within findings or pooled. Of the gap: box or mask; CAM or Grad-CAM; |effect|, or the
evidence lost, minus the effect; mean or median. Not varied, because one level is saved: the area of CAM's region.

The intervals are those of `evaluate.intervals` (`evaluate.replicates`).
"""

import functools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.evaluate.intervals import Interval
from aecompanion.evaluate.replicates import draws, interval, mean_over_seeds, weighted_mean, weighted_median, weights
from aecompanion.papers.causal.rankings import ALL_OFF, COUNTERFACTUAL, PROBABILITY, TRUTH, correlated
from aecompanion.report import multiverse
from aecompanion.report.cubes import cube

RANKING = "A fill ranks cases by their true effect better than the probability alone"
GAP = "What is in the box does more than what is in CAM's region"
LABELS = {RANKING: "correlation: estimate - control", GAP: "effect on p: box - region"}
CHOICES = (
    *("fill", "region", "truth", "effect of", "coefficient", "over"),
    *("against", "as", "statistic", "cases", "seeds"),
)
FILLS = ("inpaint", "ring", "blur", "mean", "white", "black")
BEST = "best on even images"
TRUTHS = {"finding off": TRUTH, "all off": f"box · {ALL_OFF}"}
EXACT = {"all off": ALL_OFF, "finding off": COUNTERFACTUAL}
SCALES = ("probability", "log-odds")
OVER = ("within findings", "pooled")
LEAST = 1e-6  # probabilities nearer to 0 or 1 are taken as that near
SEEN = "p ≥ 1/2"


class Replicates:
    """Correlations and gaps on all resamples of the cases.

    Args:
        estimates: rows seed, case, method, value, finding, image, as pixel_effects saves them; resamples, seed: as in
            `evaluate.intervals.interval`.
    """

    def __init__(self, estimates: pd.DataFrame, *, resamples: int, seed: int):
        self.options = {"resamples": resamples, "seed": seed}
        facts = estimates.drop_duplicates("case").sort_values("case")
        self.findings, self.even = facts["finding"].to_numpy(str), facts["image"].to_numpy() % 2 == 0
        self.training = sorted(estimates["seed"].unique())
        known = set(estimates["method"])
        self.truths = {name: method for name, method in TRUTHS.items() if method in known}
        regions = [f"{region} · {fill}" for region in ("box", "mask", "cam") for fill in FILLS]
        exact = [f"{region} · {fill}" for region in ("box", "mask", "cam", "gradcam") for fill in EXACT.values()]
        wanted = [*self.truths.values(), *regions, *(f"gradcam · {fill}" for fill in FILLS), *exact]
        self.methods = [PROBABILITY, *dict.fromkeys(each for each in wanted if each in known)]
        self.values = cube(estimates, "value", [{"method": name} for name in self.methods], item="case")
        self.p = -self.values[..., 0]
        self.ranked = [self.methods.index(name) for name in (PROBABILITY, *self.truths.values(), *regions)]
        self.correlations = functools.lru_cache(maxsize=None)(self.correlations)
        self.gaps = functools.lru_cache(maxsize=None)(self.gaps)

    def scaled(self, scale: str) -> np.ndarray:
        """seeds × cases × methods of effects; the probability stays a control of its own, minus p or its log-odds."""
        if scale == SCALES[0]:
            return self.values
        after = np.where(np.arange(len(self.methods)) == 0, 1 - self.p[..., None], self.p[..., None] + self.values)
        before = np.where(np.arange(len(self.methods)) == 0, 0.5, self.p[..., None])
        return logit(after) - logit(before)

    def kept(self, cases: str) -> np.ndarray:
        """Which cases a choice leaves in."""
        return self.findings != cases.removeprefix("without ")

    def correlations(self, cases: str, half: str, scale: str, coefficient: str, over: str) -> np.ndarray:
        """(1 + resamples) × seeds × methods × truths; half: "all", "odd", or "even", of which no resample is drawn."""
        kept = self.kept(cases) & {"all": True, "odd": ~self.even, "even": self.even}[half]
        values = self.scaled(scale)[:, kept][..., self.ranked]
        drawn = draws(int(kept.sum()), **(self.options | ({"resamples": 0} if half == "even" else {})))
        groups = self.findings[kept] if over == OVER[0] else np.zeros(int(kept.sum()))
        member = (groups[:, None] == np.unique(groups)).astype(float)
        found = []
        for own, p in zip(values, self.p[:, kept], strict=True):
            counted = drawn * (p >= 0.5 if cases == SEEN else 1.0)
            found.append(correlated(own, 1 + np.arange(len(self.truths)), counted, member, coefficient == "Spearman"))
        return np.stack(found, axis=1)

    def ranking(self, **chosen: str) -> Interval | None:
        """The first claim under one combination of choices, None where it does not arise."""
        if chosen["seeds"] != "all" and chosen["cases"] != "all":
            return None
        seeds = slice(None) if chosen["seeds"] == "all" else [self.training.index(int(chosen["seeds"]))]
        asked = [chosen["effect of"], chosen["coefficient"], chosen["over"]]
        truth = list(self.truths).index(chosen["truth"])
        names = [self.methods[k] for k in self.ranked]
        fill, half = chosen["fill"], "all"
        if fill == BEST:
            if self.even.all() or not self.even.any():
                return None
            point = mean_over_seeds(self.correlations(chosen["cases"], "even", *asked)[:, seeds, :, truth])[0]
            fill = max(
                FILLS, key=lambda each: np.nan_to_num(point[names.index(f"{chosen['region']} · {each}")], nan=-1)
            )
            half = "odd"
        found = self.correlations(chosen["cases"], half, *asked)[:, seeds, :, truth]
        parts = mean_over_seeds(found[..., [names.index(f"{chosen['region']} · {fill}"), 0]])
        cases = self.kept(chosen["cases"]) & (~self.even | (half == "all"))
        return interval(parts[:, :1] - parts[:, 1:], self.left_out(chosen["seeds"]), int(cases.sum()))

    def gaps(self, cases: str, scale: str, as_: str, statistic: str, seeds: str) -> dict[tuple[str, ...], np.ndarray]:
        """{(region, against, fill): rows as in `weights`}."""
        kept = self.kept(cases)
        values = self.scaled(scale)[:, kept]
        values = np.abs(values) if as_ == "|effect|" else -values
        if cases == SEEN:
            values = np.where(self.p[:, kept, None] >= 0.5, values, np.nan)
        if seeds != "all":
            values = values[[self.training.index(int(seeds))]]
        pairs = [
            (region, against, fill)
            for region in ("box", "mask")
            for against in ("cam", "gradcam")
            for fill in (*EXACT.values(), *FILLS)
            if {f"{region} · {fill}", f"{against} · {fill}"} <= set(self.methods)
        ]
        column = {name: values[..., self.methods.index(name)] for name in self.methods}
        both = np.stack([column[f"{a} · {fill}"] - column[f"{b} · {fill}"] for a, b, fill in pairs], axis=-1)
        reduce = {"mean": weighted_mean, "median": weighted_median}[statistic]
        found = reduce(both, weights(*both.shape[:2], **self.options))
        return {pair: found[:, [k]] for k, pair in enumerate(pairs)}

    def gap(self, **chosen: str) -> Interval | None:
        """The second claim under one combination of choices."""
        if chosen["seeds"] != "all" and chosen["cases"] != "all":
            return None
        asked = [chosen[name] for name in ("cases", "effect of", "as", "statistic", "seeds")]
        pair = chosen["region"], {"CAM": "cam", "Grad-CAM": "gradcam"}[chosen["against"]]
        parts = self.gaps(*asked).get((*pair, EXACT.get(chosen["fill"], chosen["fill"])))
        cases = int(self.kept(chosen["cases"]).sum())
        return None if parts is None else interval(parts, self.left_out(chosen["seeds"]), cases)

    def left_out(self, seeds: str) -> int:
        """How many seeds are left out in turn."""
        return len(self.training) if seeds == "all" and len(self.training) > 1 else 0


def logit(p: np.ndarray) -> np.ndarray:
    """log p/(1 - p)."""
    p = np.clip(p, LEAST, 1 - LEAST)
    return np.log(p / (1 - p))


def table(estimates: pd.DataFrame, *, resamples: int = 60, seed: int = 0) -> pd.DataFrame:
    """One row per claim and specification, see `report.multiverse`; without a known truth only the gap, without a case
    none, and none of the cases that a network sees where there are no such.
    """
    if estimates.empty:
        return pd.DataFrame(columns=["claim", *CHOICES, "estimate", "low", "high", "published"])
    replicates = Replicates(estimates, resamples=resamples, seed=seed)
    findings = [f"without {name}" for name in sorted(set(replicates.findings))]
    seeds = [*map(str, replicates.training)] if len(replicates.training) > 1 else []
    shared = {"effect of": list(SCALES)}
    seen = [SEEN] if (replicates.p >= 0.5).any() else []
    subsets = {"cases": ["all", *seen, *(findings if len(findings) > 1 else [])], "seeds": ["all", *seeds]}
    tables = []
    if replicates.truths:
        choices = {"fill": [BEST, *FILLS], "region": ["box", "mask", "cam"], "truth": list(replicates.truths)}
        choices |= shared | {"coefficient": ["Spearman", "Pearson"], "over": list(OVER)} | subsets
        own = {name: levels[0] for name, levels in choices.items()}
        halves = 0 < replicates.even.sum() < len(replicates.even)
        tables.append(multiverse.specifications(RANKING, choices, replicates.ranking, own if halves else None))
    known = [name for name, fill in EXACT.items() if f"box · {fill}" in replicates.methods]
    choices = {"fill": [*known, *FILLS], "region": ["box", "mask"]} | shared | {"against": ["CAM", "Grad-CAM"]}
    choices |= {"as": ["|effect|", "evidence lost"], "statistic": ["mean", "median"]} | subsets
    own = {name: levels[0] for name, levels in choices.items()}
    tables.append(multiverse.specifications(GAP, choices, replicates.gap, own))
    return pd.concat(tables, ignore_index=True)


def figure(curves: pd.DataFrame) -> Figure:
    """X1.25: all seeds pooled, all findings; of the gap only what is in units of p, so that the axis has one unit."""
    shown = curves[(curves["seeds"] == "all") & curves["cases"].isin(["all", SEEN])]
    shown = shown[(shown["claim"] == RANKING) | (shown["effect of"] == SCALES[0])]
    return multiverse.figure(shown, CHOICES, 0, LABELS)


def deciding(curves: pd.DataFrame) -> pd.DataFrame:
    """X1.26: which choice decides whether the difference is positive."""
    return multiverse.deciding(curves, CHOICES, 0) if len(curves) else pd.DataFrame(columns=["claim", "choice"])


def sentences(curves: pd.DataFrame) -> str:
    """What the table says, for the caption."""
    return " ".join(multiverse.sentences(curves, CHOICES, 0)) if len(curves) else ""
