import numpy as np
import pandas as pd
import pytest
from support import estimators

from aecompanion.evaluate.intervals import interval
from aecompanion.papers.shift import scale, tables as shift_tables
from aecompanion.papers.shift.tables import LEVELS, cube
from aecompanion.report import claims

ESTIMATORS = estimators(5)

FAMILIES = {"vgg": "deep", "resnet": "deep", "resnet_deep": "deep", "inception": "wide", "xception": "wide"}
NETWORKS = list(FAMILIES)
IMAGES = [10, 20, 30, 40]
SETTINGS = [("white", "own_pred"), ("white", "clean_pred"), ("white", "true_label")]
SETTINGS += [("noise", "own_pred"), ("noise", "clean_pred"), ("black", "own_pred")]
OTHER = 0.2  # the ceiling of vgg, that of the next network is 0.1 larger, and so on
OPTIONS = {"resamples": 20, "seed": 0}
ROOT = 1.25**0.5  # the standard deviation of 1, 2, 3, 4 and of 0, 1, 2, 3


def right(arm: str, network: str, seed: int, i: int, j: int) -> bool:
    """How many of the four images are right at the level number j.

    white, deep 4 4 3 2 1; white, wide 4 3 2 1 0; black, deep 4 4 3 3 2; black, wide 4 3 3 2 2; noise as black; but
    without attack the last image is wrong for the xception of seed 2.
    """
    if (network, seed, i, j) == ("xception", 2, 3, 0):
        return False
    late = FAMILIES[network] == "deep"
    return i < (4 - max(j - late, 0) if arm == "white" else 4 - (j + 1 - late) // 2)


def row(arm: str, network: str, seed: int, i: int, j: int) -> dict:
    """One image at the level number j (0: no attack), with numbers that are easy to average.

    NISSIM is j (slope + 0.001 i + 0.002 [seed 2]) with the slope 0.01, 0.02, ..., 0.05 from vgg to xception; over four
    images and two seeds its mean and its median are j (slope + 0.0025). Under noise it is half of that.
    """
    eps = (0.0, *LEVELS)[j]
    n = NETWORKS.index(network)
    nissim = j * (0.01 * (n + 1) + 0.001 * i + 0.002 * (seed == 2)) * (0.5 if arm == "noise" else 1)
    psnr = -20 * np.log10(eps) if eps else np.inf
    found = {"network": network, "family": FAMILIES[network], "seed": seed, "arm": arm, "eps": eps, "image": IMAGES[i]}
    found |= {"correct": right(arm, network, seed, i, j), "correct0": right(arm, network, seed, i, 0)}
    found |= {"psnr": psnr + 0.1 * n, "psnr_float": psnr + 0.05 * (seed == 2)}
    # inverted at the largest level: one image of four, two of inception; the share outside rises by 0.1 (n + 1) a level
    found |= {"rank": -0.5 if j == 4 and i <= (network == "inception") else 0.5, "outside": 0.2 + 0.1 * j * (n + 1)}
    return found | {"nissim": nissim, "ssim": 1 - 2 * nissim, "zero": (network, i, j) == ("resnet", 0, 4)}


@pytest.fixture
def predictions():
    cells = [
        (n, s, arm, j, i)
        for n in NETWORKS
        for s in (1, 2)
        for arm in ("white", "black", "noise")
        for j in range(5)
        for i in range(4)
    ]
    return pd.DataFrame([row(arm, network, seed, i, j) for network, seed, arm, j, i in cells])


@pytest.fixture
def shift(predictions):
    """The rows above for every class mode that is explained in their arm, and another person's maps."""
    clean = predictions[(predictions["arm"] == "white") & (predictions["eps"] == 0)]
    ceilings = OTHER + 0.1 * clean["network"].map(NETWORKS.index)
    other = [clean.assign(arm="other", mode=mode, nissim=ceilings) for mode in ("own_pred", "clean_pred")]
    return pd.concat([*(predictions[predictions["arm"] == arm].assign(mode=mode) for arm, mode in SETTINGS), *other])


@pytest.fixture
def renderings():
    """SSIM in two renderings: the paper's minus 0.3 as numbers, minus 0.1 as overlays, 0.01 apart."""
    kinds = {"scalar, input size": -0.3, "overlay, 224 px": -0.1}
    return pd.DataFrame(
        [
            {"network": network, "seed": seed, "image": image, "rendering": kind, "correct0": True}
            | {
                "arm": "white",
                "mode": "own_pred",
                "ssim": shift_tables.DIGITISED[network][3] + offset + 0.01 * (i - 1.5),
            }
            for network in NETWORKS
            for seed in (1, 2)
            for i, image in enumerate(IMAGES)
            for kind, offset in kinds.items()
        ]
    )


def shuffled(rows):
    """The rows in an order in which neither all rows nor those of any setting begin with vgg, resnet, ..."""
    return rows.sample(frac=1, random_state=1)


def change(rows, column, value, **where):
    """A copy with another value in the rows where the given columns have the given values."""
    chosen = np.logical_and.reduce([rows[name] == wanted for name, wanted in where.items()])
    return rows.assign(**{column: rows[column].mask(chosen, value)})


# ---- the cube


def test_the_cube_is_seeds_images_networks_levels(shift):
    found = cube(shift, "nissim", mode="own_pred")
    assert found.shape == (2, 4, 5, 4)
    for s, i, n, level in np.ndindex(found.shape):
        expected = row("white", NETWORKS[n], s + 1, i, level + 1)
        assert found[s, i, n, level] == expected["nissim"] or not expected["correct0"]


def test_a_heatmap_column_is_nan_exactly_where_the_clean_prediction_was_wrong(shift):
    for column in ("nissim", "correct", "zero"):
        missing = np.isnan(cube(shift, column, mode="own_pred"))
        assert missing[1, 3, 4].all()
        assert missing.sum() == 4


def test_a_column_of_the_predictions_is_kept_where_the_clean_prediction_was_wrong(predictions):
    assert not np.isnan(cube(predictions, "correct")).any()


def test_the_arm_the_mode_and_the_levels_choose_the_rows(shift):
    other = change(shift, "nissim", 7.0, arm="black", mode="own_pred", eps=0.05)
    assert cube(other, "nissim", mode="own_pred", arm="black", levels=(0.01, 0.05))[0, 0, 0].tolist() == [0.01, 7.0]
    assert np.nanmax(cube(other, "nissim", mode="own_pred")) < 1


@pytest.mark.parametrize("column", ["nissim", "psnr"])
def test_the_cube_does_not_depend_on_the_order_of_the_rows_of_a_network(shift, column):
    mixed = shuffled(shift)
    mixed = mixed.assign(network=pd.Categorical(mixed["network"], NETWORKS)).sort_values("network", kind="stable")
    mixed["network"] = mixed["network"].astype(str)
    assert mixed["seed"].tolist() != shift["seed"].tolist()
    expected = cube(shift, column, mode="own_pred")
    assert np.array_equal(cube(mixed, column, mode="own_pred"), expected, equal_nan=True)


@pytest.mark.parametrize(
    "missing",
    [
        {"network": "resnet", "seed": 1, "image": 20, "eps": 0.05},
        {"network": "resnet", "seed": 1},
        {"network": "resnet", "image": 20},
        {"seed": 2, "image": 40},
        {"eps": 0.075},
    ],
    ids=["row", "network-of-a-seed", "image-of-a-network", "image-of-a-seed", "level"],
)
def test_a_missing_row_is_an_error_with_the_column_the_arm_and_the_counts(shift, missing):
    gone = np.logical_and.reduce([shift[name] == value for name, value in missing.items()])
    kept = shift[~gone]
    rows = ((kept["arm"] == "white") & (kept["mode"] == "own_pred") & kept["eps"].isin(LEVELS)).sum()
    expected = rf"^nissim: {rows} rows for arm white, expected seeds × images × networks × ε = \(2, 4, 5, 4\)$"
    with pytest.raises(ValueError, match=expected):
        cube(kept, "nissim", mode="own_pred")


def test_a_mode_that_was_not_explained_is_an_error(shift):
    with pytest.raises(ValueError, match="^nissim: 0 rows"):
        cube(shift[shift["mode"] == "own_pred"], "nissim", mode="clean_pred")


def test_the_curve_is_the_mean_over_seeds_and_images_without_those_left_out():
    values = np.array([[[[1.0, 2.0]], [[3.0, 4.0]]], [[[5.0, np.nan]], [[7.0, 9.0]]]])
    assert shift_tables.curve(values).tolist() == [[4.0, 5.0]]


def test_networks_come_in_the_order_of_the_rows_and_levels_ascending(shift):
    assert shift_tables.names(shift) == NETWORKS
    assert shift_tables.names(shift[::-1]) == NETWORKS[::-1]
    assert shift_tables.levels_of(shift[::-1]) == (0.0, *LEVELS)


def test_the_true_label_is_not_tabulated(shift):
    pairs = [("white", "own_pred"), ("white", "clean_pred"), ("black", "own_pred")]
    assert shift_tables.settings(shift) == [*pairs, ("noise", "own_pred"), ("noise", "clean_pred")]


def test_the_digitised_values_are_found_by_family():
    assert shift_tables.digitised("resnet101") == shift_tables.digitised("resnet_deep") == (0.84, 0.59, 0.51, 0.48)
    assert shift_tables.digitised("efficientnet_lite0") is None
    assert set(shift_tables.DIGITISED) == set(shift_tables.COUNTERPART) == set(NETWORKS)


# ---- tables


def test_the_accuracy_table_holds_every_network_arm_and_level(predictions):
    table = shift_tables.accuracy_table(predictions, **OPTIONS)
    assert list(table.columns) == ["network", "arm", "eps", "mean", "ci_low", "ci_high"]
    means = table.set_index(["arm", "network", "eps"])["mean"].unstack().apply(tuple, axis=1).to_dict()
    deep = ["vgg", "resnet", "resnet_deep"]
    expected = {("white", name): (1, 1, 0.75, 0.5, 0.25) for name in deep}
    expected |= {("black", name): (1, 1, 0.75, 0.75, 0.5) for name in deep}
    expected |= {("noise", name): (1, 1, 0.75, 0.75, 0.5) for name in deep}
    expected |= {
        ("noise", "inception"): (1, 0.75, 0.75, 0.5, 0.5),
        ("noise", "xception"): (0.875, 0.75, 0.75, 0.5, 0.5),
    }
    expected |= {("white", "inception"): (1, 0.75, 0.5, 0.25, 0), ("black", "inception"): (1, 0.75, 0.75, 0.5, 0.5)}
    expected |= {("white", "xception"): (0.875, 0.75, 0.5, 0.25, 0)}
    expected |= {("black", "xception"): (0.875, 0.75, 0.75, 0.5, 0.5)}
    assert means == expected


def test_the_mod_table_holds_means_zero_maps_and_the_papers_values(shift):
    table = scale.mod_table(shift, **OPTIONS)
    columns = ["network", "arm", "mode", "eps", "mean", "ci_low", "ci_high", "noise"]
    columns += ["over_noise", "over_noise_low", "over_noise_high", "ceiling", "share", "share_low", "share_high"]
    assert list(table.columns) == [*columns, "zero_maps", "mean_without_zero", "paper"]
    assert len(table) == 5 * 5 * 4
    found = table.set_index(["arm", "mode", "network", "eps"])
    for arm, mode in shift_tables.settings(shift)[:3]:
        for n, network in enumerate(NETWORKS[:4]):
            for j, eps in enumerate(LEVELS, 1):
                assert found.loc[(arm, mode, network, eps), "mean"] == pytest.approx(j * (0.01 * (n + 1) + 0.0025))
        # of xception, the image 40 of seed 2 is left out: 0.001 (6 + 3) and 0.002 · 3 remain over 7 images
        assert found.loc[(arm, mode, "xception", 0.1), "mean"] == pytest.approx(4 * (0.05 + 0.015 / 7))
    found = found.loc[["white", "black"]]
    zero = found[found["zero_maps"] > 0]
    assert set(zero.index) == {(arm, mode, "resnet", 0.1) for arm, mode in shift_tables.settings(shift)[:3]}
    assert set(zero["zero_maps"]) == {0.25}
    assert zero["mean_without_zero"].tolist() == pytest.approx([4 * (0.02 + 0.002 + 0.001)] * 3)
    others = found[found["zero_maps"] == 0]
    assert others["mean_without_zero"].tolist() == pytest.approx(others["mean"].tolist(), rel=1e-12)
    assert found.loc[("white", "own_pred", "vgg", 0.01), "paper"] == pytest.approx(0.1)
    assert found.loc[("black", "own_pred", "xception", 0.1), "paper"] == pytest.approx(0.285)


def test_the_mod_table_holds_the_floor_the_ceiling_and_what_lies_between(shift):
    found = scale.mod_table(shift, **OPTIONS).set_index(["arm", "mode", "network", "eps"])
    for n, network in enumerate(NETWORKS[:4]):
        for j, eps in enumerate(LEVELS, 1):
            mod, ceiling = j * (0.01 * (n + 1) + 0.0025), OTHER + 0.1 * n
            for arm, mode in shift_tables.settings(shift)[:3]:
                row = found.loc[(arm, mode, network, eps)]
                columns = ["noise", "over_noise", "ceiling", "share"]
                assert row[columns].tolist() == pytest.approx([mod / 2, mod / 2, ceiling, mod / ceiling])
                assert row["over_noise_low"] <= row["over_noise"] <= row["over_noise_high"]
                assert row["share_low"] <= row["share"] <= row["share_high"]
            control = found.loc[("noise", "own_pred", network, eps)]
            assert control[["mean", "noise", "share"]].tolist() == pytest.approx([mod / 2, mod / 2, mod / 2 / ceiling])
            assert control[["over_noise", "over_noise_low", "paper"]].isna().all()


@pytest.mark.parametrize("arm", ["noise", "other"])
def test_without_a_floor_or_a_ceiling_there_is_no_mod_table(shift, arm):
    with pytest.raises(ValueError, match=f"^nissim: 0 rows for arm {arm}, expected"):
        scale.mod_table(shift[shift["arm"] != arm], **OPTIONS)


def test_the_block_holds_the_arm_the_floor_and_the_ceiling_side_by_side(shift):
    block = scale.block(shift, mode="own_pred", arm="white", levels=(0.05, 0.1))
    assert block.shape == (2, 4, 5, 2, 3)
    assert block[1, 2, 1, 0].tolist() == pytest.approx([2 * (0.02 + 0.002 + 0.002), 0.02 + 0.002 + 0.002, OTHER + 0.1])
    assert np.isnan(block[1, 3, 4]).all()  # wrong without attack
    assert np.isnan(block).sum() == 2 * 3


def test_floor_and_ceiling_by_hand():
    # one seed, two images, one network, two levels
    block = np.array([[[[[0.1, 0.0, 0.4], [0.3, 0.2, 0.4]]], [[[0.3, 0.1, 0.6], [0.5, 0.0, 0.6]]]]])
    assert scale.over_noise(block) == pytest.approx(np.array([[0.2 - 0.05, 0.4 - 0.1]]))
    assert scale.noise_share(block) == pytest.approx(np.array([[0.05 / 0.2, 0.1 / 0.4]]))
    assert scale.ceiling_share(block) == pytest.approx(np.array([[0.2 / 0.5, 0.4 / 0.5]]))


def test_the_rendering_table_holds_means_and_the_distance_to_the_paper(renderings):
    table = scale.rendering_table(renderings, **OPTIONS)
    columns = ["network", "arm", "mode", "rendering", "mean", "ci_low", "ci_high", "paper", "distance"]
    assert list(table.columns) == columns
    assert table["network"].tolist() == [name for name in NETWORKS for _ in range(2)]
    assert table["distance"].tolist() == pytest.approx([-0.3, -0.1] * 5)
    assert table["paper"].tolist() == [shift_tables.DIGITISED[name][3] for name in NETWORKS for _ in range(2)]
    wrong = change(renderings, "ssim", 9.0, network="vgg", image=10)
    wrong = change(wrong, "correct0", False, network="vgg", image=10)
    assert scale.rendering_table(wrong, **OPTIONS)["mean"][0] == pytest.approx(0.74 - 0.3 + 0.01 * 0.5)


def test_a_rendering_that_a_network_lacks_is_an_error(renderings):
    kept = renderings[(renderings["network"] != "resnet") | (renderings["rendering"] != "overlay, 224 px")]
    with pytest.raises(ValueError, match="'network': 'resnet', 'rendering': 'overlay, 224 px'"):
        scale.rendering_table(kept, **OPTIONS)


def test_the_factorial_says_what_the_mean_ssim_depends_on(renderings):
    black = renderings.assign(arm="black", ssim=renderings["ssim"] + 0.4)
    table = scale.rendering_table(pd.concat([renderings, black]), **OPTIONS)
    found = scale.factors(table).set_index("factor")["explained"]
    between = np.var([shift_tables.DIGITISED[name][3] for name in NETWORKS])
    total = between + 0.1**2 + 0.2**2
    expected = {"rendering": 0.1**2 / total, "network": between / total, "arm": 0.2**2 / total, "interactions": 0}
    assert found.to_dict() == pytest.approx(expected, abs=1e-9)
    nearest = scale.nearest_cells(table)
    assert nearest["distance"].tolist() == pytest.approx([0.1, 0.1, 0.3, 0.3])
    assert nearest["order"].tolist() == pytest.approx([1, 1, 1, 1])
    assert set(nearest["arm"][:2]) == {"white", "black"}


def test_the_vid_table_holds_the_three_readings_by_hand(shift):
    table = shift_tables.vid_table(shift, **OPTIONS)
    readings = [
        name for reading in ("mod", "image", "spread") for name in (reading, f"{reading}_low", f"{reading}_high")
    ]
    assert list(table.columns) == ["network", "mode", "paper_mod", *readings, "noise"]
    assert list(zip(table["mode"], table["network"], strict=True)) == [
        (mode, network) for mode in ("own_pred", "clean_pred") for network in NETWORKS
    ]
    slopes = [0.0125, 0.0225, 0.0325, 0.0425, (0.0515 + 0.053) / 2]  # xception: seed 1, and seed 2 without image 40
    assert table["mod"].tolist() == pytest.approx([ROOT * slope for slope in slopes] * 2)
    assert table["image"].tolist() == pytest.approx(table["mod"].tolist())  # every image rises
    spread = 2.5 * 0.001 * ROOT  # at level j the four images are 0.001 j apart, and the mean of j is 2.5
    last = 2.5 * 0.001 * (ROOT + (2 / 3) ** 0.5) / 2
    assert table["spread"].tolist() == pytest.approx([spread, spread, spread, spread, last] * 2)
    vgg = [0.1, 0.12, 0.125, 0.13]  # (1 - SSIM) / 2 of the digitised figure; mean 0.11875
    expected = (sum((value - 0.11875) ** 2 for value in vgg) / 4) ** 0.5
    assert table["paper_mod"][0] == pytest.approx(expected)


def test_the_vid_of_noise_stands_beside_that_of_the_attack_where_noise_was_drawn(shift):
    white = shift[(shift["arm"] == "white") & (shift["mode"] == "own_pred")]
    drawn = pd.concat([white, white.assign(arm="noise", nissim=white["nissim"] / 4)])
    table = shift_tables.vid_table(drawn, **OPTIONS)
    assert table["noise"].tolist() == pytest.approx((table["mod"] / 4).tolist())
    assert shift_tables.vid_table(white, **OPTIONS)["noise"].isna().all()


def test_a_network_that_the_paper_has_not_has_no_value_of_the_paper(shift):
    renamed = shift.replace({"network": {"inception": "mine"}})
    for table, column in ((scale.mod_table, "paper"), (shift_tables.vid_table, "paper_mod")):
        rows = table(renamed, **OPTIONS)
        assert rows.loc[rows["network"] == "mine", column].isna().all()
        attacks = rows[rows["arm"] != "noise"] if "arm" in rows else rows
        assert attacks.loc[attacks["network"] != "mine", column].notna().all()


def test_the_intervals_of_a_table_are_those_of_the_bootstrap_over_seeds_and_images(shift, predictions):
    accuracy = shift_tables.accuracy_table(predictions, **OPTIONS).set_index(["network", "arm", "eps"])
    expected = interval(np.nanmean, cube(predictions, "correct", arm="black")[:, :, 3, 1], **OPTIONS)
    found = accuracy.loc[("inception", "black", 0.05), ["mean", "ci_low", "ci_high"]]
    assert found.tolist() == [expected.value, expected.low, expected.high]
    assert expected.low < expected.value < expected.high
    vid = shift_tables.vid_table(shift, **OPTIONS).set_index(["network", "mode"])
    values = cube(shift, "nissim", mode="clean_pred")[:, :, 2]
    expected = interval(shift_tables.vid_statistic("image"), values, **OPTIONS)
    found = vid.loc[("resnet_deep", "clean_pred"), ["image", "image_low", "image_high"]]
    assert found.tolist() == [expected.value, expected.low, expected.high]


@pytest.mark.parametrize("table", [shift_tables.accuracy_table, scale.mod_table, shift_tables.vid_table])
def test_a_table_does_not_depend_on_the_order_of_the_rows(shift, predictions, table):
    rows = predictions if table is shift_tables.accuracy_table else shift
    found, expected = table(shuffled(rows), **OPTIONS), table(rows, **OPTIONS)
    keys = [name for name in ("network", "arm", "mode", "eps") if name in expected]
    found, expected = (given.sort_values(keys, ignore_index=True) for given in (found, expected))
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-12)


