import numpy as np
import pandas as pd
import pytest
import torch

from aecompanion.attack.gradient import fgsm, gradient_signs, perturb
from aecompanion.attack.transfer import (
    all_signs,
    attack_all,
    load_signs,
    psnr,
    random_signs,
    save_signs,
    source_in,
    source_of,
)
from aecompanion.networks.folding import folded
from aecompanion.networks.read import predict
from aecompanion.pipeline.rng import generator

EPS = [0.05, 0.3]
KEYS = [("resnet", 1), ("resnet", 2), ("vgg_deep", 1), ("vgg_deep", 2)]


@pytest.fixture
def signs(networks, images, labels):
    return all_signs(networks.items(), images, labels)


@pytest.fixture
def rows(networks, signs, images, labels):
    return attack_all(networks.items(), signs, images, labels, eps=EPS, source="resnet")


# ---- signs and the black-box source


def test_all_signs_are_the_gradient_signs_of_each_network(networks, signs, images, labels):
    assert list(signs) == KEYS
    for key, network in networks.items():
        assert torch.equal(signs[key], gradient_signs(network, images, labels))


@pytest.mark.parametrize(("seed", "expected"), [(0, 1), (1, 3), (2, 3), (3, 7), (7, 1), (9, 1)])
@pytest.mark.parametrize("attacked", ["resnet", "vgg"])
def test_the_source_has_the_next_seed_and_after_the_last_the_first(attacked, seed, expected):
    signs = dict.fromkeys([("vgg", 2), ("resnet", 7), ("resnet", 1), ("resnet", 3)])
    assert source_of((attacked, seed), "resnet", signs) == ("resnet", expected)


def test_with_a_single_seed_the_source_is_attacked_with_its_own_signs():
    signs = dict.fromkeys([("vgg", 1), ("resnet", 1)])
    assert source_of(("resnet", 1), "resnet", signs) == ("resnet", 1)
    assert source_of(("vgg", 1), "resnet", signs) == ("resnet", 1)


def test_an_unknown_source_is_an_error_that_lists_the_trained_networks():
    signs = dict.fromkeys([("vgg", 1), ("resnet", 1), ("resnet", 2)])
    expected = "^source 'compact/resnet' is not among the trained networks, expected one of: resnet, vgg$"
    with pytest.raises(ValueError, match=expected):
        source_of(("vgg", 1), "compact/resnet", signs)


def test_the_source_is_read_back_from_the_black_box_rows():
    rows = pd.DataFrame({"arm": ["white", "black", "black"], "source": ["vgg_1", "resnet_deep_12", "resnet_deep_12"]})
    assert source_in(rows) == ("resnet_deep", 12)


# ---- attacking


