import re

import pandas as pd
import pytest
import torch
import torchvision
from torch import nn

from aecompanion.data import photos
from aecompanion.networks.bring import bring
from aecompanion.networks.efficientnet_lite import EfficientNetLite0
from aecompanion.networks.normalisation import USUAL, advice, compare_normalisations, with_normalisation
from aecompanion.networks.zoo import Network
from aecompanion.pipeline.paths import DATA, raw
from aecompanion.pipeline.rng import generator, seeded

PLAIN = {"classes": 4, "size": 16, "mean": 0.5, "std": 0.25}


class Tiny(nn.Module):
    """Somebody's network: two convolutions, then the mean of each channel."""

    def __init__(self, classes: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 6, 3, padding=1)
        self.second = nn.Conv2d(6, classes, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(images).relu()).mean((2, 3))


class Answers(Tiny):
    """Gives something else than logits."""

    def __init__(self, change, **options) -> None:
        with seeded(3):
            super().__init__(**options)
        self.change = change

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.change(super().forward(images))


def sentence(source, **options) -> str:
    with pytest.raises(ValueError, match=".") as caught:
        bring(source, **PLAIN | options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# what comes back


def test_a_module_comes_back_with_its_normalisation_inside_and_in_evaluation_mode():
    body, images = Tiny(), torch.rand(2, 3, 16, 16)
    network = bring(body, **PLAIN | {"mean": [0.1, 0.2, 0.3], "std": [0.2, 0.3, 0.4]})
    shift, scale = (torch.tensor(values).reshape(1, 3, 1, 1) for values in ([0.1, 0.2, 0.3], [0.2, 0.3, 0.4]))
    assert isinstance(network, Network)
    assert not network.training
    torch.testing.assert_close(network(images), body((images - shift) / scale))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_state_dict_is_loaded_with_and_without_a_wrappers_prefix(tmp_path, prefix):
    with seeded(5):
        trained = Tiny()
    torch.save({prefix + name: value for name, value in trained.state_dict().items()}, tmp_path / "own.pt")
    network, images = bring(Tiny(), weights=tmp_path / "own.pt", **PLAIN), torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(network(images), trained((images - 0.5) / 0.25))


def test_a_network_by_name_gets_as_many_outputs_as_there_are_class_names():
    network = bring("compact/resnet", **PLAIN | {"classes": ["a", "b", "c"], "size": 48})
    assert network(torch.rand(1, 3, 48, 48)).shape == (1, 3)


def test_a_grey_image_is_repeated_for_a_network_of_three_channels():
    network, grey = bring(Tiny(), **PLAIN), torch.rand(2, 1, 16, 16)
    assert torch.equal(network(grey), network(grey.expand(-1, 3, -1, -1)))


def test_the_card_says_whether_labels_exclude_each_other():
    assert [bring(Tiny(), **PLAIN, multi_label=several).card["multi_label"] for several in (False, True)] == [0, 1]


def test_the_checks_leave_the_body_as_it_was(condition):
    body = Tiny().train()
    before = condition(body)
    with pytest.raises(ValueError, match="gives 4 outputs"):
        bring(body, **PLAIN | {"classes": 5})
    assert condition(body) == before


# what is refused


def test_another_number_of_outputs_is_one_sentence():
    assert sentence(Tiny(), classes=["a"] * 10) == "Tiny gives 4 outputs, expected 10 (one per class)"


def test_a_state_dict_with_another_number_of_outputs_is_named(tmp_path):
    torch.save(Tiny(classes=7).state_dict(), tmp_path / "seven.pt")
    expected = (
        f"{tmp_path}/seven.pt: has 7 classes, expected 4 (second.weight of Tiny is (7, 6, 3, 3)): set classes to what "
        "the weights have"
    )
    assert sentence(Tiny(), weights=tmp_path / "seven.pt") == expected


def test_missing_weights_are_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pt: no such file, expected a state dict"):
        bring(Tiny(), weights=tmp_path / "gone.pt", **PLAIN)


@pytest.mark.parametrize(("inside", "given"), [(1, 3), (3, 1)])
def test_another_number_of_channels_is_one_sentence_that_says_what_to_set(inside, given):
    expected = f"the network's first convolution takes {inside} channel(s), channels is {given}: set channels={inside}"
    assert sentence(Tiny(channels=inside), channels=given) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda z: z.softmax(1), "gives probabilities (they add up to 1), expected logits: take its softmax out"),
        (lambda z: (z, z), "returns tuple for 2 images, expected a tensor of 2×4 logits"),
        (lambda z: z[:, :, None], "returns shape (2, 4, 1) for 2 images, expected a tensor of 2×4 logits"),
        (lambda z: z * torch.nan, "gives NaN or infinite logits for images in [0, 1], expected finite numbers"),
    ],
)
def test_anything_but_logits_is_one_sentence(change, expected):
    assert sentence(Answers(change)) == f"Answers {expected}"


