"""The register of displays: every figure and table has a stable id, one file and a card that says where it comes from.

`displays.yaml` lists for each id its slug, the notebook that makes it, its title and what the paper's original shows.
`build/displays/NOTEBOOK/ID_slug.{png,csv}` is written with `ID_slug.json` beside it; the report stage publishes both.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from lib import paths

REGISTER = Path(__file__).with_name("displays.yaml")


def register() -> dict[str, dict[str, Any]]:
    """All displays by id, in the order of the gallery."""
    return yaml.safe_load(REGISTER.read_text())


def entry(display: str) -> dict[str, Any]:
    """One display. Raises ValueError for an id that displays.yaml does not list."""
    known = register()
    if display not in known:
        raise ValueError(f"display {display!r} is not in lib/report/displays.yaml")
    return known[display]


def stem(display: str) -> str:
    """File name without suffix, e.g. "F5.4_vid_distribution"."""
    return f"{display}_{entry(display)['slug']}"


def place(display: str, suffix: str) -> str:
    """Name for `lib.paths`, e.g. "displays/mod_vid/F5.4_vid_distribution.png"."""
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
) -> Path:
    """Write one display and its card.

    Args:
        source: the data set's source line; n: images behind it; seeds: training seeds behind it.
        note: what this display shows beyond its title, one or two sentences.
        parameters: the settings a reader would need to make it again.
    """
    what = entry(display)
    path = paths.save(place(display, suffix), write)
    card = {
        "id": display,
        "title": what["title"],
        "notebook": what["notebook"],
        "original": what["original"],
        "caption": " ".join(part for part in (note, f"Data: {source}; n = {n}; {seed_line(seeds)}.") if part),
        "source": source,
        "n": n,
        "seeds": seeds,
        "parameters": parameters or {},
    }
    paths.save(place(display, ".json"), lambda file: file.write_text(json.dumps(card, indent=1) + "\n"))
    return path


def seed_line(seeds: list[int]) -> str:
    """ "training seeds 1, 2, 3", "training seed 0" or "no training"."""
    if not seeds:
        return "no training here"
    return f"training seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
