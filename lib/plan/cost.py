"""The price of passes: arithmetic and memory of a network, throughput of a device.

    seconds = (F - B)·t_f + B·t,     t_f = G / (G_r·v_f),     t = t_fb for a training step, else t_f + .6 (t_fb - t_f)

G: FLOP of a forward pass of one image (torch's counter, on the meta device), G_r that of the measured network of the
same kind at 224 px, v_f and v_fb its images per second forward, and forward and backward (`benchmarks/device.py`). An
attack needs no gradients of the parameters: .6 of what a training's backward pass adds. Compact networks have a rate of
their own. A training that reads files is not faster than its threads decode them. Memory: weights (4 bytes, 16 while
they are trained), and per image of a batch all activations where gradients are taken, else thrice the largest; within
half of what the benchmark measured.

devices.yaml says what was measured, on which day. With the default parameters on 2 cores the estimate was within a
factor of 3 of the measured time of every stage that takes over a minute (`tests/plan/test_stages.py` has the numbers).
"""

import dataclasses
import functools
from pathlib import Path

import torch
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lib.networks import zoo
from lib.plan.passes import Passes
from lib.train import fit

DEVICES = Path(__file__).with_name("devices.yaml")
SMALL = 3e8  # FLOP; a network below is a compact one
KINDS = {"vgg": "vgg16", "dense": "densenet121", "inception": "inception_v3", "xception": "inception_v3"}
KINDS |= {"googlenet": "inception_v3", "lite": "inception_v3"}  # all others: resnet50
INPUT_SHARE = 0.6
READ = 0.01  # seconds and core to decode and resize a file, or to compose an image


@dataclasses.dataclass(frozen=True)
class Facts:
    """One image through a network: FLOP forward, parameters, all activations, the largest one; layers with weights."""

    flops: float
    parameters: int
    activations: int
    largest: int
    layers: int


@dataclasses.dataclass(frozen=True)
class Device:
    """`rates[kind][arithmetic]`: images per second at 224 px forward, and forward and backward; `small`: FLOP per
    second of compact networks, likewise; memory and main memory in bytes, and processor cores that read files.
    """

    name: str
    what: str
    memory: float
    host: float
    cores: int
    arithmetic: str
    small: tuple[float, float]
    rates: dict[str, dict[str, tuple[float, float]]]


def devices() -> dict[str, Device]:
    """The devices of devices.yaml."""
    found = {}
    for name, facts in yaml.safe_load(DEVICES.read_text()).items():
        memory, host = (2**30 * facts[key] for key in ("memory_gib", "host_gib"))
        small = tuple(1e12 * rate for rate in facts["small_tflops"])
        found[name] = Device(
            name, facts["what"], memory, host, facts["cores"], facts["arithmetic"], small, facts["networks"]
        )
    return found


@functools.cache
def network_facts(name: str, classes: int, channels: int, size: int) -> Facts:
    """The facts of a network that `lib.networks.zoo` knows; on the meta device, or with real numbers where that fails.

    Raises ValueError for a name that it does not know.
    """
    try:
        with torch.device("meta"):
            return measured(zoo.create(name, classes=classes, channels=channels, size=size), channels, size, "meta")
    except (NotImplementedError, RuntimeError):
        return measured(zoo.create(name, classes=classes, channels=channels, size=size), channels, size, "cpu")


def measured(network: nn.Module, channels: int, size: int, device: str) -> Facts:
    """Run one image through the network and count."""
    outputs: list[int] = []
    leaves = [module for module in network.modules() if not list(module.children())]
    for leaf in leaves:
        leaf.register_forward_hook(lambda _, inputs, output: outputs.append(output.numel()))
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, size, size, device=device))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    layers = sum(isinstance(leaf, nn.Conv2d | nn.Linear) for leaf in leaves)
    return Facts(counter.get_total_flops(), parameters, sum(outputs), max(outputs), layers)


def facts_of(passes: Passes) -> Facts:
    data = passes.data
    return network_facts(passes.network, data.classes, data.channels, data.size)


def seconds(passes: Passes, device: Device, precision: str) -> float:
    """How long the passes take: computing, or reading where that takes longer."""
    flops = facts_of(passes).flops
    if flops < SMALL:
        forward, both = (flops / rate for rate in (device.small[0], device.small[1] / 3))  # a step is three forwards
    else:
        kind = next((kind for part, kind in KINDS.items() if part in passes.network), "resnet50")
        rates = device.rates[kind]
        lower = passes.learning and precision in rates  # a CPU has no rate for bfloat16 and trains in float32
        rates = rates[precision if lower and precision != "float32" else device.arithmetic]
        share = flops / network_facts(f"torchvision/{kind}", 1000, 3, 224).flops
        forward, both = (share / rate for rate in rates)
    if not passes.learning:
        both = forward + INPUT_SHARE * (both - forward)
    computing = (passes.forward - passes.backward) * forward + passes.backward * both
    return max(computing, passes.reads * READ / min(fit.READERS, device.cores))


def memory(passes: Passes, precision: str) -> float:
    """Bytes on the device while a batch passes."""
    facts = facts_of(passes)
    batch = min(passes.batch, max(passes.forward, 1))
    if passes.learning:
        return 16 * facts.parameters + batch * facts.activations * (2 if precision == "bfloat16" else 4)
    held = facts.activations if passes.backward else 3 * facts.largest
    return 4 * facts.parameters + 4 * batch * held
