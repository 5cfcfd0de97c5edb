import numpy as np
import pandas as pd
import pytest
import torch
from support import One, Watched, claims_of, estimators

from aecompanion.evaluate import sparsity
from aecompanion.evaluate.intervals import interval
from aecompanion.papers.counterfactual import tables as counterfactual_tables
from aecompanion.report import claims
from aecompanion.studies import counterfactuals as counterfactual_study

ESTIMATORS = estimators(2)

OPTIONS = {"resamples": 20, "seed": 0}
CLAIMS = [claim for claim in claims_of(2) if claim.display != "X2.14"]  # of photographs: test_photographs
ARGUMENTS = {claim.id: claim.arguments for claim in CLAIMS}
MASKED = ["background", "outside"]  # what is not measured without masks


@pytest.fixture
def counterfactuals(paper2_tables):
    return paper2_tables["counterfactuals"]


@pytest.fixture
def quick(monkeypatch):
    """Tables with the extremes of the values in the place of intervals, for tests that are not about these."""

    def mean_row(values, name, statistic=np.mean, **options):
        return {name: statistic(values), f"{name}_low": values.min(), f"{name}_high": values.max()}

    monkeypatch.setattr(counterfactual_tables, "mean_row", mean_row)


def shuffled(rows):
    return rows.sample(frac=1, random_state=1)


