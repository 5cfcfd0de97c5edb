import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from support import One, estimators

from aecompanion.evaluate.detection import auroc_given, correlation_given
from aecompanion.evaluate.detectors import DETECTORS
from aecompanion.evaluate.intervals import interval
from aecompanion.papers.causal import attacked, evaded, rankings, tables as causal_tables
from aecompanion.papers.causal.rankings import TRUTH
from aecompanion.studies import regions as region_study

ESTIMATORS = estimators(1)

OPTIONS = {"resamples": 10, "seed": 0}
FLOAT = {"abs": 1e-12}


def shuffled(rows):
    return rows.sample(frac=1, random_state=1)


def estimate(name, table, **arguments):
    values, statistic = ESTIMATORS[name](One(table), **arguments)
    found = statistic(values)
    assert isinstance(found, float)
    return found


def undefined(name, table, **arguments):
    values, statistic = ESTIMATORS[name](One(table), **arguments)
    found = interval(statistic, values, **OPTIONS)
    return bool(np.isnan([found.value, found.low, found.high]).all())


# ---- every estimator by hand

DIGITS, CHEST = {"domain": "digits"}, {"domain": "chest"}
EXACT, MEAN = {"fill": "counterfactual"}, {"fill": "mean"}
BOX_CAM, CAM_RANDOM, BOX_RANDOM = ({"regions": each} for each in (["box", "cam"], ["cam", "random"], ["box", "random"]))
SEEN = {"detected": True}
RADIOGRAPHS = {"classes": ["AP", "PA"]}
RHO = 1 - 6 * 2 / (6 * 35) / 2  # mean of 1 and of the correlation with two neighbours exchanged
BY_HAND = [  # estimator, table, arguments, value, shape of the cube without further axes
    ("agreement", "latent", DIGITS, 9 / 12, (2, 6)),
    ("agreement", "latent", CHEST, 7 / 8, (2, 4)),
    ("own_effect", "latent", DIGITS, 0.02, (2, 6)),
    ("own_effect", "latent", CHEST, 0.15, (2, 4)),
    ("channel_ratio", "latent", DIGITS, (0.6 / 0.2 + 0.8 / 0.3) / 2, (2, 6)),
    ("channel_ratio", "latent", CHEST, (0.05 / 0.25 + 0.6 / 0.3) / 2, (2, 4)),
    ("weakest_channel", "latent", DIGITS, (0.1 + 0.3) / 2, (2, 6)),
    ("weakest_channel", "latent", CHEST, (0.25 + 0.1) / 2, (2, 4)),
    ("specificity", "latent", DIGITS, (5 / 20 + 10 / 20) / 2, (2, 6)),
    ("specificity", "latent", CHEST, ((0.4 - 0.15) + (0.2 - 0.3)) / 2, (2, 4)),
    ("region_difference", "effects", EXACT | BOX_CAM, 0.1, (2, 6)),
    ("region_difference", "effects", EXACT | CAM_RANDOM, 0.2, (2, 6)),
    ("region_difference", "effects", MEAN | BOX_CAM, 0.08, (2, 6)),
    ("region_difference", "effects", MEAN | CAM_RANDOM, 0.12, (2, 6)),
    ("region_difference", "effects", MEAN | BOX_RANDOM, 1.1 * 0.24 - 0.04, (2, 6)),  # the box of the first five cases
    ("region_difference", "effects", {"fill": "black"} | BOX_CAM, -0.05, (2, 6)),
    ("region_difference", "effects", MEAN | BOX_CAM | SEEN, 1.25 * 0.24 - 0.16, (2, 6)),  # of the first four cases
    ("region_ratio", "effects", MEAN | BOX_CAM, 1.5, (2, 6)),
    ("region_ratio", "effects", MEAN | CAM_RANDOM, 4, (2, 6)),
    ("region_ratio", "effects", MEAN | BOX_RANDOM, 1.1 * 6, (2, 6)),
    ("region_ratio", "effects", EXACT | BOX_CAM | SEEN, 1.25 * 1.5, (2, 6)),
    ("missingness_bias", "effects", {"fill": "black"}, 0.11, (2, 6)),
    ("missingness_bias", "effects", {"fill": "white", "reference": "ring"}, 0.2, (2, 6)),
    ("region_difference", "effects", {"fill": "all off", "finding": "Nodule"} | BOX_CAM, 0.15 - 0.26, (2, 3)),
    ("gap_difference", "effects", {"fills": ["counterfactual", "all off"]}, 0.1 - 0.04, (2, 6)),
    ("random_size", "effects", EXACT, 0, (2, 6)),
    ("random_size", "effects", MEAN, 0.04, (2, 6)),
    ("random_size", "effects", {"fill": "inpaint"}, 0.03, (2, 6)),
    ("overlap_difference", "overlap", {"maps": ["CE, counterfactual", "CAM"]}, 0.2, (2, 3)),
    ("overlap_difference", "overlap", {"maps": ["CE, mean", "CAM"], "truth": "iou_mask"}, -0.05, (2, 3)),
    ("overlap_difference", "overlap", {"maps": ["CE, mean", "random"]}, 0.3, (2, 3)),
    ("truth_correlation", "estimates", {"method": "box · mean"}, RHO, (2, 6)),
    ("truth_correlation", "estimates", {"method": "probability"}, 1 - 36 / 210, (2, 6)),
    ("truth_correlation", "estimates", {"method": "probability", "reading": "within findings"}, 0.5, (2, 6)),
    ("truth_correlation", "estimates", {"fill": "mean", "reading": "within findings"}, (1 + 0.75) / 2, (2, 6)),
    ("truth_correlation", "estimates", {"fill": "ring", "reading": "given p"}, 1, (2, 6)),
    ("best_fill_lead", "estimates", {"reading": "pooled"}, 0, (2, 3)),  # of cases 1, 3, 5 both rank rightly
    ("best_fill_lead", "estimates", {"reading": "pooled", "against": "CAM share"}, 2, (2, 3)),
    ("truth_correlation", "estimates", {"method": "box · white"}, 0, (2, 6)),
    ("truth_correlation", "estimates", {"method": "CAM share"}, -1, (2, 6)),
    ("correlation_lead", "estimates", {"methods": ["box · mean", "CAM share"]}, RHO + 1, (2, 6)),
    ("correlation_lead", "estimates", {"methods": ["box · mean", "box · white"]}, RHO, (2, 6)),
    ("correlation_lead", "estimates", {"methods": ["box · ring", "box · mean"]}, 1 - RHO, (2, 6)),
    ("marker_effect", "marker", {}, -0.2, (2, 8)),
    ("association_surplus", "marker", {}, (0.7 - 0.35) - 0.2, (2, 8)),
    ("parent_margin", "concepts", {"source": "true findings"}, 0.2 - 0.1, (2, 8)),
    ("parent_margin", "concepts", {"source": "network"}, 0.1 - 0.2, (2, 8)),
    ("parent_margin", "concepts", {"source": "true findings", "by": "correlation"}, -12 / 240**0.5, (2, 8)),
    ("shift_surplus", "adversarial", {"attack": "fgsm"}, 0.3 - 5 * 0.02, (2, 10)),  # level 4
    ("shift_surplus", "adversarial", {"attack": "pgd"}, 0.25 - 5 * 0.01, (2, 10)),  # level 2
    ("shift_surplus", "adversarial", {"attack": "fgsm", "level": 8}, 0.4 - 5 * 0.1, (2, 10)),
    ("shift_surplus", "adversarial", {"attack": "pgd", "level": 1}, 0.15, (2, 10)),
    ("shift_surplus", "adversarial", {"attack": "cw"}, 0.2 - 5 * 0.05, (2, 5)),
    ("detection", "adversarial", {"score": "heatmap", "attack": "noise", "level": 8}, 0.5, (2, 10)),
    ("detection", "adversarial", {"score": "heatmap", "attack": "pgd", "level": 2}, 1, (2, 10)),
    ("detection", "adversarial", {"score": "confidence", "attack": "cw", "level": 0}, 0, (2, 5)),
    (
        *("detection_lead", "adversarial", {"scores": ["confidence", "heatmap"], "attack": "fgsm", "level": 1}),
        *(-1, (2, 10)),
    ),
    ("evaded", "adaptive", {"detector": "sum", "level": 8}, 23.5 / 36, (2, 6)),
    ("evasion", "adaptive", {"detector": "sum", "level": 8}, 23.5 / 36 - 1, (2, 6)),
    ("released_drop", "released", {"domain": "digits", "variant": "released"}, (0.88 + 0.76) / 2, (2, 1)),
    ("released_drop", "released", {"domain": "chest", "variant": "released"}, (0.4 + 0.2) / 2, (2, 1)),
    ("released_drop", "released", {"domain": "digits", "variant": "intended"}, 0, (2, 1)),
    (
        *("released_drop", "released", {"domain": "digits", "variant": "released", "column": "agreement"}),
        *(-(0.8 + 0.4) / 2, (2, 1)),
    ),
    ("last_agreement", "released", {"domain": "chest", "variant": "summed TV"}, 0.4, (2, 1)),
    ("last_agreement", "released", {"domain": "chest", "variant": "intended"}, 0.94, (2, 1)),
    ("view_lead", "shortcut", RADIOGRAPHS | {"regions": ["outside", "frame"]}, 0.1, (2, 6)),
    ("view_lead", "shortcut", RADIOGRAPHS | {"regions": ["outside", "lungs"]}, 0.3 - 0.26, (2, 6)),
    ("view_lead", "shortcut", RADIOGRAPHS | {"regions": ["frame", "lungs", "outside"]}, -0.1, (2, 6)),
    ("view_lead", "shortcut", RADIOGRAPHS | {"regions": ["marker", "lungs"]}, 0.6 - 0.16, (2, 6)),  # the first four
    ("view_lead", "shortcut", RADIOGRAPHS | {"regions": ["outside", "frame"], "fill": "black"}, 0.4, (2, 6)),
    ("view_lead", "shortcut", RADIOGRAPHS | {"regions": ["frame", "outside"], "per_share": True}, 0.2, (2, 6)),
    ("view_lead", "shortcut", {"regions": ["marker", "lung, left", "lung, right"]}, 0.6 - 0.12, (2, 6)),
    ("view_auroc", "viewed", RADIOGRAPHS, (8 / 9 + 7 / 9) / 2, (2, 6)),
]


