"""`aecompanion plan [NAME] [--device h100] [--devices N]`: per stage of params.yaml, or of a profile laid over it,
the images, passes, hours, memory and disk space that it would take, from what the default run counted. Nothing is run.
`aecompanion plan --collect` takes the counts of the last run into results/passes.json.
"""

import argparse
import contextlib
import io
import sys
import warnings
from pathlib import Path
from typing import Any

import yaml

from aecompanion.pipeline import parameters, passes
from aecompanion.pipeline.paths import ROOT
from aecompanion.pipeline.plan.cost import READ, Device, Passes, devices, memory, seconds
from aecompanion.pipeline.plan.scale import Size, scaled

START = 5.0  # seconds of a stage before it does anything
COLUMNS = ("stage", "images", "forward", "backward", "GFLOP/forward", "hours", "device GiB", "host GiB", "disk GiB")


def composed(name: str | None) -> tuple[dict[str, dict[str, Any]], str]:
    """The parameters of every stage (params.yaml with a profile over it, and for what a section leaves out the
    notebook's own values) and the precision. Raises FileNotFoundError for an unknown profile, ValueError for a bad one.
    """
    params = parameters.complete(parameters.composed(name))
    return {stage: params[stage] for stage in parameters.sections()}, params.get("precision", "float32")


def row(stage: str, found: list[Passes], new: Size, device: Device, precision: str) -> dict[str, Any]:
    """One line of the table, in numbers."""
    images, held, disk = new.needs(stage)
    forward, backward = (sum(getattr(each, way) for each in found) for way in ("forward", "backward"))
    flops = sum(each.forward * each.facts.flops for each in found)
    spent = START + READ * images * stage.endswith("_data") + sum(seconds(each, device, precision) for each in found)
    sizes = (each / 2**30 for each in (max((memory(each, precision) for each in found), default=0), held, disk))
    numbers = (round(images), forward, backward, flops / max(forward, 1) / 1e9, spent / 3600)
    return dict(zip(COLUMNS, (stage, *numbers, *sizes), strict=True))


def plan(name: str | None, known: str, number: int = 1) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows, a total last, and the remarks below the table. Raises ValueError for an unknown device."""
    device = devices().get(known)
    if device is None or number < 1:
        wrong = f"device is {known!r}, expected one of: {', '.join(devices())}"
        raise ValueError(wrong if device is None else f"devices is {number}, expected at least 1")
    recorded, (values, precision) = passes.load(), composed(name)
    kept = {stage: own | recorded.get(stage, {}).get("parameters", {}) for stage, own in composed(None)[0].items()}
    base, new, rows, unknown = Size(kept), Size(values), [], {}
    for stage in kept:
        found, unknown[stage] = scaled(stage, recorded.get(stage, {}).get("passes", []), base, new)
        rows.append(row(stage, found, new, device, precision))
    total = {column: sum(each[column] for each in rows) for column in COLUMNS[1:]}
    total |= {column: max(each[column] for each in rows) for column in ("images", "device GiB", "host GiB")}
    total["GFLOP/forward"] = sum(r["forward"] * r["GFLOP/forward"] for r in rows) / max(total["forward"], 1)
    remarks = [f"{known}: {device.what}.", *origin(kept, recorded, unknown), *unfit(rows, device)]
    if number > 1:
        total["hours"] = side_by_side({each["stage"]: each["hours"] for each in rows}, number)
        remarks.insert(1, f"Total hours: {number} such devices, stages that do not wait for each other side by side.")
    return [*rows, {"stage": "total (images, memory: largest)"} | total], remarks


def side_by_side(hours: dict[str, float], number: int, file: Path = ROOT / "dvc.yaml") -> float:
    """When the last stage of dvc.yaml ends on `number` devices, one stage on each; of those ready the longest first."""

    def places(stage: dict[str, Any], *kinds: str) -> list[Path]:
        return [Path(next(iter(each)) if isinstance(each, dict) else each) for k in kinds for each in stage.get(k, [])]

    stages = yaml.safe_load(file.read_text())["stages"]
    made = {place: name for name, stage in stages.items() for place in places(stage, "outs", "metrics", "plots")}
    above = {name: [p for dep in places(stage, "deps") for p in (dep, *dep.parents)] for name, stage in stages.items()}
    waits = {name: {made[place] for place in found if place in made} for name, found in above.items()}
    ended, free = {}, [0.0] * number
    while len(ended) < len(stages):
        ready = [name for name in stages if name not in ended and waits[name] <= ended.keys()]
        starts = {name: max([min(free) if name in hours else 0.0, *map(ended.get, waits[name])]) for name in ready}
        name = min(ready, key=lambda each: (starts[each], -hours.get(each, 0.0)))
        ended[name] = starts[name] + hours.get(name, 0.0)
        if name in hours:
            free[free.index(min(free))] = ended[name]
    return max(ended.values())


def origin(stages: dict[str, Any], recorded: dict[str, Any], unknown: dict[str, int]) -> list[str]:
    """Where the counts are from, and which are not scaled."""
    found = [recorded.get(stage, {}).get("source", "missing") for stage in stages]
    counts = ", ".join(f"{found.count(each)} {each}" for each in dict.fromkeys(found))
    odd = ", ".join(f"{stage} ({count:,})" for stage, count in unknown.items() if count)
    how = "exact for trainings up to last batches, rough where a stage does several things or attacks end early"
    found = [f"Passes of the default run ({counts}), scaled by plan/scales.yaml: {how}; batches as recorded."]
    return [
        *found,
        *[f"Forward passes that no rule scales, unpriced without a name: {each}." for each in [odd] if each],
    ]


def unfit(rows: list[dict[str, Any]], device: Device) -> list[str]:
    """Which stages need more memory than there is."""
    found = []
    for column, limit in (("device GiB", device.memory_gib), ("host GiB", device.host_gib)):
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
    parser = argparse.ArgumentParser(prog="aecompanion plan", description="What a profile would cost.")
    parser.add_argument("name", nargs="?", help="a file of profiles/, without .yaml (none: params.yaml)")
    parser.add_argument("--device", default="cpu", help="a device of lib/aecompanion/pipeline/plan/devices.yaml")
    parser.add_argument("--devices", type=int, default=1, metavar="N", help="so many of them, stages side by side")
    parser.add_argument("--collect", action="store_true", help="take the last run's counts into results/passes.json")
    given = parser.parse_args()
    try:
        if given.collect:
            print(f"results/passes.json: {len(passes.collect(composed(None)[0]))} stages counted")
            return
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            rows, remarks = plan(given.name, given.device, given.devices)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"aecompanion plan: {error}")
    print(table(rows), *remarks, sep="\n")


if __name__ == "__main__":
    main()
