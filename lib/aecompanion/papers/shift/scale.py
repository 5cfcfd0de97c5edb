"""T5.2 and X5.6: MOD between the floor of equal noise and the ceiling of another person's map, SSIM by rendering.

    floor(ε)     MOD under random signs of the same ε (the arm "noise")
    ceiling      MOD between the clean maps of two people (the arm "other"), per network and class mode
    over noise   MOD(ε) - floor(ε)         share of the ceiling   MOD(ε) / ceiling

A block holds the three side by side: seeds × images × networks × levels × (NISSIM, noise, other). Statistics of it give
networks × levels. An attack may leave the range of clean maps, so a share can be larger than 1.
"""

import numpy as np
import pandas as pd

from aecompanion.papers.shift.tables import LEVELS, cube, curve, digitised, mean_table, names, settings
from aecompanion.report import cubes


def block(shift: pd.DataFrame, *, mode: str, arm: str = "white", levels=LEVELS) -> np.ndarray:
    """NISSIM of an arm, of noise of equal size and of another person's maps. Raises ValueError where one is missing."""
    moved, noise = (cube(shift, "nissim", mode=mode, arm=each, levels=levels) for each in (arm, "noise"))
    other = cube(shift, "nissim", mode=mode, arm="other", levels=(0.0,))
    return np.stack([moved, noise, np.broadcast_to(other, moved.shape)], axis=-1)


def over_noise(v: np.ndarray) -> np.ndarray:
    """MOD minus that of noise of equal size."""
    return curve(v[..., 0]) - curve(v[..., 1])


def noise_share(v: np.ndarray) -> np.ndarray:
    """MOD of noise over MOD of the arm: 1 where the arm does no more than noise."""
    return curve(v[..., 1]) / curve(v[..., 0])


def ceiling_share(v: np.ndarray) -> np.ndarray:
    """MOD over the ceiling: 1 where the map moved as far as another person's is away."""
    return curve(v[..., 0]) / curve(v[..., 2])


# tables


def mod_table(shift: pd.DataFrame, **options) -> pd.DataFrame:
    """T5.2: MOD per network, arm, class mode and level with the floor, what is over it, the ceiling and the share of
    it; the share of attacked maps that are zero everywhere, MOD without those, and the paper's digitised value.
    """
    tables = []
    for arm, mode in settings(shift):
        values, zero = block(shift, mode=mode, arm=arm), cube(shift, "zero", mode=mode, arm=arm)
        table = mean_table(values[..., 0], names(shift), LEVELS, arm=arm, mode=mode, **options)
        table["noise"] = curve(values[..., 1]).ravel()
        add(table, "over_noise", over_noise, values, **options)
        table["ceiling"] = curve(values[..., 2]).ravel()
        add(table, "share", ceiling_share, values, **options)
        table["zero_maps"] = curve(zero).ravel()
        table["mean_without_zero"] = curve(np.where(zero == 1, np.nan, values[..., 0])).ravel()
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    paper = [(1 - paper_ssim(row.network, row.eps)) / 2 for row in table.itertuples()]
    control = table["arm"] == "noise"
    table["paper"] = np.where(control, np.nan, paper)
    table.loc[control, ["over_noise", "over_noise_low", "over_noise_high"]] = np.nan
    return table


def add(table: pd.DataFrame, name: str, statistic, values: np.ndarray, **options) -> None:
    """Add the columns name, name_low and name_high: a statistic of the block with its interval, cell by cell."""
    networks, levels = values.shape[2:4]
    cells = [values[:, :, i : i + 1, j : j + 1] for i in range(networks) for j in range(levels)]
    rows = [cubes.mean_row(cell, name, lambda v: statistic(v).item(), **options) for cell in cells]
    for column in rows[0]:
        table[column] = [row[column] for row in rows]


def paper_ssim(network: str, level: float) -> float:
    """The digitised mean of Fig. 4 for the network's family, NaN for one that the paper has not."""
    known = digitised(network)
    return known[LEVELS.index(level)] if known else np.nan


def rendering_table(renderings: pd.DataFrame, *, level: float = 0.1, **options) -> pd.DataFrame:
    """X5.6: mean SSIM per arm, class mode, network and rendering with its interval, the paper's digitised value and the
    distance.
    """
    tables = []
    for arm, mode in rendered_arms(renderings):
        rows = renderings[(renderings["arm"] == arm) & (renderings["mode"] == mode)]
        networks, kinds = names(rows), list(dict.fromkeys(rows["rendering"]))
        values = rendering_cube(rows, arm=arm, mode=mode)
        tables.append(mean_table(values, networks, kinds, arm=arm, mode=mode, **options))
    table = pd.concat(tables, ignore_index=True).rename(columns={"eps": "rendering"})
    table["paper"] = [paper_ssim(network, level) for network in table["network"]]
    return table.assign(distance=table["mean"] - table["paper"])


def rendered_arms(renderings: pd.DataFrame) -> list[tuple[str, str]]:
    """The (arm, class mode) pairs of the rows, in their order."""
    return list(dict.fromkeys(zip(renderings["arm"], renderings["mode"], strict=True)))


def rendering_cube(renderings: pd.DataFrame, *, arm: str = "white", mode: str = "own_pred") -> np.ndarray:
    """seeds × images × networks × renderings of SSIM in one arm and class mode; NaN where the clean prediction was
    wrong.

    Raises ValueError if a network lacks a rendering, a seed or an image.
    """
    networks, kinds = names(renderings), renderings["rendering"].unique().tolist()
    rows = renderings[(renderings["arm"] == arm) & (renderings["mode"] == mode)]
    rows = rows.assign(ssim=rows["ssim"].where(rows["correct0"]))
    conditions = [{"network": network, "rendering": kind} for network in networks for kind in kinds]
    values = cubes.cube(rows, "ssim", conditions)
    return values.reshape(*values.shape[:2], len(networks), len(kinds))


def factors(table: pd.DataFrame) -> pd.DataFrame:
    """What the mean SSIM of `rendering_table` depends on: the share of the variance of its cells between the levels of
    each factor alone; the rest are interactions. The factorial is complete, so the shares add up to at most 1.
    """
    cells = table.assign(arm=table["arm"] + ", " + table["mode"])
    total = cells["mean"].var(ddof=0)
    shares = {
        name: cells.groupby(name)["mean"].transform("mean").var(ddof=0) / total
        for name in ("rendering", "network", "arm")
    }
    found = pd.DataFrame({"factor": list(shares), "explained": list(shares.values())})
    return pd.concat(
        [found, pd.DataFrame({"factor": ["interactions"], "explained": [1 - found["explained"].sum()]})],
        ignore_index=True,
    )


def nearest_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Per arm, class mode and rendering the root mean squared distance of the networks' means to the paper's values and
    the rank correlation with them over networks, the nearest cell first; networks that the paper has not are left out.
    """
    known = table.dropna(subset=["paper"])
    rows = []
    for (arm, mode, rendering), part in known.groupby(["arm", "mode", "rendering"], sort=False):
        order = part["mean"].corr(part["paper"], method="spearman") if len(part) > 2 else np.nan
        distance = float(np.sqrt((part["distance"] ** 2).mean()))
        rows.append({"arm": arm, "mode": mode, "rendering": rendering, "distance": distance, "order": order})
    columns = ["arm", "mode", "rendering", "distance", "order"]
    return pd.DataFrame(rows, columns=columns).sort_values("distance", ignore_index=True)
