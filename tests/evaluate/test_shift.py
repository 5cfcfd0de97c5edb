import pandas as pd
import pytest
import torch

from aecompanion.evaluate.dissimilarity import nissim, ssim
from aecompanion.evaluate.shift import compare, join_predictions, outside, variants
from aecompanion.explain.gradcam import heatmap
from aecompanion.pipeline.rng import generator

SIZE = 16
COLUMNS = ["arm", "mode", "eps", "position", "ssim", "nissim", "rank", "outside", "zero0", "zero", "peak0", "peak"]
MAPS = ["clean/own_pred", "clean/true_label", "white/own_pred/0.05", "white/true_label/0.05", "black/own_pred/0.05"]


@pytest.fixture
def maps():
    """Coarse maps of three images; the last clean and the first white one are zero everywhere."""
    drawn = torch.rand(len(MAPS), 3, 1, 4, 4, generator=generator(6, 1)) * 2
    found = dict(zip(MAPS, drawn, strict=True))
    found["clean/own_pred"][2] = 0
    found["white/own_pred/0.05"][0] = 0
    return found


@pytest.fixture
def rows(maps):
    return compare(maps, size=SIZE)


def chosen(rows, arm, mode, eps):
    return rows[(rows["arm"] == arm) & (rows["mode"] == mode) & (rows["eps"] == eps)]


# ---- comparing


def test_every_set_of_maps_has_rows_and_the_clean_ones_stand_once_per_arm_and_mode(rows):
    assert list(rows.columns) == COLUMNS
    found = rows.groupby(["arm", "mode", "eps"])["position"].apply(list).to_dict()
    sets = [("white", "own_pred"), ("white", "true_label"), ("black", "own_pred")]
    assert found == {(arm, mode, eps): [0, 1, 2] for arm, mode in sets for eps in (0.0, 0.05)}


def test_variants_are_the_same_pairs_under_other_settings(maps):
    settings = {"small": {"window": 3}, "jet": {"jet": True}}
    found = variants(maps, size=SIZE, settings=settings)
    assert set(zip(found["arm"], found["mode"], found["eps"], strict=True)) == {
        (arm, "own_pred", 0.05) for arm in ("white", "black")
    }
    for column, options in settings.items():
        expected = chosen(compare(maps, size=SIZE, **options), "black", "own_pred", 0.05)["nissim"]
        assert chosen(found, "black", "own_pred", 0.05)[column].tolist() == expected.tolist()


def test_without_an_attack_nothing_has_moved(rows):
    clean = rows[rows["eps"] == 0]
    assert clean["nissim"].abs().max() <= 1e-6
    assert (clean["zero"] == clean["zero0"]).all()
    assert (clean["peak"] == clean["peak0"]).all()


def test_identical_attacked_maps_have_not_moved(maps):
    maps["white/own_pred/0.05"] = maps["clean/own_pred"].clone()
    assert chosen(compare(maps, size=SIZE), "white", "own_pred", 0.05)["nissim"].abs().max() <= 1e-6


@pytest.mark.parametrize("options", [{}, {"window": 3}, {"window": 11, "gaussian": 1.5}, {"jet": True}])
@pytest.mark.parametrize(("arm", "mode"), [("white", "own_pred"), ("white", "true_label"), ("black", "own_pred")])
def test_the_shift_is_the_dissimilarity_of_the_heatmaps_to_the_clean_ones_of_the_same_mode(maps, arm, mode, options):
    pair = [heatmap(maps[name], SIZE) for name in (f"clean/{mode}", f"{arm}/{mode}/0.05")]
    found = chosen(compare(maps, size=SIZE, **options), arm, mode, 0.05)
    assert found["ssim"].tolist() == ssim(*pair, **options).tolist()
    assert found["nissim"].tolist() == nissim(*pair, **options).tolist()
    assert found["nissim"].max() > 0.1


