import math

import numpy as np
import pandas as pd
import pytest
from support import One, estimators

from aecompanion.attack.attacks import crafted_names
from aecompanion.evaluate.defence import area
from aecompanion.evaluate.intervals import interval
from aecompanion.papers.halftone import tables as halftone_tables
from aecompanion.papers.halftone.tables import HYBRID, under
from aecompanion.report import reported
from aecompanion.report.cubes import cube

ESTIMATORS = estimators(4)
NAMES = ("transfer", "representations", "adaptive")

OPTIONS = {"resamples": 20, "seed": 0}
EQUAL = "hybrid (equal updates) + halftone"
RANDOM = "hybrid + randomised halftone"
CONTROL, BLUR, NOISE = "hybrid without halftoning", "hybrid + 4 levels, blur", "grey, noise"


@pytest.fixture
def transfer(paper4_tables):
    return paper4_tables[0]


@pytest.fixture
def representations(paper4_tables):
    return paper4_tables[1]


@pytest.fixture
def adaptive(paper4_tables):
    return paper4_tables[2]


@pytest.fixture
def one_split(transfer):
    """The rows of a user's image folder, which has no held-out part."""
    return transfer[transfer["split"] == "known"]


@pytest.fixture(scope="module")
def comparison(paper4_tables):
    return halftone_tables.comparison_table(paper4_tables[0], **OPTIONS)


def shuffled(rows):
    return rows.sample(frac=1, random_state=1)


def small(*rows, columns=("attack", "seed", "image", "top1")):
    return pd.DataFrame(rows, columns=columns)


# ---- the cube


def test_the_cube_is_seeds_images_conditions(transfer):
    conditions = [under(attack) for attack in ("clean", "fgsm", "ifgsm", "pgd")]
    found = cube(transfer, "top5", conditions)
    assert found.shape == (2, 10, 4)
    assert found.dtype == float
    for s, i, c in np.ndindex(found.shape):
        assert found[s, i, c] == (i < (9, 8, 7, 9)[c] + (1, -1)[s])


def test_the_cube_takes_seeds_and_images_ascending_and_the_conditions_as_given():
    rows = small(("b", 7, 30, 1), ("b", 3, 30, 2), ("a", 3, 4, 3), ("b", 7, 4, 4), ("a", 7, 4, 5), ("b", 3, 4, 6))
    rows = pd.concat([rows, small(("a", 3, 30, 7), ("a", 7, 30, 8))])
    found = cube(rows, "top1", [{"attack": "b"}, {"attack": "a"}])
    assert found.tolist() == [[[6, 3], [2, 7]], [[4, 5], [1, 8]]]


@pytest.mark.parametrize("metric", ["top1", "top5"])
def test_the_cube_does_not_depend_on_the_order_of_the_rows(transfer, metric):
    conditions = [under(attack, split="held_out") for attack in ("pgd", "clean")]
    assert np.array_equal(cube(shuffled(transfer), metric, conditions), cube(transfer, metric, conditions))


def test_a_condition_may_fix_any_columns(transfer, adaptive):
    found = cube(transfer, "top1", [{"defence": "tv", "attack": "pgd", "level": 2, "split": "known"}])
    assert found.mean() == pytest.approx(0.6)
    found = cube(adaptive, "top1", [{"adversary": "bpda identity", "steps": 50}])
    assert found.mean() == pytest.approx(0.2)


def test_a_condition_without_rows_is_an_error_that_says_which(transfer):
    expected = r"^\{'split': 'known', 'defence': 'blur', .*\}: 0 rows, expected one per seed and image$"
    with pytest.raises(ValueError, match=expected):
        cube(transfer, "top1", [under("pgd"), under("pgd", defence="blur")])


def test_a_condition_that_does_not_fix_the_level_has_two_rows_per_image_and_is_an_error(transfer):
    condition = {"source": "grey", "split": "known", "defence": HYBRID, "attack": "pgd"}
    with pytest.raises(ValueError, match="'attack': 'pgd'}: 40 rows, expected one per seed and image$"):
        cube(transfer, "top1", [condition])


def test_a_repeated_row_is_an_error(transfer):
    chosen = transfer.query("split == 'known' and defence == @HYBRID and attack == 'pgd' and level == 8 and seed == 2")
    with pytest.raises(ValueError, match="21 rows, expected one per seed and image"):
        cube(pd.concat([transfer, chosen[chosen["image"] == 3]]), "top1", [under("pgd")])


