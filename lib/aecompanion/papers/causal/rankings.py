"""How well estimates rank cases by the true effect of removing a finding: X1.6, its short form, and what claims read.

Rows: one per seed, case and method, with the case's finding and image; the method TRUTH is what the generator says.
Every estimate is read in three ways, each a mean over seeds of Spearman's correlation with the truth:

    pooled           over all cases: also counts that some findings have larger effects than others
    within findings  mean over findings of the correlation over the cases of one
    given p          partial, over all cases: (r_et - r_ep r_tp) / √((1 - r_ep²)(1 - r_tp²)) for the estimate e, the
                     truth t and the network's probability p, which bounds t and needs no region
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from aecompanion.evaluate.intervals import Interval, bounded
from aecompanion.evaluate.replicates import draws, interval, mean_over_seeds
from aecompanion.report.cubes import cube

COUNTERFACTUAL, ALL_OFF = "counterfactual", "all off"
TRUTH, PROBABILITY = f"mask · {COUNTERFACTUAL}", "probability"
TRIVIAL = f"box · {COUNTERFACTUAL}"  # the truth again: the box holds the mask
SCORES = ("CAM share", "Grad-CAM share", "CAM share × p", "CAM evidence", PROBABILITY, "integrated gradients")


def rank_correlations(values: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Spearman's correlations of k columns over the cases of each group: seeds × groups × k × k.

    values: seeds × cases × k; a case with a value that is not finite is left out, seed by seed. groups: one number per
    case, by default one group. NaN where a column does not vary in a group, and for groups of fewer than three cases.
    """
    finite = np.isfinite(values).all(2)
    if (finite != finite[:1]).any():
        return np.concatenate([rank_correlations(values[[seed]], groups) for seed in range(len(values))])
    values = values[:, finite[0]]
    codes = np.zeros(values.shape[1], int) if groups is None else groups[finite[0]].astype(int)
    count = 1 if groups is None else int(groups.max()) + 1
    member = codes == np.arange(count)[:, None]  # groups × cases
    ranks = stats.rankdata(values, axis=1)
    if count > 1:  # ranks again, with every group above the one before it: ranks in a group, but for a constant
        ranks = stats.rankdata(ranks + 2 * len(codes) * codes[:, None], axis=1)
    sizes = member.sum(1)
    with np.errstate(all="ignore"):
        means = np.einsum("gn,snk->sgk", member.astype(float), ranks) / sizes[:, None]
        ranks = ranks - means[:, codes]
        seeds, cases, columns = ranks.shape
        products = (ranks[..., :, None] * ranks[..., None, :]).reshape(seeds, cases, columns**2)
        sums = (member.astype(float) @ products).reshape(seeds, count, columns, columns)
        norms = np.sqrt(np.einsum("sgkk->sgk", sums))
        found = sums / (norms[..., :, None] * norms[..., None, :])
    return np.where((sizes >= 3)[:, None, None], found, np.nan)


def correlated(
    values: np.ndarray, truths: np.ndarray, counted: np.ndarray, member: np.ndarray, ranks: bool
) -> np.ndarray:
    """Correlations of k columns with some of them on weighted cases, rows × k × truths: the mean over groups in which
    it is defined.

    values: cases × k; counted: rows × cases, how often each case counts; member: cases × groups, ones and zeros; ranks:
    Spearman's coefficient, otherwise Pearson's. A group of fewer than three cases has none. With w how often a resample
    holds a case, its rank among the others is, centred, ½ Σ_j w_j sign(v_i - v_j): one product for all resamples.
    """
    sizes = counted @ member  # rows × groups
    if ranks:
        together = member @ member.T
        signs = np.sign(values.T[:, :, None] - values.T[:, None, :]) * together
        centred = counted @ signs.transpose(0, 2, 1)  # k × rows × cases
    else:
        with np.errstate(invalid="ignore"):
            means = (counted @ (values.T[:, :, None] * member)) / sizes
        centred = values.T[:, None] - np.nan_to_num(means) @ member.T
    weighed = centred * counted
    norms = (weighed * centred) @ member
    found = []
    for truth in truths:
        with np.errstate(invalid="ignore", divide="ignore"):
            each = (weighed * centred[truth]) @ member / np.sqrt(norms * norms[truth])
        found.append(np.where((sizes >= 3) & (norms > 1e-20) & (norms[truth] > 1e-20), each, np.nan))
    stacked = np.stack(found)  # truths × k × rows × groups
    defined = np.isfinite(stacked)
    with np.errstate(invalid="ignore"):
        return (np.where(defined, stacked, 0).sum(-1) / defined.sum(-1)).transpose(2, 1, 0)