# ---- VID of a block


def test_the_readings_of_vid_differ_where_images_move_against_each_other():
    block = np.array([[[0.0, 0.0, 0.1, 0.1], [0.1, 0.1, 0.0, 0.0]]])
    assert shift_tables.vid_statistic("mod")(block) == 0
    assert shift_tables.vid_statistic("image")(block) == pytest.approx(0.05)
    assert shift_tables.vid_statistic("spread")(block) == pytest.approx(0.05)


def test_vid_is_the_mean_over_seeds_and_not_the_vid_of_their_mean():
    block = np.array([[[0.0, 0.2]], [[0.2, 0.0]]])
    assert shift_tables.vid_statistic("mod")(block) == pytest.approx(0.1)


def test_vid_leaves_out_the_images_that_were_wrong_without_attack():
    block = np.array([[[0.0, 0.2], [np.nan, np.nan]]])
    assert shift_tables.vid_statistic("mod")(block) == pytest.approx(0.1)


# ---- estimators


OWN = {"mode": "own_pred"}
BY_HAND = [
    ("psnr_falls", {}, 20 * np.log10(0.1 / 0.075)),
    ("psnr_formula", {"column": "psnr", "levels": [0.05, 0.075, 0.1]}, 0.4),
    ("psnr_formula", {"column": "psnr_float", "levels": [0.01]}, 0.025),
    ("mod_at_zero", OWN, 0.0),
    ("mod_rise", OWN, 3 * 0.0125),
    ("mod_monotone", OWN, 0.0125),
    ("accuracy_rise", {"arm": "white"}, 0.0),
    ("accuracy_rise", {"arm": "black"}, 0.0),
    ("transfer_gap", {}, 0.0),
    ("median_moves", OWN | {"column": "nissim"}, 3 * 0.0125),
    ("median_moves", OWN | {"column": "ssim"}, -2 * 3 * 0.0125),
    # inception: fooled 0.044, right 0.042; xception without image 40 of seed 2: 0.053, 0.052; the deep ones: all right
    ("failure_gap", OWN | {"level": 0.01}, (0.002 + 0.001) / 2),
    ("vgg_margin", OWN | {"level": 0.1}, 4 * (0.0225 - 0.0125)),
    ("deep_minus_wide", {"arm": "white"}, 0.625 - 0.375),
    ("deep_minus_wide", {"arm": "black"}, 0.75 - 0.625),
    ("rise_over_noise", OWN, 3 * 0.0125 / 2),
    ("mod_over_noise", OWN | {"arm": "white", "level": 0.05}, 2 * 0.0125 / 2),
    ("mod_over_noise", OWN | {"arm": "black", "level": 0.1}, 4 * 0.0125 / 2),
    ("share_of_noise", OWN | {"arm": "black", "level": 0.01}, 0.5),
    # shares at level j: j (0.0125, 0.0225, 0.0325, 0.0425) over 0.2, 0.3, 0.4, 0.5, and j (0.05 + 0.015 / 7) over 0.6
    ("vgg_margin_in_shares", OWN | {"level": 0.1}, 4 * (0.0225 / 0.3 - 0.0125 / 0.2)),
    ("deep_below_wide", OWN | {"level": 0.05}, 2 * (0.0425 / 0.5 - 0.0325 / 0.4)),
    ("deeper_resnet_shifts_less", OWN | {"scaled": False}, -2.5 * 0.01),
    ("deeper_resnet_shifts_less", OWN | {"scaled": True}, 2.5 * (0.0225 / 0.3 - 0.0325 / 0.4)),
    ("wide_fall_more", {"arm": "white"}, 0.75 - 0.75),
    ("wide_fall_more", {"arm": "black"}, 0.25 - 0.5),
    ("inverts", OWN | {"network": "inception", "level": 0.1}, 0.5),
    ("inverts", OWN | {"network": "inception", "level": 0.05}, 0.0),
    ("inverts_most", OWN | {"network": "inception", "level": 0.1}, 0.5 - 2 / 7),  # xception: 2 of the 7 that count
    ("spreads", OWN | {"network": "xception", "level": 0.1}, 4 * 0.1 * 5),
    ("spreads_most", OWN | {"network": "xception", "level": 0.1}, 4 * 0.1),
    ("vid_least", OWN, ROOT * 0.0125),
    ("vid_single_level", OWN, 0.0),
    ("vid_follows_rise", OWN, 1.0),
    ("mean_ssim", OWN | {"network": "vgg", "level": 0.1}, 1 - 2 * 4 * 0.0125),
    ("mean_ssim", OWN | {"network": "inception", "level": 0.01}, 1 - 2 * 0.0425),
]


