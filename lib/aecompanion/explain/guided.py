"""Guided back-propagation and guided Grad-CAM, which are known to depend little on the class and on the weights.

    guided BP          A = max over channels of | ∂̃z_c/∂x |
    guided Grad-CAM    A = max over channels of | ∂̃z_c/∂x ⊙ upsample(L) | ,    L: Grad-CAM of one layer

∂̃: the gradient, in which every ReLU lets only positive values back, and those only where its own input was positive.
The sanity checks of Adebayo et al. (NeurIPS 2018) made them the example of pictures that look right and say little
about the network: rows to be bad, beside others.

Where we depart: captum sets the rule on modules `nn.ReLU`, and would take the plain gradient of every other ReLU
without a word: nearly half of those of our residual networks are calls of `torch.relu`, and all of EfficientNet-Lite
are calls of `relu6`. Here the rule stands on the functions, whoever calls them, and gives captum's maps where all are
modules. A clamp from 0 without an upper limit is a ReLU, one from 0 to 6 a ReLU6; other limits cut values, not
features. A ReLU6 is guided as a ReLU that lets nothing back where it is saturated, as its derivative does. Networks
with smooth activations (SiLU, GELU, hard swish, ...) or with leaky ones have no such rule and are refused, as are
networks without any ReLU.
Sources: Springenberg, Dosovitskiy, Brox and Riedmiller, ICLR Workshop 2015; Selvaraju et al., ICCV 2017.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from aecompanion.explain.gradcam import gradcam
from aecompanion.explain.target import targets_of
from aecompanion.networks.borrow import borrowed, device_of, plain


def of_relu(input, inplace=False):  # lower and upper limit, and whether the input is written over, of a call
    return 0.0, torch.inf, inplace


def of_relu_(input):
    return 0.0, torch.inf, True


def of_relu6(input, inplace=False):
    return 0.0, 6.0, inplace


def of_hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):  # which the module nn.ReLU6 calls with 0 and 6
    return min_val, max_val, inplace


def of_clamp(input, min=None, max=None, *, out=None):
    relu = of_number(min, 0) and out is None and (max is None or of_number(max, 6, float("inf")))
    return (0.0 if relu else None), torch.inf if max is None else max, False


def of_clamp_(input, min=None, max=None):
    return *of_clamp(input, min, max)[:2], True


def of_number(value, *expected: float) -> bool:
    return not isinstance(value, torch.Tensor) and value in expected


RULES = dict.fromkeys((F.relu, torch.relu, torch.Tensor.relu), of_relu)
RULES |= dict.fromkeys((torch.relu_, torch.Tensor.relu_), of_relu_)
RULES |= dict.fromkeys((torch.clamp, torch.clip, torch.Tensor.clamp, torch.Tensor.clip), of_clamp)
RULES |= dict.fromkeys((torch.clamp_min, torch.Tensor.clamp_min), of_clamp)
RULES |= dict.fromkeys((torch.clamp_, torch.clip_, torch.Tensor.clamp_, torch.Tensor.clip_), of_clamp_)
RULES |= dict.fromkeys((torch.clamp_min_, torch.Tensor.clamp_min_), of_clamp_)
RULES |= {F.relu6: of_relu6, F.hardtanh: of_hardtanh}
OTHERS = {F.silu, F.gelu, F.hardswish, F.mish, F.elu, F.selu, F.celu, F.softplus, F.leaky_relu, F.prelu, F.rrelu}


class GuidedReLU(torch.autograd.Function):
    """min(max(x, 0), ceiling), whose gradient is kept where it is positive and 0 < x < ceiling."""

    @staticmethod
    def forward(ctx, features: torch.Tensor, ceiling: float) -> torch.Tensor:
        ctx.save_for_backward((features > 0) & (features < ceiling))
        return features.clamp(0, ceiling)

    @staticmethod
    def backward(ctx, slopes: torch.Tensor) -> tuple[torch.Tensor, None]:
        (open_,) = ctx.saved_tensors
        return slopes.clamp_min(0) * open_, None


class Guided(TorchFunctionMode):
    """Every ReLU and ReLU6 that is called inside the block is a `GuidedReLU`; `count` of them were. Raises ValueError
    at a call of an activation that has no such rule.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in OTHERS:
            raise ValueError(
                f"guided rules are for networks of ReLUs, and this one applies {function.__name__}: expected ReLU or "
                "ReLU6 everywhere"
            )
        if function not in RULES:
            return function(*args, **kwargs)
        low, ceiling, written = RULES[function](*args, **kwargs)
        if low != 0:  # a hard tanh or another clamp is no ReLU
            return function(*args, **kwargs)
        self.count += 1
        given = args[0] if args else kwargs["input"]
        found = GuidedReLU.apply(given, ceiling)
        return given.copy_(found) if written else found


def guided_gradients(
    model: nn.Module, images: torch.Tensor, target: int | torch.Tensor, *, batch: int = 128
) -> torch.Tensor:
    """∂̃z_c/∂x of the formula, N×C×H×W on the CPU. Cost: a forward and a backward pass per pair.

    Raises ValueError for networks that have no ReLU or an activation without a guided rule, and for targets as in
    `explain.target`.
    """
    model, device, found = plain(model), device_of(model), []
    target = targets_of(target, len(images))
    with borrowed(model), torch.enable_grad():
        for start in range(0, len(images), batch):
            given = images[start : start + batch].detach().to(device).requires_grad_()
            classes = target[start : start + batch].to(device)
            with Guided() as rule:
                logits = model(given.clone())  # a leaf cannot be written into
            if not rule.count:
                raise ValueError(
                    f"{type(model).__name__} applies no ReLU, expected a network of ReLUs for guided rules"
                )
            targets_of(target, len(images), classes=logits.shape[1])
            (slopes,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), given)
            found.append(slopes.cpu())
    return torch.cat(found)


def guided_backprop(model: nn.Module, images: torch.Tensor, target: int | torch.Tensor) -> torch.Tensor:
    """A of guided BP, N×1×H×W on the CPU; cost and errors as in `guided_gradients`."""
    return guided_gradients(model, images, target).abs().amax(1, keepdim=True)


def guided_gradcam(
    model: nn.Module, images: torch.Tensor, target: int | torch.Tensor, *, layer: str | nn.Module
) -> torch.Tensor:
    """A of guided Grad-CAM, N×1×H×W on the CPU, at least in single precision, L enlarged bilinearly. Cost: two forward
    and two backward passes per pair. Errors as in `guided_gradients` and `gradcam`.
    """
    kind = torch.promote_types(images.dtype, torch.float32)  # products of small numbers
    coarse = gradcam(model, images, target, layer=layer).to(kind)
    large = F.interpolate(coarse, tuple(images.shape[2:]), mode="bilinear", align_corners=False)
    return guided_backprop(model, images, target).to(kind) * large  # L is not negative
