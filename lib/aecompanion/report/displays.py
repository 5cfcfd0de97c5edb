"""The register of displays: every figure and table has a stable id, one file and a card that says where it comes from.

The folder of each paper lists them (`report.papers`): slug, the notebook that makes it, title, what the original shows.
`build/displays/NOTEBOOK/ID_slug.{png,csv}` is written with `ID_slug.json` beside it; the report stage publishes both,
and only then takes title and original from the register, so that wording them anew makes no display stale.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aecompanion.pipeline import paths
from aecompanion.report.papers import papers


@functools.cache
def register() -> dict[str, dict[str, Any]]:
    """All displays by id, in the order of the gallery: by paper, then as its folder lists them."""
    return {display: entry for paper in papers() for display, entry in paper.displays.items()}


def entry(display: str) -> dict[str, Any]:
    """One display. Raises ValueError for an id that no paper's register lists."""
    if display not in register():
        raise ValueError(f"display {display!r} is in no lib/aecompanion/papers/*/paper.yaml")
    return register()[display]


def suffix(display: str) -> str:
    """Displays are figures (.png) unless their id or entry says table (.csv)."""
    return entry(display).get("suffix", ".csv" if display.startswith("T") else ".png")


def stem(display: str) -> str:
    """File name without suffix, e.g. "F5.4_vid_distribution"."""
    return f"{display}_{entry(display)['slug']}"


def place(display: str, suffix: str) -> str:
    """Name for `pipeline.paths`, e.g. "displays/mod_vid/F5.4_vid_distribution.png"."""
    return f"displays/{entry(display)['notebook']}/{stem(display)}{suffix}"


def save(
    display: str,
    suffix: str,
    write: Callable[[Path], object],
    *,
    source: str,
    n: int,
    seeds: list[int],
    note: str = "",
    parameters: dict[str, Any] | None = None,
    missing: str = "",
) -> Path:
    """Write one display and its card.

    Args:
        source: the data set's source line; n: images behind it; seeds: training seeds behind it.
        note: what this display shows beyond its title, one or two sentences.
        parameters: the settings a reader would need to make it again.
        missing: why the data at hand do not allow it; the gallery then leaves it out and lists the reason.
    """
    path = paths.save(place(display, suffix), write)
    card = {
        "id": display,
        "notebook": entry(display)["notebook"],
        "caption": " ".join(part for part in (note, f"Data: {source}; n = {n}; {seed_line(seeds)}.") if part),
        "source": source,
        "n": n,
        "seeds": seeds,
        "parameters": parameters or {},
    } | ({"missing": missing} if missing else {})
    paths.save(place(display, ".json"), lambda file: file.write_text(json.dumps(card, indent=1) + "\n"))
    return path


def seed_line(seeds: list[int]) -> str:
    """ "training seeds 1, 2, 3", "training seed 0" or "no training"."""
    if not seeds:
        return "no training here"
    return f"training seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
