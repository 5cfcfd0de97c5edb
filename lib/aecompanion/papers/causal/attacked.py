"""Effects under attack, tables and figures of Yang et al., ICIP 2019: one row per seed, image, attack and level."""

import functools
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.attack.attacks import ATTACKS, crafted_names
from aecompanion.evaluate.detection import auroc, auroc_given, correlation_given
from aecompanion.evaluate.detectors import DETECTORS
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
        for score in DETECTORS:
            values = attacked_cube(part, score, [("clean", 0), (attack, level)])
            row |= mean_row(values, score, mean_auroc, **options)
        rows.append(row)
    return pd.DataFrame(rows)


@bounded(0, 1)
def first_auroc(values: np.ndarray) -> float:
    """`mean_auroc` of the first two conditions."""
    return mean_auroc(values[..., :2])


@functools.lru_cache(maxsize=32)
def of_seed(measure: Callable[..., float], content: bytes, columns: int) -> float:
    """A measure of one seed's images × columns, by content: the jackknife over seeds asks for the same seeds again."""
    return measure(*np.frombuffer(content).reshape(-1, columns).T)


def stored(layer: np.ndarray) -> tuple[bytes, int]:
    """Images × columns as `of_seed` takes them."""
    return np.ascontiguousarray(layer, float).tobytes(), layer.shape[1]


@bounded(0, 1)
def mean_auroc_given(values: np.ndarray) -> float:
    """Mean over seeds of AUROC(s | z); conditions: s clean, s attacked, z clean, z attacked."""
    return float(np.nanmean([of_seed(auroc_given, *stored(layer)) for layer in values]))


@bounded(-1, 1)
def mean_correlation_given(values: np.ndarray) -> float:
    """Mean over seeds of the partial rank correlation ρ(s, a | z); conditions as above."""
    return float(np.nanmean([of_seed(correlation_given, *stored(layer)) for layer in values]))


@bounded(-1, 1)
def mean_correlation(values: np.ndarray) -> float:
    """Mean over seeds of the correlation of two conditions over images."""
    return float(np.mean([np.corrcoef(layer.T)[0, 1] for layer in values]))


def given_cube(adversarial: pd.DataFrame, score: str, given: str, attack: str, level: int) -> np.ndarray:
    """seeds × images × (score clean, attacked, given clean, attacked)."""
    conditions = [("clean", 0), (attack, level)]
    return np.concatenate([attacked_cube(adversarial, each, conditions) for each in (score, given)], axis=-1)


def given_table(adversarial: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.22: what the effect of a channel says of FGSM and PGD beyond the sum of the probabilities. correlation: of e
    and the sum over attacked images; AUROC of the small effect, then among pairs alike in the sum, then the partial
    rank correlation with being attacked; and the other way round.
    """
    rows = []
    pairs = adversarial.loc[adversarial["attack"].isin(["fgsm", "pgd"]), ["attack", "level"]].drop_duplicates()
    for attack, level in pairs.itertuples(index=False):
        both = given_cube(adversarial, "small_effect", "sum", attack, level)
        signed = both[..., [1, 3]] * np.array([-1, 1])
        row = {"attack": attack, "level": level} | mean_row(signed, "correlation", mean_correlation, **options)
        row |= mean_row(both, "effect", first_auroc, **options)
        row |= mean_row(both, "effect given sum", mean_auroc_given, **options)
        row |= mean_row(both, "partial", mean_correlation_given, **options)
        turned = both[..., [2, 3, 0, 1]]
        row |= mean_row(turned, "sum", first_auroc, **options)
        row |= mean_row(turned, "sum given effect", mean_auroc_given, **options)
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


SIDES = {"one-sided": ("large", "small"), "two-sided": ("two",)}


def detector_curves(table: pd.DataFrame) -> Figure:
    """F1.8: AUROC of every detector against the level, a column per attack, one-sided detectors above two-sided ones;
    Carlini-Wagner has no level. I-FGSM is left out: its values are those of PGD.
    """
    attacks = [name for name in (*ATTACKS, "noise") if name in set(table["attack"]) - HIDDEN]
    names, size = list(DETECTORS), (2.7 * len(attacks) + 2.6, 6.2)
    figure, axes = plt.subplots(2, len(attacks), figsize=size, sharey=True, squeeze=False)
    for line, (side, kinds) in zip(axes, SIDES.items(), strict=True):
        shown = [name for name in names if DETECTORS[name].side in kinds]
        for panel, attack in zip(line, attacks, strict=True):
            rows = table[table["attack"] == attack].sort_values("level")
            for offset, score in enumerate(shown):
                draw_curve(panel, rows, score, 0.07 * (offset - (len(shown) - 1) / 2))
            panel.axhline(0.5, color="black", ls=":", lw=1)
            minimal = attack in ATTACKS and ATTACKS[attack].minimal
            panel.set(ylim=(0, 1.02), xticks=np.arange(len(rows)), xlabel="" if minimal else "ε · 255")
            panel.set_xticklabels(["minimal"] if minimal else rows["level"])
            panel.set_xlim(-0.5, max(len(rows) - 0.5, 0.5))
            panel.set_title(looks()[attack][0] if side == "one-sided" else "")
        line[0].set_ylabel(f"{side}: AUROC")
        line[-1].legend(*line[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8)
    return figure


def draw_curve(panel, rows: pd.DataFrame, score: str, shift: float) -> None:
    """One detector's AUROC with intervals, moved sideways by `shift`."""
    shown = [name for name in DETECTORS if (DETECTORS[name].side == "two") == (DETECTORS[score].side == "two")]
    panel.errorbar(
        np.arange(len(rows)) + shift,
        rows[score],
        error_bars(rows[score], rows[f"{score}_low"], rows[f"{score}_high"]),
        color=colours(shown)[score],
        marker=markers(shown)[score],
        ms=5,
        lw=1.3,
        capsize=2,
        label=DETECTORS[score].title,
    )
