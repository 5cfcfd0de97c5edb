"""What the last stage makes of a run, build/results/: every registered display, its card, the table of claims, the
headline numbers, the facts of data and networks, then the pages that show them. results/ itself holds what is
published, which no run touches: `aecompanion verify` compares the two, `aecompanion publish` copies one over the other.

A card (cards/ID_slug.json) says what its display is, where it comes from (notebook, cell, function, file), what
it shows (caption, data, n, seeds), which run made it (commit, machine, versions, seconds) and from which
inputs (hashes).
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from aecompanion.pipeline import paths, record
from aecompanion.report import data_page, displays, gallery, headlines, networks_page, records, source

RESULTS = "./results"  # below build/: plain "results/..." is for `paths` the published folder at the top of the tree
KINDS = {".png": "figures", ".gif": "figures", ".csv": "tables"}  # folders of results/


def publish(tested: pd.DataFrame) -> list[dict[str, Any]]:
    """Write all of build/results/ and return the cards.

    Raises FileNotFoundError naming the notebook of a display that was not made.
    """
    cards = [card_of(display) for display in displays.register()]
    for kind in sorted(set(KINDS.values())):
        paths.save(f"{RESULTS}/{kind}", lambda folder, kind=kind: copy(folder, kind, cards))
    paths.save(f"{RESULTS}/cards", lambda folder: write_cards(folder, cards))
    paths.save(f"{RESULTS}/metrics", lambda folder: headlines.write(folder, tested))
    paths.save(f"{RESULTS}/distances.csv", lambda path: written(headlines.distances(tested), path))
    claims = paths.save(f"{RESULTS}/claims.csv", lambda path: written(tested, path))
    facts = json.dumps(records.collect(), indent=1, ensure_ascii=False) + "\n"
    paths.save(f"{RESULTS}/{data_page.RECORDS}", lambda path: path.write_text(facts))
    for module in (data_page, networks_page):
        text = module.page(claims.parent)
        paths.save(f"{RESULTS}/{module.NAME}", lambda path, text=text: path.write_text(text))
    paths.save(f"{RESULTS}/README.md", lambda path: path.write_text(gallery.page(claims.parent)))
    return cards


def written(table: pd.DataFrame, path: Path) -> None:
    """A table as CSV, six digits, the same bytes on every system."""
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def card_of(display: str) -> dict[str, Any]:
    """Everything known of a display: its words, where it comes from, what its notebook noted, which run made it."""
    noted = json.loads(paths.find(displays.place(display, ".json")).read_text())
    entry, made = displays.entry(display), source.made(display)
    file = "" if noted.get("missing") else f"{KINDS[displays.suffix(display)]}/{displays.stem(display)}"
    return {
        "id": display,
        **({"alias": entry["alias"]} if "alias" in entry else {}),
        "title": entry["title"],
        "original": entry["original"],
        "file": file + displays.suffix(display) if file else "",
        "notebook": made.notebook,
        "cell": made.cell,
        "function": made.function,
        "code": made.file,
        **{name: value for name, value in noted.items() if name not in ("id", "notebook")},
        "run": record.read(entry["notebook"]),
        "inputs": inputs(entry["notebook"]),
    }


def inputs(stage: str) -> dict[str, str]:
    """Hashes of what the stage read, from dvc.lock; {} without one."""
    lock = paths.ROOT / "dvc.lock"
    stages = yaml.safe_load(lock.read_text())["stages"] if lock.is_file() else {}
    return {dep["path"]: dep["md5"] for dep in stages.get(stage, {}).get("deps", []) if "md5" in dep}


def copy(folder: Path, kind: str, cards: list[dict[str, Any]]) -> None:
    """Fill a folder of build/results/ with the displays of one kind."""
    folder.mkdir()
    for card in cards:
        if card["file"].startswith(f"{kind}/"):
            place = displays.place(card["id"], displays.suffix(card["id"]))
            shutil.copyfile(paths.find(place), folder / Path(card["file"]).name)


def write_cards(folder: Path, cards: list[dict[str, Any]]) -> None:
    """One JSON per display."""
    folder.mkdir()
    for card in cards:
        (folder / f"{displays.stem(card['id'])}.json").write_text(json.dumps(card, indent=1) + "\n")