def spread(*names):
    """Columns of means with their intervals."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


def estimated(tables, estimate, **arguments):
    """What an estimator says about its tables."""
    values, statistic = ESTIMATORS[estimate](tables, **arguments)
    return statistic(values)


# ---- names


def test_balls_and_measures_are_those_of_the_study():
    assert list(counterfactual_tables.KINDS) == list(counterfactual_study.KINDS)
    measured = sparsity.sparsity(torch.ones(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool))
    assert list(measured) == [*counterfactual_tables.SPARSITY, "l1", "l15", "l2"]
    assert set(counterfactual_tables.NETWORKS) < set(counterfactual_tables.TITLES)


@pytest.mark.parametrize(
    ("values", "measured"), [([np.nan, np.nan], False), ([np.nan, 0.5], True), ([0, 0], True), ([], False)]
)
def test_a_column_is_measured_if_one_value_is(values, measured):
    found = counterfactual_tables.has(pd.DataFrame({"background": values}, dtype=float), "background")
    assert found is measured


# ---- tables of means


def test_the_sparsity_table_has_the_means_of_every_network_and_ball(counterfactuals, quick):
    table = counterfactual_tables.sparsity_table(counterfactuals)
    assert list(table) == [
        "network",
        "kind",
        *spread("confidence", "realism", *counterfactual_tables.SPARSITY, "l1", "l15", "l2"),
    ]
    assert table[["network", "kind"]].to_numpy().tolist() == [
        [network, kind] for network in counterfactual_tables.NETWORKS for kind in counterfactual_tables.KINDS
    ]
    found = table.set_index(["network", "kind"])
    assert found.loc["multi", "l1.5"][["confidence", "realism", "background", "gini", "largest"]].tolist() == (
        pytest.approx([0.9, 0.6, 0.2, 0.7, 0.6])
    )
    assert found.loc["plain", "l1"][["outside", "changed", "l1", "l15", "l2"]].tolist() == (
        pytest.approx([0.1, 0.1, 4, 1.2, 0.9])
    )
    assert found["background"].tolist() == pytest.approx([0.3, 0.5, 0.6, 0.2, 0.4, 0.5, 0.1, 0.2, 0.4])
    low, high = found.loc["multi", "l2"][["background_low", "background_high"]]
    assert (low, high) == pytest.approx((0.4 * 0.86, 0.4 * 1.14))


def test_the_intervals_of_a_table_are_those_of_the_bootstrap(counterfactuals):
    rows = counterfactuals.query("network == 'multi' and kind == 'l2'")
    line = counterfactual_tables.grouped(rows, ["network", "kind"], ["largest"], **OPTIONS).iloc[0]
    values = rows.pivot(index="seed", columns="image", values="largest").to_numpy()
    assert values[0] == pytest.approx([0.3 * 1.09, 0.3 * 1.14, 0.3 * 0.94, 0.3 * 0.99])
    found = interval(np.mean, values, **OPTIONS)
    assert line[spread("largest")].tolist() == pytest.approx([found.value, found.low, found.high])
    assert found.low < found.value < found.high


def test_a_measure_that_nobody_took_is_nan_in_the_table_and_the_others_stay(counterfactuals, quick):
    table = counterfactual_tables.sparsity_table(counterfactuals.assign(background=np.nan, outside=np.nan))
    assert table[spread(*MASKED)].isna().all(axis=None)
    others = table.drop(columns=spread(*MASKED))
    assert others.equals(counterfactual_tables.sparsity_table(counterfactuals).drop(columns=spread(*MASKED)))
    assert others.notna().all(axis=None)


def test_a_table_may_have_one_key_and_a_group_without_a_measure(paper2_tables, quick):
    table = counterfactual_tables.grouped(paper2_tables["controls"], ["network"], ["confidence", "realism"])
    assert list(table) == ["network", *spread("confidence", "realism")]
    assert table["network"].tolist() == ["noise", "untrained", "plain", "l2", "multi"]
    assert table["realism"].tolist() == pytest.approx([0.05, 0.1, 0.2, 0.5, 0.6])
    assert table["confidence"].tolist() == pytest.approx([np.nan, 0.9, 0.9, 0.9, 0.9], nan_ok=True)


def test_groups_stand_in_the_order_of_the_rows(counterfactuals, quick):
    table = counterfactual_tables.sparsity_table(counterfactuals.iloc[::-1])
    assert table[["network", "kind"]].iloc[0].tolist() == ["multi", "l2"]
    assert table["realism"].tolist() == pytest.approx([0.5, 0.6, 0.3, 0.4, 0.5, 0.3, 0.15, 0.2, 0.1])


def test_an_image_that_is_missing_or_repeated_is_an_error(counterfactuals):
    for rows in (counterfactuals.iloc[1:], pd.concat([counterfactuals, counterfactuals.iloc[:1]])):
        with pytest.raises(ValueError, match=r"^\{'only': 0\}: \d rows, expected one per seed and image"):
            counterfactual_tables.sparsity_table(rows, **OPTIONS)


def test_the_optimisers_table_has_means_and_differences_from_auto_frank_wolfe_on_the_same_images(paper2_tables):
    table = counterfactual_tables.optimiser_table(shuffled(paper2_tables["optimisers"]), 2.0, **OPTIONS)
    assert list(table) == [
        *("radius", "method"),
        *spread("log confidence", "AFW minus it"),
        *("AFW minus it, mean", "Wilcoxon p", "AFW at least as high"),
    ]
    assert len(table) == 12
    found = table.set_index(["radius", "method"])
    matched, half = found.loc["matched"], found.loc["half"]
    names = ["AFW", "APGD", "PGD", "FW + momentum"]
    assert matched["log confidence"][names].tolist() == pytest.approx([-0.2, -0.15, -0.3, -0.22])
    assert half["log confidence"][names].tolist() == pytest.approx([-1, -0.75, -1.5, -1.1])
    assert matched["AFW minus it, mean"][names].tolist() == pytest.approx([0, -0.05, 0.1, 0.02])
    assert half["AFW minus it, mean"][names].tolist() == pytest.approx([0, -0.25, 0.5, 0.1])
    # AFW: -.2·(.9, 1, 1.1), with momentum: -.22·(1.1, .9, 1), both with ±.04 for the seed
    assert matched["AFW at least as high"][names].tolist() == pytest.approx([1, 0, 1, 0.5])
    assert (matched.loc["AFW"][spread("AFW minus it")] == 0).all()
    assert (found["AFW minus it_low"] <= found["AFW minus it"]).all()
    assert (found["AFW minus it"] <= found["AFW minus it_high"]).all()


def differing(*differences):
    """Two seeds with one value of AFW minus FW per image."""
    rows = [
        {"p": 1.5, "radius": "matched", "seed": seed, "image": image, "method": method}
        | {"value": -1.0 if method == "AFW" else -1.0 - each}
        for seed in (1, 2)
        for image, each in enumerate(differences)
        for method in ("AFW", "FW")
    ]
    return counterfactual_tables.optimiser_table(pd.DataFrame(rows), 1.5, **OPTIONS).set_index("method").loc["FW"]


def test_one_image_makes_a_mean_but_no_median_and_no_rank_test():
    found = differing(9.0, -0.1, -0.2, 0.1, 0.2, -0.3, 0.3)
    assert found["AFW minus it, mean"] == pytest.approx(9 / 7)
    assert found["AFW minus it"] == pytest.approx(0.1)
    assert found["Wilcoxon p"] > 0.3
    # ranks 1 to 7 all on one side: 2 / 2^7
    assert differing(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 9.0)["Wilcoxon p"] == pytest.approx(2 / 2**7)


def test_the_lead_is_that_after_the_step_asked_for(paper2_tables):
    options = {"p": 1.5, "radius": "matched", "methods": ["AFW", "FW"]}
    early, late = (counterfactual_tables.lead(paper2_tables["trajectories"], **options, step=step) for step in (2, 20))
    assert early.mean((0, 1)).tolist() == pytest.approx([-2.0, -1.5])
    assert late.mean((0, 1)).tolist() == pytest.approx([-0.2, -0.3])


def test_each_ball_has_its_own_table_of_optimisers(paper2_tables, quick):
    optimisers = paper2_tables["optimisers"]
    first, second = (counterfactual_tables.optimiser_table(optimisers, p, **OPTIONS) for p in (1.5, 2.0))
    own = ["AFW, own best", "FW, own best"]
    assert first["method"].tolist() == 2 * ["AFW", "AFW (released)", "FW", "FW + momentum", "FW, constant step", *own]
    assert second["method"].tolist() == 2 * ["AFW", "AFW (released)", "APGD", "PGD", "FW", "FW + momentum"]
    assert first["radius"].tolist() == 7 * ["matched"] + 7 * ["half"]
    assert first["log confidence"].tolist()[:5] == pytest.approx([-0.2, -0.21, -0.3, -0.25, -0.5])


def test_optimisers_without_auto_frank_wolfe_are_an_error(paper2_tables):
    rows = paper2_tables["optimisers"].query("method != 'AFW'")
    with pytest.raises(ValueError, match=r"^\{'method': 'AFW'\}: 0 rows, expected one per seed and image$"):
        counterfactual_tables.optimiser_table(rows, 1.5, **OPTIONS)


def test_the_table_of_step_sizes_has_the_mean_log_confidence_of_every_variant(paper2_tables, quick):
    table = counterfactual_tables.schedule_table(paper2_tables["schedules"])
    assert list(table) == ["p", "radius", "schedule", *spread("log confidence")]
    variants = [*counterfactual_study.FACTORS, *counterfactual_study.OWN.values()]
    assert sorted(table["schedule"]) == sorted(2 * variants)
    assert table["p"].tolist() == 4 * [1.5] + 4 * [2.0]
    assert table["log confidence"].tolist() == pytest.approx([-0.2, -0.22, -0.25, -0.21, -0.4, -0.44, -0.5, -0.42])


def test_the_table_of_networks_has_accuracies_radii_realism_and_frechet_distances(paper2_tables, quick):
    keys = [
        (seed, n, k, start)
        for seed in (1, 2)
        for n in counterfactual_tables.NETWORKS
        for k in counterfactual_tables.KINDS
        for start in ("ID", "OD")
    ]
    frechets = pd.DataFrame(keys, columns=["seed", "network", "kind", "start"])
    frechets["distance"] = frechets["seed"] + 10.0 * (frechets["start"] == "OD") + 100 * (frechets["network"] == "l2")
    frechets["distance"] += 1000 * (frechets["kind"] == "l2")
    table = counterfactual_tables.network_table(paper2_tables["counterfactuals"], paper2_tables["quality"], frechets)
    rest = [
        name
        for kind in counterfactual_tables.KINDS
        for name in (f"radius {kind}", f"realism {kind}", f"Fréchet {kind} ID", f"Fréchet {kind} OD")
    ]
    accuracies = ["accuracy", "robust linf", "robust l2", "robust l1"]
    assert list(table) == ["network", *spread(*accuracies), "temperature", "calibration error", *rest]
    found = table.set_index("network")
    assert found[accuracies].to_numpy().tolist() == [
        pytest.approx([0.8, 0.2, 0.2, 0.4]),
        pytest.approx([0.8, 0.4, 0.8, 0.2]),
        pytest.approx([0.8, 0.6, 0.6, 0.6]),
    ]
    assert found["temperature"].tolist() == pytest.approx([1.2, 0.9, 0.8])
    assert found["calibration error"].tolist() == pytest.approx([0.05, 0.04, 0.03])
    assert found.loc["plain", ["radius l1", "radius l1.5", "radius l2"]].tolist() == pytest.approx([4, 1, 0.5])
    assert found.loc["multi", ["realism l1", "realism l1.5", "realism l2"]].tolist() == pytest.approx([0.3, 0.6, 0.5])
    names = [name for name in rest if name.startswith("Fréchet")]
    assert found.loc["plain", names].tolist() == [1.5, 11.5, 1.5, 11.5, 1001.5, 1011.5]
    assert found.loc["l2", names].tolist() == [101.5, 111.5, 101.5, 111.5, 1101.5, 1111.5]


def test_frechet_distances_without_images_that_lack_an_object_are_nan(paper2_tables, quick):
    keys = [(1, n, k, "ID", 2.0) for n in counterfactual_tables.NETWORKS for k in counterfactual_tables.KINDS]
    frechets = pd.DataFrame(keys, columns=["seed", "network", "kind", "start", "distance"])
    table = counterfactual_tables.network_table(paper2_tables["counterfactuals"], paper2_tables["quality"], frechets)
    assert (table[[f"Fréchet {kind} ID" for kind in counterfactual_tables.KINDS]] == 2).all(axis=None)
    assert table[[f"Fréchet {kind} OD" for kind in counterfactual_tables.KINDS]].isna().all(axis=None)


def test_untouched_images_have_a_row_of_their_own_with_the_mean_over_draws(paper2_tables, quick):
    keys = [(1, n, k, "ID", 2.0) for n in counterfactual_tables.NETWORKS for k in counterfactual_tables.KINDS]
    keys += [(draw, "untouched images", "none", "ID", 0.5 + draw) for draw in (0, 1, 2)]
    frechets = pd.DataFrame(keys, columns=["seed", "network", "kind", "start", "distance"])
    table = counterfactual_tables.network_table(paper2_tables["counterfactuals"], paper2_tables["quality"], frechets)
    row = table.set_index("network").loc["untouched images"]
    assert [row[f"Fréchet {kind} ID"] for kind in counterfactual_tables.KINDS] == [1.5] * 3
    assert np.isnan(row["Fréchet l2 OD"])
    assert np.isnan(row["robust l1"])
    assert counterfactual_tables.spread_of_floor(frechets) == "0.50 to 2.50 over 3 draws"


def test_the_frechet_distance_of_moved_and_of_stretched_features_is_known():
    real = np.array([[-1.0], [1.0]])  # variance 2
    features = {
        (1, "plain", "l1", "ID"): real,
        (1, "plain", "l1", "OD"): real + 3,  # 3²
        (2, "multi", "l2", "ID"): 2 * real,  # 2 + 8 - 2·√16
    }
    table = counterfactual_tables.frechet_rows(features, real)
    assert list(table) == ["seed", "network", "kind", "start", "distance"]
    assert [tuple(row) for row in table.iloc[:, :4].itertuples(index=False)] == list(features)
    assert table["distance"].tolist() == pytest.approx([0, 9, 2], abs=1e-9)


def test_the_table_of_least_radii_has_medians_and_norms_of_what_was_reached(paper2_tables, quick):
    table = counterfactual_tables.least_table(paper2_tables["least"])
    assert list(table) == [
        *("kind", "confidence", "not reached"),
        *spread("median radius"),
        *("mean l1", "mean l2"),
    ]
    assert table["kind"].tolist() == [kind for kind in counterfactual_tables.KINDS for _ in range(3)]
    assert table["confidence"].tolist() == 3 * [0.8, 0.9, 0.99]
    assert table["not reached"].tolist() == pytest.approx(8 * [0] + [1 / 6])
    assert table["median radius"].tolist() == pytest.approx([10, 12, 20, 3, 4, 6, 1.5, 2, 2.5])
    # of the last row the radius 2.5·1.14 is missing; the others are 2.5·4.86 / 5 in the mean
    assert table["mean l1"].tolist() == pytest.approx([10, 12, 20, 15, 20, 30, 24, 32, 16 * 2.43])
    assert table["mean l2"].tolist() == pytest.approx([2, 2.4, 4, 1.5, 2, 3, 1.2, 1.6, 0.8 * 2.43])
    assert table["median radius_high"].tolist()[-2:] == [pytest.approx(2 * 1.14), np.inf]


def test_a_confidence_that_no_image_reaches_has_an_infinite_radius_and_no_norm(paper2_tables):
    table = counterfactual_tables.least_table(
        paper2_tables["least"].query("kind == 'l1' and level == 0.8").assign(radius=np.inf), **OPTIONS
    )
    (line,) = table.to_dict("records")
    assert (line["not reached"], line["median radius"]) == (1, np.inf)
    assert np.isnan([line["mean l1"], line["mean l2"]]).all()


def test_the_table_of_false_positives_has_shares_per_network_and_strength(paper2_tables, quick):
    table = counterfactual_tables.false_positive_table(paper2_tables["fooled"])
    assert table["mark"].tolist() == 12 * ["letters"] + 4 * ["small mark"]
    table = table[table["mark"] == "letters"].drop(columns="mark")
    assert list(table) == ["network", "strength", *spread("marked_class", "right")]
    assert table["network"].tolist() == [name for name in ("marked", "control", "plain") for _ in range(4)]
    assert table["strength"].tolist() == 3 * [0.0, 0.2, 0.4, 0.8]
    assert (8 * table["marked_class"]).tolist() == pytest.approx([1, 2, 4, 6, 1, 1, 1, 1, 1, 1, 2, 1])
    assert (8 * table["right"]).tolist() == pytest.approx([6, 5, 3, 1, 6, 6, 6, 5, 7, 6, 6, 4])


def test_a_wide_table_is_read_with_its_intervals_beside_the_values():
    table = pd.DataFrame({"kind": ["l1", "l2"], "a": [0.123, np.nan], "a_low": 0.1, "a_high": 0.2, "b": [1.0, 2.5]})
    found = counterfactual_tables.with_intervals(table)
    assert list(found) == ["kind", "a", "b"]
    assert found["a"].tolist() == ["0.12 [0.10, 0.20]", ""]
    assert found["b"].tolist() == ["1.00", "2.50"]


def test_the_short_table_is_about_the_multiple_norm_network_in_words():
    line = {"confidence": 0.899, "realism": 0.5, "background": 0.25, "changed": 0.1, "largest": 0.75}
    line |= {f"{name}_low": value - 0.1 for name, value in line.items()} | {
        f"{name}_high": value + 0.1 for name, value in line.items()
    }
    table = pd.DataFrame([{"network": network, "kind": "l1.5"} | line for network in counterfactual_tables.NETWORKS])
    assert counterfactual_tables.in_short(table).to_dict("records") == [
        {
            "ball": "l1.5",
            "confidence": "0.90",
            "change outside the object": "0.25 [0.15, 0.35]",
            "visibly changed pixels": "0.10 [0.00, 0.20]",
            "largest change of a value": "0.75 [0.65, 0.85]",
            "independent network's confidence": "0.50 [0.40, 0.60]",
        }
    ]


def test_the_short_table_has_a_row_for_every_ball(counterfactuals, quick):
    short = counterfactual_tables.in_short(counterfactual_tables.sparsity_table(counterfactuals))
    assert short["ball"].tolist() == list(counterfactual_tables.KINDS)
    assert short["confidence"].tolist() == ["0.88", "0.90", "0.93"]


# ---- estimators

ROBUST, PLAIN = {"network": "multi", "kind": "l1.5"}, {"network": "plain", "kind": "l1.5"}
ESTIMATES = [  # estimator, arguments, its value on the hand-made tables
    ("matched", {"confidence": 0.9}, 0.03),
    ("matched", {"confidence": 0.9, "network": "plain"}, 0.02),
    ("matched", {"confidence": 0.8, "network": "l2"}, 0.11),
    ("kinds_differ", {"column": "background", "kinds": ["l1", "l1.5"]}, -0.1),
    ("kinds_differ", {"column": "background", "kinds": ["l2", "l1.5"]}, 0.2),
    ("kinds_differ", {"column": "background", "kinds": ["l1.5", "l2"], "network": "plain"}, -0.1),
    ("kinds_differ", {"column": "largest", "kinds": ["l1", "l2"], "network": "l2"}, 0.7),
    # deviations of l1.5 cancel in both sets; those of l2 are .05 and .1 in the first, -.1 and -.05 in the second
    ("kinds_differ_in_every_set", {"column": "background", "kinds": ["l2", "l1.5"]}, 0.4 * 0.925 - 0.2),
    ("kinds_differ_in_every_set", {"column": "background", "kinds": ["l1.5", "l2"]}, 0.2 - 0.4 * 1.075),
    ("kinds_differ_in_every_set", {"column": "l1", "kinds": ["l2", "l1.5"], "network": "plain"}, 8 * 0.925 - 6),
    ("networks_differ", {"column": "realism", "networks": ["multi", "plain"], "kind": "l1.5"}, 0.4),
    ("networks_differ", {"column": "eps", "networks": ["plain", "multi"], "kind": "l1"}, -12),
    (
        "methods_differ",
        {"p": 1.5, "radius": "matched", "methods": ["AFW", "FW"]},
        0.08,
    ),  # medians of .066, .074, .076, .084, .146, .154
    ("methods_differ", {"p": 1.5, "radius": "half", "methods": ["AFW", "FW"]}, 0.4),
    ("methods_differ", {"p": 2.0, "radius": "matched", "methods": ["AFW", "FW"]}, 0.07),
    ("methods_differ", {"p": 2.0, "radius": "half", "methods": ["APGD", "PGD"]}, 0.825),
    ("always_ahead", {"p": 1.5, "radius": "matched", "methods": ["AFW", "FW"]}, -0.65),  # after two steps of twenty
    ("schedules_differ", {"p": 1.5, "radius": "matched"}, 0.05),
    ("schedules_differ", {"p": 2.0, "radius": "matched"}, 0.1),
    ("restart_gain", {}, 0.1),
    ("restart_distance", {}, 0.5),
    ("falling_steps", {"kind": "l1.5"}, 1 / 8),
    ("falling_steps", {"kind": "l2"}, 0),
    ("networks_differ", {"column": "l2", "table": "quality", "networks": ["l2", "plain"]}, 0.6),
    ("networks_differ", {"column": "l1", "table": "quality", "networks": ["multi", "l2"]}, 0.4),
    ("networks_differ", {"column": "linf", "table": "quality", "networks": ["plain", "multi"]}, -0.4),
    ("least_robust_gain", {"networks": ["multi", "l2"]}, 0.4),  # .6 and, in l1, .2
    ("least_robust_gain", {"networks": ["plain", "l2"]}, 0),  # .2 in linf, .2 in l1
    ("radius_grows", {"kind": "l1"}, 2),
    ("radius_grows", {"kind": "l1.5"}, 1),
    ("radius_grows", {"kind": "l2"}, 0.5 * 4.86 / 5),  # of the five that reach both
    ("norms_differ", {"column": "l1", "kinds": ["l1.5", "l2"], "level": 0.9}, 20 / 32),
    ("norms_differ", {"column": "l2", "kinds": ["l1.5", "l2"], "level": 0.9}, 1.25),
    ("norms_differ", {"column": "l2", "kinds": ["l1", "l1.5"], "level": 0.99}, 4 / 3),
    ("networks_differ", {"column": "on_mark", "table": "spurious", "networks": ["marked", "control"]}, 0.3),
    ("places_differ", {"network": "small", "places": ["on_small", "on_mirror"]}, 0.2),
    ("fooled_by_mark", {"network": "small", "strengths": [0.0, 0.8], "mark": "small mark"}, 5 / 8),
    ("fooled_by_mark", {"network": "marked", "strengths": [0.0, 0.8]}, 5 / 8),
    ("fooled_by_mark", {"network": "marked", "strengths": [0.2, 0.4]}, 2 / 8),
    ("fooled_by_mark", {"network": "control", "strengths": [0.0, 0.8]}, 0),
    ("fooled_monotonically", {"network": "marked"}, 1 / 8),
    ("fooled_monotonically", {"network": "control"}, 0),
    ("fooled_monotonically", {"network": "plain"}, -1 / 8),
    ("networks_differ", {"column": "realism", "table": "controls", "networks": ["multi", "noise"]}, 0.55),
    ("networks_differ", {"column": "realism", "table": "controls", "networks": ["multi", "plain"]}, 0.4),
    ("judged_differently", {"column": "realism_multi", "first": ROBUST, "second": PLAIN}, 0.2),
    ("judged_differently", {"column": "perceptual", "first": ROBUST, "second": ROBUST | {"kind": "l2"}}, 0.1),
    ("own_radii", {"column": "background", "level": 0.9}, -0.2),
    ("own_radii", {"column": "changed", "level": 0.9}, -0.2),
    ("own_radii", {"column": "realism", "level": 0.9}, 0.1),
    ("sparse_methods_differ", {"column": "value", "first": "AFW", "second": "FW"}, 0.08),
    ("sparse_methods_differ", {"column": "changed", "first": "FW-L1-q, q = d/64", "second": "AFW"}, 0.05),
    ("mostly_sparser", {}, 1),
    ("mostly_believed", {}, 1),
    ("mostly_ahead", {}, 1),
]


@pytest.mark.parametrize(("estimate", "arguments", "expected"), ESTIMATES)
def test_an_estimator_has_the_value_known_on_paper(paper2_tables, estimate, arguments, expected):
    assert estimated(paper2_tables, estimate, **arguments) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("estimate", "arguments", "expected"), ESTIMATES)
def test_the_order_of_rows_does_not_matter(paper2_tables, estimate, arguments, expected):
    tables = {name: shuffled(rows) for name, rows in paper2_tables.items()}
    assert estimated(tables, estimate, **arguments) == pytest.approx(expected, abs=1e-12)


def test_every_estimator_of_a_claim_has_a_value_known_on_paper():
    assert {claim.estimator.__name__ for claim in CLAIMS} == {estimate for estimate, _, _ in ESTIMATES}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_cube_is_finite_numbers_of_seeds_and_images(paper2_tables, claim):
    tables = Watched(paper2_tables)
    values, _ = claim.estimator(tables, **ARGUMENTS[claim.id])
    (rows,) = [paper2_tables[name] for name in tables.read]
    assert values.dtype == float
    assert values.shape[:2] == (rows["seed"].nunique(), rows["image"].nunique())
    assert not np.isnan(values).any()


def test_pairs_are_subtracted_image_by_image():
    values = np.array([[[3.0, 1.0], [5.0, 5.0]], [[0.0, 4.0], [1.0, 0.0]]])  # differences 2, 0, -4, 1
    assert counterfactual_tables.paired(values) == -0.25


@pytest.mark.parametrize("column", MASKED)
@pytest.mark.parametrize("estimate", ["kinds_differ", "kinds_differ_in_every_set"])
def test_what_needs_masks_is_untestable_without(counterfactuals, estimate, column):
    rows = counterfactuals.assign(**{column: np.nan})
    values, statistic = ESTIMATORS[estimate](One(rows), column=column, kinds=["l1.5", "l2"])
    assert values.shape == (1, 1)
    assert np.isnan(statistic(values))


WITHOUT_MASKS = [claim for claim in CLAIMS if ARGUMENTS[claim.id].get("column") in MASKED]


@pytest.mark.parametrize("claim", WITHOUT_MASKS, ids=lambda claim: claim.id)
def test_a_claim_about_the_background_is_not_testable_without_masks_and_says_why(paper2_tables, claim):
    measured = ("counterfactuals", "least")
    masked = {name: paper2_tables[name].assign(background=np.nan, outside=np.nan) for name in measured}
    row = claims.evaluate(claim, paper2_tables | masked, **OPTIONS)
    assert (row["verdict"], row["reason"]) == ("not testable here", "these images have no object masks")
    assert np.isnan([row["ours"], row["ci_low"], row["ci_high"]]).all()


def test_the_claims_that_say_that_they_need_masks_are_those_about_the_background():
    assert [claim.id for claim in CLAIMS if "masks" in claim.undefined] == [claim.id for claim in WITHOUT_MASKS]


def test_one_set_against_the_claim_decides_over_every_set(counterfactuals):
    odd = (counterfactuals["set"] == 1) & (counterfactuals["kind"] == "l2")
    rows = counterfactuals.assign(background=counterfactuals["background"].mask(odd, 0.1))
    options = {"column": "background", "kinds": ["l2", "l1.5"]}
    values, statistic = ESTIMATORS["kinds_differ_in_every_set"](One(rows), **options)
    assert statistic(values) == pytest.approx(0.1 - 0.2)
    every, mean = ESTIMATORS["kinds_differ"](One(rows), **options)
    assert mean(every) == pytest.approx((0.43 + 0.1) / 2 - 0.2)


def test_the_least_is_over_the_disjoint_sets_and_a_resample_without_one_leaves_it_out(counterfactuals):
    values, statistic = ESTIMATORS["kinds_differ_in_every_set"](
        One(counterfactuals), column="background", kinds=["l2", "l1.5"]
    )
    first, second = statistic.parts(values[:, [0, 0, 1, 1]])
    assert (first, statistic(values)) == (pytest.approx(0.43 - 0.2), min(statistic.parts(values)))
    assert np.isnan(second)
    assert statistic.parts(values[:, [3, 3]]) == pytest.approx([np.nan, 0.4 * 0.95 - 0.2 * 0.9], nan_ok=True)


@pytest.mark.parametrize(("fall", "share"), [(0.009, 0), (0.011, 0.25), (0.5, 0.25)])
@pytest.mark.parametrize("step", [2, 3])
def test_a_fall_of_more_than_a_hundredth_anywhere_counts_once(fall, share, step):
    rows = pd.DataFrame(
        [
            {"seed": seed, "image": image, "kind": "l2", "step": number, "confidence": 0.5}
            for seed in (1, 2)
            for image in (0, 1)
            for number in (1, 2, 3)
        ]
    )
    own = (rows["seed"] == 2) & (rows["image"] == 1) & (rows["step"] == step)
    assert estimated({"sweep": rows.assign(confidence=0.5 - fall * own)}, "falling_steps", kind="l2") == share


def test_steps_are_sorted_by_number_and_not_by_name():
    rows = pd.DataFrame({"seed": 1, "image": 0, "kind": "l2", "step": [10, 9, 2], "confidence": [0.9, 0.5, 0.1]})
    assert estimated({"sweep": rows}, "falling_steps", kind="l2") == 0


def test_a_radius_that_is_not_found_is_left_out_of_the_growth():
    rows = pd.DataFrame(
        [
            {"kind": "l2", "seed": seed, "image": image, "level": level, "radius": radius}
            for seed in (1, 2)
            for image, radii in enumerate([(1.0, 2.0, 5.0), (1.0, 4.0, np.inf), (5.0, np.inf, np.inf)])
            for level, radius in zip((0.8, 0.9, 0.99), radii, strict=True)
        ]
    )
    assert estimated({"least": rows}, "radius_grows", kind="l2") == 2  # 1 and 3, then 3
    assert np.isnan(estimated({"least": rows[rows["image"] == 2]}, "radius_grows", kind="l2"))


def test_a_change_without_a_norm_is_left_out_of_the_ratio(paper2_tables):
    least = paper2_tables["least"]
    gone = (least["kind"] == "l2") & (least["level"] == 0.9) & (least["image"] != 1)
    rows = least.assign(l1=least["l1"].mask(gone, np.nan))
    options = {"column": "l1", "kinds": ["l1.5", "l2"], "level": 0.9}
    assert estimated({"least": rows}, "norms_differ", **options) == pytest.approx(20 / 32)  # image 1 is the mean one


def test_the_least_robust_accuracy_is_of_all_images_and_not_the_worst_attack_on_each():
    rows = pd.DataFrame(
        [
            {"seed": 1, "image": image, "network": network, "linf": a, "l2": b, "l1": 1.0}
            for network, values in {"multi": ((1, 0), (0, 1)), "l2": ((0, 0), (1, 0))}.items()
            for image, (a, b) in enumerate(values)
        ]
    )
    # multi: half of the images under each attack and none under all; l2: none in l2
    assert estimated({"quality": rows}, "least_robust_gain", networks=["multi", "l2"]) == 0.5


def test_a_condition_that_nobody_measured_is_an_error_that_names_it(paper2_tables):
    with pytest.raises(ValueError, match=r"^\{'network': 'multi', 'kind': 'l4'\}: 0 rows"):
        estimated(paper2_tables, "kinds_differ", column="realism", kinds=["l4", "l2"])
    with pytest.raises(ValueError, match=r"^\{'network': 'marked', 'strength': 0.9\}: 0 rows"):
        estimated(paper2_tables, "fooled_by_mark", network="marked", strengths=[0.0, 0.9])
    with pytest.raises(ValueError, match=r"^\{'method': 'APGD'\}: 0 rows"):
        estimated(paper2_tables, "methods_differ", p=1.5, radius="matched", methods=["AFW", "APGD"])
