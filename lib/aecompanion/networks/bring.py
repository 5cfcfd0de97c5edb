"""A network of one's own: any module or name of the zoo with a state dict, checked before anything is computed.

What goes wrong with foreign networks is mostly one of a few things, and each has its sentence: another number of
outputs than classes, probabilities in place of logits, another number of input channels, an input that is too small,
a mean in grey levels of 255, dropout that stays on, a squeeze that takes away the axis of a single image. One mistake
raises no error: a normalisation that is not the one of the training only makes the network worse.
`compare_normalisations` looks for it on labelled images, with

    right(μ, σ) = Σ_n [ argmax f((x_n - μ) / σ) = y_n ],      log_p(μ, σ) = mean_n log softmax f((x_n - μ) / σ)_{y_n}

for the given (μ, σ) and for each of USUAL; `advice` is a sentence where another one does better. The second number is
the finer one: EfficientNet-Lite0 names 18 of the 21 shipped photographs right at 224 px with its own normalisation
(mean log_p -0.60), and 18 as well with none at all (-0.82).
"""

import contextlib
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.networks.chosen import check_layers
from aecompanion.networks.foreign import load_foreign
from aecompanion.networks.normalisation import IMAGENET, checked
from aecompanion.networks.places import attempted
from aecompanion.networks.pretrained import PRETRAINED, Pretrained, described
from aecompanion.networks.zoo import Network, assembled, with_default_layer
from aecompanion.pipeline.rng import generator, seeded

REPEATS = 1e-4  # of the largest logit: how far two passes over the same images may differ
ALONE = 1e-2  # likewise for an image alone and beside another, whose sums run in another order
SHAPING = ("View", "Reshape", "Unsafe", "Squeeze", "Unsqueeze", "Clone", "Slice", "ToCopy", "Cat", "Alias")


def bring(
    source: str | nn.Module,
    *,
    classes: int | Sequence[str] | None = None,
    weights: str | Path | None = None,
    channels: int = 3,
    size: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    cam_layers: list[str] | None = None,
    multi_label: bool = False,
    seed: int = 0,
) -> Network:
    """A network that takes N×channels×size×size images in [0,1] and is known to give one logit per class.

    Args:
        source: what `zoo.create` takes: a module, "torchvision/NAME", "timm/NAME", "package.module:factory".
        classes: their number or their names. weights: a state dict (.pt, .pth, .safetensors), or "pretrained" for the
            published ones of a name (`networks.pretrained`), whose classes, size, mean and std then are the defaults;
            None keeps the module's own (random for a name). size: of the images, else 224.
        mean, std: of the training, in pixel units, one number or one per channel; else ImageNet's.
        cam_layers: names of the Grad-CAM layers, by default the last one with places that everything passes through
            (`networks.places`).
        multi_label: whether the outputs are independent (sigmoid) or exclude each other (softmax); stands in the card.

    A factory is called with `classes`, `channels` and `size`. A compiled network is taken as it was before.

    Raises ValueError in one sentence for everything listed above, FileNotFoundError for missing weights.
    """
    facts = described(source) if weights == PRETRAINED and isinstance(source, str) else None
    classes, size, mean, std = defaults(source, facts, classes=classes, size=size, mean=mean, std=std)
    count = classes if isinstance(classes, int) else len(classes)
    mean, std = checked(mean, std, channels)
    options = {"classes": count, "channels": channels, "size": size}
    try:
        network = assembled(
            source,
            **options,
            mean=mean,
            std=std,
            cam_layers=cam_layers,
            seed=seed,
            multi_label=multi_label,
            weights=facts and PRETRAINED,
        )
    except TypeError as error:
        raise ValueError(f"{source!r} cannot be called with {', '.join(options)} ({error})") from error
    check_kind(network)
    check_channels(network, channels)
    check_layers(network)
    if weights is not None and facts is None:
        load_foreign(network.body, Path(weights).expanduser())
    check_outputs(network, classes=count, size=size)
    if not network.cam_layers:
        with_default_layer(network)
    check_layer(network, size=size)
    return network.eval()


