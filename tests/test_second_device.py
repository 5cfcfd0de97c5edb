"""Every method takes a network on another device than its images and says the same there.

The other device is pretended: its tensors compute on the CPU, but refuse to meet the CPU's and to become arrays, as
those of a GPU do. So a tensor left behind is found without a GPU (tests/test_gpu.py looks at the
numbers of a real one).
"""

import copy
import dataclasses
import importlib

import numpy as np
import pandas as pd
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from aecompanion.attack import adaptive, carlini_wagner, crafted, gradient
from aecompanion.attack.apgd import ascend
from aecompanion.defend import defences
from aecompanion.defend.halftone import halftone
from aecompanion.defend.transforms import jpeg, total_variation
from aecompanion.evaluate import defence, detectors, robustness
from aecompanion.evaluate.frechet import features
from aecompanion.evaluate.games import play
from aecompanion.evaluate.suspicion import Setting
from aecompanion.explain import causal_effect, methods
from aecompanion.explain.activations import activations
from aecompanion.explain.counterfactual import counterfactual, matched_radius, min_norm
from aecompanion.explain.frank_wolfe import SCHEDULES
from aecompanion.explain.gradcam import explain_classes, gradcam
from aecompanion.explain.logit_slice import logit_plane
from aecompanion.explain.mask import optimise
from aecompanion.explain.neighbours import NEIGHBOURS, explain_any
from aecompanion.explain.rise import rise
from aecompanion.explain.shapley import shapley
from aecompanion.networks import normalisation
from aecompanion.networks.borrow import device_of
from aecompanion.networks.folding import folded
from aecompanion.networks.read import predict
from aecompanion.networks.zoo import create
from aecompanion.sanity import map_randomization, randomization, released_loss
from aecompanion.studies import (
    counterfactuals as counterfactual_study,
    masks as mask_study,
    regions as region_study,
    shortcut,
)
from aecompanion.studies.all_five import Options, examine
from aecompanion.train import causal_autoencoder, fidelity

# ---- the device

NAME = "lazy"  # a device type that torch knows and no build has
COPY = torch.ops.aten.copy_.default
NUMBER = torch.ops.aten._local_scalar_dense.default
INDEXING = ("aten.index", "aten._index", "aten._unsafe_index")


class There(torch.Tensor):
    """A tensor on the pretended device, around the CPU tensor that holds its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    __module__ = "torch"  # by which foolbox knows a tensor

    @staticmethod
    def __new__(cls, inner):
        facts = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        tensor = torch.Tensor._make_wrapper_subclass(cls, inner.shape, device=NAME, **facts)
        tensor.inner = inner
        return tensor

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})

    def numpy(self, *args, **kwargs):
        raise TypeError(f"can't convert {NAME} device type tensor to numpy")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def tolist(self):
        return self.inner.tolist()


class Pretended(TorchDispatchMode):
    """While it is active, `.to(NAME)` and `device=NAME` lead to the pretended device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


class Made(TorchFunctionMode):
    """Tensors made of numbers, which torch makes without an operation that a dispatch mode would see."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu").type == NAME:
            return function(*args, **kwargs | {"device": "cpu"}).to(NAME)
        if function is torch.Tensor.new_tensor:
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype} | kwargs).to(args[0].device)
        if function is torch.Tensor.__getitem__ and isinstance(args[1], tuple):
            numbers = (list, range)
            index = tuple(torch.tensor(list(each)) if isinstance(each, numbers) else each for each in args[1])
            args = (args[0], index)
        return function(*args, **kwargs)


def inside(value):
    return value.inner if isinstance(value, There) else value


def compute(function, args, kwargs):
    """One operation of torch on the CPU values; its result lives where a GPU's would."""
    name = str(function)
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, There)]
    here = [tensor for tensor in tensors if not isinstance(tensor, There) and tensor.dim() > 0]
    if function is COPY:
        function(*tree_map(inside, args), **kwargs)
        return args[0]
    if there and here and not (name.startswith(INDEXING) and isinstance(args[0], There)):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {NAME} and cpu in {name}")
    device = kwargs.get("device")
    leads_there = bool(there) if device is None else torch.device(device).type == NAME
    if device is not None and leads_there:
        kwargs = kwargs | {"device": torch.device("cpu")}
    found = function(*tree_map(inside, args), **tree_map(inside, kwargs))
    if not leads_there or function is NUMBER:
        return found
    known = {id(tensor.inner): tensor for tensor in there}  # of operations in place

    def wrapped(value):
        plain = isinstance(value, torch.Tensor) and not isinstance(value, There)
        return known.get(id(value)) if id(value) in known else There(value) if plain else value

    return tree_map(wrapped, found)