def test_a_factory_that_takes_other_arguments_is_one_sentence():
    found = sentence("aecompanion.networks.efficientnet_lite:EfficientNetLite0")
    assert found.startswith(
        "'aecompanion.networks.efficientnet_lite:EfficientNetLite0' cannot be called with classes, channels, "
    )


def test_a_yes_no_network_of_one_output_is_told_to_get_a_second_logit():
    expected = "Tiny gives 1 output(s) for 1 class(es), expected at least 2: give a yes/no network a second logit of 0"
    assert sentence(Tiny(classes=1), classes=1) == expected


def test_an_image_too_small_for_the_network_is_one_sentence():
    body = nn.Sequential(nn.Conv2d(3, 4, 9), nn.MaxPool2d(9), nn.Flatten(), nn.Linear(4, 4))
    found = sentence(body, size=16)
    assert found.startswith("Sequential fails on images of 3×16×16 (")
    assert found.endswith("), expected a network for this size")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mean": 127.5}, "mean is 127.5, expected pixel units in [0, 1]: divide grey levels by 255"),
        ({"std": [58.4, 57.1, 57.4]}, "std is [58.4, 57.1, 57.4], expected pixel units in [0, 1]: divide grey levels "),
        ({"std": 0.0}, "std is 0.0, expected positive numbers"),
        ({"mean": -0.5}, "mean is -0.5, expected at least 0"),
        ({"mean": [0.5, 0.5]}, "mean has 2 values, expected 1 or 3 (one per channel)"),
        ({"mean": [0.5, 0.5, 0.5], "channels": 1}, "mean has 3 values, expected 1 (grey)"),
    ],
)
def test_a_normalisation_in_other_units_is_one_sentence(options, expected):
    assert sentence(Tiny(), **options).startswith(expected)


def test_a_layer_without_places_is_one_sentence():
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 4))
    expected = "Grad-CAM layer '1' returns the shape (1, 784), expected N×K×h×w: pass cam_layers=[...]"
    assert sentence(body, cam_layers=["1"]) == expected


def test_a_layer_of_a_single_place_is_warned_of():
    body = nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten())
    with pytest.warns(UserWarning, match=r"layer '0' has a single place at 16 px: its maps are flat, expected an earl"):
        bring(body, **PLAIN, cam_layers=["0"])


# the default layer


@pytest.mark.parametrize("parts", [(nn.Flatten(), nn.Linear(768, 4)), (nn.Conv2d(3, 4, 16), nn.Flatten())])
def test_a_network_without_places_needs_a_named_layer(parts):
    expected = "Sequential has no late layer N×K×h×w at 16 px that everything passes through, so Grad-CAM has no layer"
    assert sentence(nn.Sequential(*parts)) == expected + ": pass cam_layers=[...]"


class Dense(nn.Module):
    """Everything before it and what its last convolution adds are read side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 2, 3, padding=1)
        self.joined, self.fc = nn.ReLU(), nn.Linear(8, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        early = self.first(images)
        return self.fc(self.joined(torch.cat([early, self.second(early)], 1)).mean((2, 3)))


class Gated(Dense):
    """The last convolution only weighs channels; the classifier is a convolution too."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.classifier = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 4, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        early = self.first(images)
        weighed = early * self.gate(early.mean((2, 3), keepdim=True)).sigmoid()
        return self.classifier(weighed.mean((2, 3), keepdim=True)).flatten(1)


