"""The register of displays: every figure and table has a stable id, one file and a card that says where it comes from.

`paperN_displays.yaml` lists for each id its slug, the notebook that makes it, its title and what the paper's original
shows. `build/displays/NOTEBOOK/ID_slug.{png,csv}` is written with `ID_slug.json` beside it; the report stage publishes
both, and only then takes title and original from the register, so that wording them anew makes no display stale.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from aecompanion.pipeline import paths

REGISTERS = Path(__file__).parent  # the folder of paperN_displays.yaml
COMPANION = {"C": 1, "S": 2}  # letters of companion experiments, whose ids do not name their paper


def paper_of(display: str) -> int:
    """The paper a display belongs to: the number after its letter (F5.4: 5); C1, C2, ... are the companion experiments
    of paper 1, S2, S3, ... those of paper 2. Raises ValueError for an id of another form.
    """
    if display[:1] in COMPANION:
        return COMPANION[display[0]]
    number = display[1:].split(".")[0]
    if not number.isdigit():
        raise ValueError(f"display {display!r} has no paper, expected a letter and a number such as F5.4, C3 or S2")
    return int(number)


def register() -> dict[str, dict[str, Any]]:
    """All displays by id, in the order of the gallery: by paper, then as its file lists them."""
    known: dict[str, dict[str, Any]] = {}
    for file in sorted(REGISTERS.glob("paper*_displays.yaml")):
        known |= yaml.safe_load(file.read_text())
    return known


def entry(display: str) -> dict[str, Any]:
    """One display. Raises ValueError for an id that its paper's register does not list."""
    file = REGISTERS / f"paper{paper_of(display)}_displays.yaml"
    known = yaml.safe_load(file.read_text()) if file.exists() else {}
    if display not in known:
        raise ValueError(f"display {display!r} is not in lib/aecompanion/report/{file.name}")
    return known[display]


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
) -> Path:
    """Write one display and its card.

    Args:
        source: the data set's source line; n: images behind it; seeds: training seeds behind it.
        note: what this display shows beyond its title, one or two sentences.
        parameters: the settings a reader would need to make it again.
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
    }
    paths.save(place(display, ".json"), lambda file: file.write_text(json.dumps(card, indent=1) + "\n"))
    return path


def seed_line(seeds: list[int]) -> str:
    """ "training seeds 1, 2, 3", "training seed 0" or "no training"."""
    if not seeds:
        return "no training here"
    return f"training seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