@pytest.mark.parametrize("gone", ["seed == 2 and image == 3", "seed == 1", "image == 3"])
def test_a_condition_that_lacks_rows_which_another_has_is_an_error(transfer, gone):
    there = transfer.eval(
        f"not (split == 'known' and defence == @HYBRID and attack == 'pgd' and level == 8 and {gone})"
    )
    with pytest.raises(ValueError):
        cube(transfer[there], "top1", [under("clean"), under("pgd")])


@pytest.mark.parametrize("attacks", [("pgd",), ("pgd", "clean")])
def test_a_missing_row_is_an_error_and_no_nan(transfer, attacks):
    there = transfer.eval(
        "not (split == 'known' and defence == @HYBRID and attack == 'pgd' and seed == 2 and image == 3)"
    )
    with pytest.raises(ValueError, match="19 rows, expected one per seed and image"):
        cube(transfer[there], "top1", [under(attack) for attack in attacks])


def test_conditions_of_different_images_are_an_error_and_not_paired():
    rows = small(("a", 1, 0, 1), ("a", 1, 1, 0), ("b", 1, 1, 1), ("b", 1, 2, 0))
    with pytest.raises(ValueError):
        cube(rows, "top1", [{"attack": "a"}, {"attack": "b"}])


# ---- conditions and rows


@pytest.mark.parametrize(
    ("attack", "options", "expected"),
    [
        ("pgd", {}, {"split": "known", "defence": HYBRID, "attack": "pgd", "level": 8}),
        ("clean", {}, {"split": "known", "defence": HYBRID, "attack": "clean", "level": 0}),
        ("clean", {"level": 2}, {"split": "known", "defence": HYBRID, "attack": "clean", "level": 0}),
        (
            "fgsm",
            {"defence": "tv", "split": "held_out", "level": 2},
            {"split": "held_out", "defence": "tv", "attack": "fgsm", "level": 2},
        ),
    ],
)
def test_clean_images_have_level_0_and_attacked_ones_that_of_the_tables(attack, options, expected):
    assert under(attack, **options) == expected | {"source": "grey"}
    assert under(attack, **options, source="hybrid") == expected | {"source": "hybrid"}


def test_a_split_is_there_or_not(transfer, one_split):
    assert halftone_tables.has(transfer, "held_out")
    assert not halftone_tables.has(one_split, "held_out")
    assert halftone_tables.has(one_split, "known")


def test_the_matrix_of_one_condition_is_seeds_by_images():
    rows = small(("a", 2, 0, 1), ("a", 1, 5, 0), ("a", 1, 0, 1), ("a", 2, 5, 1))
    assert halftone_tables.matrix(rows, "top1").tolist() == [[1, 0], [1, 1]]


def test_a_matrix_of_two_conditions_is_an_error():
    with pytest.raises(ValueError, match="2 rows, expected one per seed and image"):
        halftone_tables.matrix(small(("a", 1, 0, 1), ("b", 1, 0, 1)), "top1")


def test_a_mean_comes_with_the_interval_of_the_bootstrap(transfer):
    values = cube(transfer, "top5", [under("ifgsm")])[..., 0]
    expected = interval(np.mean, values, **OPTIONS)
    found = halftone_tables.mean_row(values, "top5", **OPTIONS)
    assert found == {"top5": expected.value, "top5_low": expected.low, "top5_high": expected.high}
    assert found["top5_low"] < found["top5"] < found["top5_high"]


# ---- tables

ACCURACY = ["top1", "top1_low", "top1_high", "top5", "top5_low", "top5_high"]


def counts(table, *metrics):
    """The accuracies in images of ten."""
    return [tuple(row) for row in (table[list(metrics or ("top1", "top5"))] * 10).round(9).to_numpy().tolist()]


def test_the_representation_table_holds_every_network_on_every_view(representations):
    table = halftone_tables.representation_table(representations, **OPTIONS)
    assert list(table.columns) == ["split", "network", "epochs", "view", *ACCURACY]
    assert len(table) == 2 * 7 * 3
    known = table[table["split"] == "known"]
    names = ["grey", "halftone", "hybrid", "hybrid_updates", "grey_twice"]
    assert known["network"].tolist() == [n for n in (*names, "grey_shifts", "halftone_shifts") for _ in range(3)]
    assert known["epochs"].tolist()[::3] == [10, 10, 10, 5, 20, 20, 20]
    assert known["view"].tolist() == ["grey", "halftone", "inverse"] * 7
    assert counts(known)[:6] == [(8, 9), (2, 4), (6, 8), (3, 5), (6, 8), (4, 6)]
    assert (table.loc[table["split"] == "held_out", ACCURACY] == 0).all(axis=None)


