"""The methods on a GPU say what they say on the CPU (skipped where there is none)."""

import math

import pytest
import torch

from aecompanion.attack.apgd import ascend
from aecompanion.attack.gradient import fgsm, pgd
from aecompanion.attack.lp_ball import lmo, norm, project
from aecompanion.defend.halftone import halftone
from aecompanion.evaluate.dissimilarity import nissim
from aecompanion.evaluate.games import hottest_removed, play
from aecompanion.explain.frank_wolfe import auto_frank_wolfe
from aecompanion.explain.mask import Settings, optimise
from aecompanion.explain.rise import rise
from aecompanion.networks.folding import folded
from aecompanion.networks.zoo import create

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def drawn(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape) + shape[-1]))


@pytest.fixture(scope="module")
def pair():
    """The same network in float64 on both devices: rounding must not decide between maxima."""
    network = create("compact/vgg", classes=5, channels=3, size=64, seed=1).eval().double()
    return network, folded(network).cuda()


IMAGES, LABELS = drawn(4, 3, 64, 64).double(), torch.tensor([0, 1, 2, 3])
MAPS = drawn(4, 1, 64, 64).double()
METHODS = {
    "fgsm": lambda net, x, y, maps: fgsm(net, x, y, eps=0.03),
    "pgd": lambda net, x, y, maps: pgd(net, x, y, eps=0.03, steps=3),
    "pgd l2": lambda net, x, y, maps: pgd(net, x, y, eps=1.0, steps=3, norm="l2"),
    "apgd l1": lambda net, x, y, maps: ascend(net, x, y, norm="l1", eps=5.0, steps=4).value,
    "apgd l2": lambda net, x, y, maps: ascend(net, x, y, norm="l2", eps=1.0, steps=4).value,
    "frank-wolfe": lambda net, x, y, maps: auto_frank_wolfe(net, x, y, eps=5.0, p=1.5, steps=4).value,
    "robust mask": lambda net, x, y, maps: optimise(net, x, y, x * 0.5, Settings("robust", steps=3, noise=0.0)).mask,
    "rise": lambda net, x, y, maps: rise(folded(net).float(), x.float(), y, masks=64),
    "deletion": lambda net, x, y, maps: play(net, x, x * 0, maps, y).auc,
    "removal": lambda net, x, y, maps: hottest_removed(maps, [0.1] * 4, seed=0, keys=range(4)),
    "halftone": lambda net, x, y, maps: halftone(x.float(), method="floyd_steinberg"),
    "nissim": lambda net, x, y, maps: nissim(x[:, :1], maps),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_gpu_agrees_with_the_cpu(pair, method):
    here, there = pair
    expected = METHODS[method](here, IMAGES, LABELS, MAPS)
    found = METHODS[method](there, IMAGES.cuda(), LABELS.cuda(), MAPS.cuda()).cpu()
    assert found.shape == expected.shape
    # a dot of a halftone and a sign of a zero gradient may flip with the last digit
    close = torch.isclose(found, expected, rtol=1e-4, atol=1e-5).double().mean().item()
    assert close >= 0.999


def test_extremal_perturbation_runs_there(pair):
    # it sorts nearly equal values: last digits decide which rise, so that its masks are not compared
    found = optimise(pair[1], IMAGES.cuda(), LABELS.cuda(), IMAGES.cuda() * 0.5, Settings("extremal", steps=3))
    assert found.mask.shape == MAPS.shape
    assert 0 <= found.mask.min() < found.mask.max() <= 1


@pytest.mark.parametrize("p", [1, 1.1, 1.5, 2, 4, math.inf])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_oracle_agrees_and_stays_feasible(p, scale):
    w, x = scale * (drawn(4, 3, 224, 224) - 0.5), drawn(4, 3, 224, 224)
    eps = 0.3 * 1000 ** (1 / p)
    found, expected = lmo(w.cuda(), x.cuda(), eps, p).cpu(), lmo(w, x, eps, p)
    gains = [(w / w.abs().max() * each).double().flatten(1).sum(1) for each in (found, expected)]
    assert torch.allclose(*gains, rtol=1e-5)
    assert (norm(found, p) <= eps * (1 + 1e-5)).all()
    assert (x + found).min() >= -1e-6 and (x + found).max() <= 1 + 1e-6


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_the_projection_agrees(p):
    v, x = drawn(4, 3, 64, 64) - 0.5, drawn(4, 3, 64, 64)
    eps = {1: 20.0, 2: 2.0, math.inf: 0.1}[p]
    assert torch.allclose(project(v.cuda(), x.cuda(), eps, p).cpu(), project(v, x, eps, p), atol=1e-5)
