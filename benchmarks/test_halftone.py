"""Floyd-Steinberg on one core, grey images of 64, 128 and 224 px.

Peers: Pillow's convert("1"), which works in integers (a quarter to a half of its dots differ from the float definition
on photographs), and the definition as a Python loop. The limit reads every pixel and writes every dot once: the same
images compared with a threshold.
"""

import pytest
import torch
from benchmarks.collect import interleave
from PIL import Image

from aecompanion.defend.diffusion import KERNELS
from aecompanion.defend.halftone import halftone, reference


def pictures(count: int, side: int) -> torch.Tensor:
    gen = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 1, side, side), generator=gen).float() / 255


@pytest.mark.parametrize("side", [64, 128, 224])
def test_halftoning_is_as_fast_as_pillow(benchmark, side):
    images = pictures(64, side)
    pillow = [Image.fromarray((image[0] * 255).round().byte().numpy()) for image in images]
    interleave(
        benchmark,
        f"Floyd-Steinberg, 64 images of {side} px",
        ours=lambda: halftone(images),
        others={
            "peer:Pillow": lambda: [each.convert("1") for each in pillow],
            "limit": lambda: (images >= 0.5).float(),
        },
        goal="ours <= 1.0 x peer",
        rounds=60,
        threads=1,
    )


@pytest.mark.parametrize("side", [64, 128, 224])
def test_halftoning_is_the_python_loop_and_faster(benchmark, side):
    images = pictures(8, side)
    arrays = [image[0].double().numpy() for image in images]

    def loop():
        return [reference(array, KERNELS["floyd_steinberg"]) for array in arrays]

    for ours, exact in zip(halftone(images), loop(), strict=True):
        assert ours[0].tolist() == exact.tolist()
    interleave(
        benchmark,
        f"Floyd-Steinberg, 8 images of {side} px",
        ours=lambda: halftone(images),
        others={"peer:Python loop": loop, "limit": lambda: (images >= 0.5).float()},
        goal="ours <= 0.02 x peer",
        rounds=8,
        threads=1,
    )
