"""Effects under attack, tables and figures of Yang et al., ICIP 2019: one row per seed, image, attack and level."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.attack.attacks import ATTACKS, crafted_names
from aecompanion.evaluate.detection import SCORES, auroc
from aecompanion.evaluate.intervals import bounded, interval
from aecompanion.report.cubes import cube, error_bars, mean_row
from aecompanion.report.figures import COLOURS, colours, markers

FLIPPED = 0.8  # an attack "succeeds" at a level where it changes some decision of at least this share of the images
CONTROLS = {  # what attacks are compared with: title, colour and line
    "clean": ("clean", COLOURS[0], "-"),
    "noise": ("noise", COLOURS[1], ":"),
    "l2 noise": ("l2 noise", COLOURS[6], ":"),
}
HIDDEN = {"ifgsm"}  # of F1.7: its values are those of PGD
DETECTORS = {
    "effect": "effect of one channel",
    "confidence": "low confidence",
    "bottleneck": "bottleneck error",
    "heatmap": "NISSIM of Grad-CAM",
}


def attacked_cube(adversarial: pd.DataFrame, column: str, conditions: list[tuple[str, int]]) -> np.ndarray:
    """seeds × images × (attack, level)."""
    return cube(adversarial, column, [{"attack": attack, "level": level} for attack, level in conditions])


def success(adversarial: pd.DataFrame) -> pd.DataFrame:
    """Share of images with a changed decision, per attack and level."""
    return adversarial.groupby(["attack", "level"], sort=False)["flipped"].mean().reset_index()


def first_success(adversarial: pd.DataFrame, attack: str) -> int | None:
    """The smallest level at which the attack changes a decision of at least `FLIPPED` of the images."""
    shares = success(adversarial[adversarial["attack"] == attack])
    enough = shares.loc[shares["flipped"] >= FLIPPED, "level"]
    return None if enough.empty else int(enough.min())


def common_images(adversarial: pd.DataFrame, attack: str) -> pd.DataFrame:
    """The rows of the images that this attack was run on (the costly one saw fewer)."""
    return adversarial[adversarial["image"].isin(adversarial.loc[adversarial["attack"] == attack, "image"].unique())]


@bounded(0, 1)
def mean_auroc(values: np.ndarray) -> float:
    """Mean over seeds of the AUROC of condition 1 against condition 0."""
    return float(np.mean([auroc(layer[:, 0], layer[:, 1]) for layer in values]))


def detection_table(adversarial: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.10: AUROC of every score under every attack and level, beside the share of changed decisions."""
    rows = []
    for attack, level in adversarial[["attack", "level"]].drop_duplicates().itertuples(index=False):
        if attack == "clean":
            continue
        part = common_images(adversarial, attack)
        row = {"attack": attack, "level": level}
        row["changed"] = attacked_cube(part, "flipped", [(attack, level)]).mean()
        for score in SCORES:
            values = attacked_cube(part, score, [("clean", 0), (attack, level)])
            row |= mean_row(values, score, mean_auroc, **options)
        rows.append(row)
    return pd.DataFrame(rows)


def shift_table(adversarial: pd.DataFrame, **options) -> pd.DataFrame:
    """F1.7 as numbers: mean of e = ECE_j - ECE0 and its change, per attack and level."""
    rows = []
    for attack, level in adversarial[["attack", "level"]].drop_duplicates().itertuples(index=False):
        part = common_images(adversarial, attack)
        values = attacked_cube(part, "signed_effect", [("clean", 0), (attack, level)])
        row = {"attack": attack, "level": level} | mean_row(values[..., 1], "mean", **options)
        change = interval(lambda v: float(v[..., 1].mean() - v[..., 0].mean()), values, **options)
        rows.append(row | {"change": change.value, "change_low": change.low, "change_high": change.high})
    return pd.DataFrame(rows)


def effect_distributions(adversarial: pd.DataFrame, levels: list[int]) -> Figure:
    """F1.7: e over images of all networks: clean, noise and attacks, a panel per level and one for C&W. Boxes:
    quartiles and median; whiskers: from the 1 % to the 99 % quantile.
    """
    shown = [name for name in crafted_names() if name not in HIDDEN]
    panels = [(f"ε = {level}/255", level, ["noise", *shown]) for level in levels]
    panels.append(("Carlini-Wagner", 0, ["l2 noise", "cw"]))
    drawn = looks()
    size = (3.3 * len(panels) + 0.6, 3.2)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharex=True, squeeze=False)
    for panel, (title, level, attacks) in zip(axes[0], panels, strict=True):
        same = common_images(adversarial, attacks[-1])
        rows = [same[(same["attack"] == name) & same["level"].isin([0, level])] for name in ("clean", *attacks)]
        boxes = panel.boxplot(
            [each["signed_effect"] for each in rows],
            orientation="horizontal",
            whis=(1, 99),
            showfliers=False,
            patch_artist=True,
            widths=0.6,
        )
        for box, median, name in zip(boxes["boxes"], boxes["medians"], ("clean", *attacks), strict=True):
            box.set(facecolor=drawn[name][1], alpha=0.55)
            median.set(color="black", lw=2)
        panel.axvline(0, color="#999999", lw=0.8, ls=":")
        panel.set_yticklabels([drawn[name][0] for name in ("clean", *attacks)])
        panel.invert_yaxis()
        panel.set(title=title, xlabel="e = ECE$_j$ - ECE$_0$")
    return figure


def looks() -> dict[str, tuple[str, str, str]]:
    """Title, colour and line of every control and attack."""
    return CONTROLS | {name: (attack.title, attack.colour, attack.line) for name, attack in ATTACKS.items()}


def detector_curves(table: pd.DataFrame) -> Figure:
    """F1.8: AUROC of every score against the level, a panel per attack; C&W as its own panel."""
    attacks = [name for name in (*ATTACKS, "noise") if name in set(table["attack"])]
    figure, axes = plt.subplots(1, len(attacks), figsize=(2.6 * len(attacks) + 2.2, 3.5), sharey=True)
    for panel, attack in zip(axes, attacks, strict=True):
        rows = table[table["attack"] == attack].sort_values("level")
        place = np.arange(len(rows))
        for offset, score in enumerate(SCORES):
            colour, marker = colours(list(SCORES))[score], markers(list(SCORES))[score]
            errors = error_bars(rows[score], rows[f"{score}_low"], rows[f"{score}_high"])
            shift = 0.06 * (offset - 1.5)
            panel.errorbar(
                place + shift,
                rows[score],
                errors,
                color=colour,
                marker=marker,
                ms=5,
                lw=1.4,
                capsize=2,
                label=DETECTORS[score],
            )
        panel.axhline(0.5, color="black", ls=":", lw=1)
        minimal = attack in ATTACKS and ATTACKS[attack].minimal
        panel.set(title=looks()[attack][0], ylim=(0, 1.02), xticks=place, xlabel="" if minimal else "ε · 255")
        panel.set_xticklabels(["minimal"] if minimal else rows["level"])
        panel.set_xlim(-0.5, max(len(rows) - 0.5, 0.5))
    axes[0].set_ylabel("AUROC against clean")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=9, title="score")
    return figure