def mean_of_defined(values: np.ndarray) -> float:
    """The mean over what is not NaN; NaN where nothing is."""
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else np.nan


@lru_cache(maxsize=32)
def of_seed(content: bytes, columns: int, within: bool, given: bool) -> float:
    """The reading of one seed's cases × columns; kept, since the jackknife over seeds asks for the same seeds again."""
    values = np.frombuffer(content).reshape(1, -1, columns)
    groups = values[0, :, 3] if within else None
    found = rank_correlations(values[..., : 3 if given else 2], groups)
    return mean_of_defined(partial(found) if given else found[..., 0, 1])


def reading(within: bool, given: bool) -> Callable[[np.ndarray], float]:
    """The statistic of seeds × cases × (estimate, truth, p, number of the finding): its mean over seeds."""

    @bounded(-1, 1)
    def statistic(values: np.ndarray) -> float:
        each = [of_seed(np.ascontiguousarray(own, float).tobytes(), own.shape[1], within, given) for own in values]
        return mean_of_defined(np.array(each))

    return statistic


def partial(found: np.ndarray) -> np.ndarray:
    """The correlation of columns 0 and 1 given column 2, from ... × 3 × 3; NaN where column 2 determines one."""
    return partial_of(found[..., 0, 1], found[..., 0, 2], found[..., 1, 2])


