"""Which channel acts on a finding, and what zero does to it, tables of Yang et al., ICIP 2019: latent effects as tidy
rows, one per domain, seed, split, image, label and channel.
"""

import numpy as np
import pandas as pd

from aecompanion.papers.causal.tables import class_by_channel
from aecompanion.report.cubes import cube, mean_row


def chosen_channels(latent: pd.DataFrame, domain: str) -> pd.DataFrame:
    """One row per seed and label, from validation images: own and its sign (the channel with the largest |mean CE_k|
    over images that have label k), one and its sign on k (the channel with the largest mean |ECE_j - ECE0|, the same
    for all labels).
    """
    validation = latent[(latent["domain"] == domain) & (latent["split"] == "validation")]
    rows = []
    for seed, means in class_by_channel(latent, domain, "validation").items():
        part = validation[validation["seed"] == seed].drop_duplicates(["image", "channel"])
        one = int(part.groupby("channel")["expected"].apply(lambda e: e.abs().mean()).idxmax())
        for label, row in enumerate(means):
            if np.isfinite(row).any():
                own = int(np.nanargmax(np.abs(row)))
                facts = {"seed": seed, "label": label, "own": own, "own sign": np.sign(row[own])}
                rows.append(facts | {"one": one, "one sign": np.sign(row[one])})
    return pd.DataFrame(rows)


def channel_cube(latent: pd.DataFrame, domain: str, label: int | None = None) -> np.ndarray:
    """seeds × cases × (own channel, one channel): CE_k on test images that have label k, a case each, in the direction
    that validation images showed. label: only that one.
    """
    rows = latent[(latent["domain"] == domain) & (latent["split"] == "test") & (latent["label"] >= 0)]
    rows = rows.merge(chosen_channels(latent, domain), on=["seed", "label"])
    rows = rows if label is None else rows[rows["label"] == label]
    rows = rows.assign(case=rows["image"].astype(str) + " " + rows["label"].astype(str))
    layers = []
    for kind in ("own", "one"):
        part = rows[rows["channel"] == rows[kind]]
        layers.append(
            cube(
                part.assign(value=part["effect"] * part[f"{kind} sign"], kind=kind),
                "value",
                [{"kind": kind}],
                item="case",
            )
        )
    return np.concatenate(layers, axis=-1)


def channel_table(latent: pd.DataFrame, domain: str, names: list[str], **options) -> pd.DataFrame:
    """X1.23: per finding |CE_k| on test images, of the channel that validation images chose for it and of one channel
    for all, and the former's seeds with a negative effect.
    """
    chosen, rows = chosen_channels(latent, domain), []
    for label in sorted(chosen["label"].unique()):
        values, own = channel_cube(latent, domain, label), chosen[chosen["label"] == label]
        row = {"finding": names[label], "cases": values.shape[1]}
        row |= {"channels": " ".join(map(str, own["own"])), "lowered in seeds": int((own["own sign"] < 0).sum())}
        row |= mean_row(values[..., 0], "own channel", **options) | mean_row(values[..., 1], "one channel", **options)
        rows.append(row)
    return pd.DataFrame(rows)


def flat_cube(latent: pd.DataFrame, domain: str) -> np.ndarray:
    """seeds × test images × (e under do(c_j = 0), under do(c_j = mean code)), j the most influential channel on
    validation images.
    """
    rows = latent[(latent["domain"] == domain) & (latent["split"] == "test")]
    rows = rows.drop_duplicates(["seed", "image", "channel"]).merge(
        chosen_channels(latent, domain)[["seed", "one"]].drop_duplicates(), on="seed"
    )
    part = rows[rows["channel"] == rows["one"]].assign(kind="one")
    return np.concatenate([cube(part, column, [{"kind": "one"}]) for column in ("expected", "usual")], axis=-1)


def flat_table(latent: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.24: mean e of the most influential channel at zero and at the mean code of validation images."""
    rows = []
    for domain in latent["domain"].unique():
        values = flat_cube(latent, domain)
        row = {"domain": domain} | mean_row(values[..., 0], "zero", **options)
        rows.append(row | mean_row(values[..., 1], "mean code", **options))
    return pd.DataFrame(rows)