def test_the_least_range_over_renderings_and_the_fall_of_the_distance_by_hand(renderings):
    values, statistic = ESTIMATORS["rendering_range"]({"renderings": renderings})
    assert values.shape == (2, 4, 5, 2)
    assert statistic(values) == pytest.approx(0.2)
    cells = {"cells": ["scalar, input size", "overlay, 224 px"]}
    values, statistic = ESTIMATORS["nearer_as_overlay"]({"renderings": renderings}, **cells)
    assert statistic(values) == pytest.approx(0.3 - 0.1)
    farther = change(renderings, "ssim", 0.24, network="vgg", rendering="overlay, 224 px")
    values, statistic = ESTIMATORS["nearer_as_overlay"]({"renderings": farther}, **cells)
    assert statistic(values) == pytest.approx(0.3 - ((4 * 0.1**2 + 0.5**2) / 5) ** 0.5)


def estimate(name, predictions, shift, **arguments):
    values, statistic = ESTIMATORS[name]({"predictions": predictions, "shift": shift}, **arguments)
    assert values.shape[:2] == (shift["seed"].nunique(), shift["image"].nunique())  # what the bootstrap resamples
    return statistic(values)


@pytest.mark.parametrize(("name", "arguments", "expected"), BY_HAND)
def test_the_estimate_is_the_one_by_hand(predictions, shift, name, arguments, expected):
    assert estimate(name, predictions, shift, **arguments) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "arguments", "expected"), BY_HAND)
