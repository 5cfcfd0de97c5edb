"""Prediction and attack behind a halftone, 120 grey 64×64 images, compact residual network.

The limits are the same without the halftone: the bare forward pass, and PGD on the bare network.
"""

import functools

import torch
from benchmarks.collect import interleave

from aecompanion.attack.adaptive import bpda
from aecompanion.attack.gradient import pgd
from aecompanion.defend.halftone import halftone
from aecompanion.defend.transforms import jpeg
from aecompanion.networks.read import predict
from aecompanion.networks.zoo import create

STEPS = 5


def data():
    model = create("compact/residual", classes=30, channels=1, size=64).eval().requires_grad_(False)
    gen = torch.Generator().manual_seed(0)
    images = torch.randint(256, (120, 1, 64, 64), generator=gen).float() / 255
    return model, images, torch.randint(30, (120,), generator=gen)


def test_a_halftone_costs_little_beside_the_forward_pass(benchmark):
    model, images, _ = data()
    interleave(
        benchmark,
        "Prediction behind a halftone, batch 120",
        ours=lambda: predict(model, halftone(images)),
        others={"peer:JPEG": lambda: predict(model, jpeg(images)), "limit": lambda: predict(model, images)},
        goal="ours <= 1.25 x limit",
        rounds=40,
    )


def test_bpda_costs_little_beside_pgd(benchmark):
    model, images, labels = data()
    options = {"eps": 8 / 255, "steps": STEPS}
    plain = functools.partial(pgd, model, images, labels, **options)
    interleave(
        benchmark,
        f"BPDA through a halftone, {STEPS} steps, batch 120",
        ours=lambda: bpda(model, images, labels, transform=halftone, **options),
        others={
            "peer:BPDA, JPEG": lambda: bpda(model, images, labels, transform=jpeg, **options),
            "limit": plain,
        },
        goal="ours <= 1.15 x limit",
        rounds=20,
    )
