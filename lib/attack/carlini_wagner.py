"""The l2 attack of Carlini and Wagner (IEEE S&P 2017), by foolbox.

    min_δ ‖δ‖² + c · max( z_t - max_{i≠t} z_i, 0 ),   x + δ in [0,1], t the current class, c by binary search

A network with several labels is attacked in one decision per image: the two-class network with logits (0, z_k) of label
k, so that the attack makes that label appear or vanish.
"""

import warnings

import torch
from torch import nn

from lib.networks.borrow import borrowed, device_of


class Decision(nn.Module):
    """Logits (0, z_k) of one label per image: N×2. The images must come in the order and number of `labels` (N)."""

    def __init__(self, model: nn.Module, labels: torch.Tensor) -> None:
        super().__init__()
        self.model, self.labels = model, labels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        chosen = self.model(images).gather(1, self.labels.to(images.device)[:, None])
        return torch.cat([torch.zeros_like(chosen), chosen], dim=1)


def carlini_wagner(
    model: nn.Module,
    images: torch.Tensor,
    classes: torch.Tensor,
    *,
    steps: int = 60,
    searches: int = 3,
    step_size: float = 0.02,
    initial: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attacked images N×C×H×W in [0,1], on the images' device, and N booleans: whether the prediction left `classes` (N
    indices).

    steps: of Adam per search; searches: of the constant c, which starts at `initial`. Cost: steps · searches forward
    and backward passes. An image that resists comes back as it was.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a progress bar that is not used
        import foolbox

    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=searches, steps=steps, stepsize=step_size, initial_const=initial
    )
    with borrowed(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        device = device_of(model)  # foolbox would move the model to another
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=device)
        criterion = foolbox.criteria.Misclassification(classes.to(device))
        _, attacked, success = attack(wrapped, images.to(device), criterion, epsilons=None)
    attacked, success = attacked.to(images.device), success.to(images.device)
    success = success & (attacked.flatten(1).amax(1) > 0)  # foolbox returns black where it found nothing
    return torch.where(success[:, None, None, None], attacked, images).detach(), success