def test_the_attack_table_holds_both_splits_the_defences_as_asked_for_and_the_four_conditions(transfer):
    defences = ["tv", HYBRID]
    table = halftone_tables.attack_table(transfer, defences, **OPTIONS)
    assert list(table.columns) == ["split", "defence", "attack", *ACCURACY, "paper_top5"]
    assert list(zip(table["split"], table["defence"], table["attack"], strict=True)) == [
        (split, defence, attack)
        for split in ("known", "held_out")
        for defence in defences
        for attack in ("clean", "fgsm", "ifgsm", "pgd")
    ]
    tv = [(6, 8), (4, 6), (4, 6), (4, 6)]
    hybrid, held_out = [(8, 9), (5, 8), (5, 7), (8, 9)], [(8, 9), (4, 7), (4, 6), (7, 8)]
    assert counts(table) == tv + hybrid + tv + held_out


def test_the_papers_top5_stands_beside_hybrid_and_halftone_under_the_three_attacks_only(transfer):
    table = halftone_tables.attack_table(transfer, ["no defence", HYBRID, "hybrid without halftoning"], **OPTIONS)
    known = table[table["split"] == "known"].set_index(["defence", "attack"])["paper_top5"].dropna()
    assert known.to_dict() == {(HYBRID, "fgsm"): 0.8097, (HYBRID, "ifgsm"): 0.7877, (HYBRID, "pgd"): 0.8156}


def test_without_a_held_out_part_the_tables_hold_the_known_one(transfer, one_split, comparison):
    both, one = (halftone_tables.attack_table(rows, ["tv"], **OPTIONS) for rows in (transfer, one_split))
    for whole, part in ((both, one), (comparison, halftone_tables.comparison_table(one_split, **OPTIONS))):
        assert set(whole["split"]) == {"known", "held_out"}
        pd.testing.assert_frame_equal(part, whole[whole["split"] == "known"])


def test_a_defence_that_was_not_evaluated_is_an_error_of_the_attack_table(transfer):
    with pytest.raises(ValueError, match="'defence': 'blur'"):
        halftone_tables.attack_table(transfer, ["blur"], **OPTIONS)


def test_the_comparison_table_averages_over_the_attacks_and_subtracts_from_the_hybrid(comparison):
    parts = [
        [f"{m}_clean", m, f"{m}_low", f"{m}_high", f"hybrid_gain_{m}", f"gain_{m}_low", f"gain_{m}_high"]
        for m in ("top1", "top5")
    ]
    assert list(comparison.columns) == ["split", "defence", "kind", *parts[0], *parts[1]]
    known = comparison[comparison["split"] == "known"].set_index("defence")
    assert set(known["kind"]) == {"none", "baseline", "retrained", "halftone", "control", "robust"}
    assert list(known.index) == [
        *("no defence", "jpeg", "bits", "tv", "median", "tv, retrained", "halftone network"),
        *("halftone network, shifts", HYBRID, EQUAL, "hybrid without halftoning", "grey, other seed"),
        *("grey, twice the updates", "grey, shifts", "grey, noise", "adversarial training"),
        "adversarial training + halftone",
    ]
    columns = ["top1_clean", "top1", "hybrid_gain_top1", "top5_clean", "top5", "hybrid_gain_top5"]
    thirds = {name: (known.loc[name, columns] * 30).round(6).tolist() for name in known.index}
    # sums over the three attacks; the hybrid has 18 and 24
    assert thirds["no defence"] == [24, 10, 8, 27, 15, 9]
    assert thirds["jpeg"] == [21, 10, 8, 24, 17, 7]
    assert thirds[HYBRID] == [24, 18, 0, 27, 24, 0]
    assert thirds["hybrid without halftoning"] == [24, 19, -1, 27, 23, 1]


def test_on_the_held_out_part_the_hybrid_of_the_same_part_is_compared(comparison):
    table = comparison.set_index(["split", "defence"])
    assert table.loc[("held_out", HYBRID), "top5"] == pytest.approx(0.7)
    assert table.loc[("held_out", "no defence"), "hybrid_gain_top5"] == pytest.approx(0.2)
    assert table.loc[("held_out", HYBRID), "hybrid_gain_top5"] == 0