def test_an_estimate_does_not_depend_on_the_order_of_the_rows(predictions, shift, name, arguments, expected):
    found = estimate(name, shuffled(predictions), shuffled(shift), **arguments)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "arguments", "changed", "expected"),
    [
        # the rows that differ from those above, and what follows
        ("psnr_falls", {}, ("psnr", 30.0, {"network": "vgg", "eps": 0.1}), 20 * np.log10(1 / 0.075) - 30),
        ("mod_at_zero", OWN, ("nissim", 0.001, {"network": "resnet", "eps": 0.0, "seed": 1, "image": 20}), 0.001),
        ("mod_at_zero", OWN, ("nissim", 0.001, {"network": "xception", "eps": 0.0, "seed": 2, "image": 40}), 0.0),
        ("mod_rise", OWN, ("nissim", 0.0, {"network": "resnet", "eps": 0.1}), -0.0225),
        ("mod_monotone", OWN, ("nissim", 0.02, {"network": "vgg", "eps": 0.05}), 0.02 - 0.0125),
        ("mod_monotone", OWN, ("nissim", 0.05, {"network": "vgg", "eps": 0.05}), 3 * 0.0125 - 0.05),
        ("accuracy_rise", {"arm": "white"}, ("correct", True, {"network": "vgg", "eps": 0.1}), 0.5),
        ("accuracy_rise", {"arm": "black"}, ("correct", False, {"network": "vgg", "eps": 0.0}), 1.0),
        ("transfer_gap", {}, ("correct", False, {"network": "resnet", "eps": 0.05, "arm": "black"}), -0.75),
        ("median_moves", OWN | {"column": "nissim"}, ("nissim", 0.0, {"network": "resnet", "eps": 0.1}), -0.0225),
        ("median_moves", OWN | {"column": "ssim"}, ("ssim", 1.0, {"network": "resnet", "eps": 0.1}), 0.045),
        ("failure_gap", OWN | {"level": 0.01}, ("correct", False, {"network": "inception", "eps": 0.01}), 0.001),
        ("vgg_margin", OWN | {"level": 0.1}, ("nissim", 0.03, {"network": "xception", "eps": 0.1}), 0.03 - 0.05),
        ("vid_least", OWN, ("nissim", 0.2, {"network": "inception"}), 0.0),
        ("rise_over_noise", OWN, ("nissim", 0.0, {"network": "vgg", "eps": 0.1, "arm": "white"}), -2.5 * 0.0125),
        (
            "mod_over_noise",
            OWN | {"arm": "black", "level": 0.1},
            ("nissim", 0.3, {"network": "resnet", "eps": 0.1, "arm": "noise"}),
            4 * 0.0225 - 0.3,
        ),
        (
            "share_of_noise",
            OWN | {"arm": "white", "level": 0.1},
            ("nissim", 0.045, {"network": "resnet", "eps": 0.1, "arm": "white"}),
            1.0,
        ),
        (
            "vgg_margin_in_shares",
            OWN | {"level": 0.1},
            ("nissim", 0.1, {"network": "vgg", "arm": "other"}),
            4 * (0.0225 / 0.3 - 0.0125 / 0.1),
        ),
        ("inverts", OWN | {"network": "inception", "level": 0.1}, ("rank", -0.1, {"network": "inception"}), 1.0),
        ("inverts", OWN | {"network": "inception", "level": 0.1}, ("rank", np.nan, {"image": 10}), 1 / 3),
        (
            "spreads_most",
            OWN | {"network": "xception", "level": 0.1},
            ("outside", 0.0, {"network": "xception", "eps": 0.1}),
            -0.2 - 1.6,
        ),
    ],
)
def test_the_estimate_follows_the_row_that_decides(predictions, shift, name, arguments, changed, expected):
    column, value, where = changed
    found = estimate(name, *(change(rows, column, value, **where) for rows in (predictions, shift)), **arguments)
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_failure_gap_is_undefined_where_no_network_has_both_outcomes(predictions, shift):
    deep = shift["family"] == "deep"
    assert np.isnan(estimate("failure_gap", predictions, shift[deep], mode="own_pred", level=0.01))