@pytest.mark.parametrize(("estimator", "table", "arguments", "expected", "shape"), BY_HAND)
def test_the_estimate_is_the_one_by_hand_on_seeds_by_images(
    paper1_tables, estimator, table, arguments, expected, shape
):
    values, statistic = ESTIMATORS[estimator](One(paper1_tables[table]), **arguments)
    assert values.shape[:2] == shape
    assert isinstance(statistic(values), float)
    assert statistic(values) == pytest.approx(expected, **FLOAT)


@pytest.mark.parametrize(("estimator", "table", "arguments", "expected", "shape"), BY_HAND)
def test_an_estimate_does_not_depend_on_the_order_of_the_rows_and_leaves_them(
    paper1_tables, estimator, table, arguments, expected, shape
):
    rows = shuffled(paper1_tables[table])
    before = rows.copy()
    assert estimate(estimator, rows, **arguments) == pytest.approx(expected, **FLOAT)
    pd.testing.assert_frame_equal(rows, before)


def test_with_one_training_seed_every_estimate_has_a_value(paper1_tables):
    for estimator, table, arguments, _, shape in BY_HAND:
        rows = paper1_tables[table]
        values, statistic = ESTIMATORS[estimator](One(rows[rows["seed"] == 1]), **arguments)
        assert values.shape[:2] == (1, shape[1])
        assert np.isfinite(interval(statistic, values, **OPTIONS).value)


