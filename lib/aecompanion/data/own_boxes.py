"""The boxes of a folder of one's own images: a CSV table beside them, read forgivingly and checked strictly.

    file, left, top, right, bottom (and label)          one row per box, in any order of columns

Boxes are in pixels of the upright file as a viewer shows it, half-open; with W×H its size, S = min(W, H) and
s = size / S the point (x, y) of the file is at s·(x - (W - S)/2), s·(y - (H - S)/2) of the prepared image. `file` is a
path below the folder, or a bare file name where only one image has it.
"""

import csv
import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aecompanion.data.boxes import prepared_mask

COLUMNS = ("file", "left", "top", "right", "bottom")


class Row(NamedTuple):
    """One row of boxes.csv: the table, its line, the image it names, left, top, right, bottom, and its label if it has
    one.
    """

    table: Path
    line: int
    name: str
    box: tuple[float, float, float, float]
    label: str | None


def read_boxes(root: Path, boxes: str | Path | None, names: list[str]) -> list[Row]:
    """The rows of the file of boxes; none where `boxes` is None and there is no ROOT/boxes.csv."""
    table = root / "boxes.csv" if boxes is None else Path(boxes).expanduser()
    if not table.is_file():
        if boxes is None:
            return []
        raise FileNotFoundError(f"{table}: no such file, expected a table with the columns {', '.join(COLUMNS)}")
    try:
        with table.open(newline="", encoding="utf-8-sig") as opened:  # Excel writes a mark in front
            reader = csv.DictReader(opened)
            found, lines = list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table}: cannot be read as CSV ({error})") from error
    missing = [column for column in COLUMNS if column not in found]
    if missing:
        there = ", ".join(found) or "nothing"
        raise ValueError(f"{table}: has no column {missing[0]!r}, expected {', '.join(COLUMNS)} (found: {there})")
    return [parsed(row, number, table, names) for number, row in enumerate(lines, 2)]


def parsed(row: dict[str, str], line: int, table: Path, names: list[str]) -> Row:
    """One line of the table. Raises ValueError naming line and value."""
    stated = (row["file"] or "").strip().replace("\\", "/").removeprefix("./")
    same = [name for name in names if stated in (name, name.rpartition("/")[2])]
    exact = [name for name in same if name == stated] or same
    if len(exact) != 1:
        count = f"fits {len(exact)} images" if exact else "is no image in the folder"
        near = difflib.get_close_matches(stated, names, 1)
        hint = f" (nearest: {near[0]})" if near and not exact else ""
        raise ValueError(f"{table}, line {line}: {stated!r} {count}, expected a path below the folder{hint}")
    sides = []
    for column in COLUMNS[1:]:
        try:
            sides.append(float(row[column]))
        except (TypeError, ValueError):
            found = f"{column} is {row[column]!r}"
            raise ValueError(f"{table}, line {line}: {found}, expected a number of pixels") from None
    left, top, right, bottom = sides
    if not (left < right and top < bottom and all(map(math.isfinite, sides))):
        raise ValueError(f"{table}, line {line}: the box is {short(sides)}, expected left < right and top < bottom")
    return Row(table, line, exact[0], (left, top, right, bottom), (row.get("label") or "").strip() or None)


def box_mask(rows: Sequence[Row], shape: tuple[int, int], size: int) -> np.ndarray:
    """The union of an image's boxes on the prepared image, size×size bool; shape: the upright file's width and height.

    Raises ValueError for a box that reaches outside the image.
    """
    mask = np.zeros((size, size), bool)
    if not rows:
        return mask
    width, height = shape
    for row in rows:
        left, top, right, bottom = row.box
        if left < 0 or top < 0 or right > width or bottom > height:
            raise ValueError(
                f"{row.table}, line {row.line}: {short(row.box)} reaches outside {row.name}, expected pixels of its "
                f"{width}×{height}"
            )
        mask |= prepared_mask((top, left, bottom, right), (height, width), size)
    return mask


def short(numbers: Sequence[float]) -> str:
    return f"({', '.join(f'{number:g}' for number in numbers)})"
