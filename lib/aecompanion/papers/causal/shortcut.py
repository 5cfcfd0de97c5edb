"""Which region tells the view (X1.14 to X1.16 of paper 1, ours): a table and two figures from saved tidy rows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy import ndimage

from aecompanion.evaluate.intervals import interval
from aecompanion.papers.causal.claims_effects import view_auroc
from aecompanion.report.cubes import cube, error_bars, mean_row
from aecompanion.report.figures import COLOURS, HEAT, picture


def region_table(shortcut: pd.DataFrame, **options) -> pd.DataFrame:
    """X1.16: per fill and region the share of the image, the images that have it, mean |CE| of the region (size) and
    of its control, their difference (excess), and mean |CE| per share of the image.
    """
    rows = []
    for (fill, region), part in shortcut.groupby(["fill", "region"], sort=False):
        both = [np.abs(cube(part, column, [{"region": region}])) for column in ("effect", "control")]
        share = part.loc[part["effect"].notna(), "share"].mean()
        row = {"fill": fill, "region": region, "share": share}
        row["images"] = part.loc[part["effect"].notna(), "image"].nunique()
        for name, values in (("size", both[0]), ("control", both[1]), ("excess", both[0] - both[1])):
            row |= mean_row(values, name, np.nanmean if np.isnan(values).any() else np.mean, **options)
        rows.append(row | {"size per share": row["size"] / share})
    return pd.DataFrame(rows)


def quality(viewed: pd.DataFrame, classes: list[str], **options) -> dict[str, float]:
    """Test images of either of the two `classes`, and the AUROC of the second with its interval (NaN for one view)."""
    values, statistic = view_auroc({"viewed": viewed}, classes=classes)
    found = interval(statistic, values, **options)
    counts = {name: viewed.loc[viewed["view"] == name, "image"].nunique() for name in classes}
    return counts | {"auroc": found.value, "auroc_low": found.low, "auroc_high": found.high}


def mean_images(images: np.ndarray, views: np.ndarray, classes: list[str]) -> dict[str, np.ndarray]:
    """The mean image of each of the `classes` that some image has, H×W; images N×1×H×W, views N names."""
    return {name: images[views == name].mean(0)[0] for name in classes if (views == name).any()}


def view_maps(means: dict[str, np.ndarray], grid: pd.DataFrame) -> Figure:
    """X1.14: per view its mean image and the map of mean |CE| over a grid of blocks (one scale for all maps)."""
    maps = {view: grid_map(grid[grid["view"] == view]) for view in means if view in set(grid["view"])}
    bound = max((each.max() for each in maps.values()), default=1.0)
    figure, axes = plt.subplots(1, 2 * len(means), figsize=(2.6 * 2 * len(means) + 0.8, 2.9), squeeze=False)
    shown = None
    for (view, mean), (left, right) in zip(means.items(), axes[0].reshape(-1, 2), strict=True):
        picture(left, mean, title=f"{view}: mean image", cmap="gray")
        if view in maps:
            shown = right.imshow(maps[view], cmap=HEAT, vmin=0, vmax=max(bound, 1e-9))
        right.set(xticks=[], yticks=[])
        right.set_title(f"{view}: mean |CE| per block", fontsize=9)
    if shown is not None:
        figure.colorbar(shown, ax=axes, label="mean |CE|")
    return figure


def grid_map(grid: pd.DataFrame) -> np.ndarray:
    """Mean |CE| of every block over images and seeds, rows × columns of the grid."""
    means = grid.assign(size=grid["effect"].abs()).groupby(["row", "column"])["size"].mean()
    return means.unstack("column").to_numpy()


def region_effects(mean: np.ndarray, masks: dict[str, np.ndarray], table: pd.DataFrame, fill: str) -> Figure:
    """X1.15: the regions on the mean image (H×W), and per region mean |CE| under one `fill` (bar) with its control
    (open circle) and the other fills (marks); what is in `table` and not in `masks` is a union or the marker, below.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 5.2), width_ratios=[1, 1.25])
    schematic(left, mean, masks)
    rows = table[table["fill"] == fill].set_index("region")
    names = [*masks, *(name for name in rows.index if name not in masks)]
    place, rows = np.arange(len(names)), rows.loc[names]
    shade = [COLOURS[i] for i in range(len(masks))] + ["#bbbbbb"] * (len(names) - len(masks))
    right.barh(
        place,
        rows["size"],
        0.7,
        xerr=error_bars(rows["size"], rows["size_low"], rows["size_high"]),
        color=shade,
        error_kw={"lw": 1, "capsize": 2},
    )
    options = {"fmt": "o", "color": "black", "mfc": "white", "ms": 5, "capsize": 2, "lw": 1}
    right.errorbar(
        rows["control"],
        place + 0.18,
        xerr=error_bars(rows["control"], rows["control_low"], rows["control_high"]),
        label=f"control, {fill}",
        **options,
    )
    for other, mark in zip((each for each in table["fill"].unique() if each != fill), "xv+*d", strict=False):
        sizes = table[table["fill"] == other].set_index("region").loc[names, "size"]
        right.plot(sizes, place - 0.18, mark, color="#444444", ms=5, ls="", label=other)
    right.axhline(len(masks) - 0.5, color="#dddddd", lw=0.8)
    right.set(yticks=place, xlabel=f"mean |CE|, bars: fill {fill}", xlim=(0, None))
    numbers = [f"{name}  {i + 1}" if i < len(masks) else name for i, name in enumerate(names)]
    right.set_yticklabels([f"{name} ({share:.0%})" for name, share in zip(numbers, rows["share"], strict=True)])
    right.invert_yaxis()
    figure.legend(*right.get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure


def schematic(axes: Axes, mean: np.ndarray, masks: dict[str, np.ndarray]) -> None:
    """The regions as tints with their numbers (from 1) on a mean image."""
    picture(axes, mean, title="regions on the mean image", cmap="gray")
    number = np.full(mean.shape, np.nan)
    for i, mask in enumerate(masks.values()):
        number[mask] = i
    palette = ListedColormap(list(COLOURS[: len(masks)]))
    axes.imshow(number, cmap=palette, vmin=-0.5, vmax=len(masks) - 0.5, alpha=0.4, interpolation="nearest")
    for i, mask in enumerate(masks.values()):
        if mask.any():
            depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
            row, column = np.unravel_index(depth.argmax(), mask.shape)  # as far inside as can be
            axes.text(column, row, i + 1, color="white", ha="center", va="center", weight="bold")
