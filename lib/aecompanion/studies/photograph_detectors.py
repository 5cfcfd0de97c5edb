"""Scores that want no training, on photographs under FGSM and under attacks that know the score (paper 1, Claim B).

Of `evaluate.detectors` these are the ones that need neither labelled training images ("mahalanobis") nor a bottleneck
that leaves something over ("bottleneck": that of `photograph_effects` restores everything). The sum of the
probabilities is 1 for a softmax. The channel of "effect" and the medians of two-sided scores come from the other half
of the photographs (`photograph_effects.halves`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from aecompanion.attack.crafted import craft, level_of
from aecompanion.attack.detector_aware import evade
from aecompanion.attack.gradient import perturb
from aecompanion.attack.objective import cross_entropy
from aecompanion.attack.transfer import random_signs
from aecompanion.evaluate.detection import most_influential
from aecompanion.evaluate.detectors import Fitted, fit, image_scores, read
from aecompanion.evaluate.suspicion import Setting, last_linear
from aecompanion.networks.read import predict
from aecompanion.networks.zoo import Network
from aecompanion.studies.photograph_effects import BATCH, Opened, halves, part_of

SCORES = ("effect", "small_effect", "confidence", "confidence_two", "squeezing", "heatmap")
CLEAN = ("clean", 0)


def fitted_to(model: Network, clean: torch.Tensor, cut: Opened, chosen: np.ndarray) -> dict[str, Fitted]:
    """The SCORES, their channel and medians taken from the photographs `chosen` of `clean`."""
    others = clean[chosen]
    setting = Setting(
        model=model,
        **cut.place,
        channel=most_influential(part_of(cut.found, chosen)),
        multi_label=False,
        heat_layer=model.cam_layer(),
        penultimate=last_linear(model),
        clean=others,
        known=others,  # asked for by a score that is none of these
        labels=torch.zeros(len(others), dtype=torch.long),
    )
    return fit(setting, list(SCORES))


def detection_rows(
    model: Network,
    images: torch.Tensor,
    labels: torch.Tensor,
    cut: Opened,
    *,
    eps: Sequence[float],
    keys: Sequence[int],
    seed: int = 0,
) -> pd.DataFrame:
    """One row per photograph, attack ("clean", "fgsm", "noise": random signs) and level (k of k/255, 0 for clean): the
    SCORES, and whether the answer is no longer the label (`flipped`).

    Cost: per set one forward pass, three from the layer that is cut, two for squeezing and two for the heatmaps.
    """
    sets, signs = {CLEAN: images}, random_signs(images.shape[1:], seed=seed, indices=keys)
    for each in eps:
        level = level_of(each)
        sets["fgsm", level] = craft(model, images, labels, attack="fgsm", eps=each, batch=BATCH)
        sets["noise", level] = perturb(images, signs.to(images), each)
    rows, keys = [], np.asarray(keys)
    for own, others in halves(len(images)):
        detectors = fitted_to(model, images, cut, others)
        for (attack, level), shown in sets.items():
            scores = image_scores(model, detectors, shown[own], batch=BATCH)
            said = predict(model, shown[own], batch=BATCH).argmax(1)
            columns = {"image": keys[own], "attack": attack, "level": level, "flipped": (said != labels[own]).numpy()}
            rows.append(pd.DataFrame(columns | {name: values.numpy() for name, values in scores.items()}))
    return pd.concat(rows, ignore_index=True)


def evasion_rows(
    model: Network,
    images: torch.Tensor,
    labels: torch.Tensor,
    cut: Opened,
    *,
    eps: float,
    steps: int,
    count: int,
    keys: Sequence[int],
) -> pd.DataFrame:
    """One row per score and photograph, `count` of them: the score of the clean photograph, under FGSM ("plain") and
    under the attack of `attack.detector_aware` that knows it ("adaptive", from the FGSM image and from the photograph);
    changed_plain, changed_adaptive: 1 where the network's answer is no longer the label. Columns are those of
    `papers.causal.evaded`, seed 0.
    """
    keys, rows = np.asarray(keys), []
    for own, others in halves(len(images)):
        few = own[: -(-count // 2) if own[0] == 0 else count // 2]
        if not len(few):
            continue
        shown, decisions = images[few], labels[few]
        plain = craft(model, shown, decisions, attack="fgsm", eps=eps, batch=BATCH)
        options = {"eps": eps, "steps": steps, "starts": [plain], "objective": cross_entropy}
        for name, score in fitted_to(model, images, cut, others).items():
            arms = {"plain": plain, "adaptive": evade(model, shown, decisions, score=score, **options)}
            columns = {"seed": 0, "image": keys[few], "level": level_of(eps), "detector": name}
            columns |= {"clean": read(model, score, shown, batch=BATCH).numpy()}
            for arm, each in arms.items():
                columns[arm] = read(model, score, each, batch=BATCH).numpy()
                columns[f"changed_{arm}"] = (predict(model, each, batch=BATCH).argmax(1) != decisions).long().numpy()
            rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True)
