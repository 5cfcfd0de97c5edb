"""Throughput of one device on the papers' networks: `python benchmarks/device.py [--seconds 1.0] [--size 224]`.

For each network, arithmetic and direction: images per second, milliseconds per batch and peak memory (GiB).

- networks: torchvision's resnet50, vgg16, inception_v3, densenet121, random weights, evaluation mode, channels_last
- arithmetic: float32 (TF32 off), tf32 (float32 with TF32 matrix products and convolutions), bfloat16 (autocast)
- forward: without gradients; backward: one forward and the gradients with respect to parameters *and* input, which is
  an attack's and a training step's cost (the optimiser's own update is left out)

Needs torch and torchvision only. Prints JSON to stdout and, if the environment names a folder OUT, writes it to
$OUT/device.json. lib/aecompanion/pipeline/plan/devices.yaml holds what it gave on the devices that `make plan` names.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import sys
import time
from pathlib import Path

import torch
import torchvision

NETWORKS = ("resnet50", "vgg16", "inception_v3", "densenet121")
ARITHMETICS = ("float32", "tf32", "bfloat16")


def create(network: str, device: torch.device) -> torch.nn.Module:
    """A torchvision network with random weights, in evaluation mode."""
    options = {"aux_logits": False, "init_weights": False} if network == "inception_v3" else {}
    model = torchvision.models.get_model(network, weights=None, **options)
    return model.to(device, memory_format=torch.channels_last).eval()


@contextlib.contextmanager
def arithmetic(name: str, device: torch.device):
    """TF32 switched on or off, or bfloat16 autocast; the settings come back as they were."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def step(model: torch.nn.Module, images: torch.Tensor, backward: bool) -> None:
    """One forward pass, or one forward and backward pass down to the parameters and the images."""
    if not backward:
        with torch.no_grad():
            model(images)
        return
    model.zero_grad(set_to_none=True)
    images = images.detach().requires_grad_()
    model(images).float().logsumexp(1).sum().backward()


def measure(model: torch.nn.Module, images: torch.Tensor, backward: bool, seconds: float) -> dict[str, float]:
    """Repeat the step for about `seconds` after a warm-up of three."""
    cuda = images.device.type == "cuda"
    wait = torch.cuda.synchronize if cuda else lambda: None
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        step(model, images, backward)
    wait()
    repeats, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(5 if cuda else 1):
            step(model, images, backward)
            repeats += 1
        wait()
    spent = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else float("nan")
    return {
        "images_per_second": round(repeats * len(images) / spent, 1),
        "ms_per_batch": round(1000 * spent / repeats, 3),
        "peak_gib": round(peak, 3) if cuda else None,
    }


def describe(device: torch.device) -> dict[str, str | float | int]:
    """What was measured: device, memory, versions, day."""
    facts = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "date": datetime.date.today().isoformat(),
    }
    if device.type == "cuda":
        facts["memory_gib"] = round(torch.cuda.get_device_properties(device).total_memory / 2**30, 1)
        facts["cudnn"] = torch.backends.cudnn.version()
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/device.py", description="Throughput of one device.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured per case")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224, help="pixels; inception_v3 accepts 75 and more")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--arithmetics", nargs="+", default=ARITHMETICS, choices=ARITHMETICS)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.backends.cudnn.benchmark = True

    rows = []
    for network in arguments.networks:
        model = create(network, device)
        images = torch.rand(arguments.batch, 3, arguments.size, arguments.size, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        for name in arguments.arithmetics:
            for backward in (False, True):
                row = {"network": network, "arithmetic": name, "direction": "backward" if backward else "forward"}
                try:
                    with arithmetic(name, device):
                        row |= measure(model, images, backward, arguments.seconds)
                except torch.OutOfMemoryError:
                    row["error"] = "out of memory"
                rows.append(row)
                print(row, file=sys.stderr, flush=True)
        del model
        if device.type == "cuda":
            torch.cuda.empty_cache()

    settings = {"batch": arguments.batch, "size": arguments.size, "seconds": arguments.seconds}
    result = json.dumps({**describe(device), **settings, "layout": "channels_last", "rows": rows}, indent=1)
    print(result)
    if "OUT" in os.environ:
        (Path(os.environ["OUT"]) / "device.json").write_text(result + "\n")


if __name__ == "__main__":
    main()