# ---- latent features


def test_fidelity_is_of_test_images_once_each_per_domain(paper1_tables):
    table = causal_tables.fidelity_table(paper1_tables["latent"], 0.8, **OPTIONS)
    columns = ["agreement", "agreement_low", "agreement_high", "least seed", "gate", "seeds below"]
    assert list(table.columns) == ["domain", *columns, "ECE0", "ECE0_low", "ECE0_high"]
    assert table["domain"].tolist() == ["digits", "chest"]
    assert table["agreement"].tolist() == pytest.approx([9 / 12, 7 / 8])
    assert table["least seed"].tolist() == pytest.approx([4 / 6, 3 / 4])
    assert table["gate"].tolist() == [0.8, 0.8]
    assert table["seeds below"].tolist() == [1, 1]
    assert table["ECE0"].tolist() == pytest.approx([0, 0])  # it is signed
    assert causal_tables.fidelity_table(paper1_tables["latent"], 0.99, **OPTIONS)["seeds below"].tolist() == [2, 1]


def test_an_image_counts_once_however_many_labels_and_channels_it_has(paper1_tables):
    found = causal_tables.per_image(paper1_tables["latent"])
    assert len(found) == 2 * (6 + 4)
    assert set(found["split"]) == {"test"}


def test_channels_are_ranked_on_validation_and_shown_on_test_images(paper1_tables):
    found = causal_tables.ranked(paper1_tables["latent"], "digits")
    assert found.shape == (2, 6, 5)
    sizes = np.abs(found).mean(1)
    assert sizes[0].tolist() == pytest.approx([0.6, 0.2, 0.9, 0.05, 0.1])  # channels 1, 2, 0, 4, 3
    assert sizes[1].tolist() == pytest.approx([0.8, 0.2, 0.9, 0.05, 0.3])  # channels 3, 2, 4, 0, 1
    assert found[0, :, 0].tolist() == pytest.approx([0.6, -0.6] * 3)  # signs are kept, images ascend


@pytest.mark.parametrize("estimator", ["channel_ratio", "weakest_channel"])
def test_the_order_of_channels_does_not_follow_test_images(paper1_tables, estimator):
    latent = paper1_tables["latent"]
    test = (latent["split"] == "test") & (latent["channel"] == 4) & (latent["domain"] == "digits")
    largest = latent.assign(expected=latent["expected"].where(~test, 1e6))
    assert np.abs(causal_tables.ranked(largest, "digits")).mean(1).argmax(1).tolist() == [3, 2]  # places by validation
    validation = latent["split"] == "validation"
    scaled = latent.assign(expected=latent["expected"] * np.where(validation, 5, 1))  # the same order
    assert estimate(estimator, scaled, domain="digits") == estimate(estimator, latent, domain="digits")


def test_the_mean_effects_are_of_the_labels_that_images_have(paper1_tables):
    found = causal_tables.class_by_channel(paper1_tables["latent"], "chest")
    assert list(found) == [1, 2]
    assert found[1] == pytest.approx(np.array([[0.1, -0.4, 0.0], [0.1, 0.1, 0.0], [0.1, 0.15, 0.9]]))
    validation = causal_tables.class_by_channel(paper1_tables["latent"], "chest", "validation")
    assert validation[2] == pytest.approx(np.array([[0.0, 0.1, 0.1], [0.1, 0.1, 0.1], [0.6, 0.1, 0.1]]))


def test_the_specific_pair_is_chosen_on_validation_images_and_reported_on_test_images(paper1_tables):
    latent = paper1_tables["latent"]
    values, statistic = ESTIMATORS["specificity"](One(latent), domain="chest")
    assert values.shape == (2, 4, 6)
    assert values[:, :, 3:].tolist() == [[[1, 0, 0]] * 4, [[0, 0, 1]] * 4]  # the chosen findings
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
    assert (np.isnan(values[:, :, :3]) == (labels == 0)).all()
    assert statistic(values[:1]) == pytest.approx(0.4 - 0.15)  # channel 1; on test images channel 2 has a lead of 0.9
    assert statistic(values[1:]) == pytest.approx(0.2 - 0.3)
    test = (latent["split"] == "test") & (latent["channel"] == 2)
    other = latent.assign(effect=latent["effect"].mask(test, 100.0))
    assert estimate("specificity", other, domain="chest") == estimate("specificity", latent, domain="chest")


def test_a_resample_without_the_chosen_finding_has_no_specificity(paper1_tables):
    values, statistic = ESTIMATORS["specificity"](One(paper1_tables["latent"]), domain="chest")
    with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        assert np.isnan(statistic(values[:1, [3, 3]]))


def test_specificity_keeps_the_finding_where_validation_images_lack_another(paper1_tables):
    latent = paper1_tables["latent"]
    # without finding 0 (and without image 10, 11 of it) the pair of seed 2 is still finding 2, channel 0
    gone = (latent["split"] == "validation") & (latent["label"] == 0)
    values, _ = ESTIMATORS["specificity"](One(latent[~gone & (latent["seed"] == 2)]), domain="chest")
    assert values[0, 0, 3:].tolist() == [0, 0, 1]


# ---- regions