def test_the_gain_is_an_interval_over_the_same_images(transfer, comparison):
    row = comparison.set_index(["split", "defence"]).loc[("known", "tv")]
    hybrid, tv = (halftone_tables.mean_over_attacks(transfer, "top1", name, "known") for name in (HYBRID, "tv"))
    expected = interval(np.mean, hybrid - tv, **OPTIONS)
    found = row[["hybrid_gain_top1", "gain_top1_low", "gain_top1_high"]].tolist()
    assert found == [expected.value, expected.low, expected.high]


def test_the_mean_over_attacks_is_per_seed_and_image(transfer):
    found = halftone_tables.mean_over_attacks(transfer, "top1", "jpeg", "known")  # 4, 3, 3, and one more or less
    assert found.shape == (2, 10)
    assert (found[0] * 3).round(9).tolist() == [3, 3, 3, 3, 1, 0, 0, 0, 0, 0]
    assert (found[1] * 3).round(9).tolist() == [3, 3, 1, 0, 0, 0, 0, 0, 0, 0]


def test_the_source_table_compares_what_was_attacked_from_both_networks(transfer):
    table = halftone_tables.source_table(transfer, **OPTIONS).set_index("defence")
    assert list(table.index) == [HYBRID, "hybrid without halftoning"]
    columns = ["top1_grey", "top1_hybrid", "cost_top1", "top5_grey", "top5_hybrid", "cost_top5"]
    thirds = (table[columns] * 30).round(6)
    assert thirds.loc[HYBRID].tolist() == [18, 13, 5, 24, 20, 4]
    assert thirds.loc["hybrid without halftoning"].tolist() == [19, 8, 11, 23, 17, 6]
    assert (table["cost_top1_low"] <= table["cost_top1"]).all()


def test_the_source_of_an_attack_is_part_of_the_condition(transfer):
    grey, hybrid = (halftone_tables.under("pgd", source=source) for source in ("grey", "hybrid"))
    assert cube(transfer, "top1", [grey, hybrid]).mean((0, 1)).round(9).tolist() == [0.8, 0.5]


def test_the_adaptive_table_holds_every_adversary_and_number_of_steps_at_the_level_of_the_tables(adaptive):
    table = halftone_tables.adaptive_table(adaptive, **OPTIONS)
    assert list(table.columns) == ["defence", "adversary", "steps", *ACCURACY]
    assert not table.duplicated(["defence", "adversary", "steps"]).any()
    found = zip(table[["defence", "adversary", "steps"]].itertuples(index=False, name=None), counts(table), strict=True)
    assert dict(found) == {
        (HYBRID, "none", 0): (8, 9),
        (HYBRID, "transfer", 0): (7, 9),
        (HYBRID, "own gradient", 20): (4, 7),
        (HYBRID, "worst case", 10): (4, 8),
        (HYBRID, "bpda identity", 20): (3, 7),
        (HYBRID, "bpda identity", 50): (2, 6),
        (HYBRID, "bpda low-pass", 20): (3, 6),
        (RANDOM, "none", 0): (7, 8),
        (RANDOM, "transfer", 0): (6, 8),
        (RANDOM, "bpda identity", 20): (5, 7),
        (RANDOM, "bpda + eot", 20): (3, 6),
        (RANDOM, "worst case", 10): (2, 5),
        **{(name, "none", 0): (8, 9) for name in (CONTROL, BLUR)},
        **{(name, "transfer", 0): (7, 8) for name in (CONTROL, BLUR)},
        (CONTROL, "worst case", 10): (4, 6),
        **{(HYBRID, f"worst case, × {k}", 10 * k): found for k, found in ((2, (3, 7)), (4, (3, 6)))},
        **{(CONTROL, f"worst case, × {k}", 10 * k): found for k, found in ((2, (4, 6)), (4, (2, 5)))},
        (NOISE, "none", 0): (8, 9),
        (NOISE, "transfer", 0): (7, 8),
        (NOISE, "worst case", 10): (4, 7),
        (BLUR, "worst case", 10): (3, 6),
        ("no defence", "none", 0): (9, 9),
        ("no defence", "transfer", 0): (3, 5),
        ("no defence", "worst case", 10): (2, 4),
    }


