"""The l2 attack of Carlini and Wagner (IEEE S&P 2017), by foolbox.

    min_δ ‖δ‖² + c · max( z_t - max_{i≠t} z_i, 0 ),   x + δ in [0,1], t the current class, c by binary search

A network with several labels is attacked in one decision per image: the two-class network with logits (0, z_k) of label
k, so that the attack makes that label appear or vanish.

It looks for the smallest change, so that `eps` is no radius it is given but a bound on what counts as found.
"""

import warnings

import torch
from torch import nn

from aecompanion.attack.gradient import check_radius, per_image
from aecompanion.attack.objective import NOT_FINITE, finite, warn_of
from aecompanion.networks.borrow import borrowed, device_of


class Decision(nn.Module):
    """Logits (0, z_k) of one label per image: N×2. The images must come in the order and number of `labels` (N)."""

    def __init__(self, model: nn.Module, labels: torch.Tensor) -> None:
        super().__init__()
        self.model, self.labels = model, labels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        chosen = self.model(images).gather(1, self.labels.to(images.device)[:, None])
        return torch.cat([torch.zeros_like(chosen), chosen], dim=1)


class Watched(nn.Module):
    """The network on a copy of its input (some write into it); values of the gradient that are not finite become 0.

    `broken`: the images that had any, N booleans; every call must have the same images.
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        super().__init__()
        self.model, self.broken = model, torch.zeros(count, dtype=torch.bool)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        copied = images.clone()
        if copied.requires_grad:
            copied.register_hook(self.watch)
        return self.model(copied)

    def watch(self, gradient: torch.Tensor) -> torch.Tensor:
        gradient, now = finite(gradient)
        self.broken |= now.cpu()
        return gradient


def carlini_wagner(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, eps: float | None = None, **options
) -> torch.Tensor:
    """Attacked images N×C×H×W in [0,1], on the images' device; one that resists comes back as it was.

    eps: changes that are longer in l2 (pixel units) count as none; None: any length counts. options: of `search`.
    """
    attacked, success = search(model, images, labels, **options)
    if eps is None:
        return attacked
    check_radius(eps, "l2")
    within = success & ((attacked - images).flatten(1).norm(dim=1) <= eps)
    return torch.where(per_image(within, images), attacked, images).detach()


def search(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    steps: int = 60,
    searches: int = 3,
    step_size: float = 0.02,
    initial: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attacked images, and N booleans: whether the prediction left `labels` (N classes).

    steps: of Adam per search; searches: of the constant c, which starts at `initial`. Cost: at most steps · searches
    forward and backward passes and one forward pass. An image that resists comes back as it was. Warns if some gradient
    is not finite; such values count as 0.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a progress bar that is not used
        import foolbox

    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=searches, steps=steps, stepsize=step_size, initial_const=initial
    )
    watched = Watched(model, len(images))
    with borrowed(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        device = device_of(model)  # foolbox would move the model to another
        wrapped = foolbox.PyTorchModel(watched.eval(), bounds=(0, 1), device=device)
        criterion = foolbox.criteria.Misclassification(labels.to(device))
        _, attacked, success = attack(wrapped, images.to(device), criterion, epsilons=None)
    warn_of(int(watched.broken.sum()), len(images), NOT_FINITE)
    attacked, success = attacked.to(images.device), success.to(images.device)
    success = success & (attacked.flatten(1).amax(1) > 0)  # foolbox returns black where it found nothing
    return torch.where(success[:, None, None, None], attacked, images).detach(), success