@pytest.fixture(autouse=True)
def pretended(monkeypatch):
    """The device, in this thread; jobs run one after another since others know nothing of it."""
    monkeypatch.setattr("aecompanion.pipeline.parallel.over", one_by_one)
    optimizer = importlib.import_module("torch.optim.optimizer")
    known = optimizer._get_fused_kernels_supported_devices() + [NAME]  # it computes on the CPU, which has them
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: list(known))
    with Pretended(), Made():
        yield


def one_by_one(function, jobs, *, workers=2):
    return map(function, jobs)


def test_tensors_there_refuse_those_here():
    a = torch.arange(3.0)
    b = a.to(NAME)
    assert b.device.type == NAME
    assert (b + 1).device.type == NAME
    assert torch.equal((b * torch.zeros(()) + b).cpu(), a)  # a number may come from the CPU
    with pytest.raises(RuntimeError, match="same device"):
        a + b
    with pytest.raises(RuntimeError, match="same device"):
        torch.cat([a, b])
    with pytest.raises(RuntimeError, match="same device"):
        a[torch.tensor([1]).to(NAME)]
    assert torch.equal(b[torch.tensor([1])].cpu(), a[1:2])
    with pytest.raises(TypeError, match="numpy"):
        np.asarray(b)
    with pytest.raises(TypeError, match="numpy"):
        b.numpy()


# ---- the methods

CLASSES, SIZE = 4, 48
LAYER = "body.stage2"