def test_the_short_table_holds_clean_transfer_and_the_worst_case_of_both_measures_as_text(adaptive):
    table = halftone_tables.adaptive_table(adaptive, **OPTIONS).round(4)
    short = halftone_tables.transfer_beside_adaptive(table)
    arms = {"clean": "none", "transferred PGD": "transfer", "worst case": "worst case"}
    names = [f"{arm}, {metric}" for metric in ("top-1", "top-5") for arm in arms]
    assert list(short.columns) == ["defence", *names]
    found = table.drop_duplicates(["defence", "adversary"]).set_index(["defence", "adversary"])
    for row in short.to_dict("records"):
        for arm, adversary in arms.items():
            for metric in ("top1", "top5"):
                value, low, high = found.loc[(row["defence"], adversary), [metric, f"{metric}_low", f"{metric}_high"]]
                assert row[f"{arm}, top-{metric[3]}"] == f"{value:.2f} [{low:.2f}, {high:.2f}]"
    assert [text.split()[0] for text in short["worst case, top-1"]] == ["0.40", "0.20", "0.40", "0.30", "0.20", "0.40"]


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("worst_accuracy", {}, 0.4),
        ("worst_accuracy", {"metric": "top5"}, 0.8),
        ("below_transfer", {"metric": "top5"}, 0.9 - 0.8),
        ("halftone_gain", {}, (0 + 1 + 0) / 30),
        ("halftone_gain", {"metric": "top5"}, (1 + 2 + 2) / 30),
        ("halftone_gain", {"defence": BLUR}, (-1 + 0 - 1) / 30),
        ("halftone_gain", {"defence": BLUR, "control": HYBRID}, (-1 - 1 - 1) / 30),
        ("halftone_gain", {"control": NOISE}, (1 + 1 + 0) / 30),
        ("halftone_gain", {"control": NOISE, "metric": "top5"}, (0 + 2 + 1) / 30),
        ("halftone_gain", {"most": True}, (0 + 1 + 1) / 30),
        ("last_doubling", {"metric": "top1", "levels": (2, 4, 8)}, 0.0),
        ("last_doubling", {"metric": "top5", "levels": (8,)}, 0.1),
        ("last_doubling", {"metric": "top1", "levels": (2, 8), "defence": CONTROL}, (1 + 2) / 20),
    ],
)
def test_claims_about_the_worst_case_by_hand(adaptive, name, arguments, expected):
    values, statistic = ESTIMATORS[name]({"adaptive": adaptive}, **arguments)
    assert values.shape[:2] == (2, 10)
    assert statistic(values) == pytest.approx(expected)


def test_a_gain_over_the_control_needs_both_rows(adaptive):
    values, statistic = ESTIMATORS["halftone_gain"]({"adaptive": adaptive}, defence="hybrid + 9 levels")
    assert math.isnan(statistic(values))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("halftone_gain", {"most": True}), ("last_doubling", {"metric": "top1", "levels": (8,)})],
)
def test_without_doublings_what_is_said_about_them_is_undefined(adaptive, name, arguments):
    never = adaptive[~adaptive["adversary"].str.startswith("worst case, ")]
    values, statistic = ESTIMATORS[name]({"adaptive": never}, **arguments)
    assert math.isnan(statistic(values))


def test_the_first_doubling_is_compared_with_the_worst_case_on_its_own_seeds(adaptive):
    once = adaptive[(adaptive["adversary"] != "worst case, × 4")]
    once = once[(once["adversary"] != "worst case, × 2") | (once["seed"] == 1)]
    values, statistic = ESTIMATORS["last_doubling"]({"adaptive": once}, metric="top1", levels=(8,))
    assert values.shape[:2] == (1, 10)
    assert statistic(values) == pytest.approx(0.5 - 0.4)  # seed 1 has one image more than the mean


def test_the_table_of_flags_says_which_are_raised_by_the_largest_over_seeds():
    rows = [
        {"defence": "a", "k": 1, "seed": seed, "flag": flag, "value": value, "limit": 0.02}
        for seed, values in ((1, (0.0, 0.05)), (2, (0.01, 0.0)))
        for flag, value in zip(("no gradient", "search"), values, strict=True)
    ]
    table = halftone_tables.flag_table(pd.DataFrame(rows))
    expected = {"defence": "a", "measure": "top-1", "no gradient": "0.010", "search": "0.050 raised", "raised": 1}
    assert table.to_dict("records") == [expected]


