"""Masks on photographs: what a softmax network says of what is left and of what was taken (X3.3, X3.6, X3.7).

    p(c) = softmax(z)_c,      s(c) = softmax(z without T)_c = p(c) / (1 - p(T)),  c ≠ T

T: the explained class; s: a class's share of what T leaves over. If T falls, the p of the others rise whatever the
mask does, because a softmax adds up to 1; their shares need not move. So class distortion is read in s (the quantity
that `lib.explain.mask` keeps for such a network) for the image with the mask applied ("masked": x_pt), and in p for
the image that shows only what the mask removes ("reverse": x_rpt). The rivals are the most likely other classes of the
clean image. A class that is none of them but the most likely one but T in some image is an "outsider": the losses do
not look at it.

A few hundred random masks do not cover an image evenly, and where the probability hardly depends on the mask, the
unevenness is all that a RISE map shows. `uncovered` divides it out: what remains is the mean of p(T) over the masks
that keep a pixel (the published form, in the limit of many masks).
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from lib.explain.mask import Readout
from lib.explain.methods import Explained
from lib.explain.rise import rise
from lib.networks.read import predict
from lib.report.figures import COLOURS, HEAT, WRONG, channels_last, picture

VIEWS = ("clean", "masked", "reverse")
RISEN = 0.1  # a share, or a probability, that has risen by more is marked
LABELS = {
    "Grad-CAM": "share of each map's maximum",
    "RISE": "p(T) where kept / mean p(T)",
    "MP": "$1-m$",
    "RP": "$1-m$",
}


class One(nn.Module):
    """Says 1 of every image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.new_zeros(len(images), 1)  # the softmax of a single class


def uncovered(maps: torch.Tensor, *, masks: int, seed: int) -> torch.Tensor:
    """RISE maps n×1×H×W, divided by the map that the same masks give a network that always says 1."""
    blank, target = torch.zeros(1, 1, *maps.shape[2:]), torch.zeros(1, dtype=torch.long)
    return maps / rise(One(), blank, target, masks=masks, multi_label=False, seed=seed)


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


def map_grid(images: torch.Tensor, maps: Mapping[str, torch.Tensor], titles: Sequence[str]) -> Figure:
    """X3.3: one row per photograph: it and its maps, n×1×H×W each; the maps of a method (a column) share one scale.

    Grad-CAM is divided by each map's maximum and RISE by each map's mean, because their units are those of the
    photograph's logit and probability; 1 - m is shown from 0 to 1.
    """
    rows, columns = len(images), len(maps) + 1
    figure, axes = plt.subplots(
        rows + 1, columns, figsize=(2.05 * columns, 2.05 * rows + 0.7), height_ratios=[1] * rows + [0.06]
    )
    for line, image, title in zip(axes, images, titles, strict=False):
        picture(line[0], channels_last(image))
        line[0].set_ylabel(title, fontsize=10)
    axes[0, 0].set_title("photograph", fontsize=11)
    axes[-1, 0].axis("off")
    for column, (method, each) in zip(axes.T[1:], maps.items(), strict=True):
        shown, (low, high) = comparable(method, each)
        for panel, values in zip(column, shown, strict=False):
            picture(panel, values[0], cmap=HEAT, vmin=low, vmax=high)
        column[0].set_title(method, fontsize=11)
        figure.colorbar(column[0].images[0], cax=column[-1], orientation="horizontal")
        column[-1].set_xlabel(LABELS.get(method, ""), fontsize=8)
        column[-1].tick_params(labelsize=8)
    return figure


def comparable(method: str, maps: torch.Tensor) -> tuple[torch.Tensor, tuple[float, float]]:
    """The maps of several photographs in one unit, and the limits of their scale."""
    flat = maps.flatten(1)
    if method == "Grad-CAM":
        return maps / flat.amax(1).clamp_min(torch.finfo(maps.dtype).tiny).reshape(-1, 1, 1, 1), (0.0, 1.0)
    if method == "RISE":
        maps = maps / flat.mean(1).reshape(-1, 1, 1, 1)
        return maps, (maps.min().item(), maps.max().item())
    return maps, (0.0, 1.0)


