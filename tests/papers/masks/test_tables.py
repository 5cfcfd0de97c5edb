import dataclasses
import inspect

import numpy as np
import pandas as pd
import pytest
from support import One, claims_of, estimators

from aecompanion.evaluate.intervals import Interval, interval
from aecompanion.explain.methods import ABLATION, METHODS, OTHERS, STARTS, grid_name
from aecompanion.papers.masks import tables as masks_tables
from aecompanion.report import claims, displays, reported

ESTIMATORS = estimators(3)

OPTIONS = {"resamples": 20, "seed": 0}
CLAIMS = claims_of(3)
REGISTER = displays.register()
DATA = {"voc": 1, "coco": 0.8, "chest": 0.6}  # with the factors of the hand-made scores
# the means of the hand-made scores, and what a method has that they do not name
DELETION = dict.fromkeys(["random", *METHODS], 0.3)
DELETION |= {"random": 0.5, "BP": 0.2, "Grad-CAM": 0.25, "RISE": 0.16, "MP": 0.2, "EP": 0.4, "RP": 0.1}
DELETION |= {"MP (start 1)": 0.4}
INSERTION = dict.fromkeys(METHODS, 0.5)
INSERTION |= {"BP": 0.55, "Grad-CAM": 0.6, "RISE": 0.65, "MP": 0.5, "EP": 0.6, "RP": 0.8}
DISTORTION = dict.fromkeys(METHODS, 3)
DISTORTION |= {"BP": 3, "Grad-CAM": 3.5, "RISE": 4, "MP": 4.5, "EP": 2, "RP": 7, "MP (start 1)": 1}


@pytest.fixture
def scores(paper3_tables):
    return paper3_tables["scores"]


@pytest.fixture(scope="module")
def deletion(paper3_tables):
    return masks_tables.deletion_table(paper3_tables["scores"], **OPTIONS)


@pytest.fixture(scope="module")
def distortion(paper3_tables):
    return masks_tables.distortion_table(paper3_tables["scores"], **OPTIONS)


@pytest.fixture
def quick(monkeypatch):
    """Tables with the extremes of the values in the place of intervals, for tests that are not about these."""

    def mean_row(values, name, statistic, **options):
        return {name: statistic(values), f"{name}_low": np.nanmin(values), f"{name}_high": np.nanmax(values)}

    monkeypatch.setattr(masks_tables, "mean_row", mean_row)


def shuffled(rows):
    return rows.sample(frac=1, random_state=1)