def test_the_curves_of_both_arms_start_at_the_clean_rows_and_hold_nothing_else(adaptive):
    curves = halftone_tables.side_by_side(adaptive)
    assert set(curves["arm"]) == {"transfer", "adaptive"}
    assert set(curves["defence"]) == {HYBRID, "no defence"}  # the randomised halftone has no curve
    assert not curves.duplicated(["defence", "arm", "level", "seed", "image"]).any()
    for arm in ("transfer", "adaptive"):
        part = curves[(curves["defence"] == HYBRID) & (curves["arm"] == arm)]
        means = part.groupby("level")["top1"].mean().to_dict()
        expected = {0: 0.8, 4: 0.8, 8: 0.7, 16: 0.5} if arm == "transfer" else {0: 0.8, 4: 0.6, 8: 0.4, 16: 0.2}
        assert means == pytest.approx(expected)


def test_the_rows_of_the_callers_table_stay_as_they_are(adaptive):
    before = adaptive.copy()
    halftone_tables.side_by_side(adaptive)
    pd.testing.assert_frame_equal(adaptive, before)


def test_the_area_table_holds_the_area_under_the_mean_curve_per_defence_and_arm(adaptive):
    curves = halftone_tables.side_by_side(adaptive)
    table = halftone_tables.area_table(curves, **OPTIONS)
    intervals = ["area_top1", "top1_low", "top1_high", "area_top5", "top5_low", "top5_high"]
    assert list(table.columns) == ["defence", "arm", *intervals]
    found = table.set_index(["defence", "arm"])
    # trapezoids over 0, 4, 8, 16, e.g. (4·8 + 4·7.5 + 8·6) / 16 for the first
    expected = {(HYBRID, "transfer"): (6.875, 8.75), (HYBRID, "adaptive"): (4.5, 7.875)}
    expected |= {("no defence", "transfer"): (4.25, 5.75), ("no defence", "adaptive"): (3.625, 5.375)}
    assert set(found.index) == set(expected)
    for key, (top1, top5) in expected.items():
        assert found.loc[key, "area_top1"] == pytest.approx(top1 / 10)
        assert found.loc[key, "area_top5"] == pytest.approx(top5 / 10)
        part = curves[(curves["defence"] == key[0]) & (curves["arm"] == key[1])]
        means = part.groupby("level")["top1"].mean()
        assert found.loc[key, "area_top1"] == pytest.approx(area(means.index, means))
        assert found.loc[key, "top1_low"] < found.loc[key, "area_top1"] < found.loc[key, "top1_high"]


def test_every_area_is_taken_over_the_levels_of_its_own_curve(adaptive):
    curves = halftone_tables.side_by_side(adaptive)
    last = (curves["defence"] == "no defence") & (curves["level"] == 16)  # the last curve, shorter than the others
    table = halftone_tables.area_table(curves[~last], **OPTIONS).set_index(["defence", "arm"])["area_top1"]
    assert table[HYBRID, "transfer"] == pytest.approx(0.6875)
    assert table["no defence", "transfer"] == pytest.approx((4 * 7.5 + 4 * 4.5) / 80)


KEYS = ("split", "network", "view", "defence", "kind", "attack", "adversary", "steps", "arm")


@pytest.mark.parametrize(
    "make",
    [
        lambda tables: halftone_tables.representation_table(tables[1], **OPTIONS),
        lambda tables: halftone_tables.attack_table(tables[0], ["tv", HYBRID], **OPTIONS),
        lambda tables: halftone_tables.comparison_table(tables[0], **OPTIONS),
        lambda tables: halftone_tables.adaptive_table(tables[2], **OPTIONS),
        lambda tables: halftone_tables.area_table(halftone_tables.side_by_side(tables[2]), **OPTIONS),
    ],
    ids=["representations", "attacks", "comparison", "adaptive", "areas"],
)
def test_the_numbers_of_a_table_do_not_depend_on_the_order_of_the_rows(paper4_tables, make):
    found, expected = make([shuffled(rows) for rows in paper4_tables]), make(paper4_tables)
    keys = [name for name in KEYS if name in expected]
    found, expected = (table.sort_values(keys, ignore_index=True) for table in (found, expected))
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-12)


# ---- estimators

