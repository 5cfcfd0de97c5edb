"""X4.13: does the worst case fall further with more work? What doublings of the budget leave, from the saved rows.

    A_r(ε, k) = share of images right after r rounds,   round r: 2^r times the steps and queries, on what A_{r-1} left

A curve that is flat at its end says that the portfolio has done what it can; one that is not, that the number is an
upper bound. The rows are those of `studies.worst_defences.doubled`.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from aecompanion.defend.defences import KINDS
from aecompanion.papers.halftone.tables import HYBRID, LEVEL, WORST
from aecompanion.report.figures import COLOURS, MARKERS

BEYOND = f"{WORST}, × "  # and so many times the steps and queries


def beyond(effort: int) -> str:
    """The adversary's name in rows of `studies.worst_defences.doubled`."""
    return f"{BEYOND}{effort}"


def efforts(adaptive: pd.DataFrame) -> list[int]:
    """How many times the budget of the worst case was given to what it left; [1] if no more than that."""
    names = {name for name in adaptive["adversary"] if name.startswith(BEYOND)}
    return sorted({1, *(int(name.removeprefix(BEYOND)) for name in names)})


def doubling_rows(adaptive: pd.DataFrame) -> pd.DataFrame:
    """X4.13: what the worst case leaves and what every doubling leaves of that, on the same images and seeds: the rows
    of both with `effort`, 1 and upwards, of the defences, levels and seeds that were given more.
    """
    more = adaptive[adaptive["adversary"].str.startswith(BEYOND)]
    keys = ["defence", "level", "seed"]
    first = adaptive[adaptive["adversary"] == WORST].merge(more[keys].drop_duplicates(), on=keys)
    effort = more["adversary"].str.removeprefix(BEYOND).astype(int)
    return pd.concat([first.assign(effort=1), more.assign(effort=effort)], ignore_index=True)


def last_breaks(doubling: pd.DataFrame, *, metric: str = "top1") -> pd.DataFrame:
    """Per defence and level how many images the last doubling broke, and how many there are, of `doubling_rows`."""
    left = doubling.groupby(["defence", "level", "effort"], sort=False)[metric].agg(["sum", "size"]).reset_index()
    rows = []
    for (defence, level), part in left.groupby(["defence", "level"], sort=False):
        counts = part.sort_values("effort")["sum"].astype(int).tolist()
        rows.append({"defence": defence, "level": level, "broken": counts[-2] - counts[-1]})
        rows[-1] |= {"left": counts[-1], "images": int(part["size"].max())}
    return pd.DataFrame(rows)


def flatness(doubling: pd.DataFrame) -> str:
    """What the last doubling broke, as a sentence: top-1 at every level, top-5 at the level of the tables."""
    parts = []
    for defence, rows in doubling.groupby("defence", sort=False):
        counts = []
        for metric, part in (("top1", rows), ("top5", rows[rows["level"] == LEVEL])):
            counts += [
                f"{each['broken']} of {each['images']} at {each['level']}/255 in {metric[:3]}-{metric[3]}"
                for each in last_breaks(part, metric=metric).sort_values("level").to_dict("records")
            ]
        parts.append(f"{defence} {', '.join(counts)}")
    return f"The last doubling broke: {'; '.join(parts)}."


def doubling_curves(doubling: pd.DataFrame) -> Figure:
    """X4.13: accuracy of `doubling_rows` against how many times the budget what was left got, top-1 at every
    level and top-5 at the level of the tables; a colour per defence, a marker per level.
    """
    defences, levels = list(dict.fromkeys(doubling["defence"])), sorted(doubling["level"].unique())
    efforts = sorted(doubling["effort"].unique())
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
    others = [colour for colour in COLOURS if colour != KINDS["halftone"].colour]
    for panel, metric, shown in zip(axes, ("top1", "top5"), (levels, [LEVEL]), strict=True):
        for i, name in enumerate(defences):
            main = name == HYBRID
            colour = KINDS["halftone"].colour if main else others[i]
            for level in shown:
                part = doubling[(doubling["defence"] == name) & (doubling["level"] == level)]
                left = part.groupby("effort")[metric].mean()
                style = {"color": colour, "ls": "-" if main else "--", "lw": 2.2 if main else 1.5}
                style |= {"marker": MARKERS[levels.index(level)], "label": f"{name}, ε = {level}/255"}
                panel.plot(left.index, left, **style)
        panel.set_xscale("log", base=2)
        panel.set_xticks(efforts, [f"{each}" for each in efforts])
        panel.minorticks_off()
        panel.set(title=f"{metric[:3]}-{metric[3]}", ylim=(0, 1.02), xlabel="times the steps and queries of T4.5")
    axes[0].set_ylabel("accuracy that is left")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure
