"""Counterfactuals scored by the generator: objects are rendered again with the target's digit at the same place.

The true counterfactual of a picture has the same background, colour, turn, side and grain, and another digit. Which
handwriting of the target it shows is chance, so every picture has several, and scores are means over them, as effects
are means over fillings. `Pairs` holds pictures with their true changes, `ball_rows` has one row per picture of a
network's counterfactuals in one ball, with three controls in the same ball:

    noise       the vertex of a Gaussian direction: a change of this size that knows nothing
    nearest     the point of the ball nearest to a true counterfactual: the least distance that the ball allows
    linear      the vertex of the true change: what the ball gives a network whose gradient is the truth

and `control_rows` those that belong to no network: the true change to another handwriting of the target ("another
digit"), the picture without its digit ("erased"), the difference of two classes' mean training images ("mean
difference"), and for the judges the truth and the image itself. A judge neither made nor saw the counterfactual: its
confidence in the target is the realism.

Radii are those at which validation pictures reach a mean confidence, as in `studies.counterfactuals`. The balls are
those of that module and FW-L1-q's.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping

import pandas as pd
import torch
from scipy.optimize import brentq
from torch import nn

from aecompanion.attack.ascent import Ascent
from aecompanion.attack.lp_ball import lmo, norm
from aecompanion.attack.objective import towards
from aecompanion.evaluate import counterparts as score
from aecompanion.explain.counterfactual import counterfactual
from aecompanion.explain.frank_wolfe import gaussian
from aecompanion.explain.frank_wolfe_l1q import frank_wolfe_l1q, lmo_l1q
from aecompanion.studies.counterfactuals import KINDS, LARGEST, confidence
from aecompanion.studies.counterpart_pairs import Pairs

SCORES = ("aligned", "aligned_inside", "placed", "inside", "distance", "erased", "painted", "named")
CONTROLS = ("noise", "nearest", "linear")  # in the same ball as the counterfactual
NOBODY = ""  # network and ball of what belongs to none
COLUMNS = [
    "seed", "network", "ball", "change", "image", "label", "target", "eps", "confidence", "l2", *SCORES, "realism",
    "realism_robust",
]  # fmt: skip
START = 16  # the search for a radius begins at so small a part of the largest one
Judges = Mapping[str, tuple[nn.Module, float]]  # network and temperature by the name of its column


@dataclasses.dataclass(frozen=True)
class Ball:
    """An lp-ball with the optimiser that is used in it. divisor: of the number of values d; with one the ball is cut so
    that no value moves by more than eps/q, q = d/divisor (FW-L1-q), and `method` is not asked.
    """

    method: str
    p: float
    largest: float  # radius beyond use for 3×32×32 values
    divisor: int = 0

    def q(self, images: torch.Tensor) -> int:
        """How many values take the whole radius."""
        return max(images[0].numel() // self.divisor, 1)

    def explain(self, model, images, target, *, eps: float, steps: int, temperature: float, keys=None) -> Ascent:
        """The counterfactuals; their `value` is the confidence in the target."""
        options = {"eps": eps, "steps": steps, "objective": towards(temperature), "keys": keys}
        if self.divisor:
            found = frank_wolfe_l1q(model, images, target, q=self.q(images), **options)
        else:
            found = counterfactual(self.method, model, images, target, p=self.p, **options)
        return Ascent(found.images, found.value.exp(), found.trace.exp())

    def vertex(self, direction: torch.Tensor, images: torch.Tensor, eps: float) -> torch.Tensor:
        """The change within the ball that goes farthest in this direction."""
        if self.divisor:
            return lmo_l1q(direction, images, eps, self.q(images))
        return lmo(direction, images, eps, self.p)

    def nearest(self, truth: torch.Tensor, eps: float) -> torch.Tensor:
        """The change within the ball that is nearest to the truth."""
        return score.nearest(truth, eps=eps, p=self.p, cap=eps / self.q(truth) if self.divisor else math.inf)


BALLS = {kind: Ball(*way, LARGEST[kind]) for kind, way in KINDS.items()} | {"FW-L1-q": Ball("", 1.0, LARGEST["l1"], 64)}


def matched(ball: Ball, model: nn.Module, images, targets, *, confidence: float, steps: int, temperature: float):
    """The radius at which these (validation) images reach a mean confidence, within half a percent or after eight
    ascents from a bracket; `largest` where no radius does.
    """
    largest = ball.largest * (images[0].numel() / 3072) ** (1 / ball.p)

    def lacking(eps: float) -> float:
        """Confidence above the wanted one; 0 within the tolerance."""
        found = ball.explain(model, images, targets, eps=eps, steps=steps, temperature=temperature)
        reached = found.value.mean().item()
        return 0.0 if abs(reached - confidence) <= 0.005 else reached - confidence

    above = largest / START
    while above < largest and lacking(above) < 0:
        above *= 2
    if above >= largest and lacking(largest) < 0:
        return largest
    below = above / 2 if above > largest / START else 0.0
    return brentq(lacking, below, above, xtol=1e-3 * above, maxiter=8, disp=False)


def scored(change: torch.Tensor, pairs: Pairs, which: slice = slice(None)) -> pd.DataFrame:
    """One row per picture with SCORES: means over the true counterfactuals that `which` picks.

    aligned, aligned_inside: cosines with the true change, everywhere and where either digit is. placed: correlation
    of the sizes of both changes over pixels. inside: share of the change where either digit is. distance: from the true
    counterfactual over the length of the true change. erased, painted: how much of the true change is made where only
    the old (new) digit is. named: 1 if of all other classes' true changes the target's is best aligned. See
    `evaluate.counterparts`.
    """
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in SCORES[:-1]}
    regions = (pairs.truths, pairs.either, pairs.old, pairs.new)
    for truth, either, old, new in zip(*(each[which] for each in regions), strict=True):
        parts["aligned"].append(score.alignment(change, truth))
        parts["aligned_inside"].append(score.alignment(change, truth, either))
        parts["placed"].append(score.placement(change, truth))
        parts["inside"].append(score.share_inside(change, either))
        parts["distance"].append(score.distance(change, truth))
        parts["erased"].append(score.progress(change, truth, old))
        parts["painted"].append(score.progress(change, truth, new))
    columns = {name: torch.stack(each).nanmean(0).numpy() for name, each in parts.items()}
    right = score.named(change, pairs.classes, pairs.labels) == pairs.targets
    return pd.DataFrame(columns | {"named": right.double().numpy()})


def judged(found: torch.Tensor, targets: torch.Tensor, judges: Judges) -> dict:
    """The judges' confidences in the targets, N each."""
    return {name: confidence(net, found, targets, temperature=t) for name, (net, t) in judges.items()}


