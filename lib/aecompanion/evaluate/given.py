"""What a metric of attribution maps may ask for, and what all of them ask the network.

f = log p - log(1 - p)   the log-odds of the explained class in nats, for sigmoids the logit;   p: its probability
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import nn

from aecompanion.evaluate.truth import log_odds
from aecompanion.explain.target import targets_of
from aecompanion.networks.read import predict, several_labels, squashed

FLIPPED = (0.0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
PLAYED = (0.0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Given:
    """What a metric may ask for beyond network, images, maps and classes.

    references: blurred images, N×C×H×W, for insertion, infidelity and the fill "blur". inside: N×1×H×W booleans, the
    footprint of the class, for energy pointing and as the area that class distortion removes. explain: (M versions of
    picture i, i) to their M maps, for max-sensitivity. other: maps of the re-initialised network, N×1×H×W.
    multi_label: None asks the network's card. shares: of the pixels, for pixel flipping; played: for deletion and
    insertion; imputed: for ROAD.
    squares: I's of infidelity. neighbours: δ's of max-sensitivity; radius: r, pixel units. seed, keys: of what is
    drawn; stream: tells maps of one picture apart, for the control that is random.
    """

    references: torch.Tensor | None = None
    inside: torch.Tensor | None = None
    explain: Callable[[torch.Tensor, int], torch.Tensor] | None = None
    other: torch.Tensor | None = None
    multi_label: bool | None = None
    shares: Sequence[float] = FLIPPED
    played: Sequence[float] = PLAYED
    imputed: Sequence[float] = (0.1, 0.3, 0.5)
    squares: int = 12
    neighbours: int = 2
    radius: float = 0.02
    seed: int = 0
    keys: Sequence[int] | None = None
    stream: int = 0
    batch: int = 64

    def keys_of(self, count: int) -> Sequence[int]:
        """The keys of `count` pictures. Raises ValueError where another number was given."""
        if self.keys is not None and len(self.keys) != count:
            raise ValueError(f"keys name {len(self.keys)} pictures, expected {count}")
        return range(count) if self.keys is None else [int(key) for key in self.keys]

    def needed(self, name: str) -> torch.Tensor:
        """The field `name`. Raises ValueError where it is missing."""
        value = getattr(self, name)
        if value is None:
            raise ValueError(f"this metric needs {name}, expected it in Given")
        return value


def checked(images: torch.Tensor, maps: torch.Tensor, target: int | torch.Tensor) -> torch.Tensor:
    """N class indices. Raises ValueError for maps of another shape than N×1×H×W or values that are not finite."""
    if images.dim() != 4 or maps.shape != (len(images), 1, *images.shape[2:]):
        raise ValueError(f"maps are {tuple(maps.shape)}, expected N×1×H×W for images {tuple(images.shape)}")
    finite = torch.isfinite(maps).flatten(1).all(1)
    if not finite.all():
        raise ValueError(f"map {int((~finite).nonzero()[0])} holds values that are not finite, expected numbers")
    return targets_of(target, len(images))


def odds(model: nn.Module, images: torch.Tensor, target: torch.Tensor, given: Given) -> torch.Tensor:
    """f of N images for their classes, N values in float64."""
    logits = predict(model, images, batch=given.batch).double()
    targets_of(target, len(images), classes=logits.shape[1])
    several = several_labels(model, given.multi_label)
    return log_odds(logits, multi_label=several).gather(1, target[:, None])[:, 0]


def chance(model: nn.Module, images: torch.Tensor, target: torch.Tensor, given: Given) -> torch.Tensor:
    """p of N images for their classes, N values in float64."""
    logits = predict(model, images, batch=given.batch).double()
    targets_of(target, len(images), classes=logits.shape[1])
    return squashed(logits, multi_label=several_labels(model, given.multi_label)).gather(1, target[:, None])[:, 0]
