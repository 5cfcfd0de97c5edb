"""Is a run a reproduction of the published one? `aecompanion verify [REF]` compares the two; nothing is computed.

Rule: the exit status is 0 if no claim of strength must or expected that both results test in the same words is
reproduced in one of them and not reproduced in the other, and 1 otherwise.

Said besides, and decides nothing: every other verdict that changed, estimates inside the published interval, tables
(equal in bytes; else within a tolerance, relative deviation |a - b| / max(|a|, |b|) of every number; else other),
hashes of the prepared data, and both machines. build/verification.json has all of it.

The run is build/results/ (of a profile, build/profiles/NAME/build/results/). Published is results/ (results/NAME/) of
the working tree, which no run writes, or as it was at the git reference REF, or any folder that holds claims.csv.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from aecompanion.pipeline import paths
from aecompanion.report import publication
from aecompanion.report.comparison import TOLERANCE, compare
from aecompanion.report.gallery import interval_text
from aecompanion.report.papers import papers

FILE = "verification.json"  # below build/
MANY = 8  # claims without a counterpart that are named


@contextlib.contextmanager
def published(reference: str | None = None, profile: str | None = None) -> Iterator[tuple[Path, str]]:
    """The folder to compare with and what to call it: of the working tree, a folder, or a git reference (unpacked for
    as long as this is open).

    Raises FileNotFoundError where there is no claims.csv, ValueError for what is neither a folder nor a reference.
    """
    inside = Path("results", profile) if profile else Path("results")
    folder = paths.ROOT if reference is None else Path(reference).expanduser()
    if folder.is_dir():
        for place in (folder, folder / inside) if reference else (folder / inside,):
            if (place / "claims.csv").is_file():
                yield place, str(place.relative_to(paths.ROOT) if paths.ROOT in place.parents else place)
                return
        raise FileNotFoundError(f"{folder} has no claims.csv, expected published results (or {inside}/ in it)")
    command = ["git", "archive", "--format=zip", str(reference), inside.as_posix()]
    try:
        found = subprocess.run(command, cwd=paths.ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(f"{reference} is neither a folder nor a git reference that has {inside}/") from None
    with tempfile.TemporaryDirectory() as temporary:
        with zipfile.ZipFile(io.BytesIO(found)) as archive:  # tarfile's safe filter is not in Python 3.11.0 to 3.11.3
            archive.extractall(temporary)
        if not (Path(temporary) / inside / "claims.csv").is_file():
            raise FileNotFoundError(f"{inside}/ at {reference} has no claims.csv")
        yield Path(temporary) / inside, f"{inside}/ at {reference}"


def summary(found: dict[str, Any]) -> str:
    """One line."""
    each = found["papers"].values()
    total, equal, inside = (sum(paper[name] for paper in each) for name in ("claims", "equal", "inside"))
    turned = [claim["id"] for paper in each for claim in paper["changed"] if claim["decides"]]
    left = sum(len(paper["uncompared"]["only published"]) for paper in each)
    word = "reproduced" if found["reproduced"] else f"NOT reproduced ({', '.join(turned)} turned round)"
    return (
        f"verify: {word}: {equal} of {total} verdicts equal, {inside} estimates inside the published interval, "
        f"{len(turned)} must or expected claims between reproduced and not reproduced"
        f"{f', {left} published claims not compared' if left else ''}"
    )


def text(found: dict[str, Any], name: str) -> str:
    """What is printed: machines, data, then each paper with its changed claims, the summary last."""

    def listed(kind: str) -> str:
        return "; ".join(f"{machine} ({count} displays)" for machine, count in found["machines"][kind].items())

    equal = [each["here"] == each["published"] for each in found["data"].values()]
    other = [data for data, same in zip(found["data"], equal, strict=True) if not same]
    lines = [
        f"here:      {listed('here')}",
        f"published: {listed('published')} [{name}]",
        f"prepared data: {sum(equal)} of {len(equal)} hashes equal{': other in ' + ', '.join(other) if other else ''}",
    ]
    names = {paper.number: paper.name for paper in papers()}
    for number, paper in found["papers"].items():
        states = ", ".join(f"{count} {state}" for state, count in paper["tables"].items()) or "none"
        lines += [
            "",
            f"Paper {number} · {names.get(int(number), '')}",
            f"  verdicts   {paper['equal']} of {paper['claims']} equal, {len(paper['changed'])} changed",
            f"  estimates  {paper['inside']} of {paper['claims']} inside the published interval",
            f"  tables     {states} (within: {found['tolerance']:g}; largest deviation "
            f"{paper['largest deviation']:.3g})",
        ]
        for kind, ids in paper["uncompared"].items():
            more = f" and {len(ids) - MANY} more" if len(ids) > MANY else ""
            lines += [f"  {kind}: {', '.join(ids[:MANY])}{more}"] if ids else []
        for claim in paper["changed"]:
            mark = "!!" if claim["decides"] else "  "
            lines.append(f"  {mark} {claim['id']} ({claim['strength']}) {claim['statement']}")
            for kind in ("published", "here"):
                lines.append(f"       {kind:9}  {claim[kind]['verdict']:16} {measured(claim[kind])}")
    return "\n".join([*lines, "", summary(found)])


def measured(end: dict[str, Any]) -> str:
    """ "0.0347 [0.01, 0.06]"."""
    low, high = end["interval"]
    return interval_text(pd.Series({"ours": end["estimate"], "ci_low": low, "ci_high": high}))


def verify(
    reference: str | None = None, profile: str | None = None, tolerance: float = TOLERANCE
) -> tuple[dict[str, Any], str]:
    """Compare the last run with what is published, write build/verification.json, and return its content with the
    published results' name. Raises FileNotFoundError where a side is missing, ValueError as `published` and `compare`.
    """
    ours = publication.made(profile)
    if not (ours / "README.md").is_file():
        raise FileNotFoundError(f"{ours.relative_to(paths.ROOT)}/ is missing or incomplete: run `make repro` first")
    with published(reference, profile) as (theirs, name):
        found = compare(ours, theirs, tolerance)
    found = {"published": name, **found}
    (paths.ROOT / "build" / FILE).write_text(json.dumps(found, indent=1) + "\n")
    return found, name


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion verify", description=__doc__.partition("\n\n")[0])
    parser.add_argument("reference", nargs="?", metavar="REF", help="a git reference or a folder; else results/")
    parser.add_argument("--profile", help="compare this profile's run with results/PROFILE/")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="relative deviation of a table's numbers")
    given = parser.parse_args()
    try:
        found, name = verify(given.reference, given.profile, given.tolerance)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"aecompanion verify: {error}")
    print(text(found, name))
    sys.exit(0 if found["reproduced"] else 1)
