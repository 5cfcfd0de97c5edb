"""RISE and the deletion game on 64×64 scenes with their VGG.

RISE: 8 images, 256 masks each; the limit is as many forward passes, the peer a loop over single masks. Deletion: 8
Grad-CAM maps at image size, 101 scores each; the limit is as many forward passes, the peer torchcam's metric that
scores a CAM (average drop: two passes per image), so its ratio says what 101 scores cost beside two.
One thread, as each of the pipeline's jobs has: with two the compact networks are slower.
"""

import torch
from benchmarks.collect import interleave
from torchcam.methods import GradCAM
from torchcam.metrics import ClassificationMetric

from aecompanion.evaluate.games import play, random_maps
from aecompanion.explain.rise import CHUNK, random_masks, rise
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator

COUNT, MASKS, SCORES, BATCH = 8, 256, 101, 128


def task():
    """Network, images and classes."""
    model = create("aecompanion.networks.pooled:vgg", classes=10, channels=3, size=64).eval().requires_grad_(False)
    model = model.to(memory_format=torch.channels_last)
    gen = torch.Generator().manual_seed(0)
    return model, torch.rand(COUNT, 3, 64, 64, generator=gen), torch.randint(10, (COUNT,), generator=gen)


@torch.no_grad()
def passes(model, count: int, batch: int):
    """So many forward passes, in batches."""
    many = torch.rand(batch, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    whole, rest = divmod(count, batch)
    return [model(many) for _ in range(whole)] + ([model(many[:rest])] if rest else [])


def test_rise_costs_little_more_than_its_forward_passes(benchmark):
    model, images, target = task()

    def ours():
        return rise(model, images, target, masks=MASKS, multi_label=True)

    @torch.no_grad()
    def peer():
        total = torch.zeros(COUNT, 1, 64, 64)
        for chunk in range(MASKS // CHUNK):
            for mask in random_masks(CHUNK, (64, 64), cells=7, keep=0.5, gen=generator(0, chunk)):
                p = model(torch.lerp(torch.tensor(0.5), images, mask)).sigmoid()
                total += p.gather(1, target[:, None])[..., None, None] * mask
        return total / (0.5 * MASKS)

    torch.testing.assert_close(ours(), peer(), atol=1e-5, rtol=1e-3)
    others = {"peer:a loop over masks": peer, "limit": lambda: passes(model, COUNT * MASKS, CHUNK)}
    interleave(
        benchmark,
        "RISE, 8 images, 256 masks",
        ours=ours,
        others=others,
        goal="ours <= 1.11 x limit",
        rounds=8,
        threads=1,
    )


def test_a_deletion_game_costs_little_more_than_its_forward_passes(benchmark):
    model, images, target = task()
    maps = random_maps(COUNT, (64, 64), seed=0)
    steps = [round(i * 4096 / (SCORES - 1)) for i in range(SCORES)]
    blank = torch.full_like(images, 0.5)
    metric = ClassificationMetric(GradCAM(model, target_layer=model.cam_layer()), logits_fn=torch.sigmoid)

    def ours():
        return play(model, images, blank, maps, target, steps=steps, multi_label=True, batch=BATCH).auc

    def peer():
        model.requires_grad_(True)
        metric.update(images, target.tolist())
        model.requires_grad_(False)
        return metric.summary()

    assert ours().shape == (COUNT,)
    others = {"peer:torchcam, average drop": peer, "limit": lambda: passes(model, COUNT * SCORES, BATCH)}
    goal = "ours <= 1.11 x limit"
    interleave(benchmark, "deletion, 8 maps, 101 scores", ours=ours, others=others, goal=goal, rounds=8, threads=1)
