"""Masks on photographs: what a softmax network says of what is left and of what was taken.

    p(c) = softmax(z)_c,      s(c) = softmax(z without T)_c = p(c) / (1 - p(T)),  c ≠ T

T: the explained class; s: a class's share of what T leaves over. If T falls, the p of the others rise whatever the
mask does, because a softmax adds up to 1; their shares need not move. So class distortion is read in s (the quantity
that `explain.mask` keeps for such a network) for the image with the mask applied ("masked": x_pt), and in p for
the image that shows only what the mask removes ("reverse": x_rpt). The rivals are the most likely other classes of the
clean image. A class that is none of them but the most likely one but T in some image is an "outsider": the losses do
not look at it.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import nn

from aecompanion.explain.methods import Explained
from aecompanion.explain.readout import Readout
from aecompanion.networks.read import predict

VIEWS = ("clean", "masked", "reverse")


def views(images: torch.Tensor, references: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Clean images, with the mask applied, and with the reverse mask applied."""
    masked = references + mask * (images - references)
    return {"clean": images, "masked": masked, "reverse": images + references - masked}


def readings(
    network: nn.Module,
    images: torch.Tensor,
    references: torch.Tensor,
    explained: Mapping[str, Explained],
    target: torch.Tensor,
    *,
    names: Sequence[str],
    classes: Sequence[str],
    rivals: int = 10,
) -> pd.DataFrame:
    """One row per photograph, method that makes a mask, view and class.

    Args:
        images, references: n×3×H×W. target: n class indices. names: n, of the photographs. classes: of the network.

    Columns: photograph, method, view (of VIEWS), class, role ("target", "rival", "outsider"), p, share (of all classes
    but the target, which has none), area (share of the image that the mask removes), stuck.
    """
    others = Readout(predict(network, images), target, multi_label=False, rivals=rivals).others
    rows = []
    for method, found in explained.items():
        if found.mask is None:
            continue
        shown = views(images, references, found.mask)
        logits = torch.stack([predict(network, each) for each in shown.values()])  # view × photograph × class
        p, without = logits.softmax(2), logits.scatter(2, target.expand(len(shown), -1)[..., None], -torch.inf)
        share, first = without.softmax(2), without.argmax(2)
        for i, name in enumerate(names):
            roles = dict.fromkeys(first[:, i].tolist(), "outsider") | dict.fromkeys(others[i].tolist(), "rival")
            roles[target[i].item()] = "target"
            facts = {"area": 1 - found.mask[i].mean().item(), "stuck": bool(found.stuck[i])}
            rows += [
                {"photograph": name, "method": method, "view": view, "class": classes[c], "role": role}
                | {"p": p[v, i, c].item(), "share": share[v, i, c].item() if role != "target" else None}
                | facts
                for v, view in enumerate(shown)
                for c, role in roles.items()
            ]
    return pd.DataFrame(rows)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """X3.7: one row per photograph and method.

    Columns: p_VIEW, p(T) in each view; change_mean, change_max, changed_most: |change of a rival's share| from clean to
    masked, its mean and maximum and whose that is; unwatched_clean, unwatched_masked: the share of all classes that are
    neither the target nor a rival; reverse_first, p_first: the most likely other class of the reverse image; area,
    stuck.
    """
    table = []
    for (photograph, method), part in rows.groupby(["photograph", "method"], sort=False):
        own = part[part["role"] == "target"].set_index("view")
        rivals = shares(part)
        change = rivals["change"].abs()
        others = part[part["role"] != "target"].pivot(index="class", columns="view", values="p")
        table.append(
            {"photograph": photograph, "class": own["class"].iloc[0], "method": method}
            | {f"p_{view}": own.loc[view, "p"] for view in VIEWS}
            | {"change_mean": change.mean(), "change_max": change.max(), "changed_most": change.idxmax()}
            | {f"unwatched_{view}": 1 - rivals[view].sum() for view in VIEWS[:2]}
            | {"reverse_first": others["reverse"].idxmax(), "p_first": others["reverse"].max()}
            | {"area": part["area"].iloc[0], "stuck": part["stuck"].iloc[0]}
        )
    return pd.DataFrame(table)


def shares(part: pd.DataFrame) -> pd.DataFrame:
    """The rivals of one photograph and method: share clean and masked and the change, the largest clean share first."""
    wide = part[part["role"] == "rival"].pivot(index="class", columns="view", values="share")
    wide = wide.assign(change=wide["masked"] - wide["clean"])
    return wide[["clean", "masked", "change"]].sort_values("clean", ascending=False)
