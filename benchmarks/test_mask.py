"""Mask optimisation: 32 cross-checked masks of 64×64 scenes, ten steps, the VGG of the scenes.

The limit runs the network forwards and backwards (to its input) on as many images, two per mask and step, without a
mask, a loss or an optimiser. The peer optimises the same masks one after another.
One thread, as each of the pipeline's jobs has, and two; the comparison with one by one has two.
"""

import pytest
import torch
from benchmarks.collect import interleave

from aecompanion.explain.mask import Settings, optimise
from aecompanion.networks.borrow import borrowed
from aecompanion.networks.zoo import create

STEPS, COUNT = 10, 32


def task():
    """Network, images, classes, references, settings."""
    model = (
        create("aecompanion.networks.pooled:vgg", classes=10, channels=3, size=64)
        .eval()
        .to(memory_format=torch.channels_last)
    )
    gen = torch.Generator().manual_seed(0)
    images, references = torch.rand(2, COUNT, 3, 64, 64, generator=gen)
    return model, images, torch.randint(10, (COUNT,), generator=gen), references, Settings("robust", steps=STEPS)


def calls():
    model, images, target, references, settings = task()
    given, many = (images, target, references), torch.cat([images, references])

    def ours():
        return optimise(model, images, target, references, settings, multi_label=True, batch=COUNT).mask

    def one_by_one():
        masks = [
            optimise(model, *(each[i : i + 1] for each in given), settings, multi_label=True, keys=[i]).mask
            for i in range(COUNT)
        ]
        return torch.cat(masks)

    def limit():
        with borrowed(model):
            for _ in range(STEPS):
                model(many.clone().requires_grad_()).sum().backward()

    return ours, one_by_one, limit


@pytest.mark.parametrize("threads", [1, 2])
def test_mask_optimisation_costs_little_more_than_its_forward_and_backward_passes(benchmark, threads):
    ours, one_by_one, limit = calls()
    torch.testing.assert_close(ours(), one_by_one(), atol=1e-4, rtol=1e-3)
    others = {"peer:one mask after another": one_by_one, "limit": limit}
    group = f"32 cross-checked masks, 10 steps, threads: {threads}"
    goal = "ours <= 1.18 x limit"
    interleave(benchmark, group, ours=ours, others=others, goal=goal, rounds=8, threads=threads)


def test_a_batch_of_masks_is_three_times_as_fast_as_one_after_another(benchmark):
    ours, one_by_one, limit = calls()
    others = {"peer:one mask after another": one_by_one, "limit": limit}
    goal = "ours <= 0.333 x peer"
    interleave(benchmark, "32 cross-checked masks against one by one", ours=ours, others=others, goal=goal, rounds=8)