def partial_of(et: np.ndarray, e: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(r_et - r_ep r_tp) / √(...) of the formula from the three correlations."""
    rest = (1 - e**2) * (1 - t**2)
    with np.errstate(all="ignore"):
        return np.where(rest > 1e-9, (et - e * t) / np.sqrt(rest), np.nan)


READINGS: dict[str, Callable[[np.ndarray], float]] = {
    "pooled": reading(within=False, given=False),
    "within findings": reading(within=True, given=False),
    "given p": reading(within=False, given=True),
    "given p, within findings": reading(within=True, given=True),
}
SHOWN = ("within findings", "pooled", "given p")  # in X1.6


def estimate_cube(estimates: pd.DataFrame, methods: list[str]) -> np.ndarray:
    """seeds × cases × (the methods, the truth, p, number of the finding)."""
    conditions = [{"method": name} for name in (*methods, TRUTH, PROBABILITY)]
    values = cube(estimates, "value", conditions, item="case")
    findings = estimates.drop_duplicates("case").sort_values("case")["finding"]
    codes = np.unique(findings, return_inverse=True)[1].astype(float)
    return np.concatenate([values, np.broadcast_to(codes, values.shape[:2])[..., None]], axis=-1)


def ranks(method: str) -> bool:
    """Whether X1.6 has a row of the method."""
    return method not in (TRUTH, TRIVIAL) and not method.startswith("random · ")


def correlation_table(estimates: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.6: every estimate (but the truth and effects of a box elsewhere), best within findings first."""
    ends = [[name, f"{name}_low", f"{name}_high"] for name in SHOWN]
    columns = ["method", *sum(ends, []), "mean |error|"]
    if TRUTH not in set(estimates["method"]):  # radiographs
        return pd.DataFrame(columns=columns)
    names = [name for name in estimates["method"].unique() if ranks(name)]
    values, rows = estimate_cube(estimates, names), []
    together = [k for k in range(len(names)) if np.isfinite(values[..., k]).all()]
    for several in (together, *([k] for k in range(len(names)) if k not in together)):
        part = values[..., [*several, -3, -2, -1]]
        found = readings_of(part, **options)
        errors = np.nanmean(np.abs(part[..., :-3] - part[..., -3:-2]), axis=(0, 1))
        for k, name in enumerate(names[each] for each in several):
            row = {"method": name, "mean |error|": None if name in SCORES else float(errors[k])}
            for reading_, each in found.items():
                row |= {reading_: each[k].value, f"{reading_}_low": each[k].low, f"{reading_}_high": each[k].high}
            rows.append(row)
    return pd.DataFrame(rows)[columns].sort_values("within findings", ascending=False, ignore_index=True)


def readings_of(values: np.ndarray, *, resamples: int = 400, seed: int = 0) -> dict[str, list[Interval]]:
    """The readings of `SHOWN` for each of k estimates: seeds × cases × (k estimates, truth, p, number of the finding);
    a case with a value that is not finite is left out, seed by seed.
    """
    seeds, cases, columns = values.shape
    drawn = draws(cases, resamples=resamples, seed=seed)
    codes = values[0, :, -1]
    within = (codes[:, None] == np.unique(codes)).astype(float)
    found = {name: [] for name in SHOWN}
    for own in values:
        counted = drawn * np.isfinite(own).all(1)
        given = np.nan_to_num(own[:, :-1]), np.array([columns - 3, columns - 2]), counted
        found["within findings"].append(correlated(*given, within, True)[:, :-2, 0])
        pooled = correlated(*given, np.ones((cases, 1)), True)
        found["pooled"].append(pooled[:, :-2, 0])
        e, t = pooled[:, :-2, 1], pooled[:, -2:-1, 1]
        found["given p"].append(partial_of(pooled[:, :-2, 0], e, np.broadcast_to(t, e.shape)))
    left_out = seeds if seeds > 1 else 0
    parts = {name: mean_over_seeds(np.stack(each, axis=1)) for name, each in found.items()}
    return {
        name: [interval(each[:, [k]], left_out, cases, bounds=(-1, 1)) for k in range(each.shape[1])]
        for name, each in parts.items()
    }


def best_fill(estimates: pd.DataFrame, reading: str) -> str:
    """The estimate "box · FILL" without a counterfactual that ranks best by a reading."""
    exact = (COUNTERFACTUAL, ALL_OFF)
    names = [name for name in estimates["method"].unique() if name.startswith("box · ") and not name.endswith(exact)]
    found = {name: READINGS[reading](estimate_cube(estimates, [name])) for name in names}
    return max(found, key=lambda name: np.nan_to_num(found[name], nan=-1.0))


SHORT = {  # the README's rows: what needs no counterfactual; the controls look at no region, or do not intervene
    PROBABILITY: "control: the network's probability, no region at all",
    "CAM share × p": "control: that probability times the share of the class activation map inside the box",
    "CAM evidence": "control: class activation map inside the box, in logits",
    "CAM share": "share of the class activation map inside the box",
    "integrated gradients": "control: integrated gradients inside the box",
    "Shapley value": "control: Shapley value of the box among blocks of the image",
    "box · inpaint": "box, in-painted",
    "box · ring": "box, filled with the mean of the pixels around it",
    "box · mean": "box, filled with the mean of the image",
    "box · blur": "box, blurred",
    "box · white": "box, white",
    "box · black": "box, black",
    "latent, one channel": "zeroing the most influential latent channel",
    "released formula": "formula of the released notebooks",
}


def ranking_in_short(table: pd.DataFrame) -> pd.DataFrame:
    """X1.6 in short, for the README: the rows of `SHORT`, best within findings first, as text with intervals."""
    rows = table[table["method"].isin(list(SHORT))].sort_values("within findings", ascending=False)
    short = {"estimate": rows["method"].map(SHORT).to_list()}
    for name in SHOWN:
        ends = rows[[name, f"{name}_low", f"{name}_high"]].to_numpy(float)
        short[name] = ["" if np.isnan(each).any() else "{:.2f} [{:.2f}, {:.2f}]".format(*each) for each in ends]
    return pd.DataFrame(short)
