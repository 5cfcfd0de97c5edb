import pytest
import torch
import torchvision
from torch import nn

from aecompanion.networks import zoo
from aecompanion.networks.zoo import FULL_SIZE, Network, create


class Tiny(nn.Module):
    """A network nobody described: two convolutions, then the mean of each channel."""

    def __init__(self, classes: int = 4, channels: int = 1, size: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 3, 3)
        self.second = nn.Sequential(nn.ReLU(), nn.Conv2d(3, classes, 3))
        self.size = size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(images)).mean((2, 3))


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


# creation


def test_the_weights_depend_on_the_seed_only():
    first, second, other = (create("compact/resnet", classes=4, channels=1, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


def test_the_weights_do_not_depend_on_the_state_of_torchs_generator():
    torch.manual_seed(1)
    first = create("compact/vgg", classes=4, channels=1)
    torch.manual_seed(2)
    assert torch.equal(weights(first), weights(create("compact/vgg", classes=4, channels=1)))


def test_torchs_generator_is_left_as_it_was():
    before = torch.get_rng_state()
    create("compact/vgg", classes=4, channels=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_card_creates_the_network_again():
    network = create("compact/vgg", classes=4, channels=3, size=48, seed=9, mean=[0.1, 0.2, 0.3], std=0.5)
    facts = {key: network.card[key] for key in ("classes", "channels", "size", "seed", "mean", "std", "cam_layers")}
    again, images = create(network.card["name"], **facts).eval(), torch.rand(2, 3, 48, 48)
    assert torch.equal(again(images), network.eval()(images))


def test_the_card_says_what_was_asked_for():
    card = create("compact/xception", classes=4, channels=1, size=48, seed=2).card
    assert card == {
        "name": "compact/xception",
        "family": "wide",
        "classes": 4,
        "channels": 1,
        "size": 48,
        "seed": 2,
        "mean": 0.5,
        "std": 0.25,
        "cam_layers": ["stage1", "stage2", "stage3", "stage4"],
        "multi_label": False,
    }


@pytest.mark.parametrize("size", [28, 16])
def test_digits_takes_small_grey_images(size):
    network = create("compact/digits", channels=1, size=size, classes=10)
    assert network(torch.rand(2, 1, size, size)).shape == (2, 10)
    assert network.cam_layers == ("stage1", "stage2")
    assert network.cam_layer() is network.body.stage2
    facts = {key: network.card[key] for key in ("name", "family", "size", "classes", "cam_layers", "multi_label")}
    assert facts == {
        "name": "compact/digits",
        "family": "plain",
        "size": size,
        "classes": 10,
        "cam_layers": ["stage1", "stage2"],
        "multi_label": False,
    }


# channels and normalisation


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.25), ([0.4, 0.5, 0.6], [0.1, 0.2, 0.3])])
def test_the_normalisation_is_inside(mean, std):
    network, images = create(Tiny(channels=3), classes=4, mean=mean, std=std), torch.rand(2, 3, 16, 16)
    per_channel = [torch.tensor(value).expand(3).reshape(3, 1, 1) for value in (mean, std)]
    torch.testing.assert_close(network(images), network.body((images - per_channel[0]) / per_channel[1]))


def test_mean_0_and_std_1_leave_the_image_as_it_is():
    network, images = create(Tiny(), classes=4, channels=1, mean=0, std=1), torch.rand(2, 1, 16, 16)
    assert torch.equal(network(images), network.body(images))


