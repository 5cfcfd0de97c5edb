"""How good a network is on a data set: accuracy where an image has one label, AUROC where it has several."""

import numpy as np
import torch

from aecompanion.data.dataset import Dataset
from aecompanion.networks.read import answers
from aecompanion.train.reading import ahead, readers


def predict(network: torch.nn.Module, dataset: Dataset, indices: np.ndarray, *, batch: int = 128) -> torch.Tensor:
    """Logits N×classes (on the CPU) of the images at `indices`; the network's mode comes back as it was."""
    parts = [indices[start : start + batch] for start in range(0, len(indices), batch)]
    return torch.cat(list(answers(network, ahead(dataset.batch, parts, threads=readers([dataset])))))


def accuracy(network: torch.nn.Module, dataset: Dataset, indices: np.ndarray) -> float:
    """Share of the images at `indices` whose largest logit is at their label (of several labels: of the decisions
    logit > 0 that are right).
    """
    return right(predict(network, dataset, indices), dataset.labels[indices]).float().mean().item()


def auroc(network: torch.nn.Module, dataset: Dataset, indices: np.ndarray) -> float:
    """Mean over the classes of the area under the ROC curve; classes without both kinds of images are left out.

    Raises ValueError if no class is left.
    """
    from sklearn.metrics import roc_auc_score  # here: workers that measure accuracy need not import it

    logits, labels = predict(network, dataset, indices).numpy(), dataset.labels[indices].numpy()
    both = [k for k in range(labels.shape[1]) if 0 < labels[:, k].sum() < len(labels)]
    if not both:
        raise ValueError(f"no class has both positive and negative images among {len(labels)}, expected at least one")
    return float(np.mean([roc_auc_score(labels[:, k], logits[:, k]) for k in both]))


def metric(dataset: Dataset) -> str:
    """What `score` measures on this data set: "accuracy" or "auroc"."""
    return "auroc" if dataset.multi_label else "accuracy"


def score(network: torch.nn.Module, dataset: Dataset, indices: np.ndarray) -> float:
    """Accuracy, of several labels the mean AUROC."""
    return (auroc if dataset.multi_label else accuracy)(network, dataset, indices)


def right(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Which decisions are right: N booleans, or N×K for several labels."""
    return logits.argmax(1) == labels if labels.dim() == 1 else (logits > 0) == labels.bool()