@pytest.mark.parametrize(("name", "arguments"), [("vgg_margin", {}), ("mean_ssim", {"network": "vgg"})])
def test_full_size_networks_count_as_their_family(predictions, shift, name, arguments):
    renamed = {"vgg": "vgg16", "resnet": "resnet50", "resnet_deep": "resnet101", "inception": "inception_v3"}
    full = shift.replace({"network": renamed | {"xception": "legacy_xception"}})
    arguments = arguments | {"mode": "own_pred", "level": 0.1}
    assert estimate(name, predictions, full, **arguments) == estimate(name, predictions, shift, **arguments)


SIDES = [
    ("deep_minus_wide", {"arm": "white"}),
    ("deep_below_wide", OWN | {"level": 0.05}),
    ("wide_fall_more", {"arm": "black"}),
]


@pytest.mark.parametrize(("name", "arguments"), SIDES)
def test_a_recogniser_is_neither_deep_nor_wide(predictions, shift, name, arguments):
    both = [
        pd.concat([rows, rows[rows["network"] == "xception"].assign(network="mobilefacenet", family="recogniser")])
        for rows in (predictions, shift)
    ]
    assert estimate(name, *both, **arguments) == estimate(name, predictions, shift, **arguments)
    alone = {each: rows[rows["family"] != "wide"] for each, rows in zip(("predictions", "shift"), both, strict=True)}
    values, statistic = ESTIMATORS[name](alone, **arguments)
    assert np.isnan(statistic(values))