def test_a_flat_heatmap_against_no_heatmap_has_the_ssim_on_paper():
    maps = {"clean/own_pred": torch.full((1, 1, 4, 4), 3.0), "white/own_pred/0.1": torch.zeros(1, 1, 4, 4)}
    # normalised to 1 and 0 everywhere: no variance, so SSIM = F1.1 / (1 + F1.1) with F1.1 = 0.01² (and F1.2 / F1.2 = 1)
    row = chosen(compare(maps, size=SIZE), "white", "own_pred", 0.1).iloc[0]
    assert row["ssim"] == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-4)
    assert row["nissim"] == pytest.approx((1 - 1e-4 / (1 + 1e-4)) / 2, abs=1e-6)
    assert (row["peak0"], row["peak"], row["zero0"], row["zero"]) == (3.0, 0.0, False, True)


def test_zero_maps_are_flagged_and_peaks_are_those_before_normalisation(maps, rows):
    found = chosen(rows, "white", "own_pred", 0.05)
    assert found["zero0"].tolist() == [False, False, True]
    assert found["zero"].tolist() == [True, False, False]
    assert found["peak0"].tolist() == maps["clean/own_pred"].flatten(1).amax(1).tolist()
    assert found["peak"].tolist() == maps["white/own_pred/0.05"].flatten(1).amax(1).tolist()


# ---- floor and ceiling


def test_another_persons_maps_are_compared_with_the_own_clean_ones_and_stand_once_at_eps_0(maps):
    order = [1, 2, 0]
    maps["other/own_pred/0"] = maps["clean/own_pred"][order]
    found = chosen(compare(maps, size=SIZE), "other", "own_pred", 0.0)
    pair = [heatmap(each, SIZE) for each in (maps["clean/own_pred"], maps["clean/own_pred"][order])]
    assert found["nissim"].tolist() == nissim(*pair).tolist()
    assert found["position"].tolist() == [0, 1, 2]
    assert found["nissim"].min() > 0.01


def test_the_noise_arm_has_its_clean_rows_and_its_levels(maps):
    maps["noise/own_pred/0.05"] = maps["white/own_pred/0.05"].clone()
    found = compare(maps, size=SIZE)
    assert chosen(found, "noise", "own_pred", 0.0)["nissim"].abs().max() <= 1e-6
    columns = [name for name in COLUMNS if name != "arm"]
    both = [chosen(found, arm, "own_pred", 0.05)[columns].reset_index(drop=True) for arm in ("noise", "white")]
    pd.testing.assert_frame_equal(*both)


# ---- what a row says of the map itself


def test_the_rank_correlation_of_a_map_with_itself_is_1_with_its_negative_minus_1_with_none_undefined():
    ramp = torch.arange(16.0).reshape(1, 1, 4, 4)
    maps = {
        "clean/own_pred": ramp.expand(3, -1, -1, -1),
        "white/own_pred/0.1": torch.cat([ramp**2, 15 - ramp, 0 * ramp]),
    }
    found = chosen(compare(maps, size=SIZE), "white", "own_pred", 0.1)["rank"].tolist()
    assert found[:2] == pytest.approx([1, -1])
    assert pd.isna(found[2])


def test_the_share_outside_the_ellipse_is_1_in_a_corner_0_in_the_middle_and_3_pi_16_short_of_1_where_flat():
    flat = torch.ones(4, 1, 200, 200)
    flat[0, :, 20:] = 0  # the upper rows of two corners and the top of the ellipse
    flat[1, :, :40, 25:], flat[1, :, 40:] = 0, 0  # a corner
    middle = torch.zeros(200, 200)
    middle[60:140, 70:130] = 1
    flat[2], flat[3] = middle, 0
    found = outside(flat)
    assert found[1:3].tolist() == [1, 0]
    assert 0.41 < found[0] < 1
    assert torch.isnan(found[3])
    assert outside(torch.ones(1, 1, 200, 200)).item() == pytest.approx(1 - 3 * torch.pi / 16, abs=1e-3)


# ---- joining


