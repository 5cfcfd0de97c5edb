"""A linear bottleneck inserted into a frozen network, so that single features can be set by hand (Yang et al., 2019).

    p  = g( a ),   a = f(x): activations of one layer, f the part up to it, g the rest
    p' = g( d(c(a)) ),   c: C → ... → K channels, d: K → ... → C channels, convolutions without non-linearity

    L = λ_s · mean |d(c(a)) - a|  +  λ_d · mean_n KL( p_n ‖ p'_n )  +  λ_i · TV( c(a) )
    TV(c) = mean |c_{y+1,x} - c_{y,x}| + mean |c_{y,x+1} - c_{y,x}|

Images N×3×H×W or N×1×H×W in [0,1], a N×C×h×w, code N×K×h×w. KL is between categorical distributions, for networks with
several labels the sum of the Bernoulli divergences. Only the bottleneck learns; the network comes back untouched.
It starts as the principal components of the activations (plus small seeded weights), where a code channel at zero means
"as on average"; from a random start the linear chain had not converged after twice the epochs.

Fidelity is a gate: below `GATE` the bottleneck changes decisions by itself, and effects measured through it must be
read beside its own effect ECE0 (`explain.causal_effect`).

Where we depart: the released code trains f instead of the bottleneck, leaves the KL term out and sums TV
(`sanity.released_loss` shows what follows). Here every term is a mean and has the role that it was meant
to have (docs/papers/causal.md, section 2.2). Sources: Yang et al., ICIP 2019; Harradon et al., 2018, for the losses.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from aecompanion.networks.borrow import borrowed, device_of, plain
from aecompanion.networks.layers import layer_of
from aecompanion.networks.read import features, predict, several_labels
from aecompanion.pipeline.rng import generator, seeded

START_IMAGES = 256  # whose activations give the principal components


class CausalAutoencoder(nn.Module):
    """c and d of the formula.

    channels: C of the layer. encoder: widths of c, the last is K. decoder: widths of d before C. kernel: odd side.
    """

    def __init__(
        self, channels: int, *, encoder: tuple[int, ...] = (32, 16), decoder: tuple[int, ...] = (32,), kernel: int = 3
    ) -> None:
        super().__init__()
        if kernel % 2 == 0 or not encoder:
            raise ValueError(f"kernel is {kernel} and encoder {encoder}, expected an odd kernel and at least one width")
        self.facts = {"channels": channels, "encoder": list(encoder), "decoder": list(decoder), "kernel": kernel}
        widths = [channels, *encoder]
        self.encode = chain(widths, kernel)
        self.decode = chain([encoder[-1], *decoder, channels], kernel)

    @property
    def units(self) -> int:
        """K, the number of code channels."""
        return self.facts["encoder"][-1]

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(activations))


def chain(widths: list[int], kernel: int) -> nn.Sequential:
    """Convolutions between neighbouring widths, size kept."""
    pairs = zip(widths[:-1], widths[1:], strict=True)
    return nn.Sequential(*[nn.Conv2d(a, b, kernel, padding=kernel // 2) for a, b in pairs])


@contextlib.contextmanager
def cut(model: nn.Module, layer: str | nn.Module, replace: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Inside the block, what the layer returns is replaced by `replace(activations)`."""
    handle = layer_of(model, layer).register_forward_hook(lambda _, inputs, output: replace(output))
    try:
        yield
    finally:
        handle.remove()


