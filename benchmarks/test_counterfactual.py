"""Counterfactuals: Auto-Frank-Wolfe beside bare forward and backward passes, and the oracle alone.

AFW-75 on the compact network (64 images, 3×32×32); its limit is 76 forward and 75 backward passes
of the same batch.
ResNet-50 at 224 px, 16 images, runs one step instead of 75: each costs the same. The oracle is timed at d = 150,528
and p = 1.5 beside a bisection of 60 halvings and scipy's root finder, whose values it has to meet first; its limit is
one pass over the data (sum of w·x).
Compact networks have one thread, as each of the pipeline's jobs: with two they are slower.
"""

import numpy as np
import pytest
import torch
from benchmarks.collect import interleave
from scipy.optimize import brentq

from aecompanion.attack.lp_ball import lmo
from aecompanion.attack.objective import log_confidence, value, value_and_gradient
from aecompanion.explain.frank_wolfe import auto_frank_wolfe
from aecompanion.networks.borrow import borrowed
from aecompanion.networks.zoo import create

P = 1.5
CASES = {
    "AFW-75, compact network, batch 64": ("aecompanion.networks.preact:preact", 32, 64, 75, 4.0, 1.333, 5, 1),
    "AFW, one step, ResNet-50 at 224 px, batch 16": ("torchvision/resnet50", 224, 16, 1, 50.0, 1.111, 3, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_auto_frank_wolfe_costs_little_more_than_its_forward_and_backward_passes(benchmark, case):
    name, side, count, steps, eps, factor, rounds, threads = CASES[case]
    model = create(name, classes=10, channels=3, size=side).eval().to(memory_format=torch.channels_last)
    gen = torch.Generator().manual_seed(0)
    images, target = torch.rand(count, 3, side, side, generator=gen), torch.randint(10, (count,), generator=gen)

    def run(batch: int):
        return auto_frank_wolfe(model, images, target, eps=eps, p=P, steps=steps, batch=batch)

    def limit():
        with borrowed(model):
            for _ in range(steps):
                value_and_gradient(model, images, target, log_confidence)
            return value(model, images, target, log_confidence)

    others = {"peer:a quarter of the batch at a time": lambda: run(count // 4), "limit": limit}
    options = {"goal": f"ours <= {factor} x limit", "rounds": rounds, "threads": threads}
    interleave(benchmark, case, ours=lambda: run(count), others=others, **options)


def length_at(log_s: float, log_a: np.ndarray, room: np.ndarray) -> np.ndarray:
    return np.minimum(room, np.exp(log_s + log_a))


def test_the_oracle_is_exact_and_faster_than_searches(benchmark):
    gen = torch.Generator().manual_seed(0)
    w, x = torch.randn(16, 150_528, generator=gen), torch.rand(16, 150_528, generator=gen)
    eps = 50.0
    size, room = w.abs().double().numpy(), torch.where(w > 0, 1 - x, x).double().numpy()
    log_a = np.log(size / size.max(1, keepdims=True)) / (P - 1)

    def surplus(log_s: float, row: int) -> float:
        return float((length_at(log_s, log_a[row], room[row]) ** P).sum() - eps**P)

    def by_scipy():
        roots = [brentq(surplus, -40, 40, args=(row,), xtol=1e-10) for row in range(16)]
        return np.stack([length_at(root, log_a[row], room[row]) for row, root in enumerate(roots)])

    a, spare = torch.from_numpy(np.exp(log_a)).float(), torch.from_numpy(room).float()

    def by_bisection():
        low, high = torch.full((16, 1), -20.0), torch.full((16, 1), 20.0)
        for _ in range(60):
            middle = (low + high) / 2
            spent = torch.minimum(spare, middle.exp() * a).pow(P).sum(1, keepdim=True)
            low, high = torch.where(spent > eps**P, low, middle), torch.where(spent > eps**P, middle, high)
        return torch.minimum(spare, low.exp() * a)

    def ours():
        return lmo(w, x, eps, P)

    exact = (size * by_scipy()).sum(1)
    np.testing.assert_allclose((w * ours()).double().sum(1).numpy(), exact, rtol=1e-5)
    np.testing.assert_allclose((size * by_bisection().double().numpy()).sum(1), exact, rtol=1e-5)
    others = {"peer:bisection": by_bisection, "peer:scipy": by_scipy, "limit": lambda: (w * x).sum(1)}
    goal = "ours <= 1.0 x peer:bisection"
    interleave(benchmark, "oracle, d = 150,528, 16 images", ours=ours, others=others, goal=goal, rounds=5)