def test_a_random_region_that_had_no_place_is_left_out_with_what_it_is_compared_to(paper1_tables):
    effects = paper1_tables["effects"]
    nowhere = (effects["region"] == "random") & (effects["case"] == 5)
    assert effects.loc[nowhere, "effect"].isna().all()
    for region in ("box", "cam"):  # whatever they do in that case
        other = effects.assign(
            effect=effects["effect"].mask((effects["case"] == 5) & (effects["region"] == region), 50)
        )
        for estimator in ("region_difference", "region_ratio"):
            arguments = {"fill": "mean", "regions": [region, "random"]}
            assert estimate(estimator, other, **arguments) == estimate(estimator, effects, **arguments)


def test_a_finding_is_detected_from_one_half_on(paper1_tables):
    effects = paper1_tables["effects"]
    values = causal_tables.sizes(effects, "mean", ["box"], detected=True)
    assert np.isfinite(values[..., 0]).tolist() == [[True] * 4 + [False] * 2] * 2  # p = 0.5 in case 3 of seed 2
    assert np.isfinite(causal_tables.sizes(effects, "mean", ["box"])).all()


def test_sizes_are_absolute_values_of_the_regions_asked_for(paper1_tables):
    values = causal_tables.sizes(paper1_tables["effects"], "white", ["cam", "box"])
    assert values.shape == (2, 6, 2)
    assert values[0, 3].tolist() == pytest.approx([1.2 * 0.4, 1.2 * 0.3 * 0.5])
    assert causal_tables.sizes(paper1_tables["effects"], "grey", ["box"]) is None


def without_counterfactual(effects):
    return effects[effects["fill"] != "counterfactual"]


@pytest.mark.parametrize("estimator", ["region_difference", "region_ratio"])
@pytest.mark.parametrize("detected", [False, True])
def test_without_the_fill_a_comparison_of_regions_is_untestable(paper1_tables, estimator, detected):
    effects = without_counterfactual(paper1_tables["effects"])
    assert undefined(estimator, effects, **EXACT, regions=["box", "cam"], detected=detected)
    assert not undefined(estimator, effects, **MEAN, regions=["box", "cam"], detected=detected)


def test_without_the_fill_the_size_elsewhere_is_untestable(paper1_tables):
    assert undefined("random_size", without_counterfactual(paper1_tables["effects"]), **EXACT)


def test_the_region_table_holds_sizes_and_signed_means_of_every_region_under_every_fill(paper1_tables):
    table = causal_tables.region_table(paper1_tables["effects"], **OPTIONS)
    columns = ["size", "size_low", "size_high", "effect", "effect_low", "effect_high"]
    assert list(table.columns) == ["fill", "region", *columns]
    found = table.set_index(["fill", "region"])
    assert len(found) == 8 * 5
    fills = ["counterfactual", "all off", "mean", "ring", "black", "white", "blur", "inpaint"]
    assert sorted(table["fill"].unique()) == sorted(fills)
    assert set(table["region"]) == set(causal_tables.REGIONS)
    exact = found.loc["counterfactual", "size"].loc[list(causal_tables.REGIONS)]
    assert exact.tolist() == pytest.approx([0.35, 0.3, 0.2, 0.15, 0])
    assert found.loc[("mean", "random"), "size"] == pytest.approx(0.04)  # five cases, none missing
    assert found.loc[("mean", "random"), "effect"] == pytest.approx(-0.04 * (4 - 1) / 5)
    assert found.loc[("mean", "cam"), "effect"] == pytest.approx(-0.16 * (5 - 1) / 6)
    assert found.loc[("mean", "box"), "effect"] == pytest.approx(-0.24 * (5.5 - 0.5) / 6)
    assert found.notna().all(axis=None)


def test_the_finding_table_holds_those_fills_that_there_are(paper1_tables):
    fills = ["counterfactual", "mean", "ring"]
    table = causal_tables.finding_table(paper1_tables["effects"], fills, **OPTIONS)
    parts = [[name, f"{name}_low", f"{name}_high"] for name in ("box", "cam", "random", "box - cam")]
    assert list(table.columns) == ["finding", "fill", "cases", *sum(parts, [])]
    keys = list(zip(table["finding"], table["fill"], strict=True))
    assert keys == [(finding, fill) for finding in ("Mass", "Nodule") for fill in fills]
    assert table["cases"].tolist() == [3] * 6
    found = table.set_index(["finding", "fill"])[["box", "cam", "random"]]
    assert found.loc[("Mass", "mean")].tolist() == pytest.approx([1.5 * 0.24, 0.16, 0.04])
    assert found.loc[("Nodule", "mean")].tolist() == pytest.approx([0.5 * 0.24, 0.16, 0.04])
    real = causal_tables.finding_table(without_counterfactual(paper1_tables["effects"]), fills, **OPTIONS)
    assert real["fill"].tolist() == ["mean", "ring"] * 2


def test_the_gaps_are_paired_differences_of_the_box_and_every_other_region(paper1_tables):
    table = causal_tables.gap_table(paper1_tables["effects"], **OPTIONS).set_index(["fill", "region"])
    assert table.loc[("mean", "cam"), "gap"] == pytest.approx(0.08)
    assert table.loc[("all off", "gradcam"), "gap"] == pytest.approx(0.1)
    assert table.loc[("mean", "random"), "gap"] == pytest.approx(1.1 * 0.24 - 0.04)  # of the first five cases


# ---- maps


def test_a_map_that_was_not_made_is_untestable(paper1_tables):
    overlap = paper1_tables["overlap"]
    real = overlap[overlap["map"] != "CE, counterfactual"]
    assert undefined("overlap_difference", real, maps=["CE, counterfactual", "CAM"])
    assert undefined("overlap_difference", real, maps=["CAM", "CE, counterfactual"])
    assert not undefined("overlap_difference", real, maps=["CE, mean", "CAM"])


