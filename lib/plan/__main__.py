"""`python -m lib.plan [NAME] [--device h100]`: per stage of params.yaml, or of a profile laid over it, the images,
passes, hours, memory and disk space that it would take. Nothing is run.
"""

import argparse
import contextlib
import io
import sys
import warnings
from typing import Any

from lib import parameters
from lib.plan import stages_explain, stages_train
from lib.plan.cost import READ, Device, devices, facts_of, memory, network_facts, seconds
from lib.plan.data import data_sets
from lib.plan.passes import Work

STAGES = stages_train.STAGES | stages_explain.STAGES
START = 5.0  # seconds of a stage before it does anything
COLUMNS = ("stage", "images", "forward", "backward", "GFLOP/forward", "hours", "device GiB", "host GiB", "disk GiB")


def composed(name: str | None) -> dict[str, Any]:
    """params.yaml with a profile over it, and for what a section leaves out the notebook's own values.

    Raises FileNotFoundError for an unknown profile, ValueError for one that breaks a type or a condition.
    """
    return parameters.complete(parameters.composed(name))


def row(stage: str, work: Work, device: Device, precision: str) -> dict[str, Any]:
    """One line of the table, in numbers."""
    forward, backward = (sum(getattr(each, way) for each in work.passes) for way in ("forward", "backward"))
    flops = sum(each.forward * facts_of(each).flops for each in work.passes)
    needed = max((memory(each, precision) for each in work.passes), default=0)
    weights = sum(4 * count * network_facts(n, d.classes, d.channels, d.size).parameters for n, d, count in work.saved)
    spent = START + READ * work.made + sum(seconds(each, device, precision) for each in work.passes)
    numbers = (work.images, forward, backward, flops / max(forward, 1) / 1e9, spent / 3600)
    sizes = (each / 2**30 for each in (needed, work.held, work.disk + weights))
    return dict(zip(COLUMNS, (stage, *numbers, *sizes), strict=True))


def plan(name: str | None, device: Device) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows, a total last, and the remarks below the table."""
    values = composed(name)
    sets, precision = data_sets(values), values.get("precision", "float32")
    works = {stage: STAGES[stage](values, sets) if stage in STAGES else Work() for stage in order(values)}
    rows = [row(stage, work, device, precision) for stage, work in works.items()]
    total = {column: sum(each[column] for each in rows) for column in COLUMNS[1:]}
    for column in ("images", "device GiB", "host GiB"):
        total[column] = max(each[column] for each in rows)
    total["GFLOP/forward"] = sum(r["forward"] * r["GFLOP/forward"] for r in rows) / max(total["forward"], 1)
    remarks = [f"{device.name}: {device.what}.", *unfit(rows, device)]
    return [*rows, {"stage": "total (images, memory: largest)"} | total], remarks


def order(values: dict[str, Any]) -> list[str]:
    """The stages in the order of the notebooks."""
    return [stage for stage in parameters.sections() if stage in values]


def unfit(rows: list[dict[str, Any]], device: Device) -> list[str]:
    """Which stages need more memory than there is."""
    limits = {"device GiB": device.memory / 2**30, "host GiB": device.host / 2**30}
    found = []
    for column, limit in limits.items():
        large = [f"{each['stage']} ({each[column]:,.0f})" for each in rows if each[column] > limit]
        if large:
            found.append(f"More than the {limit:.0f} {column} there are, so not possible as it is: {', '.join(large)}.")
    return found


def text(cell: Any) -> str:
    """Whole numbers with separators, others with three figures."""
    if isinstance(cell, float):
        return "0" if cell == 0 else f"{cell:,.0f}" if cell >= 100 else f"{cell:.3g}" if cell >= 0.001 else "<0.001"
    return f"{cell:,}" if isinstance(cell, int) else cell


def table(rows: list[dict[str, Any]]) -> str:
    """Columns aligned, stages left and numbers right."""
    cells = [COLUMNS, *[[text(each[column]) for column in COLUMNS] for each in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    lines = [line[0].ljust(widths[0]) + "".join(f"  {line[i].rjust(widths[i])}" for i in range(1, 9)) for line in cells]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lib.plan", description="What a profile would cost.")
    parser.add_argument("name", nargs="?", help="a file of profiles/, without .yaml (none: params.yaml)")
    parser.add_argument("--device", default="cpu", help="a device of lib/plan/devices.yaml")
    arguments = parser.parse_args()
    try:
        known = devices()
        if arguments.device not in known:
            raise ValueError(f"device is {arguments.device!r}, expected one of: {', '.join(known)}")
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            rows, remarks = plan(arguments.name, known[arguments.device])
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"lib.plan: {error}")
    print(table(rows), *remarks, sep="\n")


if __name__ == "__main__":
    main()
