"""What a network says of images: the one forward pass without gradients.

    z = f(x)  (logits, N×K),     p = sigmoid(z)  where an image has several labels,  else softmax(z)

Which of the two holds is a fact of the network, not of its reader: it stands in the network's card (`several_labels`).
Images are N×C×H×W in [0,1]; they are copied per batch, so a network that writes into its input leaves them as they
were. Answers come back on the CPU.
"""

import torch
from torch import nn

from lib.networks.borrow import borrowed, device_of


@torch.no_grad()
def predict(model: nn.Module, images: torch.Tensor, *, batch: int = 128) -> torch.Tensor:
    """z of the formula, N×K on the CPU."""
    device = device_of(model)
    with borrowed(model):
        return torch.cat([model(chunk.to(device, copy=True)).cpu() for chunk in images.split(batch)])


def probabilities(
    model: nn.Module, images: torch.Tensor, *, multi_label: bool | None = None, batch: int = 128
) -> torch.Tensor:
    """p of the formula, N×K on the CPU; `multi_label` None asks the network's card. Raises ValueError without one."""
    several = several_labels(model) if multi_label is None else multi_label
    logits = predict(model, images, batch=batch)
    return logits.sigmoid() if several else logits.softmax(1)


def several_labels(model: nn.Module) -> bool:
    """Whether an image can have several labels (sigmoids) or has exactly one (softmax), as the network's card says.

    Raises ValueError for a network without a card, or with one that does not say.
    """
    card = getattr(model, "card", None)
    if not isinstance(card, dict) or "multi_label" not in card:
        raise ValueError(
            f"{type(model).__name__} has no card that says whether its outputs are sigmoids or a softmax: "
            "pass multi_label=True or False"
        )
    return bool(card["multi_label"])
