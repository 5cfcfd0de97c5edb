"""Train one classifier: AdamW, one-cycle learning rate, cross-entropy, the best epoch on validation kept.

    min_θ  mean_i  -log softmax( f_θ(x_i) )_{y_i}

The run depends on (network, data, options, seed) only: the order of the images and dropout are drawn per epoch from
(seed, epoch). The whole state is written after every epoch to `resume` (if given), so a killed run continues with the
next epoch and ends with the same weights, bit for bit, on the same machine and thread count.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from lib.borrow import borrowed, device_of
from lib.data.dataset import Dataset
from lib.rng import generator, seeded
from lib.train.zoo import Network


def fit(
    network: Network,
    dataset: Dataset,
    *,
    epochs: int,
    batch: int = 32,
    lr: float = 4e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
    device: str = "cpu",
    resume: Path | None = None,
    progress: Callable[[dict], None] = lambda row: None,
) -> pd.DataFrame:
    """Train `network` in place on the train split; return one row per epoch.

    Args:
        epochs, batch, lr, weight_decay: of AdamW with a one-cycle schedule whose peak is `lr`.
        resume: file for the state after each epoch; if it exists the run continues from it.
        progress: called with each epoch's row (epoch, loss, train_accuracy, validation_accuracy).

    Raises ValueError if the train split is smaller than one batch, RuntimeError if the loss is not finite.
    """
    train = dataset.indices("train")
    if len(train) < batch:
        raise ValueError(f"batch is {batch}, expected at most the {len(train)} training images")
    steps = len(train) // batch
    network.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * steps)
    rows: list[dict] = []
    best: dict = {"validation_accuracy": -1.0, "weights": None}
    if resume is not None and resume.exists():
        state = torch.load(resume, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        rows, best = state["rows"], state["best"]

    for epoch in range(len(rows), epochs):
        with seeded(seed, epoch):
            row = {"epoch": epoch + 1} | train_epoch(
                network, dataset, train, optimizer, schedule, batch=batch, gen=generator(seed, epoch), device=device
            )
        row["validation_accuracy"] = accuracy(network, dataset, dataset.indices("validation"))
        rows.append(row)
        if row["validation_accuracy"] > best["validation_accuracy"]:
            weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
            best = {"validation_accuracy": row["validation_accuracy"], "weights": weights}
        if resume is not None:
            state = {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "rows": rows,
                "best": best,
            }
            part = resume.with_name(f".part.{resume.name}")
            torch.save(state, part)
            part.replace(resume)
        progress(row)

    network.load_state_dict(best["weights"])
    network.eval()
    return pd.DataFrame(rows)


def train_epoch(network, dataset, train, optimizer, schedule, *, batch, gen, device) -> dict:
    """One pass in a random order; the last incomplete batch is left out. Returns mean loss and accuracy."""
    network.train()
    losses, correct = [], 0
    order = torch.randperm(len(train), generator=gen).numpy()
    for start in range(0, len(train) - batch + 1, batch):
        chosen = np.sort(train[order[start : start + batch]])  # sorted: cheaper reads, same batch
        labels = dataset.labels[chosen].to(device)
        images = dataset.batch(chosen).to(device).contiguous(memory_format=torch.channels_last)
        logits = network(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        correct += (logits.detach().argmax(1) == labels).sum()
    mean = torch.stack(losses).mean().item()
    if not np.isfinite(mean):
        raise RuntimeError(f"the training loss of {network.card['name']} is {mean}: lower `lr`")
    return {"loss": mean, "train_accuracy": correct.item() / (len(losses) * batch)}


@torch.no_grad()
def predict(network: torch.nn.Module, dataset: Dataset, indices: np.ndarray, *, batch: int = 128) -> torch.Tensor:
    """Logits N×classes (on the CPU) of the images at `indices`; the network's mode comes back as it was."""
    device = device_of(network)
    with borrowed(network):
        chunks = [
            network(dataset.batch(indices[start : start + batch]).to(device)).cpu()
            for start in range(0, len(indices), batch)
        ]
    return torch.cat(chunks)


def accuracy(network: torch.nn.Module, dataset: Dataset, indices: np.ndarray) -> float:
    """Share of the images at `indices` whose largest logit is at their label."""
    return (predict(network, dataset, indices).argmax(1) == dataset.labels[indices]).float().mean().item()