def drawn(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


IMAGES, LABELS = drawn(3, 3, SIZE, SIZE), torch.tensor([0, 1, 3])
OTHERS = (LABELS + 1) % CLASSES
BLURRED, MAPS = drawn(3, 3, SIZE, SIZE, seed=1), drawn(3, 1, SIZE, SIZE, seed=2)
BOXES = torch.zeros(3, 1, SIZE, SIZE, dtype=torch.bool)
BOXES[:, :, 8:20, 6:16] = True
CELLS = causal_effect.blocks(SIZE, 2)[:, 0]
KEYS = [5, 6, 7]
MASKS = {name: methods.rescaled(name, side=8, steps=2, area=1.0, variation=0.05) for name in methods.LOSS}
EXPLAIN = {"references": BLURRED, "settings": MASKS, "rise_masks": 8}
FEW = {"noisy_samples": 3, "channels": 4, "windows": 3, "blocks": 3, "segments": (4, 9)}
ASCENT = {"steps": 3, "keys": KEYS}
STUDY = {"temperature": 1.5} | ASCENT
TWO = {"p": 1.5, "eps": 3.0} | STUDY
SEARCH = {"largest": 30.0, "searches": 2, "steps": 2}
EXAMINE = Options(steps=2, mask_steps=2, batch=2)


def bottleneck(net):
    return causal_autoencoder.fit_autoencoder(net, IMAGES, layer=LAYER, epochs=1, batch=2)


def through(net):
    return {"layer": LAYER, "autoencoder": bottleneck(net)[0]}


def scores(net):
    rest = {"channel": 1, "multi_label": False, "heat_layer": net.cam_layer(), "penultimate": net.cam_layer()}
    setting = Setting(net, **through(net), **rest, clean=IMAGES, known=IMAGES, labels=LABELS)
    return detectors.image_scores(net, detectors.fit(setting), IMAGES)


def defended(net):
    dots = [each for each in defences.catalogue(defences.transforms()) if each.name == "halftone, grey network"]
    return defence.defended(dots, 1, lambda *_: net, {("known", "clean", 0): (IMAGES, LABELS)})


def randomly_repeated(x, draw):
    return x + 0.01 * draw


METHODS = {
    "predict": lambda net: predict(net, IMAGES, batch=2),
    "fgsm": lambda net: gradient.fgsm(net, IMAGES, LABELS, eps=0.03),
    "pgd l2": lambda net: gradient.pgd(net, IMAGES, LABELS, eps=1.0, steps=2, norm="l2"),
    "signs": lambda net: gradient.gradient_signs(net, IMAGES, LABELS),
    "craft": lambda net: crafted.craft(net, IMAGES, LABELS, attack="pgd", eps=8 / 255, steps=2),
    "bpda": lambda net: adaptive.bpda(net, IMAGES, LABELS, transform=halftone, eps=0.03, steps=2),
    "bpda through jpeg": lambda net: adaptive.bpda(net, IMAGES, LABELS, transform=jpeg, eps=0.03, steps=1),
    "bpda through tv": lambda net: adaptive.bpda(net, IMAGES, LABELS, transform=total_variation, eps=0.03, steps=1),
    "eot": lambda net: adaptive.eot(net, IMAGES, LABELS, transform=randomly_repeated, draws=2, eps=0.03, steps=1),
    "carlini-wagner": lambda net: carlini_wagner.carlini_wagner(net, IMAGES, LABELS, steps=2, searches=1),
    "apgd l1": lambda net: ascend(net, IMAGES, LABELS, norm="l1", eps=5.0, indices=KEYS, steps=3),
    "robustness": lambda net: robustness.robust(net, IMAGES, LABELS, norm="l2", eps=0.5, steps=2),
    "defended": defended,
    "grad-cam": lambda net: gradcam(net, IMAGES, LABELS, layer=net.cam_layer()),
    "grad-cam of classes": lambda net: explain_classes(
        net, IMAGES, torch.stack([LABELS, OTHERS, LABELS]), layer=net.cam_layer()
    ),
    "activations": lambda net: activations(net, IMAGES, {"stage": net.body.stage1}),
    "rise": lambda net: rise(net, IMAGES, LABELS, masks=8),
    "games": lambda net: play(net, IMAGES, BLURRED, MAPS, LABELS, keys=KEYS).auc,
    "explain": lambda net: [methods.explain(each, net, IMAGES, LABELS, **EXPLAIN) for each in methods.METHODS],
    "neighbours": lambda net: [
        explain_any(each, net, IMAGES, LABELS, **EXPLAIN, **FEW, parts=[*BOXES]) for each in NEIGHBOURS
    ],
    "drawn coalitions": lambda net: shapley(net, IMAGES[:1], LABELS[:1], BLURRED[:1], [CELLS], coalitions=8),
    "explain, folded": lambda net: methods.explain("RP", folded(net), IMAGES, LABELS, **EXPLAIN),
    "one rival": lambda net: optimise(net, IMAGES, LABELS, BLURRED, MASKS["RP"], multi_label=False, rivals=2),
    "mask scores": lambda net: mask_study.score(
        net, IMAGES, LABELS, BLURRED, BOXES, methods.explain("MP", net, IMAGES, LABELS, **EXPLAIN),
        areas=torch.full((3,), 0.1), keys=KEYS,
    ),
    "plane": lambda net: logit_plane(net, IMAGES[0], IMAGES[1], IMAGES[2], steps=3),
    "features": lambda net: features(net, IMAGES, layer=net.cam_layer()),
    "counterfactuals": lambda net: [
        counterfactual(each, net, IMAGES, OTHERS, eps=3.0, **ASCENT) for each in (*SCHEDULES, "AFW")
    ],
    "matched radius": lambda net: matched_radius(net, IMAGES, OTHERS, confidence=0.5, **SEARCH),
    "least radii": lambda net: min_norm(net, IMAGES, OTHERS, confidence=0.3, **SEARCH),
    "optimisers": lambda net: counterfactual_study.optimiser_rows(net, IMAGES, OTHERS, methods=["AFW", "FW"], **TWO),
    "schedules": lambda net: counterfactual_study.schedule_rows(net, IMAGES, OTHERS, **TWO),
    "restarts": lambda net: counterfactual_study.restart_rows(net, IMAGES, OTHERS, restarts=2, **TWO),
    "sweep": lambda net: counterfactual_study.sweep_rows(net, IMAGES, OTHERS, kind="l2", radii=[1.0, 2.0], **STUDY),
    "measured": lambda net: counterfactual_study.measured(BLURRED, IMAGES, OTHERS, BOXES[:, 0].numpy(), net),
    "judge's features": lambda net: counterfactual_study.feature_rows(net, IMAGES),
    "regions": lambda net: causal_effect.region_effects(net, IMAGES, BOXES, fill="ring"),
    "blocks": lambda net: causal_effect.block_effects(net, IMAGES, LABELS, per_side=4),
    "bottleneck": lambda net: bottleneck(net)[0].state_dict(),
    "fidelity": lambda net: fidelity.fidelity(net, IMAGES, **through(net)),
    "latent effects": lambda net: causal_effect.latent_effects(net, IMAGES, **through(net)),
    "released effects": lambda net: causal_effect.released_effects(
        net, IMAGES, BOXES, fill="black", channel=0, **through(net)
    ),
    "detection": scores,
    "heatmaps": lambda net: region_study.heatmaps(net, IMAGES, LABELS),
    "shortcut": lambda net: shortcut.study(
        net, IMAGES, LABELS, {"box": BOXES}, fills=["mean", "blur"], indices=KEYS, seed=0
    ),
    "released loss": lambda net: released_loss.train_released(
        net, IMAGES, IMAGES, layer=LAYER, variant="released", score=lambda each: 0.0, epochs=1, batch=2
    ),
    "grad-cam randomised": lambda net: randomization.study(net, IMAGES, size=SIZE, seed=0),
    "maps randomised": lambda net: map_randomization.study(
        net, IMAGES, LABELS, BLURRED, settings=MASKS, rise_masks=4, calibration=BLURRED, methods=["BP", "RISE", "RP"]
    ),
    "all five": lambda net: examine(net, IMAGES, classes=list("abcd"), options=EXAMINE),
    "normalisations": lambda net: normalisation.compare_normalisations(net, IMAGES, LABELS),
}  # fmt: skip


NEAR = {"maps randomised": 0.02}  # RP's steps enlarge the last digit of a folded convolution to .01 of a similarity


@pytest.fixture(scope="module")
def network():
    return create("compact/gap", classes=CLASSES, channels=3, size=SIZE, seed=1).eval()


def arrays(found):
    """Everything that a result holds, as arrays; TypeError for what is still on the other device."""
    if isinstance(found, pd.DataFrame):
        return [found[column].to_numpy() for column in found]
    if dataclasses.is_dataclass(found):
        return [each for field in dataclasses.fields(found) for each in arrays(getattr(found, field.name))]
    if isinstance(found, dict):
        return [each for value in found.values() for each in arrays(value)]
    if isinstance(found, (list, tuple)):
        return [each for value in found for each in arrays(value)]
    return [np.asarray(found)]


@pytest.mark.parametrize("name", METHODS)
def test_a_network_there_says_the_same(network, name):
    expected = METHODS[name](copy.deepcopy(network))
    moved = copy.deepcopy(network).to(NAME)
    found = METHODS[name](moved)
    if name == "bottleneck":  # is a network, which stays where it is
        found = {key: value.cpu() for key, value in found.items()}
    pairs = list(zip(arrays(found), arrays(expected), strict=True))
    assert pairs
    assert device_of(moved).type == NAME
    near = NEAR.get(name, 1e-6)
    for a, b in pairs:  # the same kernels, but a convolution may choose another memory format: the last digit
        assert np.allclose(a, b, rtol=1e-6, atol=near, equal_nan=True) if a.dtype.kind == "f" else np.array_equal(a, b)
