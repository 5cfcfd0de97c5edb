import pytest
import torch
import torchvision
import yaml

from aecompanion.networks import full_size, pooled, zoo
from aecompanion.pipeline.paths import ROOT
from aecompanion.pipeline.rng import generator

NAMES = ("densenet121", "vgg16_bn", "googlenet", "resnet18", "resnet50")


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 64, 64, generator=generator(0, 1))


def uncut(name: str, classes: int) -> torch.nn.Module:
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return torchvision.models.get_model(name, weights=None, num_classes=classes, **options).eval()


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_network_says_what_torchvisions_says_with_the_same_weights(name, images):
    ours, theirs = getattr(full_size, name)(classes=5, channels=3, size=64).eval(), uncut(name, 5)
    weights = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(weights))  # both list them from the input to the output
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize("name", NAMES)
def test_a_grey_image_is_seen_as_three_equal_channels(name, images):
    network, grey = getattr(full_size, name)(classes=5, channels=1, size=64).eval(), images[:, :1]
    with torch.no_grad():
        assert torch.equal(network(grey), network(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    ("name", "shapes"),  # the first is where Yang et al. cut CheXNet, the last are the usual Grad-CAM layers
    [
        ("densenet121", [(128, 28), (256, 14), (512, 7), (1024, 7)]),
        ("vgg16_bn", [(128, 112), (256, 56), (512, 28), (512, 14)]),
        ("googlenet", [(480, 28), (512, 14), (832, 14), (1024, 7)]),
        ("resnet50", [(256, 56), (512, 28), (1024, 14), (2048, 7)]),
    ],
)
def test_the_maps_of_the_stages_at_224_px(name, shapes):
    with torch.device("meta"):
        network, seen = getattr(full_size, name)(classes=5, channels=3, size=224).eval(), []
        for stage in network.stages:
            network.get_submodule(stage).register_forward_hook(lambda _, inputs, out: seen.append(out.shape))
        network(torch.empty(1, 3, 224, 224))
    assert [(shape[1], shape[2]) for shape in seen] == shapes


def test_the_zoo_makes_one_with_its_stages_as_grad_cam_layers(images):
    network = zoo.create("aecompanion.networks.full_size:resnet18", classes=5, channels=1, size=64, seed=3).eval()
    assert network.cam_layers == ("stage1", "stage2", "stage3", "stage4")
    with torch.no_grad():
        assert network(images[:, :1]).shape == (2, 5)


@pytest.mark.parametrize("family", ["vgg", "googlenet", "resnet"])
def test_a_pooled_network_is_the_same_at_every_size(family):
    with torch.device("meta"):
        of = [getattr(pooled, family)(classes=5, channels=3, size=size).state_dict() for size in (64, 199, 200, 300)]
    shapes = [{name: value.shape for name, value in each.items()} for each in of]
    assert shapes == [shapes[0]] * 4


def test_the_papers_profile_names_the_papers_networks_with_the_weights_that_the_paper_starts_from():
    profile = yaml.safe_load((ROOT / "profiles" / "paper.yaml").read_text())
    assert profile["scenes_train"]["networks"] == {
        "vgg": "aecompanion.networks.published:staged_vgg16_bn",
        "googlenet": "aecompanion.networks.published:staged_googlenet",
        "resnet": "aecompanion.networks.published:staged_resnet50",
    }
    assert profile["chest_train"]["network"] == "aecompanion.networks.published:staged_densenet121"
    assert profile["objects_train"]["judge"] == "aecompanion.networks.published:inception_v3"