def test_the_overlap_table_holds_both_truths_of_every_map(paper1_tables):
    table = causal_tables.overlap_table(paper1_tables["overlap"], **OPTIONS)
    parts = [[name, f"{name}_low", f"{name}_high"] for name in ("iou_box", "iou_mask")]
    assert list(table.columns) == ["map", *sum(parts, [])]
    assert table["map"].tolist() == ["CE, counterfactual", "CE, all off", "CE, mean", "CAM", "Grad-CAM", "random"]
    assert table["iou_box"].tolist() == pytest.approx([0.5, 0.45, 0.4, 0.3, 0.2, 0.1])
    assert table["iou_mask"].tolist() == pytest.approx([0.4, 0.35, 0.3, 0.35, 0.2, 0.06])
    assert (table["iou_box_low"] < table["iou_box"]).all()


# ---- true effects


def spearman(values):
    """Mean over seeds, by scipy."""
    found = [stats.spearmanr(layer[:, 0], layer[:, 1], nan_policy="omit").statistic for layer in values]
    return float(np.mean(found))


@pytest.mark.parametrize("state", range(4))
def test_the_rank_correlation_is_spearmans_with_ties_and_without_missing_cases(state):
    draw = np.random.default_rng(state)
    values = draw.integers(5, size=(3, 12, 3)).astype(float)  # many ties; the third condition does not count
    values[1, [2, 5], 0], values[2, 7, 1], values[0, :, 2] = np.nan, np.nan, np.nan
    assert rankings.READINGS["pooled"](values) == pytest.approx(spearman(values))


@pytest.mark.parametrize("state", range(3))
def test_correlations_within_findings_and_given_p_are_those_of_scipy_and_of_residuals(state):
    draw = np.random.default_rng(state)
    values = np.concatenate([draw.integers(6, size=(2, 40, 3)), np.tile(np.arange(40) % 4, (2, 1))[..., None]], -1)
    values = values.astype(float)
    values[:, 4, 0] = np.nan
    groups = [values[:, values[0, :, 3] == number] for number in range(4)]
    expected = np.mean([spearman(each) for each in groups])
    assert rankings.READINGS["within findings"](values) == pytest.approx(expected)
    residuals = []
    for layer in values:
        ranks = stats.rankdata(layer[np.isfinite(layer).all(1), :3], axis=0)
        lines = [np.polynomial.Polynomial.fit(ranks[:, 2], ranks[:, i], 1)(ranks[:, 2]) for i in (0, 1)]
        residuals.append(np.corrcoef(ranks[:, 0] - lines[0], ranks[:, 1] - lines[1])[0, 1])
    assert rankings.READINGS["given p"](values) == pytest.approx(np.mean(residuals))


def test_the_best_fill_is_chosen_on_images_of_even_number_only(paper1_tables):
    estimates = paper1_tables["estimates"].copy()
    assert rankings.best_fill(estimates, "pooled") not in ("box · counterfactual", "box · all off")
    even = estimates["image"] % 2 == 0
    others = estimates["method"].str.startswith("box") & ~estimates["method"].isin(["box · white", "box · mean"])
    estimates.loc[even & others, "value"] *= -1  # on even images only mean and white rank at all
    values, statistic = ESTIMATORS["best_fill_lead"](One(estimates), reading="pooled")
    chosen = estimates[(estimates["method"] == "box · mean") & ~even].pivot(
        index="seed", columns="case", values="value"
    )
    assert np.array_equal(values[..., 0], chosen.to_numpy())


@pytest.mark.parametrize("method", ["released formula", "latent, one channel", "random · mean", "box · mean"])
def test_the_correlation_with_the_truth_is_scipys(paper1_tables, method):
    values, statistic = ESTIMATORS["truth_correlation"](One(paper1_tables["estimates"]), method=method)
    assert statistic(values) == pytest.approx(spearman(values))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_constant_estimate_has_no_rank_correlation(paper1_tables):
    assert undefined("truth_correlation", paper1_tables["estimates"], method="random · counterfactual")


def test_a_lead_is_the_difference_of_two_correlations(paper1_tables):
    estimates = paper1_tables["estimates"]
    first, second = "latent, one channel", "released formula"
    lead = estimate("correlation_lead", estimates, methods=[first, second])
    parts = [estimate("truth_correlation", estimates, method=name) for name in (first, second)]
    assert lead == pytest.approx(parts[0] - parts[1])


@pytest.mark.parametrize(
    ("estimator", "arguments"),
    [("truth_correlation", {"method": "box · mean"}), ("correlation_lead", {"methods": ["box · mean", "CAM share"]})],
)
def test_without_the_truth_a_correlation_is_untestable(paper1_tables, estimator, arguments):
    estimates = paper1_tables["estimates"]
    assert undefined(estimator, estimates[estimates["method"] != TRUTH], **arguments)


def test_the_correlation_table_ranks_the_estimates_that_are_not_trivial_and_gives_errors_of_effects(paper1_tables):
    table = rankings.correlation_table(paper1_tables["estimates"], **OPTIONS)
    parts = [[name, f"{name}_low", f"{name}_high"] for name in ("within findings", "pooled", "given p")]
    assert list(table.columns) == ["method", *sum(parts, []), "mean |error|"]
    elsewhere = {name for name in paper1_tables["estimates"]["method"] if name.startswith("random")}
    assert set(table["method"]) == set(paper1_tables["estimates"]["method"]) - {TRUTH, rankings.TRIVIAL} - elsewhere
    assert table["within findings"].dropna().is_monotonic_decreasing
    assert table["pooled"].notna().all()
    found = table.set_index("method")
    expected = {"box · ring": 1, "box · mean": RHO, "CAM share": -1, "Grad-CAM share": 1, "box · white": 0}
    for method, value in expected.items():
        assert found.loc[method, "pooled"] == pytest.approx(value, **FLOAT)
    assert found.loc["probability", "within findings"] == pytest.approx(0.5)
    assert np.isnan(found.loc["probability", "given p"])  # at equal p, p says nothing
    assert {"CAM share", "integrated gradients"} == set(table["method"].iloc[-2:])
    errors = found["mean |error|"].astype(float)
    assert errors["box · ring"] == pytest.approx(0.35 / 2)  # half of the mean truth
    assert errors["box · mean"] == pytest.approx(0.2 / 12)
    assert found.index[errors.isna()].sort_values().tolist() == [
        "CAM evidence",
        "CAM share",
        "CAM share × p",
        "Grad-CAM share",
        "integrated gradients",
        "probability",
    ]


