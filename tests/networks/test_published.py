"""Networks that start from published weights: a cache with random numbers under the names of the published files."""

import pytest
import torch
import torchvision
import yaml

from aecompanion.networks import published, zoo
from aecompanion.pipeline import profile
from aecompanion.pipeline.paths import ROOT
from aecompanion.pipeline.rng import generator

HERE = "aecompanion.networks.published"


def fill(hub, name):
    """A network of torchvision whose weights lie in the cache."""
    options = {"init_weights": False} if name == "googlenet" else {}  # with the auxiliary heads of the published file
    body = torchvision.models.get_model(name, weights=None, **options).eval()
    url = torchvision.models.get_model_weights(name).DEFAULT.url
    torch.save(body.state_dict(), hub / url.rpartition("/")[2])
    return body


@pytest.mark.parametrize("name", ["resnet18", "staged_resnet18", "staged_googlenet"])
def test_it_says_what_the_published_network_says_of_the_same_images(hub, name):
    source = name.removeprefix("staged_")
    fill(hub, source)
    theirs = zoo.create(f"torchvision/{source}", classes=5, weights="pretrained", seed=3).eval()
    ours = zoo.create(f"{HERE}:{name}", classes=5, seed=3).eval()
    head = [module for module in ours.modules() if isinstance(module, torch.nn.Linear)][-1]
    head.load_state_dict(theirs.body.fc.state_dict())
    images = torch.rand(2, 3, 96, 96, generator=generator(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-3, atol=1e-4)
        grey = images[:, :1]
        torch.testing.assert_close(ours(grey.expand_as(images)), theirs(grey), rtol=1e-3, atol=1e-4)


def test_the_head_of_imagenets_thousand_classes_stays(hub):
    body = fill(hub, "resnet18")
    assert torch.equal(zoo.create(f"{HERE}:resnet18", classes=1000).body.net.fc.weight, body.fc.weight)


def test_its_stages_are_its_grad_cam_layers_and_grey_images_are_taken(hub):
    fill(hub, "resnet18")
    network = zoo.create(f"{HERE}:staged_resnet18", classes=5, channels=1).eval()
    assert network.cam_layers == ("stage1", "stage2", "stage3", "stage4")
    assert network(torch.rand(1, 1, 64, 64, generator=generator(0))).shape == (1, 5)


def test_a_full_size_network_keeps_its_family_and_layers():
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "FULL_SIZE", dict(zoo.FULL_SIZE))
        network = zoo.create(f"{HERE}:resnet50", classes=5)
    assert network.card["family"] == zoo.FULL_SIZE["torchvision/resnet50"][0]
    assert network.cam_layers == ("net.layer1", "net.layer2", "net.layer3", "net.layer4")


def test_without_the_file_the_first_network_is_one_sentence(hub):
    expected = r"^torchvision/resnet18: its pretrained weights .* put https://\S+ at \S+checkpoints/resnet18-\S+, or"
    with pytest.raises(FileNotFoundError, match=expected):
        zoo.create(f"{HERE}:staged_resnet18", classes=5)


def test_a_profile_says_so_before_anything_runs(hub):
    fill(hub, "resnet18")
    profile.fetch_published({"a": {"network": f"{HERE}:staged_resnet18"}, "threads": 2})
    with pytest.raises(FileNotFoundError, match=r"^torchvision/resnet34: its pretrained weights cannot be fetched"):
        profile.fetch_published({"a": {"networks": ["compact/vgg", f"{HERE}:resnet34"]}})


def test_an_unknown_name_is_the_zoos_sentence():
    with pytest.raises(ValueError, match=rf"^network '{HERE}:resnt' cannot be imported \(no network with published"):
        zoo.create(f"{HERE}:resnt", classes=5)


def test_every_network_of_the_papers_profile_can_be_planned_without_a_file():
    text = (ROOT / "profiles" / "paper.yaml").read_text()
    names = set(profile.STARTS.findall(yaml.safe_dump(yaml.safe_load(text))))
    assert names
    with torch.device("meta"):
        for name in names:
            body = getattr(published, name)(classes=3, channels=3, size=224)
            assert next(body.parameters()).is_meta
