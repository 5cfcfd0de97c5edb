"""Published weights by name, without any download: files lie where the libraries keep them, or are missing."""

import re
from pathlib import Path
from urllib.error import URLError

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from aecompanion.networks.bring import bring
from aecompanion.networks.pretrained import described, load
from aecompanion.networks.zoo import create

FILE = "resnet18-f37072fd.pth"  # of torchvision's only weights of ResNet-18


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch.hub's folder of checkpoints, empty, and no network."""

    def offline(*args, **options):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture
def resnet18(hub):
    body = torchvision.models.resnet18()
    torch.save(body.state_dict(), hub / FILE)
    return body


def test_torchvisions_weights_bring_their_normalisation_size_and_class_names(resnet18):
    network = bring("torchvision/resnet18", weights="pretrained")
    assert torch.equal(network.body.fc.weight, resnet18.fc.weight)
    assert (network.card["mean"], network.card["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert (network.card["size"], network.card["classes"]) == (224, 1000)
    assert described("torchvision/resnet18").classes[340] == "zebra"


def test_what_is_given_goes_before_what_the_weights_have(resnet18):
    network = bring("torchvision/resnet18", weights="pretrained", size=96, mean=0.5)
    assert (network.card["size"], network.card["mean"], network.card["std"]) == (96, 0.5, [0.229, 0.224, 0.225])


def test_another_number_of_classes_is_one_sentence(resnet18):
    with pytest.raises(ValueError, match=r"^'torchvision/resnet18': its pretrained weights have 1000 classes,"):
        bring("torchvision/resnet18", weights="pretrained", classes=10)


def test_the_zoo_gives_them_a_fresh_head_and_their_normalisation(resnet18):
    network = create("torchvision/resnet18", classes=7, weights="pretrained")
    assert torch.equal(network.body.conv1.weight, resnet18.conv1.weight)
    assert network.body.fc.out_features == 7
    assert network.card["mean"] == [0.485, 0.456, 0.406]
    again = create("torchvision/resnet18", classes=7)
    assert again.card["mean"] == 0.5


def test_offline_one_sentence_names_the_file_and_where_it_may_lie(hub):
    with pytest.raises(FileNotFoundError) as caught:
        load("torchvision/resnet18")
    place = re.escape(str(hub / FILE))
    expected = rf"torchvision/resnet18: its .* put https://download\.pytorch\.org/models/{FILE} at {place}, or name"
    assert re.match(expected, str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_cached_file_that_ends_early_is_one_sentence_too(hub, resnet18):
    (hub / FILE).write_bytes((hub / FILE).read_bytes()[:-1000])
    with pytest.raises(FileNotFoundError, match=r"^torchvision/resnet18: its .* cannot be fetched or read \(.+\): put"):
        load("torchvision/resnet18")


def test_timms_weights_are_looked_for_in_the_same_folder_first(hub):
    body = timm.create_model("resnet10t")
    facts = described("timm/resnet10t")
    assert facts.place == hub / "resnet10t.c3_in1k.safetensors"
    assert facts.address == "https://huggingface.co/timm/resnet10t.c3_in1k/resolve/main/model.safetensors"
    assert (facts.size, facts.std) == (176, [0.229, 0.224, 0.225])
    save_file(body.state_dict(), facts.place)
    assert torch.equal(load("timm/resnet10t").fc.weight, body.fc.weight)
    assert create("timm/resnet10t", classes=5, weights="pretrained").body.fc.out_features == 5


def test_the_weights_of_packages_have_a_name_too():
    network = create("pip/efficientnet_lite1", classes=1000, weights="pretrained", size=240)
    assert network.cam_layers == ("features",)
    assert network.card["mean"] == [127 / 255] * 3
    facts = described("pip/efficientnet_lite2")
    assert (facts.size, len(facts.classes), Path(facts.place).name) == (260, 1000, "efficientnet_lite2.pth")
    assert create("pip/efficientnet_lite0", classes=3).body._fc.out_features == 3


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("compact/vgg", "has no pretrained weights, expected torchvision/, timm/ or pip/NAME"),
        ("torchvision/resnet19", "has no weights in torchvision"),
        ("torchvision/fasterrcnn_resnet50_fpn", "is no classifier of images"),
        ("timm/nothing", "has no weights in timm"),
        ("pip/efficientnet_lite9", "is unknown, expected one of pip/efficientnet_lite0"),
    ],
)
def test_names_without_weights_are_refused(source, said):
    with pytest.raises(ValueError, match=f"^network '{source}' {re.escape(said)}"):
        described(source)


def test_a_module_has_no_published_weights():
    with pytest.raises(ValueError, match=r"^weights is 'pretrained' for Linear"):
        create(torch.nn.Linear(2, 2), classes=2, mean=0, std=1, weights="pretrained")