@pytest.mark.filterwarnings("error")
def test_without_the_truth_the_correlation_table_has_its_columns_and_no_row(paper1_tables):
    estimates = paper1_tables["estimates"]
    table = rankings.correlation_table(estimates[estimates["method"] != TRUTH], **OPTIONS)
    assert table.empty
    assert list(table.columns) == list(rankings.correlation_table(estimates, **OPTIONS).columns)


def test_without_any_case_the_table_by_finding_has_columns_and_no_row():
    effects = region_study.EMPTY[0].assign(finding=[])
    table = causal_tables.finding_table(effects, ["mean"], **OPTIONS)
    assert table.empty
    assert list(table.columns) == ["finding", "fill", "cases", "box", "cam", "random", "box - cam"]


def test_without_any_case_every_claim_on_regions_and_maps_is_untestable():
    effects, estimates, overlap = region_study.EMPTY
    for estimator, table, arguments, _, _ in BY_HAND:
        empty = {"effects": effects, "estimates": estimates, "overlap": overlap}.get(table)
        assert empty is None or undefined(estimator, empty, **arguments)


def test_the_correlation_table_of_the_study_is_made_without_warnings(paper1_tables):
    rankings.correlation_table(paper1_tables["estimates"], **OPTIONS)


def test_the_short_ranking_holds_the_estimates_that_need_no_counterfactual_best_first_as_text():
    columns = ["method", *(f"{name}{end}" for name in rankings.SHOWN for end in ("", "_low", "_high"))]
    rows = [("CAM share", -0.125, -0.2, 0.0), ("mask · mean", 0.9, 0.8, 1.0)]  # the mask is not known
    rows += [("box · ring", 0.756, 0.6, 0.8), ("released formula", 0.1, -0.1, 0.3)]
    nothing = (np.nan,) * 3
    rows = [(*row, *row[1:], *(nothing if row[0] == "CAM share" else row[1:])) for row in rows]
    short = rankings.ranking_in_short(pd.DataFrame(rows, columns=columns))
    assert short.columns.tolist() == ["estimate", *rankings.SHOWN]
    assert short["given p"].tolist() == ["0.76 [0.60, 0.80]", "0.10 [-0.10, 0.30]", ""]
    assert short["estimate"].tolist() == [
        rankings.SHORT[name] for name in ("box · ring", "released formula", "CAM share")
    ]
    assert short.iloc[:2, 1].tolist() == ["0.76 [0.60, 0.80]", "0.10 [-0.10, 0.30]"]


def test_the_short_ranking_names_estimates_that_the_study_makes(paper1_tables):
    assert set(rankings.SHORT) <= set(paper1_tables["estimates"]["method"])
    assert not any("counterfactual" in name for name in rankings.SHORT)


# ---- the marker


@pytest.mark.parametrize("estimator", ["marker_effect", "association_surplus"])
def test_without_a_marker_nothing_is_testable_about_it(paper1_tables, estimator):
    assert undefined(estimator, paper1_tables["marker"][:0])


def test_the_marker_table_compares_between_and_within_images_for_all_and_by_the_finding(paper1_tables):
    table = causal_tables.marker_table(paper1_tables["marker"], **OPTIONS).set_index("images")
    assert list(table.index) == ["all", "finding False", "finding True"]
    assert table["n"].tolist() == [8, 4, 4]
    assert table["with marker"].tolist() == [4, 1, 3]
    assert table["between images"].tolist() == pytest.approx([0.35, 0.2, 0.0])
    assert table["within images (causal)"].tolist() == pytest.approx([0.2, 0.1, 0.7 / 3])
    ends = ["between images_low", "between images_high", "within images (causal)_low", "within images (causal)_high"]
    assert set(ends) <= set(table.columns)


def test_the_surplus_is_what_the_table_says(paper1_tables):
    table = causal_tables.marker_table(paper1_tables["marker"], **OPTIONS).set_index("images").loc["all"]
    surplus = estimate("association_surplus", paper1_tables["marker"])
    assert surplus == pytest.approx(table["between images"] - table["within images (causal)"])
    assert estimate("marker_effect", paper1_tables["marker"]) == pytest.approx(-table["within images (causal)"])


# ---- concepts


def test_the_concept_cube_knows_names_and_parents(paper1_tables):
    values, names, parents = causal_tables.concept_cube(paper1_tables["concepts"], "network")
    assert values.shape == (2, 8, 4, 5)
    assert names == ["Infiltration", "Mass", "Effusion", "Nodule", "marker"]
    assert parents.tolist() == [True, False, True, True, False]
    assert causal_tables.mean_effects(values).tolist() == pytest.approx(
        [0.3, 0.2, 0.2, 0.1, 0.15]
    )  # of those that have it
    expected = [1, 0.5, 0.5, 0, 12 / 240**0.5]
    assert causal_tables.correlations(values).tolist() == pytest.approx(expected, **FLOAT)