class Patches(nn.Module):
    """A transformer in small: places only in the first layer, tokens in all that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.blocks = nn.Sequential(*[nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU()) for _ in range(3)])
        self.fc = nn.Linear(8, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.blocks(self.patches(images).flatten(2).mT).mean(1))


@pytest.mark.parametrize(("body", "layer"), [(Tiny, "second"), (Dense, "joined"), (Gated, "first")])
def test_the_default_layer_is_the_last_one_that_everything_passes_through(body, layer):
    assert bring(body(), **PLAIN).card["cam_layers"] == [layer]


def test_where_nothing_late_has_places_a_layer_is_asked_for():
    assert sentence(Patches()).endswith("so Grad-CAM has no layer: pass cam_layers=[...]")


def test_zeros_that_a_library_leaves_in_a_fresh_network_let_no_layer_pass():
    body = Dense()
    nn.init.zeros_(body.fc.weight)
    assert bring(body, **PLAIN).cam_layers == ("joined",)
    assert not body.fc.weight.any()


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("torchvision/resnet18", ("layer4",)),
        ("torchvision/densenet121", ("features",)),
        ("timm/resnet10t", ("layer4",)),
        ("torchvision/inception_v3", ("Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")),
    ],
)
def test_networks_by_name_have_a_layer_before_the_pooling(name, layers):
    assert bring(name, classes=4, size=96).cam_layers == layers


def test_a_vision_transformer_by_name_needs_a_named_layer():
    assert sentence("timm/vit_tiny_patch16_224", size=224).endswith("pass cam_layers=[...]")


# networks that answer, but not as they should


def test_a_network_that_squeezes_is_told_so():
    class Squeezing(Tiny):
        def forward(self, images):
            return nn.functional.adaptive_avg_pool2d(self.second(self.first(images)), 1).squeeze()

    expected = "Squeezing returns shape (4,) for a single image, expected 1×4: let it drop named axes only, as in "
    assert sentence(Squeezing()) == expected + "flatten(1) in the place of squeeze()"


def test_a_network_that_needs_several_images_is_told_so():
    class Together(Tiny):
        def forward(self, images):
            return nn.functional.batch_norm(super().forward(images), None, None, training=True)

    found = sentence(Together())
    assert found.startswith("Together fails on a single image (")
    assert found.endswith("), expected any number")


def test_statistics_over_the_batch_are_told_of():
    expected = "Answers answers differently for an image alone and beside another, expected no statistics over the "
    assert sentence(Answers(lambda z: z + len(z))) == expected + "batch in evaluation mode"


@pytest.mark.parametrize("change", [lambda z: nn.functional.dropout(z, 0.5), lambda z: z + torch.rand_like(z)])
def test_a_network_that_answers_differently_each_time_is_told_so(change):
    found = sentence(Answers(change))
    assert found.startswith("Answers answers differently each time (by up to ")
    assert found.endswith("chance to be off in evaluation mode: F.dropout needs training=self.training")


def test_looking_for_chance_leaves_torchs_own_generator_alone():
    body = Answers(lambda z: nn.functional.dropout(z, 0.5))
    before = torch.get_rng_state()
    sentence(body)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize(
    "change", [torch.sigmoid, lambda z: (20 * z).sigmoid(), lambda z: 1 / (1 + (-z).exp()), lambda z: z.sigmoid()[:, :]]
)
def test_a_sigmoid_at_the_end_is_one_sentence(change, multi_label):
    expected = "Answers gives probabilities (of a sigmoid), expected logits: take its sigmoid out"
    assert sentence(Answers(change), multi_label=multi_label) == expected


def test_logarithms_of_probabilities_are_logits_of_a_softmax_only():
    network = bring(Answers(lambda z: z.log_softmax(1)), **PLAIN)
    logits = network(torch.rand(2, 3, 16, 16))
    torch.testing.assert_close(logits.softmax(1), logits.exp())
    expected = "Answers gives logarithms of a softmax, expected independent logits: take its log_softmax out or set "
    assert sentence(Answers(lambda z: z.log_softmax(1)), multi_label=True) == expected + "multi_label=False"
    assert "logarithms of a sigmoid" in sentence(Answers(nn.functional.logsigmoid), multi_label=True)


@pytest.mark.parametrize("change", [lambda z: 0.01 * z + 0.5, lambda z: -z.exp(), torch.tanh, lambda z: z.relu() + 1])
def test_logits_that_happen_to_lie_between_zero_and_one_or_below_are_accepted(change):
    bring(Answers(change), **PLAIN)


def test_a_network_without_gradients_is_one_sentence():
    expected = "Answers gives logits without a gradient, expected no torch.no_grad and no detach inside"
    assert sentence(Answers(lambda z: z.detach())) == expected


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_another_precision_is_named(kind):
    expected = f"Tiny holds {kind} numbers (first.weight), expected torch.float32 as images are: convert it by .float()"
    assert sentence(Tiny().to(kind)) == expected


@pytest.mark.parametrize("grad", [False, True])
def test_a_compiled_network_is_taken_as_it_was_before(grad):
    body, images = Tiny().eval().requires_grad_(False), torch.rand(2, 3, 16, 16)
    compiled = torch.compile(body, backend="eager")
    with torch.set_grad_enabled(grad):
        compiled(images)
    network = bring(compiled, **PLAIN)
    assert network.body is body
    assert (network.card["name"], network.cam_layers) == ("Tiny", ("second",))


def test_a_part_that_is_compiled_is_named():
    body = Tiny()
    body.first = torch.compile(body.first, backend="eager")
    expected = "Tiny has a compiled part (first), whose layers cannot be watched, expected the network before"
    assert sentence(body).startswith(expected)
    body = Tiny()
    body.compile(backend="eager")
    assert sentence(body).startswith("Tiny has a compiled part (itself)")


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_official_weights_with_the_heads_of_the_training_are_taken(tmp_path, name):
    options = {"num_classes": 4, "aux_logits": True, "init_weights": False}
    trained = torchvision.models.get_model(name, weights=None, **options).eval()
    torch.save(trained.state_dict(), tmp_path / "official.pt")
    network = bring(f"torchvision/{name}", classes=4, weights=tmp_path / "official.pt", size=96, mean=0.5, std=0.5)
    images = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(network(images), trained((images - 0.5) / 0.5))
    assert network.cam_layers[-1] in ("Mixed_7c", "inception5b")


# the normalisation


class Bright(nn.Module):
    """Says class 1 where the normalised mean is above 0: right for images cut at 0.5, wrong for other means."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.constant_(self.conv.weight, 1 / 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = self.conv(images).mean((2, 3))
        return torch.cat([-score, score], 1)