@pytest.mark.parametrize("networks", [["resnet", "inception"], ["vgg"], ["resnet"]])
def test_every_claim_has_a_verdict_for_other_networks_than_the_papers(predictions, shift, renderings, networks):
    """A claim about a family that was not trained, or about a comparison, is not testable there."""
    rows = {
        name: each[each["network"].isin(networks)]
        for name, each in {"predictions": predictions, "shift": shift, "renderings": renderings}.items()
    }
    clean = rows["shift"][(rows["shift"]["arm"] == "other") & (rows["shift"]["mode"] == "own_pred")]
    moved = {"white": 0.2, "mapped": 0.15, "noise": 0.05, "other": 0.3, "bound": 0.95}
    rows["controls"] = pd.concat([clean.assign(**moved, eps=level) for level in (0.01, 0.05)])
    rows["photographs"] = rows["shift"]
    rows["rendered"] = rows["renderings"]
    black = rows["predictions"][(rows["predictions"]["arm"] == "black") & (rows["predictions"]["eps"] > 0)]
    rows["sources"] = pd.concat([black.assign(source=name, source_seed=black["seed"] + 1) for name in networks])
    verdicts = {}
    for claim in (each for each in claims.register() if each.paper == 5):
        verdicts[claim.id] = claims.evaluate(claim, rows, **OPTIONS)["verdict"]
    asked = {"P5.24": "vgg", "P5.25": "resnet", "P5.27": "inception"}  # mean SSIM of one family
    for name, family in asked.items():
        assert (verdicts[name] == "not testable here") is (family not in networks)
    assert verdicts["P5.16"] == "not testable here"  # the VGG moves less than others
    assert verdicts["P5.43"] == verdicts["P5.50"] == verdicts["P5.59"] == "not testable here"
    assert (verdicts["P5.47"] == "not testable here") is (len(networks) == 1)
    assert verdicts["P5.139"] == "not testable here"  # two networks of a side are left when one is taken away