def test_every_network_arm_level_and_image_has_one_row_in_this_order(rows):
    columns = ["network", "seed", "arm", "source", "eps", "image", "label", "prediction", "confidence"]
    assert list(rows.columns) == [*columns, "psnr", "psnr_float"]
    expected = [
        (name, seed, arm, eps, image)
        for name, seed in KEYS
        for arm in ("white", "black")
        for eps in (0.0, *EPS)
        for image in range(5)
    ]
    assert list(rows[["network", "seed", "arm", "eps", "image"]].itertuples(index=False, name=None)) == expected
    assert rows["label"].tolist() == [0, 1, 2, 0, 1] * (len(expected) // 5)


def test_level_0_stands_once_per_arm_even_if_it_is_asked_for(networks, signs, images, labels):
    rows = attack_all(networks.items(), signs, images, labels, eps=[0.0, 0.05], source="resnet")
    assert (rows[rows["eps"] == 0].groupby(["network", "seed", "arm", "image"]).size() == 1).all()


def test_the_white_source_is_the_network_itself_and_the_black_one_the_sources_next_seed(rows):
    found = rows.groupby(["network", "seed", "arm"])["source"].unique().map(list).to_dict()
    assert found == {
        ("resnet", 1, "white"): ["resnet_1"],
        ("resnet", 1, "black"): ["resnet_2"],
        ("resnet", 2, "white"): ["resnet_2"],
        ("resnet", 2, "black"): ["resnet_1"],
        ("vgg_deep", 1, "white"): ["vgg_deep_1"],
        ("vgg_deep", 1, "black"): ["resnet_2"],
        ("vgg_deep", 2, "white"): ["vgg_deep_2"],
        ("vgg_deep", 2, "black"): ["resnet_1"],
    }


@pytest.mark.parametrize(("arm", "sender"), [("white", ("vgg_deep", 2)), ("black", ("resnet", 1))])
@pytest.mark.parametrize("eps", [0.0, *EPS])
def test_predictions_confidence_and_psnr_are_those_of_the_perturbed_images(
    networks, signs, rows, images, arm, sender, eps
):
    attacked = perturb(images, signs[sender], eps)
    confidence, prediction = predict(folded(networks["vgg_deep", 2]), attacked).softmax(1).max(1)
    found = rows[(rows["network"] == "vgg_deep") & (rows["seed"] == 2) & (rows["arm"] == arm) & (rows["eps"] == eps)]
    assert found["prediction"].tolist() == prediction.tolist()
    assert found["confidence"].tolist() == confidence.tolist()
    assert found["psnr"].tolist() == psnr(images, attacked).tolist()
    assert found["psnr_float"].tolist() == psnr(images, perturb(images, signs[sender], eps, bits=None)).tolist()


def test_without_an_attack_the_psnr_is_infinite_for_what_was_not_rounded(rows):
    assert (rows.loc[rows["eps"] == 0, "psnr_float"] == np.inf).all()
    assert np.isfinite(rows.loc[rows["eps"] > 0, "psnr_float"]).all()


def test_without_an_attack_the_psnr_of_an_8_bit_image_is_infinite(networks, signs, labels, images):
    stored = (images * 255).round() / 255
    rows = attack_all(networks.items(), signs, stored, labels, eps=[], source="resnet")
    assert rows["psnr"].tolist() == [np.inf] * 4 * 2 * 5


def test_the_perturbed_image_of_stored_signs_is_fgsm_rounded_to_8_bits(networks, signs, images, labels):
    stored = (images * 255).round() / 255
    for key, network in networks.items():
        exact = fgsm(network, stored, labels, eps=8 / 255)
        fresh = gradient_signs(network, stored, labels)
        assert torch.equal(perturb(stored, fresh, 8 / 255), (exact * 255).round() / 255)
        assert torch.equal(fresh, all_signs([(key, network)], stored, labels)[key])


# ---- predicting


@pytest.mark.parametrize("batch", [1, 2, 5, 128])
def test_the_logits_do_not_depend_on_the_batch_size(convolutional, images, batch):
    network, images = convolutional.double(), images.double()  # a batch may sum in another order: 1e-16 instead of 1e-7
    with torch.no_grad():
        expected = network(images)
    assert torch.allclose(predict(network, images, batch=batch), expected, rtol=0, atol=1e-12)


def test_a_network_in_training_mode_predicts_in_evaluation_mode_and_is_returned_as_it_was(
    convolutional, images, condition
):
    expected = predict(convolutional, images)
    before = condition(convolutional.train())
    assert torch.equal(predict(convolutional, images), expected)
    assert condition(convolutional) == before


def test_a_network_that_raises_is_returned_as_it_was(convolutional, images, condition, fail_on_call):
    before = condition(fail_on_call(convolutional.train(), 2))
    with pytest.raises(RuntimeError, match="call 2"):
        predict(convolutional, images, batch=2)
    assert condition(convolutional) == before


def test_predictions_carry_no_gradient(convolutional, images):
    assert not predict(convolutional, images.requires_grad_()).requires_grad


# ---- noise of equal size


def test_random_signs_are_plus_or_minus_1_and_come_from_the_seed_and_the_index_alone():
    found = random_signs((2, 8, 8), seed=5, indices=[3, 0, 11])
    assert (found.shape, found.dtype) == ((3, 2, 8, 8), torch.int8)
    assert found.unique().tolist() == [-1, 1]
    assert torch.equal(random_signs((2, 8, 8), seed=5, indices=[11])[0], found[2])
    assert len(found.flatten(1).unique(dim=0)) == 3
    assert not torch.equal(random_signs((2, 8, 8), seed=6, indices=[3, 0, 11]), found)


@pytest.mark.parametrize(("eps", "levels"), [(0.01, 3), (0.05, 13), (0.075, 19)])
def test_noise_moves_every_pixel_exactly_as_far_as_an_attack_of_its_eps(eps, levels):
    images = torch.full((2, 1, 8, 8), 128 / 255)
    noise, attack = random_signs((1, 8, 8), seed=1, indices=[0, 1]), torch.ones(2, 1, 8, 8, dtype=torch.int8)
    for signs in (noise, attack):
        moved = ((perturb(images, signs, eps) - images) * 255 * signs).round()
        assert moved.unique().tolist() == [levels]
        assert torch.allclose(perturb(images, signs, eps, bits=None), images + eps * signs, atol=1e-7)


def test_the_noise_arm_is_a_third_one_with_the_signs_of_its_training_seed(networks, signs, rows, images, labels):
    noise = {seed: random_signs(images.shape[1:], seed=seed, indices=range(5)) for seed in (1, 2)}
    found = attack_all(networks.items(), signs, images, labels, eps=EPS, source="resnet", noise=noise)
    assert list(found["arm"].unique()) == ["white", "black", "noise"]
    pd.testing.assert_frame_equal(found[found["arm"] != "noise"].reset_index(drop=True), rows)
    chosen = found[(found["arm"] == "noise") & (found["eps"] == 0.05)]
    assert set(zip(chosen["seed"], chosen["source"], strict=True)) == {(1, "noise_1"), (2, "noise_2")}
    own = chosen[(chosen["network"] == "vgg_deep") & (chosen["seed"] == 2)]
    shown = perturb(images, noise[2], 0.05)
    assert own["prediction"].tolist() == predict(networks["vgg_deep", 2], shown).argmax(1).tolist()
    assert own["psnr"].tolist() == psnr(images, shown).tolist()


# ---- PSNR by hand


def test_psnr_of_a_constant_difference_is_minus_20_log10_of_it():
    images = torch.full((3, 2, 4, 4), 0.5, dtype=torch.float64)
    attacked = images + torch.tensor([0.1, 0.01, -0.1], dtype=torch.float64).reshape(3, 1, 1, 1)
    assert psnr(images, attacked).tolist() == pytest.approx([20, 40, 20], abs=1e-5)  # the result is a float32 near 40


def test_psnr_of_one_pixel_in_ten_that_is_off_by_1_is_10_db_and_of_equal_images_infinite():
    images = torch.zeros(2, 1, 2, 5)
    attacked = images.clone()
    attacked[0, 0, 1, 3] = 1
    assert psnr(images, attacked).tolist() == [pytest.approx(10, abs=1e-5), np.inf]


def test_psnr_is_computed_for_each_image_alone():
    images, attacked = torch.rand(2, 4, 3, 5, 5, generator=generator(4, 9))
    alone = [psnr(images[i : i + 1], attacked[i : i + 1]).item() for i in range(4)]
    assert psnr(images, attacked).tolist() == alone


# ---- files


def test_saved_signs_come_back_with_their_networks_and_images(tmp_path, signs):
    save_signs(tmp_path / "signs.npz", signs, np.array([3, 1, 4, 1, 5]))
    loaded, indices = load_signs(tmp_path / "signs.npz")
    assert list(loaded) == KEYS
    assert indices.tolist() == [3, 1, 4, 1, 5]
    for key, values in signs.items():
        assert loaded[key].dtype == torch.int8
        assert torch.equal(loaded[key], values)


def test_signs_are_written_under_exactly_the_given_name(tmp_path, signs):
    save_signs(tmp_path / ".part.signs", signs, np.arange(5))
    assert [file.name for file in tmp_path.iterdir()] == [".part.signs"]