def defaults(source, facts: Pretrained | None, *, classes, size, mean, std) -> tuple:
    """Classes, size, mean and std: as given, else those of published weights, else 224 px and ImageNet's mean and std.

    Raises ValueError without classes, and for another number of classes than published weights have.
    """
    if classes is None:
        if facts is None:
            raise ValueError(f"{source!r}: classes is not given, expected their number or names")
        classes = facts.classes
    count = classes if isinstance(classes, int) else len(classes)
    if facts is not None and count != len(facts.classes):
        raise ValueError(
            f"{source!r}: its pretrained weights have {len(facts.classes)} classes, classes has {count}: leave classes "
            "out, or train a new head"
        )
    own = (224, *IMAGENET) if facts is None else (facts.size, facts.mean, facts.std)
    return classes, *(usual if given is None else given for given, usual in zip((size, mean, std), own, strict=True))


def check_channels(network: Network, channels: int) -> None:
    """The body's first convolution takes as many channels as images have (grey is repeated to three)."""
    first = next((module for module in network.body.modules() if isinstance(module, nn.Conv2d)), None)
    if first is not None and first.in_channels != network.channels:
        raise ValueError(
            f"the network's first convolution takes {first.in_channels} channel(s), channels is {channels}: set "
            f"channels={first.in_channels}"
        )


def check_kind(network: Network) -> None:
    """The weights are float32, as images are, and no part is compiled: its layers would not call hooks."""
    kind = type(network.body).__name__
    for name, values in itertools.chain(network.body.named_parameters(), network.body.named_buffers()):
        if values.is_floating_point() and values.dtype != torch.float32:
            raise ValueError(
                f"{kind} holds {values.dtype} numbers ({name}), expected torch.float32 as images are: convert it by "
                ".float()"
            )
    for name, module in network.body.named_modules():
        if hasattr(module, "_orig_mod") or module._compiled_call_impl is not None:
            raise ValueError(
                f"{kind} has a compiled part ({name or 'itself'}), whose layers cannot be watched, expected the "
                "network before torch.compile"
            )


def check_outputs(network: Network, *, classes: int, size: int) -> None:
    """Passes of two random images, one of them alone, and of what are no images: logits N×classes come out, the same
    each time. Raises ValueError otherwise.
    """
    shape = (2, network.channels, size, size)
    images = torch.rand(shape, generator=generator(0)).to(device_of(network))
    kind = type(network.body).__name__
    with seeded(0), borrowed(network):
        seen = images.clone().requires_grad_()
        with torch.enable_grad():
            found = attempted(network, seen)
        if not isinstance(found, torch.Tensor) or found.dim() != 2:
            described = f"shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(f"{kind} returns {described} for 2 images, expected a tensor of 2×{classes} logits")
        if not found.requires_grad:
            raise ValueError(f"{kind} gives logits without a gradient, expected no torch.no_grad and no detach inside")
        logits = far = found.detach()
        check_count(kind, logits.shape[1], classes)
        if not bool(logits.isfinite().all()):
            raise ValueError(f"{kind} gives NaN or infinite logits for images in [0, 1], expected finite numbers")
        with torch.no_grad():
            again = network(images.clone())
            try:
                alone = network(images[:1].clone())
            except (RuntimeError, ValueError, IndexError, AssertionError) as error:
                raise ValueError(
                    f"{kind} fails on a single image ({' '.join(str(error).split())[:120]}), expected any number"
                ) from error
            with contextlib.suppress(RuntimeError, ValueError, AssertionError):  # one that looks at its input's range
                far = network(torch.cat([1e8 * (2 * images - 1), 1e8 * (1 - 2 * images)]))
    scale = logits.abs().max().item()
    if not torch.allclose(again, logits, rtol=0, atol=REPEATS * scale):
        raise ValueError(
            f"{kind} answers differently each time (by up to {(again - logits).abs().max().item():.2g} for the same "
            "images), expected dropout and other chance to be off in evaluation mode: F.dropout needs "
            "training=self.training"
        )
    if alone.shape != (1, classes):
        raise ValueError(
            f"{kind} returns shape {tuple(alone.shape)} for a single image, expected 1×{classes}: let it drop "
            "named axes only, as in flatten(1) in the place of squeeze()"
        )
    if not torch.allclose(alone, logits[:1], rtol=0, atol=ALONE * scale):
        raise ValueError(
            f"{kind} answers differently for an image alone and beside another, expected no statistics over the batch "
            "in evaluation mode"
        )
    check_logits(kind, logits, far, found.grad_fn, multi_label=network.card["multi_label"])