BASELINES = list(halftone_tables.BASELINES)
TOP1, TOP5 = {"metric": "top1"}, {"metric": "top5"}
BY_HAND = [
    ("view_difference", {"first": ["grey", "grey"], "second": ["grey", "halftone"]}, 0.6),
    ("view_difference", {"first": ["hybrid", "grey"], "second": ["grey", "grey"]}, -0.1),
    ("view_difference", {"first": ["hybrid", "halftone"], "second": ["halftone", "halftone"]}, 0.1),
    ("view_difference", {"first": ["grey", "grey"], "second": ["grey", "halftone"]} | TOP5, 0.5),
    ("view_difference", {"first": ["grey_shifts", "grey"], "second": ["halftone_shifts", "halftone"]}, 0.1),
    ("view_difference", {"first": ["halftone_shifts", "halftone"], "second": ["halftone", "halftone"]}, 0.2),
    ("largest_drop", {}, 0.2),
    ("largest_drop", TOP1, 0.3),
    ("largest_drop", {"split": "held_out"}, 0.3),
    ("undefended_order", {}, -0.1),
    ("undefended_order", TOP1, -0.2),
    ("undefended_drop", {}, 0.5),
    ("undefended_drop", {"attack": "fgsm"} | TOP1, 0.3),
    ("attack_spread", {}, 0.2),
    ("attack_spread", TOP1, 0.3),
    ("least_margin", {"kind": "baseline"}, 0.2),  # tv
    ("least_margin", {"kind": "baseline", "split": "held_out"}, 0.1),
    ("least_margin", {"kind": "retrained"} | TOP1, 2 / 30),
    ("least_margin", {"kind": "retrained", "defence": EQUAL} | TOP1, 0.0),
    ("least_margin", {"kind": "dither"} | TOP1, 2 / 30),  # jarvis
    ("gain_over", {"defences": BASELINES}, (24 - (17 + 14 + 18 + 12) / 4) / 30),
    ("gain_over", {"defences": BASELINES, "split": "held_out"}, (21 - (17 + 14 + 18 + 12) / 4) / 30),
    ("gain_over", {"defences": ["hybrid without halftoning"]}, 1 / 30),
    ("gain_over", {"defences": ["hybrid without halftoning"]} | TOP1, -1 / 30),
    ("gain_over", {"defences": ["grey, other seed"]}, 0.1),
    ("gain_over", {"defences": ["tv, retrained"]}, 3 / 30),
    ("gain_over", {"defences": ["grey, twice the updates"]} | TOP1, 0.1),
    ("gain_over", {"defences": ["grey, noise"]} | TOP1, 1 / 30),
    ("gain_over", {"defences": ["grey, noise"]}, 1 / 30),
    ("gain_over", {"defences": ["adversarial training"]}, -2 / 30),
    ("gain_over", {"defences": ["adversarial training"], "defence": "adversarial training + halftone"} | TOP1, -1 / 30),
    ("source_cost", TOP1, 5 / 30),
    ("source_cost", TOP5, 4 / 30),
    ("source_cost", {"defence": "hybrid without halftoning"} | TOP1, 11 / 30),
    ("hybrid_accuracy", {"attack": "ifgsm"}, 0.7),
    ("hybrid_accuracy", {"attack": "pgd"} | TOP1, 0.8),
    ("hybrid_accuracy", {"attack": "pgd", "split": "held_out"}, 0.8),
    ("pgd_weakest", {}, 0.1),
    ("pgd_weakest", TOP1, 0.3),
    ("inverse_gain", {"inverse": "low-pass"}, 0.2),
    ("inverse_gain", {"inverse": "CNN"}, 0.4),
    ("inverse_gain", {"inverse": "CNN", "attack": "pgd"}, 0.2),
    ("inverse_gain", {"inverse": "low-pass", "attack": "ifgsm"} | TOP5, 0.1),
    ("adaptive_loss", {"adversary": "bpda identity"}, 0.5),  # 50 steps
    ("adaptive_loss", {"adversary": "bpda identity"} | TOP5, 0.3),
    ("adaptive_loss", {"adversary": "own gradient"}, 0.3),
    ("adaptive_loss", {"adversary": "bpda low-pass"}, 0.4),
    ("adaptive_accuracy", {"adversary": "bpda identity"}, 0.2),
    ("adaptive_accuracy", {"adversary": "own gradient"} | TOP5, 0.7),
    ("eot_gain", {}, 0.2),
    ("eot_gain", TOP5, 0.1),
]


def estimate(name, tables, **arguments):
    values, statistic = ESTIMATORS[name](dict(zip(NAMES, tables, strict=True)), **arguments)
    assert values.shape[:2] == (2, 10)  # what the bootstrap resamples
    found = statistic(values)
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize(("name", "arguments", "expected"), BY_HAND)
def test_the_estimate_is_the_one_by_hand(paper4_tables, name, arguments, expected):
    assert estimate(name, paper4_tables, **arguments) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "arguments", "expected"), BY_HAND)