def one_seed(nissim, correct, wrong=()):
    """Rows of a vgg (deep) and an inception (wide): NISSIM per level, images right per level, images wrong at first."""
    rows = [
        {"network": network, "family": FAMILIES[network], "seed": 1, "arm": "white", "mode": "own_pred", "eps": eps}
        | {"image": i, "nissim": nissim[network][j], "correct": i < correct[network][j]}
        | {"correct0": (network, i) not in wrong}
        for network in nissim
        for j, eps in enumerate(LEVELS)
        for i in range(4)
    ]
    return pd.DataFrame(rows)


def test_vid_may_go_against_the_rise():
    # a bump has the larger standard deviation (0.4 · sqrt(3) / 4 against 0.1 · sqrt(3) / 4) and no rise
    rows = one_seed({"vgg": [0.1, 0.5, 0.1, 0.1], "inception": [0.1, 0.1, 0.1, 0.2]}, dict.fromkeys(NETWORKS, [4] * 4))
    assert estimate("vid_follows_rise", rows, rows, mode="own_pred") == pytest.approx(-1)


def test_deep_and_wide_are_compared_within_bins_of_equal_shift():
    nissim = {"vgg": [0.1, 0.1, 0.1, 0.3], "inception": [0.1, 0.3, 0.3, 0.3]}
    correct = {"vgg": [3, 3, 0, 1], "inception": [2, 2, 1, 0]}
    rows = one_seed(nissim, correct, wrong=[("vgg", 3)])
    # around the median: 6 of 9 against 2 of 4 below, 1 of 3 against 3 of 12 above, weighted 4 and 3
    found = estimate("deep_minus_wide_at_equal_shift", rows, rows, mode="own_pred", arm="white", bins=2)
    assert found == pytest.approx((4 * (6 / 9 - 2 / 4) + 3 * (1 / 3 - 3 / 12)) / 7)


def test_a_bin_with_one_family_only_does_not_count():
    nissim = {"vgg": [0.1, 0.1, 0.1, 0.3], "inception": [0.3, 0.3, 0.3, 0.3]}
    rows = one_seed(nissim, {"vgg": [0, 0, 0, 3], "inception": [1, 1, 1, 1]})
    found = estimate("deep_minus_wide_at_equal_shift", rows, rows, mode="own_pred", arm="white", bins=2)
    assert found == pytest.approx(3 / 4 - 1 / 4)


def test_where_no_bin_has_both_families_their_difference_is_undefined():
    rows = one_seed({"vgg": [0.1] * 4, "inception": [0.3] * 4}, {"vgg": [3] * 4, "inception": [1] * 4})
    assert np.isnan(estimate("deep_minus_wide_at_equal_shift", rows, rows, mode="own_pred", arm="white", bins=2))
