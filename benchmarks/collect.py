"""Benchmarks as a table: `python benchmarks/collect.py FILE.json` reads what pytest-benchmark wrote to FILE.json
(`python -m pytest benchmarks --benchmark-json=FILE.json`) and writes results/benchmarks.csv.

A benchmark times three kinds of calls in turn, round by round, so that whatever else runs on the machine slows all of
them alike: "ours", "peer:NAME" (how one would do it otherwise) and "limit" (the least work that any way must do). A
goal reads "ours <= FACTOR x ROLE", with ROLE "limit", "peer" (every peer) or "peer:NAME".
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

TABLE = Path(__file__).resolve().parent.parent / "results" / "benchmarks.csv"
WARMUP = 3


def interleave(
    benchmark, group: str, *, ours: Callable, others: dict[str, Callable], goal: str, rounds: int, threads: int = 2
) -> None:
    """Time `ours` with pytest-benchmark and `others` (role to call) before each of its rounds; medians in `extra_info`.

    Every role is called once more before the clock starts, to warm up.
    """
    times: dict[str, list[float]] = {role: [] for role in others}

    def time_others() -> None:
        for role, call in others.items():
            start = time.perf_counter()
            call()
            times[role].append(time.perf_counter() - start)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        benchmark.pedantic(ours, setup=time_others, rounds=rounds, warmup_rounds=WARMUP)
        facts = {"group": group, "goal": goal, "threads": torch.get_num_threads(), "torch": torch.__version__}
    finally:
        torch.set_num_threads(before)
    medians = {role: 1000 * statistics.median(taken[-rounds:]) for role, taken in times.items()}
    benchmark.extra_info.update(facts | {"median_ms": medians})


def rows_of(report: dict) -> list[dict]:
    """One row per benchmark and peer."""
    cpu = report["machine_info"]["cpu"]
    machine = f"{cpu.get('brand_raw', report['machine_info']['machine'])}, {cpu.get('count', '?')} cores"
    rows = []
    for entry in report["benchmarks"]:
        facts, ours = entry["extra_info"], 1000 * entry["stats"]["median"]
        limit = facts["median_ms"]["limit"]
        for role in (role for role in facts["median_ms"] if role.startswith("peer:")):
            peer = facts["median_ms"][role]
            rows.append(
                {
                    "benchmark": facts["group"],
                    "ours_ms": round(ours, 3),
                    "peer": role.removeprefix("peer:"),
                    "peer_ms": round(peer, 3),
                    "limit_ms": round(limit, 3),
                    "ours_over_peer": round(ours / peer, 4),
                    "ours_over_limit": round(ours / limit, 4),
                    "goal": facts["goal"],
                    "met": is_met(facts["goal"], ours, {"limit": limit, "peer": peer} | facts["median_ms"]),
                    "machine": machine,
                    "threads": facts["threads"],
                    "torch": facts["torch"],
                }
            )
    return rows


def is_met(goal: str, ours: float, times: dict[str, float]) -> bool:
    """Whether "ours <= FACTOR x ROLE" holds. Raises ValueError for a goal of another form."""
    words = goal.split()
    if len(words) != 5 or words[:2] != ["ours", "<="] or words[3] != "x" or words[4] not in times:
        raise ValueError(f"goal {goal!r} is not 'ours <= FACTOR x ROLE' with a role of {', '.join(times)}")
    return ours <= float(words[2]) * times[words[4]]


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/collect.py FILE.json")
    report = json.loads(Path(sys.argv[1]).read_text())
    for entry in report["benchmarks"]:
        if entry["stats"]["iqr"] > 0.2 * entry["stats"]["median"]:
            print(f"{entry['name']}: the rounds differ much, repeat on an idle machine", file=sys.stderr)
    table = pd.DataFrame(rows_of(report))
    TABLE.parent.mkdir(exist_ok=True)
    part = TABLE.with_name(f".part.{TABLE.name}")
    table.to_csv(part, index=False)
    part.replace(TABLE)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
