"""Train the network of `defend.inverse` on pairs of dots and grey images."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from aecompanion.defend.inverse import InverseHalftone
from aecompanion.pipeline.rng import generator, seeded


def fit_inverse(
    dots: torch.Tensor,
    grey: torch.Tensor,
    *,
    epochs: int = 4,
    batch: int = 16,
    lr: float = 2e-3,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[InverseHalftone, list[float]]:
    """The trained network (evaluation mode, on the CPU) and the mean squared error of every epoch.

    Adam with a one-cycle rate whose peak is `lr`; order of the images from (seed, epoch). `dots` and `grey` are
    N×1×H×W in [0,1]. Raises ValueError if they differ in shape or hold less than one batch.
    """
    if dots.shape != grey.shape or len(dots) < batch:
        raise ValueError(
            f"dots are {tuple(dots.shape)} and grey images {tuple(grey.shape)}, expected the same shape and at least "
            f"{batch} images"
        )
    with seeded(seed):
        network = InverseHalftone()
    network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * (len(dots) // batch))
    errors = []
    for epoch in progress(range(epochs)):
        order, losses = torch.randperm(len(dots), generator=generator(seed, epoch)), []
        for chosen in order[: len(dots) // batch * batch].split(batch):
            loss = F.mse_loss(network(dots[chosen].to(device)), grey[chosen].to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        errors.append(torch.stack(losses).mean().item())
    return network.cpu().eval(), errors


def save(network: InverseHalftone, path: Path) -> None:
    """Write the weights (safetensors)."""
    save_file({name: weights.cpu().contiguous() for name, weights in network.state_dict().items()}, path)


def load(path: Path) -> InverseHalftone:
    """What `save` wrote, in evaluation mode."""
    network = InverseHalftone()
    network.load_state_dict(load_file(path))
    return network.eval()