def check_count(kind: str, outputs: int, classes: int) -> None:
    """One output per class, at least two."""
    if classes < 2 or outputs < 2:
        raise ValueError(
            f"{kind} gives {outputs} output(s) for {classes} class(es), expected at least 2: give a yes/no "
            "network a second logit of 0"
        )
    if outputs != classes:
        raise ValueError(f"{kind} gives {outputs} outputs, expected {classes} (one per class)")


def check_logits(kind: str, logits: torch.Tensor, far: torch.Tensor, last, *, multi_label: bool) -> None:
    """Logits, not what a softmax or a sigmoid makes of them. A logarithm of a softmax is one of possible logits of
    a softmax, so it is refused only where labels are independent.

    `far`: the logits of tensors far outside [0, 1], where a sigmoid is 0 or 1; `last`: the operation behind them.
    """
    if bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones(2).to(logits), atol=1e-4):
        raise ValueError(f"{kind} gives probabilities (they add up to 1), expected logits: take its softmax out")
    both, ends = torch.cat([logits, far]), operation(last)
    flat = bool(((far < 1e-6) | (far > 1 - 1e-6)).all())
    if ends.startswith(("Sigmoid", "Hardsigmoid")) or (flat and bool(((both >= 0) & (both <= 1)).all())):
        raise ValueError(f"{kind} gives probabilities (of a sigmoid), expected logits: take its sigmoid out")
    if ends.startswith("LogSigmoid"):
        raise ValueError(f"{kind} gives logarithms of a sigmoid, expected logits: take its logsigmoid out")
    if multi_label and torch.allclose(logits.logsumexp(1), torch.zeros(2).to(logits), atol=1e-4):
        raise ValueError(
            f"{kind} gives logarithms of a softmax, expected independent logits: take its log_softmax out or set "
            "multi_label=False"
        )


def operation(last) -> str:
    """Name of the last operation of an autograd graph that is no change of shape, e.g. "SigmoidBackward0"."""
    while last is not None and last.name().startswith(SHAPING):
        last = last.next_functions[0][0]
    return "" if last is None else last.name()


@torch.no_grad()
def check_layer(network: Network, *, size: int) -> None:
    """The Grad-CAM layer returns N×K×h×w. Warns where h = w = 1: such a map says nothing about places."""
    layer, shapes = network.cam_layer(), []
    with seeded(0), borrowed(network):
        layer.register_forward_hook(lambda module, given, features: shapes.append(getattr(features, "shape", ())))
        network(torch.zeros(1, network.channels, size, size, device=device_of(network)))
    if not shapes or len(shapes[0]) != 4:
        found = f"returns the shape {tuple(shapes[0])}" if shapes else "is never run"
        raise ValueError(f"Grad-CAM layer {network.cam_layers[-1]!r} {found}, expected N×K×h×w: pass cam_layers=[...]")
    if shapes[0][2:].numel() == 1:
        warnings.warn(
            f"Grad-CAM layer {network.cam_layers[-1]!r} has a single place at {size} px: its maps are flat, expected "
            "an earlier layer or larger images",
            stacklevel=3,
        )