def test_an_estimate_does_not_depend_on_the_order_of_the_rows(paper4_tables, name, arguments, expected):
    found = estimate(name, [shuffled(rows) for rows in paper4_tables], **arguments)
    assert found == pytest.approx(expected, abs=1e-12)


def hits(rows, right, **where):
    """A copy in which every image of the given rows is right, or none, in top-1 and top-5."""
    chosen = np.logical_and.reduce([rows[name] == value for name, value in where.items()])
    assert chosen.any()
    return rows.assign(**{metric: rows[metric].mask(chosen, right) for metric in ("top1", "top5")})


@pytest.mark.parametrize(
    ("name", "arguments", "table", "changed", "expected"),
    [
        # the table and its rows of level 8 in which all images are right, or none, and what follows
        ("largest_drop", {}, 0, ({"defence": HYBRID, "attack": "fgsm"}, False), 0.9),
        ("largest_drop", {}, 0, ({"defence": HYBRID, "attack": "ifgsm"}, True), 0.1),  # FGSM takes over
        ("undefended_order", {}, 0, ({"defence": "no defence", "attack": "pgd"}, True), 0.4),
        ("undefended_order", {}, 0, ({"defence": "no defence", "attack": "ifgsm"}, False), -0.2),  # PGD takes over
        ("attack_spread", {}, 0, ({"defence": HYBRID, "attack": "pgd"}, False), 0.8),
        ("least_margin", {"kind": "baseline"}, 0, ({"defence": "median"}, True), -0.2),
        ("least_margin", {"kind": "baseline"}, 0, ({"defence": "tv"}, False), (24 - 17) / 30),  # JPEG takes over
        ("gain_over", {"defences": BASELINES}, 0, ({"defence": "jpeg"}, True), (24 - (30 + 14 + 18 + 12) / 4) / 30),
        ("pgd_weakest", {}, 0, ({"defence": HYBRID, "attack": "ifgsm"}, True), -0.1),
        ("pgd_weakest", {}, 0, ({"defence": HYBRID, "attack": "pgd"}, False), -0.8),
        ("adaptive_loss", {"adversary": "bpda identity"}, 2, ({"defence": HYBRID, "steps": 50}, True), -0.3),
        ("adaptive_loss", {"adversary": "bpda identity"}, 2, ({"defence": HYBRID, "steps": 20}, True), 0.5),
        ("adaptive_loss", {"adversary": "bpda identity"}, 2, ({"defence": RANDOM}, True), 0.5),
        ("eot_gain", {}, 2, ({"defence": RANDOM, "adversary": "bpda + eot"}, True), -0.5),
        ("eot_gain", {}, 2, ({"defence": HYBRID}, True), 0.2),
    ],
)
def test_the_estimate_follows_the_rows_that_decide(paper4_tables, name, arguments, table, changed, expected):
    tables = list(paper4_tables)
    tables[table] = hits(tables[table], changed[1], **changed[0], level=8)
    assert estimate(name, tables, **arguments) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "arguments", "expected"), BY_HAND)
def test_the_other_level_and_the_other_split_do_not_count(paper4_tables, name, arguments, expected):
    transfer, representations, adaptive = paper4_tables
    split = arguments.get("split", "known")
    transfer = transfer[(transfer["level"] != 2) & (transfer["split"] == split)]
    representations = representations[representations["split"] == "known"]
    tables = transfer, representations, adaptive[adaptive["level"] == 8]
    assert estimate(name, tables, **arguments) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("largest_drop", {}), ("least_margin", {"kind": "baseline"}), ("gain_over", {"defences": ["tv"]})],
)
def test_without_a_held_out_part_what_is_said_about_it_is_undefined(one_split, paper4_tables, name, arguments):
    values, statistic = ESTIMATORS[name](One(one_split), split="held_out", **arguments)
    assert np.isnan(statistic(values))
    assert np.isnan(interval(statistic, values, **OPTIONS).value)


def test_with_one_training_seed_every_estimate_has_a_value(paper4_tables):
    tables = [rows[rows["seed"] == 2] for rows in paper4_tables]
    for name, arguments, _ in BY_HAND:
        values, statistic = ESTIMATORS[name](dict(zip(NAMES, tables, strict=True)), **arguments)
        assert values.shape[:2] == (1, 10)
        assert np.isfinite(interval(statistic, values, **OPTIONS).value)


def test_the_papers_attacks_are_those_of_the_sets():
    assert [each.keys["attack"] for each in reported.of_display("T4.2")] == crafted_names()