def divergence(logits: torch.Tensor, reference: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """KL( p ‖ p' ) of N images: p from `reference`, p' from `logits`, N×K both; N values."""
    if multi_label:
        p = reference.sigmoid()
        gain = F.logsigmoid(reference) - F.logsigmoid(logits)
        loss = F.logsigmoid(-reference) - F.logsigmoid(-logits)
        return (p * gain + (1 - p) * loss).sum(1)
    log_p = reference.log_softmax(1)
    return (log_p.exp() * (log_p - logits.log_softmax(1))).sum(1)


def total_variation(code: torch.Tensor) -> torch.Tensor:
    """TV of the formula."""
    steps = [code.diff(dim=axis).abs() for axis in (2, 3)]
    return sum(each.sum() / max(each.numel(), 1) for each in steps)  # a map of one pixel varies by nothing


def fit_autoencoder(
    model: nn.Module,
    images: torch.Tensor,
    *,
    layer: str | nn.Module,
    encoder: tuple[int, ...] = (32, 16),
    decoder: tuple[int, ...] = (32,),
    kernel: int = 3,
    shallow: float = 1.0,
    deep: float = 3.0,
    interpretability: float = 0.05,
    epochs: int = 4,
    batch: int = 32,
    lr: float = 3e-3,
    seed: int = 0,
    multi_label: bool | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[CausalAutoencoder, pd.DataFrame]:
    """The trained bottleneck (evaluation mode, on the model's device) and one row per epoch: epoch, loss, shallow,
    deep, interpretability (means of the unweighted terms).

    Args:
        images: N×C×H×W in [0,1], no labels needed. layer: name or module of the layer to cut after.
        shallow, deep, interpretability: λ_s, λ_d, λ_i. epochs, batch, lr: of Adam with a one-cycle rate.

    Cost per image and epoch: one forward pass and one backward pass through g; once, one more forward pass.
    Raises ValueError for an unknown layer, one that does not return N×C×h×w, or fewer images than a batch.
    """
    if len(images) < batch:
        raise ValueError(f"{len(images)} images for a batch of {batch}, expected at least one batch")
    several = several_labels(model) if multi_label is None else multi_label
    model, device = plain(model), device_of(model)
    with borrowed(model):
        reference, shape = logits_and_shape(model, images, layer=layer)
        with seeded(seed):
            autoencoder = CausalAutoencoder(shape[1], encoder=encoder, decoder=decoder, kernel=kernel)
        autoencoder.to(device, reference.dtype)
        spread = np.linspace(0, len(images) - 1, min(len(images), START_IMAGES)).round().astype(int)
        start_at_components(autoencoder, activations_of(model, images[spread], layer=layer))
        optimizer = torch.optim.Adam(autoencoder.parameters(), lr=lr, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * (len(images) // batch))
        rows = []
        for epoch in progress(range(epochs)):
            order, terms = torch.randperm(len(images), generator=generator(seed, epoch)), []
            for chosen in order[: len(images) // batch * batch].split(batch):
                seen: dict[str, torch.Tensor] = {}

                def through(activations, seen=seen):
                    seen["code"] = autoencoder.encode(activations.detach())
                    restored = autoencoder.decode(seen["code"])
                    seen["error"] = (restored - activations.detach()).abs().mean()
                    return restored

                with torch.enable_grad(), cut(model, layer, through):
                    logits = model(images[chosen].to(device))
                    parts = torch.stack(
                        [
                            seen["error"],
                            divergence(logits, reference[chosen].to(device), multi_label=several).mean(),
                            total_variation(seen["code"]),
                        ]
                    )
                    loss = parts @ parts.new_tensor([shallow, deep, interpretability])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                terms.append(torch.cat([loss.detach()[None], parts.detach()]))
            means = torch.stack(terms).mean(0).tolist()
            rows.append(
                {"epoch": epoch + 1} | dict(zip(("loss", "shallow", "deep", "interpretability"), means, strict=True))
            )
    return autoencoder.eval().requires_grad_(False), pd.DataFrame(rows)


@torch.no_grad()
def start_at_components(autoencoder: CausalAutoencoder, activations: torch.Tensor, *, noise: float = 0.1) -> None:
    """Set the weights to the principal components of `activations` (N×C×h×w) at the kernels' middle, plus `noise` times
    the weights they had.
    """
    points = activations.detach().double().cpu().movedim(1, -1).flatten(0, -2)
    mean = points.mean(0)
    _, vectors = torch.linalg.eigh((points - mean).T @ (points - mean))
    vectors = vectors.flip(1).T  # rows, largest variance first
    vectors *= vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()  # eigenvectors have no sign of their own
    layers = [*autoencoder.encode, *autoencoder.decode]
    for number, layer in enumerate(layers):
        middle = torch.eye(layer.out_channels, layer.in_channels, dtype=torch.float64)
        bias = torch.zeros(layer.out_channels, dtype=torch.float64)
        if number == 0:
            rows = min(layer.out_channels, len(vectors))
            middle = torch.zeros_like(middle)
            middle[:rows] = vectors[:rows]
            bias = -middle @ mean
        if number == len(layers) - 1:
            columns = min(layer.in_channels, len(vectors))
            middle = torch.zeros_like(middle)
            middle[:, :columns] = vectors[:columns].T
            bias = mean
        layer.weight.mul_(noise)
        layer.weight[:, :, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] += middle.to(layer.weight)
        layer.bias.copy_(bias)


def activations_of(model: nn.Module, images: torch.Tensor, *, layer: str | nn.Module, batch: int = 128) -> torch.Tensor:
    """The layer's activations N×C×h×w, on the CPU."""
    return features(model, images, layer=layer_of(model, layer), batch=batch)


def logits_and_shape(
    model: nn.Module, images: torch.Tensor, *, layer: str | nn.Module, batch: int = 128
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Logits N×K of the untouched network (CPU) and the shape of the layer's activations.

    Raises ValueError if these are not N×C×h×w.
    """
    model, shapes = plain(model), []

    def note(activations: torch.Tensor) -> torch.Tensor:
        if not isinstance(activations, torch.Tensor) or activations.dim() != 4:
            shown = tuple(activations.shape) if isinstance(activations, torch.Tensor) else type(activations).__name__
            raise ValueError(f"layer {layer!r} returns {shown}, expected N×C×h×w")
        shapes.append(tuple(activations.shape))
        return activations

    with cut(model, layer, note):
        logits = predict(model, images, batch=batch)
    runs_once(len(shapes), -(-len(images) // batch), layer)
    return logits, shapes[0]


def runs_once(calls: int, passes: int, layer: str | nn.Module) -> None:
    """Raise ValueError unless the layer ran once in each of `passes` forward passes."""
    if calls != passes:
        raise ValueError(f"layer {layer!r} runs {calls} times in {passes} forward passes, expected once in each")


def save(autoencoder: CausalAutoencoder, file: Path, **facts) -> None:
    """Write `file` (.safetensors) and its card (.json) with widths and `facts` (layer, fidelity)."""
    save_file({name: weights.cpu().contiguous() for name, weights in autoencoder.state_dict().items()}, file)
    file.with_suffix(".json").write_text(json.dumps(autoencoder.facts | facts, indent=1) + "\n")


def load(file: Path, *, device: str = "cpu") -> CausalAutoencoder:
    """What `save` wrote, in evaluation mode."""
    card = json.loads(file.with_suffix(".json").read_text())
    widths = {"encoder": tuple(card["encoder"]), "decoder": tuple(card["decoder"])}
    autoencoder = CausalAutoencoder(card["channels"], kernel=card["kernel"], **widths)
    autoencoder.load_state_dict(load_file(file))
    return autoencoder.to(device).eval().requires_grad_(False)
