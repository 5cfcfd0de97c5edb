"""Adversarial training, and fine-tuning to several norms at once (E-AT).

    min_θ  mean_i  -log softmax( f_θ(x_i') )_{y_i},     x_i' = argmax_{‖x' - x_i‖_p <= ε} of the same loss, by APGD

One threat ("l2", ε, steps) is plain adversarial training (Madry et al., ICLR 2018). With several, every batch is
attacked in one of them, drawn with a probability ∝ 1 - running robust accuracy of the threats (equal until each was
seen), so that the weakest norm is trained most: extreme-norms adversarial training of linf and l1, a few epochs from a
network robust in one norm (Croce and Hein, ICML 2022). APGD starts at the image; while it runs the network is in
evaluation mode; l1 starts from 5 % of the values. The last epoch is kept: clean accuracy is not what is wanted.
"""

import dataclasses
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file

from aecompanion.attack.apgd import NORMS, apgd
from aecompanion.data.dataset import Dataset
from aecompanion.networks.checkpoint import first_problem
from aecompanion.networks.read import predict
from aecompanion.networks.zoo import Network
from aecompanion.train import fit as plain

MEMORY = 0.9  # weight of the past in the running robust accuracy


@dataclasses.dataclass(frozen=True)
class Threat:
    """A ball to train in: norm ("linf", "l2", "l1"), radius in pixel units, APGD steps. Raises ValueError."""

    norm: str
    eps: float
    steps: int

    def __post_init__(self) -> None:
        if self.norm not in NORMS or not self.eps > 0 or self.steps < 1:
            raise ValueError(
                f"threat {self.norm!r}, eps {self.eps}, steps {self.steps}: expected one of {', '.join(NORMS)}, a "
                "positive radius and at least one step"
            )


class Adversary:
    """Replaces a batch by what an attack makes of it (the `craft` of `train.fit.fit`)."""

    def __init__(self, threats: list[Threat]) -> None:
        if not threats:
            raise ValueError("no threat given, expected at least one to train against")
        self.threats = threats
        self.robust: list[float | None] = [None] * len(threats)  # running robust accuracy
        self.drawn = [0] * len(threats)

    def chances(self) -> torch.Tensor:
        """The probability of every threat."""
        if any(each is None for each in self.robust):
            return torch.full((len(self.threats),), 1 / len(self.threats))
        weak = 1 - torch.tensor(self.robust)
        return weak / weak.sum() if weak.sum() > 0 else torch.full_like(weak, 1 / len(weak))

    def __call__(self, network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The attacked batch; the threat is drawn from torch's own generator, which `fit` seeds per epoch."""
        chosen = int(torch.multinomial(self.chances(), 1))
        threat = self.threats[chosen]
        found = apgd(
            network,
            images,
            labels,
            norm=threat.norm,
            eps=threat.eps,
            steps=threat.steps,
            sparsity=0.05,
            batch=len(images),
        )
        if len(self.threats) > 1:
            now = predict(network, found, batch=len(images)).argmax(1)
            share = (now == labels.cpu()).float().mean().item()
            past = self.robust[chosen]
            self.robust[chosen] = share if past is None else MEMORY * past + (1 - MEMORY) * share
        self.drawn[chosen] += 1
        return found


def fit(
    network: Network, dataset: Dataset | list[Dataset], *, threats: list[dict], start: str | None = None, **options
) -> pd.DataFrame:
    """`train.fit.fit` on attacked images; `threats` hold the arguments of `Threat`.

    `start` is a checkpoint (.safetensors) to begin from. Several threats begin anew when a run is killed: their running
    accuracies are not part of the kept state. Raises ValueError where the checkpoint does not fit the network.
    """
    if start is not None:
        try:
            network.load_state_dict(load_file(Path(start)))
        except RuntimeError as error:
            raise ValueError(f"{start}: weights do not fit {network.card['name']} ({first_problem(error)})") from None
    adversary = Adversary([Threat(**threat) for threat in threats])
    if len(threats) > 1:
        options["resume"] = None
    return plain.fit(network, dataset, craft=adversary, keep="last", **options)