def described(change: torch.Tensor, pairs: Pairs, judges: Judges, which: slice = slice(None)) -> pd.DataFrame:
    """`scored` with the image, its classes, the length of the change and what the judges say."""
    facts = {"image": range(len(change)), "label": pairs.labels.numpy(), "target": pairs.targets.numpy()}
    rows = scored(change, pairs, which).assign(**facts, l2=norm(change, 2).numpy())
    return rows.assign(**judged((pairs.images + change).clamp(0, 1), pairs.targets, judges))


def ball_rows(
    ball: Ball,
    model: nn.Module,
    pairs: Pairs,
    judges: Judges,
    *,
    eps: float,
    steps: int,
    temperature: float,
) -> tuple[pd.DataFrame, torch.Tensor]:
    """Rows of one network's counterfactuals in one ball and of CONTROLS there, and the counterfactuals."""
    keys = range(len(pairs.images))
    run = ball.explain(model, pairs.images, pairs.targets, eps=eps, steps=steps, temperature=temperature, keys=keys)
    drawn = gaussian(pairs.images.shape[1:], 21, 0, list(keys))
    changes = {
        "noise": ball.vertex(drawn, pairs.images, eps),
        "nearest": ball.nearest(pairs.truths[0], eps),
        "linear": ball.vertex(pairs.truths[0], pairs.images, eps),
    }
    rows = [described(run.images - pairs.images, pairs, judges).assign(change="counterfactual")]
    rows[0]["confidence"] = run.value.numpy()
    for name, change in changes.items():
        which = slice(None) if name == "noise" else slice(1)  # the others know one handwriting
        rows.append(described(change, pairs, judges, which).assign(change=name))
    return pd.concat(rows, ignore_index=True).assign(eps=eps), run.images


def control_rows(pairs: Pairs, means: torch.Tensor, judges: Judges) -> pd.DataFrame:
    """Rows of what belongs to no network. means: the mean training image of every class, K×C×H×W."""
    changes = {
        "another digit": (pairs.truths[1], slice(1)),
        "erased": (pairs.bare, slice(None)),
        "mean difference": (means[pairs.targets] - means[pairs.labels], slice(None)),
        "truth": (pairs.truths[0], slice(1)),
        "image": (torch.zeros_like(pairs.images), slice(None)),
    }
    parts = [described(change, pairs, judges, which).assign(change=name) for name, (change, which) in changes.items()]
    return pd.concat(parts, ignore_index=True).assign(network=NOBODY, ball=NOBODY)


def mean_images(batch: Callable, labels: torch.Tensor, chosen, classes: int) -> torch.Tensor:
    """The mean of every class over the chosen images, K×C×H×W. batch: of a data set; labels: of all its images."""
    chosen = torch.as_tensor(chosen)
    return torch.stack([batch(chosen[labels[chosen] == k]).mean(0) for k in range(classes)])
