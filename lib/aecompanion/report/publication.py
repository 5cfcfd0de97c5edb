"""From a run to what is published: `aecompanion publish [PROFILE]`, a maintainer's command.

A run writes build/results/ and never results/, so that the published results stay as they were committed. This copies
the one over the other, takes the run's counted passes into results/passes.json and writes the generated pages anew.
What only results/ has (replications, benchmarks, other profiles) stays. A profile's results, below
build/profiles/NAME/build/results/, are published as results/NAME/. Photographs make large files: a picture of more than
`LARGEST` bytes is published at the size that has fewer, since a clone downloads all of them; a run has it in full. Its
labels are to be read all the same, so below a width of `NARROWEST` it loses colours and not pixels.
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image

from aecompanion.pipeline import parameters, passes, paths
from aecompanion.report import figures, pages

PUBLISHED = (
    "figures",
    "tables",
    "cards",
    "metrics",
    "claims.csv",
    "distances.csv",
    "records.json",
)  # README.md is written anew
LARGEST = 200_000  # bytes
NARROWEST = 900  # pixels: the width of a page; a narrower picture keeps its own
COLOURS = (256, 128)  # of a palette; fewer put bands into photographs and change the colours of lines


def made(profile: str | None = None, root: Path | None = None) -> Path:
    """Where a run of the default size, or of a profile, leaves its results."""
    build = (paths.ROOT if root is None else root) / "build"
    return (build / "profiles" / profile / "build" if profile else build) / "results"


def copy(source: Path, target: Path) -> None:
    """Put the results of a run in the place of those in `target`, entry by entry.

    Raises FileNotFoundError, before anything is written, if the run did not come to its end.
    """
    for name in (*PUBLISHED, "README.md"):  # README.md is the last that a run writes
        if not (source / name).exists():
            raise FileNotFoundError(f"{source / name} is missing: run `make repro` first, which ends with it")
    target.mkdir(parents=True, exist_ok=True)
    for name in PUBLISHED:
        part, place = target / f".part.{name}", target / name
        paths.remove(part)
        (shutil.copytree if (source / name).is_dir() else shutil.copyfile)(source / name, part)
        paths.remove(place)
        part.replace(place)


def fit(file: Path, largest: int = LARGEST, narrowest: int = NARROWEST) -> None:
    """Scale a PNG file down until it has at most that many bytes, or is `narrowest` wide. If that does not do, give it
    a palette, with the most of `COLOURS` that fits, else the fewest; it may then still have more bytes. One that comes
    with a palette stays as it is: it has few colours, as halftones have, whose dots would be averaged away.
    """
    data, picture = file.read_bytes(), Image.open(file)
    if picture.mode == "P":
        return
    full, scale, before = picture.convert("RGB"), 1.0, data
    least = min(1.0, narrowest / full.width)
    while len(data) > largest and scale > least:
        step = min(0.95, max(0.8, (largest / len(data)) ** 0.5))  # in steps: a smaller one may do with a palette
        scale = max(least, scale * step)
        data = png(figures.lighter(scaled(full, scale)))
    for colours in COLOURS:
        if len(data) > largest:
            data = png(scaled(full, scale).quantize(colours, dither=Image.Dither.NONE))
    if data is not before:
        file.write_bytes(data)


def scaled(picture: Image.Image, scale: float) -> Image.Image:
    """The picture with `scale` times as many pixels on each side."""
    return picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.LANCZOS)


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    picture.save(written := io.BytesIO(), "PNG", optimize=True)
    return written.getvalue()


def publish(profile: str | None = None) -> Path:
    """Publish the last run and return the folder. Raises FileNotFoundError where there is none, ValueError for a
    profile or a page that is not what it should be.
    """
    if profile and profile not in (known := sorted(file.stem for file in (paths.ROOT / "profiles").glob("*.yaml"))):
        raise ValueError(f"no profile {profile!r}, expected one of: {', '.join(known)}")
    target = paths.ROOT / "results" / profile if profile else paths.ROOT / "results"
    copy(made(profile), target)
    for file in sorted(target.glob("figures/*.png")):
        fit(file)
    if profile:
        for name, text in pages.of_results(target).items():
            pages.replace(target / name, text)
    else:
        values = parameters.complete(parameters.composed(None))
        passes.collect({stage: values[stage] for stage in parameters.sections()})
    pages.write()
    return target


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion publish", description=publish.__doc__.partition(" Raises")[0])
    parser.add_argument("profile", nargs="?", help="publish this profile's run, as results/PROFILE/")
    try:
        folder = publish(parser.parse_args().profile)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"aecompanion publish: {error}")
    print(f"published {folder.relative_to(paths.ROOT)}/: look at `git diff --stat`, commit it with dvc.lock")