def spread(*names):
    """Columns of means with their intervals."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


def without(rows, **where):
    """The rows but those where all of this holds."""
    chosen = np.logical_and.reduce([rows[name] == value for name, value in where.items()])
    assert chosen.any()
    return rows[~chosen]


def changed(rows, column, value, **where):
    """A copy with another value in those rows."""
    chosen = np.logical_and.reduce([rows[name] == each for name, each in where.items()])
    assert chosen.any()
    return rows.assign(**{column: rows[column].mask(chosen, value)})


# ---- values


def test_values_are_seeds_pairs_methods_of_one_data_set_and_family(scores):
    found = masks_tables.values(shuffled(scores), ["RP", "MP"], "deletion", data="coco")
    assert found.shape == (2, 6, 2)
    assert found.mean((0, 1)) == pytest.approx([0.08, 0.16])
    own = scores[(scores["data"] == "coco") & (scores["seed"] == 2) & (scores["pair"] == 4)]
    assert found[1, 4].tolist() == own.set_index("method")["deletion"][["RP", "MP"]].tolist()
    assert masks_tables.values(scores, ["RP"], "deletion", data="voc", family="resnet").shape == (2, 4, 1)


@pytest.mark.parametrize(
    "gone", [{"seed": 2, "pair": 3}, {"seed": 2}, {"pair": 3}, {"seed": 1, "pair": 0}], ids=lambda gone: " ".join(gone)
)
@pytest.mark.parametrize("method", ["RP", "MP"])
def test_a_pair_or_a_seed_that_one_method_lacks_is_an_error_and_no_nan(scores, method, gone):
    rows = without(scores, data="voc", family="vgg", method=method, **gone)
    message = r"rows, expected one per seed and pair"
    for estimator in (ESTIMATORS["difference"], ESTIMATORS["ratio"]):
        with pytest.raises(ValueError, match=message):
            estimator(One(rows), data="voc", column="deletion", methods=["RP", "MP"])
    with pytest.raises(ValueError, match=message):
        ESTIMATORS["lead"](One(rows), data="voc", column="deletion", method="T", others=["RP", "MP"])
    with pytest.raises(ValueError, match=message):
        masks_tables.deletion_table(rows, **OPTIONS)


@pytest.mark.parametrize("gone", [{"data": "coco"}, {"family": "vgg"}, {"method": "RP"}])
def test_values_that_nobody_measured_are_an_error(scores, gone):
    with pytest.raises(ValueError, match=r"^\{'method': 'RP'\}: 0 rows, expected one per seed and pair$"):
        masks_tables.values(without(scores, **gone), ["RP"], "deletion", data="coco")


def test_a_repeated_row_is_an_error(scores):
    twice = pd.concat([scores, scores.query("data == 'voc' and method == 'RP' and seed == 1 and pair == 2")])
    with pytest.raises(ValueError, match="expected one per seed and pair"):
        masks_tables.values(twice, ["RP"], "deletion", data="voc")


# ---- T3.2


def test_the_slides_report_these_deletion_aucs():
    known = {(each.keys["method"], each.keys["data"]): each.value for each in reported.of_display("T3.2")}
    assert len(known) == 12
    assert known["RP", "voc"] == 0.2068
    assert known["EP", "coco"] == 0.5621


def test_the_deletion_table_has_a_row_per_data_set_and_method(deletion):
    columns = [*spread("deletion"), "median", *spread("RP minus it"), "RP wins", "stuck", "ties", "reported"]
    assert list(deletion.columns) == ["data", "method", *columns]
    assert list(deletion.index) == list(range(3 * len(DELETION)))
    assert deletion["data"].tolist() == [n for n in ("VOC-like", "COCO-like", "chest phantoms") for _ in DELETION]
    assert deletion["method"].tolist() == list(DELETION) * 3
    assert list(DELETION) == ["random", *METHODS, *STARTS]


def test_the_deletion_table_holds_the_means_and_what_rp_has_less(deletion):
    means = [factor * mean for factor in DATA.values() for mean in DELETION.values()]
    assert deletion["deletion"].tolist() == pytest.approx(means)
    less = [factor * (0.1 - mean) for factor in DATA.values() for mean in DELETION.values()]
    assert deletion["RP minus it"].tolist() == pytest.approx(less)
    own = deletion[deletion["method"] == "RP"]
    assert (own[spread("RP minus it")] == 0).all(axis=None)


def test_the_deletion_table_counts_stuck_masks_and_ties(deletion):
    found = deletion.set_index(["data", "method"])
    for data in masks_tables.FOR_READERS.values():
        assert found.loc[data, "stuck"].to_dict() == pytest.approx(dict.fromkeys(DELETION, 0) | {"MP (start 1)": 0.75})
        ties = dict.fromkeys(DELETION, 0.25) | {"EP": 0.9, "MP (start 1)": 0.75 + 0.25 * 0.25}
        assert found.loc[data, "ties"].to_dict() == pytest.approx(ties)


def test_the_papers_number_stands_beside_the_same_data_and_method(deletion):
    found = deletion.set_index(["data", "method"])["reported"].dropna().to_dict()
    assert found == {
        (masks_tables.FOR_READERS[data], method): value
        for (method, data), value in {
            (each.keys["method"], each.keys["data"]): each.value for each in reported.of_display("T3.2")
        }.items()
    }
    row = deletion.set_index(["data", "method"]).loc["chest phantoms", "reported"]
    assert (row["EP"], row["RISE"], row["MP"], row["RP"]) == (0.1511, 0.1502, 0.1389, 0.1248)


def test_the_intervals_of_the_deletion_table_are_those_of_the_bootstrap_over_pairs_and_seeds(scores, deletion):
    row = deletion.set_index(["data", "method"]).loc["COCO-like", "EP"]
    both = masks_tables.values(scores, ["RP", "EP"], "deletion", data="coco")
    own, less = interval(np.mean, both[..., 1], **OPTIONS), interval(np.mean, both[..., 0] - both[..., 1], **OPTIONS)
    assert row[spread("deletion")].tolist() == pytest.approx([own.value, own.low, own.high])
    assert row[spread("RP minus it")].tolist() == pytest.approx([less.value, less.low, less.high])
    assert row["deletion_low"] < row["deletion"] < row["deletion_high"]
    assert row["RP minus it_low"] < row["RP minus it"] < row["RP minus it_high"]


def test_of_a_data_set_of_another_name_nothing_is_reported(quick, scores):
    rows = scores[scores["data"] == "voc"].assign(data="mine")
    table = masks_tables.deletion_table(rows, **OPTIONS)
    assert set(table["data"]) == {"mine"}
    assert table["reported"].isna().all()


# ---- T3.1


def test_the_distortion_table_has_three_definitions_and_the_median_of_the_default_one(distortion):
    columns = [
        *spread("cds_absolute"),
        "cds_absolute median",
        *spread("cds_signed", "cds_ratio", "change", "p_reverse", "area", "p_reverse_cut", "change_cut"),
    ]
    assert list(distortion.columns) == ["data", "method", *columns]
    assert distortion["data"].tolist() == [n for n in ("VOC-like", "COCO-like", "chest phantoms") for _ in DISTORTION]
    assert distortion["method"].tolist() == [*METHODS, *STARTS] * 3 == list(DISTORTION) * 3
    means = np.array([factor * mean for factor in DATA.values() for mean in DISTORTION.values()])
    assert distortion["cds_absolute"].to_numpy() == pytest.approx(means)
    assert distortion["cds_absolute median"].to_numpy() == pytest.approx(0.98 * means)
    assert distortion["cds_signed"].to_numpy() == pytest.approx(1.5 * means)
    assert distortion["cds_ratio"].to_numpy() == pytest.approx(means / 4)
    found = distortion.set_index(["data", "method"])
    assert found.loc[("chest phantoms", "RP"), ["change", "p_reverse"]].tolist() == pytest.approx([0.036, 0.54])
    at_equal_area = found.loc[("COCO-like", "MP"), ["p_reverse_cut", "change_cut"]]
    assert at_equal_area.tolist() == pytest.approx([0.8 * 0.4, 0.8 * 0.07])
    assert (found["p_reverse_cut_low"] < found["p_reverse_cut"]).all()


@pytest.mark.parametrize(
    "table", [masks_tables.deletion_table, masks_tables.distortion_table, masks_tables.ablation_table]
)
def test_other_families_do_not_count_in_a_table_of_vgg(quick, scores, table):
    rows = scores[scores["data"] == "voc"]
    own = rows[rows["family"] == "vgg"]
    pd.testing.assert_frame_equal(table(rows, **OPTIONS), table(own, **OPTIONS))


# ---- T3.3, T3.4, T3.5


def test_each_family_of_networks_has_means_of_its_own_pairs(quick, scores):
    table = masks_tables.by_network(scores, "insertion", **OPTIONS)
    assert list(table.columns) == ["data", "network", "method", *spread("insertion")]
    parts = [("VOC-like", "vgg"), ("VOC-like", "resnet"), ("COCO-like", "vgg"), ("chest phantoms", "vgg")]
    rows = list(table[["data", "network", "method"]].itertuples(index=False, name=None))
    assert rows == [(*part, method) for part in parts for method in METHODS]
    assert list(table.index) == list(range(4 * len(METHODS)))
    means = [f * mean for f in (1, 0.5, 0.8, 0.6) for mean in INSERTION.values()]
    assert table["insertion"].tolist() == pytest.approx(means)


def test_each_family_is_compared_in_the_methods_that_are_asked_for(scores):
    table = masks_tables.by_network(scores, "energy", methods=["random", "RP"], **OPTIONS)
    assert table["method"].tolist() == ["random", "RP"] * 4
    assert table["energy"].tolist() == pytest.approx([0.2, 0.6, 0.1, 0.3, 0.16, 0.48, 0.12, 0.36])
    assert (table["energy_low"] < table["energy"]).all()
    assert (table["energy"] < table["energy_high"]).all()


def test_the_energy_of_constant_maps_is_left_out(scores):
    nothing = changed(scores, "energy", np.nan, data="voc", family="vgg", method="RP", pair=2)
    own = nothing[(nothing["data"] == "voc") & (nothing["family"] == "vgg") & (nothing["method"] == "RP")]
    expected = 0.6 * (1 - sum_of_the_pair(2, "RP") / 5)  # what the five others have more
    assert own["energy"].mean() == pytest.approx(expected)  # pandas leaves it out as well
    table = masks_tables.by_network(nothing, "energy", methods=["RP"], **OPTIONS)
    assert table["energy"].tolist() == pytest.approx([expected, 0.3, 0.48, 0.36])
    assert np.isfinite(table[spread("energy")]).all(axis=None)


def sum_of_the_pair(pair, method):
    """How far a pair of a vgg network is from the mean of a method, as a share of it."""
    away = (-0.1, -0.06, -0.04, -0.02, 0.02, 0.2)
    return away[(pair + ["BP", "Grad-CAM", "RISE", "MP", "EP", "RP"].index(method)) % 6]


def test_masks_that_are_all_stuck_but_a_few_have_the_energy_of_those(scores):
    table = masks_tables.method_table(scores, ["energy"], ["MP (start 1)"], data="voc", **OPTIONS)
    moved = scores.query("data == 'voc' and method == 'MP (start 1)' and stuck == 0")
    assert len(moved) == 3
    assert table.loc[0, "energy"] == pytest.approx(moved["energy"].mean())


def test_the_spread_table_has_mean_and_standard_deviation_of_pairs_and_seeds_together(scores):
    table = masks_tables.spread_table(scores)
    names = ["cds_ratio", "reverse_ratio", "cds_absolute", "reverse_absolute"]
    assert list(table.columns) == ["network", "method", *[each for name in names for each in (name, f"{name} std")]]
    rows = list(table[["network", "method"]].itertuples(index=False, name=None))
    assert rows == [(family, method) for family in ("vgg", "resnet") for method in METHODS]
    cds = np.array([f * DISTORTION[method] for f in (1, 0.5) for method in METHODS])
    # relative to the mean: squares of AWAY twice, and 0.04² for every row
    away = {"vgg": (2 * 0.056 + 12 * 0.0016) / 11, "resnet": (2 * 0.0552 + 8 * 0.0016) / 7}
    relative = np.sqrt([away[family] for family in table["network"]])
    for name, times in zip(names, (0.25, 0.125, 1, -0.5), strict=True):
        assert table[name].to_numpy() == pytest.approx(times * cds)
        assert table[f"{name} std"].to_numpy() == pytest.approx(abs(times) * cds * relative)


# ---- T3.6, X3.2


def test_the_ablation_goes_from_mp_by_the_parts_of_the_loss_to_rp(quick, scores):
    table = masks_tables.ablation_table(scores, **OPTIONS)
    columns = spread("deletion", "insertion", "p_masked", "p_reverse", "change", "level", "cds_absolute")
    assert list(table.columns) == ["method", *columns]
    assert table["method"].tolist() == ["MP", "T", "L_M", "RP"] == ["MP", *ABLATION, "RP"]
    means = {
        "deletion": [0.2, 0.22, 0.15, 0.1],
        "insertion": [0.5, 0.6, 0.7, 0.8],
        "p_masked": [0.1, 0.11, 0.075, 0.05],
        "p_reverse": [0.2, 0.3, 0.25, 0.9],
        "change": [0.14, 0.1, 0.04, 0.06],
        "level": [0.07, 0.05, 0.02, 0.03],
        "cds_absolute": [4.5, 5, 6, 7],
    }
    for name, expected in means.items():
        assert table[name].tolist() == pytest.approx(expected)


def test_the_starts_are_compared_on_the_first_training_seed(quick, scores):
    table = masks_tables.start_table(scores, **OPTIONS)
    columns = spread("deletion", "insertion", "cds_absolute", "change", "p_reverse", "area", "stuck")
    assert list(table.columns) == ["method", *columns]
    assert table["method"].tolist() == ["MP", "RP", *STARTS, *OTHERS]
    means = [0.2, 0.1, 0.4, 0.3, 0.12, 0.15, 0.18, 0.24, 0.12]
    assert table["deletion"].tolist() == pytest.approx([1.04 * mean for mean in means])
    assert table["stuck"].tolist() == pytest.approx([0, 0, 5 / 6, 0, 0, 0, 0, 0, 0])
    assert table["area"].tolist() == pytest.approx([0.1, 0.1, 0.1 / 6, *[0.1] * 6])
    pd.testing.assert_frame_equal(table, masks_tables.start_table(scores[scores["seed"] == 1], **OPTIONS))


# ---- the README's table


CDS, REVERSE = "CDS, VOC-like", "p(class) in the reverse image, VOC-like"
STUCK = "stuck masks, VOC-like"
SHOWN = ["RISE", "Grad-CAM", "MP", "EP", "RP"]


def test_in_short_there_is_a_row_per_method_with_its_intervals_as_text(deletion, distortion):
    table = masks_tables.in_short(deletion, distortion)
    sets = [f"deletion AUC, {name}" for name in masks_tables.FOR_READERS.values()]
    assert list(table.columns) == ["method", *sets, CDS, REVERSE, STUCK]
    methods = table["method"].tolist()
    assert sorted(methods) == sorted({*METHODS} - {"BP"})
    assert [name for name in methods if name in SHOWN] == SHOWN
    assert [share for share in table[STUCK] if share] == ["0%", "0%", "0%"]
    for row in table.to_dict("records"):
        for name in masks_tables.FOR_READERS.values():
            own = deletion[(deletion["data"] == name) & (deletion["method"] == row["method"])].iloc[0]
            value, low, high = own[spread("deletion")]
            assert row[f"deletion AUC, {name}"] == f"{value:.3f} [{low:.3f}, {high:.3f}]"
        own = distortion[(distortion["data"] == "VOC-like") & (distortion["method"] == row["method"])].iloc[0]
        value, low, high = own[spread("cds_absolute")]
        assert row[CDS] == f"{value:.1f} [{low:.1f}, {high:.1f}]"
        value, low, high = own[spread("p_reverse")]
        assert row[REVERSE] == f"{value:.2f} [{low:.2f}, {high:.2f}]"
    starts = [text.split()[0] for text in table.iloc[-1]]
    assert starts == ["RP", "0.100", "0.080", "0.060", "7.0", "0.90", "0%"]


# ---- the tables' rows


TABLES = {
    "deletion": masks_tables.deletion_table,
    "distortion": masks_tables.distortion_table,
    "energy": lambda rows, **options: masks_tables.by_network(rows, "energy", **options),
    "spread": lambda rows, **options: masks_tables.spread_table(rows),
    "ablation": masks_tables.ablation_table,
    "starts": masks_tables.start_table,
}


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_the_numbers_of_a_table_do_not_depend_on_the_order_of_the_rows_which_stay(quick, scores, make):
    scores = scores[scores["data"] == "voc"]
    rows = shuffled(scores)
    before = rows.copy()
    found, expected = make(rows, **OPTIONS), make(scores, **OPTIONS)
    pd.testing.assert_frame_equal(rows, before)
    keys = [name for name in ("data", "network", "method") if name in expected]
    found, expected = (table.sort_values(keys, ignore_index=True) for table in (found, expected))
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-12)


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_with_one_training_seed_every_table_has_its_numbers(quick, scores, make):
    table = make(scores[(scores["seed"] == 1) & (scores["data"] == "voc")], **OPTIONS)
    numbers = table.drop(columns="reported", errors="ignore").select_dtypes("number")
    assert np.isfinite(numbers).all(axis=None)


# ---- estimators

VOC, COCO, CHEST = ({"data": name} for name in DATA)
RP_MP = {"methods": ["RP", "MP"]}
FULL = {"methods": ["RP (full)", "MP (full)"]}
BY_HAND = [  # estimator, arguments, value, shape of the cube without further axes
    ("difference", VOC | RP_MP | {"column": "deletion"}, -0.1, (2, 6)),
    ("difference", CHEST | RP_MP | {"column": "deletion"}, -0.06, (2, 6)),
    ("difference", COCO | {"column": "p_reverse", "methods": ["RISE", "RP"]}, 0.8 * (0.5 - 0.9), (2, 6)),
    ("difference", COCO | RP_MP | {"column": "p_reverse_cut"}, 0.8 * (0.9 - 0.4), (2, 6)),
    ("difference", VOC | {"column": "energy", "methods": ["EP", "random"]}, 0.25, (2, 6)),
    ("ratio", VOC | RP_MP | {"column": "deletion"}, 0.5, (2, 6)),
    ("ratio", COCO | RP_MP | {"column": "deletion"}, 0.5, (2, 6)),
    ("ratio", VOC | {"column": "deletion", "methods": ["EP", "RP"]}, 4, (2, 6)),
    ("ratio", VOC | FULL | {"column": "deletion"}, 0.5, (1, 6)),  # one training seed
    ("lead", VOC | {"column": "p_reverse", "method": "RP", "others": ["T", "L_M", "MP"]}, 0.6, (2, 6)),
    ("lead", VOC | {"column": "p_reverse", "method": "L_M", "others": ["MP", "T", "RP"]}, -0.65, (2, 6)),
    ("lead", CHEST | {"column": "insertion", "method": "RP", "others": ["RISE"]}, 0.6 * 0.15, (2, 6)),
    ("share", VOC | {"column": "stuck", "method": "MP (start 1)"}, 9 / 12, (2, 6)),
    ("share", VOC | {"column": "stuck", "method": "RP"}, 0, (2, 6)),
    ("share", COCO | {"column": "ties", "method": "EP"}, 0.9, (2, 6)),
    ("cured", VOC | {"least": 0.1}, 7 / 12, (2, 6)),  # four pairs, three pairs
    ("cured", VOC | {"least": 0.01}, 2 / 12, (2, 6)),  # where RP raises none
    ("cured", VOC | {"least": 0.2}, 8 / 12, (2, 6)),  # 0.2 is not more than 0.2
    ("cured", VOC | {"least": 0.5}, 0, (2, 6)),
    ("top_layer", {"method": "RP", "measure": "spearman"}, 0.1 / 0.8, (2, 4)),  # 0.2 between 0.1 and 0.9
    ("top_layer", {"method": "RP", "measure": "ssim"}, 0.1 / 0.8, (2, 4)),
    ("top_layer", {"method": "RISE", "measure": "hog"}, 0.25 / 0.8, (2, 4)),
    ("largest_later", {"method": "RP", "measure": "spearman"}, 0.25 / 0.8, (2, 4)),  # two layers
    ("largest_later", {"method": "RP", "measure": "ssim"}, 0.25 / 0.8, (2, 4)),
    ("largest_later", {"method": "MP", "measure": "spearman"}, 0.35 / 0.8, (2, 4)),  # the top layer alone
    ("largest_later", {"method": "EP", "measure": "hog"}, 0.15 / 0.8, (2, 4)),  # all layers
]


def table_of(estimator, tables):
    """The table that an estimator reads."""
    return tables["randomization" if estimator in ("top_layer", "largest_later") else "scores"]


@pytest.mark.parametrize(("name", "arguments", "expected", "shape"), BY_HAND)
def test_the_estimate_is_the_one_by_hand_on_seeds_by_pairs(paper3_tables, name, arguments, expected, shape):
    values, statistic = ESTIMATORS[name](One(table_of(name, paper3_tables)), **arguments)
    assert values.shape[:2] == shape  # what the bootstrap resamples
    found = statistic(values)
    assert isinstance(found, float)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "arguments", "expected", "shape"), BY_HAND)
def test_an_estimate_does_not_depend_on_the_order_of_the_rows_which_stay(
    paper3_tables, name, arguments, expected, shape
):
    rows = shuffled(table_of(name, paper3_tables))
    before = rows.copy()
    values, statistic = ESTIMATORS[name](One(rows), **arguments)
    assert statistic(values) == pytest.approx(expected, abs=1e-12)
    pd.testing.assert_frame_equal(rows, before)


def test_with_one_training_seed_every_estimate_has_a_value(paper3_tables):
    for name, arguments, _, shape in BY_HAND:
        rows = table_of(name, paper3_tables)
        values, statistic = ESTIMATORS[name](One(rows[rows["seed"] == 1]), **arguments)
        assert values.shape[:2] == (1, shape[1])
        assert np.isfinite(interval(statistic, values, **OPTIONS).value)


def test_other_families_do_not_count_in_an_estimate(scores):
    options = {"data": "voc", "column": "deletion", "methods": ["RP", "MP"]}
    absurd = changed(scores, "deletion", 7.0, family="resnet")
    values, statistic = ESTIMATORS["difference"](One(absurd), **options)
    assert statistic(values) == pytest.approx(-0.1)


def test_the_ratio_is_of_means_and_not_a_mean_of_ratios(scores):
    values, statistic = ESTIMATORS["ratio"](One(scores), **VOC, column="deletion", methods=["RP", "MP"])
    v = np.array([[[1.0, 1.0], [3.0, 1.0], [2.0, 4.0]]])
    assert statistic(v) == 1
    assert (values[..., 0] / values[..., 1]).std() > 0.01  # the pairs of the tables differ


def test_the_lead_is_over_the_largest_mean_and_not_over_the_largest_value():
    v = np.zeros((1, 2, 3))
    v[0, :, 0], v[0, :, 1], v[0, :, 2] = (4, 4), (9, 0), (0, 6)
    rows = [
        {"data": "voc", "family": "vgg", "seed": 1, "pair": pair, "method": method, "area": 0.1, "stuck": 0}
        | {"x": v[0, pair, m]}
        for m, method in enumerate(("a", "b", "c"))
        for pair in (0, 1)
    ]
    values, statistic = ESTIMATORS["lead"](
        One(pd.DataFrame(rows)), data="voc", column="x", method="a", others=["b", "c"]
    )
    assert statistic(values) == -0.5


@pytest.mark.parametrize("pair", [3, 5])  # in pair 5 L_M's mask raises nothing
def test_a_pair_that_rp_raises_counts_against_it(scores, pair):
    rows = changed(scores, "worst", 0.4, data="voc", family="vgg", method="RP", pair=pair)
    values, statistic = ESTIMATORS["cured"](One(rows), data="voc", least=0.1)
    assert statistic(values) == pytest.approx(5 / 12)
    assert statistic(values[..., ::-1]) == pytest.approx(-5 / 12)  # a share of pairs could not say so


@pytest.mark.parametrize(
    ("where", "value", "top", "largest"),
    [
        ({"way": "cascading", "layer": "head.score"}, 0.6, 0.5 / 0.8, 0.25 / 0.8),
        ({"way": "cascading", "layer": "stage1"}, 0.6, 0.1 / 0.8, 0.25 / 0.8),
        ({"way": "cascading, recalibrated", "layer": "head.score"}, 0.6, 0.1 / 0.8, 0.5 / 0.8),
        ({"way": "cascading, recalibrated", "layer": "stage1"}, 0.1, 0.1 / 0.8, 0.15 / 0.8),  # the top layer's is left
        ({"way": "cascading, recalibrated", "layer": "stem"}, 0.6, 0.1 / 0.8, 0.5 / 0.8),
        ({"way": "independent", "layer": "head.score"}, 5.0, 0.1 / 0.8, 0.25 / 0.8),
        ({"way": "other image"}, -0.1, 0.3 / 1.0, 0.45 / 1.0),
        ({"way": "retrained", "layer": "seed 8"}, 0.48, 0.1 / 0.6, 0.25 / 0.6),  # 0.7 on average
    ],
)
def test_the_top_layer_is_of_the_plain_cascade_and_the_largest_share_of_the_recalibrated_one(
    paper3_tables, where, value, top, largest
):
    rows = changed(paper3_tables["randomization"], "spearman", value, method="RP", **where)
    for estimator, expected in ((ESTIMATORS["top_layer"], top), (ESTIMATORS["largest_later"], largest)):
        values, statistic = estimator(One(rows), method="RP", measure="spearman")
        assert statistic(values) == pytest.approx(expected)


def test_constant_maps_are_no_change_and_where_most_are_constant_there_is_nothing_to_test(paper3_tables):
    rows, options = paper3_tables["randomization"], {"method": "RP", "measure": "spearman"}
    for way, name in (("cascading", "top_layer"), ("cascading, recalibrated", "largest_later")):
        here = (rows["way"] == way) & (rows["method"] == "RP")
        half = rows.assign(undefined=here & (rows["position"] < 2), spearman=rows["spearman"].mask(here, 0.5))
        half.loc[here & (half["position"] < 2), "spearman"] = 0.0  # as the study writes them
        values, statistic = ESTIMATORS[name](One(half), **options)
        assert statistic(values) == pytest.approx(0.4 / 0.8)
        most = half.assign(undefined=here & (rows["position"] < 3))
        values, statistic = ESTIMATORS[name](One(most), **options)
        assert np.isnan(statistic(values))


def test_a_depth_at_which_most_maps_are_constant_does_not_count(paper3_tables):
    rows = paper3_tables["randomization"]
    here = (rows["way"] == "cascading, recalibrated") & (rows["method"] == "RP") & (rows["layer"] == "stage1")
    values, statistic = ESTIMATORS["largest_later"](One(rows.assign(undefined=here)), method="RP", measure="spearman")
    assert statistic(values) == pytest.approx(0.15 / 0.8)


def test_one_image_has_no_yardstick_and_no_verdict(paper3_tables):
    rows = without(paper3_tables["randomization"], way="other image")
    for name in ("top_layer", "largest_later"):
        values, statistic = ESTIMATORS[name](One(rows), method="RP", measure="spearman")
        assert np.isnan(statistic(values))


@pytest.mark.parametrize("estimator", [ESTIMATORS["top_layer"], ESTIMATORS["largest_later"]])
@pytest.mark.parametrize("gone", [{"seed": 2, "position": 1}, {"method": "RP"}], ids=["a pair", "the method"])
def test_a_pair_or_method_that_the_cascade_lacks_is_an_error(paper3_tables, estimator, gone):
    rows = paper3_tables["randomization"]
    for way in ("cascading", "cascading, recalibrated"):
        rows = without(rows, way=way, **gone)
    with pytest.raises(ValueError):
        estimator(One(rows), method="RP", measure="spearman")


def test_pairs_with_a_constant_map_are_left_out_of_a_difference_of_energies(scores):
    rows = changed(scores, "energy", np.nan, data="voc", family="vgg", method="RP", pair=2)
    values, statistic = ESTIMATORS["difference"](One(rows), data="voc", column="energy", methods=["RP", "random"])
    assert interval(statistic, values, **OPTIONS).value == pytest.approx(0.4, abs=0.05)


# ---- claims

OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
ON_SCENES = [c for c in CLAIMS if "photograph" not in c.estimator.__name__]  # photographs: test_photograph_scores
EVERY_CLAIM = pytest.mark.parametrize("claim", [pytest.param(c, id=c.id) for c in ON_SCENES])


def test_the_claims_of_the_paper_are_numbered_without_gaps():
    assert [claim.id for claim in CLAIMS] == [f"P3.{number:02d}" for number in range(1, len(CLAIMS) + 1)]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_names_a_display_and_the_notebook_that_makes_it_and_an_estimator_of_the_paper(claim, paper3_tables):
    computed = {"mask_gallery": "mask_randomization"}  # a gallery draws, its numbers are computed by another stage
    notebook = REGISTER[claim.display]["notebook"]
    assert (claim.stage or notebook) == computed.get(notebook, notebook)
    estimator = ESTIMATORS[claim.estimator.__name__]
    first, *others = inspect.signature(estimator).parameters
    assert first == "tables"
    assert set(others) == set(claim.arguments)
    if "data" in others:
        assert claim.statement.startswith(masks_tables.FOR_READERS[claim.arguments["data"]])


@pytest.mark.parametrize(
    "claim", [each for each in CLAIMS if each.arguments.get("data") == "chest"], ids=lambda c: c.id
)
def test_where_no_chest_image_was_explained_a_claim_on_them_is_undefined(claim, paper3_tables):
    scores = paper3_tables["scores"]
    values, statistic = ESTIMATORS[claim.estimator.__name__](One(scores[scores["data"] != "chest"]), **claim.arguments)
    assert np.isnan(statistic(values))


@pytest.mark.parametrize("claim", [c for c in CLAIMS if reported.of_claim(c.id)], ids=lambda claim: claim.id)
def test_what_a_claim_calls_reported_follows_from_the_papers_table(claim):
    assert claim.estimator.__name__ == "ratio"
    first, second = (method.removesuffix(" (published)") for method in claim.arguments["methods"])
    data = claim.arguments["data"]
    cells = [reported.value("T3.2", method=method, data=data) for method in (first, second)]
    assert reported.of_claim(claim.id).value == pytest.approx(cells[0] / cells[1], abs=0.0005)


@EVERY_CLAIM
def test_a_claim_that_holds_clearly_is_reproduced_and_its_opposite_is_not(paper3_claimed, claim):
    row = claims.evaluate(claim, paper3_claimed, **OPTIONS)
    assert list(row) == claims.COLUMNS
    stuck = {"MP (start 1)", grid_name("MP", 1, 1)} & set(claim.arguments.get("methods", ()))  # three of four masks
    if stuck and claim.arguments["column"] != "stuck":
        assert (row["verdict"], row["reason"].split()[0]) == ("not testable here", "75%")
        return
    assert np.isfinite([row["ours"], row["ci_low"], row["ci_high"]]).all()
    assert row["ci_low"] <= row["ours"] <= row["ci_high"]
    assert row["n"] == (4 if claim.estimator.__name__ in ("top_layer", "largest_later") else 6)
    assert row["seeds"] == (1 if "one training seed" in claim.note else 2)
    sign, bound = claim.relation.split()
    if row["verdict"] == "undecided":  # two seeds of four pairs that are .04 apart
        assert claim.estimator.__name__ in ("top_layer", "largest_later")
        assert claims.RELATIONS[sign](row["ours"], float(bound))
        return
    assert row["verdict"] == "reproduced"
    found = Interval(row["ours"], row["ci_low"], row["ci_high"])
    assert claims.judge(found, dataclasses.replace(claim, relation=f"{OPPOSITE[sign]} {bound}"))[0] == "not reproduced"


def test_tables_in_which_the_methods_change_places_turn_the_verdict(paper3_tables):
    scores = paper3_tables["scores"]
    swapped = scores.assign(method=scores["method"].replace({"RP": "MP", "MP": "RP"}))
    about = [c for c in ON_SCENES if c.arguments.get("methods") == ["RP", "MP"]]
    assert len(about) == 20
    for claim in about:
        row = claims.evaluate(claim, paper3_tables | {"scores": swapped}, **OPTIONS)
        assert row["verdict"] == "not reproduced"


def test_the_estimates_of_some_claims_are_those_by_hand(paper3_claimed):
    by_id = {claim.id: claim for claim in CLAIMS}
    expected = {"P3.01": -0.4, "P3.06": 0.5, "P3.13": 0.625, "P3.16": 0.75, "P3.19": 0.5, "P3.21": 2.5}
    expected |= {"P3.32": -0.06, "P3.33": 0.65, "P3.37": 0.6, "P3.38": -0.02, "P3.47": 7 / 12, "P3.48": 0.125}
    expected |= {"P3.57": 0.5, "P3.58": 1.6, "P3.59": 0.5, "P3.60": 4.5, "P3.61": 3 / 7, "P3.62": 0.25, "P3.63": 0.5}
    expected |= {
        "P3.66": 0.5,
        "P3.67": 0.75,
        "P3.68": 0.25,
        "P3.69": -0.25,
        "P3.70": -0.35,
        "P3.71": 1 / 3,
    }
    expected |= {"P3.74": 0.5, "P3.83": 0.5, "P3.84": 0.4, "P3.85": 0.3}
    expected |= {"P3.49": 0.3125, "P3.51": 0.3125, "P3.54": 0.3125}
    for name, value in expected.items():
        assert claims.evaluate(by_id[name], paper3_claimed, **OPTIONS)["ours"] == pytest.approx(value)
