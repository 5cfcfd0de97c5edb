import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.attack.gradient import perturb, quantise
from aecompanion.explain import attacked_maps
from aecompanion.explain.attacked_maps import key, load, other_maps, partners, save, stage_maps
from aecompanion.explain.gradcam import gradcam
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded

EPS = [0.05, 0.1]
CLASSES = {  # what the network is said to predict: arm, level → class of each of the four images
    ("white", 0.0): [0, 1, 2, 0],
    ("white", 0.05): [0, 1, 1, 1],
    ("white", 0.1): [2, 2, 2, 2],
    ("black", 0.0): [0, 1, 2, 0],
    ("black", 0.05): [0, 1, 2, 1],
    ("black", 0.1): [1, 1, 2, 1],
}
LABELS = [0, 1, 1, 2]
MODES = {"white": ["own_pred", "clean_pred", "true_label"], "black": ["own_pred"]}


@pytest.fixture
def network():
    """Two Grad-CAM layers, 8×8 and 4×4."""
    with seeded(5, 1):
        first, second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, stride=2, padding=1)
        body = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 3))
    return create(body, classes=3, channels=1, size=8, cam_layers=["0", "2"])


@pytest.fixture
def images():
    return torch.rand(4, 1, 8, 8, generator=generator(5, 2))


@pytest.fixture
def signs():
    draws = torch.randint(-1, 2, (2, 4, 1, 8, 8), generator=generator(5, 3)).to(torch.int8)
    return dict(zip(("white", "black"), draws, strict=True))


@pytest.fixture
def predictions():
    parts = [
        pd.DataFrame({"arm": arm, "eps": eps, "label": LABELS, "prediction": classes})
        for (arm, eps), classes in CLASSES.items()
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def maps(network, images, signs, predictions):
    return attacked_maps.attacked_maps(network, images, signs, predictions, eps=EPS, modes=MODES)


def direct(network, images, classes, layer=None):
    return gradcam(network, images, torch.tensor(classes), layer=network.cam_layer(layer))[:, 0].numpy()


# ---- the names of the sets


def test_the_clean_maps_stand_once_and_every_arm_mode_and_level_has_its_set(maps):
    white = [f"white/{mode}/{eps}" for eps in ("0.05", "0.1") for mode in MODES["white"]]
    assert list(maps) == [
        "clean/own_pred",
        "clean/clean_pred",
        "clean/true_label",
        *white,
        "black/own_pred/0.05",
        "black/own_pred/0.1",
    ]
    assert {values.shape for values in maps.values()} == {(4, 4, 4)}
    assert {values.dtype for values in maps.values()} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("white", "own_pred", 0.05), "white/own_pred/0.05"),
        (("black", "true_label", 0.0025), "black/true_label/0.0025"),
        (("black", "own_pred", 0.0), "clean/own_pred"),
        (("white", "own_pred", 1), "white/own_pred/1"),
    ],
)
def test_a_set_is_named_by_arm_mode_and_level_and_level_0_is_clean(arguments, expected):
    assert key(*arguments) == expected


@pytest.mark.parametrize("eps", [0.0025, 0.1, 1 / 3, 8 / 255, 1e-7])
def test_the_name_gives_back_the_level_exactly(eps):
    assert float(key("white", "own_pred", eps).split("/")[2]) == eps


# ---- the maps


@pytest.mark.parametrize(("mode", "classes"), [("own_pred", [0, 1, 2, 0]), ("true_label", LABELS)])
def test_clean_maps_are_grad_cam_of_the_clean_images(maps, network, images, mode, classes):
    clean = perturb(images, torch.zeros(4, 1, 8, 8, dtype=torch.int8), 0)
    expected = direct(network, clean, classes)
    assert expected.max() > 0
    assert np.array_equal(maps[f"clean/{mode}"], expected)


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize(
    ("arm", "mode"),
    [("white", "own_pred"), ("white", "clean_pred"), ("white", "true_label"), ("black", "own_pred")],
)
def test_attacked_maps_are_grad_cam_of_the_attacked_images_for_the_class_of_the_mode(
    maps, network, images, signs, arm, mode, eps
):
    classes = {"own_pred": CLASSES[arm, eps], "clean_pred": CLASSES[arm, 0.0], "true_label": LABELS}[mode]
    found, expected = maps[f"{arm}/{mode}/{eps:g}"], direct(network, perturb(images, signs[arm], eps), classes)
    assert expected.max() > 0
    # an image explained for a second class runs in a smaller batch, which may sum in another order: float32, order 0.1
    assert np.allclose(found, expected, rtol=0, atol=1e-7)


def test_clean_prediction_and_own_prediction_are_the_same_without_an_attack(maps):
    assert np.array_equal(maps["clean/own_pred"], maps["clean/clean_pred"])


def test_no_pair_of_image_and_class_is_explained_twice(network, images, signs, predictions):
    seen = []
    network.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    attacked_maps.attacked_maps(network, images, signs, predictions, eps=EPS, modes=MODES)
    clean, small, large = 4 + 2, 4 + 2 + 1, 4 + 3 + 1  # the own class, the clean one and the label where they are new
    assert sum(seen) == clean + small + large + 4 + 4  # and the own class at both levels in the black-box arm


def test_the_batch_size_changes_nothing(network, images, signs, predictions):
    network, images = network.double(), images.double()  # a batch may sum in another order: 1e-16 instead of 1e-7
    whole, small = (
        attacked_maps.attacked_maps(network, images, signs, predictions, eps=EPS, modes=MODES, batch=batch)
        for batch in (128, 3)
    )
    assert list(whole) == list(small)
    assert all(np.allclose(whole[name], small[name], rtol=0, atol=1e-12) for name in whole)


def test_stage_maps_hold_every_layer_at_its_own_resolution_for_the_own_class(network, images, signs, predictions):
    white = predictions[predictions["arm"] == "white"]
    maps = stage_maps(network, images, signs["white"], white, eps=EPS)
    assert list(maps) == ["0/0", "2/0", "0/0.05", "2/0.05", "0/0.1", "2/0.1"]
    for name, values in maps.items():
        layer, eps = name.split("/")
        shown = perturb(images, signs["white"], float(eps))
        assert np.array_equal(values, direct(network, shown, CLASSES["white", float(eps)], layer))
        assert values.shape == ((4, 8, 8) if layer == "0" else (4, 4, 4))


def test_stage_maps_of_the_first_images_take_the_first_predictions(network, images, signs, predictions):
    white = predictions[predictions["arm"] == "white"]
    few = stage_maps(network, images[:2], signs["white"][:2], white, eps=[0.1])
    expected = direct(network, perturb(images[:2], signs["white"][:2], 0.1), [2, 2])
    assert np.array_equal(few["2/0.1"], expected)


# ---- another person


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2] * 10, [0] * 50 + [1], list(range(20))])
def test_nobody_is_paired_with_the_own_person(labels, seed):
    labels = torch.tensor(labels)
    found = partners(labels, seed=seed)
    assert (labels[found] != labels).all()
    assert torch.equal(found, partners(labels, seed=seed))


def test_partners_are_spread_over_all_others_and_another_seed_draws_others():
    labels = torch.arange(6).repeat(200)
    found = partners(labels, seed=1)
    counts = torch.bincount(labels[found] - labels + 5, minlength=11)
    assert counts[5] == 0
    shares = torch.bincount(labels[found][labels == 0], minlength=6)[1:] / 200
    assert (shares - 0.2).abs().max() < 0.15  # five standard deviations of a fifth among 200
    assert not torch.equal(found, partners(labels, seed=2))


def test_images_of_a_single_person_have_no_partner():
    with pytest.raises(ValueError, match=r"^all 3 images have one label, expected images of at least two people$"):
        partners(torch.tensor([4, 4, 4]), seed=1)


def test_another_persons_maps_are_those_of_the_partner_for_the_own_and_for_the_first_images_class(network, images):
    classes, pairing = torch.tensor([0, 1, 2, 0]), torch.tensor([2, 0, 1, 1])
    clean = direct(network, quantise(images), [0, 1, 2, 0])
    found = other_maps(network, images, classes, pairing, clean=clean)
    assert list(found) == ["other/own_pred/0", "other/clean_pred/0"]
    assert np.array_equal(found["other/own_pred/0"], clean[[2, 0, 1, 1]])
    expected = direct(network, quantise(images)[pairing], [0, 1, 2, 0])
    assert np.array_equal(found["other/clean_pred/0"], expected)
    assert not np.array_equal(expected, clean[[2, 0, 1, 1]])


# ---- files


def test_saved_maps_come_back_as_tensors_with_a_channel_axis(tmp_path, maps):
    save(tmp_path / ".part.maps", maps)
    assert [file.name for file in tmp_path.iterdir()] == [".part.maps"]
    loaded = load(tmp_path / ".part.maps")
    assert list(loaded) == list(maps)
    for name, values in maps.items():
        assert torch.equal(loaded[name], torch.from_numpy(values)[:, None])
