"""Concepts as causes of a decision with a known mechanism, and how well a head that was fitted to data finds them.

    D ~ Bernoulli( σ( b + Σ_{j in parents} w_j c_j ) )

c: a vector of J concepts (findings, a marker), D: a made-up binary decision. A linear head is fitted to (concepts, D);
the effect of a concept is what do(c_j = 0) changes in the head's probability, averaged over images that have it. A
concept that merely occurs together with a parent is correlated with D but has no effect of its own. The head is a
logistic regression on all concepts at once, so its coefficients already hold the others fixed: they stand beside the
effects, because marginal correlations alone would credit do() with what the regression has done.

Stands for the symptom intervention of Yang et al. (ICIP 2019), whose released head has no known mechanism to compare
with (and counts "No Finding" as a lung finding).
"""

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from aecompanion.explain.causal_effect import concept_effects
from aecompanion.networks.read import predict


def decide(concepts: np.ndarray, weights: np.ndarray, *, bias: float, seed: int) -> np.ndarray:
    """D for N×J concepts and J weights (zero: not a parent), N zeros and ones."""
    chance = 1 / (1 + np.exp(-(bias + concepts @ weights)))
    return (np.random.default_rng(seed).random(len(concepts)) < chance).astype(int)


def fit_head(concepts: np.ndarray, decisions: np.ndarray) -> nn.Linear:
    """A logistic head, N×J concepts to N×2 logits (0 and the log-odds). Raises ValueError if D is constant."""
    if len(np.unique(decisions)) < 2:
        kinds = "none" if not len(decisions) else f"all {decisions[0]}"
        raise ValueError(f"the {len(decisions)} decisions are {kinds}, expected both kinds")
    fitted = LogisticRegression(C=1e3, max_iter=2000).fit(concepts, decisions)
    head = nn.Linear(concepts.shape[1], 2)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(np.vstack([0 * fitted.coef_, fitted.coef_])))
        head.bias.copy_(torch.tensor([0.0, float(fitted.intercept_[0])]))
    return head.eval()


def concept_rows(
    head: nn.Module, concepts: np.ndarray, decisions: np.ndarray, present: np.ndarray, names: list[str]
) -> pd.DataFrame:
    """One row per concept and image: concept, image, value, present, decision, effect (of do(c_j = 0) on P(D = 1)),
    coefficient (of c_j in the head's log-odds; NaN for a head that is not linear), right and right_do (the head's
    decision is D before and after).

    concepts: what the head reads, N×J; present: whether the concept is truly there, N×J booleans.
    """
    inputs = torch.from_numpy(concepts).float()
    before = predict(head, inputs, batch=len(inputs)).argmax(1).numpy() == decisions
    effects = concept_effects(head, inputs, multi_label=False)[:, :, 1].numpy()
    linear = isinstance(head, nn.Linear)
    weights = (head.weight[1] - head.weight[0]).detach().numpy() if linear else np.full(len(names), np.nan)
    tables = []
    for j, name in enumerate(names):
        changed = inputs.clone()
        changed[:, j] = 0
        after = predict(head, changed, batch=len(inputs)).argmax(1).numpy() == decisions
        columns = {"concept": name, "image": np.arange(len(concepts)), "value": concepts[:, j]}
        columns |= {"present": present[:, j], "decision": decisions, "effect": effects[j], "coefficient": weights[j]}
        tables.append(pd.DataFrame(columns | {"right": before, "right_do": after}))
    return pd.concat(tables, ignore_index=True)
