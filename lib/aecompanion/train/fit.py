"""Train one classifier: AdamW, one-cycle learning rate, cross-entropy, the best epoch on validation kept.

    min_θ  mean_i  -log softmax( f_θ(x_i) )_{y_i}                                          one label per image
    min_θ  mean_ik -[ y_ik log σ(f_θ(x_i)_k) + (1 - y_ik) log(1 - σ(f_θ(x_i)_k)) ]         several labels or none

The score on validation is the accuracy, with several labels the mean AUROC over the classes.

Given several representations of the same images (grey and halftone, say), training is hybrid: every batch holds
equally many images of each, and an epoch shows each image once in each representation, so an epoch of two
representations has twice the updates. Which of two equal budgets is meant (updates or epochs) is set by `epochs`.
With `craft` every batch is first replaced by what it makes of it (adversarial training, see `train.adversarial`).

The run depends on (network, data, options, seed) only: the order of the images and dropout are drawn per epoch from
(seed, epoch). The whole state is written after every epoch to `resume` (if given), so a killed run continues with the
next epoch and ends with the same weights, bit for bit, on the same machine and thread count.

Images that are read from files are decoded by threads a few batches ahead; what a batch holds, and the order of the
batches, stay the same. `precision="bfloat16"` computes training steps on a CUDA device under autocast; everywhere else,
and in every evaluation, arithmetic is float32.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from aecompanion.data.dataset import Dataset
from aecompanion.networks.zoo import Network
from aecompanion.pipeline import jobs
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train.reading import ahead, readers
from aecompanion.train.score import metric, right, score

Craft = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]  # network, images, labels to images


def fit(
    network: Network,
    dataset: Dataset | list[Dataset],
    *,
    epochs: int,
    batch: int = 32,
    lr: float = 4e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
    device: str = "cpu",
    craft: Craft | None = None,
    keep: str = "best",
    precision: str = "float32",
    resume: Path | None = None,
    progress: Callable[[dict], None] = lambda row: None,
) -> pd.DataFrame:
    """Train `network` in place on the train split; return one row per epoch.

    Args:
        dataset: one data set, or several representations of it (same order, labels and splits).
        epochs, batch, lr, weight_decay: of AdamW with a one-cycle schedule whose peak is `lr`.
        craft: what to train on in the place of a batch's images; may draw from torch's own generator, which is seeded
            per epoch.
        keep: the "best" epoch on validation, or the "last" one (adversarial training trades accuracy for robustness).
        precision: "float32", or "bfloat16" for autocast of the training steps (crafting included) on a CUDA device.
        resume: file for the state after each epoch; if it exists the run continues from it.
        progress: called with each epoch's row (epoch, loss, train_accuracy, validation_accuracy; with several labels
            validation_auroc, and train_accuracy is the share of right label decisions).

    Raises ValueError if the train split is smaller than a batch's share of it, if the representations differ in labels
    or splits or do not divide the batch, or for an unknown `keep` or `precision`; RuntimeError if the loss is not
    finite.
    """
    if keep not in ("best", "last"):
        raise ValueError(f"keep is {keep!r}, expected 'best' or 'last'")
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision is {precision!r}, expected 'float32' or 'bfloat16'")
    views = dataset if isinstance(dataset, list) else [dataset]
    train, share = checked(views, batch), batch // len(views)
    steps = len(train) // share
    network.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * steps)
    rows: list[dict] = []
    measure = metric(views[0])
    best: dict = {"score": -1.0, "weights": None}
    if resume is not None and resume.exists():
        state = torch.load(resume, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        rows, best = state["rows"], state["best"]

    for epoch in range(len(rows), epochs):
        with seeded(seed, epoch):
            row = {"epoch": epoch + 1} | train_epoch(
                network,
                views,
                train,
                optimizer,
                schedule,
                share=share,
                gen=generator(seed, epoch),
                device=device,
                craft=craft,
                precision=precision,
            )
        found = float(np.mean([score(network, view, view.indices("validation")) for view in views]))
        rows.append(row | {f"validation_{measure}": found})
        if found > best["score"] or keep == "last":
            weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
            best = {"score": found, "weights": weights}
        if resume is not None:
            state = {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "rows": rows,
                "best": best,
            }
            part = jobs.own(resume)  # two runs may be at one state
            torch.save(state, part)
            part.replace(resume)
        progress(rows[-1])

    network.load_state_dict(best["weights"])
    network.eval()
    return pd.DataFrame(rows)


def checked(views: list[Dataset], batch: int) -> np.ndarray:
    """The training indices that all views share. Raises ValueError where they do not fit together or the batch."""
    train = views[0].indices("train")
    for view in views[1:]:
        if not (torch.equal(view.labels, views[0].labels) and np.array_equal(view.split, views[0].split)):
            raise ValueError(
                "the representations differ in labels or splits, expected the same images in the same order"
            )
    if batch % len(views):
        raise ValueError(f"batch is {batch}, expected a multiple of the {len(views)} representations")
    if len(train) < batch // len(views):
        raise ValueError(f"batch is {batch}, expected at most the {len(train) * len(views)} training images")
    return train


def train_epoch(network, views, train, optimizer, schedule, *, share, gen, device, craft, precision) -> dict:
    """One pass in a random order, `share` images of each view per step; the last incomplete batch is left out. Returns
    mean loss and accuracy.
    """
    network.train()
    losses, correct, decisions = [], 0, 0
    orders = [torch.randperm(len(train), generator=gen).numpy() for _ in views]

    def read(start: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = [], []
        for view, order in zip(views, orders, strict=True):
            chosen = np.sort(train[order[start : start + share]])  # sorted: cheaper reads, same batch
            labels.append(view.labels[chosen])
            images.append(view.batch(chosen))
        return torch.cat(images), torch.cat(labels)

    for images, labels in ahead(read, range(0, len(train) - share + 1, share), threads=readers(views)):
        labels = labels.to(device)
        images = images.to(device).contiguous(memory_format=torch.channels_last)
        with arithmetic(device, precision):
            if craft is not None:
                images = craft(network, images, labels)
            logits = network(images)
            loss = classification_loss(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        correct += right(logits.detach(), labels).sum()
        decisions += labels.numel()
    mean = torch.stack(losses).mean().item()
    if not np.isfinite(mean):
        raise RuntimeError(f"the training loss of {network.card['name']} is {mean}: lower `lr`")
    return {"loss": mean, "train_accuracy": correct.item() / decisions}


def arithmetic(device: str, precision: str) -> contextlib.AbstractContextManager:
    """bfloat16 autocast where it is asked for and the device is a CUDA device; otherwise nothing."""
    if precision == "bfloat16" and torch.device(device).type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def classification_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of N class indices, binary cross-entropy of N×K zeros and ones."""
    if labels.dim() == 1:
        return F.cross_entropy(logits, labels)
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
