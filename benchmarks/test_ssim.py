"""SSIM of 64 pairs of 224×224 maps, uniform 7×7 window.

"per-pair convolution" stands in for torchmetrics, which is not installed: one pair a call, the five window means by one
depthwise convolution, as torchmetrics computes them (written here with a uniform window and sample covariance). The
limit is the formula with the window means left out, so that a window of any size would be free.
"""

import torch
from benchmarks.collect import interleave
from skimage.metrics import structural_similarity
from torch.nn import functional as F

from aecompanion.evaluate.dissimilarity import ssim

WINDOW, C1, C2 = 7, 0.01**2, 0.03**2


def index(mean_a, mean_b, mean_aa, mean_bb, mean_ab, correction=1.0):
    variance = correction * (mean_aa - mean_a**2 + mean_bb - mean_b**2)
    covariance = correction * (mean_ab - mean_a * mean_b)
    numerator = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    return numerator / ((mean_a**2 + mean_b**2 + C1) * (variance + C2))


def by_convolution(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    maps = torch.cat([a, b, a * a, b * b, a * b])[:, None]
    means = F.conv2d(maps, torch.full((1, 1, WINDOW, WINDOW), 1 / WINDOW**2))
    return index(*means, correction=WINDOW**2 / (WINDOW**2 - 1)).mean()


def test_batched_ssim_is_faster_than_pair_by_pair(benchmark):
    gen = torch.Generator().manual_seed(0)
    a, b = (F.interpolate(torch.rand(64, 1, 8, 8, generator=gen), size=224, mode="bilinear") for _ in range(2))

    def ours():
        return ssim(a, b)

    def skimage():
        pairs = zip(a[:, 0].numpy(), b[:, 0].numpy(), strict=True)
        return torch.tensor([structural_similarity(x, y, win_size=WINDOW, data_range=1.0) for x, y in pairs])

    def convolution():
        return torch.stack([by_convolution(x, y) for x, y in zip(a, b, strict=True)])

    def limit():
        chunks = zip(a.split(5), b.split(5), strict=True)  # as many pixels a pass as ours takes
        return torch.cat([index(x, y, x * x, y * y, x * y).flatten(1).mean(1) for x, y in chunks])

    torch.testing.assert_close(ours(), skimage().float(), rtol=0, atol=1e-4)
    torch.testing.assert_close(ours(), convolution(), rtol=0, atol=1e-4)
    interleave(
        benchmark,
        "SSIM of 64 pairs, 224 px",
        ours=ours,
        others={"peer:scikit-image": skimage, "peer:per-pair convolution": convolution, "limit": limit},
        goal="ours <= 0.5 x peer",
        rounds=40,
    )
