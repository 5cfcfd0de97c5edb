"""Floyd-Steinberg on one core, 16 grey images per call, at 64, 128 and 224 px.

Peers: Pillow's convert("1"), which works in integers (a quarter to a half of its dots differ from the float definition
on photographs), and the definition as a Python loop. The limit reads every pixel and writes every dot once: the same
images compared with a threshold.
"""

import pytest
import torch
from PIL import Image

from benchmarks.collect import interleave
from lib.defend.halftone import KERNELS, halftone, reference


@pytest.mark.parametrize("side", [64, 128, 224])
def test_halftoning_is_as_fast_as_pillow_and_exact(benchmark, side):
    gen = torch.Generator().manual_seed(0)
    images = torch.randint(256, (16, 1, side, side), generator=gen).float() / 255
    pillow = [Image.fromarray((image[0] * 255).round().byte().numpy()) for image in images]
    arrays = [image[0].double().numpy() for image in images]

    def loop():
        return [reference(array, KERNELS["floyd_steinberg"]) for array in arrays]

    for ours, exact in zip(halftone(images), loop(), strict=True):
        assert ours[0].tolist() == exact.tolist()
    interleave(
        benchmark,
        f"Floyd-Steinberg, 16 images of {side} px",
        ours=lambda: halftone(images),
        others={
            "peer:Pillow": lambda: [each.convert("1") for each in pillow],
            "peer:Python loop": loop,
            "limit": lambda: (images >= 0.5).float(),
        },
        goal="ours <= 1.0 x peer:Pillow",
        rounds=12,
        threads=1,
    )
