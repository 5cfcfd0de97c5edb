"""Weights as safetensors with a JSON card beside them; nothing is pickled."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from aecompanion.networks.zoo import Network, create


def save(network: Network, file: Path, **facts) -> None:
    """Write `file` (.safetensors) and its card (.json): how to create the network, and `facts` (accuracy, epochs)."""
    # safetensors stores plain row-major tensors; channels-last weights are made so here
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, file)
    file.with_suffix(".json").write_text(json.dumps(network.card | facts, indent=1) + "\n")


def first_problem(error: RuntimeError) -> str:
    """The first mismatch of torch's list, on one line."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    return lines[1].rstrip(".") if len(lines) > 1 else lines[0]


def card(file: Path) -> dict:
    """The card of a checkpoint."""
    return json.loads(file.with_suffix(".json").read_text())


def load(file: Path, *, device: str = "cpu", source=None) -> Network:
    """The network of a checkpoint, in evaluation mode.

    `source` replaces the card's name where the body was an instance or a factory that no name leads to.
    Raises ValueError naming the file and the first missing or unexpected weights.
    """
    facts = card(file)
    network = create(
        source or facts["name"],
        **{key: facts[key] for key in ("classes", "channels", "size", "seed", "mean", "std", "cam_layers")},
        multi_label=facts["multi_label"],
    )
    try:
        network.load_state_dict(load_file(file))
    except RuntimeError as error:  # torch's own message lists every mismatch over many lines
        raise ValueError(f"{file.name}: weights do not fit {facts['name']} ({first_problem(error)})") from None
    network.to(torch.device(device)).eval()
    return network.to(memory_format=torch.channels_last)


def catalogue(folder: Path) -> dict[tuple[str, int], Path]:
    """The checkpoints of a folder by (network, seed), e.g. {("vgg", 1): .../vgg_1.safetensors}, sorted by network in
    the order of the paper (deep, then wide), others last.
    """
    order = ["vgg", "vgg16", "resnet", "resnet50", "resnet_deep", "resnet101", "inception", "inception_v3"]
    order += ["xception", "legacy_xception"]
    keys = [(file.stem.rpartition("_")[0], int(file.stem.rpartition("_")[2])) for file in folder.glob("*.safetensors")]
    keys.sort(key=lambda key: (order.index(key[0]) if key[0] in order else len(order), key))
    return {key: folder / f"{key[0]}_{key[1]}.safetensors" for key in keys}


def networks(folder: Path, *, device: str = "cpu") -> Iterator[tuple[tuple[str, int], Network]]:
    """Load the checkpoints of a folder one after another: ((network, seed), network)."""
    for key, file in catalogue(folder).items():
        yield key, load(file, device=device)
