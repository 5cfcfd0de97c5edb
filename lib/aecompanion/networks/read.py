"""What a network says of images: the one forward pass without gradients.

    z = f(x)  (logits, N×K),     p = sigmoid(z)  where an image has several labels,  else softmax(z)

Which of the two holds is a fact of the network, not of its reader: it stands in the network's card (`several_labels`).
Images are N×C×H×W in [0,1], in memory or batch by batch (`answers`); they are copied per batch, so a network that
writes into its input leaves them as they were. Answers come back on the CPU. A compiled network is read uncompiled,
because a compiled one does not call hooks that come later.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from aecompanion.networks.borrow import borrowed, device_of, plain


@torch.no_grad()
def answers(model: nn.Module, batches: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """f(x) of every batch, on the CPU, one after another: for images that are not all in memory, and for networks that
    give another number of rows than they are given. The network is borrowed until the last batch.
    """
    device = device_of(model)
    with borrowed(plain(model)) as network:
        for images in batches:
            yield network(images.to(device, copy=True)).cpu()


def predict(model: nn.Module, images: torch.Tensor, *, batch: int = 128) -> torch.Tensor:
    """z of the formula, N×K on the CPU."""
    return torch.cat(list(answers(model, images.split(batch))))


def probabilities(
    model: nn.Module, images: torch.Tensor, *, multi_label: bool | None = None, batch: int = 128
) -> torch.Tensor:
    """p of the formula, N×K on the CPU; `multi_label` None asks the network's card. Raises ValueError without one."""
    return squashed(predict(model, images, batch=batch), multi_label=several_labels(model, multi_label))


def squashed(logits: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """p of N×K logits."""
    return logits.sigmoid() if multi_label else logits.softmax(1)


def features(model: nn.Module, images: torch.Tensor, *, layer: nn.Module, batch: int = 128) -> torch.Tensor:
    """What a layer of the network gives for N images, N×..., on the CPU."""
    kept: list[torch.Tensor] = []
    # a copy: an in-place layer that follows would write over it
    hook = layer.register_forward_hook(lambda module, given, output: kept.append(output.to("cpu", copy=True)))
    try:
        predict(model, images, batch=batch)
    finally:
        hook.remove()
    return torch.cat(kept)


def several_labels(model: nn.Module, multi_label: bool | None = None) -> bool:
    """Whether an image can have several labels (sigmoids) or has exactly one (softmax): as told, else as the network's
    card says.

    Raises ValueError where nobody says: for a network without a card, or with one that lacks `multi_label`.
    """
    if multi_label is not None:
        return multi_label
    card = getattr(plain(model), "card", None)
    if not isinstance(card, dict) or "multi_label" not in card:
        raise ValueError(
            f"{type(plain(model)).__name__} has no card that says whether its outputs are sigmoids or a softmax: "
            "pass multi_label=True or False"
        )
    return bool(card["multi_label"])