@pytest.mark.parametrize("measure", [causal_tables.mean_effects, causal_tables.correlations])
def test_a_measure_of_concepts_is_a_mean_over_seeds(paper1_tables, measure):
    values, _, _ = causal_tables.concept_cube(paper1_tables["concepts"], "true findings")
    values = values.copy()
    values[1, :, 3] = 1 - values[1, :, 3]  # the decision of seed 2 is turned round
    apart = [measure(values[[s]]) for s in (0, 1)]
    assert measure(values) == pytest.approx((apart[0] + apart[1]) / 2)


def test_the_concept_table_holds_means_over_seeds_per_source(paper1_tables):
    table = causal_tables.concept_table(paper1_tables["concepts"])
    columns = ["source", "concept", "parent", "effect", "correlation", "coefficient", "accuracy lost"]
    assert list(table.columns) == columns
    assert table["source"].tolist() == ["true findings"] * 5 + ["network"] * 5
    assert table["concept"].tolist() == ["Infiltration", "Mass", "Effusion", "Nodule", "marker"] * 2
    assert table["parent"].tolist() == [True, False, True, True, False] * 2
    assert table["effect"].tolist() == pytest.approx([-0.4, -0.1, -0.3, -0.2, 0.05, -0.3, 0.2, -0.2, -0.1, -0.15])
    assert table["correlation"].tolist() == pytest.approx([1, 0.5, 0.5, 0, 12 / 240**0.5] * 2, **FLOAT)
    assert table["accuracy lost"].tolist() == pytest.approx([2 / 8, 0, 1 / 8, 0, 0] * 2)


# ---- attacks


def test_success_is_the_share_of_images_with_a_changed_decision(paper1_tables):
    found = attacked.success(paper1_tables["adversarial"]).set_index(["attack", "level"])["flipped"]
    assert found[("clean", 0)] == 0
    assert found[("fgsm", 4)] == 0.8
    assert found[("pgd", 1)] == 0.4
    assert found[("cw", 0)] == 0.8  # of five images


@pytest.mark.parametrize(("attack", "level"), [("fgsm", 4), ("pgd", 2), ("cw", 0), ("ifgsm", None), ("noise", None)])
def test_the_first_success_is_the_smallest_level_with_four_fifths(paper1_tables, attack, level):
    assert attacked.first_success(paper1_tables["adversarial"], attack) == level


def test_four_fifths_less_one_image_is_no_success(paper1_tables):
    rows = paper1_tables["adversarial"]
    one = (rows["attack"] == "fgsm") & (rows["level"] == 4) & (rows["seed"] == 1) & (rows["image"] == 0)
    assert one.sum() == 1
    assert attacked.first_success(rows.assign(flipped=rows["flipped"] & ~one), "fgsm") == 8


@pytest.mark.parametrize(
    ("estimator", "arguments"),
    [
        ("shift_surplus", {"attack": "ifgsm"}),  # never succeeds
        ("shift_surplus", {"attack": "pgd", "level": 16}),
        ("shift_surplus", {"attack": "unknown"}),
        ("shift_surplus", {"attack": "unknown", "level": 4}),
        ("detection", {"score": "effect", "attack": "pgd", "level": 16}),
        ("detection", {"score": "effect", "attack": "unknown", "level": 4}),
        ("detection_lead", {"scores": ["effect", "heatmap"], "attack": "pgd", "level": 16}),
        ("detection_lead", {"scores": ["effect", "heatmap"], "attack": "unknown", "level": 0}),
        ("detection_given", {"scores": ["small_effect", "sum"], "attack": "pgd", "level": 16}),
    ],
)
def test_an_attack_or_level_that_is_absent_is_untestable(paper1_tables, estimator, arguments):
    assert undefined(estimator, paper1_tables["adversarial"], **arguments)


def test_the_images_of_an_attack_are_common_to_all_conditions(paper1_tables):
    rows = paper1_tables["adversarial"]
    few = attacked.common_images(rows, "cw")
    assert set(few["image"]) == set(range(5))
    assert set(few["attack"]) == set(rows["attack"])
    assert len(attacked.common_images(rows, "pgd")) == len(rows)


def test_a_shift_is_taken_over_the_images_that_the_attack_saw(paper1_tables):
    rows = paper1_tables["adversarial"]
    other = rows.assign(signed_effect=rows["signed_effect"].mask((rows["image"] > 4) & (rows["attack"] == "clean"), 9))
    assert estimate("shift_surplus", other, attack="cw") == estimate("shift_surplus", rows, attack="cw")
    assert estimate("shift_surplus", other, attack="pgd") != estimate("shift_surplus", rows, attack="pgd")


def sklearns(rows, score, attack, level):
    """Mean over seeds of scikit-learn's AUROC."""
    found = []
    for _, own in attacked.common_images(rows, attack).groupby("seed"):
        clean = own.loc[own["attack"] == "clean", score]
        moved = own.loc[(own["attack"] == attack) & (own["level"] == level), score]
        found.append(roc_auc_score([0] * len(clean) + [1] * len(moved), [*clean, *moved]))
    return float(np.mean(found))


CONDITIONS = [(attack, level) for attack in ("fgsm", "pgd", "noise") for level in (1, 8)] + [("cw", 0), ("l2 noise", 0)]


@pytest.mark.parametrize("score", DETECTORS)
@pytest.mark.parametrize(("attack", "level"), CONDITIONS)
def test_detection_is_scikit_learns_auroc_per_seed(paper1_tables, score, attack, level):
    rows = paper1_tables["adversarial"]
    found = estimate("detection", rows, score=score, attack=attack, level=level)
    assert found == pytest.approx(sklearns(rows, score, attack, level))


