"""The published run beside others: on another machine or code path, with other training seeds.

`aecompanion replication NAME` keeps the claims of the last run as results/replications/NAME/, from where a published
checkout takes them: claims.csv, and run.json with what differs from the published run ("machine" or "seeds"), the
machine, the commit and the seeds. A claim is compared where its statement is the same word by word; it is *stable* if
its verdict is the same on every published machine.
"""

import argparse
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from aecompanion.pipeline import paths, record
from aecompanion.report import tables
from aecompanion.report.papers import papers

KINDS = {"machine": "on another machine or code path", "seeds": "with other training seeds"}
FOLDER = "replications"
SHOWN = ["id", "strength", "statement"]

Replications = dict[str, tuple[dict[str, Any], pd.DataFrame]]


def replications(results: Path) -> Replications:
    """run.json and claims.csv of every published replication, by its name."""
    folders = sorted(file.parent for file in results.glob(f"{FOLDER}/*/run.json"))
    return {
        folder.name: (json.loads((folder / "run.json").read_text()), pd.read_csv(folder / "claims.csv"))
        for folder in folders
    }


def compared(claims: pd.DataFrame, others: Replications) -> pd.DataFrame:
    """One row per claim: id, strength, statement, estimate and verdict of the published run and, where the statement is
    the same, of each replication (NAME: ours, NAME: verdict; empty otherwise); `stable`: "yes" or "no" over the
    machines on which it was tested, empty if it was on one only.
    """
    table = claims[[*SHOWN, "ours", "verdict"]].copy()
    agreed, tested = pd.Series(True, table.index), pd.Series(False, table.index)
    for name, (run, rows) in others.items():
        found = table[["id", "statement"]].merge(rows, on=["id", "statement"], how="left").set_index(table.index)
        table[f"{name}: ours"], table[f"{name}: verdict"] = found["ours"], found["verdict"]
        if run["kind"] == "machine":
            known = found["verdict"].notna()
            tested |= known
            agreed &= ~known | (found["verdict"] == table["verdict"])
    table["stable"] = agreed.map({True: "yes", False: "no"}).where(tested, "")
    return table


def stable(claims: pd.DataFrame, others: Replications) -> pd.Series:
    """The column `stable` of `compared`."""
    return compared(claims, others)["stable"]


def section(claims: pd.DataFrame, others: Replications) -> list[str]:
    """The part of results/README.md that lists which verdicts differ, [] where nothing is published to compare with."""
    if not others:
        return []
    table = compared(claims, others)
    counted = table["strength"] != "check"
    lines = ["## The same again: another machine, other seeds", ""]
    for name, (run, _) in others.items():
        known = table[f"{name}: verdict"].notna()
        differs = known & (table[f"{name}: verdict"] != table["verdict"])
        pairs = table[[f"{name}: verdict", "verdict"]].agg(set, axis=1)
        opposite = differs & pairs.map(lambda each: each == {"reproduced", "not reproduced"})
        lines += [
            f"**{name}**, {KINDS[run['kind']]} ({run['machine']}; training seeds {run['seeds']}; commit "
            f"{run['commit']}): {known.sum()} claims have the same statement, {differs.sum()} of them another verdict "
            f"({(differs & counted).sum()} that are no checks, {(differs & (table['strength'] == 'must')).sum()} "
            f"*must*); {opposite.sum()} change between reproduced and not reproduced.",
            "",
        ]
        if differs.any():
            shown = table.loc[differs, [*SHOWN, "ours", f"{name}: ours", "verdict", f"{name}: verdict"]]
            lines += [tables.markdown(shown), ""]
    return lines


def keep(name: str, kind: str, only: Collection[int] = ()) -> Path:
    """Keep the claims of the last run as a replication and return its folder.

    Args:
        only: the papers whose claims are kept, by number, where the others' stages did not run anew; empty: all.

    Raises FileNotFoundError before the first run, ValueError for an unknown kind or paper.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, expected {' or '.join(KINDS)}")
    if unknown := sorted(set(only) - {paper.number for paper in papers()}):
        raise ValueError(f"no paper {unknown[0]}, expected some of {', '.join(str(each.number) for each in papers())}")
    made, ran = paths.ROOT / "build" / "results", record.read("claims_report")
    source = made / "claims.csv"
    if not source.is_file() or not ran:
        raise FileNotFoundError(
            "build/runs/claims_report.json or build/results/claims.csv is missing: run `make repro` first"
        )
    cards = [json.loads(file.read_text()) for file in sorted((made / "cards").glob("*.json"))]
    claims = pd.read_csv(source)
    claims = claims[claims["paper"].isin(only or claims["paper"].unique())]
    seeds = sorted({seed for card in cards if card["id"] in set(claims["display"]) for seed in card["seeds"]})
    run = {"kind": kind, "machine": ran["machine"], "commit": ran["commit"], "seeds": ", ".join(map(str, seeds))}
    folder = paths.ROOT / "results" / FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    claims.to_csv(folder / "claims.csv", index=False, float_format="%.6g", lineterminator="\n")
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion replication", description=keep.__doc__.splitlines()[0])
    parser.add_argument("name", help="of its folder below results/replications/")
    parser.add_argument("--kind", default="machine", choices=KINDS, help="what differs from the published run")
    parser.add_argument("--papers", type=int, nargs="+", default=(), help="those whose stages ran; by default all")
    arguments = parser.parse_args()
    try:
        print(f"wrote {keep(arguments.name, arguments.kind, arguments.papers).relative_to(paths.ROOT)}")
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"aecompanion replication: {error}")
