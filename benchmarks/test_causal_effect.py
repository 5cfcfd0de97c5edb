"""A causal-effect map on a 10×10 grid: 16 grey images of 60×60, the network of the phantoms, blocks set to black.

The limit runs the network on as many images as the map needs, 101 for each, in batches of the same size, without
replacing a pixel. The size divides by ten, so that captum's sliding window makes the same blocks.
"""

import torch
from benchmarks.collect import interleave
from captum.attr import Occlusion

from aecompanion.explain.causal_effect import block_effects
from aecompanion.networks.zoo import create

BATCH = 200


def test_a_causal_effect_map_costs_little_more_than_its_forward_passes(benchmark):
    model = create("compact/gap", classes=7, channels=1, size=60).eval().requires_grad_(False)
    gen = torch.Generator().manual_seed(0)
    images, target = torch.rand(16, 1, 60, 60, generator=gen), torch.randint(7, (16,), generator=gen)
    explain = Occlusion(lambda x: model(x).sigmoid())
    many = torch.rand(BATCH, 1, 60, 60, generator=gen)

    def ours():
        return block_effects(model, images, target, per_side=10, fill="black", multi_label=True, batch=BATCH)

    @torch.no_grad()
    def peer():
        blocks = {"sliding_window_shapes": (1, 6, 6), "strides": (1, 6, 6), "perturbations_per_eval": BATCH // 16}
        return explain.attribute(images, target=target, baselines=0, **blocks)[:, :, ::6, ::6]

    @torch.no_grad()
    def limit():
        passes, rest = divmod(16 * 101, BATCH)
        return [model(many).sigmoid() for _ in range(passes)] + [model(many[:rest]).sigmoid()]

    torch.testing.assert_close(ours(), peer(), atol=1e-5, rtol=1e-4)
    interleave(
        benchmark,
        "causal-effect map, 10×10 blocks, 16 images",
        ours=ours,
        others={"peer:captum Occlusion": peer, "limit": limit},
        goal="ours <= 1.11 x limit",
        rounds=20,
    )