def test_a_grey_image_is_repeated_to_three_channels():
    network, grey = create("compact/vgg", classes=4, channels=3).eval(), torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(network(grey), network(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize(("inside", "given"), [(1, 3), (3, 2), (3, 4)])
def test_a_wrong_number_of_channels_is_refused(inside, given):
    network = create("compact/vgg", classes=4, channels=inside)
    with pytest.raises(ValueError, match=rf"images have {given} channels, expected {inside} \(or 1, grey\)"):
        network(torch.rand(1, given, 64, 64))


def test_the_normalisation_is_no_weight():
    network = create(Tiny(), classes=4, channels=1)
    assert set(network.state_dict()) == {f"body.{name}" for name in network.body.state_dict()}


# a network of your own


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A package on the path whose factory notes its arguments."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "nets.py").write_text(
        "import torch\n"
        "def factory(*, classes, channels, size):\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(channels, 5, 3), torch.nn.Flatten(),\n"
        "                               torch.nn.Linear(5 * (size - 2) ** 2, classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_a_factory_is_found_by_name(module):
    network = create("mine.nets:factory", classes=6, channels=2, size=16)
    assert network(torch.rand(3, 2, 16, 16)).shape == (3, 6)
    assert (network.card["name"], network.card["family"], network.cam_layers) == ("mine.nets:factory", "other", ("0",))


def test_the_weights_of_a_factory_depend_on_the_seed_only(module):
    first, second, other = (create("mine.nets:factory", classes=6, channels=1, size=16, seed=s) for s in (1, 1, 2))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


def test_a_factory_itself_is_called_with_classes_channels_and_size():
    body = create(Tiny, classes=6, channels=2, size=33).body
    assert (body.second[1].out_channels, body.first.in_channels, body.size) == (6, 2, 33)


def test_an_instance_is_taken_as_it_is():
    body = Tiny()
    before = weights(body)
    network = create(body, classes=4, channels=1, seed=5)
    assert network.body is body
    assert torch.equal(weights(body), before)
    assert network.card["name"] == "Tiny"


def test_the_default_layer_is_the_last_one_that_everything_passes_through():
    network = create(Tiny(), classes=4, channels=1)
    assert network.cam_layers == ("second",)
    assert network.cam_layer() is network.body.second


def test_the_layers_can_be_chosen():
    network = create(Tiny(), classes=4, channels=1, cam_layers=["first", "second"])
    assert network.cam_layer() is network.body.second
    assert network.cam_layer("first") is network.body.first


def test_a_body_without_places_needs_layers():
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    with pytest.raises(ValueError, match=r"Sequential has no late layer N×K×h×w at 8 px.*cam_layers"):
        create(body, classes=4, channels=1, size=8)
    assert create(body, classes=4, channels=1, cam_layers=["0"]).cam_layers == ("0",)


@pytest.mark.parametrize("several", [False, True])
def test_the_card_says_whether_an_image_can_have_several_labels(several):
    assert create("compact/vgg", classes=4, channels=1, multi_label=several).card["multi_label"] is several


def test_a_network_whose_card_does_not_say_is_refused():
    with pytest.raises(ValueError, match="^the card lacks multi_label, expected whether the outputs are sigmoids"):
        Network(Tiny(), mean=0.5, std=0.5, channels=1, cam_layers=("second",), card={"name": "tiny"})


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match="layer 'stage9' does not exist, this network has: stage1, stage2, stage3"):
        create("compact/vgg", classes=4, channels=1).cam_layer("stage9")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("compact/alexnet", "'alexnet' is unknown, expected one of vgg, resnet, resnet_deep, inception, xception"),
        ("torchvision/resnet51", "'torchvision/resnet51' is unknown to torchvision"),
        ("timm/nothing", "'timm/nothing' is unknown to timm"),
        (
            "resnet50",
            "'resnet50' is unknown, expected compact/NAME, torchvision/NAME, timm/NAME, pip/NAME or",
        ),
        ("keras/vgg", "'keras/vgg' is unknown, expected compact/NAME"),
        ("no.such.module:factory", "'no.such.module:factory' cannot be imported"),
        ("aecompanion.networks.zoo:nothing", "'aecompanion.networks.zoo:nothing' cannot be imported"),
    ],
)
def test_an_unknown_network_is_refused_in_one_line(name, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        create(name, classes=4)
    assert "\n" not in str(caught.value)


# full-size networks on random weights


@pytest.fixture(scope="module", params=FULL_SIZE)
def full_size(request):
    """A network, the outputs of its Grad-CAM layers and its logits for two grey images."""
    network, maps = create(request.param, classes=7, seed=1).eval(), {}
    for layer in network.cam_layers:
        network.cam_layer(layer).register_forward_hook(lambda *call, layer=layer: maps.setdefault(layer, call[2]))
    with torch.no_grad():
        logits = network(torch.rand(2, 1, 96, 96))  # Inception v3 needs at least 75 px
    return network, maps, logits


def test_a_full_size_network_gives_seven_finite_logits_of_a_grey_image(full_size):
    logits = full_size[2]
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


def test_every_known_layer_of_a_full_size_network_returns_maps(full_size):
    network, maps, _ = full_size
    assert tuple(maps) == network.cam_layers == FULL_SIZE[network.card["name"]][1]  # in the order of the forward pass
    assert all(output.dim() == 4 for output in maps.values())


def test_a_pretrained_head_is_replaced_by_a_fresh_one():
    body = create("torchvision/resnet18", classes=1000).body
    zoo.replace_head(body, 7)
    assert (body.fc.in_features, body.fc.out_features) == (512, 7)
    assert body.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 7)


def test_a_replaced_head_of_inception_drops_the_auxiliary_one():
    body = torchvision.models.inception_v3(init_weights=False)
    zoo.replace_head(body, 7)
    assert body.train()(torch.rand(2, 3, 96, 96)).shape == (2, 7)


# names


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("compact/vgg", "deep"),
        ("compact/resnet_deep", "deep"),
        ("compact/inception", "wide"),
        ("compact/gap", "plain"),
        ("compact/digits", "plain"),
        ("torchvision/resnet101", "deep"),
        ("timm/legacy_xception", "wide"),
        ("torchvision/resnet18", "other"),
        ("mine.nets:factory", "other"),
        ("Tiny", "other"),
    ],
)
def test_family_of_follows_the_paper(name, family):
    assert zoo.family_of(name) == family


@pytest.mark.parametrize(
    ("name", "expected"),
    [("compact/resnet_deep", "resnet_deep"), ("mine.nets:factory", "factory"), ("Tiny", "Tiny"), ("a/b:c", "c")],
)
def test_short_drops_the_library(name, expected):
    assert zoo.short(name) == expected