@pytest.mark.parametrize("scores", [["effect", "bottleneck"], ["heatmap", "effect"], ["effect", "confidence_two"]])
def test_a_detection_lead_is_the_difference_of_two_aurocs(paper1_tables, scores):
    rows = paper1_tables["adversarial"]
    found = estimate("detection_lead", rows, scores=scores, attack="pgd", level=2)
    assert found == pytest.approx(sklearns(rows, scores[0], "pgd", 2) - sklearns(rows, scores[1], "pgd", 2))


def test_the_detection_table_holds_every_score_under_every_attack_and_level_but_clean(paper1_tables):
    rows = paper1_tables["adversarial"]
    table = attacked.detection_table(rows, **OPTIONS)
    parts = [[name, f"{name}_low", f"{name}_high"] for name in DETECTORS]
    assert list(table.columns) == ["attack", "level", "changed", *sum(parts, [])]
    found = table.set_index(["attack", "level"])
    assert len(found) == 4 * 4 + 2
    assert "clean" not in set(table["attack"])
    changed = found["changed"]
    assert changed[[("fgsm", 4), ("pgd", 1), ("cw", 0)]].tolist() == pytest.approx([0.8, 0.4, 0.8])
    for (attack, level), row in found.iterrows():
        for score in DETECTORS:
            assert row[score] == pytest.approx(sklearns(rows, score, attack, level))
            assert row[f"{score}_low"] <= row[score] <= row[f"{score}_high"]


def test_the_shift_table_holds_the_mean_and_its_change_against_the_same_clean_images(paper1_tables):
    table = attacked.shift_table(paper1_tables["adversarial"], **OPTIONS)
    parts = [[name, f"{name}_low", f"{name}_high"] for name in ("mean", "change")]
    assert list(table.columns) == ["attack", "level", *sum(parts, [])]
    found = table.set_index(["attack", "level"])
    assert len(found) == 1 + 4 * 4 + 2
    assert found.loc[("clean", 0), ["mean", "change"]].tolist() == pytest.approx([0.5, 0], **FLOAT)
    assert found.loc[("pgd", 8), ["mean", "change"]].tolist() == pytest.approx([0.05, -0.45])
    assert found.loc[("cw", 0), ["mean", "change"]].tolist() == pytest.approx([0.3, -0.2])
    assert found.loc[("l2 noise", 0), ["mean", "change"]].tolist() == pytest.approx([0.55, 0.05])
    change = found.loc[("noise", 8)]
    assert (change["change_low"], change["change_high"]) == pytest.approx((0.1, 0.1))  # the same in every image


def test_the_evaded_table_has_both_aurocs_and_who_was_fooled(paper1_tables):
    table = evaded.evaded_table(paper1_tables["adaptive"], **OPTIONS)
    assert table[["level", "detector"]].drop_duplicates().shape == (2 * len(DETECTORS), 2)
    assert table["plain"].tolist() == [1] * len(table)
    assert table["adaptive"].tolist() == pytest.approx([23.5 / 36] * len(table))
    assert set(table["plain: fooled"]) == {1}
    assert set(table["adaptive: fooled"].round(6)) == {round(5 / 6, 6)}
    assert set(table["plain: decisions"]) == {2}


@pytest.mark.parametrize(("attack", "level"), [("fgsm", 1), ("pgd", 8)])
def test_what_the_effect_adds_to_the_sum_is_a_mean_over_seeds(paper1_tables, attack, level):
    rows = paper1_tables["adversarial"]
    found = attacked.given_table(rows, **OPTIONS).set_index(["attack", "level"]).loc[(attack, level)]
    partial, pairs, plain = [], [], []
    for _, own in rows.groupby("seed"):
        clean, moved = own[own["attack"] == "clean"], own[(own["attack"] == attack) & (own["level"] == level)]
        columns = [each[name].to_numpy() for name in ("small_effect", "sum") for each in (clean, moved)]
        partial.append(correlation_given(*columns))
        pairs.append(auroc_given(*columns))
        plain.append(np.corrcoef(moved["small_effect"], moved["sum"])[0, 1])
    assert found["partial"] == pytest.approx(np.mean(partial))
    assert found["effect given sum"] == pytest.approx(np.nanmean(pairs))
    assert found["correlation"] == pytest.approx(-np.mean(plain))
    assert found["sum"] == pytest.approx(sklearns(rows, "sum", attack, level))


# ---- the released loss


def test_only_the_first_and_the_last_epoch_count_for_the_drop(paper1_tables):
    released = paper1_tables["released"]
    between = released.assign(plain=released["plain"].mask(released["epoch"] == 1, 7))
    arguments = {"domain": "digits", "variant": "released"}
    assert estimate("released_drop", between, **arguments) == estimate("released_drop", released, **arguments)


def test_the_values_of_the_released_loss_are_one_per_seed_ascending(paper1_tables):
    released = shuffled(paper1_tables["released"])
    drop, _ = ESTIMATORS["released_drop"](One(released), domain="digits", variant="released")
    last, _ = ESTIMATORS["last_agreement"](One(released), domain="chest", variant="intended")
    assert drop == pytest.approx(np.array([[0.88], [0.76]]))
    assert last == pytest.approx(np.array([[0.98], [0.9]]))


# ---- the view


@pytest.mark.parametrize("regions", [["outside", "lungs"], ["marker", "elsewhere"]])
def test_a_claim_on_other_views_or_regions_is_untestable(paper1_tables, regions):
    classes = ["no marker", "marker"] if "lungs" in regions else ["AP", "PA"]
    assert undefined("view_lead", paper1_tables["shortcut"], classes=classes, regions=regions)


def test_the_auroc_of_other_views_or_of_a_single_one_is_untestable(paper1_tables):
    viewed = paper1_tables["viewed"]
    assert undefined("view_auroc", viewed, classes=["no marker", "marker"])
    assert undefined("view_auroc", viewed[viewed["view"] == "PA"], classes=["AP", "PA"])
