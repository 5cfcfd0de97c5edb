"""Two folders of results side by side: verdicts, estimates, tables, prepared data, machines (`report.verification`)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from aecompanion.pipeline import paths
from aecompanion.report.papers import number_of

DECIDING = ("must", "expected")
OPPOSITE = {"reproduced", "not reproduced"}
TOLERANCE = 0.01  # relative deviation of a table's numbers
NOISE = 1e-9  # two numbers as near to each other as this are equal


def verdicts(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """A row per claim that both test: same id and statement word by word. Columns of the run bare, of the published
    results with `_published`; same (the verdict), opposite (reproduced here and not reproduced there, or the other way
    round), decides (opposite, and must or expected in either), inside (the estimate lies in the published interval).
    """
    both = ours.merge(theirs, on=["id", "statement"], suffixes=("", "_published"))
    both["same"] = both["verdict"] == both["verdict_published"]
    pairs = zip(both["verdict"], both["verdict_published"], strict=True)
    both["opposite"] = [{*pair} == OPPOSITE for pair in pairs]
    weighty = both["strength"].isin(DECIDING) | both["strength_published"].isin(DECIDING)
    both["decides"] = both["opposite"] & weighty
    low, high = both["ci_low_published"] - NOISE, both["ci_high_published"] + NOISE
    undefined = both["ours"].isna() & both["ours_published"].isna()
    both["inside"] = both["ours"].between(low, high) | undefined
    return both


def deviation(ours: Path, theirs: Path) -> float | None:
    """The largest relative deviation between the numbers of two CSV tables; None where rows, columns, words or missing
    cells differ.
    """
    a, b = pd.read_csv(ours), pd.read_csv(theirs)
    if a.shape != b.shape or list(a.columns) != list(b.columns):
        return None
    largest = 0.0
    for name in a.columns:
        if not (pd.api.types.is_numeric_dtype(a[name]) and pd.api.types.is_numeric_dtype(b[name])):
            if not a[name].astype(str).equals(b[name].astype(str)):
                return None
            continue
        x, y = (each[name].to_numpy(float) for each in (a, b))
        if (np.isnan(x) != np.isnan(y)).any():
            return None
        known = ~np.isnan(x) & (x != y)
        x, y = x[known], y[known]
        scale = np.maximum(np.abs(x), np.abs(y))
        apart = np.where(np.abs(x - y) <= NOISE, 0, np.abs(x - y) / np.where(scale > 0, scale, 1))
        largest = max([largest, *apart.tolist()])
    return largest


def compare_tables(ours: Path, theirs: Path, tolerance: float = TOLERANCE) -> dict[str, dict[str, Any]]:
    """Every table of either folder by file name: state ("bytes", "within", "beyond", "other", "only here", "only
    published") and the largest relative deviation.
    """
    found = {}
    for name in sorted({file.name for folder in (ours, theirs) for file in (folder / "tables").glob("*.csv")}):
        mine, known = ours / "tables" / name, theirs / "tables" / name
        apart = None
        if not known.is_file() or not mine.is_file():
            state = "only here" if mine.is_file() else "only published"
        elif mine.read_bytes() == known.read_bytes():
            state, apart = "bytes", 0.0
        else:
            apart = deviation(mine, known)
            state = "other" if apart is None else "within" if apart <= tolerance else "beyond"
        found[name] = {"state": state, "deviation": apart}
    return found


def cards(results: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((results / "cards").glob("*.json"))]


def prepared() -> set[str]:
    """The outputs of the stages that prepare data (named *_data in dvc.yaml) which other stages read."""
    stages = yaml.safe_load((paths.ROOT / "dvc.yaml").read_text())["stages"]
    outs = [out for name, body in stages.items() if name.endswith("_data") for out in body.get("outs", [])]
    names = (out if isinstance(out, str) else next(iter(out)) for out in outs)
    return {name for name in names if Path(name).parts[1] not in ("executed", "passes", "displays")}


def hashes(results: Path, wanted: set[str]) -> dict[str, str]:
    """The hash of each of these outputs that a stage read, as the cards note it."""
    return {name: hash for card in cards(results) for name, hash in card.get("inputs", {}).items() if name in wanted}


def machines(results: Path) -> dict[str, int]:
    """Which machines made the displays, and how many each."""
    found: dict[str, int] = {}
    for card in cards(results):
        name = card.get("run", {}).get("machine", "unknown machine")
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items(), key=lambda each: -each[1])) or {"unknown machine": 0}


def compare(ours: Path, theirs: Path, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Everything that is said, in values that JSON can hold: `reproduced` (the rule above), per paper counts, changed
    claims and tables, data, machines.

    Raises ValueError if the two have no claim of strength must or expected in common.
    """
    mine, known = pd.read_csv(ours / "claims.csv"), pd.read_csv(theirs / "claims.csv")
    both = verdicts(mine, known)
    if not both["strength"].isin(DECIDING).any():
        raise ValueError("no claim of strength must or expected has the same words in both, so nothing can be compared")
    compared = compare_tables(ours, theirs, tolerance)
    wanted = prepared()
    data, data_published = hashes(ours, wanted), hashes(theirs, wanted)
    found: dict[str, Any] = {
        "reproduced": not both["decides"].any(),
        "tolerance": tolerance,
        "machines": {"here": machines(ours), "published": machines(theirs)},
        "data": {
            name: {"here": data.get(name), "published": data_published.get(name)}
            for name in sorted({*data, *data_published})
        },
        "papers": {},
    }
    for number in sorted({*mine["paper"], *known["paper"]}):
        own = both[both["paper"] == number]
        shown = {name: each for name, each in compared.items() if paper_of(name) == number}
        states = pd.Series([each["state"] for each in shown.values()], dtype=object).value_counts()
        left = {
            name: sorted(set(rows.loc[rows["paper"] == number, "id"]) - set(own["id"]))
            for name, rows in (("only here", mine), ("only published", known))
        }
        found["papers"][str(number)] = {
            "claims": len(own),
            "equal": int(own["same"].sum()),
            "inside": int(own["inside"].sum()),
            "changed": [changed(row) for row in own[~own["same"]].itertuples()],
            "uncompared": left,
            "tables": {state: int(count) for state, count in states.items()},
            "tables apart": {name: each for name, each in shown.items() if each["state"] not in ("bytes", "within")},
            "largest deviation": max([each["deviation"] or 0.0 for each in shown.values()], default=0.0),
        }
    return found


def paper_of(table: str) -> int | None:
    """The number of the paper that a table's file belongs to, None for a name of another form (of long ago)."""
    try:
        return number_of(table.partition("_")[0])
    except ValueError:
        return None


def changed(row: Any) -> dict[str, Any]:
    """A claim with another verdict: both verdicts, estimates and intervals."""

    def end(suffix: str) -> dict[str, Any]:
        values = [getattr(row, name + suffix) for name in ("ours", "ci_low", "ci_high")]
        numbers = [float(each) if np.isfinite(each) else None for each in values]
        return {"verdict": getattr(row, f"verdict{suffix}"), "estimate": numbers[0], "interval": numbers[1:]}

    about = {"id": row.id, "strength": row.strength, "statement": row.statement, "decides": bool(row.decides)}
    return {**about, "here": end(""), "published": end("_published")}