@pytest.fixture
def cut():
    """Ten images of one grey each, five of them dark (0) and five bright (1)."""
    levels = torch.linspace(0.05, 0.95, 10)
    return levels.reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8).contiguous(), (levels > 0.5).long()


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.9, 0.5)])
def test_a_wrong_normalisation_is_noticed_in_a_sentence_with_the_better_one(cut, mean, std):
    table = compare_normalisations(bring(Bright(), classes=2, size=8, mean=mean, std=std), *cut)
    assert table["normalisation"].iloc[0] == "as given"
    assert table["right"].iloc[0] <= 6
    assert advice(table).startswith(f"the normalisation looks wrong: {table['right'].iloc[0]} of 10 labelled images ")
    assert advice(table).endswith("10 with [-1, 1] (mean [0.5], std [0.5])")


def test_the_right_normalisation_is_not_complained_of_and_not_tried_twice(cut):
    table = compare_normalisations(bring(Bright(), classes=2, size=8, mean=0.5, std=0.5), *cut)
    assert advice(table) is None
    assert table["right"].iloc[0] == table["images"].iloc[0] == 10
    assert len(table) == len(USUAL)
    assert "[-1, 1]" not in table["normalisation"].tolist()


def judged(right: list[int], log_p: list[float]) -> pd.DataFrame:
    """A table of the given normalisation and another one."""
    columns = {"normalisation": ["as given", "[0, 1]"], "mean": [[0.5], [0.0]], "std": [[0.5], [1.0]]}
    columns |= {"images": 10, "classes": 4}
    return pd.DataFrame(columns).assign(right=right, log_p=log_p)


