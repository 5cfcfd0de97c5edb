"""Figures of Huang et al., ICPR 2020: its Fig. 1 and the reconstructed ones, and ours.

All take images or tidy rows that earlier stages saved and return a matplotlib figure.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle

from aecompanion.attack.attacks import title_of
from aecompanion.attack.crafted import level_of
from aecompanion.report.figures import RIGHT, WRONG, channels_last, picture

DIFFERENCE = "RdBu_r"
NAMES = {
    "floyd_steinberg": "Floyd-Steinberg",
    "jarvis": "Jarvis-Judice-Ninke",
    "stucki": "Stucki",
    "atkinson": "Atkinson",
    "bayer": "Bayer 8×8",
}


def label(name: str, confidence: float) -> str:
    """ "cup, 93 %"."""
    return f"{name}, {confidence:.0%}"


def dither_gallery(image: torch.Tensor, dots: dict[str, torch.Tensor], smoothed: dict[str, torch.Tensor]) -> Figure:
    """F4.2: a grey image and its halftones; whole, a quarter magnified, and after a low-pass (what the eye does)."""
    columns = {"grey": image, **dots}
    figure, axes = plt.subplots(3, len(columns), figsize=(1.95 * len(columns) + 0.6, 6.3))
    side = image.shape[-1]
    zoom = slice(side // 4, side // 2)
    for column, (name, content) in zip(axes.T, columns.items(), strict=True):
        picture(column[0], content[0, 0], title=NAMES.get(name, name))
        picture(column[1], content[0, 0][zoom, zoom])
        picture(column[2], smoothed[name][0, 0])
        column[0].add_patch(Rectangle((side // 4, side // 4), side // 4, side // 4, fill=False, ec="#E69F00", lw=1.5))
    for panel, text in zip(axes[:, 0], ("whole", "the marked part", "low-pass"), strict=True):
        panel.set_ylabel(text, fontsize=10)
    return figure


def flip_maps(image: torch.Tensor, maps: dict[str, tuple[torch.Tensor, float]]) -> Figure:
    """Where dots flip under a perturbation: a panel per dither with the share of flipped dots."""
    figure, axes = plt.subplots(1, len(maps) + 1, figsize=(1.95 * (len(maps) + 1), 2.4))
    picture(axes[0], image[0, 0], title="grey image")
    for panel, (name, (flipped, share)) in zip(axes[1:], maps.items(), strict=True):
        picture(panel, 1 - flipped[0, 0].float(), title=f"{NAMES.get(name, name)}: {share:.0%}")
    return figure


def signed(change: torch.Tensor) -> np.ndarray:
    """A change of -1 to 1 for imshow: grey as it is, for a colour map; of RGB, which imshow takes from 0 to 1 only, the
    half of it around grey.
    """
    return channels_last(change) if change.shape[0] == 1 else channels_last((change / 2 + 0.5).clamp(0, 1))


def addition(clean: torch.Tensor, attacked: torch.Tensor, *, eps: float, titles: tuple[str, str]) -> Figure:
    """F4.1: image + change = adversarial example, the predicted label and its confidence under each. The change is ε
    times the sign of the gradient, but for what clipping to [0,1] takes off.
    """
    level = level_of(eps)
    figure, axes = plt.subplots(1, 5, figsize=(9, 3.1), width_ratios=[4, 1.1, 4, 0.6, 4])
    difference = (attacked - clean) * 255 / level
    picture(axes[0], channels_last(clean), right=True)
    picture(axes[2], signed(difference), cmap=DIFFERENCE, vmin=-1, vmax=1)
    picture(axes[4], channels_last(attacked), right=False)
    for panel, text in zip(axes[::2], (titles[0], "change / ε", titles[1]), strict=True):
        panel.set_xlabel(text, fontsize=10)
    for panel, text in zip(axes[1::2], (f"+ {level}/255 ×", "="), strict=True):
        panel.axis("off")
        panel.text(0.5, 0.5, text, ha="center", va="center", fontsize=12)
    return figure


def attack_rows(rows: dict[str, dict[str, torch.Tensor]], *, eps: float) -> Figure:
    """F4.4: rows clean and attacked; columns image, difference to clean (on ±eps), halftone, flipped dots (dark, either
    way), inverse. The clean row has no differences.
    """
    level = level_of(eps)
    titles = {0: "grey", 2: "halftone", 4: "inverse halftone"}
    below = {1: f"difference, ±{level}/255", 3: "flipped dots"}
    figure, axes = plt.subplots(len(rows), 5, figsize=(9.4, 1.9 * len(rows) + 0.3))
    clean = next(iter(rows.values()))
    for line, (name, row) in zip(axes, rows.items(), strict=True):
        picture(line[0], channels_last(row["grey"]))
        picture(line[2], channels_last(row["halftone"]))
        picture(line[4], channels_last(row["inverse"]))
        line[0].set_ylabel(title_of(name))
        if row is clean:
            line[1].set_axis_off()
            line[3].set_axis_off()
            continue
        change = (row["grey"] - clean["grey"]) * 255 / level
        picture(line[1], signed(change), cmap=DIFFERENCE, vmin=-1, vmax=1)
        flips = (row["halftone"] - clean["halftone"]).abs()
        picture(line[3], 1 - channels_last(flips))
        line[3].set_xlabel(f"{flips.mean():.0%} of the dots", fontsize=9)
    for line, named in zip(axes, (titles, below), strict=False):
        for column, title in named.items():
            line[column].set_title(title, fontsize=10)
    return figure


def pipeline(
    stages: list[tuple[str, torch.Tensor]], outcomes: dict[str, tuple[list[tuple[str, float]], str]]
) -> Figure:
    """F4.3: input, recharacterisation (forward, backward) and the classifiers' five best classes, from a real run.

    `stages` are images with titles; `outcomes` maps a classifier to its ((class, probability), ...) and the true class.
    """
    figure, axes = plt.subplots(1, len(stages) + len(outcomes), figsize=(2.5 * (len(stages) + len(outcomes)), 2.9))
    for panel, (title, image) in zip(axes, stages, strict=False):
        picture(panel, channels_last(image), title=title)
    for panel, (title, (best, truth)) in zip(axes[len(stages) :], outcomes.items(), strict=True):
        names, shares = zip(*best, strict=True)
        panel.barh(range(len(best)), shares, color=[RIGHT if name == truth else "#999999" for name in names])
        panel.set(xlim=(0, 1), yticks=[], xlabel="probability")
        panel.invert_yaxis()
        for y, name in enumerate(names):
            panel.text(0.03, y, name, va="center", fontsize=9)
        panel.set_title(title, fontsize=9)
    for left, right in zip(axes[: len(stages) - 1], axes[1 : len(stages)], strict=True):
        ends = {"coordsA": left.transAxes, "coordsB": right.transAxes}
        figure.add_artist(
            ConnectionPatch((1.0, 0.5), (-0.02, 0.5), arrowstyle="-|>", mutation_scale=18, fc="k", **ends)
        )
    figure.get_layout_engine().set(wspace=0.12)
    return figure


def activations(
    images: dict[str, torch.Tensor], maps: dict[str, dict[str, torch.Tensor]], *, channels: int = 4
) -> Figure:
    """F4.5: the first convolution's activations of each network, clean above attacked, on one scale per network: its
    most varied channels by number, then the mean over all channels of the activation (clean) and of its change.

    `images` maps a row title to the network's input; `maps` network → {"clean", "attacked"} → C×h×w.
    """
    rows = [(network, kind) for network in maps for kind in ("clean", "attacked")]
    figure, axes = plt.subplots(len(rows), channels + 2, figsize=(1.45 * (channels + 2) + 0.6, 1.4 * len(rows) + 0.5))
    for line, (network, kind) in zip(axes, rows, strict=True):
        active = maps[network]["clean"].flatten(1).std(1).argsort(descending=True)[:channels].sort().values
        top = max(maps[network][each][active].max().item() for each in ("clean", "attacked"))
        picture(line[0], channels_last(images[f"{network}/{kind}"]))
        for panel, index in zip(line[1:-1], active, strict=True):
            title = f"channel {index}" if kind == "clean" else ""
            picture(panel, maps[network][kind][index], cmap="viridis", vmin=0, vmax=top, title=title)
        clean = maps[network]["clean"]
        shown = clean if kind == "clean" else maps[network]["attacked"] - clean
        title = "mean |activation|" if kind == "clean" else "mean |change|"
        last = line[-1].imshow(shown.abs().mean(0) / clean.abs().mean(), cmap="magma", vmin=0, vmax=2)
        line[-1].set(xticks=[], yticks=[])
        line[-1].set_title(title, fontsize=9)
        line[0].set_ylabel(f"{network}\n{kind}", fontsize=9)
    axes[0, 0].set_title("input", fontsize=9)
    figure.colorbar(last, ax=axes[:, -1], shrink=0.5, label="of the network's mean activation, clean")
    return figure


def photograph_strip(columns: dict[str, torch.Tensor], verdicts: dict[str, tuple[str, bool]]) -> Figure:
    """One photograph under several transformations, the prediction and whether it is right below each."""
    figure, axes = plt.subplots(1, len(columns), figsize=(2.1 * len(columns), 2.8), squeeze=False)
    for panel, (name, image) in zip(axes[0], columns.items(), strict=True):
        predicted, right = verdicts[name]
        picture(panel, channels_last(image), right=right, title=name)
        panel.set_xlabel(predicted, fontsize=9, color=RIGHT if right else WRONG)
    return figure