def before_after(
    images: torch.Tensor, references: torch.Tensor, masks: Mapping[str, torch.Tensor], rows: pd.DataFrame
) -> Figure:
    """X3.6: one row per photograph: it; x_pt and x_rpt of each method with p(T) and the most likely other class; the
    rivals' shares, clean and masked. Marked: another class that has risen by 0.1, its share in x_pt, its p in x_rpt.
    """
    names = list(dict.fromkeys(rows["photograph"]))
    columns = 1 + 2 * len(masks)
    figure, axes = plt.subplots(
        len(images),
        columns + 1,
        figsize=(2.05 * columns + 4.6, 2.75 * len(images)),
        squeeze=False,
        width_ratios=[1] * columns + [1.15],
    )
    for i, (line, name) in enumerate(zip(axes, names, strict=True)):
        here = rows[rows["photograph"] == name]
        picture(line[0], channels_last(images[i]), title="photograph" if i == 0 else "")
        said(line[0], here[here["method"] == next(iter(masks))], "clean")
        for k, (method, mask) in enumerate(masks.items()):
            shown = views(images[i], references[i], mask[i])
            for panel, view, sign in zip(line[1 + 2 * k :][:2], VIEWS[1:], ("x_{pt}", "x_{rpt}"), strict=True):
                title = f"{method}: {view}, ${sign}$" if i == 0 else ""
                picture(panel, channels_last(shown[view].clamp(0, 1)), title=title)
                said(panel, here[here["method"] == method], view)
        share_panel(line[-1], here, list(masks))
        line[-1].set_title("share $s$ among all classes but T" if i == 0 else "", fontsize=9)
        if i == 0:
            line[-1].legend(fontsize=8, loc="lower right", handletextpad=0.1)
    return figure


def said(panel: Axes, part: pd.DataFrame, view: str) -> None:
    """Below a picture: p of the explained class, and of the most likely other one, each with what it was."""
    wide = part.pivot(index="class", columns="view", values=["p", "share"])
    target = part.loc[part["role"] == "target", "class"].iloc[0]
    rival = wide["p", view].drop(target).idxmax()
    measure = "share" if view == "masked" else "p"
    risen = wide.loc[rival, (measure, view)] > wide.loc[rival, (measure, "clean")] + RISEN
    marked = {"color": WRONG, "weight": "bold"} if risen else {}
    for line, (name, style) in enumerate(((target, {}), (rival, marked))):
        before, now = (f"{wide.loc[name, ('p', each)]:.0%}" for each in ("clean", view))
        text = f"{short(name)} {now}" if view == "clean" else f"{short(name)} {before} → {now}"
        place = {"x": 0.5, "y": -0.04 - 0.12 * line, "ha": "center", "va": "top", "transform": panel.transAxes}
        panel.text(s=text, fontsize=8.5, **place, **style)


def share_panel(panel: Axes, here: pd.DataFrame, methods: Sequence[str]) -> None:
    """The shares of the rivals, a line per rival: clean, and masked by each method."""
    parts = {method: shares(here[here["method"] == method]) for method in methods}
    order = next(iter(parts.values())).index
    height = range(len(order))[::-1]
    panel.scatter(parts[methods[0]].loc[order, "clean"], height, marker="|", s=90, lw=2, color="black", label="clean")
    for method, marker, colour in zip(methods, "s^ov", COLOURS, strict=False):
        panel.scatter(parts[method].loc[order, "masked"], height, marker=marker, s=24, color=colour, label=method)
    panel.set(xlim=(-0.03, 1), yticks=list(height))
    panel.set_yticklabels([short(name) for name in order], fontsize=7.5)
    panel.tick_params(axis="x", labelsize=8)
    panel.grid(axis="y", lw=0.4)


def short(name: str, length: int = 20) -> str:
    """A class name that fits below a picture."""
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"