@pytest.mark.parametrize(("right", "log_p"), [([8, 9], [-0.5, -0.45]), ([8, 7], [-0.9, -0.5]), ([8, 8], [-0.5, -0.9])])
def test_one_image_more_or_likelier_labels_with_fewer_right_are_no_evidence(right, log_p):
    assert advice(judged(right, log_p)) is None


def test_two_images_more_look_wrong_and_likelier_labels_make_doubtful():
    expected = "the normalisation looks wrong: 7 of 10 labelled images are right as given, 9 with [0, 1] (mean [0.0], "
    assert advice(judged([7, 9], [-0.5, -0.5])) == expected + "std [1.0])"
    expected = (
        "the normalisation may be wrong: the labels' mean log-probability is -0.82 as given and -0.60 with [0, 1]"
    )
    assert advice(judged([8, 8], [-0.82, -0.6])) == expected + " (mean [0.0], std [1.0])"


def test_a_network_that_guesses_is_said_to_guess_whatever_its_normalisation():
    expected = "no usual normalisation does better than guessing (3 of 10 labelled images are right), expected trained "
    assert advice(judged([1, 3], [-1.8, -1.39])).startswith(expected)
    assert "looks wrong" in advice(judged([1, 9], [-1.8, -0.3]))


def test_images_without_a_label_are_left_out_and_none_at_all_is_one_sentence(cut):
    images, labels = cut
    network = bring(Bright(), classes=2, size=8, mean=0.5, std=0.5)
    assert compare_normalisations(network, images, labels.where(torch.arange(10) < 4, -1))["images"].tolist() == [4] * 4
    expected = "no image has a label, expected some to judge the normalisation by (sub-folders are labels)"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        compare_normalisations(network, images, torch.full((10,), -1))


def test_a_grey_network_is_compared_with_grey_normalisations():
    network = bring(Tiny(channels=1), **PLAIN | {"channels": 1})
    images = torch.rand(3, 1, 16, 16, generator=generator(0))
    table = compare_normalisations(network, images, torch.tensor([0, 1, 2]))
    assert table["mean"].iloc[1] == pytest.approx([0.449], abs=1e-3)


def test_comparing_leaves_the_network_as_it_was(cut, condition):
    network = bring(Bright(), classes=2, size=8, mean=0.2, std=0.5)
    before = condition(network), network.mean.clone()
    compare_normalisations(network, *cut)
    assert condition(network) == before[0]
    assert torch.equal(network.mean, before[1])


@pytest.mark.skipif(not (DATA / "weights").exists(), reason="data/ is empty")
def test_on_photographs_a_trained_network_misses_its_own_normalisation():
    images, labels = zip(*[photos.photograph(name) for name in photos.names()], strict=True)
    images, labels = torch.cat(images), torch.tensor(labels)
    options = {"classes": 1000, "weights": raw("weights/efficientnet_lite0.pth"), "cam_layers": ["features"]}
    own = bring(EfficientNetLite0(), mean=127 / 255, std=128 / 255, **options)
    assert advice(compare_normalisations(own, images, labels)) is None
    for name, kind in (("[0, 1]", "may be"), ("[0, 255]", "looks")):
        wrong = compare_normalisations(with_normalisation(own, *USUAL[name]), images, labels)
        assert f"the normalisation {kind} wrong: " in advice(wrong)
        assert " with [-1, 1] (" in advice(wrong)
