import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from aecompanion.networks import checkpoint
from aecompanion.networks.zoo import create


@pytest.fixture
def network():
    """A network whose running statistics are not the initial ones."""
    network = create("compact/resnet", classes=5, channels=1, size=48, seed=3, mean=0.4, std=0.2)
    network.to(memory_format=torch.channels_last)
    network.train()(torch.rand(8, 1, 48, 48, generator=torch.Generator().manual_seed(0)))
    return network.eval()


@pytest.fixture
def file(network, tmp_path):
    checkpoint.save(network, tmp_path / "resnet_3.safetensors", accuracy={"test": 0.5}, epochs=2)
    return tmp_path / "resnet_3.safetensors"


def test_a_loaded_network_gives_the_same_bits(network, file):
    images = torch.rand(4, 1, 48, 48)
    assert torch.equal(checkpoint.load(file)(images), network(images))


def test_every_weight_and_statistic_comes_back(network, file):
    loaded = checkpoint.load(file).state_dict()
    assert loaded.keys() == network.state_dict().keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())


def test_a_loaded_network_is_in_evaluation_mode_and_knows_its_card(network, file):
    loaded = checkpoint.load(file)
    assert not any(module.training for module in loaded.modules())
    assert (loaded.card, loaded.cam_layers) == (network.card, network.cam_layers)


def test_the_card_holds_how_to_create_the_network_and_the_facts(network, file):
    assert checkpoint.card(file) == network.card | {"accuracy": {"test": 0.5}, "epochs": 2}


@pytest.mark.parametrize("several", [True, False])
def test_the_card_and_the_loaded_network_keep_whether_an_image_may_have_several_labels(network, tmp_path, several):
    network.card["multi_label"] = several
    checkpoint.save(network, tmp_path / "a.safetensors")
    assert checkpoint.card(tmp_path / "a.safetensors")["multi_label"] is several
    assert checkpoint.load(tmp_path / "a.safetensors").card["multi_label"] is several


@pytest.mark.parametrize(("name", "size"), [("gap", 48), ("digits", 28)])
def test_the_networks_of_the_causal_effect_study_come_back_bit_for_bit(tmp_path, name, size):
    network = create(f"compact/{name}", classes=10, channels=1, size=size, seed=2).eval()
    network, images = network.to(memory_format=torch.channels_last), torch.rand(2, 1, size, size)
    checkpoint.save(network, tmp_path / "a.safetensors")
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert torch.equal(loaded(images), network(images))
    assert loaded.card == network.card


def test_loading_leaves_torchs_generator_as_it_was(file):
    before = torch.get_rng_state()
    checkpoint.load(file)
    assert torch.equal(torch.get_rng_state(), before)


def test_saving_leaves_the_network_as_it_was(network, tmp_path):
    before = network.body.stage1[0].body[1][0].weight.stride()
    checkpoint.save(network, tmp_path / "a.safetensors")
    assert network.body.stage1[0].body[1][0].weight.stride() == before


def test_a_ready_body_is_loaded_from_a_source_given_again(tmp_path):
    def body() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3))

    network, images = create(body(), classes=3, channels=1, size=8), torch.rand(2, 1, 8, 8)
    checkpoint.save(network, tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match="'Sequential' is unknown"):
        checkpoint.load(tmp_path / "own.safetensors")
    loaded = checkpoint.load(tmp_path / "own.safetensors", source=body())
    assert torch.equal(loaded(images), network.to(memory_format=torch.channels_last)(images))


def rewritten(file, change) -> None:
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


def test_missing_weights_are_named_with_the_file(file):
    rewritten(file, lambda weights: weights.pop("body.head.2.bias"))
    with pytest.raises(ValueError, match=r'resnet_3\.safetensors: .*Missing key.*"body\.head\.2\.bias"'):
        checkpoint.load(file)


def test_unexpected_weights_are_named_with_the_file(file):
    rewritten(file, lambda weights: weights.update(extra=torch.zeros(1)))
    with pytest.raises(ValueError, match=r'resnet_3\.safetensors: .*Unexpected key.*"extra"'):
        checkpoint.load(file)


def test_weights_of_another_network_are_refused(file):
    card = file.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"name": "compact/vgg"}))
    with pytest.raises(ValueError, match=r"resnet_3\.safetensors: weights do not fit compact/vgg"):
        checkpoint.load(file)


def test_weights_for_another_number_of_classes_are_refused(file):
    card = file.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"classes": 6}))
    with pytest.raises(ValueError, match=r"resnet_3\.safetensors: weights do not fit compact/resnet"):
        checkpoint.load(file)


def test_the_file_is_no_pickle(network, file):
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    header = int.from_bytes(file.read_bytes()[:8], "little")
    assert file.stat().st_size == 8 + header + size
    assert set(json.loads(file.read_bytes()[8 : 8 + header])) >= set(network.state_dict())