@pytest.fixture
def small():
    """Two images, their shift at one level in two modes and what the network said of them."""
    sets = [("white", "own_pred"), ("white", "true_label"), ("black", "own_pred")]
    shift = pd.DataFrame(
        [(arm, mode, eps, i, eps + i) for arm, mode in sets for eps in (0.0, 0.1) for i in (0, 1)],
        columns=["arm", "mode", "eps", "position", "nissim"],
    )
    outcomes = {  # arm, eps → prediction of image 30 (label 3) and of image 10 (label 1)
        ("white", 0.0): (3, 0),
        ("white", 0.1): (2, 1),
        ("black", 0.0): (3, 0),
        ("black", 0.1): (3, 2),
    }
    predictions = pd.DataFrame(
        [
            (arm, eps, image, label, said, said == label, eps + 1, f"{arm}_1")
            for (arm, eps), both in outcomes.items()
            for image, label, said in zip((30, 10), (3, 1), both, strict=True)
        ],
        columns=["arm", "eps", "image", "label", "prediction", "correct", "psnr", "source"],
    )
    return shift, predictions.assign(network="vgg", family="deep", seed=4, confidence=0.5)


def test_every_row_gets_its_network_image_prediction_and_the_outcome_without_attack(small):
    joined = join_predictions(*small)
    assert list(joined.columns) == [
        *("arm", "mode", "eps", "nissim", "network", "family", "seed", "image", "label", "prediction", "correct"),
        *("psnr", "source", "prediction0", "correct0"),
    ]
    columns = ["arm", "mode", "eps", "image", "nissim", "prediction", "correct", "prediction0", "correct0"]
    assert list(joined[columns].itertuples(index=False, name=None)) == [
        ("white", "own_pred", 0.0, 30, 0.0, 3, True, 3, True),
        ("white", "own_pred", 0.0, 10, 1.0, 0, False, 0, False),
        ("white", "own_pred", 0.1, 30, 0.1, 2, False, 3, True),
        ("white", "own_pred", 0.1, 10, 1.1, 1, True, 0, False),
        ("white", "true_label", 0.0, 30, 0.0, 3, True, 3, True),
        ("white", "true_label", 0.0, 10, 1.0, 0, False, 0, False),
        ("white", "true_label", 0.1, 30, 0.1, 2, False, 3, True),
        ("white", "true_label", 0.1, 10, 1.1, 1, True, 0, False),
        ("black", "own_pred", 0.0, 30, 0.0, 3, True, 3, True),
        ("black", "own_pred", 0.0, 10, 1.0, 0, False, 0, False),
        ("black", "own_pred", 0.1, 30, 0.1, 3, True, 3, True),
        ("black", "own_pred", 0.1, 10, 1.1, 2, False, 0, False),
    ]
    assert set(joined[["network", "family", "seed"]].itertuples(index=False, name=None)) == {("vgg", "deep", 4)}
    assert joined["source"].tolist() == ["white_1"] * 8 + ["black_1"] * 4


def test_another_persons_rows_get_what_was_said_of_the_image_they_are_compared_with(small):
    shift, predictions = small
    other = pd.DataFrame({"arm": "other", "mode": "own_pred", "eps": 0.0, "position": [0, 1], "nissim": [0.3, 0.4]})
    joined = join_predictions(pd.concat([shift, other], ignore_index=True), predictions)
    found = joined[joined["arm"] == "other"]
    columns = ["eps", "image", "label", "prediction", "prediction0", "correct0", "nissim"]
    assert list(found[columns].itertuples(index=False, name=None)) == [
        (0.0, 30, 3, 3, 3, True, 0.3),
        (0.0, 10, 1, 0, 0, False, 0.4),
    ]
    assert len(joined) == len(shift) + 2


def test_levels_that_were_attacked_but_not_explained_are_left_out(small):
    shift, predictions = small
    joined = join_predictions(shift[shift["eps"] == 0], predictions)
    assert joined["eps"].tolist() == [0.0] * 6
