"""The price of passes: arithmetic and memory of a network, throughput of a device.

    seconds = (F - B)·t_f + B·t,     t_f = G / (G_r·v_f),     t = t_fb for a training step, else t_f + .6 (t_fb - t_f)

G: FLOP of a forward pass of one image, G_r that of the measured network of the same kind at 224 px, v_f and v_fb its
images per second forward, and forward and backward (`benchmarks/device.py`; devices.yaml says when). An attack needs no
gradients of the parameters: .6 of what a training's backward pass adds. Compact networks have a rate of their own; what
reads files is not faster than its threads decode them. Memory: weights (4 bytes, 16 while they are trained), and per
image of a batch all activations where gradients are taken, else thrice the largest; within half of what was measured.
With the default parameters on 2 cores every stage of over a minute was within a factor of 3 (`tests/pipeline/`).
"""

import dataclasses
from pathlib import Path

import yaml

from aecompanion.networks.facts import network_facts
from aecompanion.train import reading

DEVICES = yaml.safe_load(Path(__file__).with_name("devices.yaml").read_text())
SMALL = 3e8  # FLOP; a network below is a compact one
KINDS = {"vgg": "vgg16", "dense": "densenet121", "inception": "inception_v3", "xception": "inception_v3"}
KINDS |= {"googlenet": "inception_v3", "lite": "inception_v3"}  # all others: resnet50
INPUT_SHARE = 0.6
READ = 0.01  # seconds and core to decode and resize a file, or to compose an image


@dataclasses.dataclass(frozen=True)
class Passes:
    """A row of `pipeline.passes`; `reads`: its images are decoded from files on the way."""

    network: str
    classes: int
    channels: int
    size: int
    kind: str
    forward: int
    backward: int
    batch: int
    reads: bool = False

    facts = property(lambda self: network_facts(self.network, self.classes, self.channels, self.size))


@dataclasses.dataclass(frozen=True)
class Device:
    """`networks[kind][arithmetic]`: images per second at 224 px forward, and forward and backward; `small_tflops` of
    compact networks, likewise; memory and main memory in GiB, and processor cores that read files.
    """

    what: str
    memory_gib: float
    host_gib: float
    cores: int
    arithmetic: str
    small_tflops: tuple[float, float]
    networks: dict[str, dict[str, tuple[float, float]]]


def devices() -> dict[str, Device]:
    """The devices of devices.yaml."""
    return {name: Device(**facts) for name, facts in DEVICES.items()}


def seconds(passes: Passes, device: Device, precision: str) -> float:
    """How long the passes take: computing, or reading where that takes longer."""
    flops, learning = passes.facts.flops, passes.kind == "learn"
    if flops < SMALL:
        small = [1e12 * rate for rate in device.small_tflops]
        forward, both = flops / small[0], 3 * flops / small[1]  # a step is three forwards
    else:
        kind = next((kind for part, kind in KINDS.items() if part in passes.network), "resnet50")
        rates = device.networks[kind]
        lower = learning and precision in rates  # a CPU has no rate for bfloat16 and trains in float32
        rates = rates[precision if lower and precision != "float32" else device.arithmetic]
        share = flops / network_facts(f"torchvision/{kind}", 1000, 3, 224).flops
        forward, both = (share / rate for rate in rates)
    if not learning:
        both = forward + INPUT_SHARE * (both - forward)
    computing = max(passes.forward - passes.backward, 0) * forward + passes.backward * both
    return max(computing, passes.reads * passes.forward * READ / min(reading.READERS, device.cores))


def memory(passes: Passes, precision: str) -> float:
    """Bytes on the device while a batch passes."""
    facts, batch = passes.facts, min(passes.batch, max(passes.forward, 1))
    if passes.kind == "learn":
        return 16 * facts.parameters + batch * facts.activations * (2 if precision == "bfloat16" else 4)
    held = facts.activations if passes.kind == "attack" else 3 * facts.largest
    return 4 * facts.parameters + 4 * batch * held
